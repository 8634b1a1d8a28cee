"""``%load_ext ess_dask`` and ``%unload_ext ess_dask``."""

from __future__ import annotations

from typing import Any

from ess_dask.notebook.completion import completer_of
from ess_dask.notebook.desk import Desk

MAGIC = "ess"


def load(shell: Any) -> None:
    """Make ``%ess`` and ``%%ess`` known to an IPython shell."""
    desk = Desk(shell)
    shell.register_magic_function(desk, magic_kind="line_cell", magic_name=MAGIC)
    _forget_matcher(shell)
    shell.Completer.custom_matchers.append(completer_of(desk))


def unload(shell: Any) -> None:
    """Take the magics away again and let their connection go."""
    desk = shell.find_line_magic(MAGIC)
    if isinstance(desk, Desk):
        desk.close()
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop(MAGIC, None)
    _forget_matcher(shell)


def _forget_matcher(shell: Any) -> None:
    matchers = shell.Completer.custom_matchers
    matchers[:] = [each for each in matchers if _identifier(each) != "ess_dask"]


def _identifier(matcher: Any) -> str:
    return str(getattr(matcher, "matcher_identifier", ""))
