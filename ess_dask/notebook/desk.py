"""The magics ``%ess`` and ``%%ess``: SQL, commands, and one connection that is kept."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ess_dask.errors import UsageError
from ess_dask.notebook.options import Options, split_options
from ess_dask.notebook.told import told

if TYPE_CHECKING:
    from ess_dask.api.cluster import Cluster
    from ess_dask.api.results import Answer
    from ess_dask.api.sql import Sources

_QUESTION = re.compile(r"\s*(?:(?:with|from)\b|select\b.*\bfrom\b)", re.IGNORECASE | re.DOTALL)


class Desk:
    """Ask SQL, or run a command of ``ess``::

        %%ess [-o NAME] [--as pandas|polars|arrow] [--limit N] [--explain] [--lake L | --on NAME]
        select articleID, sum(price) as earned from purchase:2014-09-01:* group by 1

        %ess select ... from ...      the same in one line; options stand before it
        %ess COMMAND ...              a command: select ./lake, ls, category add, run, ...
        %ess connect                  keep a connection to the cluster (started if it does not run)
        %ess disconnect               let it go
        %ess                          what FROM may name: lake, categories, tables, variables

    FROM takes category:start:end, database.table, 'files/*.parquet', and variables of the notebook:
    frames (pandas, Polars, Arrow), earlier answers, selections and tables. -o gives the answer a
    name and shows nothing, --limit gives the statement a limit, --explain tells what ran where.
    --lake is a folder, bucket or label, --on a variable with a lake or cluster, or with rows, which
    FROM then calls this. Nothing of the notebook is ever pasted into a statement as text.
    """

    # What IPython would replace in a line (``$name``, ``{name}``) is left as it is.
    _ipython_magic_no_var_expand = True

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._cluster: Cluster | None = None

    def __call__(self, line: str, cell: str | None = None) -> Any:
        """Do what a line or a cell says; return what is to be shown, None for nothing."""
        with told():
            return self._do(line) if cell is None else self._ask_cell(line, cell)

    @property
    def names(self) -> dict[str, Any]:
        """The variables of the notebook."""
        variables: dict[str, Any] = self._shell.user_ns
        return variables

    def close(self) -> None:
        """Let the connection go; the cluster and its tables stay."""
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            cluster.close()

    def sources(self) -> list[str]:
        """Return what FROM may name, as far as it is known without connecting to anything."""
        found = self._overview()
        return [name for name, _ in found.sources] + list(found.frames)

    def _do(self, line: str) -> Any:
        from ess_dask.notebook.command import command_words, run_command

        if not line.strip():
            return self._overview()
        if line.strip() in ("connect", "disconnect"):
            return self._connect(line.strip())
        is_help = line.split()[0] in ("-h", "--help", "-v", "--version")
        options, rest = (Options(), line) if is_help else split_options(line)
        if _QUESTION.match(rest):
            return self._ask(rest, options)
        if options != Options() or not rest:
            raise UsageError("options stand before a statement", hint="look at: %ess?")
        return run_command(command_words(rest))

    def _ask_cell(self, line: str, cell: str) -> Any:
        options, rest = split_options(line)
        statement = f"{rest}\n{cell}" if rest else cell
        if not statement.strip():
            raise UsageError(
                "there is no statement in this cell", hint="write: select ... from ..."
            )
        return self._ask(statement, options)

    def _ask(self, statement: str, options: Options) -> Any:
        from ess_dask.api.excerpt import size_text

        answer = _answer(statement, self._sources_of(options), options)
        made = _in_form(answer, options.form)
        if not options.name:
            return made
        self.names[options.name] = made
        print(f"{options.name}: {size_text(answer.table)}")  # noqa: T201
        return None

    def _sources_of(self, options: Options) -> Sources:
        from ess_dask.api.cluster import Cluster
        from ess_dask.api.given import Named, is_source
        from ess_dask.api.lake import Lake, select
        from ess_dask.api.sql import sources_of

        if options.lake and options.on:
            raise UsageError("--lake and --on name two places", hint="give one of them")
        lake = select(options.lake) if options.lake else None
        if not options.on:
            return sources_of(lake=lake, cluster=self._cluster, given=Named(self.names))
        value = self.names.get(options.on)
        if isinstance(value, Cluster):
            return sources_of(cluster=value, given=Named(self.names))
        if isinstance(value, Lake):
            return sources_of(lake=value, cluster=self._cluster, given=Named(self.names))
        if not is_source(value):
            raise UsageError(
                f"--on {options.on}: there is no such lake, cluster, table or frame",
                hint="name a variable that holds one",
            )
        return sources_of(cluster=self._cluster, given=Named({**self.names, "this": value}))

    def _connect(self, word: str) -> Any:
        from ess_dask.api.cluster import connect

        self.close()
        if word == "connect":
            self._cluster = connect()
            return self._overview()
        return None

    def _overview(self) -> Any:
        from ess_dask.api.given import Named
        from ess_dask.notebook.overview import overview

        frames = tuple(sorted(name for name in Named(self.names) if not name.startswith("_")))
        return overview(self._cluster, frames)


def _answer(statement: str, sources: Sources, options: Options) -> Answer:
    from ess_dask.api.results import Answer
    from ess_dask.api.sql import prepare, ranges_without_files, rejected, rows_with_progress
    from ess_dask.api.warn import tell
    from ess_dask.markup import count

    try:
        run = prepare(statement, sources, options.limit)
        for name in ranges_without_files(sources):
            tell(f"no file lies in {name}")
        answer = Answer(rows_with_progress(run).slice(0, options.limit), run)
        bad = rejected(sources)
    finally:
        sources.close()
    if bad:
        was = (
            "does not fit its columns and was" if bad == 1 else "do not fit their columns and were"
        )
        tell(f"{count(bad, 'row', 'rows')} {was} left out")
    if options.explain:
        print(answer.explain())  # noqa: T201
    return answer


def _in_form(answer: Answer, form: str) -> Any:
    if form == "pandas":
        return answer.to_pandas()
    if form == "polars":
        return answer.to_polars()
    return answer.to_arrow() if form == "arrow" else answer
