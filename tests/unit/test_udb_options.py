"""The options of aq_udb: what they mean, what is refused, which database a name means."""

import pytest

from ess_dask.aq.errors import AqConfigError, AqError, OptionError
from ess_dask.aq.parsing.tokens import Tokens
from ess_dask.tables.specfile import parse_spec
from ess_dask.udb.model import Choice, Delete, Goto
from ess_dask.udb.parsing import parse_request
from ess_dask.udb.programs.aq_udb import aq_udb
from ess_dask.udb.sampling import parse_sample
from ess_dask.udb.specs import Database, find_database

SPEC = """
@PKey: s:id i:no
@Table:t
  i,tkey:tm s:name f:x
@Vector:v
  i,+add:s s:name
@Var:
  i:g s:name2
"""


@pytest.fixture(scope="module")
def database():
    return Database(parse_spec("d", SPEC, "d.spec"))


def request(database, *words, action="exp", table="t"):
    return parse_request(action, database, table, (), Tokens(words))


def titles(found):
    return [column.title for column in found.outputs[0].columns]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], ["id", "no", "tm", "name", "x"]),
        (["-c", "+"], ["tm", "name", "x"]),
        (["-c", "ID", "v.S"], ["id", "v.s"]),
        (["-c", "v.*"], ["id", "no", "v.s", "v.name"]),
        (["-c", "v.+", "g"], ["v.s", "v.name", "var.g"]),
        (["-c", "Var.*", "t.name"], ["var.g", "var.name2", "name"]),
        (["-c", "~name", "^x:y+%.2f"], ["id", "no", "tm", "y"]),
    ],
)
def test_columns_of_an_output(database, words, wanted):
    assert titles(request(database, *words)) == wanted


def test_columns_of_keys_and_variables(database):
    assert titles(request(database, table=".")) == ["id", "no"]
    assert titles(request(database, table="VAR")) == ["g", "name2"]
    assert titles(request(database, action="cnt")) == ["field", "count"]


def test_columns_of_variables_are_variables(database):
    rules = ["-filt", "g > 0", "-eval", "g", "g + 1", "-sort", "name2"]
    found = request(database, *rules, "-c", "name2", "^name2:n", "G", table="var")
    assert titles(found) == ["n", "g"]
    assert all(column.source.variable for column in found.outputs[0].columns)
    assert (found.main.rules[1].target.variable, found.main.slots) == (True, ())


def test_rules(database):
    found = request(
        database,
        *["-pp,post=next_bucket", "v", "-bvar", "g", "1", "-filt", "s > 1 && RowCount(t) < 10"],
        *["-goto", "proc_bucket", "-endpp", "-ifnot", "-filt", "x", "-del_row,post=next_key"],
        *["-else", "-del_key", "-endif"],
    )
    group, main = found.groups[0], found.main
    assert (group.post, group.rules[-1]) == ("next_key", Goto("proc_key"))
    assert [(r.name, value) for r, value in group.each_key] == [("var.g", 1)]
    choice = main.rules[0]
    assert isinstance(choice, Choice)
    assert choice.cases[0].negated
    assert choice.cases[0].rules == (Delete("row", "next_key"),)
    assert choice.otherwise == (Delete("key", "next_key"),)


def test_old_names(database):
    words = ["-pp", "t", "-end_of_scan", "proc_bucket", "-endpp", "-lim_usr", "2", "-sort", "tm"]
    found = request(database, *words, "-dec", "-filt", "Eval($Random % 2) == 0")
    assert (found.groups[0].post, found.limits.keys) == ("proc_key", 2)
    assert found.sort.descending


def test_default_attributes_of_regular_expressions(database):
    found = request(database, "-rx", "pcre|dotall", "-filt", 'RxCmp(name, "^.$")')
    assert found.main.rules[0].condition.attributes == ("dotall", "pcre")
    with pytest.raises(OptionError, match="unknown attribute 'perl'"):
        request(database, "-rx", "perl")


def test_a_group_ends_where_an_option_cannot_be_in_it(database):
    first = ["-pp,post=next_key", "v", "-goto", "proc_key"]
    second = ["-pp", "t", "-if", "-filt", "tm", "-eval", "g", "1", "-endif", "-bvar", "g", "2"]
    found = request(database, *first, *second)
    assert [len(group.rules) for group in found.groups] == [1, 1]
    assert (found.groups[0].post, len(found.groups[1].each_key)) == ("next_key", 1)
    found = request(database, *first, "-sort,dec", "tm", "-filt", "tm")
    assert (len(found.groups[0].rules), len(found.main.rules)) == (1, 1)
    assert found.sort.descending


