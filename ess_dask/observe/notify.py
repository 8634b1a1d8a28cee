"""The command that tells somebody: run after a run, never longer than it may, never of effect."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ess_dask.clean.protocol import StepContext
from ess_dask.clean.running import cancel_all, running
from ess_dask.clean.shell import run_command
from ess_dask.errors import EssError
from ess_dask.observe.logs import LOG, without_secrets
from ess_dask.observe.model import Beginning, Ending, Hook

FAILED = 1000
"""Failed files that a command is told of; the report in the run's folder has them all."""

_GRACE = 1.0


def hooks_of(own: Hook | None, command: str, on: str) -> tuple[Hook, ...]:
    """Return the hooks of a run: the pipeline's own, and that of the settings if it is another."""
    general = Hook(command, "always" if on == "always" else "failure") if command else None
    hooks = [own] if own is not None else []
    if general is not None and (own is None or own.command != command):
        hooks.append(general)
    return tuple(hooks)


def notify(hook: Hook, beginning: Beginning, ending: Ending) -> None:
    """Run a hook if it is for such an end: the report as JSON on stdin, the rest in ``ESS_*``.

    A command that fails or takes too long is a warning; what it started is ended with it.
    """
    if not (hook.on == "always" or ending.is_failure):
        return
    report = json.dumps(_told(ending.report), ensure_ascii=False).encode()
    env = {
        "ESS_RUN_ID": beginning.run_id,
        "ESS_PIPELINE": beginning.pipeline,
        "ESS_STATE": ending.state,
        "ESS_EXIT_CODE": str(ending.exit_code),
    }
    context = StepContext(folder=str(Path.cwd()), env=env, timeout=hook.timeout)
    shown = f"notify: {hook.command}"
    try:
        with _ended_after(hook.timeout + _GRACE):
            for _ in run_command(hook.command, [report + b"\n"], context, shown=shown):
                continue
    except EssError as error:
        LOG.warning("%s; the run itself is %s", error.message, ending.state)


def _told(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report without secrets, and with not more failed files than somebody can read."""
    failed = report.get("failed") or []
    small = {**report, "failed": failed[:FAILED], "failed_files": len(failed)}
    told: dict[str, Any] = without_secrets(small)
    return told


@contextmanager
def _ended_after(seconds: float) -> Iterator[None]:
    """End the command of this block after so long, also one that has closed its output."""
    owner = f"notify-{secrets.token_hex(4)}"
    timer = threading.Timer(seconds, cancel_all, (owner,))
    timer.daemon = True
    timer.start()
    try:
        with running.owned_by(owner):
            yield
    finally:
        timer.cancel()
        timer.join()
