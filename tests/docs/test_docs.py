"""The pages are followed by a reader with an empty home: every command and every line of Python."""

import json
import os
import re
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.docs.pages import Reader, matches, read_blocks, usual

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    "README.md",
    "docs/tutorial.md",
    "docs/tutorial-essentia.md",
    "docs/reference/query.md",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs" / "how-to").glob("*.md")),
]
OTHER_PAGES = ["CONTRIBUTING.md", "CHANGELOG.md", *sorted(
    str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")
)]  # fmt: skip

STAND_INS = {"make demo\n": "ess demo\n"}
"""Commands that set up an environment first, and what they then do."""

ONLY_SHOWN = {
    "docs/how-to/cluster.md": [
        "export ESS_SHARED_FOLDERS=/mnt/lake",
        "ess run shop.yaml",
        'ess stream purchase 2014-09-01 2014-09-30 "./tag.sh | sort -u" --threads 4 '
        "--s3out lake:/tagged/%file.txt",
        'ess exec "df -h ."',
        "ess file push tag.sh words.csv",
        "ess file mkdir out",
        "ess file get out/log.txt",
    ],
    "README.md": [
        "make test",
        ". .venv/bin/activate",
        'pip install "ess-dask[redshift]"',
        'export ESS_REDSHIFT_PASSWORD="$(cat password-file)"',
        'export ESS_WAREHOUSE="redshift://etl@shop.abc123.eu-west-1.redshift.amazonaws.com:5439/dev'
        '?stage=s3://my-bucket/stage"',
        "ess plan woodworking",
        "ess run woodworking",
        "ess run woodworking",
        'ess redshift sql "select count(*) from sales"',
    ],
    "docs/how-to/docker.md": [
        "docker build -t ess-dask .",
        "docker run --rm ess-dask ess demo",
        'docker run --rm -v "$PWD:/work" -v ess-state:/home/ess/.ess ess-dask '
        "ess run woodworking.yaml",
        "docker build -t 123456789012.dkr.ecr.eu-west-1.amazonaws.com/ess-dask:today "
        "--build-arg PYTHON=3.11 .",
        "docker push 123456789012.dkr.ecr.eu-west-1.amazonaws.com/ess-dask:today",
        "export ESS_IMAGE=123456789012.dkr.ecr.eu-west-1.amazonaws.com/ess-dask:today",
        "ess cluster create --number 2",
    ],
    "docs/how-to/ec2.md": ['pip install "ess-dask[ec2]"'],
    "docs/how-to/ec2-standin.md": [
        "mkdir walk && cd walk",
        "ESS_CACHE_DIR=$PWD/state python -m ess_dask.testing.ec2 -- bash",
    ],
    "docs/how-to/redshift-connect.md": [
        'ess redshift sql "select current_user, version()"',
        'ess redshift sql "select * from sales limit 5" --label prod --format csv',
        "ess run woodworking --set load.to=redshift://prod",
        'export ESS_REDSHIFT_PASSWORD="$(cat password-file)"',
        'ess redshift sql "select 1" --label prod --password-stdin < password-file',
        'ess redshift sql "select 1" --url "redshift://etl@/dev'
        '?cluster=examplecluster&region=us-west-2&iam=true"',
        'ess redshift sql "select 1" --url "redshift:///dev?workgroup=default-workgroup"',
        'ess redshift sql "select 1" --url "redshift://?secret=prod/etl"',
    ],
}
"""Commands that are not run: the environment is there already and the tests are running, or they
ask a cluster that only its users have."""

NEEDS = {
    "s3": {"README.md", "docs/how-to/s3.md", "docs/how-to/redshift-connect.md"},
    "shed": {"docs/how-to/custom.md"},
    "ec2_permitted": {"docs/how-to/ec2-standin.md"},
}
"""Fixtures that pages need."""


NEEDS_EC2 = {"docs/how-to/ec2.md"}


PUT_LAKE = """
from pathlib import Path
import boto3
s3 = boto3.client("s3")
s3.create_bucket(Bucket="my-lake")
for path in Path({folder!r}).glob("purchase_*"):
    s3.upload_file(str(path), "my-lake", path.name)
"""


@pytest.fixture
def ec2(ec2_standin, small_lake):
    """Give the reader a stand-in for EC2, with the bucket ``my-lake``."""
    program = PUT_LAKE.format(folder=str(small_lake[0]))
    ec2_standin.run([sys.executable, "-c", program]).check_returncode()
    yield ec2_standin
    ec2_standin.reset()


@pytest.fixture
def s3(user, small_lake):
    """Give the reader an S3 server of his own, with the bucket ``my-lake``."""
    from ess_dask.testing.s3 import moto_s3

    with moto_s3() as server:
        client = server.client()
        client.create_bucket(Bucket="my-lake")
        for path in sorted(small_lake[0].glob("purchase_*")):
            client.put_object(Bucket="my-lake", Key=path.name, Body=path.read_bytes())
        user.env |= server.env
        yield server


