"""The COPY and UNLOAD statements: frozen values, every part quoted, secrets only where asked for.

Source of the options: Amazon Redshift Database Developer Guide, "COPY" and "UNLOAD".
"""

from __future__ import annotations

from dataclasses import field, replace

from ess_dask.dataclass import dataclass
from ess_dask.errors import ConfigError
from ess_dask.warehouse.redshift.names import quoted
from ess_dask.warehouse.redshift.place import Format

HIDDEN = "..."
MAX_ERRORS = 100_000
"""Bad rows of CSV that a COPY goes on after, so that all of them are told; Redshift's greatest."""


@dataclass(frozen=True, slots=True)
class Authorization:
    """By which right Redshift reads and writes S3: a role's ARN, ``default``, or keys.

    Keys stand in the statement's text, where the server's logs can show them: only on request.
    """

    role: str = ""
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    def clause(self) -> str:
        """Return the clause; raise ``ConfigError`` when there is neither a role nor keys."""
        if self.role:
            return f"IAM_ROLE {'default' if self.role == 'default' else literal(self.role)}"
        if not self.access_key:
            raise ConfigError(
                "Redshift has no right to read the staged files: no role is given",
                hint="add iam_role=default or iam_role=ARN to the warehouse's URL",
            )
        clause = f"ACCESS_KEY_ID {literal(self.access_key)} SECRET_ACCESS_KEY "
        clause += literal(self.secret_key)
        return f"{clause} SESSION_TOKEN {literal(self.token)}" if self.token else clause

    def hidden(self) -> Authorization:
        """Return the same without anything secret, to be shown."""
        if self.role:
            return self
        token = HIDDEN if self.token else ""
        return Authorization(access_key=HIDDEN, secret_key=HIDDEN, token=token)


@dataclass(frozen=True, slots=True)
class Copy:
    """COPY of the files that a manifest names.

    ``table`` is quoted SQL, ``columns`` are names in the files' order. ``null`` is the text of a
    null in CSV. ``region`` is the bucket's when it is not the cluster's (CSV only).
    """

    table: str
    columns: tuple[str, ...]
    manifest: str
    authorization: Authorization
    format: Format = "parquet"
    null: str = ""
    region: str = ""

    def sql(self) -> str:
        """Return the statement."""
        columns = ", ".join(quoted(name) for name in self.columns)
        parts = [
            f"COPY {self.table} ({columns})",
            f"FROM {literal(self.manifest)}",
            self.authorization.clause(),
            *self._format(),
            "MANIFEST",
            # Statistics and encodings of a table that is emptied next are of no use.
            "STATUPDATE OFF",
        ]
        return " ".join(parts)

    def shown(self) -> str:
        """Return the statement without anything secret."""
        return replace(self, authorization=self.authorization.hidden()).sql()

    def _format(self) -> list[str]:
        if self.format == "parquet":
            return ["FORMAT AS PARQUET"]
        parts = ["FORMAT AS CSV", "GZIP", "COMPUPDATE OFF", f"NULL AS {literal(self.null)}"]
        parts += ["DATEFORMAT 'auto'", "TIMEFORMAT 'auto'", f"MAXERROR {MAX_ERRORS}"]
        return [*parts, f"REGION AS {literal(self.region)}"] if self.region else parts


@dataclass(frozen=True, slots=True)
class Unload:
    """UNLOAD of a query's rows as files whose names begin with ``prefix``.

    ``header`` is for CSV. The manifest ``<prefix>manifest`` tells rows, bytes and columns.
    """

    query: str
    prefix: str
    authorization: Authorization
    format: Format = "parquet"
    header: bool = False
    overwrite: bool = False
    parallel: bool = True

    def sql(self) -> str:
        """Return the statement."""
        parts = [
            f"UNLOAD ({_query_literal(self.query)})",
            f"TO {literal(self.prefix)}",
            self.authorization.clause(),
            "FORMAT AS PARQUET" if self.format == "parquet" else "FORMAT AS CSV GZIP",
            "HEADER" if self.header and self.format == "csv" else "",
            "ALLOWOVERWRITE" if self.overwrite else "",
            "" if self.parallel else "PARALLEL OFF",
            "MANIFEST VERBOSE",
        ]
        return " ".join(part for part in parts if part)

    def shown(self) -> str:
        """Return the statement without anything secret."""
        return replace(self, authorization=self.authorization.hidden()).sql()


def literal(value: str) -> str:
    """Return a text as an SQL literal.

    Raises ``ConfigError`` for characters that Redshift would take for more than themselves: a
    backslash begins an escape, and NUL ends a statement.
    """
    if any(character in value for character in "\\\0\n\r"):
        raise ConfigError("a value for Redshift holds a backslash, a line end or a NUL character")
    return "'" + value.replace("'", "''") + "'"


def _query_literal(query: str) -> str:
    if "\0" in query:
        raise ConfigError("the query holds a NUL character")
    return "'" + query.replace("\\", "\\\\").replace("'", "''") + "'"
