"""What may happen to a run, and what is to be done then: events in, instructions out, no I/O.

    planned ── begin ──> running ── staged ──> staged ── load ──> loading ── loaded ──> verified
                                                  └───────────── skip ────────────────────┘
    verified ── finish ──> done

Whoever runs it writes each step into the journal first and follows its instructions then. From
every state that is not final ``fail`` and ``interrupt`` lead to the end. Of a run whose process is
gone, the next one asks the warehouse whether its load stands: ``lost`` when not (nothing of it is
published, what it staged is swept), ``stands`` when it does (what came after the load is finished).
"""

from __future__ import annotations

from enum import StrEnum

from ess_dask.dataclass import dataclass
from ess_dask.runs.model import FINAL, State


class Event(StrEnum):
    """What happened, or is about to."""

    BEGIN = "begin"
    STAGED = "staged"
    LOAD = "load"
    SKIP = "skip"
    LOADED = "loaded"
    FINISH = "finish"
    FAIL = "fail"
    INTERRUPT = "interrupt"
    LOST = "lost"
    STANDS = "stands"


class Instruction(StrEnum):
    """What is to be done next."""

    STAGE = "stage"
    """Read, clean and write aside."""
    DECIDE = "decide"
    """Look whether there is something to load."""
    COMMIT = "commit"
    """Have the warehouse take rows, ledger and rejects in one transaction."""
    PUBLISH = "publish"
    """Make the memory table's next version, then account."""
    SWEEP = "sweep"
    """Remove what was staged."""


class IllegalEventError(ValueError):
    """The event cannot happen in this state: whoever sent it is wrong."""


@dataclass(frozen=True, slots=True)
class Step:
    """The state after an event, and what is to be done now, in order."""

    state: State
    instructions: tuple[Instruction, ...] = ()


_FORWARD = {
    (State.PLANNED, Event.BEGIN): Step(State.RUNNING, (Instruction.STAGE,)),
    (State.RUNNING, Event.STAGED): Step(State.STAGED, (Instruction.DECIDE,)),
    (State.STAGED, Event.LOAD): Step(State.LOADING, (Instruction.COMMIT,)),
    (State.STAGED, Event.SKIP): Step(State.VERIFIED, (Instruction.PUBLISH,)),
    (State.LOADING, Event.LOADED): Step(State.VERIFIED, (Instruction.PUBLISH,)),
    (State.VERIFIED, Event.FINISH): Step(State.DONE, (Instruction.SWEEP,)),
}

_ALWAYS = {
    Event.FAIL: Step(State.FAILED, (Instruction.SWEEP,)),
    Event.INTERRUPT: Step(State.INTERRUPTED, (Instruction.SWEEP,)),
    Event.LOST: Step(State.INTERRUPTED, (Instruction.SWEEP,)),
    # From any state: a machine that lost its power may have lost the journal's last lines.
    Event.STANDS: Step(State.VERIFIED, (Instruction.SWEEP, Instruction.PUBLISH)),
}


def step(state: State, event: Event) -> Step:
    """Return what follows from an event; raise ``IllegalEventError`` when it cannot happen."""
    if state not in FINAL:
        found = _FORWARD.get((state, event)) or _ALWAYS.get(event)
        if found is not None:
            return found
    raise IllegalEventError(f"a run that is {state} cannot have: {event}")
