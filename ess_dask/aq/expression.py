"""Expression text to typed trees: left to right, without precedence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from ess_dask.aq.addresses import parse_address
from ess_dask.aq.errors import OptionError
from ess_dask.aq.functions.model import Function, Parameter
from ess_dask.aq.kinds import INT64_MAX, Type, Value, wrap64
from ess_dask.aq.text import WRAPPED_DIGITS, Word, words
from ess_dask.aq.tree import (
    Binary,
    Builtin,
    Call,
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
    parser = _Parser(text, words(text), names, default_regex)
    node = parser.logic()
    parser.expect("end")
    return node


class _Parser:
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
        return _Arguments(self, function, word.text).call()

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

    def settable(self) -> tuple[Reference, ...]:
        """Return all columns and variables."""
        return self._names.settable()

    def argument_error(self, why: str, hint: str = "") -> OptionError:
        """Return an error about the argument at hand."""
        return self._error(why, hint)


class _Arguments:
    """Collects the arguments of one call by the parameters of its function."""

    def __init__(self, parser: _Parser, function: Function, spelling: str) -> None:
        self._parser = parser
        self._spelling = spelling
        self._function = function
        self._values: list[Node] = []
        self._constants: list[str] = []
        self._attributes: list[str] = []
        self._targets: list[Reference] = []

    def call(self) -> Call:
        """Read up to the closing parenthesis and return the call."""
        function = self._function
        self._fixed()
        while function.repeated and not self._parser.at_end_of_arguments():
            if function.attributes is not None and self._parser.at_last_argument():
                break
            before = self._progress()
            for parameter in function.repeated:
                self._one(parameter)
            if self._progress() == before:
                break
        if function.attributes is not None:
            self._one(Parameter.ATTRIBUTES)
        if function.regex and self._parser.default_regex:
            from ess_dask.aq.patterns.regex import with_defaults

            self._attributes = sorted(with_defaults(self._attributes, self._parser.default_regex))
        self._parser.expect(")")
        if function.all_columns:
            self._targets.extend(self._parser.settable())
        values = tuple(self._values)
        call = Call(
            function.name,
            values,
            tuple(self._constants),
            tuple(self._attributes),
            tuple(self._targets),
            function.result(values),
        )
        if why := function.check(call):
            raise self._parser.argument_error(f"{function.name}(): {why}")
        return call

    def _fixed(self) -> None:
        for at, parameter in enumerate(self._function.parameters):
            if at == 1 and self._spelling.lower() != self._function.name.lower():
                self._parser.renew_arguments(self._spelling)
            self._one(parameter)

    def _progress(self) -> tuple[int, int, int]:
        return len(self._values), len(self._constants), len(self._targets)

    def _one(self, parameter: Parameter) -> None:
        if parameter.optional and self._parser.at_end_of_arguments():
            self._missing(parameter)
            return
        if self._parser.at_end_of_arguments():
            raise self._parser.argument_error(
                f"{self._function.name}() needs more arguments", self._function.usage
            )
        if _READERS[parameter](self, parameter):
            self._parser.separate()

    def _missing(self, parameter: Parameter) -> None:
        if parameter is Parameter.LOCAL_ATTRIBUTES:
            self._attributes.append("")

    def _value(self, parameter: Parameter) -> bool:
        node = self._parser.logic()
        wanted = parameter.types
        if wanted and node.type not in wanted:
            names = " or ".join(dict.fromkeys(t.value for t in wanted))
            raise self._parser.argument_error(
                f"{self._function.name}() wants {names}, not {node.type.value}",
                self._function.usage,
            )
        self._values.append(node)
        return True

    def _constant(self, _: Parameter) -> bool:
        if self._parser.word.kind != "string":
            raise self._parser.argument_error(
                f"{self._function.name}() wants a quoted string here", self._function.usage
            )
        self._constants.append(self._parser.raw_argument())
        return True

    def _word(self, _: Parameter) -> bool:
        self._constants.append(self._parser.raw_argument())
        return True

    def _column(self, parameter: Parameter) -> bool:
        found = self._parser.column()
        either = parameter is Parameter.COLUMN_OR_TYPE
        if found is None and either and self._parser.word.kind == "string":
            return self._constant(parameter)
        if found is None:
            wanted = "a column or a quoted type" if either else "a column"
            raise self._parser.argument_error(
                f"{self._function.name}() wants {wanted} here", self._function.usage
            )
        if parameter is Parameter.TEXT_COLUMN and found.type is not Type.STR:
            raise self._parser.argument_error(f"column {found.name} is not a string")
        if parameter is Parameter.COLUMN_VALUE:
            self._values.append(found)
        else:
            self._targets.append(found)
        if either:
            self._constants.append("")
        return True

    def _attribute_list(self, parameter: Parameter) -> bool:
        local = parameter is not Parameter.ATTRIBUTES
        if local and self._is_column_next():
            self._attributes.append("")
            return False
        raw = self._parser.raw_argument()
        if local:
            self._attributes.append(raw)
            return True
        names = [name.strip().lower() for name in raw.replace("|", ",").split(",") if name.strip()]
        allowed = self._function.attributes or frozenset()
        for name in names:
            if name not in allowed:
                raise self._parser.argument_error(
                    f"{self._function.name}() has no attribute {name!r}", self._function.usage
                )
        self._attributes.extend(names)
        return True

    def _is_column_next(self) -> bool:
        word = self._parser.word
        return word.kind == "name" and self._parser._names.find(word.text) is not None


_READERS: dict[Parameter, Callable[[_Arguments, Parameter], bool]] = {
    Parameter.TEXT: _Arguments._value,
    Parameter.NUMBER: _Arguments._value,
    Parameter.MORE_NUMBER: _Arguments._value,
    Parameter.ADDRESS: _Arguments._value,
    Parameter.MORE_ADDRESS: _Arguments._value,
    Parameter.MORE_TEXT: _Arguments._value,
    Parameter.ANY: _Arguments._value,
    Parameter.CONSTANT: _Arguments._constant,
    Parameter.WORD: _Arguments._word,
    Parameter.COLUMN: _Arguments._column,
    Parameter.COLUMN_VALUE: _Arguments._column,
    Parameter.TEXT_COLUMN: _Arguments._column,
    Parameter.COLUMN_OR_TYPE: _Arguments._column,
    Parameter.ATTRIBUTES: _Arguments._attribute_list,
    Parameter.LOCAL_ATTRIBUTES: _Arguments._attribute_list,
}


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
