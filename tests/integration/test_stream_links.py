"""Programs that read each other in one worker pass rows; the outcome is that of text."""

import gzip

import pytest

from tests.integration.test_stream_inside import BIN, in_processes

ROWS = 40_000
"""Enough for the way by columns."""


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    folder = tmp_path_factory.mktemp("linked")
    texts = ['"a ""b"""', '"x,y"', '"two\nlines"', "", "plain", '"cr\r\nlf"', "\xe4", " 7 "]
    for day in (1, 2):
        rows = "".join(
            f"{texts[n % (8 if n > ROWS // 2 else 3)]},{n * day},{n / 7},{-n}\n"
            for n in range(ROWS)
        )
        bad = "one,x,1,1\n" if day == 2 else ""
        (folder / f"r_2014090{day}.csv.gz").write_bytes(
            gzip.compress((rows + bad + rows).encode("latin-1"), 1)
        )
    return folder


@pytest.fixture
def linked(user, lake):
    user.ess("select", "local")
    spec = "S:t L:n F:x IS:m"
    user.ess("category", "add", "rows", f"{lake}/r_*.gz", "--noprobe", "--columnspec", spec)
    user.env["PATH"] = f"{BIN}:{user.env['PATH']}"
    return user


READ = "aq_pp -f,eok - -d %cols"


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        f"{READ} -o,notitle - | aq_pp -f - -d %cols -filt 'n % 3 == 0' -eval x 'x / 3' -c t n x m",
        f"{READ} -filt 'm < -5' -c x t n | aq_pp -f,+1 - -d F:x S:t X: -eval S:u 't + \"!\"'",
        f"{READ} -eval x 'n / (n - 5)' -o,notitle - | aq_pp -f,eok - -d %cols -c x n",
        f"{READ} -o,notitle - -c t | aq_pp -f - -d S:t -o -",
        f"{READ} -o,notitle - -c n t | aq_pp -f,+1 - -d L:n S:t -o -",
        f"{READ} -o,notitle - | aq_pp -f - -d %cols -eval L:r '$RowNum' -c r n",
        f"{READ} -o,notitle - | aq_pp -f - -d %cols -var L:s 0 -eval s 's + n' -c s | tail -1",
        f"{READ} -o,notitle - | aq_pp -f - -d %cols -if -filt 't == \"\"' -skip -endif -c t n",
        f"{READ} -o,notitle - | aq_pp -f,+3 - -d %cols -o,notitle - | aq_cnt -f - -d %cols -k k t",
        f"{READ} -o,notitle - | aq_pp -f - -d %cols -o,notitle - | aq_pp -f - -d %cols -c x",
        f"{READ} -o,notitle - -c n | aq_pp -f - -d S:n -c n",
        f"{READ} -o,notitle - -c n | aq_pp -f,eok=2 - -d I,n=1:n -c n",
        f"{READ} -o,notitle - -c t n | aq_pp -f,bz=256 - -d S:t L:n -c n",
        f"{READ} -o,notitle - | aq_pp -f - -d %cols -imp nosuch:table",
        f"{READ} -o,notitle - | aq_pp -f - -d %cols -c n | head -3",
    ],
)
def test_rows_are_what_text_would_be(linked, command):
    outcomes = []
    for way in (command, in_processes(command)):
        child = linked.start("stream", "rows", "*", "*", way)
        out, err = child.communicate(timeout=100)
        assert b"Traceback" not in err
        outcomes.append((child.returncode, out))
    assert outcomes[0] == outcomes[1]
