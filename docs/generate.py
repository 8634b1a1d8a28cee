"""Writes the pages of ``docs/reference`` from the code: ``.venv/bin/python docs/generate.py``.

A test compares each page with what is written here, so that none of them can grow old.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from ess_dask.dataclass import dataclass

FOLDER = Path(__file__).parent / "reference"
EXAMPLE_PROFILE = Path(__file__).parents[1] / "configs" / "example.yaml"

WIDTH = 72
"""Characters of a signature that stand in one line."""

CODES = {
    0: ("done", ""),
    1: ("failed, and trying again may help", "run the same command again"),
    2: ("the command line, a setting or a file of settings is wrong", "nothing was done; see hint"),
    3: ("the data or a permission is not as it must be", "trying again does not help; see hint"),
    4: ("more rows were rejected than the limit allows", "nothing is published; see the rejects"),
    75: ("another process holds what is needed", "run it again later; the holder is named"),
    130: ("interrupted", "run the same command again: what is done is not done twice"),
}

STATE_VARIABLES = {
    "ESS_PROFILE": "Name of the profile: `configs/NAME.yaml`, then `~/.config/ess/NAME.yaml`.",
    "ESS_CACHE_DIR": "State of the user (default `~/.ess`): catalogue, local cluster, runs.",
    "ESS_WORK_DIR": "State of the working folder (default `./.conf`): database definitions.",
    "ESS_REDSHIFT_PASSWORD": "Password of a Redshift URL's user; see the page on connections.",
}


def cli_page() -> str:
    """Return the reference of every command, in the order of ``ess --help``."""
    from ess_dask.cli.main import COMMANDS, ess

    lines = [
        "# Commands",
        "",
        "`ess --help` lists them, `ess COMMAND --help` explains one. Data goes to stdout and all",
        "else to stderr. What an exit code means stands in [exit-codes.md](exit-codes.md).",
        "",
    ]
    root = click.Context(ess, info_name="ess")
    lines += _options(ess, root)
    for name in sorted(COMMANDS):
        command = ess.get_command(root, name)
        assert command is not None
        lines += _command(command, click.Context(command, info_name=name, parent=root))
    return "\n".join(lines).rstrip() + "\n"


def _command(command: click.Command, context: click.Context, level: int = 2) -> Iterator[str]:
    yield f"{'#' * level} {context.command_path}"
    yield ""
    group = isinstance(command, click.Group)
    if not group:
        pieces = " ".join(command.collect_usage_pieces(context))
        yield from ("```text", f"{context.command_path} {pieces}".rstrip(), "```", "")
    yield from (_markdown(command.help or ""), "")
    yield from _options(command, context)
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            inner = command.commands[name]
            child = click.Context(inner, info_name=name, parent=context)
            yield from _command(inner, child, level + 1)


def _options(command: click.Command, context: click.Context) -> list[str]:
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    rows = [
        (_code(name), meaning)
        for name, meaning in filter(None, records)
        if meaning and "--help" not in name
    ]
    return [*_table(("option", "meaning"), rows), ""] if rows else []


def settings_page() -> str:
    """Return the reference of every setting."""
    from ess_dask.settings import NAMES, Settings, description, env_name, unit, written

    defaults = Settings()
    rows = [
        (
            _code(name),
            _code(env_name(name)),
            _code(written(name, getattr(defaults, name))),
            unit(name),
            description(name),
        )
        for name in NAMES
    ]
    return "\n".join(
        [
            "# Settings",
            "",
            "The first of these that gives a value decides: a flag of the command, the environment",
            "variable, `settings:` of the pipeline file, the profile, the default. `ess config",
            "--show-origin` prints the settings in force and where each comes from. Sizes are",
            "written `64MiB`, times `90s`, `15m` or `1h`. No setting holds a secret.",
            "",
            *_table(("setting", "environment", "default", "unit", "meaning"), rows),
            "",
            "## Other variables",
            "",
            *_table(("variable", "meaning"), [(_code(k), v) for k, v in STATE_VARIABLES.items()]),
            "",
            "AWS's own variables (`AWS_PROFILE`, `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL` ...) mean",
            "what they mean everywhere.",
            "",
        ]
    )


def example_profile() -> str:
    """Return the profile that shows every setting with its default, as comments."""
    from ess_dask.settings import NAMES, Settings, description, unit, written

    lines = [
        "# Every setting with its default. Copy to configs/NAME.yaml, uncomment what you change,",
        "# and use it so: `ess --profile NAME ...`. Flags, ESS_<NAME> variables and the pipeline",
        "# file go before it.",
        "",
    ]
    for name in NAMES:
        about = description(name) + (f" Unit: {unit(name)}." if unit(name) else "")
        lines += textwrap.wrap(about, 98, initial_indent="## ", subsequent_indent="## ")
        lines.append(f"# {name}: {written(name, getattr(Settings(), name))}")
    return "\n".join(lines) + "\n"


def exit_codes_page() -> str:
    """Return the table of exit codes and the errors behind each."""
    from ess_dask import errors

    kinds = [
        kind
        for kind in vars(errors).values()
        if inspect.isclass(kind) and issubclass(kind, errors.EssError)
    ]
    codes = [(f"**{code}**", meaning, then) for code, (meaning, then) in sorted(CODES.items())]
    named = [
        (_code(kind.__name__), str(kind.exit_code), _parent(kind), _markdown(inspect.getdoc(kind)))
        for kind in sorted(kinds, key=lambda kind: kind.exit_code)
    ]
    return "\n".join(
        [
            "# Exit codes and errors",
            "",
            *_table(("code", "meaning", "what to do"), codes),
            "",
            "From Python the same failures are exceptions (`ess_dask.errors`). Each has a",
            "`message`, a `hint` and an `exit_code`; the command line prints the first two and",
            "ends with the third.",
            "",
            *_table(("error", "code", "is a", "says"), named),
            "",
        ]
    )


def _parent(kind: type) -> str:
    return _code(kind.__mro__[1].__name__)


def pipeline_page() -> str:
    """Return the reference of the pipeline file, section by section."""
    from ess_dask.pipelines.schema import json_schema

    schema = json_schema()
    lines = [
        "# The pipeline file",
        "",
        "A YAML file. [pipeline.schema.json](pipeline.schema.json) says the same for editors. In",
        "any value `${NAME}` and `${NAME:-default}` are filled in from the environment. A key that",
        "stands twice, or that is not known, is an error with its `file:line:column`.",
        "",
        *_fields(schema),
    ]
    for name, field in schema["properties"].items():
        section = schema["$defs"].get(name.capitalize()) or field.get("items")
        if section and "properties" in section:
            lines += [f"## {name}", "", *_fields(section)]
            lines += _inner_sections(name, section, schema["$defs"])
    return "\n".join(lines).rstrip() + "\n"


def _inner_sections(name: str, section: dict[str, Any], known: dict[str, Any]) -> Iterator[str]:
    """Write the mappings that stand inside a section."""
    for key, field in section["properties"].items():
        inner = known.get(str(field.get("$ref", "")).rpartition("/")[2], {})
        if "properties" in inner:
            yield from (f"### {name}.{key}", "", *_fields(inner))


def _fields(schema: dict[str, Any]) -> list[str]:
    rows = [
        (
            _code(name),
            "required" if name in schema.get("required", ()) else _default(field),
            _meaning(field),
        )
        for name, field in schema["properties"].items()
    ]
    return [*_table(("key", "default", "meaning"), rows), ""]


def _meaning(field: dict[str, Any]) -> str:
    described = str(field.get("description", ""))
    values = field.get("enum", ())
    if all(str(value) in described for value in values):
        return described
    return f"{described} One of {', '.join(map(_code, values))}."


def _default(field: dict[str, Any]) -> str:
    value = field.get("default")
    if value in (None, "", [], {}) or isinstance(value, dict):
        return ""
    return _code(str(value).lower() if isinstance(value, bool) else str(value))


def python_page() -> str:
    """Return the reference of everything that ``ess_dask`` exports: functions, classes, errors."""
    import ess_dask

    lines = [
        "# Python",
        "",
        "`import ess_dask as ess` imports nothing heavy: each name is made at its first use.",
        "pandas frames have Arrow-backed columns, so types and nulls are exact. Errors are those",
        "of the command line, see [exit codes](exit-codes.md).",
        "",
    ]
    for name in sorted(ess_dask.__all__, key=_chapter):
        value = _exported(name)
        if inspect.isclass(value):
            lines += _class(name, value)
        elif callable(value):
            lines += [*_signature(f"ess.{name}", value, 2), _markdown(inspect.getdoc(value)), ""]
        else:
            lines += [f"## ess.{name}", "", "The installed version, a text.", ""]
    return "\n".join(lines).rstrip() + "\n"


def _exported(name: str) -> Any:
    """Return what is exported from where it is made: `ess.aq` may be the room of that name."""
    import ess_dask

    homes = (home for home, names in ess_dask._HOMES.items() if name in names)
    return getattr(importlib.import_module(next(homes, "ess_dask")), name)


def _chapter(name: str) -> tuple[int, str]:
    """Functions come first, then what they return, then warnings and errors."""
    value = _exported(name)
    if not inspect.isclass(value):
        return (0 if callable(value) else 3), name
    return (2 if issubclass(value, BaseException) else 1), name


def _class(name: str, kind: type) -> Iterator[str]:
    yield from (f"## ess.{name}", "", _markdown(inspect.getdoc(kind)), "")
    if dataclasses.is_dataclass(kind):
        fields = [f"`{each.name}: {each.type}`" for each in dataclasses.fields(kind)]
        yield from (f"Attributes: {', '.join(fields)}.", "")
    for member, value in _members(kind):
        if isinstance(value, property):
            yield from (f"### {name}.{member}", "")
        else:
            yield from _signature(f"{name}.{member}", value, 3)
        yield from (_markdown(inspect.getdoc(value)), "")


def _members(kind: type) -> list[tuple[str, Any]]:
    """Return public methods and properties in the order of the source, ours of bases too."""
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("ess_dask"):
            found |= vars(base)
    return [
        (name, value)
        for name, value in found.items()
        if not name.startswith("_")
        and (isinstance(value, property) or inspect.isfunction(inspect.unwrap(_plain(value))))
    ]


def _plain(value: Any) -> Any:
    return value.__func__ if isinstance(value, classmethod | staticmethod) else value


def _signature(title: str, value: Callable[..., Any], level: int) -> list[str]:
    signature = inspect.signature(_plain(value))
    kept = [
        parameter.replace(annotation=_Written(parameter.annotation), default=_default_of(parameter))
        for name, parameter in signature.parameters.items()
        if name not in ("self", "cls")
    ]
    whole = signature.replace(
        parameters=kept, return_annotation=_Written(signature.return_annotation)
    )
    return [f"{'#' * level} {title}", "", "```text", f"{title}{_wrapped(whole)}", "```", ""]


def _wrapped(signature: inspect.Signature) -> str:
    """Return a signature in one line, or with a line for each parameter when it is long."""
    text = str(signature)
    if len(text) <= WIDTH:
        return text
    lines, keyword_only = [], False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            lines.append("    *,")
        lines.append(f"    {parameter},")
    return "\n".join(["(", *lines, f") -> {signature.return_annotation!r}"])


def _default_of(parameter: inspect.Parameter) -> Any:
    """Return a parameter's default; a function shows its name, not its address."""
    value = parameter.default
    return _Written(value.__name__) if inspect.isfunction(value) else value


@dataclass(frozen=True)
class _Written:
    """An annotation that shows as it was written, without quotes."""

    text: Any

    def __repr__(self) -> str:
        return self.text if isinstance(self.text, str) else inspect.formatannotation(self.text)


def _table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [titles, tuple("---" for _ in titles), *rows]
    return [f"| {' | '.join(map(_cell, line))} |" for line in lines]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _markdown(docstring: str | None) -> str:
    """Return a docstring as Markdown: code stands in single backticks."""
    return re.sub(r"``([^`]+)``", r"`\1`", inspect.cleandoc(docstring or ""))


PAGES = {
    "cli.md": cli_page,
    "exit-codes.md": exit_codes_page,
    "pipeline.md": pipeline_page,
    "python.md": python_page,
    "settings.md": settings_page,
}
"""File below ``docs/reference``: what writes it."""


def write_pages() -> None:
    """Write all pages, the JSON Schema of pipeline files and the example of a profile."""
    from ess_dask.pipelines.schema import render_schema

    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
    (FOLDER / "pipeline.schema.json").write_text(render_schema(), encoding="utf-8")
    EXAMPLE_PROFILE.write_text(example_profile(), encoding="utf-8")


if __name__ == "__main__":
    write_pages()
