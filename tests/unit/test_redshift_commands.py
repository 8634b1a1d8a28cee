"""What the commands on Redshift's tables say and read, without a cluster."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ess_dask.api.redshift_stream import TableStream
from ess_dask.errors import ConfigError, UsageError
from ess_dask.records.columnspec import parse_columnspec
from ess_dask.records.spec import Column, DataType, ReadSpec
from ess_dask.testing.redshift.tokens import significant, tokenize
from ess_dask.warehouse.model import TableLayout
from ess_dask.warehouse.quote import TableName
from ess_dask.warehouse.redshift.copy import Authorization, Unload
from ess_dask.warehouse.redshift.copy_options import CopyOptions, parse_copy_options
from ess_dask.warehouse.redshift.ddl import RedshiftDialect
from ess_dask.warehouse.redshift.gentable import (
    longest_texts,
    parse_keys,
    table_columns,
    table_ddl,
)
from ess_dask.warehouse.redshift.unload import as_query, spec_letters
from ess_dask.warehouse.redshift.url import parse_url, with_secret
from ess_dask.warehouse.schema import TableState, plan_ddl

ROLE = Authorization(role="default")
ID, TEXT = Column("id", DataType("int32")), DataType("string")
FILE = Column("_ess_file", TEXT)

texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=40)


@given(texts)
def test_a_query_stays_one_literal(text):
    tokens = significant(tokenize(Unload(text, "s3://b/p", ROLE).sql()))
    assert [token.kind for token in tokens[:4]] == ["word", "sign", "string", "sign"]
    assert tokens[2].value == text
    assert [token.upper for token in tokens[3:5]] == [")", "TO"]


def test_what_an_unload_says():
    csv = Unload("select 1", "s3://b/it's", ROLE, format="csv", header=True, overwrite=True)
    assert csv.sql() == (
        "UNLOAD ('select 1') TO 's3://b/it''s' IAM_ROLE default FORMAT AS CSV GZIP HEADER "
        "ALLOWOVERWRITE MANIFEST VERBOSE"
    )
    assert "HEADER" not in Unload("select 1", "s3://b/p", ROLE, header=True).sql()
    for bad in ("s3://b/\\", "s3://b/\n", "s3://b/\0"):
        with pytest.raises(ConfigError):
            Unload("select 1", bad, ROLE).sql()
    with pytest.raises(ConfigError):
        Unload("select \0", "s3://b/p", ROLE).sql()


def test_keys_are_not_shown():
    keys = Authorization(access_key="AKIAX", secret_key="very-secret", token="a-token")
    shown = Unload("select 1", "s3://b/p", keys).shown()
    assert not any(text in shown for text in ("AKIAX", "very-secret", "a-token"))
    assert "very-secret" not in repr(Unload("select 1", "s3://b/p", keys))


@pytest.mark.parametrize(
    "text",
    [
        "select 1",
        "  SELECT\n1;  \n",
        "with a as (select 1) select * from a",
        "(select 1)",
        "-- a\n/* b; */ select 1",
    ],
)
def test_what_begins_like_a_query_is_one(text):
    assert as_query(None, text, "public") == text.strip().rstrip("; \n")


@pytest.mark.parametrize(
    ("query", "limited"),
    [
        ("select a from t order by a LIMIT 5", True),
        ("with t as (select 1) select * from t limit 5 -- five", True),
        ("(select 1 limit 1)", True),
        ("select top 3 a from t", True),
        ("select a from t offset 2", True),
        ("select a from (select 1 limit 5) t where a in (select 2 limit 1)", False),
        ("select \"limit\", 'limit 5' from t /* limit 5 */", False),
        ("select 'open", False),
    ],
)
def test_an_outer_limit_becomes_an_inner_one(query, limited):
    wanted = f"SELECT * FROM ({query}\n) AS limited" if limited else query
    assert as_query(None, f"{query}; ", "public") == wanted


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ((), CopyOptions()),
        (("DELIMITER", "|"), CopyOptions("|")),
        (("delimiter as '|' ignoreheader as 1",), CopyOptions("|", header=True)),
        (("DELIMITER ' '",), CopyOptions(" ")),
        (("DELIMITER", " "), CopyOptions(" ")),
        (("DELIMITER '\\t'", "MAXERROR 10"), CopyOptions("\t", max_errors=10)),
        (("FORMAT AS CSV QUOTE AS '\"' NULL AS ''",), CopyOptions()),
        (("csv", "IGNOREHEADER", "0", "DATEFORMAT 'auto' TIMEFORMAT auto"), CopyOptions()),
    ],
)
def test_copy_options_with_a_meaning(words, wanted):
    assert parse_copy_options(words) == wanted


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("GZIP",), "GZIP has no meaning"),
        (("CSV", "TRUNCATECOLUMNS"), "TRUNCATECOLUMNS has no meaning"),
        (("FORMAT PARQUET",), "PARQUET has no meaning"),
        (("FORMAT",), "FORMAT has no value"),
        (("DELIMITER",), "DELIMITER has no value"),
        (("DELIMITER AS",), "DELIMITER has no value"),
        (("DELIMITER '||'",), "not one character"),
        (("IGNOREHEADER 2",), "IGNOREHEADER 2"),
        (("IGNOREHEADER x",), "IGNOREHEADER x"),
        (("MAXERROR -1",), "MAXERROR -1"),
        (("MAXERROR 100001",), "MAXERROR 100001"),
        (("NULL AS 'N'",), "NULL can only be ''"),
        (("DATEFORMAT 'YYYY'",), "DATEFORMAT can only be 'auto'"),
        (("DELIMITER '",), "not closed"),
        (("IAM_ROLE 'arn:aws:x'",), "IAM_ROLE has no meaning"),
    ],
)
def test_other_copy_options_are_refused_by_name(words, said):
    with pytest.raises(UsageError) as caught:
        parse_copy_options(words)
    assert said in caught.value.message


@pytest.mark.parametrize("name", ["n" * 128, "ż" * 64, "a\nb", "name "])
def test_names_that_redshift_cannot_have(name):
    there = TableState(TableName("public", "t"), True, (ID, Column("_ess_load", TEXT), FILE))
    for state, columns in (
        (TableState(TableName("public", name), True), (ID,)),
        (TableState(TableName(name, "t"), False), (ID,)),
        (TableState(TableName("public", "t"), True), (ID, replace(ID, name=name))),
        (there, (ID, replace(ID, name=name))),
    ):
        with pytest.raises(ConfigError, match="cannot have the name"):
            plan_ddl(state, columns, RedshiftDialect())


def test_keys_of_a_table():
    keys = ("id = distkey", " name=SORTKEY ", '"a = ""b" = sortkey')
    assert parse_keys(keys) == TableLayout("", "id", ("name", 'a = "b'))
    assert parse_keys(()) == TableLayout()
    for bad in ("id", "id = primary", "= distkey", "id = distkey x"):
        with pytest.raises(UsageError, match="no key of a table"):
            parse_keys((bad,))


def test_lengths_follow_the_sample():
    columns = parse_columnspec("S:a X:b S:c IS:d IP:e")
    read = ReadSpec(columns=columns, header=True, by_position=True)
    sample = f'a,b,c,d,e\n"{"é" * 150}",x,y,1,10.0.0.1\nshort\n'.encode()
    longest = longest_texts(sample, read)
    assert longest == [300, 1, 1, 1, 8]
    (ddl,) = table_ddl("t", table_columns(columns, longest), TableLayout(), "public")
    assert '"a" VARCHAR(512), "c" VARCHAR(256), "d" INTEGER, "e" VARCHAR(256)' in ddl
    assert '"b"' not in ddl
    (ddl,) = table_ddl("t", table_columns(columns, []), TableLayout(), "public")
    assert '"a" VARCHAR(256)' in ddl


def test_letters_of_a_category_from_a_query():
    types = {
        "int16": "IS", "int32": "IS", "int64": "LS", "float32": "F", "float64": "F",
        "boolean": "S", "date": "S", "timestamp": "S", "string": "S", "super": "S",
    }  # fmt: skip
    assert spec_letters([Column("c", DataType(name)) for name in types]) == [*types.values()]
    numbers = [(18, 0), (10, 2), (20, 0), (38, 10), (0, 0)]
    decimals = [Column("c", DataType("decimal", precision=p, scale=s)) for p, s in numbers]
    assert spec_letters(decimals) == ["LS", "F", "S", "S", "S"]


def test_a_command_is_its_own_pipeline():
    plain = TableStream("sold", "*", "*", " cat ", "t")
    first = TableStream("sold", "*", "*", "grep a", "t")
    assert plain.pipeline == "stream:sold"
    assert first.pipeline.startswith("stream:sold:")
    assert first.pipeline == TableStream("sold", "2014", "*", "grep a ", "u").pipeline
    assert first.pipeline != TableStream("sold", "*", "*", "grep b", "t").pipeline


def test_a_url_with_its_secret_reads_again():
    url = parse_url("redshift://u:p%40%2F%3A%C3%A9@h.example:1/d?ssl=false&stage=s3://bucket/x")
    assert parse_url(with_secret(url)) == url
    assert "p%40" not in str(url)
