"""COPY and UNLOAD as values."""

from __future__ import annotations

from ess_dask.dataclass import dataclass
from ess_dask.testing.redshift.errors import NOT_SUPPORTED, ServerError, not_simulated, syntax_error
from ess_dask.testing.redshift.options import (
    COPY_OPTIONS,
    UNLOAD_OPTIONS,
    Authorization,
    Words,
    authorization,
    parse_options,
    whole_number,
)
from ess_dask.testing.redshift.tokens import Token, identifier

_COLUMNAR = {"PARQUET", "MANIFEST", "IAM_ROLE", "CREDENTIALS", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY",
             "SESSION_TOKEN", "STATUPDATE", "EXPLICIT_IDS", "SERIALIZETOJSON"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Copy:
    """``COPY table (columns) FROM 's3://...'``; no columns means all of the table's."""

    table: tuple[str, ...]
    columns: tuple[str, ...]
    source: str
    authorization: Authorization
    options: dict[str, str]

    @property
    def is_parquet(self) -> bool:
        """Whether the files are Parquet; otherwise they are CSV."""
        return "PARQUET" in self.options

    @property
    def sql_name(self) -> str:
        """The table's name, quoted."""
        return ".".join(map(identifier, self.table))


@dataclass(frozen=True, slots=True)
class Unload:
    """``UNLOAD ('query') TO 's3://...'``."""

    query: str
    target: str
    authorization: Authorization
    options: dict[str, str]


def parse_copy(tokens: list[Token]) -> Copy:
    """Read a COPY from S3; what is not simulated is a ``ServerError``."""
    words = Words(tokens)
    words.expect("COPY")
    table = _name(words)
    columns: list[str] = []
    if words.skip("("):
        columns.append(words.next().value)
        while words.skip(","):
            columns.append(words.next().value)
        words.expect(")")
    words.expect("FROM")
    source = words.string()
    if not source.startswith("s3://"):
        raise not_simulated(f"COPY from {source.partition(':')[0] or 'there'}")
    options = parse_options(words, COPY_OPTIONS)
    _check_formats(options)
    for name in ("DATEFORMAT", "TIMEFORMAT"):
        if options.get(name, "auto").lower() != "auto":
            raise not_simulated(f"{name} '{options[name]}'")
    if options.get("ENCODING", "utf8").lower() not in ("utf8", "utf-8"):
        raise not_simulated(f"ENCODING {options['ENCODING']}")
    whole_number(options, "MAXERROR")
    whole_number(options, "IGNOREHEADER")
    return Copy(table, tuple(columns), source, authorization(options), options)


def _check_formats(options: dict[str, str]) -> None:
    if "PARQUET" in options:
        if refused := sorted(set(options) - _COLUMNAR):
            raise ServerError(
                f"{refused[0]} argument is not supported for PARQUET based COPY", NOT_SUPPORTED
            )
    elif "CSV" not in options:
        raise not_simulated("COPY without FORMAT CSV or PARQUET")
    elif "SERIALIZETOJSON" in options:
        raise ServerError("SERIALIZETOJSON is only supported for columnar formats", NOT_SUPPORTED)


def parse_unload(tokens: list[Token]) -> Unload:
    """Read an UNLOAD; what is not simulated is a ``ServerError``."""
    words = Words(tokens)
    words.expect("UNLOAD")
    words.expect("(")
    query = words.string()
    words.expect(")")
    words.expect("TO")
    target = words.string()
    if not target.startswith("s3://"):
        raise syntax_error(target)
    options = parse_options(words, UNLOAD_OPTIONS)
    if "PARQUET" in options:
        if refused := sorted({"CSV", "GZIP", "HEADER", "DELIMITER", "NULL"} & set(options)):
            raise ServerError(f"{refused[0]} is not supported for UNLOAD to PARQUET", NOT_SUPPORTED)
    elif "CSV" not in options:
        raise not_simulated("UNLOAD without FORMAT CSV or PARQUET")
    return Unload(query, target, authorization(options), options)


def _name(words: Words) -> tuple[str, ...]:
    parts = [words.next().value]
    while words.skip("."):
        parts.append(words.next().value)
    return tuple(parts)
