"""What becomes of the tables in memory when their cluster is stopped and started."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ess_dask.errors import EssError
from ess_dask.tables.homes import home_of
from ess_dask.tables.keeping import resume_tables, save_tables, stop_expected
from ess_dask.tables.kept import await_stop, is_marked
from ess_dask.tables.session import open_session, running_session, watching_session


@contextmanager
def kept_over_stop(say: Callable[[str], None]) -> Iterator[None]:
    """Save the tables of the running cluster, and take it back when the block, the stop, fails."""
    session = running_session()
    if session is None:
        yield
        return
    with stop_expected(session.store.home):
        with session:
            save_tables(session, say)
        try:
            yield
        except BaseException:
            _resume_if_running()
            raise


def save_running(say: Callable[[str], None]) -> None:
    """Save the tables of the running cluster, which somebody else is to stop."""
    session = running_session()
    if session is not None:
        with session, stop_expected(session.store.home):
            if save_tables(session, say):
                await_stop(session.store.home)
                say("stop the cluster now; to go on without: ess udbd start")


def bring_back(say: Callable[[str], None]) -> None:
    """Hold the kept tables again, if there are some and the cluster runs."""
    from ess_dask.cluster.machines import attach
    from ess_dask.settings import load_settings

    endpoint = attach()
    if endpoint is not None:
        home = home_of(endpoint, load_settings().shared_tables)
        if home.shared or is_marked(home):
            await_stop(home, awaited=False)
            open_session(say).close()


def _resume_if_running() -> None:
    with suppress(EssError):
        session = watching_session()
        if session is not None:
            with session:
                resume_tables(session)
