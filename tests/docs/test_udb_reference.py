"""The page of the databases in memory names every action, option and attribute."""

from pathlib import Path

from ess_dask.aq.parsing.conditional import CLOSING
from ess_dask.udb import parsing, upkeep
from ess_dask.udb.programs import aq_udb

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "udb.md").read_text(encoding="utf-8")


def test_every_option_is_there():
    names = {*parsing._OPTIONS, *parsing._RULES, *CLOSING, "-if", "-ifnot", "-endpp"}
    names |= {*aq_udb.EXPORTS, *aq_udb.UPKEEP, *upkeep._ACTIONS}
    assert [name for name in sorted(names) if name not in PAGE] == []
