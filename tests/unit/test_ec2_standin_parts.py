"""The parts of the EC2 stand-in that need no namespace: what is read, and what is answered."""

import json
import re
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from ess_dask.testing.ec2.faults import Faults
from ess_dask.testing.ec2.guest import cloud_init, docker, pip, unit_file
from ess_dask.testing.ec2.requests import Refusal, Request, read_request, worded

MINOR = "{}.{}".format(*sys.version_info)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5", 5),
        ("500ms", 0.5),
        ("1min 30s", 90),
        ("2h", 7200),
        ("1.5 s", 1.5),
        ("infinity", unit_file.FOREVER),
    ],
)
def test_time_spans(text, seconds):
    assert unit_file.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "5 parsecs", "-3"])
def test_what_is_no_time_span_is_refused(text):
    with pytest.raises((ValueError, KeyError)):
        unit_file.seconds(text)


UNIT = r"""
# a comment
[Unit]
StartLimitBurst=3

[Service]
Environment=A=1 "B=two words"
Environment=C=%n
ExecStartPre=-/bin/rm -f /run/x
ExecStart=/usr/bin/docker run \
    --name x image ${A} $B '$$HOME'
ExecStop=/bin/one
ExecStop=
ExecStop=/bin/two
Nice=5
"""


def test_a_unit_file_is_read_as_systemd_reads_it():
    unit = unit_file.parse("web.service", UNIT)
    assert unit.environment() == {"A": "1", "B": "two words", "C": "web.service"}
    (before,) = unit.commands("ExecStartPre")
    assert before.may_fail and before.words == ("/bin/rm", "-f", "/run/x")
    (start,) = unit.commands("ExecStart")
    words = unit_file.expanded(start, unit.environment())
    assert words == [
        *("/usr/bin/docker", "run", "--name", "x", "image", "1", "two", "words", "$HOME"),
    ]
    assert [command.words for command in unit.commands("ExecStop")] == [("/bin/two",)]
    assert unit.unknown() == ["Service.Nice"]
    assert unit.limit("StartLimitBurst", "5") == "3"
    assert unit.text("Restart", "no") == "no"


def test_an_environment_file_may_be_absent_only_if_it_says_so(tmp_path):
    file = tmp_path / "env"
    file.write_text('# no\nA=plain\nB="two words"\n')
    text = f"[Service]\nEnvironmentFile={file}\nEnvironmentFile=-{tmp_path}/absent\n"
    assert unit_file.parse("x.service", text).environment() == {"A": "plain", "B": "two words"}
    with pytest.raises(FileNotFoundError):
        unit_file.parse("x.service", text.replace("=-", "=")).environment()


def test_files_of_a_cloud_config_are_written_as_asked(tmp_path):
    import base64
    import gzip

    packed = base64.b64encode(gzip.compress(b"packed")).decode()
    for file in [
        {"path": f"{tmp_path}/deep/plain", "content": "one\n"},
        {"path": f"{tmp_path}/deep/plain", "content": "two\n", "append": True},
        {"path": f"{tmp_path}/packed", "content": packed, "encoding": "gz+b64"},
        {"path": f"{tmp_path}/octal", "content": "", "permissions": "0600"},
    ]:
        cloud_init._write(file)
    assert (tmp_path / "deep/plain").read_text() == "one\ntwo\n"
    assert (tmp_path / "packed").read_bytes() == b"packed"
    assert (tmp_path / "octal").stat().st_mode & 0o777 == 0o600
    assert cloud_init._parsed(b"#cloud-config\nx: 0644\ny: yes\n") == {"x": 0o644, "y": True}


