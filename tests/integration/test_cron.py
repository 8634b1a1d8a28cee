"""The lines for cron, in the environment that it gives: silent when right, loud when wrong."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "cron.md"
PIPELINE = """\
name: shop
source: {store: ./lake, category: c, pattern: "c_*.csv", columns: {a: int32}}
clean: [shell: cat]
load: {to: "duckdb:///shop.duckdb", table: t}
"""


@pytest.fixture
def cron(tmp_path):
    """Give a function that runs the lines of the page which hold a text, as cron does."""
    home, folder = tmp_path / "home", tmp_path / "shop"
    (folder / "lake").mkdir(parents=True)
    home.mkdir()
    (folder / ".venv").symlink_to(Path(sys.prefix))
    (folder / "shop.yaml").write_text(PIPELINE)
    (folder / "nightly.env").write_text("export WAREHOUSE=duckdb:///shop.duckdb\n")
    commands = re.findall(r"^ *[*/\d]+ [*\d]+ \* \* \*  (.+)$", PAGE.read_text(), re.MULTILINE)

    def run(holds):
        (command,) = [each for each in commands if holds in each]
        command = command.replace("/srv/shop", str(folder)).replace("/var/log/ess", str(tmp_path))
        command = command.replace("/tmp/shop.err", str(tmp_path / "shop.err"))
        # What cron gives: see crontab(5).
        env = {"HOME": str(home), "LOGNAME": "ada", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}
        return subprocess.run(
            ["/bin/sh", "-c", command], cwd=home, env=env, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip

    run.folder = folder
    run.log = tmp_path / "shop.log"
    return run


def test_silent_when_right_and_loud_when_wrong(cron):
    (cron.folder / "lake" / "c_20140901.csv").write_text("a\n1\n2\n")
    for _ in range(2):
        done = cron("--wait 3600")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (cron.folder / "lake" / "c_20140902.csv").write_text("a\nx\n")
    done = cron("--wait 3600")
    assert done.returncode == 4
    assert done.stdout == ""
    assert "were rejected, more than the limit" in done.stderr
    assert "hint: see: ess rejects show" in done.stderr


def test_further_lines_of_the_page(cron):
    (cron.folder / "lake" / "c_20140901.csv").write_text("a\n1\n")
    for holds in ("nightly.env", "for n in 1 2 3", "/tmp/shop.err"):
        done = cron(holds)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), holds
    done = cron("--log-format json")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert cron.log.read_text().startswith("{")
    os.truncate(cron.folder / "shop.yaml", 20)
    done = cron("/tmp/shop.err")
    assert "shop.yaml:" in done.stdout
    assert cron("for n in 1 2 3").returncode == 2
