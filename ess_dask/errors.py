"""Every error a user can meet, with its exit code.

    EssError                     1   base: what happened, where, what to do next
    ├── UsageError               2   the command line or an argument is wrong
    │   └── ConfigError          2   a settings, pipeline or state file is wrong (file:line:column)
    ├── TransientError           1   worth trying again: network, throttling, busy peer
    │   └── WorkerLostError      1   a worker died more often than the work is retried
    ├── DataError                3   terminal: the data itself cannot be used as it is
    │   ├── ReadError            3   a file that cannot be read whole (truncated, corrupt, vanished)
    │   ├── ColumnsError         3   a file's columns are not the declared ones
    │   ├── CleanError           3   a cleaning command failed
    │   └── ConflictError        3   the same file in another version, or a plan that changed
    ├── AccessError              3   permission or credentials refused
    ├── RejectLimitError         4   more rejected rows than the limit allows
    ├── LockedError             75   somebody else holds what is needed
    └── InterruptedRunError    130   Ctrl-C: drained or aborted

Transient and terminal are types: a retry policy reads the type, never the text. The message is one
sentence that names the thing; ``hint`` is what to do next. Nothing secret may be put into either.
"""

from __future__ import annotations


class EssError(Exception):
    """Base of all errors of the product.

    ``message`` says what happened to which thing, ``hint`` what to do next. ``exit_code`` is the
    status with which the command line ends.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Errors travel from workers: the default pickling would lose keyword-only arguments.
        return _rebuild, (type(self), self.__dict__.copy())


def _rebuild(kind: type[EssError], state: dict[str, object]) -> EssError:
    error = kind.__new__(kind)
    error.__dict__.update(state)
    error.args = (state["message"],)
    return error


class UsageError(EssError):
    """The command line or an argument is wrong; nothing was done."""

    exit_code = 2


class ConfigError(UsageError):
    """A settings, pipeline or state file is wrong; the message starts with ``file:line:column``."""


class TransientError(EssError):
    """Trying again may help: network, throttling, a busy peer."""


class WorkerLostError(TransientError):
    """A worker died more often than the same work is retried."""


class DataError(EssError):
    """The data cannot be used as it is; trying again does not help."""

    exit_code = 3


class ReadError(DataError):
    """A file cannot be read whole: truncated, corrupt, vanished or replaced."""


class ColumnsError(DataError):
    """A file's columns are not the declared ones; the message lists every mismatch."""


class CleanError(DataError):
    """A cleaning command failed; the message carries the tail of what it said."""


class ConflictError(DataError):
    """The same file exists in another version, or the plan is not the one that was recorded."""


class AccessError(EssError):
    """Permission or credentials were refused; the message names the missing action."""

    exit_code = 3


class RejectLimitError(EssError):
    """More rows were rejected than the limit allows; nothing was published."""

    exit_code = 4


class LockedError(EssError):
    """Another process holds what is needed; the message names the holder."""

    exit_code = 75


class InterruptedRunError(EssError):
    """The user interrupted the work."""

    exit_code = 130
