"""Reading YAML: what is refused, with the exact place, and what stays as written."""

import pytest

from ess_dask.documents import yaml
from ess_dask.documents.variables import expand
from ess_dask.errors import ConfigError


def read(text):
    return yaml.load(text if isinstance(text, bytes) else text.encode(), "p.yaml")


def bomb(levels=9):
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [{','.join([f'*a{level - 1}'] * 9)}]")
    return "\n".join(lines)


REFUSED = [
    ("a: 1\nb: 2\na: 3\n", "3:1", "duplicate key 'a'"),
    ("s:\n  x: 1\n  x: 2\n", "3:3", "duplicate key 'x'"),
    ("s: {x: 1, x: 2}\n", "1:11", "duplicate key 'x'"),
    ("a:\n\tb: 1\n", "2:1", "a tab"),
    ("a:\tb\n", "1:3", "a tab"),
    ("a: !!python/object/apply:os.system [ls]\n", "1:4", "!!python/object/apply:os.system"),
    ("a:\n  b: !!python/name:os.system\n", "2:6", "!!python/name:os.system"),
    ("a: !custom x\n", "1:4", "!custom"),
    ("a: !!binary aGk=\n", "1:4", "!!binary"),
    ("!!python/none a: 1\n", "1:1", "!!python/none"),
    ("a: *b\n", "1:4", "alias '*b'"),
    ("a: &a [*a]\n", "1:8", "alias '*a'"),
    ("a: 1\n---\nb: 2\n", "2:1", "second document"),
    ("a: 'x\n", "2:1", "unexpected end"),
    ("a: {b: 1\nc: 2\n", "2:2", "expected ',' or '}'"),
    ("a: b: c\n", "1:5", "mapping values"),
    ("a: %x\n", "1:4", "cannot start"),
    ("a: @x\n", "1:4", "cannot start"),
    ("ab: é\x07\n", "1:6", "U+0007"),
    ("a: 1\nb: \x00\n", "2:4", "U+0000"),
    ("? [a]\n: 1\n", "1:3", "a key must be plain text"),
    ("{" * 5000, "1:2", "a key must be plain text"),
    ("a: " + "[" * 200 + "]" * 200, "1:36", "nested deeper"),
    ("- a\n", "1:1", "`key: value`"),
    ("text\n", "1:1", "`key: value`"),
    (b"a: ok\nb\xc3\xa9: \xff\n", "2:5", "not UTF-8 (byte 0xff)"),
    ("a: 1\n".encode("utf-16"), "1:1", "not UTF-8"),
]


@pytest.mark.parametrize(("text", "place", "words"), REFUSED)
def test_bad_yaml_is_refused_with_its_place(text, place, words):
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert caught.value.message.startswith(f"p.yaml:{place}: ")
    assert words in caught.value.message
    assert caught.value.exit_code == 2


def test_duplicate_key_names_the_first_place():
    with pytest.raises(ConfigError) as caught:
        read("a: 1\nb: 2\na: 3\n")
    assert "p.yaml:1:1" in caught.value.hint


def test_alias_bomb_is_refused_at_the_alias():
    with pytest.raises(ConfigError, match=r"p\.yaml:5:\d+: more than 20000 values"):
        read(bomb())


def test_many_aliases_are_refused_at_the_first_one_too_many():
    text = "a: &a x\nb: [" + ", ".join(["*a"] * 101) + "]\n"
    column = len("b: [") + 4 * 100 + 1
    with pytest.raises(ConfigError, match=rf"p\.yaml:2:{column}: more than 100 aliases"):
        read(text)


def test_a_few_aliases_are_fine():
    assert read("a: &a [x]\nb: *a\n") == {"a": [yaml.Scalar("x")], "b": [yaml.Scalar("x")]}


def test_a_large_file_is_refused():
    with pytest.raises(ConfigError, match="larger than"):
        read(b"a: " + b"x" * yaml.MAX_BYTES)


@pytest.mark.parametrize(
    "text", ["no", "010", "12:30:45", "1_000", "0x1F", "1e3", "2014-09-01", "yes", "~", ".inf"]
)
@pytest.mark.parametrize("head", ["", "%YAML 1.1\n---\n"])
def test_scalars_stay_as_written(text, head):
    assert read(f"{head}a: {text}\n")["a"].text == text


def test_places_of_values_and_keys():
    document = read("a: x\nlist:\n  - y\n  -  z\n")
    assert str(document["a"].place) == "p.yaml:1:4"
    assert str(document.key_places["list"]) == "p.yaml:2:1"
    assert str(document["list"][1].place) == "p.yaml:4:6"


def test_byte_order_mark_is_stripped():
    assert read(b"\xef\xbb\xbfa: 1\n") == {"a": yaml.Scalar("1")}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "null\n"])
def test_an_empty_file_is_an_empty_mapping(text):
    assert read(text) == {}


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / "no.yaml", tmp_path):
        with pytest.raises(ConfigError, match="cannot read"):
            yaml.load_file(path)


def filled(text, **environment):
    return expand(read(text), environment)["a"]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${X}", "one"),
        ("a-${X}-${X}", "a-one-one"),
        ("${NO:-two}", "two"),
        ("${NO:-}", ""),
        ("${EMPTY:-two}", "two"),
        ("${EMPTY}", ""),
        ("${NO:-duckdb:///w.duckdb}", "duckdb:///w.duckdb"),
        ("$${X}", "${X}"),
        ("$$", "$"),
        ("awk '{print $1}'", "awk '{print $1}'"),
        ("${LOOP}", "${LOOP}"),
    ],
)
def test_variables(written, value):
    got = filled(f'a: "{written}"\n', X="one", EMPTY="", LOOP="${LOOP}")
    assert got.text == value


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a: ${NO}\n", "1:4", "the variable NO is not set"),
        ("x: 1\na: s3://${NO}/x\n", "2:9", "the variable NO is not set"),
        ('a: "x ${NO}"\n', "1:4", "the variable NO is not set"),
        ("a: [y, ${NO}]\n", "1:8", "NO"),
        ("a: x${f%.gz}\n", "1:5", "'${f%.gz}' is not a variable"),
        ("a: ${}\n", "1:4", "is not a variable"),
        ("a: ${X\n", "1:4", "is not a variable"),
    ],
)
def test_bad_variables(text, place, words):
    # In a flow list, `${NO}` must be quoted to be a value at all.
    text = text.replace("[y, ${NO}]", '[y, "${NO}"]')
    with pytest.raises(ConfigError) as caught:
        filled(text, X="1")
    assert caught.value.message.startswith(f"p.yaml:{place}: ")
    assert words in caught.value.message
    assert "$${" in caught.value.hint


def test_keys_are_not_filled_in():
    assert list(expand(read('"${X}": 1\n'), {"X": "y"})) == ["${X}"]


def test_what_a_variable_held_is_not_shown():
    value = filled("a: ${SECRET}\n", SECRET="canary")
    assert value.text == "canary"
    assert "canary" not in repr(value) + value.shown
