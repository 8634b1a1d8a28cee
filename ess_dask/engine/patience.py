"""When to stop trying: a server that is down fails every file, each after all its retries.

Without it a run over a year of files would go on for an hour, only to say the same 365 times.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ess_dask.dataclass import dataclass
from ess_dask.engine.interrupt import Interrupt
from ess_dask.engine.model import Batch, BatchResult, FileCount

LIMIT = 3
"""Files of a batch, or batches of a run, that fail in a row in a way that may pass, after which
the rest is not tried."""


def untried(reason: str) -> str:
    """Return the error of a file that was not tried; ``reason`` is the last failure's."""
    return f"not tried, because the {LIMIT} before it failed: {reason}"


@dataclass(slots=True)
class Patience:
    """Says that a run is to be drained: when the user interrupts it or too much fails in a row."""

    interrupt: Interrupt
    failed: int = 0
    reason: str = ""

    @property
    def exhausted(self) -> bool:
        """Whether no further batch is worth trying."""
        return self.failed >= LIMIT

    @property
    def draining(self) -> bool:
        """Whether no further batch is to begin."""
        return self.interrupt.draining or self.exhausted

    def watch(self, result: BatchResult) -> None:
        """Take notice of a batch's result, in order."""
        hopeless = all(count.error and count.transient for count in result.counts)
        self.failed = self.failed + 1 if hopeless else 0
        if hopeless:
            self.reason = result.counts[0].error

    def skip(self, batches: Sequence[Batch], done: Sequence[BatchResult]) -> Iterable[BatchResult]:
        """Yield the account of the batches that were not tried because of ``exhausted``."""
        if self.interrupt.draining or not self.exhausted:
            return
        error = untried(self.reason)
        for batch in batches[len(done) :]:
            files = batch.files
            counts = tuple(
                FileCount(f.uri, f.etag, error=error, transient=True, size=f.size) for f in files
            )
            yield BatchResult(batch.number, counts)
