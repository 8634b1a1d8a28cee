"""The package's ``dataclass`` behaves as the standard library's."""

import copy
import dataclasses
import math
import pickle
from dataclasses import FrozenInstanceError, field
from typing import Any, ClassVar

import pytest

from ess_dask.dataclass import dataclass as ours

MAKERS = [dataclasses.dataclass, ours]
NAN = math.nan


def _plain(make: Any, **options: Any) -> Any:
    @make(**options)
    class Point:
        kind: ClassVar[str] = "point"
        x: int
        y: Any = field(default=0, compare=False)
        name: str = field(default="", repr=False)
        more: list[int] = field(default_factory=list, hash=False)

    return Point


def _one(make: Any, **options: Any) -> Any:
    @make(**options)
    class Point:
        x: Any

    return Point


def _none(make: Any, **options: Any) -> Any:
    @make(**options)
    class Point:
        pass

    return Point


def _own(make: Any, **options: Any) -> Any:
    @make(**options)
    class Point:
        x: Any

        def __eq__(self, other: object) -> bool:
            return True

        def __repr__(self) -> str:
            return "mine"

    return Point


def _own_hash(make: Any, **options: Any) -> Any:
    @make(**options)
    class Point:
        x: Any

        def __hash__(self) -> int:
            return 7

    return Point


def _child(make: Any, **options: Any) -> Any:
    @make(**options)
    class Point(_one(make, **options)):
        z: int = 3

    return Point


CLASSES = [(_plain, [(1,), (2,), (1, 5, "n"), (1, 6, "m", [1])]), (_none, [()])]
CLASSES += [(maker, [(1,), (2,), (NAN,), ([],)]) for maker in (_one, _own, _own_hash, _child)]
OPTIONS = [
    {},
    {"frozen": True},
    {"slots": True},
    {"frozen": True, "slots": True},
    {"frozen": True, "slots": True, "repr": False},
    {"frozen": True, "slots": True, "eq": False},
    {"slots": True, "eq": False},
    {"frozen": True, "slots": True, "order": True},
    {"unsafe_hash": True},
    {"frozen": True, "kw_only": True},
]


def _tried(call: Any, *values: Any) -> Any:
    try:
        return call(*values)
    except TypeError as error:
        return f"{type(error).__name__}: {error}"


def _repr(value: Any) -> str:
    """The text of a value; the standard library's own differs in its address alone."""
    text = repr(value)
    return text.partition(" at 0x")[0]


def _behaviour(make: Any, maker: Any, given: Any, options: Any) -> Any:
    try:
        cls = maker(make, **options)
    except TypeError as error:
        return str(error)
    objects = [_tried(cls, *copy.copy(values)) for values in given]
    made = [each for each in objects if isinstance(each, cls)]
    return {
        "made": [each if isinstance(each, str) else "" for each in objects],
        "shown": [_repr(each) for each in made],
        "equal": [[one == other for one in made] for other in made],
        "other": [made_one == 3 for made_one in made],
        "hash": [True if options.get("eq") is False else _tried(hash, each) for each in made],
        "order": [[_tried(lambda a, b: a < b, one, other) for one in made] for other in made],
        "fields": [each.name for each in dataclasses.fields(cls)],
        "slots": getattr(cls, "__slots__", None),
        "match": cls.__match_args__,
    }


@pytest.mark.parametrize(("maker", "given"), CLASSES)
@pytest.mark.parametrize("options", OPTIONS)
def test_it_does_what_the_standard_library_does(maker, given, options):
    theirs, mine = (_behaviour(make, maker, given, options) for make in MAKERS)
    assert mine == theirs


@ours(frozen=True, slots=True)
class Kept:
    x: int
    inside: Any = None


def test_frozen_ones_can_be_pickled_copied_and_replaced_but_not_changed():
    kept = Kept(1, Kept(2))
    assert pickle.loads(pickle.dumps(kept)) == kept
    assert copy.deepcopy(kept) == kept
    assert dataclasses.replace(kept, x=5) == Kept(5, Kept(2))
    assert dataclasses.asdict(kept) == {"x": 1, "inside": {"x": 2, "inside": None}}
    with pytest.raises(FrozenInstanceError):
        kept.x = 3
    with pytest.raises(FrozenInstanceError):
        del kept.x


def test_one_in_itself_is_shown():
    kept = Kept(1, [])
    kept.inside.append(kept)
    assert repr(kept) == "Kept(x=1, inside=[...])"


def test_a_child_is_no_parent():
    @ours(frozen=True, slots=True)
    class Child(Kept):
        pass

    assert Child(1) != Kept(1)
    assert repr(Child(1)).endswith("Child(x=1, inside=None)")
