"""Cleaning functions of the woodworking pipeline.

A step is called with a pandas DataFrame that holds some of the rows, and returns the cleaned rows.
It must be pure and row by row in meaning: how the rows are cut into frames must not matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

FIRST_BAD_DAY = 15
"""From this day of the month on, the shop's till recorded article ids one too low."""


def add_missing_article_offset(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the purchases with the article ids of the 15th and later put right (+1)."""
    # A purchase without a date cannot be told to be late: it keeps its article.
    late = (frame["purchaseDate"].dt.day >= FIRST_BAD_DAY).fillna(value=False)
    corrected = frame["articleID"].where(~late, frame["articleID"] + 1)
    return frame.assign(articleID=corrected)
