"""The stand-in for EC2: what the API says happens to real processes, and nothing gets out."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from ess_dask.testing.ec2 import AwsError, standin
from tests.ec2 import UBUNTU, cloud_config, compressed, launch, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ec2_permitted")]

MINOR = "{}.{}".format(*sys.version_info)

METADATA = """
import sys, urllib.request as r
at = "http://169.254.169.254/latest/"
header = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
token = r.urlopen(r.Request(at + "api/token", headers=header, method="PUT"), timeout=5).read()
for path in sys.argv[1:]:
    request = r.Request(at + path, headers={"X-aws-ec2-metadata-token": token.decode()})
    try:
        print(r.urlopen(request, timeout=5).read().decode())
    except r.HTTPError as error:
        print(error.code)
"""


def state(ec2, instance):
    return ec2.instance(instance).state


def refused(code, call, **given):
    with pytest.raises(AwsError) as caught:
        call(**given)
    assert caught.value.code == code
    return caught.value.message


def on(ec2, instance, script):
    """Run a line of shell on an instance; return what it prints."""
    done = ec2.run_on(instance, ["sh", "-c", script])
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- boot, stop, start, terminate


SLEEPER = """
[Service]
Environment=WHO=unit "WHAT=two words"
EnvironmentFile=-/etc/absent
EnvironmentFile=/etc/sleeper.env
ExecStartPre=-/bin/false
ExecStartPre=/bin/sh -c 'echo started >> /var/lib/starts'
ExecStart=/bin/sh -c 'echo "${WHO} has ${WHAT} and ${MORE}"; exec sleep 600'
[Install]
WantedBy=multi-user.target
"""


def test_a_life_with_user_data_stop_start_reboot_and_terminate(ec2):
    config = cloud_config(
        "echo ran as $(id -un) >> /root/runs",
        ["systemctl", "enable", "--now", "sleeper"],
        files={"/etc/sleeper.env": "MORE=more\n"},
        units={"sleeper": SLEEPER},
    )
    config["write_files"] += [
        {"path": "/root/b64", "content": "aGVsbG8=", "encoding": "b64", "permissions": "0600"},
        {"path": "/root/b64", "content": " again", "append": True, "permissions": "0600"},
    ]
    (instance,) = launch(ec2, config)
    first = ec2.wait(instance, "running")
    ec2.wait_for_console(instance, "unit has two words and more")
    assert on(ec2, instance, "cat /root/runs /root/b64; stat -c %a /root/b64") == (
        "ran as root\nhello again600\n"
    )
    assert first.private.startswith("172.31.") and first.public.startswith("54.214.")
    api = ec2.boto("ec2")
    api.stop_instances(InstanceIds=[instance])
    refused("IncorrectInstanceState", api.start_instances, InstanceIds=[instance])
    stopped = ec2.wait(instance, "stopped")
    assert (stopped.public, stopped.reason) == ("", "Client.UserInitiatedShutdown")

    api.start_instances(InstanceIds=[instance])
    second = ec2.wait(instance, "running")
    assert second.private == first.private and second.public not in {"", first.public}
    wait_until(lambda: on(ec2, instance, "wc -l < /var/lib/starts") == "2\n")
    assert on(ec2, instance, "cat /root/runs") == "ran as root\n"

    api.reboot_instances(InstanceIds=[instance])
    wait_until(lambda: ec2.console(instance).count("boots") == 3)
    wait_until(lambda: on(ec2, instance, "wc -l < /var/lib/starts") == "3\n")
    ec2.run_on(instance, ["reboot"])
    wait_until(lambda: ec2.console(instance).count("boots") == 4)
    assert ec2.instance(instance).public == second.public
    assert state(ec2, instance) == "running"

    api.terminate_instances(InstanceIds=[instance])
    ec2.wait(instance, "terminated")
    assert "off: terminated" in ec2.console(instance)
    assert ec2.run(["ls", f"{ec2.folder}/disks"]).stdout == ""
    refused("IncorrectInstanceState", api.start_instances, InstanceIds=[instance])


def test_user_data_may_be_compressed_or_a_script_and_what_is_not_understood_is_told(ec2):
    code = "import base64, boto3, json, sys; "
    code += "data = base64.b64decode(sys.argv[2]); "
    code += "boto3.client('ec2').run_instances(UserData=data, **json.loads(sys.argv[1]))"
    start = {"ImageId": UBUNTU, "MinCount": 1, "MaxCount": 1, "InstanceType": "m5.large"}
    packed = compressed(cloud_config("echo was compressed"))
    done = ec2.run([sys.executable, "-c", code, json.dumps(start), packed])
    assert done.returncode == 0, done.stderr
    (first,) = ec2.instances()
    (script,) = launch(ec2, "#!/bin/sh\necho from a script; exit 3\n")
    (other,) = launch(ec2, '{"runcmd": []}')
    (more,) = launch(ec2, {"users": [], "runcmd": ["echo still ran"]})
    ec2.wait_for_console(first.id, "was compressed")
    assert "from a script" in ec2.wait_for_console(script, "failed to run part-001: exit 3")
    ec2.wait_for_console(other, "unhandled user data")
    assert "not simulated: users" in ec2.wait_for_console(more, "still ran")


def test_a_guest_that_powers_off_is_stopped_or_terminated_as_asked(ec2):
    (stops,) = launch(ec2, cloud_config("poweroff"))
    (ends,) = launch(
        ec2, cloud_config("shutdown -h now"), InstanceInitiatedShutdownBehavior="terminate"
    )
    assert ec2.wait(stops, "stopped").reason == "Client.InstanceInitiatedShutdown"
    assert ec2.wait(ends, "terminated").reason == "Client.InstanceInitiatedShutdown"


def test_a_planned_shutdown_happens_in_its_time_unless_it_is_cancelled(ec2):
    ec2.minute(seconds=0.1)
    (dead,) = launch(ec2, cloud_config("shutdown -P +10"))
    (saved,) = launch(ec2, cloud_config("shutdown -P +10", "shutdown -c"))
    ec2.wait(dead, "stopped")
    ec2.wait_for_console(saved, "planned shutdown cancelled")
    time.sleep(1.2)
    assert state(ec2, saved) == "running"


def test_units_restart_until_their_limit_and_may_switch_the_instance_off(ec2):
    failing = """
    [Unit]
    StartLimitIntervalSec=60
    StartLimitBurst=3
    StartLimitAction=poweroff
    [Service]
    Restart=on-failure
    RestartSec=50ms
    ExecStart=/bin/sh -c 'echo try; exit 7'
    """
    done = """
    [Unit]
    SuccessAction=poweroff
    [Service]
    Restart=on-failure
    ExecStart=/bin/sh -c 'exit 0'
    ExecStopPost=/bin/sh -c 'echo cleared up'
    """
    (limit,) = launch(ec2, cloud_config("systemctl start it", units={"it": failing}))
    (success,) = launch(ec2, cloud_config("systemctl start it", units={"it": done}))
    ec2.wait(limit, "stopped")
    assert ec2.console(limit).count("try\n") == 3
    ec2.wait(success, "stopped")
    assert "cleared up" in ec2.console(success)


def test_a_service_that_does_not_stop_is_killed_with_all_its_processes(ec2):
    stubborn = """
    [Service]
    TimeoutStopSec=300ms
    ExecStart=/bin/sh -c 'trap "" TERM; sleep 600 & while :; do sleep 1; done'
    """
    (instance,) = launch(ec2, cloud_config("systemctl start it", units={"it": stubborn}))
    ec2.wait_for_console(instance, "cloud-init: done")
    assert on(ec2, instance, "systemctl is-active it; pgrep -c sleep") != "active\n0\n"
    stopped = ec2.run_on(instance, ["systemctl", "stop", "it"])
    assert stopped.returncode == 0
    asked = ec2.run_on(instance, ["sh", "-c", "systemctl is-active it; pgrep -c sleep"])
    assert asked.stdout == "failed\n0\n"


def test_a_cut_power_line_and_a_cut_cable(ec2):
    (one, two) = launch(ec2, cloud_config(), count=2, InstanceInitiatedShutdownBehavior="terminate")
    for instance in (one, two):
        ec2.wait(instance, "running")
    private = ec2.instance(two).private
    reach = f"import socket; socket.create_connection(('{private}', 22), 0.5)"
    python = [sys.executable, "-c", reach]
    assert "Connection refused" in ec2.run(python).stderr
    ec2.unplug(two)
    assert "timed out" in ec2.run(python).stderr or "No route" in ec2.run(python).stderr
    ec2.plug(two)
    wait_until(lambda: "Connection refused" in ec2.run(python).stderr)
    ec2.kill(one)
    assert ec2.wait(one, "terminated").reason == "Server.InternalError"


# -- metadata and spot


def test_metadata_need_a_token_and_tell_a_spot_notice(ec2):
    spot = {"MarketType": "spot", "SpotOptions": {"SpotInstanceType": "one-time"}}
    (instance,) = launch(ec2, cloud_config(), InstanceMarketOptions=spot)
    about = ec2.wait(instance, "running")
    assert about.lifecycle == "spot"
    paths = ["instance-id", "local-ipv4", "public-ipv4", "instance-type", "placement/region"]
    paths = [f"meta-data/{path}" for path in [*paths, "spot/instance-action", "absent"]]
    ask = [sys.executable, "-c", METADATA, *paths]
    answers = [instance, about.private, about.public, "m5.large", "us-east-1", "404", "404"]
    assert ec2.run_on(instance, ask).stdout.split("\n")[:-1] == answers
    without = "import urllib.request as r; r.urlopen('http://169.254.169.254/latest/meta-data/')"
    assert "401" in ec2.run_on(instance, [sys.executable, "-c", without]).stderr

    message = refused(
        "UnsupportedOperation", ec2.boto("ec2").stop_instances, InstanceIds=[instance]
    )
    assert "one-time Spot" in message
    ec2.spot_notice(instance, seconds=2)
    told = ec2.run_on(instance, [*ask[:3], "meta-data/spot/instance-action"]).stdout
    assert '"action": "terminate"' in told
    assert state(ec2, instance) == "running"
    assert ec2.wait(instance, "terminated").reason == "Server.SpotInstanceTermination"


def test_the_role_of_an_instance_gives_keys_that_are_taken(ec2):
    iam = ec2.boto("iam")
    iam.create_role(RoleName="worker", AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName="worker")
    iam.add_role_to_instance_profile(InstanceProfileName="worker", RoleName="worker")
    (instance,) = launch(ec2, "", IamInstanceProfile={"Name": "worker"})
    ec2.wait(instance, "running")
    code = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
    env = {"AWS_ENDPOINT_URL": ec2.url, "AWS_DEFAULT_REGION": "us-east-1", "HOME": "/root"}
    done = ec2.run_on(instance, [sys.executable, "-c", code], env=env)
    assert f"assumed-role/worker/{instance}" in done.stdout, done.stderr


# -- containers


def test_a_container_of_the_official_image_has_what_it_installs_and_what_it_is_given(ec2):
    (instance,) = launch(ec2, cloud_config(files={"/etc/given/file": "given\n"}))
    ec2.wait_for_console(instance, "cloud-init: done")
    inner = "pip install -q click==$(cat /given/version) && cat /given/file /etc/given/file; "
    inner += "python -c 'import click'; python -c 'import ess_dask'; python -c 'import dask'; env"
    here = version("click")
    on(ec2, instance, f"echo {here} > /etc/given/version")
    run = ["docker", "run", "--rm", "--net=host", "-e", "A=b", "-v", "/etc/given:/given:ro"]
    done = ec2.run_on(instance, [*run, f"python:{MINOR}-slim", "sh", "-c", inner])
    assert "given\n" in done.stdout and "A=b" in done.stdout and "AWS_" not in done.stdout
    assert "/etc/given/file: No such file" in done.stderr
    assert "No module named 'ess_dask'" in done.stderr and "named 'dask'" in done.stderr
    assert "named 'click'" not in done.stderr

    other = ec2.run_on(instance, [*run, f"python:{MINOR}-slim", "pip", "install", "click==0.0.1"])
    assert other.returncode == 1
    assert f"(from versions: {here})" in other.stderr
    ours = ec2.run_on(instance, [*run, f"python:{MINOR}", "pip", "install", "ess-dask"])
    assert "No matching distribution found for ess-dask" in ours.stderr
    old = ec2.run_on(instance, [*run, "python:3.7", "true"])
    assert old.returncode == 125 and f"has Python {MINOR} only" in old.stderr
    own = ec2.run_on(instance, [*run, "ours:1", "python", "-c", "import ess_dask, dask"])
    assert own.returncode == 0, own.stderr


def test_containers_have_names_signals_and_exit_codes(ec2):
    (instance,) = launch(ec2, "")
    ec2.wait(instance, "running")
    run = "docker run --net=host --name one"
    on(ec2, instance, f"{run} -d ours sh -c 'echo hello; exec sleep 600'")
    on(ec2, instance, "docker ps | grep -q one")
    wait_until(lambda: on(ec2, instance, "docker logs one") == "hello\n")
    again = ec2.run_on(instance, ["sh", "-c", f"{run} ours true"])
    assert again.returncode == 125 and "already in use" in again.stderr
    on(ec2, instance, "docker stop one; ! pgrep -x sleep; docker rm one")
    ended = ec2.run_on(instance, ["sh", "-c", f"{run} --rm ours sh -c 'exit 9'"])
    assert ended.returncode == 9
    on(ec2, instance, f"{run} ours true")


# -- what the API refuses, and faults


def test_what_ec2_refuses_is_refused(ec2):
    api = ec2.boto("ec2")
    start = {"ImageId": UBUNTU, "MinCount": 1, "MaxCount": 1, "InstanceType": "m5.large"}
    refused("InvalidParameterValue", api.run_instances, **start, UserData="x" * 16_385)
    wrong = start | {"InstanceType": "m5.huge"}
    assert "m5.huge" in refused("InvalidParameterValue", api.run_instances, **wrong)
    refused("InvalidAMIID.NotFound", api.run_instances, **start | {"ImageId": "ami-12345678"})
    code = "import boto3; boto3.client('{}').{}()"
    keys = {**ec2.env, "AWS_ACCESS_KEY_ID": "AKIANOTISSUED0000000", "PATH": os.environ["PATH"]}
    for service, call, error in [
        ("ec2", "describe_vpcs", "AuthFailure"),
        ("sts", "get_caller_identity", "InvalidClientTokenId"),
        ("s3", "list_buckets", "InvalidAccessKeyId"),
    ]:
        done = ec2.run([sys.executable, "-c", code.format(service, call)], env=keys)
        assert error in done.stderr
    assert ec2.instances() == []
    prices = ec2.boto("pricing").get_products
    assert "pricing" in refused("UnknownOperationException", prices, ServiceCode="AmazonEC2")


def test_a_client_token_starts_once(ec2):
    (one,) = launch(ec2, "", ClientToken="token")
    assert launch(ec2, "", ClientToken="token") == [one]
    api = ec2.boto("ec2")
    other = {"ImageId": UBUNTU, "MinCount": 1, "MaxCount": 1, "InstanceType": "m5.xlarge"}
    refused("IdempotentParameterMismatch", api.run_instances, **other, ClientToken="token")
    assert len(ec2.instances()) == 1


def test_a_group_of_a_living_instance_is_not_deleted(ec2):
    api = ec2.boto("ec2")
    group = api.create_security_group(GroupName="g", Description="g")["GroupId"]
    (instance,) = launch(ec2, "", SecurityGroupIds=[group])
    refused("DependencyViolation", api.delete_security_group, GroupId=group)
    api.terminate_instances(InstanceIds=[instance])
    ec2.wait(instance, "terminated")
    api.delete_security_group(GroupId=group)


def test_the_groups_of_a_network_card_are_those_of_its_instance(ec2):
    api = ec2.boto("ec2")
    group = api.create_security_group(GroupName="g", Description="g")["GroupId"]
    card = {
        "DeviceIndex": 0,
        "SubnetId": api.describe_subnets()["Subnets"][0]["SubnetId"],
        "Groups": [group],
    }
    (instance,) = launch(ec2, "", NetworkInterfaces=[card])
    terminate = {"Value": "terminate"}
    api.modify_instance_attribute(InstanceId=instance, InstanceInitiatedShutdownBehavior=terminate)
    assert ec2.instance(instance).shutdown_behaviour == "terminate"
    (told,) = api.describe_instances()["Reservations"]
    assert [one["GroupId"] for one in told["Instances"][0]["SecurityGroups"]] == [group]
    refused("DependencyViolation", api.delete_security_group, GroupId=group)


def test_faults_are_met_as_often_as_asked_and_requests_are_kept(ec2):
    ec2.fail("RunInstances", "InsufficientInstanceCapacity", times=2)
    ec2.fail("GetCallerIdentity", "ExpiredToken")
    for _ in range(2):
        start = {"ImageId": UBUNTU, "MinCount": 1, "MaxCount": 1, "InstanceType": "m5.large"}
        code = "import boto3, json, sys; from botocore.config import Config; "
        code += "boto3.client('ec2', config=Config(retries={'total_max_attempts': 1}))"
        code += ".run_instances(**json.loads(sys.argv[1]))"
        done = ec2.run([sys.executable, "-c", code, json.dumps(start)])
        assert "sufficient m5.large capacity" in done.stderr
    refused("ExpiredToken", ec2.boto("sts").get_caller_identity)
    ec2.fail("DescribeVpcs", "UnauthorizedOperation", times=-1)
    message = refused("UnauthorizedOperation", ec2.boto("ec2").describe_vpcs)
    assert "not authorized to perform: ec2:DescribeVpcs" in message
    ec2.pending(seconds=1.5)
    ec2.delay("RunInstances", 0.5)
    began = time.monotonic()
    (instance,) = launch(
        ec2, "", MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 1}
    )
    assert time.monotonic() - began > 0.5
    assert state(ec2, instance) == "pending"
    ec2.wait(instance, "running")
    assert time.monotonic() - began > 1.5
    asked = ec2.requests("RunInstances")
    assert [one["status"] for one in asked] == [500, 500, 200]
    assert asked[-1]["parameters"]["MetadataOptions.HttpTokens"] == "required"
    ec2.clear_faults()
    assert ec2.boto("ec2").describe_vpcs()["Vpcs"]


# -- commands inside, and the walls


def test_commands_inside_are_as_outside(ec2, tmp_path):
    done = ec2.run(["sh", "-c", "pwd; echo $AWS_ENDPOINT_URL $X >&2; exit 3"], cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, f"{tmp_path}\n")
    assert ec2.url in done.stderr
    with ec2.popen(["sleep", "60"]) as process:
        process.terminate()
        assert process.wait(10) == -signal.SIGTERM
    with pytest.raises(subprocess.TimeoutExpired):
        ec2.run(["sleep", "60"], timeout=0.5)
    with ec2.popen(["sh", "-c", "echo up; exec sleep 61"], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"up\n"
        process.kill()
    wait_until(lambda: "sleep 61" not in ec2.run(["ps", "ax"]).stdout)


def test_the_only_network_is_the_private_one(ec2):
    (one, two) = launch(ec2, cloud_config("echo mine > /opt/mine; echo mine > /root/mine"), count=2)
    for instance in (one, two):
        ec2.wait_for_console(instance, "cloud-init: done")
    out = "import socket\ntry:\n socket.create_connection(('8.8.8.8', 53), 5)\n"
    out += "except OSError as error:\n print(error.errno)"
    began = time.monotonic()
    assert ec2.run([sys.executable, "-c", out]).stdout == "101\n"
    assert ec2.run_on(one, [sys.executable, "-c", out]).stdout == "101\n"
    assert time.monotonic() - began < 5
    public = ec2.instance(two).public
    near = f"import socket; socket.create_connection(('{public}', 9), 5)"
    assert "Connection refused" in ec2.run([sys.executable, "-c", near]).stderr
    assert "Connection refused" in ec2.run_on(one, [sys.executable, "-c", near]).stderr
    api = f"import urllib.request as r; print(r.urlopen('{ec2.url}/moto-api/').status)"
    assert ec2.run_on(one, [sys.executable, "-c", api]).stdout == "200\n"
    # Outside, there is neither such an interface nor such a listener.
    names = [name for _, name in socket.if_nameindex()]
    assert "br0" not in names and not [name for name in names if name.startswith("ve1")]
    listening = Path("/proc/net/tcp").read_text()
    assert "01001FAC:1388" not in listening


def test_instances_see_neither_the_client_nor_each_other(ec2, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("of the client")
    (one, two) = launch(ec2, "", count=2)
    for instance in (one, two):
        ec2.wait(instance, "running")
    on(ec2, one, "echo one > /opt/own; echo one > /tmp/own; echo one > /dev/shm/own")
    look = f"ls {secret} {Path.home()}/.bashrc {Path(__file__)} /opt/own /tmp/own /dev/shm/own"
    seen = ec2.run_on(two, ["sh", "-c", look])
    assert seen.stdout == ""
    assert not Path("/opt/own").exists() and not Path("/tmp/own").exists()
    spoil = f"touch {sys.prefix}/x; touch /run/image/etc/x; touch {ec2.folder}/x"
    assert ec2.run_on(two, ["sh", "-c", spoil]).returncode != 0
    assert not Path(sys.prefix, "x").exists() and not Path("/etc/x").exists()


def test_it_does_not_run_where_a_public_address_could_be_reached(tmp_path):
    code = """
