"""``ess redshift``: register, list, sql, deregister, from outside, at a server that answers."""

import json
import os
import pty
import subprocess
import sys
import time

import botocore.session
import pytest

from ess_dask.testing.redshift import standin

CANARY = "Canary-5f3c"
VARIABLE = "ESS_REDSHIFT_PASSWORD"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with standin(tmp_path_factory.mktemp("redshift")) as running:
        client = botocore.session.Session().create_client(
            "redshift", region_name="us-east-1", endpoint_url=running.control_plane,
            aws_access_key_id=running.s3.access_key, aws_secret_access_key=running.s3.secret_key,
        )  # fmt: skip
        client.create_cluster(
            ClusterIdentifier="shop", NodeType="ra3.xlplus", MasterUsername="admin", DBName="dev",
            MasterUserPassword="Passw0rd1", ClusterType="single-node", Port=5439,
        )  # fmt: skip
        running.query("create table purchase (id int, name varchar(20), price decimal(8, 2))")
        running.query("insert into purchase values (1, 'saw', 12.50), (2, null, 0.10)")
        yield running


@pytest.fixture
def ada(user, server):
    """Give a user who may ask AWS, and knows no password."""
    user.env |= server.env
    server.faults.clear()
    return user


def place(server):
    return ["--host", server.host, "--port", server.port, "--option", "ssl=false"]


def register(ada, server, *more, **options):
    words = ("redshift", "register", "shop", server.database, server.user)
    return ada.ess(*words, *more, *place(server), **options)


@pytest.fixture
def registered(ada, server):
    """Give a user who registered the cluster, and has the password in the environment."""
    register(ada, server, "--no-verify")
    ada.env[VARIABLE] = server.password
    return ada


def files_of(user):
    return [path for path in user.home.rglob("*") if path.is_file()]


def test_a_password_on_the_command_line_is_taken_with_a_warning_and_not_kept(ada, server):
    done = register(ada, server, server.password)
    assert done.stdout == ""
    assert "warning: a password on the command line" in done.stderr
    assert f"registered shop: awsuser@127.0.0.1:{server.port}/dev" in done.stderr
    for way in (VARIABLE, "--password-stdin", "iam=true", "secret=NAME", "prompt"):
        assert way in done.stderr
    assert server.password not in done.stderr
    holding = [path for path in files_of(ada) if server.password.encode() in path.read_bytes()]
    assert holding == []
    refused = ada.ess("redshift", "sql", "select 1", code=3)
    assert "no password for awsuser@127.0.0.1" in refused.stderr


def test_a_wrong_password_registers_nothing(ada, server):
    done = register(ada, server, CANARY, code=3)
    assert "user or password was refused" in done.stderr
    assert "--no-verify" in done.stderr
    assert CANARY not in done.stderr
    assert ada.ess("redshift", "list", "--json").stdout == "[]\n"


def typed(user, *args, text):
    """Run ``ess`` with something on its standard input."""
    return subprocess.run(
        [sys.executable, "-m", "ess_dask.cli", *map(str, args)],
        cwd=user.folder, env=user.env, input=text, capture_output=True, text=True, timeout=100,
    )  # fmt: skip


def test_a_password_from_the_standard_input(ada, server):
    words = ["redshift", "register", "shop", "dev", "awsuser", "--password-stdin", *place(server)]
    done = typed(ada, *words, text=f"{server.password}\n")
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    done = typed(ada, "redshift", "sql", "select 1 as one", "--password-stdin", "--format", "csv",
                 text=server.password)  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "one\n1\n")
    done = typed(ada, "redshift", "sql", "select 1", "--password-stdin", text="")
    assert (done.returncode, done.stdout) == (2, "")


def test_a_password_from_a_prompt(ada, server):
    register(ada, server, "--no-verify")
    main, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "ess_dask.cli", "redshift", "sql", "select 7 as n", "--json"],
        cwd=ada.folder, env=ada.env, stdin=child, stderr=child, stdout=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    os.close(child)
    try:
        said = b""
        deadline = time.monotonic() + 30
        while b"Password of awsuser at shop: " not in said and time.monotonic() < deadline:
            said += os.read(main, 1000)
        os.write(main, f"{server.password}\n".encode())
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait(timeout=10)
        os.close(main)
    assert json.loads(out) == [{"n": 7}]
    assert server.password.encode() not in said


