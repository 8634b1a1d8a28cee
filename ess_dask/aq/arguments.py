"""The arguments of one call, read by the parameters of its function."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ess_dask.aq.functions.model import Function, Parameter
from ess_dask.aq.kinds import Type
from ess_dask.aq.tree import Call, Node, Reference

if TYPE_CHECKING:
    from ess_dask.aq.expression import Parser


class Arguments:
    """Collects the arguments of one call by the parameters of its function."""

    def __init__(self, parser: Parser, function: Function, spelling: str) -> None:
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
        if local and self._parser.is_column():
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


_READERS: dict[Parameter, Callable[[Arguments, Parameter], bool]] = {
    Parameter.TEXT: Arguments._value,
    Parameter.NUMBER: Arguments._value,
    Parameter.MORE_NUMBER: Arguments._value,
    Parameter.ADDRESS: Arguments._value,
    Parameter.MORE_ADDRESS: Arguments._value,
    Parameter.MORE_TEXT: Arguments._value,
    Parameter.ANY: Arguments._value,
    Parameter.CONSTANT: Arguments._constant,
    Parameter.WORD: Arguments._word,
    Parameter.COLUMN: Arguments._column,
    Parameter.COLUMN_VALUE: Arguments._column,
    Parameter.TEXT_COLUMN: Arguments._column,
    Parameter.COLUMN_OR_TYPE: Arguments._column,
    Parameter.ATTRIBUTES: Arguments._attribute_list,
    Parameter.LOCAL_ATTRIBUTES: Arguments._attribute_list,
}
