"""How written text becomes a value."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from ess_dask.documents import yaml
from ess_dask.documents.checking import check
from ess_dask.documents.fields import (
    FORBID_UNKNOWN,
    FieldError,
    Size,
    Text,
    Texts,
    Truth,
    Whole,
    as_seconds,
    as_size,
    as_text,
    as_truth,
    as_whole,
    choice,
    did_you_mean,
)
from ess_dask.documents.yaml import Scalar
from ess_dask.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("64MiB", 64 << 20),
        ("64 mb", 64 << 20),
        ("1.5G", 3 << 29),
        ("10B", 10),
        ("2k", 2048),
    ],
)
def test_sizes(text, value):
    assert as_size(Scalar(text)) == value


@pytest.mark.parametrize("text", ["", "-1", "64 parsecs", "MiB", "1e3", "9" * 400 + "KB", "1,5G"])
def test_bad_sizes(text):
    with pytest.raises(FieldError, match="is not a size"):
        as_size(Scalar(text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("90", 90),
        ("90s", 90),
        ("1.5m", 90),
        ("1h30m", 5400),
        ("1h1s", 3601),
        ("0.25s", 0.25),
    ],
)
def test_durations(text, value):
    assert as_seconds(Scalar(text)) == value


@pytest.mark.parametrize("text", ["", "12:30:45", "-1s", "m", "1d", "30m1h", "9" * 20])
def test_bad_durations(text):
    with pytest.raises(FieldError, match="is not a duration"):
        as_seconds(Scalar(text))


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("12", 12), ("-3", -3)])
def test_whole_numbers(text, value):
    assert as_whole(Scalar(text)) == value


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("010", "write 10"),
        ("-007", "write -7"),
        ("1.5", "digits"),
        ("0x10", "digits"),
        ("1_000", "digits"),
        ("", "digits"),
        ("٣", "digits"),
        ("9" * 5000, "digits"),
    ],
)
def test_bad_whole_numbers(text, hint):
    with pytest.raises(FieldError, match="is not a whole number") as caught:
        as_whole(Scalar(text))
    assert hint in caught.value.hint


@pytest.mark.parametrize(("text", "value"), [("true", True), ("False", False)])
def test_truth(text, value):
    assert as_truth(Scalar(text)) is value


@pytest.mark.parametrize(
    ("text", "hint"),
    [("no", "write false"), ("yes", "write true"), ("1", "write true"), ("maybe", "true or")],
)
def test_bad_truth(text, hint):
    with pytest.raises(FieldError) as caught:
        as_truth(Scalar(text))
    assert hint in caught.value.hint


@pytest.mark.parametrize("text", ["no", "010", "12:30:45", "true"])
def test_text_is_as_written(text):
    assert as_text(Scalar(text, plain=True)) == text


def test_nothing_is_no_text_but_a_quoted_blank_is():
    with pytest.raises(FieldError, match="nothing is written"):
        as_text(Scalar("", plain=True))
    assert as_text(Scalar("", plain=False)) == ""


def test_did_you_mean():
    assert did_you_mean("Patern", ["store", "pattern"]) == "did you mean 'pattern'?"
    assert did_you_mean("zzz", ["store", "pattern"]) == "known are store, pattern"


@dataclass(frozen=True, slots=True)
class Inner:
    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN
    size: Size = 0
    mode: Text = "a"


@dataclass(frozen=True, slots=True)
class Outer:
    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN
    name: Text
    count: Whole = field(default=1, metadata={"ge": 1, "le": 9})
    flag: Truth = False
    many: Texts = ()
    inner: Inner | None = None


def outer(text):
    return check(Outer, yaml.load(text.encode(), "o.yaml"))


def test_a_model_from_yaml():
    text = "name: no\ncount: 3\nflag: true\nmany: x\ninner: {size: 1KiB}\n"
    assert outer(text) == Outer("no", 3, True, ("x",), Inner(1024))


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("name: x\nnmae: y\n", "o.yaml:2:1: unknown key 'nmae'", "did you mean 'name'?"),
        ("name: x\ninner:\n  sise: 1\n", "o.yaml:3:3: unknown key 'sise'", "did you mean 'size'?"),
        ("count: 2\n", "o.yaml:1:1: name: this key is missing", ""),
        ("name: x\ncount: 0\n", "o.yaml:2:8: count: must be at least 1", ""),
        ("name: x\ncount: 10\n", "o.yaml:2:8: count: must be at most 9", ""),
        ("name: [x]\n", "o.yaml:1:7: name: must be one value, not a list", ""),
        ("name: {x: 1}\n", "o.yaml:1:7: name: must be one value, not a mapping", ""),
        ("name: x\ninner: y\n", "o.yaml:2:8: inner: must be a mapping, not 'y'", ""),
        ("name: x\ninner:\n", "o.yaml:2:1: inner: must be a mapping, not empty", ""),
        ("name: x\nmany: {a: 1}\n", "o.yaml:2:7: many: must be a list, not a mapping", ""),
        ("name: x\nmany: [a, [b]]\n", "o.yaml:2:11: many.1: must be one value, not a list", ""),
        ("name:\n", "o.yaml:1:1: name: nothing is written here", "write a value"),
        (
            "name: x\ninner: {size: 12:30:45}\n",
            "o.yaml:2:15: inner.size: '12:30:45' is not a size",
            "64MiB",
        ),
    ],
)
def test_problems_have_places(text, message, hint):
    with pytest.raises(ConfigError) as caught:
        outer(text)
    assert caught.value.message == message
    assert hint in caught.value.hint


def test_all_problems_are_told_at_once_in_order():
    with pytest.raises(ConfigError) as caught:
        outer("zz: 1\ncount: 010\nflag: no\n")
    lines = caught.value.message.split("\n  ")
    assert [line.split(" ")[0] for line in lines] == ["o.yaml:1:1:"] * 2 + [
        "o.yaml:2:8:",
        "o.yaml:3:7:",
    ]
    assert lines[3] == "o.yaml:3:7: flag: 'no' is not a truth value (write false)"


def test_choice_names_the_nearest_word():
    with pytest.raises(FieldError) as caught:
        choice("append", "replace").convert(Scalar("apend"))
    assert caught.value.hint == "did you mean 'append'?"
    assert choice("append").convert(Scalar("append")) == "append"
