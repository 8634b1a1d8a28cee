"""What is known of DuckDB's functions is what DuckDB says of them."""

import duckdb
import pytest

from ess_dask.clean.functions import KNOWN, KNOWN_VERSION, ask, functions
from ess_dask.clean.sqltree import parse
from ess_dask.errors import ConfigError


def test_what_stands_here_is_what_duckdb_answers():
    assert duckdb.__version__ == KNOWN_VERSION, "write down what ask() says of this version"
    assert ask() == KNOWN
    assert functions() is KNOWN


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


@pytest.mark.parametrize("call", ["age(d)", "AGE(d + interval 1 day)"])
def test_age_up_to_today_may_not_clean(call):
    with pytest.raises(ConfigError, match=r"(?i)age\(\) changes from run"):
        parse(f"select {call} as a from records")
    assert parse("select age(d, e) as a from records")


@pytest.mark.parametrize("sample", ["using sample 10 rows", "using sample 10%"])
def test_a_sample_without_a_seed_may_not_clean(sample):
    with pytest.raises(ConfigError, match="a sample changes from run to run"):
        parse(f"select * from records {sample}")
    with pytest.raises(ConfigError, match="a sample changes from run to run"):
        parse("select * from records tablesample 10%")
    assert parse("select * from records tablesample reservoir(10%) repeatable (3)")
