"""What waits in Airflow's triggerer: for a moment, and for files.

Both only look and wait. A run is never started here: the triggerer serves hundreds of tasks, may
stop at any time, and hands its triggers to another machine, which knows nothing of a process left
behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from ess_dask.airflow.files import Look, Wanted, look
from ess_dask.airflow.setup import SetupError


class EssWaitTrigger(BaseTrigger):
    """Fires at a moment, and hands on ``until`` when to wait (ISO format, with offset from UTC)."""

    def __init__(self, moment: str, until: str) -> None:
        super().__init__()
        self.moment = moment
        self.until = until

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what another triggerer needs to go on."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "moment": self.moment,
            "until": self.until,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the moment."""
        left = datetime.fromisoformat(self.moment) - datetime.now(UTC)
        await asyncio.sleep(max(0.0, left.total_seconds()))
        yield TriggerEvent({"until": self.until})


class EssFilesTrigger(BaseTrigger):
    """Fires when the wanted files are there: asks ``ess`` on the triggerer's machine for them.

    Nothing secret is in its arguments: the connection is read here.
    """

    def __init__(self, wanted: dict[str, Any], ess_conn_id: str, interval: float) -> None:
        super().__init__()
        self.wanted = wanted
        self.ess_conn_id = ess_conn_id
        self.interval = interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what another triggerer needs to go on."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "wanted": self.wanted,
            "ess_conn_id": self.ess_conn_id,
            "interval": self.interval,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until all is there; also fires when looking again cannot help."""
        from asgiref.sync import sync_to_async

        from ess_dask.airflow.hook import EssHook

        wanted = Wanted(**self.wanted)
        while True:
            try:
                setup = await sync_to_async(EssHook(self.ess_conn_id).get_conn)()
                found = await asyncio.to_thread(look, setup, wanted)
                if found.is_complete and wanted.stable_for:
                    await asyncio.sleep(wanted.stable_for)
                    found = found.same_as(await asyncio.to_thread(look, setup, wanted))
            except SetupError as error:
                found = Look(hopeless=str(error))
            if found.is_complete or found.hopeless:
                yield TriggerEvent({"files": len(found.files), "hopeless": found.hopeless})
                return
            self.log.info("%s", found.missing)
            await asyncio.sleep(self.interval)
