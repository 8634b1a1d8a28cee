"""The report of a run as a page: whole, harmless, readable, of bounded size."""

import json
import re
from html.parser import HTMLParser

import pyarrow.parquet as pq
import pytest

from ess_dask.engine.model import BatchResult, FileCount
from ess_dask.observe.batches import batch_line, read_batches
from ess_dask.observe.page import read_story, render_page
from ess_dask.records.rejects import build_rejects
from ess_dask.runs.model import RunEvent, State

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;"
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Reader(HTMLParser):
    """Reads a page strictly: every tag is closed in its turn; keeps tags and attributes."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), (tag, attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, name):
        return [attrs for tag, attrs in self.tags if tag == name]


def write_run(folder, batches=6, files=5, workers=2):
    (folder / "rejects").mkdir(parents=True)
    with (folder / "batches.ndjson").open("w") as target:
        for number in range(batches):
            target.write(batch_line(batch(number, files, workers)))
    rows = [
        (n, "refID", f"not an int32: '{EVIL[:20]}{n}'", EVIL.encode() + b"\xff") for n in range(9)
    ]
    rows += [(n, "", "too few fields", b"a,b") for n in range(9)]
    pq.write_table(
        build_rejects(f"/lake/{EVIL}.csv", rows), folder / "rejects" / "rejects-0.parquet"
    )


def batch(number, files, workers):
    counts = tuple(
        FileCount(
            f"/lake/{EVIL}-{number}-{each}.csv.gz", "e", 100, 90, 4, 6,
            error=f"truncated {EVIL}" if (number, each) == (1, 1) else "",
            size=1000 * (each + 1), seconds=0.01 * (number + each + 1),
        )
        for each in range(files)
    )  # fmt: skip
    return BatchResult(
        number,
        counts,
        steps=(
            (f"shell: {EVIL}", 100 * files, 96 * files),
            ("sql: select", 96 * files, 90 * files),
        ),
        worker=f"{EVIL}-{number % workers}",
        started=1795739944.0 + number * 0.1,
        seconds=0.15,
    )


def report(**more):
    return {
        "run_id": "20261127T003904-3216707d",
        "pipeline": "shop",
        "state": "failed files",
        "files": 29,
        "rows_read": 3000,
        "rows_loaded": 2700,
        "rows_rejected": 120,
        "rows_dropped": 180,
        "reasons": {f"refID: {EVIL}": 100, "too few fields": 20},
        "steps": [{"step": f"shell: {EVIL}", "rows_in": 3000, "rows_out": 2880}],
        "failed": [{"uri": EVIL, "error": EVIL}],
        "seconds": 1.5,
        "store": EVIL,
        "exit_code": 3,
    } | more


@pytest.fixture
def page(tmp_path):
    write_run(tmp_path)
    event = RunEvent("r", 0, 1795739944.0, State.RUNNING, EVIL, {EVIL: EVIL})
    return render_page(read_story(tmp_path, report(), [event]))


def test_it_needs_nothing_else_and_runs_nothing(page):
    reader = Reader(page)
    names = {tag for tag, _ in reader.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "image", "use", "a"}
    attributes = {name for _, attrs in reader.tags for name in attrs}
    assert not {name for name in attributes if name.startswith("on")}
    assert not attributes & {"src", "href", "xlink:href", "srcset", "data", "action"}
    assert not re.search(r"url\(|@import|https?://", page)
    (policy,) = [m for m in reader.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy["content"].startswith("default-src 'none'")


def test_what_rows_and_names_hold_is_text(page):
    assert "<script" not in page
    assert "<img" not in page
    told = "".join(Reader(page).texts)
    for part in ("<script>alert(1)</script>", "too few fields", f"/lake/{EVIL}.csv", "\\xff"):
        assert part in told


def test_who_cannot_see_the_drawings_is_told_them(page):
    reader = Reader(page)
    assert reader.all("html") == [{"lang": "en"}]
    assert len(reader.all("h1")) == 1
    ids = {attrs["id"] for _, attrs in reader.tags if "id" in attrs}
    drawings = reader.all("svg")
    assert len(drawings) == 4
    for drawing in drawings:
        assert drawing["role"] == "img"
        assert set(drawing["aria-labelledby"].split()) <= ids
    # The first table is names and values; the others have a caption and titles of columns.
    assert len(reader.all("caption")) == len(reader.all("table")) - 1 == 5
    assert all(th.get("scope") == "col" for th in reader.all("th") if "style" not in th)
    assert "prefers-color-scheme:dark" in page
    assert "@media print" in page


def test_each_reason_has_samples_and_the_account_is_there(page):
    told = Reader(page).texts
    assert "3,000" in told
    assert told.count("too few fields") == 1 + 3
    assert "Nothing of these is published" in told


@pytest.mark.parametrize("state", ["killed", "empty"])
def test_a_run_without_an_account_is_told_as_far_as_it_came(tmp_path, state):
    if state == "killed":
        write_run(tmp_path)
        with (tmp_path / "batches.ndjson").open("a") as target:
            target.write('{"number": 7, "worker": "w')
        (tmp_path / "rejects" / "rejects-1.parquet").write_bytes(b"PAR1 cut off")
    told = "".join(Reader(render_page(read_story(tmp_path, {}))).texts)
    assert "unfinished" in told
    assert ("Timeline by worker" in told) == (state == "killed")


def test_a_batch_comes_back_as_it_was_written(tmp_path):
    result = batch(3, 2, 1)
    (tmp_path / "batches.ndjson").write_text(batch_line(result))
    (back,) = read_batches(tmp_path)
    assert (back.number, back.worker, back.seconds) == (3, result.worker, 0.15)
    assert [(file.uri, file.size, file.rows_read) for file in back.files] == [
        (count.uri, count.size, 100) for count in result.counts
    ]
    assert back.steps == result.steps
    keys = {"number", "worker", "started", "seconds", "files", "steps", "reasons"}
    assert set(json.loads(batch_line(result))) == keys


@pytest.mark.parametrize(("batches", "files"), [(200, 100), (3000, 1)])
def test_the_page_does_not_grow_with_the_files(tmp_path, batches, files):
    write_run(tmp_path, batches, files, workers=40)
    failed = [{"uri": f"{n}", "error": "x" * 10_000} for n in range(20_000)]
    page = render_page(read_story(tmp_path, report(failed=failed)))
    shapes = sum(page.count(f"<{name} ") for name in ("rect", "circle", "line", "text"))
    assert shapes < 6000
    assert len(page) < 1_000_000
    assert "... and 19,900 more" in page
