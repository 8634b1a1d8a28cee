"""Pipeline files: what they mean, and what is said where when they are wrong."""

import pytest

from ess_dask.errors import ConfigError, UsageError
from ess_dask.pipelines.load import find_pipeline, load_pipeline, read_pipeline, shipped_pipelines
from ess_dask.pipelines.model import Rejects
from ess_dask.pipelines.prepare import target_of
from ess_dask.pipelines.steps import CleanStep, kinds, make_step
from ess_dask.settings import Settings
from ess_dask.warehouse.model import Hooks, TableLayout

GOOD = """\
name: shop
source:
  store: ./lake
  category: purchase
  pattern: "purchase_*.csv.gz"
  columns:
    day: timestamp
    userID: string
    articleID: int32
    price: decimal(10, 2)
clean:
  - sql: select * from records where price > 0
memory: {table: wood.sales, key: userID, sort: day}
load:
  to: duckdb:///w.duckdb
  table: sales
  mode: append
rejects: {limit: "5%"}
"""


def read(text, *overrides, **environment):
    return read_pipeline(text.encode(), "p.yaml", overrides, environment)


def refused(text, *overrides, **environment):
    with pytest.raises(UsageError) as caught:
        read(text, *overrides, **environment)
    assert caught.value.exit_code == 2
    return caught.value


def test_a_good_file():
    pipeline = read(GOOD)
    assert pipeline.source.pattern == ("purchase_*.csv.gz",)
    assert pipeline.clean == (CleanStep("sql", "select * from records where price > 0"),)
    assert pipeline.memory.key == ("userID",)
    assert (pipeline.load.to, pipeline.load.mode) == ("duckdb:///w.duckdb", "append")


def test_layout_and_hooks_of_a_load():
    more = "  dist_key: userID\n  sort_key: day\n  hooks:\n    inside: 'grant a to {table}'\n"
    pipeline = read(GOOD.replace("rejects:", f"{more}    after: [analyze, vacuum]\nrejects:"))
    target = target_of(pipeline, pipeline.load, Settings())
    assert target.layout == TableLayout("", "userID", ("day",))
    assert target.hooks == Hooks(("grant a to {table}",), ("analyze", "vacuum"))


@pytest.mark.parametrize("key", ["dist_key: dy", "sort_key: [day, dy]"])
def test_keys_of_the_layout_are_columns(key):
    text = GOOD.replace("clean:\n  - sql: select * from records where price > 0\n", "")
    error = refused(text.replace("mode: append", key))
    assert "load: 'dy' is not a column of the source" in error.message
    assert "'day'" in error.hint


def test_the_smallest_file():
    pipeline = read(
        'name: x\nsource: {store: ., category: c, pattern: "*", columns: {a: string}}\n'
    )
    assert (pipeline.clean, pipeline.memory, pipeline.load) == ((), None, None)
    assert pipeline.rejects == Rejects("5%", keep=True)


def test_words_that_look_like_other_things_stay_text():
    text = GOOD.replace("userID: string", "no: string\n    010: string\n    12:30:45: string")
    text = text.replace("key: userID", "key: no").replace("category: purchase", "category: 010")
    pipeline = read(text)
    assert list(pipeline.source.columns)[1:4] == ["no", "010", "12:30:45"]
    assert (pipeline.memory.key, pipeline.source.category) == (("no",), "010")