import sys
from pathlib import Path
from ess_dask.errors import EssError
from ess_dask.testing.ec2 import server
try:
    with server.running(Path(sys.argv[1]), sys.argv[2]):
        print("runs")
except EssError as error:
    print(error)
    sys.exit(error.exit_code)
"""
    for outside in ("", str(Path("/proc/self/ns/net").readlink())):
        command = [sys.executable, "-c", code, str(tmp_path / "place"), outside]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2
        assert "not a network namespace of its own" in done.stdout
    assert not (tmp_path / "place").exists()


# -- beginning and end


def processes_of(folder):
    """Return the processes of this machine that name a folder on their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if str(folder).encode() in line and int(path.parent.name) != os.getpid():
            found.append((path.parent.name, line))
    return found


def test_nothing_is_left_at_its_end_nor_when_its_starter_is_killed(tmp_path):
    with standin(tmp_path / "closed") as ec2:
        (instance,) = launch(ec2, "")
        ec2.wait(instance, "running")
        assert processes_of(ec2.folder)
    wait_until(lambda: not processes_of(tmp_path / "closed"))

    code = """
import sys, time
from pathlib import Path
from ess_dask.testing.ec2 import standin
with standin(Path(sys.argv[1])) as ec2:
    with ec2.popen(["sleep", "60"]):
        print("up", flush=True)
        time.sleep(60)
"""
    folder = tmp_path / "killed"
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as starter:
        assert starter.stdout.readline() == b"up\n"
        assert processes_of(folder)
        starter.kill()
    wait_until(lambda: not processes_of(folder))


