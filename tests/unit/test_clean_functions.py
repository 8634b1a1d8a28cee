"""What is known of DuckDB's functions is what DuckDB says of them."""

import duckdb
import pytest

from ess_dask.clean.functions import KNOWN, KNOWN_VERSION, ask, functions
from ess_dask.clean.sqltree import parse
from ess_dask.errors import ConfigError


def test_what_stands_here_is_what_duckdb_answers():
    assert duckdb.__version__ == KNOWN_VERSION, "write down what ask() says of this version"
    assert ask() == KNOWN


def test_another_version_is_asked(monkeypatch):
    monkeypatch.setattr(duckdb, "__version__", "2.0.99")
    functions.cache_clear()
    try:
        assert functions() == KNOWN
        assert functions() is not KNOWN
    finally:
        functions.cache_clear()


@pytest.mark.parametrize(
    "call",
    ["random()", "now()", "current_localtime()", "current_localtimestamp()", "ago(interval 1 day)",
     "pg_conf_load_time()", "pg_postmaster_start_time()", "pg_sleep(0)", "current_catalog()"],
)  # fmt: skip
def test_what_answers_anew_may_not_clean(call):
    with pytest.raises(ConfigError, match="changes from run to run"):
        parse(f"select {call} as t from records")