@pytest.mark.parametrize(
    "words",
    [
        ["-evil"],
        ["-filt", "nosuch"],
        ["-filt", "t"],
        ["-eval", "id", '"x"'],
        ["-eval", "name", "1"],
        ["-eval", "v.nosuch", "1"],
        ["-filt", "RowCount(nosuch) > 1"],
        ["-var", "nosuch", "1"],
        ["-var", "g", "x"],
        ["-pp", "nosuch", "-endpp"],
        ["-pp,post=nowhere", "t", "-endpp"],
        ["-goto", "proc_key"],
        ["-if", "-goto", "next_row", "-endif"],
        ["-if", "-filt", "x"],
        ["-top", "x"],
        ["-sort", "nosuch"],
        ["-sort,up", "tm"],
        ["-mod", "mine"],
        ["-c", "nosuch"],
        ["-c", "nosuch.*"],
        ["-c", "v.nosuch"],
        ["-del_row,after=x"],
    ],
)
def test_what_is_wrong_is_refused(database, words):
    with pytest.raises(OptionError):
        request(database, *words)


def test_what_belongs_to_other_actions(database):
    for action, words in (("cnt", ["-sort", "tm"]), ("cnt", ["-c", "tm"]), ("scn", ["-o", "x"])):
        with pytest.raises(OptionError):
            request(database, *words, action=action)
    with pytest.raises(OptionError):
        request(database, "-del_row", table="var")


def test_where_a_definition_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ESS_WORK_DIR", str(tmp_path / "conf"))
    with pytest.raises(AqConfigError, match="no database d"):
        find_database("d", "", "-exp")
    for place, column in (("udb.spec", "a"), ("conf/d.spec", "b"), ("mine", "c")):
        path = tmp_path / place
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"@PKey: s:{column}\n")
    assert find_database("d", "mine", "-exp").key[0].name == "c"
    assert find_database("d", "", "-exp").key[0].name == "b"
    assert find_database("other", "", "-exp").key[0].name == "a"
    (tmp_path / "mine").write_text("@PKey: what\n")
    with pytest.raises(OptionError, match="mine:1:8"):
        find_database("d", "mine", "-exp")
    with pytest.raises(OptionError):
        find_database("../d", "", "-exp")


@pytest.mark.parametrize("text", ["0/2", "3/2", "2-1/3", "1", "1/2:x", "1-/2"])
def test_bad_samples(text):
    with pytest.raises(OptionError):
        parse_sample(text, "-exp")


@pytest.mark.parametrize(
    ("words", "code"),
    [(["-no"], 2), (["-stat"], 2), (["-exp", "nosuch:t"], 3), (["-inf"], 2), (["-probe", "x"], 3)],
)
def test_exit_codes(words, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ESS_WORK_DIR", str(tmp_path))
    with pytest.raises(AqError) as error:
        aq_udb(words)
    assert error.value.exit_code == code


@pytest.fixture
def described(tmp_path, monkeypatch):
    """A work folder with the definition of a database, and no cluster."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ESS_WORK_DIR", str(tmp_path))
    text = "@Server:\n  127.0.0.1\n@PKey:\n  s:id\n@Table:t\n  i:n\n"
    (tmp_path / "d1.spec").write_text(text)
    (tmp_path / "bad.spec").write_text("@PKey:\n  q:id\n")


@pytest.mark.parametrize(
    "words",
    [
        ["-test", "-exp", "d1:t", "-filt", "n > 1"],
        ["-exp", "d1:t", "-filt", "n > 1", "-test", "-stat", "-verb", "-local"],
        ["-ord", "d1:t", "n", "-server", "127.0.0.1:10010", "10.0.0.1", "-test"],
        ["-server", "127.0.0.1", "-test", "-crt", "d1"],
        ["-chk", "d1"],
        ["-chk,spec=d1.spec", "d1"],
    ],
)
def test_what_is_checked_only(words, described):
    aq_udb(words)


@pytest.mark.parametrize(
    "words",
    [
        ["-exp", "d1:t", "-server", "-test"],
        ["-server", "-exp", "d1:t", "-test"],
        ["-chk", "bad"],
        ["-chk", "d1:t"],
        ["-chk,spec=bad.spec", "d1"],
    ],
)
def test_what_is_checked_and_wrong(words, described):
    with pytest.raises(AqError) as error:
        aq_udb(words)
    assert error.value.exit_code == 2