def test_the_program_ends_as_its_command(tmp_path):
    program = [sys.executable, "-m", "ess_dask.testing.ec2", "--folder", str(tmp_path), "--"]
    script = "echo $AWS_ENDPOINT_URL; cut -d: -f1 /proc/net/dev | tail -n +3; exit 5"
    done = subprocess.run(
        [*program, "sh", "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 5, done.stderr
    assert sorted(done.stdout.split()) == ["br0", "http://172.31.0.1:5000", "lo"]
    assert subprocess.run([*program, "/absent"], capture_output=True, timeout=60).returncode == 127


def test_without_a_command_it_says_how_to_enter(tmp_path):
    program = [sys.executable, "-m", "ess_dask.testing.ec2", "--folder", str(tmp_path)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        entering = process.stderr.readline().decode().removeprefix("enter with: ").split()
        assert process.stdout.readline().startswith(b"export AWS_ENDPOINT_URL=")
        inside = [*entering[: entering.index("--")], "--", "sh", "-c", "echo $AWS_REGION; ls /sys"]
        done = subprocess.run(inside, capture_output=True, text=True, timeout=60)
        assert done.stdout.startswith("us-east-1\n"), done.stderr
        process.terminate()
        assert process.wait(30) == 0


def test_the_program_killed_takes_its_command_with_it(tmp_path):
    program = [sys.executable, "-m", "ess_dask.testing.ec2", "--folder", str(tmp_path), "--"]
    command = ["sh", "-c", f"echo up; : {tmp_path}; sleep 62; echo never"]
    with subprocess.Popen([*program, *command], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"up\n"
        process.kill()
    wait_until(lambda: not processes_of(tmp_path))
