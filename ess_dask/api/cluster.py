"""The cluster from Python: where tables are held in memory."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

from ess_dask.api.warn import tell
from ess_dask.errors import UsageError
from ess_dask.markup import page

if TYPE_CHECKING:
    from ess_dask.api.results import Answer
    from ess_dask.api.table import Table
    from ess_dask.tables.session import Session

_ACTIVE: ContextVar[Cluster | None] = ContextVar("ess_dask_cluster", default=None)


def connect(say: Callable[[str], None] = tell) -> Cluster:
    """Connect to the local cluster of this user; start it when it does not run.

    ``say`` is told when the cluster is started (default: a line on stderr). Use it with ``with``:
    inside the block ``Selection.into`` uses this connection, at its end the connection is closed.
    The cluster and its tables stay (``ess udbd stop`` ends it).

    Raises ``ConfigError`` when a cluster of another release runs, ``TransientError`` when it does
    not answer.
    """
    from ess_dask.tables.session import open_session

    return Cluster(open_session(say))


def active_cluster() -> Cluster | None:
    """Return the cluster of the innermost ``with ess.connect()`` around this call, if any."""
    return _ACTIVE.get()


class Cluster:
    """A connection to a cluster and the tables in its memory; made by ``connect``.

    Tables belong to the working folder (``ESS_WORK_DIR``, default ``./.conf``): those of another
    folder are not seen. Calls raise ``TransientError`` when the cluster has gone.
    """

    def __init__(self, session: Session) -> None:
        self._session: Session | None = session
        self._tokens: list[Token[Cluster | None]] = []

    @property
    def session(self) -> Session:
        """The connection itself; ``UsageError`` once it is closed."""
        if self._session is None:
            raise UsageError("the connection to the cluster is closed", hint="ess.connect() again")
        return self._session

    def table(self, name: str) -> Table:
        """Return the table ``database.table`` as it is now; ``UsageError`` when there is none."""
        from ess_dask.api.table import Table

        return Table(self.session.open(name), self)

    def tables(self) -> tuple[str, ...]:
        """Return the names of the tables in memory, ``database.table``, sorted."""
        return tuple(map(str, self.session.names()))

    def sql(self, statement: str, **given: Any) -> Answer:
        """Answer one SELECT (DuckDB's dialect) over tables of this cluster, ``database.table``.

        Categories of the current datastore (``purchase:2014-09-01:*``), Parquet files in it
        (``'sales/*.parquet'``), tables of the warehouse (``warehouse.sales``) and frames
        handed in by name (``cluster.sql("... join df ...", df=df)``) may stand beside them. Raises
        ``UsageError`` with line and column for a statement that does not fit.
        """
        from ess_dask.api.sql import ask, frames, sources_of

        return ask(statement, sources_of(cluster=self, given=frames(given)))

    def close(self) -> None:
        """Disconnect; the cluster and its tables stay. Closing twice is no error."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def __enter__(self) -> Cluster:
        self._tokens.append(_ACTIVE.set(self))
        return self

    def __exit__(self, *_: object) -> None:
        _ACTIVE.reset(self._tokens.pop())
        self.close()

    def __repr__(self) -> str:
        kind = "closed" if self._session is None else self._session.endpoint.kind
        return f"<Cluster: {kind}>"

    def _repr_html_(self) -> str:
        if self._session is None:
            return page("Cluster: closed")
        from ess_dask.api.show import cluster_html

        return cluster_html(self._session)
