"""aq_udb: questions to databases in memory, and their upkeep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

from ess_dask.aq.errors import OptionError
from ess_dask.aq.parsing.tokens import Option, Tokens, is_option
from ess_dask.aq.programs.common import console
from ess_dask.aq.surroundings import complain, print_text
from ess_dask.dataclass import dataclass
from ess_dask.udb.specs import Database, find_database

if TYPE_CHECKING:
    from ess_dask.udb.model import Request
    from ess_dask.udb.outcome import Report
    from ess_dask.udb.parsing import Action

USAGE = """\
aq_udb [-verb] [-stat] [-test] [-server ADR..] [-local]
  -crt|-alt|-probe|-chk[,spec=FILE] DB
  -inf[,spec=FILE,asis] DB [-o[,ATR..] FILE]
  -clr[,spec=FILE] DB[:TAB]
  -ord[,spec=FILE,ncas,dec] DB[:TAB] [COL..]
  -exp|-cnt|-scn[,spec=FILE,asis,seg=N1[-N2]/N[:V]] DB[:TAB]
    [-seed N] [-rx ATR] [-var COL VAL] [-pp[,post=DEST] TAB [-bvar COL VAL] RULES.. -endpp]
    [-bvar COL VAL] [-eval COL EXPR] [-filt FILTER] [-goto DEST] [-del_row] [-del_key]
    [-if[not] RULE RULES.. [-elif[not] RULE RULES..] [-else RULES..] -endif]
    [-sort[,ncas,dec] COL..] [-lim_key N] [-lim_rec N] [-key_rec N] [-top N]
    [-o[,ATR..] FILE] [-c COL..]
"""

EXPORTS = ("-exp", "-cnt", "-scn")
UPKEEP = ("-crt", "-alt", "-chk", "-clr", "-inf", "-probe", "-ord")


@dataclass(slots=True)
class Globals:
    """Options that stand before the action or behind it."""

    statistics: bool = False
    verbose: bool = False
    checks: int = 0


def aq_udb(arguments: Sequence[str]) -> None:
    """Run the option list; errors carry the exit code."""
    if not arguments or "-h" in arguments[:1]:
        print_text(USAGE)
        return
    settings = Globals()
    tokens = Tokens(list(_without_globals(arguments, settings)))
    if not tokens:
        raise OptionError("there is no action", hint="such as -exp DB:TAB; aq_udb -h lists them")
    option = tokens.option()
    if option.name not in EXPORTS + UPKEEP:
        raise OptionError(
            f"unknown option {option.text!r}", hint="the action comes before its options"
        )
    _act(option, tokens, settings)


def _without_globals(arguments: Sequence[str], settings: Globals) -> Iterator[str]:
    """Take the options that may stand before the action or behind it; yield the others."""
    addresses: int | None = None
    for argument in (*arguments, "-server"):
        if addresses is not None and not is_option(argument):
            # Where the local cluster runs it knows itself.
            addresses += 1
            continue
        if addresses == 0:
            raise OptionError("option '-server' needs an address")
        addresses = 0 if argument == "-server" else None
        match argument:
            case "-stat":
                settings.statistics = True
            case "-verb":
                settings.verbose = True
            case "-test":
                settings.checks += 1
            case "-local" | "-udb" | "-server":
                pass
            case _:
                yield argument


def _act(option: Option, tokens: Tokens, settings: Globals) -> None:
    name, _, table = tokens.value(option, "a database").partition(":")
    spec_file = next((a[5:] for a in option.attributes if a.startswith("spec=")), "")
    database = find_database(name, spec_file, option.name)
    if option.name in UPKEEP:
        from ess_dask.udb.upkeep import parse_upkeep

        work = parse_upkeep(option, database, table, tokens)
        if settings.checks:
            _check(database, settings)
            return
        rows = work()
        _tell(settings, rows)
        return
    _export(option, database, table, tokens, settings)


def _export(
    option: Option, database: Database, table: str, tokens: Tokens, settings: Globals
) -> None:
    from ess_dask.udb.parsing import parse_request

    action = cast("Action", option.name[1:])
    request = parse_request(action, database, table, option.attributes, tokens)
    if settings.checks:
        _check(database, settings)
        return
    rows, report = _run(request)
    if report.failed:
        complain(f"aq_udb: {report.failed} rows skipped: {report.reason}\n")
    _tell(settings, rows)


def _check(database: Database, settings: Globals) -> None:
    if settings.checks > 1:
        from ess_dask.udb.memory import Memory

        with Memory(database):
            pass


def _run(request: Request) -> tuple[int, Report]:
    """Run a request and write its outputs; return how many rows it gave."""
    from ess_dask.udb.execution import execute
    from ess_dask.udb.memory import Memory
    from ess_dask.udb.writing import write_outputs

    with Memory(request.database) as memory:
        frame, report = execute(memory, request)
    write_outputs(frame, request)
    return (frame.height if request.action == "exp" else report.rows), report


def _tell(settings: Globals, rows: int) -> None:
    if settings.statistics:
        complain(f"aq_udb: rec={rows}\n")


def main() -> int:
    """Be the console script."""
    return console("aq_udb", aq_udb)
