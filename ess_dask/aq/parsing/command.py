"""The option list of ``aq_pp`` to a program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from ess_dask.aq.columns import ColumnSpec, SpecItem, parse_column
from ess_dask.aq.errors import OptionError
from ess_dask.aq.expression import parse_value
from ess_dask.aq.kinds import Type, Value, storing
from ess_dask.aq.parsing.conditional import ConditionalReader
from ess_dask.aq.parsing.inputs import HeaderReader, column_items, input_spec, split_files
from ess_dask.aq.parsing.outputs import output_spec, select
from ess_dask.aq.parsing.rules import RuleParser
from ess_dask.aq.parsing.scope import Scope
from ess_dask.aq.parsing.tokens import Option, Tokens
from ess_dask.aq.patterns.regex import regex_defaults
from ess_dask.aq.program import (
    Branch,
    Conditional,
    Emit,
    ExportRequest,
    Import,
    ImportRequest,
    InputFormat,
    InputSpec,
    OutputColumn,
    OutputFormat,
    OutputSpec,
    Program,
    Rule,
)
from ess_dask.aq.text import string_constant, whole_number

ExportColumns = Callable[[ExportRequest], tuple[ColumnSpec, ...]]
"""Returns the columns that an export from a store will have."""
ImportColumns = Callable[[ImportRequest], ImportRequest]
"""Returns an import with the columns that its target takes."""

_IMPORT_FLAGS = frozenset(("ddef", "nodelay", "nobnk", "nonew", "noold"))


def parse_command(
    arguments: Sequence[str],
    read_header: HeaderReader,
    export_columns: ExportColumns,
    import_columns: ImportColumns | None = None,
) -> Program:
    """Return the program of an argument list; raise ``OptionError`` for a wrong one."""
    return _CommandParser(arguments, read_header, export_columns, import_columns).program()


class _CommandParser:
    """Reads global, input, preparing, processing and output options in their order."""

    def __init__(
        self,
        arguments: Sequence[str],
        read_header: HeaderReader,
        export_columns: ExportColumns,
        import_columns: ImportColumns | None,
    ) -> None:
        self._tokens = Tokens(arguments)
        self._scope = Scope()
        self._rules = RuleParser(self._tokens, self._scope, read_header)
        self._read_header = read_header
        self._export_columns = export_columns
        self._import_columns = import_columns
        self._main: InputSpec | None = None
        self._inputs: list[InputSpec] = []
        self._export: ExportRequest | None = None
        self._outputs: list[OutputSpec] = []
        self._finals: list[OutputSpec] = []
        self._imports = 0
        self._missing_allowed = False
        self._statistics = self._verbose = False
        self._seed, self._checks = 1, 0
        self._conditions: ConditionalReader[Rule, Rule] = ConditionalReader(
            self._tokens, self._rule, self._check
        )

    def program(self) -> Program:
        """Read all options and return the program."""
        rules: list[Rule] = []
        while self._tokens:
            option = self._tokens.option()
            prepare = _PREPARING.get(option.name)
            if prepare:
                prepare(self, option)
            elif (rule := self._rule(option)) is not None:
                rules.append(rule)
        self._need_columns()
        if not (self._outputs or self._finals or self._imports):
            rules.append(
                self._emit(OutputSpec("-", OutputFormat(), tuple(self._scope.all_columns())))
            )
        return Program(
            tuple(self._inputs),
            self._export,
            tuple(self._scope.kinds),
            tuple(self._scope.variables),
            tuple(rules),
            tuple(self._outputs),
            tuple(self._finals),
            self._seed,
            self._statistics,
            self._verbose,
            self._checks,
        )

    def _need_columns(self) -> None:
        if not self._inputs and not self._export:
            raise OptionError("no input columns are defined", hint="give -d TYPE:name ..")

    def _rule(self, option: Option) -> Rule | None:
        """Return the rule of an option; None for one that belongs to no rule of its own."""
        if option.name in ("-if", "-ifnot"):
            return self._conditional(option)
        special = _EMITTING.get(option.name)
        rule = special(self, option) if special else self._rules.parse(option)
        if rule is None and not special:
            raise OptionError(f"unknown option {option.text!r}", hint="options are case sensitive")
        return rule

    def _conditional(self, option: Option) -> Rule:
        branches, otherwise = self._conditions.read(option)
        return Conditional(tuple(Branch(*branch) for branch in branches), otherwise)

    def _check(self, opener: Option) -> Rule:
        if not self._tokens:
            raise OptionError(f"{opener.text!r} needs a rule to check")
        rule = self._rule(self._tokens.option())
        if rule is None or isinstance(rule, Conditional):
            raise OptionError(f"{opener.text!r} needs a rule to check")
        return rule

    def _set_files(self, option: Option) -> None:
        if self._main or self._export:
            raise OptionError("only one -f is possible", hint="name all files behind it")
        self._main = input_spec(option, self._tokens.values(option, "a file"))
        if self._main.format.name == "aq":
            self._set_data(self._main, self._read_header(self._main))

    def _set_columns(self, option: Option) -> None:
        if self._inputs or self._export:
            raise OptionError("the input columns are defined already")
        self._main = self._main or input_spec(Option("-f", (), "-f"), ())
        texts = self._tokens.values(option, "columns")
        self._set_data(self._main, column_items(texts, self._main.format))

    def _set_data(self, spec: InputSpec, items: tuple[SpecItem, ...]) -> None:
        self._inputs.append(replace(spec, items=items, slots=self._place(items)))

    def _place(self, items: tuple[SpecItem, ...]) -> tuple[int, ...]:
        slots = []
        for item in items:
            if not isinstance(item, ColumnSpec):
                continue
            known = self._scope.find(item.name) if item.kind else None
            if item.kind is None:
                slots.append(-1)
            elif known is None or known.variable:
                slots.append(self._scope.add_column(item).slot)
            elif known.kind is not item.kind:
                raise OptionError(f"column {item.name!r} has another type in the main data")
            else:
                slots.append(known.slot)
        return tuple(slots)

    def _append(self, option: Option) -> None:
        if not self._inputs:
            raise OptionError(f"{option.text!r} must follow -d")
        files, texts = split_files(self._tokens.values(option, "a file and its columns"))
        spec = input_spec(option, files)
        if spec.format.name == "aq":
            self._set_data(spec, self._read_header(spec))
            return
        if not texts:
            raise OptionError(f"option {option.text!r} needs columns behind its files")
        self._set_data(spec, column_items(texts, spec.format))

    def _export_from(self, option: Option) -> None:
        if self._main or self._inputs or self._export:
            raise OptionError(f"{option.text!r} and -f exclude each other")
        words = self._tokens.until("--", option)
        if not words:
            raise OptionError(f"{option.text!r} needs a database")
        name, *options = words
        database, _, table = name.partition(":")
        spec_file = next((a[5:] for a in option.attributes if a.startswith("spec=")), "")
        action: Literal["exp", "cnt"] = "exp" if option.name == "-exp" else "cnt"
        self._export = ExportRequest(action, database, table or ".", spec_file, tuple(options))
        items = self._export_columns(self._export)
        self._inputs.append(InputSpec((), InputFormat(), items, self._place(items)))

    def _set_seed(self, option: Option) -> None:
        text = self._tokens.value(option, "a number")
        seed = whole_number(text)
        if seed is None:
            raise OptionError(f"{option.text!r} needs a number, not {text!r}")
        self._seed = seed

    def _add_variable(self, option: Option) -> None:
        spec = parse_column(self._tokens.value(option, "a column and a value"))
        text = self._tokens.value(option, "a value")
        if spec.kind is None:
            raise OptionError("a variable needs a type and a name")
        self._scope.add_variable(spec, initial_value(spec, text))

    def _alias(self, option: Option) -> None:
        name = self._tokens.value(option, "two names")
        self._scope.alias(name, self._tokens.value(option, "two names"), option.text)

    def _rename(self, option: Option) -> None:
        name = self._tokens.value(option, "two names")
        self._scope.rename(name, self._tokens.value(option, "two names"), option.text)

    def _set_statistics(self, _: Option) -> None:
        self._statistics = True

    def _set_verbose(self, _: Option) -> None:
        self._verbose = True

    def _set_test(self, _: Option) -> None:
        self._checks += 1

    def _set_regex(self, option: Option) -> None:
        text = self._tokens.value(option, "attributes")
        self._rules.default_regex = regex_defaults(text, option.text)

    def _ignore(self, _: Option) -> None:
        """Accept an option of earlier releases that has no meaning any more."""

    def _allow_missing(self, _: Option) -> None:
        self._missing_allowed = True

    def _emit(self, spec: OutputSpec) -> Rule:
        self._outputs.append(spec)
        return Emit(len(self._outputs) - 1)

    def _output(self, option: Option) -> Rule:
        self._need_columns()
        target = self._tokens.value(option, "a file")
        chosen = self._selection(self._scope.all_columns)
        return self._emit(output_spec(option, target, chosen, self._scope))

    def _selected_output(self, option: Option) -> Rule:
        texts = self._tokens.values(option, "columns")
        chosen = self._select(texts, self._scope.all_columns, option)
        return self._emit(output_spec(Option("-o", (), "-o"), "-", chosen, self._scope))

    def _selection(self, everything: Callable[[], list[OutputColumn]]) -> tuple[OutputColumn, ...]:
        if self._tokens.peek() != "-c":
            return tuple(everything())
        option = self._tokens.option()
        texts = self._tokens.values(option, "columns")
        return self._select(texts, everything, option)

    def _select(
        self, texts: list[str], everything: Callable[[], list[OutputColumn]], option: Option
    ) -> tuple[OutputColumn, ...]:
        def group(text: str) -> list[OutputColumn] | None:
            return everything() if text == "*" else None

        return select(texts, self._scope.need, group, option.text)

    def _final(self, option: Option) -> Rule | None:
        target = self._tokens.value(option, "a file")
        chosen = self._selection(self._scope.all_variables)
        self._finals.append(output_spec(option, target, chosen, self._scope))
        return None

    def _import(self, option: Option) -> Rule:
        database, _, table = self._tokens.value(option, "a database").partition(":")
        flags, spec_file, segment = set(), "", ""
        for attribute in option.attributes:
            if attribute.startswith("spec="):
                spec_file = attribute[5:]
            elif attribute.startswith("seg="):
                segment = attribute[4:]
            elif attribute in _IMPORT_FLAGS:
                flags.add(attribute)
            else:
                raise OptionError(f"unknown attribute {attribute!r} in {option.text!r}")
        if self._missing_allowed:
            flags.add("ddef")
        columns = tuple((column.name, column) for column in self._scope.settable())
        servers, local, module = self._import_options()
        request = ImportRequest(
            database,
            table or ".",
            columns,
            spec_file,
            frozenset(flags),
            segment,
            servers,
            local,
            module,
        )
        if self._import_columns:
            request = self._import_columns(request)
        self._imports += 1
        return Import(request, self._imports - 1)

    def _import_options(self) -> tuple[tuple[str, ...], bool, tuple[str, ...]]:
        servers: list[str] = []
        module: list[str] = []
        local = False
        while self._tokens.peek() in ("-server", "-local", "-mod"):
            option = self._tokens.option()
            if option.name == "-local":
                local = True
            elif option.name == "-server":
                servers.extend(self._tokens.values(option, "an address"))
            else:
                module = self._tokens.values(option, "a module")
        return tuple(servers), local, tuple(module)


def initial_value(spec: ColumnSpec, text: str) -> Value:
    """Return the initial value of a variable; unquoted strings are the old spelling."""
    assert spec.kind
    if spec.kind.type is Type.STR:
        if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
            return string_constant(text)[0]
        return text
    source = (
        Type.FLOAT
        if spec.kind.type is Type.INT and not text.lstrip("+-").isdigit()
        else spec.kind.type
    )
    value = parse_value(text, source)
    store = storing(source, spec.kind)
    if value is None or store is None:
        raise OptionError(f"variable {spec.name!r} cannot be {text!r}")
    return store(value)


_PREPARING: dict[str, Callable[[_CommandParser, Option], None]] = {
    "-f": _CommandParser._set_files,
    "-d": _CommandParser._set_columns,
    "-cat": _CommandParser._append,
    "-exp": _CommandParser._export_from,
    "-cnt": _CommandParser._export_from,
    "-seed": _CommandParser._set_seed,
    "-var": _CommandParser._add_variable,
    "-alias": _CommandParser._alias,
    "-renam": _CommandParser._rename,
    "-stat": _CommandParser._set_statistics,
    "-verb": _CommandParser._set_verbose,
    "-test": _CommandParser._set_test,
    "-rx": _CommandParser._set_regex,
    "-udb": _CommandParser._ignore,
    "-ddef": _CommandParser._allow_missing,
}
_EMITTING: dict[str, Callable[[_CommandParser, Option], Rule | None]] = {
    "-o": _CommandParser._output,
    "-c": _CommandParser._selected_output,
    "-ovar": _CommandParser._final,
    "-imp": _CommandParser._import,
}
