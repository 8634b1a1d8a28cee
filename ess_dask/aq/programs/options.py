"""Options of the small programs: taken out of an argument list whose rest is one of aq_pp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from ess_dask.aq.errors import OptionError
from ess_dask.aq.inputs.reading import Inputs
from ess_dask.aq.parsing.command import parse_command
from ess_dask.aq.parsing.tokens import Option, Tokens, is_option
from ess_dask.aq.program import Emit, ExportRequest, Program
from ess_dask.aq.text import whole_number
from ess_dask.aq.tree import Reference

MANY = -1
"""An option that takes all values up to the next option."""


class Taken:
    """The options a program has of its own, and the arguments that are left."""

    def __init__(self, arguments: Sequence[str], own: dict[str, int]) -> None:
        tokens = Tokens(arguments)
        self.options: list[tuple[Option, list[str]]] = []
        self.rest: list[str] = []
        while tokens:
            if is_option(tokens.following()):
                option = tokens.option()
                if option.name in own:
                    self.options.append((option, _values(tokens, option, own[option.name])))
                    continue
                self.rest.append(option.text)
            else:
                self.rest.append(tokens.value(Option("", (), ""), "a value"))

    def all(self, name: str) -> list[tuple[Option, list[str]]]:
        """Return every occurrence of an option."""
        return [(option, values) for option, values in self.options if option.name == name]

    def last(self, name: str) -> tuple[Option, list[str]] | None:
        """Return the last occurrence of an option."""
        found = self.all(name)
        return found[-1] if found else None

    def flag(self, name: str) -> bool:
        """Whether an option is given."""
        return bool(self.all(name))


def _values(tokens: Tokens, option: Option, count: int) -> list[str]:
    if count == MANY:
        return tokens.values(option, "values")
    return [tokens.value(option, f"{count} values") for _ in range(count)]


def number(text: str, option: Option) -> int:
    """Return a value that must be a whole number."""
    found = whole_number(text)
    if found is None:
        raise OptionError(f"{option.text!r} needs a number, not {text!r}")
    return found


def parse_plain(arguments: Sequence[str], inputs: Inputs) -> Program:
    """Return the program of input and output options only."""
    program = parse_command(arguments, inputs.read_header, no_export)
    if not all(isinstance(rule, Emit) for rule in program.rules) or program.finals:
        raise OptionError("only input and output options are possible here", hint="use aq_pp")
    return program


def no_export(_: ExportRequest) -> NoReturn:
    """Refuse what only ``aq_pp`` can read from."""
    raise OptionError("-exp and -cnt are options of aq_pp")


def columns_of(program: Program) -> dict[str, Reference]:
    """Return the input columns of a program by lower-case name."""
    found: dict[str, Reference] = {}
    for spec in program.inputs:
        for column, slot in zip(spec.columns, spec.slots, strict=True):
            if column.kind:
                found.setdefault(column.folded, Reference(slot, column.name, column.kind))
    return found


def named(columns: dict[str, Reference], name: str, where: str) -> Reference:
    """Return the column of that name."""
    if name.lower() not in columns:
        raise OptionError(f"unknown column {name!r} in {where!r}")
    return columns[name.lower()]
