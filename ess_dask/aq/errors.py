"""The errors of the aq programs, with the exit codes their users' scripts test for.

    AqError                base
    ├── OptionError    2   the options or a specification in them are wrong; nothing was read
    ├── AqConfigError  3   something the options ask for is not there (a data file, a wired store)
    ├── InputOpenError 11, InputReadError 12, InputDataError 13
    ├── OutputOpenError 21, OutputWriteError 22
    └── StoreError     34   the tables in memory refuse a request

``EvalError`` is not among them: it costs one row, never the run.
"""

from __future__ import annotations

from ess_dask.errors import EssError


class AqError(EssError):
    """Base of the errors that end an aq program."""

    exit_code = 4


class OptionError(AqError):
    """An option, a specification or an expression is wrong; the message quotes it."""

    exit_code = 2


class AqConfigError(AqError):
    """What the options ask for is not available here; the hint says how to provide it."""

    exit_code = 3


class InputOpenError(AqError):
    """An input cannot be opened."""

    exit_code = 11


class InputReadError(AqError):
    """An input broke off: a failing device, a truncated or corrupt compressed file."""

    exit_code = 12


class InputDataError(AqError):
    """A record is not what the column specification says; names file, record and column."""

    exit_code = 13


class OutputOpenError(AqError):
    """An output cannot be opened."""

    exit_code = 21


class OutputWriteError(AqError):
    """An output cannot be written to the end."""

    exit_code = 22


class StoreError(AqError):
    """The tables in memory refuse a request."""

    exit_code = 34


class EvalError(Exception):
    """One evaluation failed; the row is skipped, or a check on it is false."""
