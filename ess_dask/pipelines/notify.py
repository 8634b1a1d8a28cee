"""The ``notify:`` of a pipeline file: a command, or a mapping that says when it is run."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any, ClassVar, Literal

from ess_dask.dataclass import dataclass
from ess_dask.documents.fields import FORBID_UNKNOWN, Before, Filled, Seconds, choice
from ess_dask.documents.yaml import Map, Scalar
from ess_dask.observe.model import Hook


def _about(description: str, **limits: int) -> dict[str, Any]:
    return {"description": description, **limits}


@dataclass(frozen=True, slots=True)
class Notify:
    """The command that is told of a run's end."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN

    command: Filled = field(
        metadata=_about(
            "Shell command; the run's report (JSON) is on its stdin, ESS_RUN_ID, ESS_PIPELINE, "
            "ESS_STATE and ESS_EXIT_CODE in its environment. Whatever it does, the run's exit code "
            "stays."
        )
    )
    on: Annotated[Literal["failure", "always"], choice("failure", "always")] = field(
        default="failure",
        metadata=_about("When it is run: failure (any exit code but 0 and 75), or always."),
    )
    timeout: Seconds = field(
        default=30.0, metadata=_about("How long it may take; then it is ended.", ge=1, le=3600)
    )

    def hook(self) -> Hook:
        """Return what the observer of a run is given."""
        return Hook(self.command, self.on, self.timeout)


def _as_notify(value: Any) -> Any:
    """A command alone is a mapping with nothing else."""
    if not isinstance(value, Scalar):
        return value
    made = Map(value.place)
    made.put("command", value, value.place)
    return made


_SCHEMA = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["command"],
            "properties": {
                "command": {"type": "string", "minLength": 1},
                "on": {"enum": ["failure", "always"]},
                "timeout": {"type": ["string", "number"]},
            },
        },
    ]
}

OneNotify = Before(_as_notify, _SCHEMA)
"""Mark of the field: a text stands for a mapping with that command."""
