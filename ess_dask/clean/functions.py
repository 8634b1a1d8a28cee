"""DuckDB's functions, by what matters here: which answer anew, and which answer over many rows.

To ask DuckDB for all of its functions takes 30 ms. For one version the answer stands here.
"""

from __future__ import annotations

import re
from collections.abc import Set
from functools import cache

from ess_dask.clean import duck
from ess_dask.dataclass import dataclass

CLOCKS = ("current_date", "current_time", "current_timestamp", "localtime", "localtimestamp")
"""What looks like a column and says what time it is."""

_CALLED_CONSISTENT = frozenset({"current_localtime", "current_localtimestamp"})
"""Clocks that DuckDB says always answer the same."""


@dataclass(frozen=True, slots=True)
class Functions:
    """Names of functions, in small letters, macros among them.

    ``over_many`` are aggregates. ``anew`` may answer differently for each row, ``once`` for each
    query; ``changing`` are both, and the macros that use them.
    """

    over_many: frozenset[str]
    anew: frozenset[str]
    once: frozenset[str]
    changing: frozenset[str]


@cache
def functions() -> Functions:
    """Return those of the DuckDB that is installed."""
    import duckdb

    return KNOWN if duckdb.__version__ == KNOWN_VERSION else ask()


def ask() -> Functions:
    """Ask DuckDB for its functions."""
    found = duck.rows(
        "select function_name, function_type = 'aggregate', stability, "
        "if(function_type = 'macro', macro_definition, null) from duckdb_functions()"
    )
    macros = [(name, macro) for name, _, _, macro in found if macro]
    # It raises an error, which is the same each time.
    volatile = {name for name, _, kind, _ in found if kind == "VOLATILE"} - {"error"}
    anew = _with_macros(volatile | _CALLED_CONSISTENT | set(CLOCKS), macros) - set(CLOCKS)
    once = {name for name, _, kind, _ in found if kind == "CONSISTENT_WITHIN_QUERY"} - anew
    return Functions(
        _with_macros({name for name, aggregate, _, _ in found if aggregate}, macros),
        anew,
        frozenset(once),
        _with_macros(anew | once, macros),
    )


def _with_macros(names: Set[str], macros: list[tuple[str, str]]) -> frozenset[str]:
    """Add the names of the macros that use one of the names."""
    found = set(names)
    called = re.compile(rf'(\w+)"?\(|\b({"|".join(CLOCKS)})\b')
    uses = [(name, {a or b for a, b in called.findall(text.lower())}) for name, text in macros]
    for _ in range(3):  # macros of macros
        found |= {name for name, used in uses if found & used}
    return frozenset(found)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


KNOWN_VERSION = "2.0.0"
KNOWN = Functions(
    over_many=_names(
        """
        any_value approx_count_distinct approx_quantile approx_top_k arbitrary arg_max
        arg_max_null arg_max_nulls_last arg_min arg_min_null arg_min_nulls_last argmax
        argmin array_agg avg bit_and bit_or bit_xor bitstring_agg bool_and bool_or
        combine_aggr corr count count_if count_star countif covar_pop covar_samp
        decimal_average entropy favg first fsum geomean geometric_mean group_concat
        histogram histogram_exact json_group_array json_group_object
        json_group_structure kahan_sum kurtosis kurtosis_pop last list listagg lttb mad
        max max_by mean median min min_by mode product quantile quantile_cont
        quantile_disc regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope
        regr_sxx regr_sxy regr_syy reservoir_quantile sem skewness stddev stddev_pop
        stddev_samp string_agg sum sum_no_overflow sumkahan var_pop var_samp variance
        variant_group_array variant_group_object wavg weighted_avg
        """
    ),
    anew=_names(
        """
        ago current_connection_id current_localtime current_localtimestamp current_query
        current_query_id current_transaction_id currval gen_random_uuid nextval
        pg_conf_load_time pg_postmaster_start_time pg_sleep random setseed setval
        sleep_ms stats uuid uuidv4 uuidv7 vector_type write_log
        """
    ),
    once=_names(
        """
        current_database current_date current_schema current_schemas current_setting
        get_current_time get_current_timestamp getvariable in_search_path now today
        transaction_timestamp txid_current
        """
    ),
    changing=_names(
        """
        ago current_catalog current_connection_id current_database current_date
        current_localtime current_localtimestamp current_query current_query_id
        current_schema current_schemas current_setting current_transaction_id currval
        gen_random_uuid get_current_time get_current_timestamp getvariable
        in_search_path nextval now pg_conf_load_time pg_postmaster_start_time pg_sleep
        random setseed setval sleep_ms stats today transaction_timestamp txid_current
        uuid uuidv4 uuidv7 vector_type write_log
        """
    ),
)
"""What ``ask`` says of that version."""
