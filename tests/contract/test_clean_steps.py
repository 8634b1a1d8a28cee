"""The conformance suites over the built-in kinds and one plug-in."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ess_dask.clean.function import PythonStep
from ess_dask.clean.protocol import BytesStep, Per, RowStep, StepContext
from ess_dask.clean.shell import ShellStep
from ess_dask.clean.sql import SqlStep
from ess_dask.testing.steps import BytesStepConformance, RowStepConformance


class TestSqlFilter(RowStepConformance):
    def make_step(self) -> RowStep:
        return SqlStep("select *, price * 2 as twice from records where id > 1")


class TestSqlThatMakesRows(RowStepConformance):
    def make_step(self) -> RowStep:
        return SqlStep(
            "with long as (select name, unnest([1, 2]) as n from records)"
            " select name, n from long union all select upper(name), id from records"
        )


class TestSqlPerFile(RowStepConformance):
    def make_step(self) -> RowStep:
        return SqlStep(
            "select name, sum(price) as total from records group by 1 order by 1", "file"
        )


class TestPandasFilter(RowStepConformance):
    def make_step(self) -> RowStep:
        return PythonStep.from_callable(lambda frame: frame[frame.price > 0])


class TestPandasThatSortsAndAssigns(RowStepConformance):
    def make_step(self) -> RowStep:
        def tidy(frame: pd.DataFrame) -> pd.DataFrame:
            frame["name"] = frame["name"].str.upper()
            frame.loc[frame.id > 3, "id"] += 1
            return frame.sort_values("price")

        return PythonStep.from_callable(tidy)


class TestPandasPerFile(RowStepConformance):
    def make_step(self) -> RowStep:
        return PythonStep.from_callable(
            lambda frame: frame.groupby("name").price.sum().to_frame(), "file"
        )


class TestPandasThatForgetsTheIndex(RowStepConformance):
    def make_step(self) -> RowStep:
        return PythonStep.from_callable(lambda frame: frame[frame.price > 0].reset_index(drop=True))


class TestArrowFunction(RowStepConformance):
    def make_step(self) -> RowStep:
        def positive(table: pa.Table) -> pa.Table:
            return table.filter(pc.greater(table["price"], 0))

        return PythonStep.from_callable(positive)


class TestShell(BytesStepConformance):
    def make_step(self) -> BytesStep:
        return ShellStep("sed '/^id/d' | tr a-z A-Z")


class TestShellThatReadsLittle(BytesStepConformance):
    def make_step(self) -> BytesStep:
        return ShellStep("head -n 3")

    def test_passes_on_what_reading_raises(self) -> None:
        """Not promised: it may have read enough before the source fails."""


@dataclass(frozen=True)
class DropNulls:
    """A plug-in as its author would write it: no base class, nothing of ours but the protocol."""

    column: str
    per: Per = "batch"

    @classmethod
    def from_pipeline(cls, value: str | dict[str, object], folder: str) -> "DropNulls":
        assert isinstance(value, str)
        return cls(value)

    @property
    def name(self) -> str:
        return f"drop_nulls: {self.column}"

    def apply(self, table: pa.Table, context: StepContext) -> pa.Table:
        return table.filter(table.column(self.column).is_valid())


class TestRowPlugIn(RowStepConformance):
    def make_step(self) -> RowStep:
        return DropNulls.from_pipeline("id", ".")


@dataclass(frozen=True)
class Unix2Dos:
    name: str = "unix2dos"

    def pipe(self, source: Iterable[bytes], context: StepContext) -> Iterator[bytes]:
        return (block.replace(b"\n", b"\r\n") for block in source)


class TestBytesPlugIn(BytesStepConformance):
    def make_step(self) -> BytesStep:
        return Unix2Dos()


@dataclass(frozen=True)
class RunningNumber:
    """What the contract is there to find: the result depends on the batch."""

    per: Per = "batch"
    name: str = "number"

    def apply(self, table: pa.Table, context: StepContext) -> pa.Table:
        return table.append_column("n", pa.array(range(table.num_rows)))


class RunningNumberSuite(RowStepConformance):
    def make_step(self) -> RowStep:
        return RunningNumber()


def test_the_suite_finds_a_step_that_shows_its_batches():
    with pytest.raises(AssertionError, match="cut at"):
        RunningNumberSuite().test_batches_do_not_show()


@pytest.mark.parametrize(
    ("kind", "value", "name"),
    [
        ("sql", "select * from records", "sql: select * from records"),
        (
            "sql",
            {"query": "select sum(a) from records", "per": "file"},
            "sql: select sum(a) from records",
        ),
        ("shell", "cat", "shell: cat"),
        ("shell", {"command": "cat", "timeout": 60}, "shell: cat"),
        ("python", "cleaning:same", "python: cleaning:same"),
        ("python", {"function": "cleaning:same", "per": "file"}, "python: cleaning:same"),
    ],
)
def test_the_built_in_kinds_are_entry_points(tmp_path, kind, value, name):
    (tmp_path / "cleaning.py").write_text("def same(frame):\n    return frame\n")
    (point,) = entry_points(group="ess_dask.steps", name=kind)
    step = point.load().from_pipeline(value, str(tmp_path))
    assert step.name == name
    assert isinstance(step, BytesStep if kind == "shell" else RowStep)
    if isinstance(value, dict) and "per" in value:
        assert step.per == "file"
