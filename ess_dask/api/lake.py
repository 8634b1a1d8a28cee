"""A datastore and its categories, from Python."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ess_dask.api.forms import names_of
from ess_dask.catalog.model import Category, Datastore
from ess_dask.clean.protocol import BytesStep
from ess_dask.dataclass import dataclass
from ess_dask.errors import ConfigError, UsageError
from ess_dask.markup import facts, grid, page
from ess_dask.records.spec import Column, ReadSpec

if TYPE_CHECKING:
    import pandas as pd

    from ess_dask.api.results import Answer
    from ess_dask.api.selection import Selection
    from ess_dask.api.steps import Step
    from ess_dask.catalog.index import Catalog
    from ess_dask.profiling.model import Profile


def select(
    source: str | Path,
    *,
    profile: str = "",
    credentials: str = "",
    region: str = "",
    endpoint: str = "",
) -> Lake:
    """Return the datastore ``source``: a folder, ``s3://bucket[/prefix]``, or a label known to
    ``ess repository``.

    Credentials are a reference, never a secret: ``profile`` names one of AWS's shared profiles,
    ``credentials`` a CSV file (User Name, Access Key Id, Secret Access Key); with neither, the
    usual chain (environment, profile, role) is asked. ``endpoint`` is the URL of another S3 server
    (default: ``AWS_ENDPOINT_URL``). Nothing is listed or looked at yet: a folder or bucket that is
    not there is an error when its files are first asked for.

    Raises ``UsageError`` for a source of another kind or for both references at once.
    """
    from ess_dask.catalog.datastores import is_source, make_datastore
    from ess_dask.catalog.registry import current_store

    access = {"profile": profile, "credentials": credentials}
    access |= {"region": region, "endpoint": endpoint}
    text = str(source)
    is_path = isinstance(source, Path) or (is_source(text) and "://" not in text)
    if is_path and not any(access.values()) and not Path(text).expanduser().is_dir():
        root = Path(text).expanduser().absolute()
        return Lake(Datastore(root.name or "root", str(root)))
    if is_source(text) or any(access.values()):
        return Lake(make_datastore(text, **access))
    return Lake(current_store(text))


@dataclass(frozen=True, slots=True, repr=False)
class Lake:
    """A datastore: where raw files are. Made by ``select``; holds no file list and no secret."""

    store: Datastore

    def category(
        self,
        name: str,
        pattern: str | Iterable[str] | None = None,
        *,
        columns: Mapping[str, str] | str | None = None,
        date: str = "auto",
        exclude: str | Iterable[str] = (),
        delimiter: str = ",",
        header: bool = True,
        compression: str = "",
        archive: str = "",
        encoding: str = "utf-8",
        extra_columns: Literal["ignore", "fail"] = "ignore",
    ) -> LakeCategory:
        """Return the files that match, with typed columns.

        ``pattern``: globs over the path below the lake's root, ``*`` crosses folders. ``columns``:
        name to type (``string``, ``int32``, ``timestamp``, ``decimal(10,2)`` ...), a blank field is
        null; or an Essentia columnspec (``"S:userID I:articleID"``), a blank field is 0 or ''. With
        ``header`` columns are found by name, else by position. ``date``: ``auto``, ``none`` or a
        pattern with classes such as ``[:%Y:]``.

        With the name alone, the category is taken as ``ess category add`` registered it, with its
        columnspec, whose columns go by position; a file whose title names them in another order
        is an error. Raises ``ConfigError`` for an unknown type or encoding, ``UsageError`` for
        a category that is not registered and a pattern without columns.
        """
        if pattern is None and columns is None:
            return self._registered(name)
        if pattern is None or columns is None:
            missing = "pattern" if pattern is None else "columns"
            raise UsageError(
                f"category {name!r}: {missing} is not given",
                hint="give pattern and columns, or the name alone of a registered category",
            )
        category = Category(name, names_of(pattern), exclude=names_of(exclude), dateregex=date)
        _check(self.store, category)
        read = ReadSpec(
            columns=_columns(columns),
            delimiter=delimiter,
            header=header,
            blank="zero" if isinstance(columns, str) else "null",
            encoding=encoding,
            compression=compression,
            archive=archive,
            extra_columns=extra_columns,
        )
        _check_read(read)
        return LakeCategory(self.store, category, read)

    def sql(self, statement: str, **given: Any) -> Answer:
        """Answer one SELECT (DuckDB's dialect) over registered categories of this lake.

        ``from purchase:2014-09-01:2014-09-10`` reads the files of these days, ``'x/*.parquet'``
        and ``'x/*.csv.gz'`` files by pattern; frames are handed in by name:
        ``lake.sql("... join df using (k)", df=df)``.
        Tables in memory (``database.table``) are found when the cluster runs. Only the columns that
        the statement names are typed; rows that do not fit them are left out (``RejectWarning``).
        Raises ``UsageError`` with line and column, ``DataError`` for a file that cannot be read.
        """
        from ess_dask.api.sql import ask, frames, sources_of

        return ask(statement, sources_of(lake=self, given=frames(given)))

    def categories(self) -> tuple[str, ...]:
        """Return the names of the categories that are registered for this datastore, sorted."""
        return tuple(each.name for each in self._known())

    def _known(self) -> tuple[Category, ...]:
        from ess_dask.catalog.index import open_catalog

        with open_catalog() as catalog:
            label = _label(catalog, self.store)
            return tuple(found.category for found in catalog.categories(label))

    def _registered(self, name: str) -> LakeCategory:
        from ess_dask.catalog.index import open_catalog
        from ess_dask.catalog.registry import find_category

        with open_catalog() as catalog:
            store = replace(self.store, label=_label(catalog, self.store))
            category = find_category(catalog, store, name).category
        if not category.columnspec:
            raise UsageError(
                f"category {name!r} has no columns",
                hint=f"ess probe {name}, or give pattern and columns here",
            )
        return LakeCategory(store, category, _read_spec(category), _preprocess(category))

    def __repr__(self) -> str:
        return f"<Lake {self.store.root}>"

    def _repr_html_(self) -> str:
        known = {"region": self.store.region, "endpoint": self.store.endpoint}
        found = [(each.name, ", ".join(each.patterns), each.columnspec) for each in self._known()]
        titles = ("registered category", "patterns", "columns")
        return page(f"Lake {self.store.root}", facts(known), grid(titles, found) if found else "")


@dataclass(frozen=True, slots=True, repr=False)
class LakeCategory:
    """Files that belong together, with their structure. Choose the days with ``between``; what
    else can be done with them is done with ``all()``.

    ``bytes_steps`` is what a registered category's files go through before they are parsed.
    """

    store: Datastore
    category: Category
    read: ReadSpec
    bytes_steps: tuple[BytesStep, ...] = ()

    def between(self, lower: str | dt.date = "*", upper: str | dt.date = "*") -> Selection:
        """Return the files with ``lower <= date <= upper``; ``*`` is open, both are inclusive.

        A bound names a period (``2014``, ``2014-09``, ``2014-09-30``, ``2014-09-30 05``), or is a
        ``datetime.date``. Raises ``UsageError`` for a text that is no date, and when ``lower`` is
        after ``upper``.
        """
        return self.all().between(lower, upper)

    def all(self) -> Selection:
        """Return all files, undated ones too."""
        from ess_dask.api.selection import Selection

        return Selection(self.store, self.category, self.read, bytes_steps=self.bytes_steps)

    def head(self, rows: int = 10) -> pd.DataFrame:
        """Return the first rows of the first files; see ``Selection.head``."""
        return self.all().head(rows)

    def clean(self, *steps: Step) -> Selection:
        """Return all files with cleaning commands; see ``Selection.clean``."""
        return self.all().clean(*steps)

    def profile(
        self,
        columns: str | Iterable[str] = (),
        *,
        files: float | None = None,
        top: int = 10,
        rejects: int = 5,
    ) -> Profile:
        """Return what is in the columns of all files; see ``Selection.profile``."""
        return self.all().profile(columns, files=files, top=top, rejects=rejects)

    def __repr__(self) -> str:
        patterns = ", ".join(self.category.patterns)
        return f"<LakeCategory {self.category.name} in {self.store.root}: {patterns}>"

    def _repr_html_(self) -> str:
        return self.all()._repr_html_()


def _check(store: Datastore, category: Category) -> None:
    """Raise ``UsageError`` now for a name, pattern or date pattern that cannot be used later."""
    from ess_dask.catalog.categories import check_category

    if not category.patterns:
        raise UsageError(f"category {category.name!r} has no pattern", hint="such as '*.csv.gz'")
    check_category(store, category)


def _check_read(read: ReadSpec) -> None:
    """Raise ``ConfigError`` now for what no file could be read by."""
    from ess_dask.records.csv import check_spec

    check_spec(read)
    if read.extra_columns not in ("ignore", "fail"):
        raise ConfigError(
            f"extra_columns cannot be {read.extra_columns!r}", hint="it is ignore or fail"
        )


def _columns(columns: Mapping[str, str] | str) -> tuple[Column, ...]:
    from ess_dask.records.columnspec import parse_columnspec
    from ess_dask.records.types import parse_type

    if isinstance(columns, str):
        return parse_columnspec(columns)
    if not isinstance(columns, Mapping):
        raise ConfigError(
            f"columns cannot be {columns!r}", hint='give {name: type}, or "S:userID I:articleID"'
        )
    made = []
    for name, text in columns.items():
        try:
            made.append(Column(name, parse_type(str(text))))
        except ConfigError as error:
            raise ConfigError(f"column {name!r}: {error.message}", hint=error.hint) from None
    return tuple(made)


def _label(catalog: Catalog, store: Datastore) -> str:
    """Return the label under which this place is registered, its own when it is not."""
    if catalog.datastore(store.label) is not None:
        return store.label
    known = (each.label for each in catalog.datastores() if each.root == store.root)
    return next(known, store.label)


def _read_spec(category: Category) -> ReadSpec:
    from ess_dask.records.columnspec import parse_columnspec

    return ReadSpec(
        columns=parse_columnspec(category.columnspec),
        delimiter=category.delimiter or ",",
        header=category.header,
        by_position=True,
        blank="zero",
        compression=category.compression,
        archive=category.archive,
    )


def _preprocess(category: Category) -> tuple[BytesStep, ...]:
    from ess_dask.api.steps import shell

    return (shell(category.preprocess),) if category.preprocess else ()