@pytest.fixture
def shed(user, tmp_path):
    """Give the reader two hosts and a key; return what stands for them on the page."""
    from tests.ssh_hosts import USER, free_port, ssh_hosts

    with ssh_hosts(tmp_path / "hosts") as hosts:
        (user.home / ".ssh").mkdir()
        (user.home / ".ssh" / "shed").write_bytes(hosts.key.read_bytes())
        port = free_port("127.0.0.2")
        further = {"port": hosts.port, "python": sys.executable, "scheduler_port": port}
        user.standing_in = {
            "10.1.20.5": "127.0.0.2",
            "10.1.20.6": "127.0.0.3",
            ":8786": f":{port}",
            '"user": "ada",': f'"user": "{USER}", {json.dumps(further)[1:-1]},',
        }
        yield


def stand_in(user, block):
    """Put the reader's own hosts where the page shows others."""
    text, shown = STAND_INS.get(block.text, block.text), block.shown
    for theirs, own in getattr(user, "standing_in", {}).items():
        text = text.replace(theirs, own)
        shown = shown and shown.replace(theirs, own)
    return replace(block, text=text, shown=shown)


def end_started(user):
    """End what a page left running because it could not be followed to its end."""
    for noted in user.folder.glob("*.pid"):
        with suppress(ProcessLookupError):
            os.kill(int(noted.read_text()), signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES)
def test_a_reader_gets_what_the_page_shows(page, user, request):
    for fixture, pages in NEEDS.items():
        if page in pages:
            request.getfixturevalue(fixture)
    cloud = request.getfixturevalue("ec2") if page in NEEDS_EC2 else None
    try:
        with Reader(user, cloud) as reader:
            for block in read_blocks(ROOT / page):
                if block.is_run or block.file:
                    reader.follow(stand_in(user, block))
    finally:
        end_started(user)


@pytest.mark.parametrize("page", PAGES)
def test_only_listed_commands_are_not_run(page):
    shown = [
        line.partition("  #")[0].rstrip()
        for block in read_blocks(ROOT / page)
        if block.language in ("sh", "python") and not block.is_run
        for line in block.text.splitlines()
    ]
    assert shown == ONLY_SHOWN.get(page, [])


@pytest.mark.parametrize("page", OTHER_PAGES)
def test_pages_that_nobody_follows_hold_no_commands(page):
    if page not in PAGES:
        languages = {block.language for block in read_blocks(ROOT / page) if block.is_run}
        assert languages == set()


@pytest.mark.parametrize("page", sorted({*PAGES, *OTHER_PAGES}))
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text) + re.findall(r'src="([^":]+)"', text)
    missing = [name for name in targets if not ((ROOT / page).parent / name).exists()]
    assert missing == []


@pytest.mark.parametrize("page", sorted({*PAGES, *OTHER_PAGES}))
def test_every_fence_is_closed_and_has_a_language(page):
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    fences = [line for line in lines if line.startswith("```")]
    assert all(line == "```" for line in fences[1::2])
    assert all(re.match(r"```\w", line) for line in fences[::2])
    assert len(fences) % 2 == 0


def test_a_page_is_read_as_blocks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# Title\n\n```sh\necho 1\n```\n\n```text\n1\n```\n\nProse.\n\n```text\nalone\n```\n"
        "```yaml\n# a/b.yaml\nx: 1\n```\n```sh no-run\ngit clone\n```\n"
    )
    ran, alone, file, shown = read_blocks(page)
    assert (ran.text, ran.shown, ran.line, ran.is_run) == ("echo 1\n", "1\n", 3, True)
    assert (alone.language, alone.is_run) == ("text", False)
    assert (file.file, file.is_run) == ("a/b.yaml", False)
    assert (shown.is_run, shown.marks) == (False, "no-run")


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a\nb", "a\nb", True),
        ("a\n...\nd", "a\nb\nc\nd", True),
        ("a\n...\nd", "a\nd", True),
        ("a ... c", "a b c", True),
        ("a ... c", "a\nc", False),
        ("...", "", True),
        ("a", "a\nb", False),
        ("a.c", "abc", False),
        ("...\nlast", "first\nlast\nmore", False),
    ],
)
def test_dots_stand_for_anything(shown, printed, same):
    assert matches(shown, printed) is same


def test_what_changes_from_run_to_run_is_not_compared():
    printed = "done in 1.5 s, 1,204 rows/s (run 20261122T121549-cbc56615) in /tmp/x/home/.ess  \n"
    shown = "done in 23.2 s, 98 rows/s (run 20250102T030405-00000000) in /home/ada/.ess\n"
    assert usual(printed, "/tmp/x/home") == usual(shown, "/home/ada")


def test_a_reader_who_gets_something_else_says_where(user, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```sh\necho 1\n```\n```text\n2\n```\n```sh\nfalse\n```\n")
    wrong, failing = read_blocks(page)
    with Reader(user) as reader:
        with pytest.raises(AssertionError, match=r"page\.md:1 printed"):
            reader.follow(wrong)
        with pytest.raises(AssertionError, match="ended with 1"):
            reader.follow(failing)


def test_a_readers_shell_and_python_go_on_from_block_to_block(user, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "```python\n# mine.py\ntwo = 2\n```\n"
        "```sh\nexport WORD='a b'\n```\n```sh\necho $WORD\n```\n```text\na b\n```\n"
        "```python\nimport mine\nx = mine.two\n```\n```python\nx + 1\n```\n```text\n3\n```\n"
    )
    with Reader(user) as reader:
        for block in read_blocks(page):
            reader.follow(block)
