"""A synthetic lake: a woodworking shop's daily files, seeded, with the dirt that real ones have.

``browse_YYYYMMDD.csv.gz`` holds ``eventDate,userID,articleID``; ``purchase_YYYYMMDD.csv.gz`` holds
``purchaseDate,userID,articleID,price,refID``. The dirt in purchases: ``TBD`` in integer columns,
blank references, free samples (price 0), ragged rows, broken quotes, article ids one too low from
the 15th on, and one file that is plain text though named ``.gz``. What was put in is returned, so
that a run's account can be checked against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

DAYS = 30
ARTICLES = 48
PLAIN_DAY = 7
"""The day (counted from 0) whose purchase file is plain text in spite of its name."""

OFFSET_DAY = 15
"""From this day of the month on, recorded article ids are one too low."""


@dataclass(frozen=True, slots=True)
class LakeShape:
    """How much to make. ``dirt`` is the share of purchase rows that cannot be loaded; ``quotes``
    says whether broken quotes are among them."""

    days: int = DAYS
    purchases_per_day: int = 4_000
    browses_per_day: int = 20_000
    users: int = 5_000
    dirt: float = 0.01
    free: float = 0.005
    quotes: bool = True
    start: date = date(2014, 9, 1)
    seed: int = 20140901
    compression: int = 1


@dataclass(frozen=True, slots=True)
class LakeAccount:
    """What was put into the lake. Rows of ``purchase_*`` and ``browse_*``; ``stored_bytes`` of all.

    ``bad`` purchases must be rejected, ``free`` ones are dropped by the shop's cleaning step.
    """

    files: int
    purchases: int
    bad: int
    free: int
    browses: int
    stored_bytes: int

    @property
    def loadable(self) -> int:
        """Purchases that a clean warehouse holds."""
        return self.purchases - self.bad - self.free


def make_lake(folder: Path, shape: LakeShape | None = None) -> LakeAccount:
    """Write the lake into ``folder`` (made if missing); the same shape gives the same bytes."""
    import numpy as np

    shape = shape or LakeShape()
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.Generator(np.random.PCG64(shape.seed))
    bad = free = stored = 0
    for number in range(shape.days):
        day = shape.start + timedelta(days=number)
        lines, kind = _purchases(random, shape, day)
        bad += int((kind == "bad").sum())
        free += int((kind == "free").sum())
        title = "purchaseDate,userID,articleID,price,refID"
        plain = number == PLAIN_DAY
        stored += _write(folder / f"purchase_{day:%Y%m%d}.csv.gz", title, lines, shape, plain)
        if shape.browses_per_day:
            lines = _browses(random, shape, day)
            name = f"browse_{day:%Y%m%d}.csv.gz"
            stored += _write(folder / name, "eventDate,userID,articleID", lines, shape, False)
    return LakeAccount(
        files=shape.days * (2 if shape.browses_per_day else 1),
        purchases=shape.days * shape.purchases_per_day,
        bad=bad,
        free=free,
        browses=shape.days * shape.browses_per_day,
        stored_bytes=stored,
    )


def _events(random: np.random.Generator, rows: int, users: int, day: date) -> pl.DataFrame:
    """Make time, user and article of ``rows`` events of one day, in order of time."""
    import numpy as np
    import polars as pl

    midnight = np.datetime64(day, "ms")
    seconds = np.sort(random.integers(0, 86_400, rows))
    # Squared: few users are busy and many are not, as in a real shop.
    user = (random.random(rows) ** 2 * users).astype(np.int64) + 1
    article = random.integers(1, ARTICLES + 1, rows)
    return pl.DataFrame({"time": midnight + seconds * 1000, "user": user, "article": article})


def _purchases(
    random: np.random.Generator, shape: LakeShape, day: date
) -> tuple[pl.Series, pl.Series]:
    """Return a day's lines and what each is: good, free or bad."""
    import polars as pl

    rows = shape.purchases_per_day
    frame = _events(random, rows, shape.users, day).with_columns(
        dirt=pl.Series(random.random(rows)),
        how=pl.Series(random.integers(0, 4 + shape.quotes, rows)),
        refer=pl.Series(random.integers(-2 * ARTICLES, ARTICLES + 1, rows)),
    )
    bad = pl.col("dirt") < shape.dirt
    free = ~bad & (pl.col("dirt") < shape.dirt + shape.free)
    recorded = pl.col("article") - int(day.day >= OFFSET_DAY)
    price = pl.when(free).then(0).otherwise(100 + pl.col("article") * 37 % 263) / 100
    fields = {
        "time": pl.col("time").dt.strftime("%Y-%m-%dT%H:%M:%S"),
        "user": pl.col("user").cast(pl.String),
        "article": pl.when(bad & (pl.col("how") == 0)).then(pl.lit("TBD")).otherwise(recorded),
        "price": price.round(2).cast(pl.String),
        "refer": pl.when(bad & (pl.col("how") == 1))
        .then(pl.lit("TBD"))
        .when(pl.col("refer") > 0)
        .then(pl.col("refer").cast(pl.String))
        .otherwise(pl.lit("")),
    }
    line = pl.concat_str(list(fields.values()), separator=",")
    dirty = (
        pl.when(~bad | (pl.col("how") < 2))
        .then(line)
        .when(pl.col("how") == 2)  # a row cut short
        .then(pl.concat_str([fields["time"], fields["user"]], separator=","))
        .when(pl.col("how") == 3)  # a field too many
        .then(pl.concat_str([line, pl.lit("web")], separator=","))
        .otherwise(line.str.replace(",", ',"'))  # a quote that never closes
    )
    kind = pl.when(bad).then(pl.lit("bad")).when(free).then(pl.lit("free")).otherwise(pl.lit(""))
    out = frame.select(line=dirty, kind=kind)
    return out["line"], out["kind"]


def _browses(random: np.random.Generator, shape: LakeShape, day: date) -> pl.Series:
    import polars as pl

    frame = _events(random, shape.browses_per_day, shape.users, day)
    recorded = pl.col("article") - int(day.day >= OFFSET_DAY)
    time = pl.col("time").dt.strftime("%Y-%m-%dT%H:%M:%S")
    return frame.select(line=pl.concat_str([time, "user", recorded], separator=","))["line"]


def _write(path: Path, title: str, lines: pl.Series, shape: LakeShape, plain: bool) -> int:
    """Write one day's file; return its stored bytes."""
    from isal import igzip

    text = "\n".join(_pieces(title, lines)).encode()
    # mtime 0: the same lake has the same bytes.
    path.write_bytes(text if plain else igzip.compress(text, shape.compression, mtime=0))
    return path.stat().st_size


def _pieces(title: str, lines: pl.Series) -> Iterator[str]:
    yield title
    if len(lines):
        yield lines.str.join("\n").item()
    yield ""
