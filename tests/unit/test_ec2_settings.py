"""Which cluster is meant, from where it is reached, what is kept of it here, what it costs."""

import asyncio
import json
import os
import re
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest
from botocore.exceptions import ClientError

from ess_dask.cluster.ec2 import aws, owner, preload, prices, security_group, state
from ess_dask.cluster.ec2.find import here
from ess_dask.cluster.ec2.owner import login_name, owner_name, owner_of
from ess_dask.cluster.ec2.prepare import worker_names
from ess_dask.cluster.ec2.removal import chunks
from ess_dask.errors import ConfigError, LockedError
from ess_dask.settings import Settings


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith(("ESS_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "ada")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.chdir(tmp_path)
    aws.client.cache_clear()
    aws._session.cache_clear()
    yield tmp_path
    aws.client.cache_clear()
    aws._session.cache_clear()


def test_a_cluster_is_named_after_its_user_in_the_usual_region(monkeypatch):
    with pytest.raises(ConfigError, match="no AWS region is known"):
        here()
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert (here().name, here().owner, here().region) == ("ess-ada", "ada", "eu-west-1")
    state.remember("ess-ada", "us-west-2", "ada")
    assert here().region == "us-west-2"
    monkeypatch.setenv("ESS_REGION", "eu-north-1")
    assert here().region == "eu-north-1"
    monkeypatch.setenv("ESS_CLUSTER_NAME", "*")
    with pytest.raises(ConfigError, match="cannot name a cluster"):
        here()


def test_a_user_without_a_name_has_a_number(monkeypatch):
    def nobody(*_):
        raise KeyError("uid not found")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert login_name() == f"uid-{os.getuid()}"


ACCOUNT = "arn:aws:sts::123456789012"


def test_an_owner_is_who_calls_and_not_a_name_that_a_tool_made_up():
    anna = owner_of("arn:aws:iam::123456789012:user/team/anna")
    assert re.fullmatch(r"anna\.[0-9a-f]{8}", anna)
    assert anna != owner_of("arn:aws:iam::123456789012:user/other/anna")
    role = owner_of(f"{ACCOUNT}:assumed-role/Admin/botocore-session-1690000000")
    assert re.fullmatch(r"Admin\.[0-9a-f]{8}", role)
    assert role == owner_of(f"{ACCOUNT}:assumed-role/Admin/1690000001")
    person = owner_of(f"{ACCOUNT}:assumed-role/Admin/anna@shop.example")
    assert person.startswith("anna-shop.example.")
    assert person != owner_of(f"{ACCOUNT}:assumed-role/Other/anna@shop.example")


def test_the_caller_is_asked_for_once_a_key_and_the_login_name_stands_in(monkeypatch):
    asked = []

    class Sts:
        def get_caller_identity(self):
            asked.append(1)
            if len(asked) == 1:
                raise ClientError({"Error": {"Code": "AccessDenied"}}, "GetCallerIdentity")
            return {"Arn": "arn:aws:iam::123456789012:user/anna"}

    monkeypatch.setattr(owner, "hurried_client", lambda *_: Sts())
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert here().owner == "ada" and not asked
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    aws._session.cache_clear()
    assert here().owners == ["ada"]
    state.remember("ess-ada", "eu-west-1", "before")
    for _ in range(2):
        assert here().owners == [owner_name("eu-west-1"), "before", "ada"]
    assert len(asked) == 2
    assert "AKIA" not in (state.folder_of("x").parent / "callers.json").read_text()


def test_what_is_kept_is_only_ours_and_can_be_forgotten(home):
    state.remember("ess-ada", "us-west-2", "ada")
    assert state.folder_of("ess-ada").stat().st_mode & 0o777 == 0o700
    assert state.forget("ess-ada") is True
    assert state.forget("ess-ada") is False
    assert state.remembered_region("ess-ada") == ""


def test_one_command_at_a_time_changes_a_cluster():
    with state.changing("x"), pytest.raises(LockedError, match=f"process {os.getpid()}"):
        state.changing("x").__enter__()
    with state.changing("x"), state.changing("y"):
        pass


@pytest.mark.parametrize(
    ("text", "network"),
    [("203.0.113.7", "203.0.113.7/32"), ("10.20.0.0/16", "10.20.0.0/16")],
)
def test_an_address_that_is_said_is_taken(text, network):
    assert security_group.caller_network(Settings(my_address=text)) == network


@pytest.mark.parametrize("text", ["0.0.0.0/0", "0.0.0.0/1", "1.2.3", "10.1.2.3/8", "::1", "me"])
def test_nothing_is_opened_to_everybody(text):
    with pytest.raises(ConfigError):
        security_group.caller_network(Settings(my_address=text))


def test_the_address_of_this_machine_is_asked_of_nobody():
    network = security_group.caller_network(Settings(private=True, my_address="127.0.0.1"))
    assert network == "127.0.0.1/32"


def test_names_of_workers_go_on_and_never_repeat():
    names = worker_names(["w0002-aaaa", "w0011-bbbb", "other"], 3)
    assert [name[:6] for name in names] == ["w0012-", "w0013-", "w0014-"]
    assert len(set(names) | set(worker_names((), 300))) == 303


def test_one_request_names_at_most_a_thousand_machines():
    ids = [f"i-{number}" for number in range(2001)]
    assert [len(part) for part in chunks(ids)] == [1000, 1000, 1]
    assert chunks([]) == []


def test_prices_add_up_when_all_are_known():
    assert prices.total([0.2016, 0.2016, 0.05]) == "$0.45 per hour"
    assert prices.total([0.2016, None]) == prices.total([]) == ""


class Answering(BaseHTTPRequestHandler):
    """Answers as the price list and the metadata service do."""

    asked: list

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append({each["Field"]: each["Value"] for each in body["Filters"]})
        product = {"terms": {"OnDemand": {"a": {"priceDimensions": {"b": {"pricePerUnit": {
            "USD": "0.2016000000"}}}}}}}  # fmt: skip
        self.reply(json.dumps({"PriceList": [json.dumps(product)]}))

    def do_PUT(self):
        self.reply("token")

    def do_GET(self):
        self.asked.append(self.path)
        known = self.headers["X-aws-ec2-metadata-token"] == "token"
        self.reply("{}", 200 if known and len(self.asked) > 1 else 404)

    def reply(self, text, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def answering():
    handler = type("Handler", (Answering,), {"asked": []})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", handler.asked
        server.shutdown()
        thread.join()


def test_a_price_is_asked_once_a_week(monkeypatch, answering):
    url, asked = answering
    monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert prices.known_price("eu-west-1", "m7i.xlarge", False) is None
    assert prices.price("eu-west-1", "m7i.xlarge", False) == 0.2016
    assert prices.price("eu-west-1", "m7i.xlarge", False) == 0.2016
    assert len(asked) == 1
    assert (asked[0]["instanceType"], asked[0]["regionCode"]) == ("m7i.xlarge", "eu-west-1")
    assert prices.known_price("eu-west-1", "m7i.xlarge", False) == 0.2016


def test_whoever_may_not_ask_is_told_no_price(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert prices.price("eu-west-1", "m7i.xlarge", False) is None


def test_a_scheduler_is_not_idle_while_it_waits_for_its_first_worker():
    import asyncio

    class Scheduler:
        idle_since = 1.0
        workers: ClassVar = {}

    async def joins_later(scheduler):
        waiting = asyncio.create_task(preload.stay_awake(scheduler, 60))
        await asyncio.sleep(0.05)
        assert scheduler.idle_since is None and not waiting.done()
        scheduler.workers = {"tls://10.0.0.2:1": "w0001"}
        await asyncio.wait_for(waiting, 5)

    asyncio.run(joins_later(Scheduler()))
    # It does not wait for ever: a cluster without workers ends, too.
    asyncio.run(asyncio.wait_for(preload.stay_awake(Scheduler(), 0.0), 5))


@pytest.mark.slow
def test_a_scheduler_whose_workers_were_all_taken_ends_though_tables_wait(tmp_path):
    """Published data without a worker is queued work to Dask, which never counts as idle."""
    ended = asyncio.run(_alone_with_a_table(tmp_path))
    assert ended


async def _alone_with_a_table(folder):
    import dask
    from distributed import Client, Scheduler, Worker

    served = {"distributed.scheduler.idle-timeout": "1500 ms", "temporary-directory": str(folder)}
    with dask.config.set(served):
        async with Scheduler(
            port=0, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as scheduler:
            async with Worker(scheduler.address, nthreads=1, dashboard=False) as worker:
                preload.dask_setup(scheduler)
                async with Client(scheduler.address, asynchronous=True) as client:
                    held = client.submit(sum, (1, 2))
                    await held
                    await client.publish_dataset(held, name="table")
                await worker.close()
            assert scheduler.tasks
            with suppress(TimeoutError):
                await asyncio.wait_for(scheduler.finished(), 10)
            return scheduler.status.name == "closed"


def test_a_spot_notice_closes_the_worker_gracefully(monkeypatch, answering):
    """The second look finds the notice; the first one is answered with 404."""
    import asyncio

    monkeypatch.setattr(preload, "METADATA", answering[0])
    closed = []

    class Worker:
        async def close_gracefully(self, reason):
            closed.append(reason)

    asyncio.run(asyncio.wait_for(preload.watch(Worker(), 0.01), 10))
    assert closed == ["spot notice"]
    assert answering[1] == ["/meta-data/spot/instance-action"] * 2


def test_an_add_that_was_not_finished_is_that_of_the_same_wish_and_of_late():
    def begun(ago):
        adding = state.Adding("0a1b", "[2]", time.time() - ago)
        state.remember("ess-ada", "eu-west-1", "ada", adding=adding)

    begun(60)
    assert state.unfinished_add("ess-ada", "[2]", 90) == "0a1b"
    assert state.unfinished_add("ess-ada", "[3]", 90) == ""
    assert state.unfinished_add("other", "[2]", 90) == ""
    begun(120)
    assert state.unfinished_add("ess-ada", "[2]", 90) == ""
    # The clock was set back: who knows when it was.
    begun(-120)
    assert state.unfinished_add("ess-ada", "[2]", 90) == ""
    begun(0)
    state.remember("ess-ada", "eu-west-1", "ada")
    assert state.unfinished_add("ess-ada", "[2]", 90) == ""