BAD = [
    # what to replace, by what, place, words of the message, words of the hint
    ("name: shop", "nmae: shop", "1:1", "unknown key 'nmae'", "did you mean 'name'?"),
    ("name: shop", "name: a shop", "1:7", "is not a pipeline name", "letters"),
    ("name: shop", "name: ../x", "1:7", "is not a pipeline name", "letters"),
    ("name: shop", "name:", "1:1", "nothing is written here", "write a value"),
    ("  store: ./lake\n", "", "3:3", "source.store: this key is missing", ""),
    ("  store: ./lake", "  store: ''", "3:10", "nothing is written", ""),
    ("category: purchase", "categroy: purchase", "4:3", "unknown key 'categroy'", "'category'"),
    ('"purchase_*.csv.gz"', "[]", "5:12", "must hold at least 1", ""),
    ('"purchase_*.csv.gz"', "{a: b}", "5:12", "source.pattern: must be a list", ""),
    ("day: timestamp", "day: datetim", "7:10", "unknown type 'datetim'", "timestamp"),
    ("day: timestamp", "day: [x]", "7:10", "must be one value, not a list", ""),
    ("decimal(10, 2)", "decimal(99, 2)", "10:12", "decimal(99, 2)", "precision"),
    ("userID: string", "_ess_load: string", "8:5", "reserved", "rename"),
    ("userID: string", "day: string", "8:5", "duplicate key 'day'", "7:5"),
    (
        "userID: string",
        "USERID: string\n    userID: string",
        "3:3",
        "differ only in case",
        "rename",
    ),
    ("  columns:", "  date: '[:%Y:'\n  columns:", "6:9", "date pattern", ""),
    ("  columns:", "  delimiter: ';;'\n  columns:", "6:14", "one character", "tab"),
    ("  columns:", "  delimiter: '\"'\n  columns:", "6:14", "one character", ""),
    ("  columns:", "  header: no\n  columns:", "6:11", "'no' is not a truth value", "write false"),
    ("  columns:", "  compression: rar\n  columns:", "6:16", "rar", "gzip"),
    ("  columns:", "  encoding: utf-9\n  columns:", "6:13", "unknown encoding", "latin-1"),
    ("  columns:", "  extra_columns: drop\n  columns:", "6:18", "not one of ignore, fail", ""),
    ("  columns:", "  file_columns: [file_dat]\n  columns:", "6:18", "not one of", "'file_date'"),
    ("  columns:", "  file_columns: [file_date, file_date]\n  columns:", "6:17", "twice", ""),
    ("  - sql: select", "  - sqll: select", "12:5", "unknown kind of step 'sqll'", "'sql'"),
    ("  - sql: select", "  - select", "12:5", "a step must be one of", "- sql:"),
    ("  - sql: select", "  - sql: a\n    shell: b", "12:5", "a step must be one of", "one entry"),
    (
        "  - sql: select * from records where price > 0",
        "  - sql: select sum(price) from records\n    per: file",
        "12:5",
        "a step must be one of",
        "write it as - sql: {query: ..., per: ...}",
    ),
    (
        "  - sql: select * from records where price > 0",
        "  - sql:",
        "12:5",
        "nothing is written",
        "",
    ),
    ("  - sql: select * from records where price > 0", "  - sql: '  '", "12:10", "nothing is", ""),
    ("  - sql: select * from records where price > 0", "  - sql: [a]", "12:10", "one text", ""),
    (
        "  - sql: select * from records where price > 0",
        "  - sql: {qury: x}",
        "12:11",
        "'qury'",
        "'query'",
    ),
    (
        "  - sql: select * from records where price > 0",
        "  - sql: {per: file}",
        "12:10",
        "needs 'query'",
        "",
    ),
    (
        "  - sql: select * from records where price > 0",
        "  - sql: {query: x, per: row}",
        "12:26",
        "not one of batch, file",
        "",
    ),
    (
        "  - sql: select * from records where price > 0",
        "  - python: {function: m:f, timeout: 3}",
        "12:29",
        "unknown key 'timeout' of a python step",
        "",
    ),
    (
        "  - sql: select * from records where price > 0",
        "  - shell: {command: cat, timeout: 12:30:45}",
        "12:36",
        "is not a duration",
        "90s",
    ),
    (
        "  - sql: select * from records where price > 0",
        "  - shell: {command: cat, per: file}",
        "12:27",
        "unknown key 'per' of a shell step",
        "",
    ),
    (
        "  - sql: select * from records where price > 0",
        "  - python: fix",
        "12:13",
        "does not name",
        "module:",
    ),
    (
        "  - sql: select * from records where price > 0",
        "  - python: a:b()",
        "12:13",
        "does not name",
        "",
    ),
    (
        "  - sql: select * from records where price > 0",
        "  - python: m:f\n  - shell: cat",
        "13:12",
        "cannot come after a python step",
        "front",
    ),
    ("  mode: append", "  dist_style: evn", "17:15", "not one of auto, even, all", "'even'"),
    ("  mode: append", "  dist_key: day\n  dist_style: all", "18:15", "exclude", "keep one"),
    ("  mode: append", "  hooks: [analyze]", "17:10", "must be a mapping", ""),
    ("  mode: append", "  hooks: {insid: x}", "17:11", "unknown key 'insid'", "'inside'"),
    ("  mode: append", "  hooks: {inside: commit}", "17:19", "COMMIT cannot be", "DELETE"),
    ("  mode: append", "  hooks: {after: [x, a; b]}", "17:22", "more than one", "a list"),
    ("wood.sales", "sales", "13:17", "names no database", "wood.sales"),
    ("wood.sales", "wood.a/b", "13:17", "'a/b' cannot be the name", ""),
    ("duckdb:///w.duckdb", "w.duckdb", "15:7", "not a warehouse URL", "duckdb:///"),
    ("table: sales", "table: a.b.c", "16:10", "is not a table name", "schema.table"),
    ("mode: append", "mode: apend", "17:9", "'apend' is not one of", "'append'"),
    ("mode: append", "mode: upsert", "17:9", "upsert needs a key", "add key"),
    ("mode: append", "key: userID", "17:8", "a key means nothing with mode append", "upsert"),
    ('limit: "5%"', "limit: 5 %", "18:18", "is no limit", '"5%"'),
    ('limit: "5%"', "limit: 101%", "18:18", "is no limit", ""),
    ('limit: "5%"', "limit: -1", "18:18", "is no limit", ""),
    ('rejects: {limit: "5%"}', "settings: {workers: x}", "18:21", "'x' is not a whole", "digits"),
    (
        'rejects: {limit: "5%"}',
        "settings: {worker: 1}",
        "18:12",
        "unknown key 'worker'",
        "'workers'",
    ),
    ('rejects: {limit: "5%"}', "settings: fast", "18:11", "must be a mapping", ""),
    ('rejects: {limit: "5%"}', "memroy: {}", "18:1", "unknown key 'memroy'", "'memory'"),
    ("./lake", "${NOT_SET}", "3:10", "the variable NOT_SET is not set", "export NOT_SET"),
    ("./lake", "!!python/name:os.system", "3:10", "!!python/name:os.system", ""),
    ("  store:", "\tstore:", "3:1", "a tab", "blanks"),
]


