"""The stand-in for EC2: what the API says happens to real processes, and nothing gets out."""

import pytest

from tests.ec2 import cloud_config, launch

pytestmark = pytest.mark.slow


def test_an_instance_boots_and_obeys_its_user_data(ec2):
    config = cloud_config(
        "echo the command ran as $(id -un) > /root/proof",
        "systemctl enable --now hello",
        files={"/etc/proof": "written\n"},
        units={
            "hello": """
            [Service]
            Environment=WHO=unit
            ExecStart=/bin/sh -c 'echo hello from ${WHO}; exec sleep 600'
            [Install]
            WantedBy=multi-user.target
            """
        },
    )
    (instance,) = launch(ec2, config)
    ec2.wait(instance, "running")
    ec2.wait_for_console(instance, "hello from unit")
    seen = ec2.run_on(instance, ["cat", "/etc/proof", "/root/proof"])
    assert seen.stdout == "written\nthe command ran as root\n"
