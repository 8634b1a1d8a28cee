"""The workers of the local daemon: they come and go while it runs.

Commands reach them through the scheduler, whose process the daemon is: the two functions at the end
are run there, over the cluster's mutual TLS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ess_dask.cluster.options import LocalOptions
from ess_dask.cluster.state import DaemonState, write_state

if TYPE_CHECKING:
    from distributed import Nanny, Scheduler
    from distributed.security import Security

LOOPBACK = "127.0.0.1"


class DaemonWorkers:
    """Nannies by the number that names them; ``options`` are those the daemon was started with.

    Who starts or ends some holds ``changing`` meanwhile: two commands may come at once.
    """

    def __init__(
        self, scheduler: Scheduler, folder: Path, options: LocalOptions, security: Security
    ) -> None:
        self.nannies: dict[int, Nanny] = {}
        self._scheduler = scheduler
        self._folder = folder
        self._options = options
        self._security = security
        self._state: DaemonState | None = None
        self._removed: set[int] = set()
        self.changing = asyncio.Lock()
        # Functions that are run in the scheduler find the workers by it.
        vars(scheduler)["ess_workers"] = self

    async def start(self, numbers: Iterable[int]) -> None:
        """Start workers of these names; returns when they have joined."""
        numbers = list(numbers)
        share = self._share(len(self.nannies) + len(numbers))
        found = await asyncio.gather(*(self._nanny(number, share) for number in numbers))
        self.nannies |= dict(zip(numbers, found, strict=True))
        if self._state:
            self.publish(self._state)

    async def end(self, numbers: Iterable[int]) -> None:
        """End workers; what they hold must have been moved before."""
        leaving = {number: self.nannies.pop(number) for number in numbers}
        self._removed |= leaving.keys()
        await asyncio.gather(*(nanny.close(timeout=3) for nanny in leaving.values()))
        if self._state:
            self.publish(self._state)

    def next_numbers(self, count: int) -> list[int]:
        """Return names for ``count`` further workers, the lowest that are free."""
        free = (n for n in range(len(self.nannies) + count) if n not in self.nannies)
        return [next(free) for _ in range(count)]

    def publish(self, state: DaemonState) -> DaemonState:
        """Write the daemon's state with its workers in it, now and whenever they change."""
        members = {
            str(number): (nanny.nthreads, nanny.memory_manager.memory_limit or 0)
            for number, nanny in sorted(self.nannies.items())
        }
        threads, memory = next(iter(members.values()))
        self._state = replace(
            state,
            workers=len(members),
            threads=threads,
            memory_limit=memory,
            members=members,
            removed=[str(number) for number in sorted(self._removed - self.nannies.keys())],
        )
        write_state(self._state)
        return self._state

    async def all_ended(self) -> None:
        """Return when the workers that there are have all ended by themselves."""
        from distributed.core import Status

        while any(nanny.status != Status.closed for nanny in self.nannies.values()):
            await asyncio.sleep(1)

    async def close(self) -> None:
        """End all workers."""
        await asyncio.gather(*(nanny.close(timeout=3) for nanny in self.nannies.values()))

    def _share(self, workers: int) -> tuple[int, int]:
        """Return threads and bytes of one of so many workers of this machine."""
        from dask.system import CPU_COUNT
        from distributed.system import MEMORY_LIMIT

        return (
            self._options.threads or max(1, CPU_COUNT // workers),
            self._options.memory_limit or MEMORY_LIMIT // workers,
        )

    def _nanny(self, number: int, share: tuple[int, int]) -> Nanny:
        from distributed import Nanny

        return Nanny(
            self._scheduler.address,
            name=number,
            host=LOOPBACK,
            protocol="tls://",
            security=self._security,
            nthreads=share[0],
            memory_limit=share[1],
            local_directory=str(self._folder / "scratch"),
            dashboard=False,
            dashboard_address=f"{LOOPBACK}:0",
        )


async def start_workers(count: int, numbers: list[int], dask_scheduler: Any) -> list[int]:
    """Start workers in the daemon: those named, and ``count`` further ones; return their names."""
    workers: DaemonWorkers = dask_scheduler.ess_workers
    async with workers.changing:
        # Each once: the scheduler refuses a second worker of a name.
        numbers = [each for each in dict.fromkeys(numbers) if each not in workers.nannies]
        numbers += workers.next_numbers(count)
        if numbers:
            await workers.start(numbers)
    return numbers


async def end_workers(numbers: list[int], dask_scheduler: Any) -> None:
    """End workers in the daemon."""
    workers: DaemonWorkers = dask_scheduler.ess_workers
    async with workers.changing:
        await workers.end(number for number in numbers if number in workers.nannies)
