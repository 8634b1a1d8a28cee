"""A cluster on EC2 from create to terminate, each command a process of its own.

The machines are those of the stand-in: they boot the user data as it is, in a private network.
"""

import gzip
import json
import os
import re
import resource
import shutil
from pathlib import Path

import pytest

from ess_dask.testing.ec2.client import until
from ess_dask.testing.ec2.person import Person

pytestmark = [
    pytest.mark.usefixtures("ec2_permitted"),
    pytest.mark.timeout(600),
]

LIVE = ("pending", "running", "stopping", "stopped")


@pytest.fixture
def cloud(ec2):
    return ec2


@pytest.fixture
def anna(cloud, tmp_path):
    return Person(cloud, tmp_path / "anna")


def groups(cloud):
    found = cloud.boto("ec2").describe_security_groups()["SecurityGroups"]
    return [group for group in found if group["GroupName"] != "default"]


def machines(anna, role="worker"):
    return [each for each in json.loads(anna.ess("cluster", "status", "--json").stdout)
            if each["role"] == role]  # fmt: skip


CONNECT = """
from ess_dask.cluster.machines import attach, connect
client = connect(attach())
"""

WORK = (
    CONNECT
    + """
def where(number):
    import ess_dask
    return ess_dask.__file__
client.wait_for_workers({workers}, timeout=120)
found = client.gather(client.map(where, range(20), pure=False))
print(len(set(found)), client.submit(sum, client.map(lambda x: x * x, range(100))).result(60))
"""
)

HOLD = (
    CONNECT
    + """
host = {host!r}
[address] = [a for a in client.scheduler_info(n_workers=-1)["workers"] if f"//{{host}}:" in a]
rows = client.submit(lambda: list(range(100_000)), workers=[address], allow_other_workers=False)
client.publish_dataset(rows=rows)
print(client.submit(len, rows).result(timeout=60))
"""
)

LOOK = (
    CONNECT
    + """
print(len(client.get_dataset("rows").result(timeout=60)))
client.unpublish_dataset("rows")
"""
)

LIGHT = """
import resource, sys
read = []
sys.addaudithook(lambda what, given: what == "open" and read.append(str(given[0])))
from ess_dask.cli.main import ess, run
sys.stderr = sys.stdout
code = run(ess, ["cluster", *{words!r}])
used = resource.getrusage(resource.RUSAGE_SELF)
heavy = [name for name in {heavy!r} if name in sys.modules]
heavy += [name for name in read if name.endswith(("service-2.json.gz", "/data/endpoints.json"))]
print("\\n", code, heavy, used.ru_utime + used.ru_stime)
"""

HEAVY = (
    "boto3", "dask", "distributed", "ess_dask.tables.session", "numpy", "pandas", "pyarrow",
    "pydantic", "s3fs", "stamina", "tenacity",
)  # fmt: skip
"""What the short verbs do without; besides, they read no model of AWS as it comes."""

RAW = """
import socket, ssl, sys
context = ssl.create_default_context(cafile={ca!r})
context.check_hostname = False
if {pem!r}:
    context.load_cert_chain({pem!r})
with socket.create_connection(({host!r}, 8786), timeout=10) as plain:
    with context.wrap_socket(plain) as stream:
        # With TLS 1.3 a refused certificate shows at the first read.
        print("read", stream.recv(1))
"""


