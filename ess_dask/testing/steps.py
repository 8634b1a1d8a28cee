"""What every kind of cleaning step must do: subclass one of these in a test module and run pytest.

class TestMyStep(RowStepConformance):
    def make_step(self) -> RowStep:
        return MyStep("...")
"""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from ess_dask.clean.protocol import ROW_LABEL, BytesStep, RowStep, StepContext
from ess_dask.clean.signals import LostRowLabelsError

if TYPE_CHECKING:
    import pyarrow as pa

_FIRST_LABEL = 1000


class RowStepConformance(ABC):
    """The contract of a row step. Override ``make_step``, and ``make_rows`` if it needs others."""

    context = StepContext()

    @abstractmethod
    def make_step(self) -> RowStep:
        """Return the step to be tried on ``make_rows()``."""

    def make_rows(self) -> pa.Table:
        """Return at least eight rows without the label; here with nulls in every column."""
        import pyarrow as pa

        return pa.table(
            {
                "id": pa.array([1, 2, None, 4, 5, 6, 7, 8], pa.int32()),
                "name": pa.array(["a", "b", "c", None, "", "f", "g", "é"]),
                "price": pa.array([1.5, -2.0, 0.0, 4.25, None, 6.0, 7.0, 8.0]),
            }
        )

    def test_is_a_row_step(self) -> None:
        """It has the protocol's members, and a name of one line."""

        step = self.make_step()
        assert isinstance(step, RowStep)
        assert step.per in ("batch", "file")
        assert step.name
        assert "\n" not in step.name

    def test_travels_to_a_worker(self) -> None:
        """It pickles, and works the same after that."""

        table, step = self._labelled(), self.make_step()
        sent = pickle.loads(pickle.dumps(step))  # noqa: S301 - our own bytes
        assert self._apply(sent, table).equals(self._apply(step, table))

    def test_gives_the_same_rows_each_time(self) -> None:
        """The same rows give the same result."""

        table, step = self._labelled(), self.make_step()
        assert self._apply(step, table).equals(self._apply(step, table))

    def test_leaves_its_input_alone(self) -> None:
        """The table it was given is not changed."""

        table = self._labelled()
        before = table.to_pylist()
        self._apply(self.make_step(), table)
        assert table.to_pylist() == before

    def test_takes_no_rows(self) -> None:
        """A file with a header only is no error."""

        table, step = self._labelled(), self.make_step()
        result = self._apply(step, table.slice(0, 0))
        if step.per == "batch":
            assert result.num_rows == 0

    def test_labels_are_those_of_its_input(self) -> None:
        """It makes up no labels."""

        table = self._labelled()
        result = self._apply(self.make_step(), table)
        if ROW_LABEL in result.column_names:
            labels = result.column(ROW_LABEL).to_pylist()
            assert set(labels) <= set(table.column(ROW_LABEL).to_pylist())

    def test_batches_do_not_show(self) -> None:
        """``per: batch``: the rows may be cut anywhere, the result is the same."""

        table, step = self._labelled(), self.make_step()
        if step.per == "file":
            return
        whole = self._apply(step, table).to_pylist()
        for cuts in ((1,), (3,), (2, 5), tuple(range(1, table.num_rows))):
            edges = (0, *cuts, table.num_rows)
            parts = [
                self._apply(step, table.slice(start, end - start)).to_pylist()
                for start, end in pairwise(edges)
            ]
            assert [row for part in parts for row in part] == whole, f"cut at {cuts}"

    def _labelled(self) -> pa.Table:
        import pyarrow as pa

        table = self.make_rows()
        labels = range(_FIRST_LABEL, _FIRST_LABEL + table.num_rows)
        return table.append_column(ROW_LABEL, pa.array(labels, pa.int64()))

    def _apply(self, step: RowStep, table: pa.Table) -> pa.Table:
        """As the engine does: a step that lost the labels works again without them."""
        try:
            return step.apply(table, self.context)
        except LostRowLabelsError:
            return step.apply(table.drop_columns([ROW_LABEL]), self.context)


class BytesStepConformance(ABC):
    """The contract of a bytes step. Override ``make_step``, and ``make_bytes`` for other bytes."""

    context = StepContext()

    @abstractmethod
    def make_step(self) -> BytesStep:
        """Return the step to be tried on ``make_bytes()``."""

    def make_bytes(self) -> bytes:
        """Return the content of a small file."""
        return b"id,name\n" + b"".join(b"%d,name %d\n" % (n, n) for n in range(100))

    def test_is_a_bytes_step(self) -> None:
        """It has the protocol's members, and a name of one line."""

        step = self.make_step()
        assert isinstance(step, BytesStep)
        assert step.name
        assert "\n" not in step.name

    def test_travels_to_a_worker(self) -> None:
        """It pickles, and works the same after that."""

        step = self.make_step()
        sent = pickle.loads(pickle.dumps(step))  # noqa: S301 - our own bytes
        assert self._pipe(sent, [self.make_bytes()]) == self._pipe(step, [self.make_bytes()])

    def test_blocks_do_not_show(self) -> None:
        """The bytes may come in blocks of any size."""

        content, step = self.make_bytes(), self.make_step()
        whole = self._pipe(step, [content])
        for size in (1, 7, 1000):
            blocks = [content[at : at + size] for at in range(0, len(content), size)]
            assert self._pipe(step, blocks) == whole, f"blocks of {size}"

    def test_takes_an_empty_file(self) -> None:
        """No bytes at all are no error."""

        self._pipe(self.make_step(), [])

    def test_passes_on_what_reading_raises(self) -> None:
        """A file that cannot be read whole is never taken for a short one."""

        def broken() -> Iterator[bytes]:
            yield self.make_bytes()
            raise _ReadingFailed

        try:
            self._pipe(self.make_step(), broken())
        except _ReadingFailed:
            return
        raise AssertionError("the file could not be read whole, and nobody was told")

    def test_can_be_closed_early(self) -> None:
        """Whoever reads the result may stop."""

        blocks = iter(self.make_step().pipe([self.make_bytes()] * 1000, self.context))
        next(blocks, None)
        close = getattr(blocks, "close", None)
        if close is not None:
            close()

    def _pipe(self, step: BytesStep, source: Iterable[bytes]) -> bytes:
        return b"".join(step.pipe(source, self.context))


class _ReadingFailed(Exception):  # noqa: N818 - stands for any error of a source
    pass
