"""Where the parts of a load end up: objects below its prefix in S3, as Parquet or gzip CSV."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Literal

from ess_dask.catalog.model import Datastore
from ess_dask.dataclass import dataclass
from ess_dask.errors import EssError
from ess_dask.warehouse.redshift.csv_part import write_csv

Format = Literal["parquet", "csv"]


@dataclass(frozen=True, slots=True)
class FileForm:
    """The form of staged files; ``codec`` compresses the pages inside of Parquet."""

    format: Format = "parquet"
    codec: str = "zstd"


SUFFIX: dict[Format, str] = {"parquet": "parquet", "csv": "csv.gz"}
_UPLOADS_AT_ONCE = 2
"""Parts of one batch on their way; the batches of a worker are staged side by side already."""


class S3Place:
    """A prefix in S3 (``staging_place.Place``). ``load_id`` gives CSV its word for null."""

    def __init__(self, store: Datastore, format: Format, load_id: str) -> None:  # noqa: A002
        self._store = store
        self._format = format
        self._load_id = load_id

    def publish(self, finished: Sequence[tuple[Path, str]]) -> list[tuple[str, int]]:
        """See ``Place.publish``. Raises what S3 does, translated, and ``DataError`` for CSV."""
        from ess_dask.catalog.s3_objects import put_file

        def one(place: tuple[Path, str]) -> tuple[str, int]:
            path = self._encoded(place[0])
            uri = f"{self._store.root}/{place[1]}.{SUFFIX[self._format]}"
            try:
                return uri, put_file(self._store, path, uri)
            finally:
                path.unlink(missing_ok=True)

        with ThreadPoolExecutor(_UPLOADS_AT_ONCE, thread_name_prefix="ess-upload") as pool:
            tasks = [pool.submit(one, place) for place in finished]
            try:
                return [task.result() for task in tasks]
            except BaseException:
                for task in tasks:
                    task.cancel()
                done = [task for task in tasks if not task.cancelled() and not task.exception()]
                self.remove([task.result()[0] for task in done])
                raise

    def remove(self, paths: Sequence[str]) -> None:
        """Take objects back where that is possible: what is left is swept with the load."""
        from ess_dask.catalog.s3_objects import remove

        with suppress(EssError):
            remove(self._store, paths)

    def _encoded(self, path: Path) -> Path:
        """Return the file in the format that is loaded; the other one is gone then."""
        if self._format == "parquet":
            return path
        target = path.with_suffix(".csv.gz")
        write_csv(path, target, self._load_id)
        path.unlink()
        return target