@pytest.mark.parametrize(("old", "new", "place", "message", "hint"), BAD)
def test_what_is_wrong_is_told_with_its_place(old, new, place, message, hint):
    assert old in GOOD
    error = refused(GOOD.replace(old, new, 1))
    lines = error.message.split("\n  ")
    assert any(line.startswith(f"p.yaml:{place}: ") and message in line for line in lines), lines
    assert hint in str(error)


def test_unknown_key_columns_when_no_step_makes_others():
    text = GOOD.replace("  - sql: select * from records where price > 0", "  - shell: cat")
    error = refused(text.replace("key: userID", "key: userId"))
    assert error.message == "p.yaml:13:9: memory: 'userId' is not a column of the source"
    assert error.hint == "did you mean 'userID'?"
    assert read(GOOD.replace("key: userID", "key: made_by_sql")).memory.key == ("made_by_sql",)


def test_a_file_column_can_be_a_key():
    text = GOOD.replace("  columns:", "  file_columns: file_date\n  columns:").replace(
        "sort: day", "sort: file_date"
    )
    assert read(text).memory.sort == ("file_date",)


def test_variables_fill_the_target_and_are_never_shown():
    text = GOOD.replace("duckdb:///w.duckdb", '"${WAREHOUSE:-duckdb:///w.duckdb}"')
    assert read(text).load.to == "duckdb:///w.duckdb"
    pipeline = read(text, WAREHOUSE="redshift://me:canary@host/db")
    assert pipeline.load.to.endswith("@host/db")
    assert "canary" not in repr(pipeline)
    assert "canary" not in str(refused(text, WAREHOUSE="canary"))
    table = GOOD.replace("wood.sales", '"${TABLE}"')
    assert "names no database" in str(refused(table, TABLE="x"))


def test_step_forms():
    text = GOOD.replace(
        "  - sql: select * from records where price > 0\n",
        """\
  - shell: grep -v '^#'
  - shell: {command: sort, timeout: 1m}
  - sql: {query: select 1 from records, per: file}
  - python: {function: "mod.sub:Class.fix", per: file}
""",
    )
    steps = read(text).clean
    assert [step.kind for step in steps] == ["shell", "shell", "sql", "python"]
    assert [step.value() for step in steps] == [
        "grep -v '^#'",
        {"command": "sort", "timeout": 60.0},
        {"query": "select 1 from records", "per": "file"},
        {"function": "mod.sub:Class.fix", "per": "file"},
    ]
    assert str(steps[1].place) == "p.yaml:13:22"


def test_steps_are_made_by_their_entry_points(tmp_path):
    assert {"shell", "sql", "python"} <= set(kinds())
    step = make_step(CleanStep("sql", "select * from records where a > 1"), tmp_path)
    assert step.per == "batch"
    with pytest.raises(ConfigError, match=r"^clean: unknown kind of step 'nope'"):
        make_step(CleanStep("nope", "x"), tmp_path)


def test_an_error_of_a_step_gets_the_steps_place(tmp_path):
    step = read(GOOD.replace("select * from records where", "selekt * from records where")).clean[0]
    with pytest.raises(ConfigError, match=r"^p\.yaml:12:10: "):
        make_step(step, tmp_path)


@pytest.mark.parametrize(
    ("limit", "rejected", "read_rows", "exceeded"),
    [
        ("5%", 5, 100, False),
        ("5%", 6, 100, True),
        ("0%", 0, 0, False),
        ("0%", 1, 100, True),
        ("0.1%", 1, 1000, False),
        ("0.1%", 2, 1000, True),
        ("100%", 9, 9, False),
        ("10", 10, 10, False),
        ("10", 11, 100000, True),
    ],
)
def test_reject_limit(limit, rejected, read_rows, exceeded):
    pipeline = read(GOOD.replace('"5%"', limit))
    assert pipeline.rejects.exceeded(rejected, read_rows) is exceeded


