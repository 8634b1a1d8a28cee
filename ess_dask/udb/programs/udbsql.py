"""udbsql: small SQL over a database in memory, answered by aq_udb (and aq_cnt)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from ess_dask.aq.errors import OptionError
from ess_dask.aq.programs.common import console
from ess_dask.udb.programs.aq_udb import aq_udb
from ess_dask.udb.sql import Compiled, compile_query

USAGE = """\
udbsql [-v|--verbose] [-l|--list] "SELECT .. FROM DB:TAB [WHERE ..] [ORDER BY ..] [LIMIT N]"
  -v  show the command that answers the query, then run it
  -l  show it only
"""


_RUN = "import importlib, sys; sys.exit(importlib.import_module(sys.argv.pop(1)).main())"
"""Runs the program of a module by the interpreter at hand, whatever is on PATH."""


class CommandFailedError(OptionError):
    """A program of the compiled command failed and has said why; carries its exit code."""

    def __init__(self, name: str, code: int) -> None:
        super().__init__(f"{name} failed")
        self.exit_code = code


def udbsql(arguments: Sequence[str]) -> None:
    """Answer one query; errors carry the exit code."""
    flags = {"-v": "v", "--verbose": "v", "-l": "l", "--list": "l"}
    given = {flags[word] for word in arguments if word in flags}
    texts = [word for word in arguments if word not in flags]
    if not arguments or "-h" in texts[:1] or "--help" in texts[:1]:
        sys.stdout.write(USAGE)
        return
    if len(texts) != 1:
        raise OptionError("udbsql takes one query", hint="quote it")
    compiled = compile_query(texts[0])
    if given:
        sys.stdout.write(f"{compiled}\n")
        sys.stdout.flush()
    if "l" not in given:
        _run(compiled)


def _run(compiled: Compiled) -> None:
    if not compiled.count:
        aq_udb(compiled.export)
        return
    run = (sys.executable, "-c", _RUN)
    with subprocess.Popen(
        [*run, "ess_dask.udb.programs.aq_udb", *compiled.export], stdout=subprocess.PIPE
    ) as export:
        counting = subprocess.run(
            [*run, "ess_dask.aq.programs.aq_cnt", *compiled.count], stdin=export.stdout, check=False
        )
    for name, code in (("aq_udb", export.returncode), ("aq_cnt", counting.returncode)):
        if code:
            raise CommandFailedError(name, code)


def main() -> int:
    """Be the console script."""
    return console("udbsql", udbsql)
