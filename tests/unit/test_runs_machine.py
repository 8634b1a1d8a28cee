"""The machine of a run: every state with every event, and any sequence of them."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ess_dask.runs.machine import Event, IllegalEventError, Instruction, step
from ess_dask.runs.model import FINAL, State

FORWARD = {
    (State.PLANNED, Event.BEGIN): State.RUNNING,
    (State.RUNNING, Event.STAGED): State.STAGED,
    (State.STAGED, Event.LOAD): State.LOADING,
    (State.STAGED, Event.SKIP): State.VERIFIED,
    (State.LOADING, Event.LOADED): State.VERIFIED,
    (State.VERIFIED, Event.FINISH): State.DONE,
}
ENDS = {
    Event.FAIL: State.FAILED,
    Event.INTERRUPT: State.INTERRUPTED,
    Event.LOST: State.INTERRUPTED,
    Event.STANDS: State.VERIFIED,
}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_every_state_with_every_event(state, event):
    expected = None if state in FINAL else FORWARD.get((state, event), ENDS.get(event))
    if expected is None:
        with pytest.raises(IllegalEventError, match=f"{state} cannot have: {event}"):
            step(state, event)
        return
    found = step(state, event)
    assert found.state is expected
    # What was staged goes whenever a run ends, however it does.
    assert (Instruction.SWEEP in found.instructions) >= (expected in FINAL)
    assert found.instructions, "a transition without a consequence is none"


def walk(events, state=State.PLANNED):
    """Return the states that a sequence leads through; what is illegal changes nothing."""
    states = [state]
    for event in events:
        try:
            states.append(step(states[-1], event).state)
        except IllegalEventError:
            continue
    return states


@given(st.lists(st.sampled_from(Event), max_size=30))
def test_nothing_leads_back_from_the_end_and_nothing_is_loaded_twice(events):
    states = walk(events)
    for before, after in itertools.pairwise(states):
        assert before not in FINAL, after
    assert states.count(State.LOADING) <= 1
    # Done only through what a load, or the lack of one, left verified.
    assert State.DONE not in states or states[-2] is State.VERIFIED


@given(st.lists(st.sampled_from(Event), max_size=30), st.booleans())
def test_whatever_was_killed_wherever_is_brought_to_an_end(events, stands):
    state = walk(events)[-1]
    if state in FINAL:
        return
    # What the next run does, with what the warehouse says.
    follow = [Event.STANDS, Event.FINISH] if stands else [Event.LOST]
    states = [state]
    for event in follow:
        states.append(step(states[-1], event).state)
    assert states[-1] is (State.DONE if stands else State.INTERRUPTED)