def test_a_cluster_lives_in_separate_commands(anna, cloud):
    """Create 2, compute, add 1, remove 1, stop, start, compute, lose the folder, terminate."""
    said = anna.ess("cluster", "create", "--number", "2").stderr
    assert "ess-anna in us-east-1 runs" in said
    assert "ends by itself after 1h without work" in said
    assert "ess cluster terminate" in said
    assert anna.python(WORK.format(workers=2)).split() == ["2", "328350"]
    assert anna.ess("exec", "echo hello").stdout.count("hello") == 2
    looks_as_it_should(anna, cloud)
    a_create_of_what_is_there(anna, cloud)
    anna.ess("cluster", "create", "--add", "--spot", "--type", "m5.large")
    first, *others = machines(anna)
    assert len(others) == 2
    anna.python(HOLD.format(host=first["private_ip"]))
    last = anna.ess(
        "cluster", "remove", *(each["reservation"] for each in [first, *others]), code=2
    )
    assert "no worker" in last.stderr
    cloud.fail("TerminateInstances", "UnauthorizedOperation", times=-1)
    denied = anna.ess("cluster", "remove", first["reservation"], code=3).stderr
    assert "ec2:TerminateInstances is not allowed" in denied
    cloud.clear_faults()
    # It stays, so it works on.
    assert anna.ess("exec", "echo hello").stdout.count("hello") == 3
    anna.ess("cluster", "remove", first["reservation"])
    assert [each["id"] for each in machines(anna)] == [each["id"] for each in others]
    assert anna.python(LOOK).strip() == "100000"

    cloud.fail("StopInstances", "UnauthorizedOperation", times=-1)
    denied = anna.ess("cluster", "stop", code=3).stderr
    assert "ec2:StopInstances is not allowed" in denied
    cloud.clear_faults()
    # Idle, they still end and do not only stop.
    assert {each.shutdown_behaviour for each in cloud.instances(*LIVE)} == {"terminate"}
    stops_and_starts(anna, cloud)
    shutil.rmtree(anna.home / ".ess" / "clusters")
    assert len(machines(anna)) == 2
    lost = anna.ess("server", "commit", code=2).stderr
    assert "its certificates are not in" in lost
    # Nobody answers the question, so nothing happens.
    anna.ess("cluster", "terminate", code=130)
    assert len(cloud.instances(*LIVE)) == 3
    light(anna, "terminate", "-y")
    assert (cloud.instances(*LIVE), groups(cloud)) == ([], [])
    assert "does not exist" in anna.ess("cluster", "terminate", "-y").stderr
    only_allowed_actions(cloud)


def a_create_of_what_is_there(anna, cloud):
    """The same again is no error; what was typed and is not so there is never passed over."""
    same = ["--number", "2", "--type", "m7i.xlarge", "--idle-timeout", "60m"]
    assert "runs already" in anna.ess("cluster", "create", *same, "--error_return_code").stderr
    launched = len(cloud.requests("RunInstances"))
    other = anna.ess("cluster", "create", "--number", "3", code=2).stderr
    assert "exists already" in other and "--add" in other
    kind = ["--type", "m5.large", "--spot", "--idle-timeout", "5m"]
    other = anna.ess("cluster", "create", "--number", "2", *kind, code=2).stderr
    assert "--type m7i.xlarge, not m5.large; 2 workers without --spot; --idle-t" in other
    assert "ess cluster terminate, then create" in other
    other = anna.ess("cluster", "create", "--add", *kind, "--error_return_code", code=2).stderr
    assert "exists already, with --idle-timeout 1h, not 5m" in other
    assert len(cloud.requests("RunInstances")) == launched


def light(anna, *words):
    """Run a verb of ``ess cluster``, which imports and reads little; return what it said."""
    *said, last = anna.python(LIGHT.format(words=words, heavy=HEAVY)).splitlines()
    code, heavy, seconds = re.fullmatch(r" (\d+) (.*) ([\d.]+)", last).groups()
    assert (code, heavy) == ("0", "[]"), said
    # 0.4 s on a machine that has nothing else to do.
    assert float(seconds) < 2.5
    return "\n".join(said)


