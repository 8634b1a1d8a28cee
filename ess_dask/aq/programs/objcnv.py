"""objcnv and logcnv: the older names of aq_pp's ``jsn``, ``xml`` and ``div`` inputs."""

from __future__ import annotations

from collections.abc import Sequence

from ess_dask.aq.errors import OptionError
from ess_dask.aq.programs.aq_pp import run_command
from ess_dask.aq.programs.common import console
from ess_dask.aq.programs.options import MANY, Taken
from ess_dask.aq.surroundings import print_text

OBJECT_USAGE = """\
objcnv [-test] [-verb] [-stat] [-bz N] -jsn|-xml [-f[,jsn|,xml][,ATR..] FILE..] [-base SPEC]
  -d COLSPEC.. [-o[,ATR..] FILE] [-c COL..]
"""
LOG_USAGE = """\
logcnv [-test] [-verb] [-stat] [-bz N] [-f[,ATR..] FILE..] -d [SEP:'text'] COLSPEC ..
  [-o[,ATR..] FILE] [-c COL..]
"""


def objcnv(arguments: Sequence[str]) -> None:
    """Convert JSON or XML; errors carry the exit code."""
    if not arguments or "-h" in arguments[:1]:
        print_text(OBJECT_USAGE)
        return
    taken = Taken(arguments, {"-jsn": 0, "-xml": 0, "-base": 1, "-bz": 1, "-f": MANY})
    asked = {word for option, _ in taken.all("-f") for word in option.attributes}
    formats = [name for name in ("jsn", "xml") if taken.flag(f"-{name}") or name in asked]
    if len(formats) != 1:
        raise OptionError("objcnv needs one of -jsn and -xml")
    base = taken.last("-base")
    extra = [formats[0], *([f"base={base[1][0]}"] if base else [])]
    run_command("objcnv", [*_files(taken, extra), *taken.rest])


def logcnv(arguments: Sequence[str]) -> None:
    """Convert logs with separators of their own; errors carry the exit code."""
    if not arguments or "-h" in arguments[:1]:
        print_text(LOG_USAGE)
        return
    taken = Taken(arguments, {"-bz": 1, "-f": MANY})
    run_command("logcnv", [*_files(taken, ["div"]), *taken.rest])


def _files(taken: Taken, attributes: list[str]) -> list[str]:
    """Return the ``-f`` of aq_pp: own attributes, those given, the record size."""
    found = taken.all("-f")
    if len(found) > 1:
        raise OptionError("only one -f is possible", hint="name all files behind it")
    given, files = (list(found[0][0].attributes), found[0][1]) if found else ([], ["-"])
    size = taken.last("-bz")
    every = [*attributes, *given, *([f"bz={size[1][0]}"] if size else [])]
    return [",".join(["-f", *dict.fromkeys(every)]), *files]


def main() -> int:
    """Be the console script objcnv."""
    return console("objcnv", objcnv)


def main_log() -> int:
    """Be the console script logcnv."""
    return console("logcnv", logcnv)