def test_docker_run_is_parsed_and_what_is_not_simulated_is_refused():
    words = "--rm --net=host --name x -e A=1 -e B=2 -v /a:/b:ro --log-opt max-size=1m ours cmd -x"
    options = docker.parse(words.split())
    assert (options.image, options.command) == ("ours", ["cmd", "-x"])
    assert options.all("-e", "--env") == ["A=1", "B=2"]
    for refused, reason in [
        ("ours", "--net=host only"),
        ("--net=host --restart always ours", "--restart"),
        ("--net=host --frobnicate ours", "--frobnicate"),
        ("--net=host", "requires at least 1 argument"),
        ("--net=host python:3.7-slim", f"Python {MINOR} only"),
        ("--net=host python", f"ask for python:{MINOR}-slim"),
        ("--net=host python:3.110", "cannot run python:3.110"),
    ]:
        with pytest.raises(docker.DockerError, match=re.escape(reason)):
            docker.parse(refused.split())


@pytest.fixture
def index():
    return pip._Index([path for path in sys.path if Path(path).name == "site-packages"])


def test_pip_takes_what_is_here_in_its_version_with_what_it_needs(index):
    def names(*texts, alone=False):
        return {of.metadata["Name"].lower() for of in index.resolve([*texts], alone=alone)}

    here = version("s3fs")
    assert names(f"s3fs=={here}", alone=True) == {"s3fs"}
    assert {"s3fs", "fsspec", "aiohttp"} <= names(f"S3FS=={here}")
    assert names("s3fs ; python_version < '3'") == set()
    for absent in ("s3fs==0.0.1", "no-such-thing", "ess-dask", "ess_dask"):
        with pytest.raises(pip.PipError, match="No matching distribution"):
            names(absent)


def test_requirements_lose_hashes_and_comments(tmp_path):
    file = tmp_path / "r.txt"
    file.write_text("# x\na==1 \\\n  --hash=sha256:00 \\\n  --hash=sha256:1\n--pre\nb>2  # y\n")
    assert pip._requirements(file) == ["a==1", "b>2"]


def test_a_fault_is_met_as_often_as_asked():
    faults = Faults()
    faults.fail("RunInstances", "InsufficientInstanceCapacity", times=2)
    faults.fail("RunInstances", "Own", "of my own", times=-1)
    request = Request("ec2", "us-east-1", "key", "RunInstances", {"InstanceType": "c5.large"})
    first, second, third, fourth = (faults.meet(request) for _ in range(4))
    assert first == second and "c5.large" in first.message and first.status == 500
    assert third == fourth == Refusal("Own", "of my own")
    assert faults.meet(Request("ec2", "us-east-1", "key", "StopInstances")) is None
    faults.clear()
    assert faults.meet(request) is None


def test_requests_are_read_whatever_the_protocol():
    import io

    scope = "AWS4-HMAC-SHA256 Credential=AKIA1/20260101/eu-west-1/{}/aws4_request, Signature=x"
    body = b"Action=StopInstances&InstanceId.2=i-2&InstanceId.1=i-1&Force="
    form = {
        "HTTP_AUTHORIZATION": scope.format("ec2"),
        "CONTENT_TYPE": "application/x-www-form-urlencoded; charset=utf-8",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    asked = read_request(form)
    assert (asked.service, asked.region, asked.access_key) == ("ec2", "eu-west-1", "AKIA1")
    assert (asked.action, asked.listed("InstanceId")) == ("StopInstances", ["i-1", "i-2"])
    assert form["wsgi.input"].read() == body
    of_ssm = {"HTTP_AUTHORIZATION": scope.format("ssm"), "HTTP_X_AMZ_TARGET": "SSM.GetParameter"}
    assert read_request(of_ssm).action == "GetParameter"


def test_refusals_are_worded_in_the_protocol_of_the_service():
    refusal = Refusal("Code", "a < b")
    for service in ("ec2", "sts", "s3"):
        kind, body = worded(refusal, service)
        assert kind == "text/xml"
        assert b"<Code>Code</Code><Message>a &lt; b</Message>" in body
    assert json.loads(worded(refusal, "ssm")[1]) == {"__type": "Code", "message": "a < b"}
