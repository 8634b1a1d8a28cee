"""Columns, tables and the text of DB.spec files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ess_dask.errors import ConfigError, EssError, UsageError
from ess_dask.tables.spec import (
    MAX_COLUMNS,
    ColumnSpec,
    DatabaseSpec,
    parse_column,
    parse_columns,
)
from ess_dask.tables.specfile import add_table, format_spec, parse_spec


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("s:name", ColumnSpec("name", "S")),
        ("IS:n", ColumnSpec("n", "IS")),
        ("Ls,+ADD:n", ColumnSpec("n", "LS", ("+add",))),
        ("s,hash:user", ColumnSpec("user", "S", ("pkey",))),
        ("s,key:user", ColumnSpec("user", "S", ("pkey",))),
        ("i,+last,+nozero:x_1", ColumnSpec("x_1", "I", ("+last", "+nozero"))),
        ("ip,+min:a", ColumnSpec("a", "IP", ("+min",))),
        ("i,tkey:t", ColumnSpec("t", "I", ("tkey",))),
    ],
)
def test_columns_are_read_in_any_case_and_old_spelling(text, column):
    assert parse_column(text) == column
    assert parse_column(str(column)) == column


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name", "not a column"),
        ("x:name", "not a column"),
        ("X:name", "not a column"),
        ("dec:n", "not a column"),
        ("s:", "not a column name"),
        ("s:1st", "not a column name"),
        ("s:a-b", "not a column name"),
        ("s:" + "a" * 32, "not a column name"),
        ("s:naïve", "not a column name"),
        ("s,primary:a", "not a column attribute"),
        ("s,+add:a", r"\+add needs a number"),
        ("ip,+add:a", r"\+add needs a number"),
        ("f,+bor:a", r"\+bor needs an integer"),
        ("s,+bor:a", r"\+bor needs an integer"),
        ("i,+first,+last:a", "exclude each other"),
        ("i,pkey,+add:a", "exclude each other"),
        ("i,+key,+min:a", "exclude each other"),
        ("i,+key,+nozero:a", r"\+nozero means nothing"),
        ("i,+add,+add:a", "twice"),
        ("s,tkey:a", "tkey needs an integer"),
        ("i,pkey,tkey:a", "tkey needs an integer"),
    ],
)
def test_a_bad_column_is_refused_with_its_text(text, says):
    with pytest.raises(UsageError, match=says):
        parse_column(text)


def test_columns_may_come_as_arguments_or_as_one_text():
    apart = parse_columns(["s,pkey:a", "i:b", "f:c"])
    assert parse_columns(["s,pkey:a  i:b\tf:c"]) == apart
    assert parse_columns(["s,pkey:a i:b", "f:c"]) == apart


def test_two_columns_of_one_name_are_refused_in_any_case():
    with pytest.raises(UsageError, match="column UserID is given twice"):
        parse_columns(["s:userid", "i:UserID"])


def test_too_many_columns_are_refused():
    parse_columns([f"i:c{n}" for n in range(MAX_COLUMNS)])
    with pytest.raises(UsageError, match="2048 allowed"):
        parse_columns([f"i:c{n}" for n in range(MAX_COLUMNS + 1)])


def table(spec, name, text, kind="table"):
    return add_table(spec, name, kind, parse_columns([text]))


def test_the_first_table_gives_the_database_its_key():
    spec = table(DatabaseSpec("d"), "t", "i:n s,pkey:user i,pkey:site")
    assert [str(c) for c in spec.key] == ["S,pkey:user", "I,pkey:site"]
    assert [c.name for c in spec.tables[0].columns] == ["n"]
    again = table(spec, "v", "s,pkey:USER i,pkey:site f,+add:x", "vector")
    assert again.key == spec.key
    assert table(spec, "w", "i:only", "vector").find("W").columns[0].merge == "last"


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ("s:a i:b", "table", "has no primary key"),
        ("s,pkey:a i,tkey:b i,tkey:c", "table", "more than one tkey"),
        ("s,pkey:a i,tkey:b", "vector", "no tkey"),
        ("s,pkey:a i,+key:b", "vector", r"no tkey or \+key"),
        ("s,pkey:a i,+add:b", "table", "never be merged"),
        ("s,pkey:a i,+nozero:b", "table", "never be merged"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(text, kind, says):
    with pytest.raises(UsageError, match=says):
        table(DatabaseSpec("d"), "t", text, kind)


def test_a_table_with_a_merge_key_may_merge():
    spec = table(DatabaseSpec("d"), "t", "s,pkey:a s,+key:b i,+add:c i:d i,tkey:e")
    assert spec.tables[0].merge_key == ("b",)
    assert spec.tables[0].time_key == "e"


@pytest.mark.parametrize("text", ["s,pkey:b i:n", "i,pkey:a i:n", "s,pkey:a s,pkey:b i:n"])
def test_all_tables_share_one_key(text):
    spec = table(DatabaseSpec("d"), "t", "s,pkey:a i:n")
    with pytest.raises(UsageError, match=r"has the key .* but its database has S:a"):
        table(spec, "u", text)


def test_a_repeated_key_column_is_refused():
    spec = table(DatabaseSpec("d"), "t", "s,pkey:a i:n")
    with pytest.raises(UsageError, match="column A is given twice"):
        table(spec, "u", "i:A")


@pytest.mark.parametrize("name", ["var", "VAR", "a b", "a.b", "../x", "", "-x", "a" * 65, "ä"])
def test_a_table_name_must_be_plain(name):
    with pytest.raises(UsageError):
        table(DatabaseSpec("d"), name, "s,pkey:a")


def test_names_are_unique_over_tables_and_vectors():
    spec = table(DatabaseSpec("d"), "Sales", "s,pkey:a")
    with pytest.raises(UsageError, match="already has a table Sales"):
        table(spec, "sales", "s,pkey:a", "vector")


ORIGINAL = """
# The shop's database
@Server:
  10.0.0.1|node1:10020*2 [::1]:10021   # two of them
  localhost
