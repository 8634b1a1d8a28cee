"""Expression text to typed trees: left to right, without precedence."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from ess_dask.aq.addresses import parse_address
from ess_dask.aq.arguments import Arguments
from ess_dask.aq.errors import OptionError
from ess_dask.aq.kinds import INT64_MAX, Type, Value, wrap64
from ess_dask.aq.text import WRAPPED_DIGITS, Word, words
from ess_dask.aq.tree import (
    Binary,
    Builtin,
    Compare,
    Constant,
    Logic,
    Negation,
    Node,
    Reference,
)

ARITHMETIC = frozenset("*/%+-&|^")
COMPARISONS = frozenset(
    ("==", ">", "<", ">=", "<=", "~==", "~>", "~<", "~>=", "~<=", "!=", "!~=", "&=", "!&=", "!&")
)
BUILTINS = ("$rownum", "$random", "$cursec", "$curusec")
_MASKS = frozenset(("&=", "!&=", "!&"))
_MAX_DEPTH = 200
"""Nested groups; deeper ones would exhaust the stack."""


class Names(Protocol):
    """What an expression may refer to."""

    def find(self, name: str) -> Reference | None:
        """Return the column or variable of that name, whatever its case."""

    def settable(self) -> tuple[Reference, ...]:
        """Return every column and variable there is."""


def parse_expression(text: str, names: Names, default_regex: frozenset[str] = frozenset()) -> Node:
    """Return the tree of an expression or filter; raise ``OptionError`` quoting the text.

    ``default_regex`` are attributes for regular expressions that choose none themselves.
    """
    parser = Parser(text, words(text), names, default_regex)
    node = parser.logic()
    parser.expect("end")
    return node


class Parser:
    """Reads the words of one expression once, from left to right."""

    def __init__(
        self, text: str, found: tuple[Word, ...], names: Names, default_regex: frozenset[str]
    ) -> None:
        self.default_regex = default_regex
        self._text = text
        self._words = found
        self._names = names
        self._at = 0
        self._depth = 0

    @property
    def word(self) -> Word:
        """The word at hand."""
        return self._words[self._at]

    def _take(self) -> Word:
        word = self.word
        self._at += 1
        return word

    def _accept(self, text: str) -> bool:
        if self.word.kind == "op" and self.word.text == text:
            self._at += 1
            return True
        return False

    def expect(self, what: str) -> None:
        """Step over the operator ``what``, or check that the text ends."""
        if what == "end" and self.word.kind == "end":
            return
        if not self._accept(what):
            raise self._error(f"expected {what!r}")

    def _error(self, why: str, hint: str = "") -> OptionError:
        place = self._text[self.word.at :][:20] or "its end"
        return OptionError(f"{why} at {place!r} in expression {self._text!r}", hint=hint)

    def logic(self) -> Node:
        """Conditions joined by && and ||."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._error("too many nested groups")
        node = self._condition()
        while self.word.kind == "op" and self.word.text in ("&&", "||"):
            op = self._take().text
            node = Logic(op, node, self._condition())
        self._depth -= 1
        return node

    def _condition(self) -> Node:
        if self._accept("!"):
            self._depth += 1
            if self._depth > _MAX_DEPTH:
                raise self._error("too many negations")
            node = Negation(self._condition())
            self._depth -= 1
            return node
        left = self._sum()
        if self.word.kind == "op" and self.word.text in COMPARISONS:
            op = self._take().text
            return self._compare(op, left, self._sum())
        return left

    def _compare(self, op: str, left: Node, right: Node) -> Node:
        numbers = left.type.is_number and right.type.is_number
        if not numbers and left.type is not right.type:
            raise self._error(
                f"cannot compare {left.type.value} with {right.type.value}",
                "convert one of them: ToS(), ToI(), ToF(), ToIP()",
            )
        if op in _MASKS and not numbers:
            raise self._error(f"operator {op} needs numbers")
        if "~" in op and left.type is not Type.STR:
            raise self._error(f"operator {op} needs strings")
        return Compare(op, left, right)

    def _sum(self) -> Node:
        node = self._operand()
        while self.word.kind == "op" and self.word.text in ARITHMETIC:
            op = self._take().text
            node = self._binary(op, node, self._operand())
        return node

    def _binary(self, op: str, left: Node, right: Node) -> Node:
        if left.type.is_number and right.type.is_number:
            floats = Type.FLOAT in (left.type, right.type) and op in "*/%+-"
            return Binary(op, left, right, Type.FLOAT if floats else Type.INT)
        if op == "+" and left.type is right.type is Type.STR:
            return Binary(op, left, right, Type.STR)
        raise self._error(
            f"cannot apply {op} to {left.type.value} and {right.type.value}",
            "numbers and strings never convert silently: ToS(), ToI(), ToF()",
        )

    def _operand(self) -> Node:
        word = self._take()
        if word.kind == "string":
            return Constant(word.text, Type.STR)
        if word.kind == "number":
            return _number(word.text)
        if word.kind == "ip":
            address = parse_address(word.text)
            if address is None:
                self._at -= 1
                raise self._error("bad address")
            return Constant(address, Type.IP)
        if word.kind == "name":
            return self._named(word)
        if word.kind == "op" and word.text == "(":
            node = self.logic()
            self.expect(")")
            return node
        if word.kind == "op" and word.text in "+-":
            return self._signed(word.text)
        self._at -= 1
        raise self._error("expected a value")

    def _signed(self, sign: str) -> Node:
        of = self._operand()
        if not of.type.is_number:
            raise self._error(f"sign {sign} needs a number")
        if sign == "+":
            return of
        if isinstance(of, Constant):
            assert not isinstance(of.value, str)
            return Constant(-of.value, of.type)
        return Binary("-", Constant(0, Type.INT), of, of.type)

    def _named(self, word: Word) -> Node:
        if word.text.startswith("$"):
            if word.text.lower() not in BUILTINS:
                raise OptionError(
                    f"unknown builtin {word.text} in expression {self._text!r}",
                    hint="there are $RowNum $Random $CurSec $CurUSec",
                )
            return Builtin(word.text.lower()[1:])
        if self.word.kind == "op" and self.word.text == "(":
            return self._call(word)
        found = self._names.find(word.text)
        if found is None:
            raise OptionError(
                f"unknown column {word.text!r} in expression {self._text!r}",
                hint="a string constant must be quoted; a column must be defined before it is used",
            )
        return found

    def _call(self, word: Word) -> Node:
        self.expect("(")
        if word.text.lower() == "eval":
            node = self.logic()
            self.expect(")")
            return node
        # The functions are loaded with the first call: start-up is a promise.
        from ess_dask.aq.functions.table import find_function

        function = find_function(word.text)
        if function is None:
            raise OptionError(
                f"unknown function {word.text!r} in expression {self._text!r}",
                hint="the functions are listed in the reference, docs/reference/aq.md",
            )
        return Arguments(self, function, word.text).call()

    def renew_arguments(self, spelling: str) -> None:
        """Replace a single string before the closing parenthesis by what it means today."""
        word = self.word
        if word.kind != "string" or self._words[self._at + 1].text != ")":
            return
        from ess_dask.aq.functions.legacy import todays_arguments

        text = todays_arguments(spelling, word.text)
        if text is not None:
            renewed = (replace(new, at=word.at) for new in words(text)[:-1])
            self._words = (*self._words[: self._at], *renewed, *self._words[self._at + 1 :])

    def at_end_of_arguments(self) -> bool:
        """Whether the next word closes the list of arguments."""
        return self.word.kind == "op" and self.word.text == ")"

    def at_last_argument(self) -> bool:
        """Whether the argument at hand is one word, or words without a comma, before the end."""
        ends = (w for w in self._words[self._at :] if w.kind == "end" or w.text in ",)")
        return next(ends).text == ")"

    def separate(self) -> None:
        """Step over a comma between arguments, or stay before the closing parenthesis."""
        if not self.at_end_of_arguments():
            self.expect(",")

    def raw_argument(self) -> str:
        """Return the text of the next argument as written, a string decoded."""
        if self.word.kind == "string":
            return self._take().text
        start = self.word.at
        while self.word.kind != "end" and not (self.word.kind == "op" and self.word.text in ",)"):
            self._at += 1
        return self._text[start : self.word.at].strip()

    def column(self) -> Reference | None:
        """Return the column that the next argument names, or None and stay."""
        if self.word.kind != "name":
            return None
        following = self._words[self._at + 1]
        if following.kind != "op" or following.text not in ",)":
            return None
        found = self._names.find(self.word.text)
        if found:
            self._at += 1
        return found

    def is_column(self) -> bool:
        """Whether the word at hand names a column or a variable."""
        return self.word.kind == "name" and self._names.find(self.word.text) is not None

    def settable(self) -> tuple[Reference, ...]:
        """Return all columns and variables."""
        return self._names.settable()

    def argument_error(self, why: str, hint: str = "") -> OptionError:
        """Return an error about the argument at hand."""
        return self._error(why, hint)


def _number(text: str) -> Constant:
    if text[:2].lower() == "0x":
        return Constant(wrap64(int(text, 16)), Type.INT)
    if text.isdigit():
        value = int(text[-WRAPPED_DIGITS:])
        return Constant(value if value <= INT64_MAX else wrap64(value), Type.INT)
    return Constant(float(text), Type.FLOAT)


def parse_value(text: str, kind_type: Type) -> Value | None:
    """Return the value of a number or address written alone; None if it is not one."""
    if kind_type is Type.IP:
        return parse_address(text)
    try:
        if kind_type is Type.INT:
            return int(text, 0) if text[:2].lower() == "0x" else int(text)
        return float(text)
    except ValueError:
        return None
