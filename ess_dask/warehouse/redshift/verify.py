"""A load's rows as they are in the table now, against the digest that was recorded with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ess_dask.warehouse.digest import compare
from ess_dask.warehouse.model import LoadRequest
from ess_dask.warehouse.protocol import Verification
from ess_dask.warehouse.quote import TableName
from ess_dask.warehouse.redshift.existing import table_state
from ess_dask.warehouse.redshift.incoming import take_digest
from ess_dask.warehouse.schema import LOAD_COLUMN

if TYPE_CHECKING:
    from ess_dask.warehouse.redshift.ledger import Ledger


def verify_load(
    ledger: Ledger, request: LoadRequest, name: TableName, *, text: bool
) -> Verification:
    """Compare; the recorded digest is that of the staged rows, it was compared in the load."""
    state = table_state(ledger.session, name)
    loaded = {
        entry.file.uri
        for entry in ledger.entries(str(name), "", history=True)
        if entry.load_id == request.load_id
    }
    staged = sum(file.rows_loaded for file in request.files if file.uri in loaded)
    if not state.exists or not loaded:
        lost = staged or not loaded
        return Verification(staged, 0, ("the load is not in the table",) if lost else ())
    if not staged:
        return Verification(0, 0)
    mine = f"{state.name.sql} WHERE {LOAD_COLUMN} = ?"
    now = take_digest(ledger.session, mine, request.plan.columns, request.load_id, text=text)
    recorded = ledger.digest(request.load_id, now)
    return Verification(recorded.rows, now.rows, compare(recorded, now))
