"""Errors of a magic as a person reads them: what happened and what to do, without a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from ess_dask.errors import EssError, InterruptedRunError


@contextmanager
def told() -> Iterator[None]:
    """Let IPython show errors of ours, and Ctrl-C, by their words alone; the cell still fails."""
    try:
        yield
    except EssError as error:
        raise _plain(error) from None
    except KeyboardInterrupt:
        raise _plain(InterruptedRunError("interrupted")) from None


def _plain(error: EssError) -> EssError:
    # IPython asks an exception for this before it draws a traceback itself.
    error.__dict__["_render_traceback_"] = partial(_lines, error)
    return error


def _lines(error: EssError) -> list[str]:
    return [f"{type(error).__name__}: {error}"]
