"""Cleaning steps that fail: file and row are named, the others are loaded, nothing hangs."""

import time

import pytest

MEMORY = pytest.param("memory: {table: wood.sales, key: userID}", marks=pytest.mark.slow)
BOTH = pytest.mark.parametrize("memory", ["", MEMORY], ids=["threads", "cluster"])
DROP_FREE = "  - sql: select * from records where price > 0"

RAISING = """
def careful(frame):
    for time in frame["purchaseDate"]:
        if (time.day, time.hour) == (5, 12):
            raise ValueError(f"no sales at noon: {time}")
    return frame
"""


@BOTH
def test_a_python_step_that_raises_names_file_and_line(shop, memory):
    import gzip

    (shop.folder / "steps.py").write_text(RAISING)
    shop.write(clean="  - python: steps:careful\n" + DROP_FREE, memory=memory)
    # All files in one batch: the others of it are not taken down.
    report = shop.run(code=3, env={"ESS_BATCH_BYTES": "1GiB"})
    ((uri, error),) = [(each["uri"], each["error"]) for each in report["failed"]]
    assert uri.endswith("purchase_20140905.csv.gz")
    with gzip.open(uri, "rt") as file:
        noon = next(n for n, line in enumerate(file, 1) if "T12:" in line)
    assert f"line {noon}" in error
    assert "ValueError: no sales at noon" in error
    assert "steps.py line 5" in error
    assert report["files"] == 15
    assert shop.rows("select count(distinct _ess_file) from sales") == [(15,)]
    (shop.folder / "steps.py").write_text("def careful(frame):\n    return frame\n")
    assert shop.run()["files"] == 1
    shop.check_complete(memory=bool(memory))


@BOTH
def test_a_command_that_fails_half_way_publishes_nothing_of_its_file(shop, memory):
    half = "  - shell: 'head -50; if grep -q 20140905; then echo broke >&2; exit 9; fi'\n"
    lake = shop.folder / "lake"
    lake.mkdir()
    for path in shop.lake.glob("purchase_*"):
        (lake / path.name).write_bytes(path.read_bytes())
    # The shell does not know the file's name: a line of its own tells it.
    import gzip

    marked = lake / "purchase_20140905.csv.gz"
    text = gzip.decompress(marked.read_bytes())
    marked.write_bytes(gzip.compress(text + b"20140905\n"))
    shop.write(clean=half + DROP_FREE, memory=memory, store=lake)
    report = shop.run("--set", "rejects.limit=100%", code=3)
    ((uri, error),) = [(each["uri"], each["error"]) for each in report["failed"]]
    assert uri == str(marked)
    assert "exit 9" in error
    assert "broke" in error
    assert shop.rows(f"select count(*) from sales where _ess_file = '{marked}'") == [(0,)]
    assert shop.rows(f"select count(*) from _ess_rejects where uri = '{marked}'") == [(0,)]
    assert report["files"] == 15


@BOTH
def test_a_step_that_hangs_is_ended_with_all_it_started(shop, memory):
    hangs = "  - shell: {command: 'sleep 300 & sleep 300; cat', timeout: 0.5}\n"
    shop.write(clean=hangs + DROP_FREE, memory=memory)
    started = time.monotonic()
    report = shop.run("--to", "2014-09-02", code=3)
    assert time.monotonic() - started < 60
    assert len(report["failed"]) == 2
    assert all("0.5" in each["error"] for each in report["failed"])
    assert not [each for each in shop.processes().values() if b"sleep 300" in each]
    assert not (shop.folder / "shop.duckdb").exists()


def test_a_step_that_ends_the_interpreter_is_an_error_like_any_other(shop):
    (shop.folder / "steps.py").write_text("def quit(frame):\n    raise SystemExit('enough')\n")
    shop.write(clean="  - python: steps:quit\n")
    report = shop.run("--to", "2014-09-01", code=3)
    assert "enough" in report["failed"][0]["error"]
    shop.check_nothing_left()
