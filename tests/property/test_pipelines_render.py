"""Any pipeline that can be written loads again as itself."""

import re
import string

import jsonschema
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st
from ruamel.yaml import YAML

from ess_dask.documents.yaml import Scalar, load, quote
from ess_dask.errors import ConfigError
from ess_dask.pipelines.load import read_pipeline
from ess_dask.pipelines.model import Load, LoadHooks, Memory, Pipeline, Rejects, Source
from ess_dask.pipelines.render import draft_pipeline, render_pipeline
from ess_dask.pipelines.schema import json_schema
from ess_dask.pipelines.steps import CleanStep

any_text = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
filled = any_text.filter(str.strip)
texts = st.lists(filled, max_size=3).map(tuple)
some_texts = st.lists(filled, min_size=1, max_size=3).map(tuple)
words = st.sampled_from(
    [
        "no",
        "010",
        "12:30:45",
        "~",
        "null",
        "true",
        "*a",
        "&a",
        "!!x",
        "- a",
        "a: b",
        "${X}",
        "$$",
        "#",
        "%",
    ]
)
column_names = st.one_of(
    words,
    st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20),
).filter(lambda name: name.isprintable() and not name.lower().startswith("_ess_"))
types = st.sampled_from(
    [
        "string",
        "int8",
        "uint64",
        "float32",
        "decimal(10,2)",
        "boolean",
        "date",
        "timestamp",
        "timestamp[%d/%m/%Y %H:%M]",
        "timestamp[%Y-%m-%d, Europe/Berlin]",
        "binary",
    ]
)
columns = st.dictionaries(column_names, types, min_size=1, max_size=5).filter(
    lambda found: (
        len({name.lower() for name in found}) == len(found)
        and not {"file_date", "file_uri"} & set(found)
    )
)
sources = st.builds(
    Source,
    store=filled | words,
    category=filled | words,
    pattern=some_texts,
    columns=columns,
    exclude=texts,
    date=st.sampled_from(["auto", "none", "[:%Y:][:%m:][:%d:]"]),
    delimiter=st.characters(exclude_categories=("Cs",), exclude_characters='"\r\n'),
    header=st.booleans(),
    compression=st.sampled_from(["", "none", "gzip", "zstd"]),
    archive=any_text,
    encoding=st.sampled_from(["utf-8", "latin-1"]),
    extra_columns=st.sampled_from(["ignore", "fail"]),
    file_columns=st.sampled_from([(), ("file_date",), ("file_uri", "file_date")]),
)
timeouts = st.integers(0, 10**9).map(lambda number: number / 1000)
per = st.sampled_from(["batch", "file"])
shell_steps = st.builds(CleanStep, st.just("shell"), filled, st.just("batch"), timeouts)
row_steps = st.builds(CleanStep, st.just("sql"), filled, per, timeouts) | st.builds(
    CleanStep, st.just("python"), st.sampled_from(["m:f", "a.b:C.f"]), per
)
memories = st.builds(
    Memory,
    table=st.sampled_from(["wood.sales", "a-1.b_2"]),
    key=some_texts,
    sort=texts,
)
tables = st.text(
    st.characters(exclude_categories=("C", "Z"), exclude_characters="."), min_size=1, max_size=20
)
urls = st.just("") | any_text.map(lambda text: f"duckdb:///{text}")
statements = st.lists(
    st.sampled_from(['grant select on {table} to "a b"', "insert into a values ('x: ${Y}')"]),
    max_size=3,
).map(tuple)
loads = st.builds(
    Load,
    tables,
    urls,
    st.sampled_from(["append", "replace"]),
    st.just(()),
    st.sampled_from(["fail", "ignore"]),
    dist_style=st.sampled_from(["", "even", "all"]),
    sort_key=texts,
    hooks=st.builds(LoadHooks, statements, statements),
) | st.builds(Load, tables, urls, st.just("upsert"), some_texts)
settings = st.fixed_dictionaries(
    {},
    optional={
        "workers": st.integers(1, 1024).map(str).map(Scalar),
        "batch_bytes": st.just(Scalar("64MiB")),
        "runs_folder": any_text.map(Scalar),
    },
)
rejects = st.builds(Rejects, st.sampled_from(["5%", "0%", "10", "0.5%", "100%"]), st.booleans())