def test_the_listing(registered, server):
    done = registered.ess("redshift", "list", "--json")
    assert json.loads(done.stdout) == [
        {
            "current": "*", "label": "shop", "cluster": "shop", "host": "127.0.0.1",
            "port": server.port, "database": "dev", "user": "awsuser", "status": "available",
        }
    ]  # fmt: skip
    assert registered.ess("redshift", "status", "--json").stdout == done.stdout
    table = registered.ess("redshift", "list").stdout.splitlines()
    assert table[0].split() == [
        "current", "label", "cluster", "host", "port", "database", "user", "status"
    ]  # fmt: skip
    blind = registered.ess("redshift", "list", "--json", env={"AWS_ENDPOINT_URL": "http://[::1]:9"})
    assert json.loads(blind.stdout)[0]["status"] == "unknown"


def test_a_host_is_looked_up_by_the_control_plane(ada, server):
    done = ada.ess("redshift", "register", "shop", "dev", "etl", "--no-verify")
    assert "registered shop: etl@shop." in done.stderr
    (row,) = json.loads(ada.ess("redshift", "list", "--json").stdout)
    assert (row["host"].endswith("redshift.amazonaws.com"), row["port"]) == (True, 5439)
    done = ada.ess("redshift", "register", "nope", "dev", "etl", "--no-verify", code=2)
    assert "cluster 'nope' does not exist" in done.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--label", "a.b"], "no label"),
        (["--option", "stagge=s3://b"], "unknown option 'stagge'"),
        (["--option", "keys=perhaps"], "option 'keys'"),
        (["--option", "slices=2", "--option", "slices=4"], "option 'slices' stands twice"),
        (["--option", "cluster=other"], "option 'cluster' stands twice"),
        (["--region", "eu-west-1", "--option", "region=eu-west-2"], "'region' stands twice"),
        ([CANARY, "--password-stdin"], "given twice"),
    ],
)
def test_what_cannot_be_registered(args, message, ada, server):
    done = register(ada, server, *args, "--no-verify", code=2)
    assert message in done.stderr
    assert CANARY not in done.stderr
    assert ada.ess("redshift", "list", "--json").stdout == "[]\n"


def test_a_user_without_a_name_comes_from_a_secret_only(ada, server):
    words = ("redshift", "register", "shop", "dev", "", *place(server), "--no-verify")
    assert "the user is empty" in ada.ess(*words, code=2).stderr
    ada.ess(*words, "--option", "secret=prod/etl")


def test_labels(registered, server):
    register(registered, server, "--label", "second", "--option", "stage=s3://bkt/x")
    assert json.loads(registered.ess("redshift", "sql", "select 1 a", "--json").stdout) == [
        {"a": 1}
    ]
    rows = json.loads(registered.ess("redshift", "list", "--json").stdout)
    assert [(row["label"], row["current"]) for row in rows] == [("second", "*"), ("shop", "")]
    for named in (
        ["--label", "shop"],
        ["--url", "redshift://shop"],
        ["--url", "redshift://second"],
    ):
        registered.ess("redshift", "sql", "select 1", *named)
    done = registered.ess("redshift", "sql", "select 1", "--label", "third", code=2)
    assert "known are: second, shop" in done.stderr
    done = registered.ess("redshift", "sql", "select 1", "--label", "shop", "--url", "x", code=2)
    assert "two clusters" in done.stderr
    assert "forgot second" in registered.ess("redshift", "deregister").stderr
    assert "forgot shop" in registered.ess("redshift", "deregister", "shop").stderr
    registered.ess("redshift", "deregister", "shop", code=2)
    done = registered.ess("redshift", "sql", "select 1", code=2)
    assert "no Redshift cluster is chosen" in done.stderr


