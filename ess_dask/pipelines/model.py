"""What a pipeline file says, as frozen values. Every field's description is the reference.

Made from YAML by ``pipelines.load``; made in Python, give the fields their plain values (the checks
of single values then happen where the values are used).
"""

from __future__ import annotations

from dataclasses import field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from ess_dask.dataclass import dataclass
from ess_dask.documents.fields import (
    FORBID_UNKNOWN,
    Before,
    FieldError,
    Filled,
    Text,
    Texts,
    Truth,
    as_list,
    choice,
    did_you_mean,
)
from ess_dask.documents.yaml import Scalar
from ess_dask.pipelines import rules
from ess_dask.pipelines.notify import Notify, OneNotify
from ess_dask.pipelines.own_settings import OwnSettings
from ess_dask.pipelines.rules import checked
from ess_dask.pipelines.steps import CleanStep, Step

if TYPE_CHECKING:
    from ess_dask.catalog.model import Category
    from ess_dask.records.spec import Column, ReadSpec
    from ess_dask.settings import Settings

FILE_COLUMNS = ("file_date", "file_uri")


def _about(description: str, **limits: int) -> dict[str, Any]:
    return {"description": description, **limits}


ColumnName = Annotated[str, checked(rules.column_name)]
TypeText = Annotated[str, checked(rules.type_text)]


FileColumns = Annotated[
    tuple[Annotated[Literal["file_date", "file_uri"], choice(*FILE_COLUMNS)], ...],
    Before(
        as_list,
        {
            "anyOf": [
                {"enum": list(FILE_COLUMNS)},
                {"type": "array", "items": {"enum": list(FILE_COLUMNS)}},
            ]
        },
    ),
]


@dataclass(frozen=True, slots=True)
class Source:
    """Which files are read, and how their bytes become typed rows."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN

    store: Filled = field(
        metadata=_about(
            "Where the files are: a folder (a relative one from the folder the command is started "
            "in), s3://bucket[/prefix], or the label of a datastore known to `ess repository`."
        )
    )
    category: Filled = field(metadata=_about("Name of this kind of files, as in `ess category`."))
    pattern: Texts = field(
        metadata=_about(
            "Glob pattern, or a list of them, over the path of a file: relative to the store, or "
            "over the whole path when it begins with / or s3://. `*` also stands for `/`.",
            min_length=1,
        )
    )
    columns: dict[ColumnName, TypeText] = field(
        hash=False,
        metadata=_about(
            "Name and type of each column: string, int8..int64, uint8..uint64, float32, float64, "
            "decimal(p,s), boolean, date, timestamp[format, zone], binary. A blank field is null; "
            "a row with a value that does not fit is rejected.",
            min_length=1,
        ),
    )
    exclude: Texts = field(
        default=(), metadata=_about("Glob pattern, or a list of them, of files to leave out.")
    )
    date: Annotated[str, checked(rules.dates)] = field(
        default="auto",
        metadata=_about(
            "The date in a file's name: auto, none, or a pattern with [:%Y:], [:%m:], [:%d:] ..."
        ),
    )
    delimiter: Annotated[str, checked(rules.delimiter)] = field(
        default=",", metadata=_about("The character between two fields.")
    )
    header: Truth = field(
        default=True,
        metadata=_about(
            "Whether a file begins with a title line. With one, columns are matched by name, "
            "whatever their order; without, by position."
        ),
    )
    compression: Annotated[str, checked(rules.compression)] = field(
        default="",
        metadata=_about("none, gzip, bzip2, xz or zstd. Left out, the content decides."),
    )
    archive: Text = field(
        default="", metadata=_about("Glob pattern of the members to read of a zip or tar file.")
    )
    encoding: Annotated[str, checked(rules.encoding)] = field(
        default="utf-8", metadata=_about("Character encoding of the files.")
    )
    extra_columns: Annotated[Literal["ignore", "fail"], choice("ignore", "fail")] = field(
        default="ignore", metadata=_about("What to do with columns that are not declared.")
    )
    file_columns: FileColumns = field(
        default=(),
        metadata=_about("Columns to add: file_date (from the file's name), file_uri."),
    )

    def __post_init__(self) -> None:
        if len(set(self.file_columns)) < len(self.file_columns):
            raise FieldError("the same column stands twice", key="file_columns")
        for name in self.file_columns:
            if name in self.columns:
                what = f"'{name}' is also one of the columns"
                raise FieldError(what, hint="rename or drop one", key="file_columns")

    def read_columns(self) -> tuple[Column, ...]:
        """Return the declared columns with their types parsed."""
        from ess_dask.records.spec import Column
        from ess_dask.records.types import parse_type

        return tuple(Column(name, parse_type(text)) for name, text in self.columns.items())

    def read_spec(self, settings: Settings) -> ReadSpec:
        """Return what a reader is told."""
        from ess_dask.records.spec import ReadSpec

        return ReadSpec(
            columns=self.read_columns(),
            delimiter=self.delimiter,
            header=self.header,
            encoding=self.encoding,
            compression=self.compression,
            archive=self.archive,
            extra_columns=self.extra_columns,
            chunk_bytes=settings.chunk_bytes,
            max_record_bytes=settings.max_record_bytes,
        )

    def as_category(self) -> Category:
        """Return what the catalogue is asked for; nothing is registered."""
        from ess_dask.catalog.model import Category

        return Category(
            name=self.category,
            patterns=self.pattern,
            exclude=self.exclude,
            dateregex=self.date,
            archive=self.archive,
            compression=self.compression,
            delimiter=self.delimiter,
            header=self.header,
        )


@dataclass(frozen=True, slots=True)
class Memory:
    """The table in the cluster's memory that holds the clean rows."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN

    table: Annotated[str, checked(rules.memory_table)] = field(
        metadata=_about("database.table; made when it is missing.")
    )
    key: Texts = field(
        metadata=_about("Column, or columns, that decide a row's partition.", min_length=1)
    )
    sort: Texts = field(
        default=(), metadata=_about("Column, or columns, by which the rows of a partition lie.")
    )


_STATEMENTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}


@dataclass(frozen=True, slots=True)
class LoadHooks:
    """SQL around a load; `{table}` in it stands for the table's quoted name."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN

    inside: Annotated[
        tuple[Annotated[str, checked(rules.hook_inside)], ...], Before(as_list, _STATEMENTS)
    ] = field(
        default=(),
        metadata=_about(
            "Statement, or a list of them, that end the load's transaction (GRANT, a row in an "
            "audit table). `{table}` is the table's quoted name. When one fails nothing is loaded."
        ),
    )
    after: Annotated[
        tuple[Annotated[str, checked(rules.hook_after)], ...], Before(as_list, _STATEMENTS)
    ] = field(
        default=(),
        metadata=_about(
            "Statement, or a list of them, run one by one when the load is committed (ANALYZE, "
            "VACUUM). When one fails the rows stay loaded and the exit code is 3. A run that finds "
            "nothing to load runs no hooks."
        ),
    )


@dataclass(frozen=True, slots=True)
class Load:
    """Where the clean rows go, each file exactly once."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN

    table: Annotated[str, checked(rules.target_table)] = field(
        metadata=_about("Table of the warehouse: table or schema.table; made when missing.")
    )
    to: Annotated[str, checked(rules.url)] = field(
        default="",
        repr=False,
        metadata=_about(
            "URL of the warehouse. A relative path is from the folder the command is started in. "
            "Left out, the setting `warehouse` decides."
        ),
    )
    mode: Annotated[
        Literal["append", "replace", "upsert"], choice("append", "replace", "upsert")
    ] = field(
        default="append",
        metadata=_about(
            "append adds the rows of new files; replace first deletes what this pipeline loaded "
            "for the same date range, but for files that it cannot read now; upsert replaces the "
            "rows with the same key."
        ),
    )
    key: Texts = field(
        default=(), metadata=_about("Column, or columns, that identify a row; for upsert.")
    )
    on_change: Annotated[
        Literal["fail", "reprocess", "ignore"], choice("fail", "reprocess", "ignore")
    ] = field(
        default="fail",
        metadata=_about("What to do with a file that has changed since it was loaded."),
    )
    dist_key: Text = field(
        default="",
        metadata=_about(
            "Column whose equal values lie together on the machines of a warehouse that has "
            "several (Redshift). This and the two below are for a table that is made: one that "
            "there is stays as it lies."
        ),
    )
    dist_style: Annotated[Literal["", "auto", "even", "all"], choice("auto", "even", "all")] = (
        field(
            default="",
            metadata=_about(
                "How rows are spread without a dist_key: auto leaves it to the warehouse, even in "
                "turn, all puts the whole table on every machine."
            ),
        )
    )
    sort_key: Texts = field(
        default=(), metadata=_about("Column, or columns, by which the warehouse sorts the table.")
    )
    hooks: LoadHooks = field(
        default_factory=LoadHooks, metadata=_about("SQL to run with each load that has files.")
    )

    direct: Truth = field(
        default=False,
        metadata=_about(
            "Whether rows are copied straight into the table, for huge appends into Redshift: less "
            "work for the cluster, while other loads wait longer."
        ),
    )

    def __post_init__(self) -> None:
        if self.direct and self.mode != "append":
            what = f"a direct load appends, and mode is {self.mode}"
            raise FieldError(what, hint="write mode: append, or drop direct", key="direct")
        if self.dist_key and self.dist_style:
            what = "dist_style and dist_key exclude each other"
            raise FieldError(what, hint="a key is a style: keep one", key="dist_style")
        if self.mode == "upsert" and not self.key:
            raise FieldError("upsert needs a key", hint="add key: [column, ...]", key="mode")
        if self.mode != "upsert" and self.key:
            what = f"a key means nothing with mode {self.mode}"
            raise FieldError(what, hint="write mode: upsert, or drop the key", key="key")

    def named_columns(self) -> tuple[str, ...]:
        """Return the columns that this section names."""
        return (*self.key, *filter(None, (self.dist_key,)), *self.sort_key)


