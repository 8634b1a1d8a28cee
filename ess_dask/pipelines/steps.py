"""The ``clean:`` entries of a pipeline file: how they are written, and the step each one makes."""

from __future__ import annotations

import re
from dataclasses import field
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from ess_dask.dataclass import dataclass
from ess_dask.documents.fields import Before, FieldError, as_seconds, as_text, choice, did_you_mean
from ess_dask.documents.yaml import Map, Place, Scalar
from ess_dask.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from ess_dask.clean.protocol import BytesStep, Per, RowStep

GROUP = "ess_dask.steps"
"""Entry-point group of step kinds: a class with ``from_pipeline(value, folder)``."""

MAIN = {"shell": "command", "sql": "query", "python": "function", "aq": "rules"}
"""Built-in kinds, and the option that a plain text stands for."""

OPTIONS = {
    "shell": ("timeout",),
    "sql": ("per", "timeout"),
    "python": ("per",),
    "aq": ("per",),
}
"""Options of the built-in kinds beside that: Python cannot be stopped half-way."""

_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_per = choice("batch", "file").convert


@dataclass(frozen=True, slots=True)
class CleanStep:
    """One cleaning command.

    ``kind`` is shell, sql, python, aq or a plug-in's name, ``text`` the command, query, function or
    rules,
    ``per`` what a row step sees at a time, ``timeout`` seconds (0: the setting decides),
    ``options`` a plug-in's own, as written.
    """

    kind: str
    text: str = ""
    per: Per = "batch"
    timeout: float = 0.0
    options: dict[str, str] = field(default_factory=dict, hash=False)
    place: Place = field(default=Place("clean"), compare=False, repr=False)

    @property
    def changes_columns(self) -> bool:
        """Whether the rows that come out may have other columns."""
        return self.kind != "shell"

    def value(self) -> str | dict[str, object]:
        """Return the step as ``from_pipeline`` takes it: a text, or a mapping with options."""
        result: dict[str, object] = dict(self.options)
        if self.per != "batch":
            result["per"] = self.per
        if self.timeout:
            result["timeout"] = self.timeout
        if self.text and not result:
            return self.text
        return ({MAIN.get(self.kind, "command"): self.text} if self.text else {}) | result


def make_step(step: CleanStep, folder: Path) -> BytesStep | RowStep:
    """Return the step that workers run; ``folder`` is the pipeline file's.

    Raises ``ConfigError`` with the step's place for a query, function or option that is wrong.
    """
    points = entry_points(group=GROUP, name=step.kind)
    if not points:
        raise ConfigError(f"{step.place}: {_unknown(step.kind)}", hint=_kinds_hint(step.kind))
    try:
        made: BytesStep | RowStep = (
            points[step.kind].load().from_pipeline(step.value(), str(folder))
        )
    except ConfigError as error:
        raise ConfigError(f"{step.place}: {error.message}", hint=error.hint) from None
    return made


def kinds() -> tuple[str, ...]:
    """Return the kinds of steps that are installed; nothing of them is imported."""
    return tuple(sorted({*MAIN, *entry_points(group=GROUP).names}))


def _step(value: Any) -> Any:
    if isinstance(value, CleanStep):
        return value
    if not isinstance(value, Map) or len(value) != 1:
        raise FieldError(f"a step must be one of {', '.join(kinds())}", hint=_entry_hint(value))
    kind, body = next(iter(value.items()))
    if kind not in kinds():
        raise FieldError(_unknown(kind), hint=_kinds_hint(kind), place=value.key_places[kind])
    if isinstance(body, Map):
        step = _long(kind, body)
    else:
        step = CleanStep(kind, _text(body), place=body.place)
    if kind == "python" and not _FUNCTION.fullmatch(step.text):
        what = f"'{step.text}' does not name a function"
        raise FieldError(what, hint="write it as module:function", place=step.place)
    return step


def _entry_hint(value: Any) -> str:
    """Say how a step is written; options that stand beside its kind belong behind it."""
    kind = next((name for name in MAIN if name in value), "") if isinstance(value, Map) else ""
    options = [name for name in value if name in OPTIONS[kind]] if kind else []
    if options and len(value) == len(options) + 1:
        inside = ", ".join(f"{name}: ..." for name in options)
        return f"write it as - {kind}: {{{MAIN[kind]}: ..., {inside}}}"
    return "write one entry for each step, such as: - sql: select * from records"


def _long(kind: str, body: Map) -> CleanStep:
    """Read ``{query: ..., per: ..., timeout: ...}``; a plug-in's own options stay as written."""
    main = MAIN.get(kind, "command")
    known = (main, *OPTIONS.get(kind, ("per", "timeout")))
    own = {name: item for name, item in body.items() if name not in known}
    if kind in MAIN:
        for name in own:
            what, place = f"unknown key '{name}' of a {kind} step", body.key_places[name]
            raise FieldError(what, hint=did_you_mean(name, known), place=place)
        if main not in body:
            raise FieldError(f"a {kind} step needs '{main}'", place=body.place)
    text = body.get(main)
    return CleanStep(
        kind,
        _text(text) if text is not None else "",
        per=_placed(_per, body["per"]) if "per" in body else "batch",
        timeout=_placed(as_seconds, body["timeout"]) if "timeout" in body else 0.0,
        options={name: _text(item, blank=True) for name, item in own.items()},
        place=getattr(text, "place", body.place),
    )


def _text(node: Any, *, blank: bool = False) -> str:
    if not isinstance(node, Scalar):
        raise FieldError("must be one text", place=node.place)
    text = str(_placed(as_text, node))
    if not blank and not text.strip():
        raise FieldError("nothing is written here", hint="write the command", place=node.place)
    return text


def _placed(convert: Any, node: Any) -> Any:
    if not isinstance(node, Scalar):
        raise FieldError("must be one value", place=node.place)
    try:
        return convert(node)
    except FieldError as error:
        raise FieldError(error.message, hint=error.hint, place=node.place) from None


def _unknown(kind: str) -> str:
    return f"unknown kind of step '{kind}'"


def _kinds_hint(kind: str) -> str:
    return did_you_mean(kind, kinds())


def _schema() -> dict[str, Any]:
    """Describe the built-in kinds; plug-ins are only known where they are installed."""
    per = {"enum": ["batch", "file"], "default": "batch"}
    per["description"] = "batch: row by row in meaning. file: sees one whole file."
    timeout = {"type": ["string", "number"], "description": "Longest time on one file, like 60s."}
    options = {"per": per, "timeout": timeout}
    described: dict[str, Any] = {}
    for kind, main in MAIN.items():
        keys = {main: {"type": "string"}, **{name: options[name] for name in OPTIONS[kind]}}
        long = {"type": "object", "properties": keys, "required": [main]}
        described[kind] = {"anyOf": [{"type": "string"}, long | {"additionalProperties": False}]}
    described["shell"]["description"] = (
        "A shell command: a file's bytes on stdin, clean ones on stdout."
    )
    described["sql"]["description"] = "select ... from records"
    described["python"]["description"] = "module:function, called with a pandas DataFrame."
    described["aq"]["description"] = "Rules of aq_pp: -filt 'price > 0' -eval s:shop '\"a\"'"
    return {"type": "object", "minProperties": 1, "maxProperties": 1, "properties": described}


Step = Before(_step, _schema, final=True)
"""Mark of an entry of ``clean``."""
