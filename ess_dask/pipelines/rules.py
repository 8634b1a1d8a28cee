"""Rules of single values in a pipeline file; an error says what to write instead."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from typing import Any

from ess_dask.documents.fields import Before, FieldError, as_text
from ess_dask.errors import EssError

MAX_NAME = 127
"""Longest name of a column or table, in bytes: Redshift's limit."""

_LIMIT = re.compile(r"[0-9]{1,15}|(100|[0-9]{1,2}(\.[0-9]{1,6})?)%")


def checked(rule: Callable[[str], object], schema: dict[str, Any] | None = None) -> Before:
    """Mark of a text that obeys ``rule``; an error of another room's rule gets our position."""

    def convert(value: Any) -> Any:
        text = as_text(value)
        if isinstance(text, str):
            try:
                rule(text)
            except FieldError:
                raise
            except EssError as error:
                raise FieldError(error.message, hint=error.hint) from None
        return text

    return Before(convert, schema or {"type": "string"})


def type_text(text: str) -> None:
    """A column type, as ``records.types`` reads it."""
    from ess_dask.records.types import parse_type

    parse_type(text)


def dates(text: str) -> None:
    """A date pattern, as ``catalog.dates`` reads it."""
    from ess_dask.catalog.dates import compile_dates

    compile_dates(text)


def compression(text: str) -> None:
    """A compression, as ``records.compression`` knows it."""
    from ess_dask.records.compression import codec_name

    codec_name(text)


def encoding(text: str) -> None:
    """A character encoding that Python knows."""
    try:
        codecs.lookup(text)
    except (LookupError, ValueError):
        hint = "for example utf-8, latin-1 or cp1252"
        raise FieldError(f"unknown encoding '{text}'", hint=hint) from None


def delimiter(text: str) -> None:
    """One character that is not a quote or line end."""
    if len(text) != 1 or text in '"\r\n':
        hint = 'write a tab as "\\t", in double quotes'
        raise FieldError("the delimiter must be one character, not a quote", hint=hint)


def pipeline_name(text: str) -> None:
    """A name that is safe in folder names and ledgers."""
    allowed = all(each.isascii() and (each.isalnum() or each in "_.-") for each in text)
    if not allowed or not text[:1].isalnum() or len(text) > 100:
        hint = "use up to 100 letters, digits, '_', '.' and '-', a letter or digit first"
        raise FieldError(f"'{text}' is not a pipeline name", hint=hint)


def column_name(text: str) -> None:
    """A name that every warehouse can hold."""
    if not text or not text.isprintable() or len(text.encode(errors="replace")) > MAX_NAME:
        hint = f"use 1 to {MAX_NAME} bytes, without control characters"
        raise FieldError(f"{text!r} is not a column name", hint=hint)
    if text.lower().startswith("_ess_"):
        raise FieldError(f"'{text}': names that begin with _ess_ are reserved", hint="rename it")


def target_table(text: str) -> None:
    """``table`` or ``schema.table``."""
    parts = text.split(".")
    if len(parts) > 2 or not all(_is_identifier(part) for part in parts):
        hint = "write it as table or schema.table"
        raise FieldError(f"'{text}' is not a table name", hint=hint)


def _is_identifier(text: str) -> bool:
    return bool(text) and text.isprintable() and len(text.encode(errors="replace")) <= MAX_NAME


def memory_table(text: str) -> None:
    """``database.table``, as ``tables.spec`` allows them."""
    from ess_dask.tables.spec import check_name

    database, dot, table = text.partition(".")
    if not dot:
        hint = f"write it with its database, such as wood.{text}"
        raise FieldError(f"'{text}' names no database", hint=hint)
    check_name(database, "database")
    check_name(table, "table")


def url(text: str) -> None:
    """A warehouse's URL."""
    # The text is never shown: it may hold what an environment variable held.
    if "://" not in text:
        raise FieldError("not a warehouse URL", hint="write it like duckdb:///shop.duckdb")


def hook_inside(text: str) -> None:
    """One SQL statement that a load's transaction can hold."""
    from ess_dask.warehouse.hooks import check_hook

    check_hook(text, inside=True)


def hook_after(text: str) -> None:
    """One SQL statement."""
    from ess_dask.warehouse.hooks import check_hook

    check_hook(text, inside=False)


def limit(text: str) -> None:
    """A share such as ``5%`` or a number of rows."""
    if not _LIMIT.fullmatch(text):
        hint = 'write a share like "5%", or a number of rows'
        raise FieldError(f"'{text}' is no limit", hint=hint)