def test_the_setting_names_the_cluster(ada, server):
    url = f"redshift://awsuser@127.0.0.1:{server.port}/dev?ssl=false"
    env = {"ESS_WAREHOUSE": url, VARIABLE: server.password}
    done = ada.ess("redshift", "sql", "select 2 as n", "--format", "ndjson", env=env)
    assert done.stdout == '{"n": 2}\n'


def test_rows_are_printed_as_in_every_listing(registered):
    ask = "select id, name, price, price > 1 as dear from purchase order by id"
    form = {
        "csv": "id,name,price,dear\n1,saw,12.50,True\n2,,0.10,False\n",
        "ndjson": '{"id": 1, "name": "saw", "price": "12.50", "dear": true}\n'
        '{"id": 2, "name": null, "price": "0.10", "dear": false}\n',
    }
    for name, text in form.items():
        assert registered.ess("redshift", "sql", ask, "--format", name).stdout == text
    table = registered.ess("redshift", "sql", ask).stdout.splitlines()
    assert table[0].split() == ["id", "name", "price", "dear"]
    done = registered.ess("redshift", "sql", "select 1 a, 2 a, 3 a", "--json")
    assert json.loads(done.stdout) == [{"a": 1, "a_2": 2, "a_3": 3}]
    done = registered.ess("redshift", "sql", "select id from purchase where false", "--json")
    assert done.stdout == "[]\n"
    done = registered.ess("redshift", "sql", "select '50%' as a, name from purchase "
                          "where name like 's%'", "--format", "csv")  # fmt: skip
    assert done.stdout == "a,name\n50%,saw\n"


def test_statements_without_rows_print_nothing_and_are_done(registered, server):
    for statement in (
        "create table made (a int)", "insert into made values (1)", "update made set a = 2",
        "vacuum made",
    ):  # fmt: skip
        done = registered.ess("redshift", "sql", statement)
        assert (done.stdout, done.stderr) == ("", "")
    assert server.query("select a from made") == [(2,)]
    done = typed(registered, "redshift", "sql", "-", text="drop table made")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("statement", "code", "message"),
    [
        ("select * from nope", 3, 'relation "nope" does not exist (42P01)'),
        ("selec 1", 3, "(42601)"),
        ("  ", 2, "there is no statement"),
        (f"create user x password '{CANARY}' {CANARY}", 3, "42601"),
    ],
)
def test_what_the_server_refuses(statement, code, message, registered):
    done = registered.ess("redshift", "sql", statement, code=code)
    assert message in done.stderr
    assert done.stdout == ""
    assert f"'{CANARY}'" not in done.stderr


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        (("42501", "permission denied for relation purchase"), 3, "permission denied"),
        (("57014", "Query cancelled on user's request"), 75, "cancelled while it waited"),
        (("40001", "could not serialize"), 1, "another transaction"),
        (("57P01", "terminating connection"), 1, "try again"),
    ],
)
def test_the_exit_code_says_what_kind_of_error_it_was(fault, code, message, registered, server):
    server.faults.fail_matching("from purchase", *fault)
    done = registered.ess("redshift", "sql", "select id from purchase", code=code)
    assert message in done.stderr


def test_a_connection_that_is_cut_ends_with_1(registered, server):
    server.faults.cut_before_matching("from purchase")
    done = registered.ess("redshift", "sql", "select id from purchase", code=1)
    assert "BrokenPipe" in done.stderr or "reset" in done.stderr


def test_a_password_in_the_url_of_the_command_line_is_warned_of(ada, server):
    done = ada.ess("redshift", "sql", "select 1 as a", "--url", server.url, "--format", "csv")
    assert done.stdout == "a\n1\n"
    assert "warning: a password on the command line" in done.stderr
    assert server.password not in done.stderr
    bad = server.url.replace("ssl=", "sssl=")
    done = ada.ess("redshift", "sql", "select 1", "--url", bad, code=2)
    assert "unknown option 'sssl'" in done.stderr
    assert server.password not in done.stderr