quick = how(max_examples=40, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def pipelines(draw):
    """A valid pipeline; one row step at least, so that keys may be any column it makes."""
    clean = (
        *draw(st.lists(shell_steps, max_size=2)),
        *draw(st.lists(row_steps, min_size=1, max_size=2)),
    )
    name = draw(st.text(string.ascii_letters + string.digits, min_size=1, max_size=20))
    return Pipeline(
        name=name,
        source=draw(sources),
        clean=clean,
        memory=draw(st.none() | memories),
        load=draw(st.none() | loads),
        rejects=draw(rejects),
        settings=draw(settings),
    )


@pytest.mark.slow
@quick
@given(pipelines())
def test_what_is_rendered_loads_as_it_was(pipeline):
    text = render_pipeline(pipeline)
    assert read_pipeline(text.encode(), "p.yaml", environment={}) == pipeline


validator = jsonschema.Draft202012Validator(json_schema())


@quick
@given(pipelines())
def test_what_is_rendered_obeys_the_schema(pipeline):
    document = YAML(typ="safe", pure=True).load(render_pipeline(pipeline))
    assert [error.message for error in validator.iter_errors(document)] == []


def test_a_number_that_is_a_text_is_quoted():
    source = Source("lake", "sales", ("*.csv",), columns={"id": "int64"})
    settings = {"workers": Scalar("2"), "runs_folder": Scalar("2014")}
    pipeline = Pipeline(name="sales", source=source, settings=settings)
    assert render_pipeline(pipeline).endswith('settings:\n  workers: 2\n  runs_folder: "2014"\n')


@quick
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_pipeline_or_a_clear_error(data):
    with pytest.raises(ConfigError) as caught:
        read_pipeline(data, "p.yaml", environment={})
    assert caught.value.message.startswith("p.yaml:")


@given(any_text)
def test_any_text_can_be_quoted(text):
    from ess_dask.documents.variables import expand

    document = expand(load(f"{quote(text, is_key=True)}: {quote(text)}\n".encode(), "p"), {})
    assert document == {text: Scalar(text)}


@quick
@given(columns)
def test_a_draft_loads_again(found):
    draft = draft_pipeline("my purchases", "./lake", "*.gz", found, delimiter="\t")
    text = render_pipeline(draft)
    assert read_pipeline(text.encode(), "p.yaml", environment={}) == draft
    assert draft.name == "my-purchases"
    assert draft.load.table == "my_purchases"


@pytest.mark.parametrize("name", ["a\nclean: [shell: rm -rf /]", "", "_ess_x", "a\x00"])
def test_a_draft_refuses_names_that_no_file_can_hold(name):
    with pytest.raises(ConfigError):
        draft_pipeline("c", ".", "*", {name: "string"})


@pytest.mark.slow
@quick
@given(columns)
def test_what_a_draft_suggests_can_be_uncommented(found):
    draft = draft_pipeline("my purchases", "./lake", "*.gz", found)
    lines = render_pipeline(draft).splitlines()
    text = "\n".join(re.sub("^# (?=clean:|  - sql|memory:)", "", line) for line in lines)
    pipeline = read_pipeline(text.encode(), "p.yaml", environment={})
    assert pipeline.memory.key == (next(iter(found)),)
    assert [step.kind for step in pipeline.clean] == ["sql"]


def test_a_draft_reads_well():
    text = render_pipeline(draft_pipeline("purchase", "./lake", "*.gz", {"userID": "string"}))
    assert "    userID: string\n" in text
    assert "# clean:" in text
    assert "# memory: {table: my.purchase" in text
