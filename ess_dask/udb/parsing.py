"""The options of an export, count or scan to a request."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import field, replace
from typing import Literal

from ess_dask.aq.columns import ColumnSpec
from ess_dask.aq.errors import OptionError
from ess_dask.aq.expression import parse_expression
from ess_dask.aq.kinds import Value, storing
from ess_dask.aq.parsing.command import initial_value
from ess_dask.aq.parsing.conditional import ConditionalReader
from ess_dask.aq.parsing.outputs import output_format
from ess_dask.aq.parsing.tokens import Option, Tokens, split_option
from ess_dask.aq.patterns.regex import regex_defaults
from ess_dask.aq.program import Eval, Filter, OutputColumn, OutputFormat, OutputSpec
from ess_dask.aq.tree import Node, Reference
from ess_dask.dataclass import dataclass
from ess_dask.udb.columns import counted, selected
from ess_dask.udb.model import (
    Case,
    Choice,
    Delete,
    Destination,
    Goto,
    Limits,
    Request,
    Rule,
    Sort,
    Stage,
)
from ess_dask.udb.names import StageNames
from ess_dask.udb.sampling import Sample, parse_sample
from ess_dask.udb.specs import Database, Entity

Action = Literal["exp", "cnt", "scn"]
_OLD_NAMES = {"next_bucket": "next_key", "proc_bucket": "proc_key"}
_IN_GROUPS: tuple[Destination, ...] = ("next_row", "next_pp", "proc_key", "next_key")
_OUTSIDE: tuple[Destination, ...] = ("next_row", "next_key")


@dataclass(slots=True)
class _Open:
    """A stage whose options are being read."""

    names: StageNames
    rules: list[Rule] = field(default_factory=list)
    each_key: list[tuple[Reference, Value]] = field(default_factory=list)
    post: Destination = "next_pp"
    is_group: bool = False

    def stage(self) -> Stage:
        return Stage(
            self.names.target,
            tuple(self.names.slots),
            tuple(self.names.kinds),
            tuple(self.rules),
            tuple(self.each_key),
            self.post,
        )


def parse_request(
    action: Action, database: Database, table: str, attributes: Sequence[str], tokens: Tokens
) -> Request:
    """Return the request that the options up to the end of ``tokens`` make."""
    parser = _RequestParser(action, database, database.need(table, f"-{action}"), tokens)
    return parser.request(attributes, counts_rows=table not in ("", "."))


class _RequestParser:
    def __init__(self, action: Action, database: Database, target: Entity, tokens: Tokens) -> None:
        self._action = action
        self._database = database
        self._tokens = tokens
        self._main = _Open(StageNames(database, target))
        self._stage = self._main
        self._groups: list[Stage] = []
        self._settings: list[tuple[Reference, Value]] = []
        self._outputs: list[tuple[str, OutputFormat, tuple[OutputColumn, ...]]] = []
        self._sort: Sort | None = None
        self._limits = Limits()
        self._seed = 1
        self._default_regex: frozenset[str] = frozenset()
        self._conditions: ConditionalReader[Rule, Eval | Filter] = ConditionalReader(
            self._tokens, self._rule, self._check
        )

    def request(self, attributes: Sequence[str], *, counts_rows: bool) -> Request:
        sample = self._attributes(attributes)
        while self._tokens:
            option = self._tokens.option()
            handle = _OPTIONS.get(option.name)
            rule = None if handle else self._rule(option)
            if handle:
                handle(self, option)
            elif rule is not None:
                self._main.rules.append(rule)
        outputs = self._all_outputs()
        return Request(
            self._action,
            self._database,
            counts_rows,
            tuple(self._groups),
            self._main.stage(),
            tuple(self._settings),
            outputs,
            self._sort,
            self._limits,
            sample,
            self._seed,
        )

    def _attributes(self, attributes: Sequence[str]) -> Sample | None:
        sample = None
        for attribute in attributes:
            if attribute.startswith("seg=") and self._action != "scn":
                sample = parse_sample(attribute[4:], f"-{self._action}")
            elif attribute != "asis" and not attribute.startswith("spec="):
                raise OptionError(f"unknown attribute {attribute!r} in -{self._action}")
        return sample

    def _rule(self, option: Option) -> Rule:
        if option.name in ("-if", "-ifnot"):
            return self._choice(option)
        handle = _RULES.get(option.name)
        if handle is None:
            raise OptionError(
                f"unknown option {option.text!r} for -{self._action}",
                hint="options are case sensitive",
            )
        return handle(self, option)

    def _eval(self, option: Option) -> Eval:
        names = self._stage.names
        name = self._tokens.value(option, "a column and an expression")
        text = self._tokens.value(option, "an expression")
        expression = self._expression(text)
        if name == "-":
            return Eval(None, expression)
        target = names.need(name, option.text)
        if names.is_key(target):
            raise OptionError(f"{option.text}: {name!r} is part of the key and cannot be set")
        if storing(expression.type, target.kind) is None:
            raise OptionError(
                f"column {name!r} cannot hold the {expression.type.value} {text!r}",
                hint="convert with ToS(), ToI(), ToF() or ToIP()",
            )
        return Eval(target, expression)

    def _filter(self, option: Option) -> Filter:
        text = self._tokens.value(option, "a condition")
        return Filter(self._expression(text))

    def _expression(self, text: str) -> Node:
        names = self._stage.names
        return parse_expression(names.readable(text), names, self._default_regex)

    def _goto(self, option: Option) -> Goto:
        return Goto(self._destination(self._tokens.value(option, "a destination"), option.text))

    def _delete(self, option: Option) -> Delete:
        row = option.name == "-del_row"
        if self._stage.names.target.role == "variables":
            raise OptionError(
                f"{option.text}: variables cannot be deleted", hint="-clr resets them"
            )
        to: Destination = "next_row" if row else "next_key"
        for attribute in option.attributes:
            if not attribute.startswith("post="):
                raise OptionError(f"unknown attribute {attribute!r} in {option.text!r}")
            to = self._destination(attribute[5:], option.text)
        return Delete("row" if row else "key", to if row else "next_key")

    def _destination(self, name: str, where: str) -> Destination:
        name = _OLD_NAMES.get(name.lower(), name.lower())
        allowed = _IN_GROUPS if self._stage.is_group else _OUTSIDE
        if name not in allowed:
            raise OptionError(
                f"{where}: there is no destination {name!r} here", hint=" ".join(allowed)
            )
        return name

    def _choice(self, opener: Option) -> Choice:
        cases, otherwise = self._conditions.read(opener)
        return Choice(tuple(Case(*case) for case in cases), otherwise)

    def _check(self, opener: Option) -> Eval | Filter:
        rule = self._rule(self._tokens.option()) if self._tokens else None
        if not isinstance(rule, Eval | Filter):
            raise OptionError(f"{opener.text!r} needs -eval or -filt to check")
        return rule

    def _group(self, option: Option) -> None:
        name = self._tokens.value(option, "a table")
        entity = self._database.need(name, option.text)
        if self._main.names.target.role == "variables":
            raise OptionError(f"{option.text!r}: variables belong to no key")
        self._stage = _Open(StageNames(self._database, entity), is_group=True)
        for attribute in option.attributes:
            if not attribute.startswith("post="):
                raise OptionError(f"unknown attribute {attribute!r} in {option.text!r}")
            self._post(attribute[5:], option.text)
        while self._tokens and not self._leaves_group():
            inner = self._tokens.option()
            if inner.name == "-endpp":
                break
            if inner.name == "-bvar":
                self._each_key(inner)
            elif inner.name in ("-end_of_scan", "-pp_end_of_scan"):
                self._post(self._tokens.value(inner, "a destination"), inner.text)
            else:
                self._stage.rules.append(self._rule(inner))
        self._groups.append(self._stage.stage())
        self._stage = self._main

    def _leaves_group(self) -> bool:
        # Only before rules of the export itself does a group need its -endpp.
        name = split_option(self._tokens.peek() or "").name
        return name in _OPTIONS and name != "-bvar"

    def _post(self, name: str, where: str) -> None:
        self._stage.post = self._destination(name, where)

    def _each_key(self, option: Option) -> None:
        self._stage.each_key.append(self._setting(option))

    def _set(self, option: Option) -> None:
        self._settings.append(self._setting(option))

    def _setting(self, option: Option) -> tuple[Reference, Value]:
        name = self._tokens.value(option, "a variable and its value")
        text = self._tokens.value(option, "a value")
        reference = self._stage.names.variable(name, option.text)
        return reference, initial_value(ColumnSpec(reference.kind, name), text)

    def _module(self, option: Option) -> None:
        raise OptionError(
            f"{option.text} {self._tokens.value(option, 'a module')}:"
            " native modules are not supported",
            hint="rules, or Python over the exported table, do the same",
        )

    def _set_sort(self, option: Option) -> None:
        if self._action != "exp":
            raise OptionError(f"{option.text!r} is for -exp only")
        names = self._tokens.values(option, "columns")
        columns = tuple(self._main.names.need(name, option.text) for name in names)
        for attribute in option.attributes:
            if attribute not in ("ncas", "dec"):
                raise OptionError(f"unknown attribute {attribute!r} in {option.text!r}")
        self._sort = Sort(columns, option.flag("ncas"), option.flag("dec"))

    def _descending(self, option: Option) -> None:
        if self._sort is None:
            raise OptionError(f"{option.text!r} must follow -sort")
        self._sort = replace(self._sort, descending=True)

    def _number(self, option: Option) -> int:
        text = self._tokens.value(option, "a number")
        if not re.fullmatch(r"\d{1,18}", text, re.ASCII):
            raise OptionError(f"{option.text!r} needs a number, not {text!r}")
        return int(text)

    def _set_seed(self, option: Option) -> None:
        self._seed = self._number(option)

    def _set_regex(self, option: Option) -> None:
        text = self._tokens.value(option, "attributes")
        self._default_regex = regex_defaults(text, option.text)

    def _limit(self, option: Option) -> None:
        number = self._number(option)
        match option.name:
            case "-lim_key" | "-lim_usr":
                self._limits = replace(self._limits, keys=number)
            case "-lim_rec":
                self._limits = replace(self._limits, records=number)
            case "-key_rec":
                self._limits = replace(self._limits, per_key=number)
            case _:
                self._limits = replace(self._limits, top=number)

    def _output(self, option: Option) -> None:
        target = self._tokens.value(option, "a file")
        columns: tuple[OutputColumn, ...] = ()
        if self._tokens.peek() == "-c":
            columns = self._selection(self._tokens.option())
        self._outputs.append((target, output_format(option), columns))

    def _select(self, option: Option) -> None:
        self._outputs.append(("-", OutputFormat(), self._selection(option)))

    def _selection(self, option: Option) -> tuple[OutputColumn, ...]:
        texts = self._tokens.values(option, "columns")
        if self._action != "exp":
            raise OptionError(f"{option.text!r} is for -exp only")
        return selected(texts, self._main.names, option.text)

    def _all_outputs(self) -> tuple[OutputSpec, ...]:
        if self._action == "scn":
            if self._outputs:
                raise OptionError("-scn has no output", hint="-exp has")
            return ()
        everything = (
            counted()
            if self._action == "cnt"
            else tuple(self._main.names.everything("", key=True, where="-exp"))
        )
        chosen = self._outputs or [("-", OutputFormat(), everything)]
        return tuple(
            OutputSpec(target, form, columns or everything) for target, form, columns in chosen
        )


_OPTIONS: dict[str, Callable[[_RequestParser, Option], None]] = {
    "-pp": _RequestParser._group,
    "-var": _RequestParser._set,
    "-bvar": _RequestParser._each_key,
    "-mod": _RequestParser._module,
    "-sort": _RequestParser._set_sort,
    "-dec": _RequestParser._descending,
    "-seed": _RequestParser._set_seed,
    "-rx": _RequestParser._set_regex,
    "-lim_key": _RequestParser._limit,
    "-lim_usr": _RequestParser._limit,
    "-lim_rec": _RequestParser._limit,
    "-key_rec": _RequestParser._limit,
    "-top": _RequestParser._limit,
    "-o": _RequestParser._output,
    "-c": _RequestParser._select,
}
_RULES: dict[str, Callable[[_RequestParser, Option], Rule]] = {
    "-eval": _RequestParser._eval,
    "-filt": _RequestParser._filter,
    "-goto": _RequestParser._goto,
    "-del_row": _RequestParser._delete,
    "-del_key": _RequestParser._delete,
}