def test_what_readers_and_catalogue_are_told():
    text = GOOD.replace(
        "  columns:", '  exclude: "*_old*"\n  delimiter: ";"\n  header: false\n  columns:'
    )
    source = read(text).source
    spec = source.read_spec(Settings(chunk_bytes=5000))
    assert [column.name for column in spec.columns] == ["day", "userID", "articleID", "price"]
    assert (spec.delimiter, spec.header, spec.chunk_bytes) == (";", False, 5000)
    category = source.as_category()
    assert (category.patterns, category.exclude) == (("purchase_*.csv.gz",), ("*_old*",))


@pytest.mark.parametrize(
    ("override", "look", "value"),
    [
        ("load.mode=replace", lambda p: p.load.mode, "replace"),
        ("clean.0.sql=select 1 from records", lambda p: p.clean[0].text, "select 1 from records"),
        ("source.store=s3://x=y", lambda p: p.source.store, "s3://x=y"),
        ("source.header=false", lambda p: p.source.header, False),
        ("source.pattern=*_2014*.gz", lambda p: p.source.pattern, ("*_2014*.gz",)),
        ("source.exclude=[a, b]", lambda p: p.source.exclude, ("a", "b")),
        ("source.columns.extra=int8", lambda p: p.source.columns["extra"], "int8"),
        ("settings.workers=3", lambda p: p.settings["workers"].text, "3"),
        ("rejects.limit=10", lambda p: p.rejects.limit, "10"),
        ("source.category=010", lambda p: p.source.category, "010"),
        ("load={table: other}", lambda p: (p.load.table, p.load.to), ("other", "")),
        ("source.store=${X}", lambda p: p.source.store, "y"),
    ],
)
def test_overrides(override, look, value):
    assert look(read(GOOD, override, X="y")) == value


@pytest.mark.parametrize(
    ("override", "message", "hint"),
    [
        ("load.mdoe=replace", "--set load.mdoe: unknown key 'mdoe'", "did you mean 'mode'?"),
        ("laod.mode=replace", "--set laod.mode: unknown key 'laod'", "did you mean 'load'?"),
        ("clean.3.sql=x", "--set clean.3.sql: there is no entry '3'", "number 0"),
        ("clean.first.sql=x", "--set clean.first.sql: there is no entry 'first'", "number 0"),
        ("name.x=1", "--set name.x: 'x' leads into a single value, written at p.yaml:1:7", "whole"),
        ("load.mode", "--set load.mode: not of the form PATH=VALUE", "--set load.mode=replace"),
        ("=x", "--set =x: not of the form", ""),
        ("load..mode=x", "--set load..mode=x: not of the form", ""),
        ("load.mode=", "--set load.mode: load.mode: nothing is written here", ""),
        ("load.mode=[", "--set load.mode: ", ""),
        ("load.mode=!!python/name:os x", "--set load.mode: the tag", ""),
        ("load.mode=replacee", "--set load.mode: load.mode: 'replacee' is not one of", "'replace'"),
    ],
)
def test_bad_overrides(override, message, hint):
    error = refused(GOOD, override)
    assert error.message.startswith(message)
    assert hint in error.hint


def test_an_override_makes_an_unset_variable_needless():
    text = GOOD.replace("./lake", "${NOT_SET}")
    assert read(text, "source.store=here").source.store == "here"


def test_an_override_changes_one_place_even_of_shared_values():
    text = GOOD.replace("key: userID, sort: day}", "key: &k [userID], sort: *k}")
    memory = read(text, "memory.sort.0=day").memory
    assert (memory.key, memory.sort) == (("userID",), ("day",))


def test_overrides_apply_in_order():
    assert read(GOOD, "load.table=a", "load.table=b").load.table == "b"


def test_shipped_pipelines_are_found_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shipped_pipelines() == ("woodworking",)
    assert find_pipeline("woodworking") == find_pipeline("woodworking.yaml")
    (tmp_path / "woodworking.yaml").write_text(GOOD)
    assert load_pipeline(find_pipeline("woodworking.yaml")).name == "shop"


def test_a_missing_pipeline_lists_the_places(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        find_pipeline("woodwork")
    first, *places = [line.strip() for line in caught.value.message.splitlines()]
    assert first == "no pipeline 'woodwork'; searched, in order:"
    assert places[0] == "woodwork"
    assert places[1].endswith("shipped/woodwork.yaml")
    assert caught.value.hint == "did you mean 'woodworking'?"
    with pytest.raises(ConfigError, match=r"searched, in order:\s+x\.yaml\n"):
        find_pipeline("./x.yaml")


def test_an_unreadable_pipeline(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        load_pipeline(tmp_path / "no.yaml")
