"""A datastore and its categories, from Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ess_dask.catalog.model import Category, Datastore

if TYPE_CHECKING:
    from ess_dask.api.selection import Selection
    from ess_dask.records.spec import ReadSpec


def select(
    source: str, *, profile: str = "", credentials: str = "", region: str = "", endpoint: str = ""
) -> Lake:
    """Return the datastore ``source``: a folder, or ``s3://bucket[/prefix]``.

    Credentials are a reference, never a secret: ``profile`` names one of AWS's shared profiles,
    ``credentials`` a CSV file (User Name, Access Key Id, Secret Access Key); with neither, the
    usual chain (environment, profile, role) is asked. Nothing is listed yet.

    Raises ``UsageError`` for a source of another kind or for both references at once.
    """
    from ess_dask.catalog.datastores import make_datastore

    return Lake(
        make_datastore(
            source, profile=profile, credentials=credentials, region=region, endpoint=endpoint
        )
    )


@dataclass(frozen=True, slots=True)
class Lake:
    """A datastore: where raw files are."""

    store: Datastore

    def category(
        self,
        name: str,
        pattern: str | Iterable[str],
        *,
        columns: Mapping[str, str],
        date: str = "auto",
        exclude: Iterable[str] = (),
        delimiter: str = ",",
        header: bool = True,
        compression: str = "",
        archive: str = "",
        encoding: str = "utf-8",
        extra_columns: Literal["ignore", "fail"] = "ignore",
    ) -> LakeCategory:
        """Return the files that match, with typed columns.

        ``pattern``: globs over the path below the lake's root, ``*`` crosses folders. ``columns``:
        name to type (``string``, ``int32``, ``timestamp``, ``decimal(10,2)`` ...); with
        ``header`` they are found by name, else by position. ``date``: ``auto``, ``none`` or a
        pattern with classes such as ``[:%Y:]``. Raises ``ConfigError`` for an unknown type.
        """
        from ess_dask.records.spec import Column, ReadSpec
        from ess_dask.records.types import parse_type

        patterns = (pattern,) if isinstance(pattern, str) else tuple(pattern)
        read = ReadSpec(
            columns=tuple(Column(title, parse_type(text)) for title, text in columns.items()),
            delimiter=delimiter,
            header=header,
            encoding=encoding,
            compression=compression,
            archive=archive,
            extra_columns=extra_columns,
        )
        category = Category(name, patterns, exclude=tuple(exclude), dateregex=date)
        return LakeCategory(self.store, category, read)


@dataclass(frozen=True, slots=True)
class LakeCategory:
    """Files that belong together, with their structure."""

    store: Datastore
    category: Category
    read: ReadSpec

    def between(self, lower: str = "*", upper: str = "*") -> Selection:
        """Return the files with ``lower <= date <= upper``; ``*`` is open, both are inclusive.

        Raises ``UsageError`` when ``lower`` is after ``upper``.
        """
        from ess_dask.api.selection import Selection

        return Selection(self.store, self.category, self.read, lower, upper)

    def all(self) -> Selection:
        """Return all files, undated ones too."""
        return self.between()