@Port:10030
@PKey:
    s:user   i:site
@Table:Visits     # many rows
  i,tkey:t
  s:page i:ms
@VECTOR:Totals
  i,+add:n  s,+first:page
@var: i:runs f,+max:peak
"""


def test_a_file_is_read_with_comments_indentation_and_any_case():
    spec = parse_spec("shop", ORIGINAL, "shop.spec")
    assert spec.servers == ("10.0.0.1|node1:10020*2", "[::1]:10021", "localhost")
    assert spec.port == 10030
    assert [c.name for c in spec.key] == ["user", "site"]
    assert [(t.name, t.kind, len(t.columns)) for t in spec.tables] == [
        ("Visits", "table", 3),
        ("Totals", "vector", 2),
    ]
    assert [str(c) for c in spec.variables] == ["I:runs", "F,+max:peak"]
    assert parse_spec("shop", format_spec(spec), "x") == spec


def test_the_old_form_has_its_key_in_the_tables():
    old = "@Server:\n h:1\n@Table:t\n s,hash:a\n i:b\n@Vector:v\n s,hash:a\n i,+add:c\n"
    spec = parse_spec("d", old, "x")
    assert [str(c) for c in spec.key] == ["S,pkey:a"]
    new = "@Server:\n h:1\n@PKey:\n s:a\n@Table:t\n i:b\n@Vector:v\n i,+add:c\n"
    assert parse_spec("d", new, "x") == spec


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("s:a\n", "1:1", "before the first section"),
        ("@PKey:\n  s:a\n@Tables:t\n", "3:1", "unknown section"),
        ("@PKey:\n  s:a  x:b\n", "2:8", "not a column"),
        ("@PKey: s:a  x:b\n", "1:13", "not a column"),
        ("@PKey:\n s,+add:a\n", "2:2", "needs a number"),
        ("@PKey:\n i,+add:a\n", "1:1", "cannot have attributes"),
        ("@PKey:\n s:a\n@PKey:\n s:b\n", "3:1", "given twice"),
        ("@Table:t\n i:b\n", "1:1", "no primary key"),
        ("@PKey:\n s:a\n@Table:\n i:b\n", "3:1", "cannot be the name"),
        ("@PKey:\n s:a\n@Table:t\n i:b\n@Vector:T\n i:c\n", "5:1", "already has"),
        ("@Port:http\n", "1:1", "not a port"),
        ("@Port:70000\n", "1:1", "not a port"),
        ("@Server:\n bad host!\n", "2:6", "not a server"),
        ("@Var:\n s,pkey:a\n", "1:1", "variable a cannot be pkey"),
        ("@Var:\n i:a\n@Var:\n i:A\n", "3:1", "given twice"),
        ("@PKey:\n " + "s:abcdefg " * 210 + "\n", "2:2047", "longer than 2046 bytes"),
    ],
)
def test_a_bad_file_is_refused_with_line_and_column(text, place, says):
    with pytest.raises(ConfigError, match=says) as caught:
        parse_spec("d", text, "/w/d.spec")
    assert caught.value.message.startswith(f"/w/d.spec:{place}: ")


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True).filter(
    lambda name: name.lower() != "var"
)


@st.composite
def databases(draw):
    names = iter(draw(st.lists(NAMES, min_size=12, max_size=12, unique_by=str.lower)))
    spec = DatabaseSpec("d", servers=draw(st.sampled_from([(), ("127.0.0.1:10010",)])))
    key = " ".join(f"{draw(st.sampled_from(['s', 'i', 'ip']))},pkey:{next(names)}" for _ in "ab")
    for number in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(["table", "vector"]))
        attr = draw(st.sampled_from(["", ",+add", ",+min,+nozero"])) if kind == "vector" else ""
        spec = table(spec, f"t{number}", f"{key} i{attr}:{next(names)} s:{next(names)}", kind)
    return spec


@pytest.mark.slow
@given(databases())
def test_what_is_written_is_read_back(spec):
    assert parse_spec("d", format_spec(spec), "x") == spec


@given(st.text(alphabet="@PKeyTableVarServr:sif,+#\n _1", max_size=120))
def test_any_text_is_a_database_or_a_positioned_error(text):
    try:
        spec = parse_spec("d", text, "f")
    except ConfigError as error:
        assert error.message.startswith("f:")
    except EssError:
        raise AssertionError("an error without a position") from None
    else:
        assert parse_spec("d", format_spec(spec), "f") == spec
