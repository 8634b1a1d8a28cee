"""A program: kills commands of ``ess cluster`` after each request that changes something on EC2.

It runs in the stand-in's network and without power there, so that no instance boots; what waits for
one is left out, and nothing ever connects to one. A command is a fork of this process, whose
imports are done. It prints, as JSON, after which requests each command was killed.
"""

import functools
import json
import os
import signal
import traceback
import urllib.request
from collections import Counter
from pathlib import Path

import aiobotocore.client
import botocore.client
import botocore.session
from distributed.core import Status

from ess_dask.cluster.ec2 import aws, cluster, launch, making, prepare, reach, resume, verbs
from ess_dask.cluster.ec2.find import LIVE
from ess_dask.cluster.verbs import CreateRequest
from ess_dask.errors import EssError

REGION = os.environ["AWS_DEFAULT_REGION"]
ELSEWHERE = {"ESS_MY_ADDRESS": "203.0.113.7"}
ONE, TWO = CreateRequest(number=1), CreateRequest(number=2)
SPOT = CreateRequest(number=1, add=True, spot=True, type="m5.large")
PREPARED = [(verbs.create, ONE), (verbs.create, SPOT)]
STOP = (verbs.stop, False)
CASES = {
    "create": ([], (verbs.create, TWO), {}),
    "create --add": (PREPARED[:1], (verbs.create, CreateRequest(number=2, add=True)), ELSEWHERE),
    "stop": (PREPARED, STOP, {}),
    "add": ([*PREPARED, STOP], (verbs.add, ["WORKER"]), {}),
    "start": ([*PREPARED, STOP], (verbs.start,), ELSEWHERE),
}
"""What is done before, the verb to kill with what it is given, and its own environment."""

END = (verbs.terminate, False, lambda _: True)


def command(verb, env=None, kill_after=0, note=None):
    """Run a verb; return what ``waitpid`` tells. Each changing request goes to ``note``."""
    function, *given = map(known, verb)
    process = os.fork()
    if process:
        return os.waitpid(process, 0)[1]
    try:
        os.environ.update(env or {})
        with open("said", "w") as said:
            count_requests(kill_after, note)
            function(*given, lambda text: print(text, file=said, flush=True))
        code = 0
    except EssError as error:
        Path("said").write_text(str(error))
        code = error.exit_code
    except BaseException:
        traceback.print_exc()
        code = 99
    os._exit(code)


def known(given):
    """Return what a verb is given, with the id of a worker that is there now."""
    if given == ["WORKER"]:
        return [next(each["id"] for each in living() if each["role"] == "worker")]
    return given


def wait_for_nothing():
    def becomes(status=None):
        async def at_once(thing):
            thing.status = status or thing.status

        return at_once

    cluster.Scheduler.wait_for_scheduler = becomes()
    cluster.Cluster._start, cluster.Cluster._close = becomes(Status.running), becomes(Status.closed)
    for module in (launch, making, resume):
        if hasattr(module, "await_scheduler"):
            module.await_scheduler = lambda *_: ""
    launch.wait_for_workers = lambda *_: None
    reach.await_answer = lambda *_: True


def count_requests(kill_after, note):
    made = []

    def done(name):
        if name.startswith(("Describe", "Get")):
            return
        made.append(name)
        if note is not None:
            os.write(note, f"{name}\n".encode())
        if len(made) == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    call, call_async = (
        kind._make_api_call
        for kind in (botocore.client.BaseClient, aiobotocore.client.AioBaseClient)
    )

    def counted(self, name, given):
        answer = call(self, name, given)
        done(name)
        return answer

    async def counted_async(self, name, given):
        answer = await call_async(self, name, given)
        done(name)
        return answer

    botocore.client.BaseClient._make_api_call = counted
    aiobotocore.client.AioBaseClient._make_api_call = counted_async


# Every client would read the description of all that EC2 can do anew.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)
aws.client("ec2", REGION)
# Of this process alone: its connections are not those of its children.
EC2 = botocore.session.Session().create_client("ec2", region_name=REGION)


def living():
    """Return what lives of all instances: role, state, type, lifecycle."""
    found = []
    alive = {"Name": "instance-state-name", "Values": LIVE}
    for group in EC2.describe_instances(Filters=[alive])["Reservations"]:
        for each in group["Instances"]:
            tags = {tag["Key"]: tag["Value"] for tag in each.get("Tags", ())}
            about = {"id": each["InstanceId"], "role": tags["ess:role"]}
            about |= {"state": each["State"]["Name"], "type": each["InstanceType"]}
            found.append({**about, "life": each.get("InstanceLifecycle", "")})
    return found


def kinds():
    """Return how many instances of each role, state, type and lifecycle live."""
    return Counter(tuple(list(each.values())[1:]) for each in living())


def nothing_is_left():
    groups = EC2.describe_security_groups()["SecurityGroups"]
    left = [*living(), *EC2.describe_volumes()["Volumes"], *EC2.describe_key_pairs()["KeyPairs"]]
    left += [group["GroupName"] for group in groups if group["GroupName"] != "default"]
    assert not left, left
    assert not Path(os.environ["HOME"], ".ess", "clusters", "ess-anna").exists()


def forget_what_ended():
    """Have moto forget all: what has ended is looked through at each request."""
    ask = urllib.request.Request(f"{os.environ['AWS_ENDPOINT_URL']}/moto-api/reset", method="POST")
    with urllib.request.urlopen(ask, timeout=30):
        pass


def must(verb, env=None, note=None):
    status = command(verb, env, note=note)
    assert status == 0, (verb, status, Path("said").read_text())


def kill_each_time(before, verb, env):
    """Return the requests of a command, after each of which it was killed."""
    for each in before:
        must(each)
    here, there = os.pipe()
    must(verb, env, note=there)
    requests = os.read(here, 1 << 16).decode().split()
    expected = kinds()
    must(END)
    nothing_is_left()
    for number in range(1, len(requests) + 1):
        for again in (False, True) if not before or os.environ.get("ESS_STRESS") else (True,):
            for each in before:
                must(each)
            status = command(verb, env, kill_after=number)
            assert os.WIFSIGNALED(status), (verb, number, Path("said").read_text())
            if again:
                # The same command goes on where it was killed.
                must(verb, env)
                assert kinds() == expected, (verb, number, kinds(), expected)
                told = Path("said").read_text()
                assert verb[0] is not verbs.create or "end it with: ess cluster terminate" in told
            must(END)
            nothing_is_left()
            forget_what_ended()
    return requests


def warm_up():
    """Do once what every command would do anew: imports, descriptions, what is installed here."""
    prepare.pinned_requirements = functools.cache(prepare.pinned_requirements)
    with open(os.devnull, "w") as nowhere:
        for function, *given in ((verbs.create, TWO), STOP, (verbs.start,), END):
            function(*given, lambda text: print(text, file=nowhere))
    for service in ("ec2", "ssm"):
        # A connection of this process cannot be its children's.
        aws.client(service, REGION).close()


def main():
    wait_for_nothing()
    warm_up()
    print(json.dumps({name: kill_each_time(*case) for name, case in CASES.items()}))


if __name__ == "__main__":
    main()
