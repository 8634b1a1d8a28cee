"""``ess doctor`` from outside: what is wrong is found, named, and mended by what it says."""

import json
import re
import sqlite3
import threading
import time
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import create_server

import duckdb
import pytest

from ess_dask.testing.redshift import standin

PIPELINE = """\
name: shop
source: {store: lake, category: c, pattern: "*.csv", columns: {a: int32}}
load: {table: t}
"""
EMPTY = b"""<?xml version="1.0"?><ListBucketResult><Name>raw</Name><IsTruncated>false</IsTruncated>
</ListBucketResult>"""
KEYS = {"AWS_ACCESS_KEY_ID": "AKIACANARY0000000001", "AWS_SECRET_ACCESS_KEY": "canary/Secret0Worth"}


pytestmark = pytest.mark.slow


@pytest.fixture
def ask(user):
    """Give a function that asks the doctor and returns his checks by name."""
    user.env["AWS_EC2_METADATA_DISABLED"] = "true"

    def doctor(*args, code=0, env=None):
        done = user.ess("doctor", "--json", *args, code=code, env=env)
        answer = json.loads(done.stdout)
        assert answer["exit_code"] == code
        return {check["name"]: check for check in answer["checks"]}

    return doctor


@contextmanager
def fake_s3(status=200, body=EMPTY, skew=0.0, region="us-east-1"):
    """Give the address of a server that answers each question in the same way."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response_only(status)
            now = datetime.now(UTC) + timedelta(seconds=skew)
            self.send_header("Date", format_datetime(now, usegmt=True))
            self.send_header("x-amz-bucket-region", region)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def of_s3(endpoint):
    return KEYS | {"AWS_ENDPOINT_URL": endpoint, "AWS_DEFAULT_REGION": "us-east-1"}


def error(code):
    return f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()


def select(user):
    with fake_s3() as endpoint:
        user.ess("select", "s3://raw", env=of_s3(endpoint))


def outcomes(checks):
    return {name: check["outcome"] for name, check in checks.items()}


def test_a_new_user_is_well_and_nothing_is_made(ask, user):
    found = outcomes(ask())
    assert found.pop("pipeline") == "skipped"
    assert found.pop("credentials") == "skipped"
    assert found.pop("clock") == "skipped"
    assert found.pop("versions") in ("ok", "warn")
    assert set(found.values()) == {"ok"}
    assert list(user.folder.iterdir()) == []
    assert not (user.home / ".ess").exists()


def test_a_person_reads_what_to_do(user):
    done = user.ess("doctor", "--profile", "nowhere", code=3)
    assert "fail     settings" in done.stdout
    assert "-> known are" in done.stdout
    assert done.stderr == ""


def test_a_pipeline_is_looked_at(ask, user):
    (user.folder / "shop.yaml").write_text(PIPELINE)
    found = outcomes(ask("--pipeline", "shop.yaml", code=3))
    assert (found["pipeline"], found["store lake"]) == ("ok", "fail")
    (user.folder / "lake").mkdir()
    found = ask("--pipeline", "shop.yaml")
    assert found["store lake"]["found"] == str(user.folder / "lake")
    assert found["warehouse"]["found"].endswith("warehouse.duckdb is made by the first load")
    (user.folder / "shop.yaml").write_text(PIPELINE.replace("int32", "int23"))
    assert "shop.yaml:2:" in ask("--pipeline", "shop.yaml", code=3)["pipeline"]["found"]


def test_state(ask, user):
    user.ess("repository")
    path = user.home / ".ess" / "catalog.db"
    assert str(path) in ask()["state"]["found"]
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma user_version = 999")
    found = ask(code=3)["state"]
    assert "newer release (state 999" in found["found"]
    assert "install that release" in found["advice"]
    for more in path.parent.glob("catalog.db-*"):
        more.unlink()
    path.write_bytes(b"no database at all, but long enough to be looked at" * 99)
    assert "damaged" in ask(code=3)["state"]["found"]


def test_a_bucket_that_answers(ask, user):
    select(user)
    with fake_s3(region="eu-west-1") as endpoint:
        found = ask(env=of_s3(endpoint))
    assert found["credentials"]["found"] == "from the environment (AWS_ACCESS_KEY_ID)"
    assert found["store raw"]["outcome"] == "warn"
    assert "--region eu-west-1" in found["store raw"]["advice"]
    assert found["clock"]["outcome"] == "ok"
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in json.dumps(found)
    assert KEYS["AWS_ACCESS_KEY_ID"] not in json.dumps(found)


@pytest.mark.parametrize(
    ("status", "code", "exit_code", "said"),
    [
        (403, "AccessDenied", 3, "s3:ListBucket on bucket raw is not allowed"),
        (400, "ExpiredToken", 3, "the credentials were refused (ExpiredToken)"),
        (503, "SlowDown", 1, "S3 answered SlowDown"),
    ],
)
def test_a_bucket_that_refuses(ask, user, status, code, exit_code, said):
    select(user)
    with fake_s3(status, error(code)) as endpoint:
        found = ask(env=of_s3(endpoint), code=exit_code)
    assert said in found["store raw"]["found"]


def test_a_clock_that_is_wrong(ask, user):
    select(user)
    with fake_s3(403, error("RequestTimeTooSkewed"), skew=3600) as endpoint:
        found = ask(env=of_s3(endpoint), code=3)["clock"]
    assert found["outcome"] == "fail"
    assert "s behind S3 of raw; AWS refuses from 900 s on" in found["found"]
    with fake_s3(skew=-300) as endpoint:
        found = ask(env=of_s3(endpoint))["clock"]
    assert (found["outcome"], "s ahead of" in found["found"]) == ("warn", True)


def test_a_clock_that_was_set_back(ask, user):
    (user.folder / "lake").mkdir()
    (user.folder / "lake" / "a.csv").write_text("a\n1\n")
    (user.folder / "shop.yaml").write_text(PIPELINE)
    user.ess("run", "shop.yaml")
    assert ask()["clock"]["outcome"] == "skipped"
    with closing(sqlite3.connect(user.home / ".ess" / "catalog.db")) as connection:
        connection.execute("update runs set beat = beat + 7200")
        connection.commit()
    found = ask()["clock"]
    assert found["outcome"] == "warn"
    assert re.match(r"set back: the last run here was (71\d\d|7200) s later", found["found"])


def test_no_credentials(ask, user):
    select(user)
    with fake_s3() as endpoint:
        env = of_s3(endpoint) | dict.fromkeys(KEYS, "")
        found = ask(env=env, code=3)
    assert found["credentials"]["found"] == "no link of AWS's chain gives any"
    assert "AWS_PROFILE" in found["credentials"]["advice"]


def test_what_does_not_answer_is_not_waited_for(ask, user):
    select(user)
    with create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        url = f"redshift://u:p@127.0.0.1:{silent.getsockname()[1]}/d?ssl=false"
        started = time.monotonic()
        found = ask("--timeout", "2", "--warehouse", url, env=of_s3(endpoint), code=1)
        assert time.monotonic() - started < 7
    assert found["store raw"]["passing"]
    assert found["warehouse"]["passing"]


def test_a_duckdb_file(ask, user):
    path = user.folder / "warehouse.duckdb"
    with duckdb.connect(str(path)):
        found = ask("--warehouse", "duckdb:///warehouse.duckdb?lock_wait=0.1", code=1)["warehouse"]
        assert "is open in" in found["found"]
    assert "0 loads are recorded" in ask()["warehouse"]["found"]
    path.write_bytes(b"x" * 10_000)
    assert "cannot be read as a DuckDB file" in ask(code=3)["warehouse"]["found"]


def test_a_redshift_cluster(ask, user, tmp_path):
    with standin(tmp_path / "rs") as server:
        url = f"{server.url}&stage={server.stage}/x"
        found = ask("--warehouse", url, env=server.env)
        assert "answers, public may be written" in found["warehouse"]["found"]
        assert found["stage"]["outcome"] == "ok"
        assert found["clock"]["outcome"] == "ok"
        assert server.password not in json.dumps(found)
        wrong = url.replace(server.password, "Wrong-Canary-1")
        found = ask("--warehouse", wrong, env=server.env, code=3)
        assert "refused" in found["warehouse"]["found"]
        assert "Wrong-Canary-1" not in json.dumps(found)


def test_a_cluster(ask, user):
    user.ess("cluster", "set", "custom")
    found = ask()["cluster"]
    # What does not apply to this kind is no advice.
    assert (found["outcome"], "ess cluster start" in json.dumps(found)) == ("warn", False)
    user.ess("cluster", "set", "local")
    user.ess("udbd", "start")
    found = ask()["cluster"]
    assert found["outcome"] == "ok"
    assert "1 workers" in found["found"]
