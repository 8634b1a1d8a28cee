"""The processing options, each to one rule."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from ess_dask.aq.columns import ColumnSpec, SpecItem, parse_column
from ess_dask.aq.errors import OptionError
from ess_dask.aq.expression import parse_expression
from ess_dask.aq.kinds import Kind, Type, storing
from ess_dask.aq.parsing.inputs import (
    HeaderReader,
    column_items,
    column_named,
    input_spec,
    lookup_columns,
    split_files,
)
from ess_dask.aq.parsing.scope import Scope
from ess_dask.aq.parsing.tokens import Option, Tokens, is_option
from ess_dask.aq.patterns.extract import compile_extraction
from ess_dask.aq.patterns.regex import REGEX_ATTRIBUTES, compile_regex, is_regex, with_defaults
from ess_dask.aq.patterns.render import Template, Variable, parse_template
from ess_dask.aq.program import (
    Always,
    Combine,
    Eval,
    Extract,
    Filter,
    Grep,
    InputSpec,
    KeyDecode,
    KeyEncode,
    KeyField,
    Matcher,
    Message,
    Render,
    Rewrite,
    Rule,
    Stop,
    Substitute,
    Unwrap,
)
from ess_dask.aq.text import string_constant
from ess_dask.aq.tree import Node, Reference

_SUB_WORDS = frozenset(("from", "to"))
_GREP_WORDS = frozenset(("from",))


class RuleParser:
    """Parses one processing option after the other against the names known so far.

    ``default_regex`` are the attributes ``-rx`` sets for regular expressions.
    """

    def __init__(self, tokens: Tokens, scope: Scope, read_header: HeaderReader) -> None:
        self._read_header = read_header
        self._tokens = tokens
        self._scope = scope
        self.default_regex: frozenset[str] = frozenset()

    def parse(self, option: Option) -> Rule | None:
        """Return the rule of ``option``; None if it is no processing option."""
        make = _RULES.get(option.name)
        return make(self, option) if make else None

    def _eval(self, option: Option) -> Rule:
        name = self._tokens.value(option, "a column and an expression")
        text = self._tokens.value(option, "an expression")
        if name == "-":
            return Eval(None, self._expression(text))
        target, new = self._scope.target(name, option.text)
        expression = self._expression(text)
        if storing(expression.type, target.kind) is None:
            raise OptionError(
                f"column {target.name!r} cannot hold the {expression.type.value} {text!r}",
                hint="convert with ToS(), ToI(), ToF() or ToIP()",
            )
        self._scope.define(new)
        return Eval(target, expression)

    def _filter(self, option: Option) -> Rule:
        text = self._tokens.value(option, "a condition")
        return Filter(self._expression(text))

    def _expression(self, text: str) -> Node:
        return parse_expression(text, self._scope, self.default_regex)

    def _matcher(self, option: Option, rule: str) -> Matcher:
        unknown = set(option.attributes) - REGEX_ATTRIBUTES
        if unknown:
            raise OptionError(f"unknown attribute {sorted(unknown)[0]!r} in {option.text!r}")
        attributes = frozenset(option.attributes)
        if is_regex(attributes):
            attributes = with_defaults(attributes, self.default_regex)
            compile_regex(rule, attributes)
        else:
            compile_extraction(rule, ncas="ncas" in attributes)
        return Matcher(rule, attributes)

    def _text_column(self, name: str, option: Option) -> Reference:
        column = self._scope.need(name, option.text)
        if column.kind is not Kind.S:
            raise OptionError(f"column {name!r} in {option.text!r} must be a string")
        return column

    def _extract(self, option: Option) -> Rule:
        column = self._text_column(self._tokens.value(option, "a column and a rule"), option)
        matcher = self._matcher(option, self._tokens.value(option, "a rule"))
        return Extract(column, matcher, self._slots(matcher))

    def _slots(self, matcher: Matcher) -> tuple[int, ...]:
        if not is_regex(matcher.attributes):
            names = compile_extraction(matcher.rule, ncas="ncas" in matcher.attributes).names
            return tuple(self._scope.extracted(name) for name in names)
        regex = compile_regex(matcher.rule, matcher.attributes)
        slots = self._scope.extracted_groups(regex.groups + 1)
        return slots + tuple(self._scope.extracted(name) for name in regex.names)

    def _template(self, text: str) -> tuple[Template, tuple[tuple[str, int], ...]]:
        template = parse_template(text)
        names = dict.fromkeys(part.name for part in template if isinstance(part, Variable))
        return template, tuple((name, self._scope.mapped_slot(name)) for name in names)

    def _render(self, option: Option) -> Rule:
        name = self._tokens.value(option, "a column and a template")
        target, new = self._scope.target(name, option.text)
        if target.kind is not Kind.S:
            raise OptionError(f"column {name!r} in {option.text!r} must be a string")
        template, slots = self._template(self._tokens.value(option, "a template"))
        self._scope.define(new)
        return Render(target, template, slots)

    def _rewrite(self, option: Option) -> Rule:
        column = self._text_column(self._tokens.value(option, "a column, rule, template"), option)
        matcher = self._matcher(option, self._tokens.value(option, "a rule"))
        template, slots = self._template(self._tokens.value(option, "a template"))
        return Rewrite(column, matcher, template, slots)

    def _key_encode(self, option: Option) -> Rule:
        name, *names = self._tokens.values(option, "a key column and its sources")
        target, new = self._scope.target(name, option.text)
        if target.kind is not Kind.S or not names:
            raise OptionError(f"{option.text!r} needs a string column and its sources")
        sources = tuple(self._scope.need(source, option.text) for source in names)
        self._scope.define(new)
        return KeyEncode(target, sources)

    def _key_decode(self, option: Option) -> Rule:
        name, *texts = self._tokens.values(option, "a key column and its fields")
        key = self._text_column(name, option)
        return KeyDecode(key, tuple(self._key_field(text, option) for text in texts))

    def _key_field(self, text: str, option: Option) -> KeyField:
        kept = text.endswith("+")
        text = text.removesuffix("+")
        if ":" not in text:
            target = self._scope.need(text, option.text)
            return KeyField(target.kind, target, kept)
        spec = parse_column(text, nameless=True)
        if spec.kind is None:
            raise OptionError(f"a key field needs a type: {text!r}")
        return KeyField(spec.kind, self._scope.add_column(spec) if spec.name else None, kept)

    def _table(
        self, option: Option, own: frozenset[str], words: frozenset[str], default: list[str]
    ) -> InputSpec:
        texts = self._tokens.values(option, "a file")
        files, specs = split_files(texts, words)
        spec = input_spec(option, files, own)
        if spec.format.name == "aq":
            return replace(spec, items=self._own_columns(spec, specs, option))
        return replace(spec, items=lookup_columns(specs or default, words, spec.format))

    def _own_columns(
        self, spec: InputSpec, specs: Sequence[str], option: Option
    ) -> tuple[SpecItem, ...]:
        """Return the columns that an input of the format ``aq`` brings along."""
        if specs:
            raise OptionError(f"{option.text!r} takes no columns", hint="the files name theirs")
        return self._read_header(spec)

    def _substitute(self, option: Option) -> Rule:
        column = self._text_column(self._tokens.value(option, "a column and a file"), option)
        own = frozenset(("ncas", "pat", "req", "all"))
        table = self._table(option, own, _SUB_WORDS, ["from", "to"])
        return Substitute(
            column,
            table,
            column_named(table.columns, "from", option.text),
            column_named(table.columns, "to", option.text),
            *(option.flag(name) for name in ("ncas", "pat", "req", "all")),
        )

    def _grep(self, option: Option) -> Rule:
        column = self._text_column(self._tokens.value(option, "a column and a file"), option)
        own = frozenset(("ncas", "pat", "rev"))
        table = self._table(option, own, _GREP_WORDS, ["from"])
        return Grep(
            column,
            table,
            column_named(table.columns, "from", option.text),
            *(option.flag(name) for name in ("ncas", "pat", "rev")),
        )

    def _combine(self, option: Option) -> Rule:
        own = frozenset(("ncas", "req", "all", "mrg", "dec"))
        files, texts = split_files(self._tokens.values(option, "a file and its columns"))
        spec = input_spec(option, files, own)
        if spec.format.name == "aq":
            items = self._own_columns(spec, texts, option)
        else:
            items = column_items(texts, spec.format)
        table = replace(spec, items=items)
        keys, values = self._join(table.columns, option)
        if not keys:
            raise OptionError(f"{option.text!r} has no key", hint="name a column as in the data")
        return Combine(
            table,
            keys,
            values,
            option.flag("ncas"),
            option.flag("req"),
            option.flag("all"),
            "desc" if option.flag("dec") else "asc" if option.flag("mrg") else "",
        )

    def _join(
        self, columns: tuple[ColumnSpec, ...], option: Option
    ) -> tuple[tuple[tuple[Reference, int], ...], tuple[tuple[Reference, int], ...]]:
        keys: list[tuple[Reference, int]] = []
        values: list[tuple[Reference, int]] = []
        for at, column in enumerate(columns):
            if column.kind is None:
                continue
            known = self._scope.find(column.name)
            if "key" in column.flags and known is None:
                raise OptionError(f"key column {column.name!r} in {option.text!r} is unknown")
            if known is not None and "cmb" not in column.flags:
                _check_join(column, known, option)
                keys.append((known, at))
            else:
                target = known or self._scope.add_column(column)
                if storing(column.kind.type, target.kind) is None:
                    raise OptionError(f"column {column.name!r} has another type in {option.text!r}")
                values.append((target, at))
        return tuple(keys), tuple(values)

    def _module(self, option: Option) -> Rule:
        spec = self._tokens.value(option, "a module")
        if self._tokens and not is_option(self._tokens.following()):
            source = self._tokens.value(option, "a source")
            raise OptionError(
                f"module source {source!r}: native modules are not supported",
                hint="write a Python cleaning step instead",
            )
        name, arguments = module_call(spec)
        if name != "unwrap_strv":
            raise OptionError(f"unknown module {name!r}", hint="there is unwrap_strv")
        if len(arguments) not in (3, 4) or len(arguments[1]) != 1:
            raise OptionError(
                f"bad arguments in {spec!r}", hint='unwrap_strv("From","c","To"[,"relax,noblank"])'
            )
        attributes = arguments[3].split(",") if len(arguments) == 4 else []
        return Unwrap(
            self._text_column(arguments[0], option),
            arguments[1],
            self._text_column(arguments[2], option),
            "relax" in attributes,
            "noblank" in attributes,
        )

    def _message(self, option: Option) -> Rule:
        return Message(self._tokens.value(option, "a text"))

    def _always(self, option: Option) -> Rule:
        return Always(option.name == "-true")

    def _stop(self, option: Option) -> Rule:
        how = option.name[1:]
        assert how in ("skip", "quit", "quitafter")
        return Stop(how)  # type: ignore[arg-type]


def _check_join(column: ColumnSpec, known: Reference, option: Option) -> None:
    assert column.kind
    numbers = column.kind.type.is_number and known.type.is_number
    if column.kind.type is not known.type and not (
        numbers and Type.FLOAT not in (column.kind.type, known.type)
    ):
        raise OptionError(f"key {column.name!r} has another type in {option.text!r}")


_MODULE = re.compile(r"\s*(\w+)\s*(?:\((.*)\))?\s*", re.DOTALL)


def module_call(text: str) -> tuple[str, list[str]]:
    """Return name and string arguments of ``name("a","b")``."""
    match = _MODULE.fullmatch(text)
    if match is None:
        raise OptionError(f"bad module call {text!r}")
    body, at = (match[2] or "").strip(), 0
    arguments = []
    while at < len(body):
        value, at = string_constant(body, at)
        arguments.append(value)
        rest = re.compile(r"\s*,?\s*").match(body, at)
        assert rest
        at = rest.end()
    return match[1], arguments


_RULES: dict[str, Callable[[RuleParser, Option], Rule]] = {
    "-eval": RuleParser._eval,
    "-filt": RuleParser._filter,
    "-mapf": RuleParser._extract,
    "-mapc": RuleParser._render,
    "-map": RuleParser._rewrite,
    "-kenc": RuleParser._key_encode,
    "-kdec": RuleParser._key_decode,
    "-sub": RuleParser._substitute,
    "-grep": RuleParser._grep,
    "-cmb": RuleParser._combine,
    "-pmod": RuleParser._module,
    "-mesg": RuleParser._message,
    "-true": RuleParser._always,
    "-false": RuleParser._always,
    "-skip": RuleParser._stop,
    "-quit": RuleParser._stop,
    "-quitafter": RuleParser._stop,
}
