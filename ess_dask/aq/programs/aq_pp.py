"""aq_pp: records through rules."""

from __future__ import annotations

from collections.abc import Sequence

from ess_dask.aq.inputs.reading import Inputs
from ess_dask.aq.parsing.command import parse_command
from ess_dask.aq.run import check_program, run_program
from ess_dask.aq.stores import NoStore, Store
from ess_dask.aq.surroundings import complain, print_text

USAGE = """\
aq_pp [-verb] [-stat] [-test] [-f[,ATR..] FILE.. -d COLSPEC..] [-cat[,ATR..] FILE.. COLSPEC..]
  [-seed N] [-var COLSPEC VAL] [-alias COL ALT] [-renam COL NEW]
  [-eval COL EXPR] [-filt FILTER] [-mapf[,ATR..] COL FROM] [-mapc COL TO] [-map[,ATR..] COL FROM TO]
  [-kenc COL COL..] [-kdec COL COL[+]..] [-sub[,ATR..] COL FILE.. [COLSPEC..]]
  [-grep[,ATR..] COL FILE.. [COLSPEC..]] [-cmb[,ATR..] FILE.. COLSPEC..] [-pmod MOD(ARGS)]
  [-if[not] RULE RULES.. [-elif[not] RULE RULES..] [-else RULES..] -endif]
  [-o[,ATR..] FILE] [-c COL..] [-ovar[,ATR..] FILE [-c COL..]] [-imp[,ATR..] DB[:TAB]]
"""


def aq_pp(arguments: Sequence[str], store: Store | None = None) -> None:
    """Run the option list; errors carry the exit code. ``store`` serves -imp, -exp and -cnt."""
    if not arguments or "-h" in arguments[:1]:
        print_text(USAGE)
        return
    run_command("aq_pp", arguments, store)


def run_command(name: str, arguments: Sequence[str], store: Store | None = None) -> None:
    """Run an option list under the name of a program."""
    tables = store or NoStore()
    inputs = Inputs()
    program = parse_command(
        arguments,
        inputs.read_header,
        lambda request: tables.exporter(request).columns(),
        tables.narrowed,
    )
    if program.checks:
        if program.checks > 1:
            check_program(program, inputs, tables)
        return
    state = run_program(program, inputs, tables)
    if program.statistics:
        errors = state.counts.errors + state.failed
        complain(f"{name}: rec={state.counts.records} err={errors} out={state.written}\n")