def looks_as_it_should(anna, cloud):
    [scheduler] = machines(anna, "scheduler")
    assert scheduler["cpu"] == 4 and scheduler["memory"] == 16 << 30
    assert scheduler["disk"] == 64 << 30
    assert scheduler["idle"] >= 0 and scheduler["uptime"] > 0
    public = anna.ess("cluster", "iplist").stdout.split()
    private = anna.ess("cluster", "iplist", "--private").stdout.split()
    assert public[0] == scheduler["public_ip"] and private[0] == scheduler["private_ip"]
    assert len(public) == len(private) == 3
    light(anna, "status")
    light(anna, "iplist")
    nothing_of_the_client_is_in_user_data(anna, cloud)
    only_certificates_open_the_port(anna, scheduler["public_ip"])
    # Nothing but the protocol of Dask: no HTTP, neither there nor on a worker (which has a nanny).
    assert set(listening(cloud, scheduler["id"])) == {8786}
    worker = machines(anna)[0]["id"]
    assert len(set(listening(cloud, worker))) == 2
    most = str(min(65_536, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    for each in (scheduler["id"], worker):
        assert open_files(cloud, each) == {(most, most)}
    is_hardened(cloud)


def nothing_of_the_client_is_in_user_data(anna, cloud):
    tls = anna.home / ".ess" / "clusters" / "ess-anna" / "tls"
    for instance in cloud.instances("running"):
        assert len(instance.user_data) < 16_384
        text = json.loads(gzip.decompress(instance.user_data).decode().split("\n", 1)[1])
        whole = json.dumps(text)
        role = instance.tags["ess:role"]
        for name in {"client", "scheduler", "worker"} - {role}:
            key = (tls / f"{name}.pem").read_text().splitlines()[1]
            assert key not in whole
        assert (tls / f"{role}.pem").read_text().splitlines()[1] in whole
        assert "EXAMPLEKEY" not in whole and str(anna.home) not in whole
    assert not list(tls.glob("*ca*key*")) and (tls.stat().st_mode & 0o777) == 0o700


def only_certificates_open_the_port(anna, host):
    from ess_dask.cluster.tls import ensure_certificates

    tls = anna.home / ".ess" / "clusters" / "ess-anna" / "tls"
    foreign = anna.home / "foreign"
    ensure_certificates(foreign)
    ca = str(tls / "ca.pem")
    right = anna.python(RAW.format(ca=ca, pem=str(tls / "client.pem"), host=host))
    assert right.startswith("read b'")
    for pem in ("", str(foreign / "worker.pem")):
        with pytest.raises(AssertionError, match=r"alert|EOF|reset"):
            anna.python(RAW.format(ca=ca, pem=pem, host=host))
    with pytest.raises(AssertionError, match="certificate verify failed"):
        anna.python(RAW.format(ca=str(foreign / "ca.pem"), pem="", host=host))


def listening(cloud, instance_id):
    text = cloud.run_on(instance_id, ["cat", "/proc/net/tcp", "/proc/net/tcp6"]).stdout
    lines = [line.split() for line in text.splitlines()]
    # The metadata service (169.254.169.254) is the stand-in's own.
    return [
        int(address.partition(":")[2], 16)
        for _, address, _, state, *_ in lines
        if state == "0A" and not address.startswith("FEA9FEA9")
    ]


def open_files(cloud, instance_id):
    """Return the limits (soft, hard) of the processes in the container."""
    look = "cd /proc; for each in [0-9]*; do grep -qa docker $each/cmdline || "
    look += "{ grep -qa distributed[.] $each/cmdline && grep 'open files' $each/limits; }; done"
    lines = cloud.run_on(instance_id, ["sh", "-c", look]).stdout.splitlines()
    return {tuple(line.split()[3:5]) for line in lines}


def is_hardened(cloud):
    launched = cloud.requests("RunInstances")
    assert launched
    for request in launched:
        sent = request["parameters"]
        assert sent["MetadataOptions.HttpTokens"] == "required"
        assert sent["MetadataOptions.HttpPutResponseHopLimit"] == "1"
        assert sent["BlockDeviceMapping.1.Ebs.Encrypted"] == "true"
        assert sent["InstanceInitiatedShutdownBehavior"] == "terminate"
        tags = {sent[key] for key in sent if key.startswith("TagSpecification.1.Tag")}
        assert {"ess:cluster", "ess-anna", "ess:owner"} <= tags
    [group] = groups(cloud)
    ranges = [each["CidrIp"] for rule in group["IpPermissions"] for each in rule["IpRanges"]]
    assert ranges == ["172.31.0.1/32"]


def stops_and_starts(anna, cloud):
    """The spot worker cannot be stopped: it ends, and another one of its type comes back."""
    spot = {each.id for each in cloud.instances(*LIVE) if each.lifecycle == "spot"}
    said = light(anna, "stop")
    assert "1 spot worker ended; they come back with: ess cluster start" in said
    assert [each.state for each in cloud.instances(*LIVE)] == ["stopped", "stopped"]
    assert "stopped already" in anna.ess("cluster", "stop").stderr
    assert "is stopped" in anna.ess("server", "commit", code=2).stderr
    assert "1 machine started" in anna.ess("cluster", "add", machines(anna)[0]["id"]).stderr
    assert {each.state for each in cloud.instances(*LIVE)} == {"stopped", "running"}
    anna.ess("cluster", "start")
    [back] = (each for each in cloud.instances(*LIVE) if each.lifecycle == "spot")
    assert (back.type, back.id in spot) == ("m5.large", False)
    assert {each.type for each in cloud.instances(*LIVE) if each != back} == {"m7i.xlarge"}
    # Brought back once.
    assert "runs already" in anna.ess("cluster", "start").stderr
    assert len(cloud.instances(*LIVE)) == 3
    assert {each.shutdown_behaviour for each in cloud.instances(*LIVE)} == {"terminate"}
    assert anna.python(WORK.format(workers=2)).split() == ["2", "328350"]


def only_allowed_actions(cloud):
    """Every action that was asked for stands in the policy of the documentation."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "ec2.md").read_text()
    policy = json.loads(re.search(r"```json\n(.*?)```", page, re.DOTALL)[1])
    allowed = {action for each in policy["Statement"] for action in each["Action"]}
    asked = {f"{each['service']}:{each['action']}" for each in cloud.requests()}
    ours = {each for each in asked if not each.startswith("sts:")}
    assert ours - allowed == set()


def test_an_interrupted_create_ends_what_it_launched_and_says_so(anna, cloud):
    create = anna.start("cluster", "create", "--number", "2", stderr=-1, text=True)
    until(lambda: len(cloud.requests("RunInstances")) >= 3, 120, lambda: "never")
    create.send_signal(2)
    said = create.communicate(timeout=120)[1]
    assert create.returncode == 130, said
    assert "nothing is left" in said
    assert (cloud.instances(*LIVE), groups(cloud)) == ([], [])


def test_of_two_creates_at_once_one_is_told_who_is_first(anna, cloud):
    cloud.delay("RunInstances", 2.0)
    first = anna.start("cluster", "create", "--number", "1", stderr=-1, text=True)
    until(lambda: cloud.requests("CreateSecurityGroup"), 120, lambda: "never")
    said = anna.ess("cluster", "create", "--number", "1", code=75).stderr
    assert "process" in said
    # The same cluster from another machine: the group's name is taken.
    bert = Person(cloud, anna.home.parent / "elsewhere" / "anna")
    said = bert.ess("cluster", "create", code=None)
    assert said.returncode in (2, 75) and ("being made" in said.stderr or "exists" in said.stderr)
    assert first.communicate(timeout=300)[1].endswith("ess cluster terminate\n")
    assert len(cloud.instances("running")) == 2
    a_scheduler_that_cannot_be_reached(anna, cloud)


def a_scheduler_that_cannot_be_reached(anna, cloud):
    """Its machine runs, so EC2 says; nothing that asks EC2 alone waits for it long."""
    away = anna.ess("cluster", "create", "--region", "eu-west-1", code=2).stderr
    assert "exists already, in us-east-1" in away
    [scheduler] = machines(anna, "scheduler")
    cloud.unplug(scheduler["id"])
    told = anna.ess("exec", "true", code=1).stderr
    assert "does not answer" in told and "ess cluster status" in told
    [scheduler] = machines(anna, "scheduler")
    assert (scheduler["state"], scheduler["idle"]) == ("running", None)
    anna.ess("cluster", "terminate", "--all", "-y")
    assert (cloud.instances(*LIVE), groups(cloud)) == ([], [])


def test_machines_of_an_image_in_a_private_subnet_with_a_role(anna, cloud):
    """All that a profile may say of machines; then a worker comes whose group is not its first."""
    ec2 = cloud.boto("ec2")
    [vpc] = ec2.describe_vpcs()["Vpcs"]
    zone = "us-east-1b"
    made = ec2.create_subnet(VpcId=vpc["VpcId"], CidrBlock="172.31.240.0/24", AvailabilityZone=zone)
    subnet = made["Subnet"]["SubnetId"]
    cloud.boto("iam").create_instance_profile(InstanceProfileName="ess-worker")
    words = f"subnet: {subnet}\nprivate: true\ninstance_profile: ess-worker\n"
    folder = anna.folder / "configs"
    folder.mkdir()
    (folder / "inside.yaml").write_text(f"cluster: ec2\n{words}")
    anna.env |= {"ESS_PROFILE": "inside"}
    del anna.env["ESS_CLUSTER"], anna.env["ESS_MY_ADDRESS"]
    # The address of this machine, as it has no public one to ask for.
    anna.env["ESS_MY_ADDRESS"] = "172.31.0.0/16"
    anna.ess("cluster", "create", "--image", "registry.example/ess-dask:1")
    [group] = groups(cloud)
    other = ec2.create_security_group(GroupName="a-first", Description="x", VpcId=vpc["VpcId"])
    [scheduler] = machines(anna, "scheduler")
    both = [other["GroupId"], group["GroupId"]]
    ec2.modify_instance_attribute(InstanceId=scheduler["id"], Groups=both)
    anna.ess("cluster", "create", "--add")
    assert anna.ess("exec", "echo hello").stdout.count("hello") == 2
    launched = [request["parameters"] for request in cloud.requests("RunInstances")]
    assert len(launched) == 3
    card = "NetworkInterface.1."
    for sent in launched:
        assert (
            sent[f"{card}SubnetId"] == subnet and sent[f"{card}AssociatePublicIpAddress"] == "false"
        )
        assert sent[f"{card}SecurityGroupId.1"] == group["GroupId"]
        assert "ess-worker" in str([sent[key] for key in sent if key.startswith("IamInstance")])
    for instance in cloud.instances("running"):
        told = gzip.decompress(instance.user_data).decode()
        assert instance.public == "" or instance.private.startswith("172.31.240.")
        assert "registry.example/ess-dask:1" in told and "requirements.txt" not in told
    assert anna.ess("cluster", "iplist").stdout == ""
    assert len(anna.ess("cluster", "iplist", "--private").stdout.split()) == 3
    ec2.modify_instance_attribute(InstanceId=scheduler["id"], Groups=[group["GroupId"]])
    ec2.delete_security_group(GroupId=other["GroupId"])
    anna.ess("cluster", "terminate", "-y")
    assert (cloud.instances(*LIVE), groups(cloud)) == ([], [])


def test_a_spot_notice_loses_no_row_and_an_idle_cluster_ends_itself(anna, cloud):
    # Long enough for the commands in between, which take their time on a busy machine.
    idle = f"{20 + 5 * os.getloadavg()[0]:.0f}s"
    anna.ess("cluster", "create", "--number", "2", "--spot", "--idle-timeout", idle)
    first = machines(anna)[0]
    anna.python(HOLD.format(host=first["private_ip"]))
    cloud.spot_notice(first["id"], 120.0)
    cloud.wait(first["id"], "terminated", 100)
    assert anna.python(LOOK).strip() == "100000"
    # The machines end themselves, nobody asks them to.
    until(lambda: not cloud.instances(*LIVE), 400, lambda: str(cloud.instances(*LIVE)))
    assert "does not exist" in anna.ess("cluster", "start", code=2).stderr


def test_ten_workers_come_up(anna, cloud):
    # AWS takes only a few launches at once.
    cloud.fail("RunInstances", "RequestLimitExceeded", times=6)
    anna.ess("cluster", "create", "--number", "10", timeout=500)
    assert anna.python(WORK.format(workers=10)).split()[1] == "328350"
    assert len(machines(anna)) == 10
