"""A killed command leaves nothing that the next one does not find, whenever it is killed."""

import json
import os
from pathlib import Path

import pytest

from ess_dask.testing.ec2.person import Person

pytestmark = [pytest.mark.usefixtures("ec2_permitted"), pytest.mark.timeout(600)]

KILLS = Path(__file__).parents[1] / "ec2_kills.py"


def test_a_kill_after_any_change_leaves_nothing_that_terminate_does_not_find(ec2, tmp_path):
    """And the same command again goes on where it was killed. ``ESS_STRESS``: both, each time."""
    ec2.powered(False)
    anna = Person(ec2, tmp_path / "anna")
    anna.env["ESS_STRESS"] = os.environ.get("ESS_STRESS", "")
    program = f"import runpy; runpy.run_path({str(KILLS)!r}, run_name='__main__')"
    killed = json.loads(anna.python(program, timeout=550))
    assert killed["create"] == [
        "CreateSecurityGroup", "AuthorizeSecurityGroupIngress", *["RunInstances"] * 3,
    ]  # fmt: skip
    assert {name: len(requests) for name, requests in killed.items()} == {
        "create": 5, "create --add": 4, "stop": 5, "add": 2, "start": 7,
    }  # fmt: skip


def test_a_create_goes_on_where_one_was_killed_while_machines_boot(ec2, tmp_path):
    from ess_dask.testing.ec2.client import until

    anna = Person(ec2, tmp_path / "anna")
    first = anna.start("cluster", "create", "--number", "1", "--spot", "--type", "m5.large")
    until(lambda: ec2.instances("running", "pending"), 120, lambda: "nothing was launched")
    first.kill()
    first.wait(10)
    # What it was told counts: nothing else can be had by the way, and nothing is forgotten.
    other = anna.ess("cluster", "create", "--number", "1", "--type", "m7i.xlarge", code=2).stderr
    assert "exists already, with --type m5.large, not m7i.xlarge" in other
    said = anna.ess("cluster", "create", "--number", "1").stderr.splitlines()
    assert "was begun by a command that was ended: going on with its scheduler and 0 of" in said[0]
    assert "runs: scheduler" in said[-3]
    assert said[-1].endswith("end it with: ess cluster terminate")
    running = ec2.instances("running")
    assert {(each.type, each.lifecycle == "spot") for each in running} == {
        ("m5.large", False), ("m5.large", True),
    }  # fmt: skip
    assert len(running) == 2
    assert anna.ess("exec", "echo hello").stdout.count("hello") == 1
    again = anna.ess("cluster", "create", "--number", "1").stderr.splitlines()
    assert again[0].endswith("runs already, with 1 worker") and again[-3:] == said[-3:]
    # Terminated by somebody else, so EC2 knows them still.
    worker = json.loads(anna.ess("cluster", "status", "--json").stdout)[1]["id"]
    assert "removed" in anna.ess("cluster", "remove", worker).stderr
    assert f"{worker} is removed already" in anna.ess("cluster", "remove", worker).stderr
    anna.ess("cluster", "terminate", "-y")
    assert not ec2.instances("pending", "running", "stopping", "stopped")