@dataclass(frozen=True, slots=True)
class Rejects:
    """What happens to rows that cannot be used."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN

    limit: Annotated[str, checked(rules.limit, {"type": ["string", "integer"]})] = field(
        default="5%",
        metadata=_about(
            "Most rejected rows a run may have: a share of the rows read, or a number of rows. "
            "Above it nothing is published and the exit code is 4."
        ),
    )
    keep: Truth = field(
        default=True, metadata=_about("Whether rejected rows are kept, with reason and raw text.")
    )

    def exceeded(self, rejected: int, read: int) -> bool:
        """Whether ``rejected`` of ``read`` rows are more than the limit allows."""
        if self.limit.endswith("%"):
            return rejected * 100 > Fraction(self.limit[:-1]) * read
        return rejected > int(self.limit)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline: files in, clean rows in a memory table, a warehouse, or both."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN

    name: Annotated[str, checked(rules.pipeline_name)] = field(
        metadata=_about(
            "Name under which runs and loads are recorded. Renaming a pipeline makes its files new."
        )
    )
    source: Source = field(metadata=_about("Which files are read, and how."))
    clean: tuple[Annotated[CleanStep, Step], ...] = field(
        default=(),
        metadata=_about(
            "Cleaning commands, in order. Shell commands see bytes and come first; Python modules "
            "are looked for in the pipeline file's folder first."
        ),
    )
    memory: Memory | None = field(
        default=None, metadata=_about("Hold the clean rows as a table in the cluster's memory.")
    )
    load: Load | None = field(
        default=None, metadata=_about("Load the clean rows into a warehouse.")
    )
    rejects: Rejects = field(
        default_factory=Rejects,
        metadata=_about("How many rejected rows are allowed, and their keeping."),
    )
    notify: Annotated[Notify | None, OneNotify] = field(
        default=None,
        metadata=_about(
            "Shell command to run when a run failed: a text, or a mapping of `command`, `on` "
            "(failure or always) and `timeout` (30s). It gets the report as JSON on stdin and "
            "ESS_RUN_ID, ESS_PIPELINE, ESS_STATE, ESS_EXIT_CODE. Whatever it does, the run's exit "
            "code stays."
        ),
    )
    settings: Annotated[dict[str, Scalar], OwnSettings] = field(
        default_factory=dict,
        hash=False,
        metadata=_about("Settings for this pipeline; environment and flags go before them."),
    )

    def __post_init__(self) -> None:
        self._check_order()
        self._check_case()
        if not any(step.changes_columns for step in self.clean):
            self._check_known("memory", self.memory.key + self.memory.sort if self.memory else ())
            self._check_known("load", self.load.named_columns() if self.load else ())

    def digest(self, folder: Path) -> str:
        """Return the digest of what decides the loaded rows; see ``pipelines.digest``."""
        from ess_dask.pipelines.digest import pipeline_digest

        return pipeline_digest(self, folder)

    def _check_order(self) -> None:
        rows_seen = ""
        for step in self.clean:
            if step.kind == "shell" and rows_seen:
                what = f"a shell step cannot come after a {rows_seen} step: it cleans bytes"
                raise FieldError(what, hint="move the shell steps to the front", place=step.place)
            rows_seen = rows_seen or (step.kind if step.kind != "shell" else "")

    def _check_case(self) -> None:
        seen: dict[str, str] = {}
        for name in self.source.columns if self.load else ():
            first = seen.setdefault(name.lower(), name)
            if first != name:
                what = f"the columns '{first}' and '{name}' differ only in case"
                raise FieldError(
                    what, hint="a warehouse cannot tell them apart; rename one", key="source"
                )

    def _check_known(self, section: str, names: tuple[str, ...]) -> None:
        known = [*self.source.columns, *self.source.file_columns]
        for name in names:
            if name not in known:
                what = f"'{name}' is not a column of the source"
                raise FieldError(what, hint=did_you_mean(name, known), key=section)
