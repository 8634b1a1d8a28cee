"""The aq language as a cleaning step: columns and types, what is refused, row by row or not."""

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest

import ess_dask as ess
from ess_dask.aq.step import AqStep
from ess_dask.clean.protocol import ROW_LABEL, StepContext
from ess_dask.clean.signals import RowCleanError
from ess_dask.errors import CleanError, ConfigError

DAY = dt.date(2014, 9, 1)
MOMENTS = [dt.datetime.fromisoformat(t) for t in ("2014-09-01T12:30", "2014-09-01T00:00:00.000250")]
SHOP = pa.table(
    {
        "id": pa.array([1, None, 3, 4], pa.int32()),
        "name": ["ann", "żółw", None, ""],
        "price": [1.5, -2.0, None, 4.0],
        "day": pa.array([DAY, None, DAY, DAY]),
        "at": pa.array(MOMENTS * 2),
        "cost": pa.array([Decimal("1.10"), None, Decimal("2.00"), Decimal("0.00")]),
        "ok": [True, False, None, True],
        "odd name": ["a", "b", "c", "d"],
        ROW_LABEL: pa.array([10, 11, 12, 13]),
    }
)


def run(rules, per="batch", table=SHOP, folder="."):
    return AqStep(rules, per).apply(table, StepContext(folder=folder))


def test_columns_that_no_rule_sets_are_handed_through():
    got = run("-filt 'price > 0'")
    assert got.equals(SHOP.take(pa.array([0, 3])))
    assert run("-filt 'id == 0'")[ROW_LABEL].to_pylist() == [11]
    assert run("-filt 'name == \"\"'")["name"].to_pylist() == [None, ""]
    assert run("-filt 1").equals(SHOP)


def test_new_and_changed_columns_have_the_types_of_the_language():
    got = run("-eval f:double 'price * 2' -eval id 'id + 1' -eval s:who 'name + \"!\"'")
    assert got.schema.field("id").type == pa.int32()
    assert got.column_names == [*SHOP.column_names[:-1], "double", "who", ROW_LABEL]
    assert got["double"].to_pylist() == [3.0, -4.0, 0.0, 8.0]
    assert got["id"].to_pylist() == [2, 1, 4, 5]
    assert got["who"].to_pylist() == ["ann!", "żółw!", "!", "!"]
    assert AqStep("-eval f:double 'price * 2'").describe(SHOP.schema).names[-1] == "double"


def test_selected_columns_are_renamed_and_printed():
    got = run("-eval l:n 7 -c name:who price+%.2f n id:number ~n")
    assert got.column_names == ["who", "price", "number", ROW_LABEL]
    assert got["who"].to_pylist() == SHOP["name"].to_pylist()
    assert got["price"].to_pylist() == ["1.50", "-2.00", "0.00", "4.00"]
    assert got["number"].to_pylist() == [1, None, 3, 4]


def test_times_decimals_and_flags_can_be_read():
    got = run("-eval s:d day -eval s:a at -eval f:c 'cost * 10' -eval i:o ok -c d a c o")
    assert got["d"].to_pylist() == ["2014-09-01", "", "2014-09-01", "2014-09-01"]
    assert got["a"].to_pylist()[:2] == ["2014-09-01 12:30:00", "2014-09-01 00:00:00.00025"]
    assert got["c"].to_pylist() == [11.0, 0.0, 20.0, 0.0]
    assert got["o"].to_pylist() == [1, 0, 0, 1]


def test_a_row_on_which_an_evaluation_fails_is_dropped(capfd):
    got = run("-eval i:n 'KeyDec(name, \"F\")'")
    assert got.num_rows < SHOP.num_rows
    assert capfd.readouterr() == ("", "")


def test_lookup_tables_lie_in_the_folder_and_may_multiply_rows(tmp_path):
    (tmp_path / "nick.csv").write_text("ann,nan\nann,annie\n")
    got = run("-sub,all name nick.csv", folder=str(tmp_path))
    assert got["name"].to_pylist() == ["nan", "annie", "żółw", "", ""]
    assert got[ROW_LABEL].to_pylist() == [10, 10, 11, 12, 13]
    (tmp_path / "nick.csv").write_text("ann,changed\n")
    assert run("-sub name nick.csv", folder=str(tmp_path))["name"].to_pylist()[0] == "changed"
    with pytest.raises(CleanError, match=r"none\.csv"):
        run("-sub name none.csv", folder=str(tmp_path))


def test_text_that_is_cut_within_a_character_names_its_row():
    with pytest.raises(RowCleanError, match="'name' is not UTF-8") as error:
        run("-eval name 'SubStr(name, 0, 1)'")
    assert error.value.label == 11


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ("", "no rule"),
        ("-filt 'price > 0", "closing quotation|quote"),
        ("-filt 'nope > 0'", "nope"),
        ("-frobnicate", "unknown option"),
        ("-o out.csv", "no -f, -cat, -o"),
        ("-f x.csv", "only one -f|input"),
        ("-imp db:t", "no -f, -cat, -o"),
        ("-exp db:t --", "exclude|not for a cleaning step"),
        ("-c name name", "two columns are called 'name'"),
        ("-eval i:n $RowNum", "more than one row"),
        ("-var i:n 0 -eval n 'n + 1'", "more than one row"),
        ("-filt 'id == 3' -quit", "more than one row"),
        ("-eval i:n $Random", "more than one row"),
        ("-eval i:n $CurSec", "changes from run to run"),
        ("-if -filt 'price > 0'", "endif"),
        ("-sub name -", "is a file"),
        ("i:more -filt 1", "begins with a dash"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_row(rules, words):
    with pytest.raises(ConfigError, match=words):
        AqStep(rules).describe(SHOP.schema)


def test_per_file_the_rules_see_all_rows_of_it():
    got = run(
        "-var i:sum 0 -eval sum 'sum + id' -eval i:row $RowNum -eval i:s sum -c row s", "file"
    )
    assert got["row"].to_pylist() == [1, 2, 3, 4]
    assert got["s"].to_pylist() == [1, 1, 4, 8]
    ended = run("-if -filt 'id == 3' -quit -endif", "file")
    assert ended[ROW_LABEL].to_pylist() == [10, 11]


def test_it_is_a_step_of_the_api_and_a_room():
    import ess_dask.aq.kinds  # noqa: F401 - puts the room in the place of the function

    assert ess.aq("-filt 1") == AqStep("-filt 1")
    assert ess.aq("-filt 1", per="file").per == "file"
    from ess_dask.api import steps

    assert steps.aq("-filt 1") == AqStep("-filt 1")
