"""Redshift URLs: where a cluster is, who asks it, and how loads go there.

    redshift://user[:password]@host[:5439]/database[?options]
    redshift://label[/database][?options]

``redshift+redshift_connector://`` means the same. A host without a dot and a port that is the
label of a registered cluster (``ess redshift register``) stands for that cluster; whatever else the
URL gives goes before what was registered. Characters with a meaning in a URL are percent-escaped.
The options are those of ``options.OPTIONS``, described in ``docs/how-to/redshift-connect.md``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from ess_dask.catalog.model import WarehouseCluster
from ess_dask.dataclass import dataclass
from ess_dask.documents.fields import show_seconds
from ess_dask.errors import ConfigError
from ess_dask.folders import cache_path
from ess_dask.secret import SHOWN, Secret
from ess_dask.warehouse.redshift.options import OPTIONS, read_options
from ess_dask.warehouse.redshift.place import Format

SCHEMES = ("redshift", "redshift+redshift_connector")
"""Schemes of a Redshift URL; both mean the same."""

PORT = 5439
"""The port of Redshift when a URL names none."""

_AUTHORITY = re.compile(r"(?:(?P<user>[^:@]*)(?::(?P<password>.*))?@)?(?P<rest>[^@]*)", re.DOTALL)
_HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.%]+)\]|(?P<name>[^:\[\]]*))(?::(?P<port>.*))?")
_LABEL = r"(?!-)[a-z0-9_-]+(?<!-)"
_NAME = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*\.?)?")
_CLUSTER_HOST = re.compile(r"([a-z0-9-]+)\.[a-z0-9]+\.([a-z0-9-]+)\.redshift\.amazonaws\.com.*")
_WRITE_IT = "write it like redshift://user@host:5439/database"
_ESCAPE = "in user and password write %40 for @, %3A for :, %2F for /, %3F for ?, %23 for #"

Lookup = Callable[[str], str]
"""Returns the URL of a registered cluster by its label, '' for an unknown one."""


@dataclass(frozen=True, slots=True)
class Address:
    """What to connect to and how. Empty texts are not known yet; port 0 is asked for with the host.

    ``timeout`` (seconds) bounds connecting, not statements. ``password`` is the URL's own, if any.
    """

    host: str = ""
    port: int = 0
    database: str = ""
    user: str = ""
    password: Secret | None = None
    ssl: bool = True
    sslmode: str = "verify-full"
    timeout: float = 30.0
    iam: bool = False
    cluster: str = ""
    workgroup: str = ""
    secret: str = ""
    region: str = ""
    profile: str = ""

    def __str__(self) -> str:
        """Return ``user@host:port/database``, or what names the cluster while it has no host."""
        place = f"[{self.host}]" if ":" in self.host else self.host
        place = f"{place}:{self.port or PORT}" if place else self.named
        return f"{self.user}@{place}/{self.database}" if self.user else f"{place}/{self.database}"

    @property
    def named(self) -> str:
        """What names the cluster to AWS: its identifier, workgroup or secret, else its host."""
        return self.cluster or self.workgroup or self.secret or self.host


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How loads go into the cluster. ``lock_wait`` in seconds; ``slices`` 0: ask the cluster."""

    stage: str = ""
    stage_region: str = ""
    iam_role: str = "default"
    keys: bool = False
    schema: str = "public"
    lock_wait: float = 60.0
    format: Format = "parquet"
    codec: str = "zstd"
    slices: int = 0
    text_digest: bool = False
    direct: bool = False


@dataclass(frozen=True, slots=True)
class RedshiftURL:
    """A URL that was read. ``str()`` gives it back without its password."""

    address: Address
    options: LoadOptions = field(default_factory=LoadOptions)

    def __str__(self) -> str:
        return _written(self, "")


def parse_url(url: str, lookup: Lookup | None = None) -> RedshiftURL:
    """Read a Redshift URL; nothing is connected to.

    ``lookup`` finds registered clusters (default: the catalogue of this user). Raises
    ``ConfigError`` for another scheme, a URL that cannot be read, an unknown option or a bad value
    (named), and for one that names no cluster. No message holds any part of a password.
    """
    parts = _split(url)
    if parts.label:
        parts = _registered(parts, lookup or registered_url)
    return _checked(parts)


def url_of(cluster: WarehouseCluster) -> str:
    """Return the URL that a registered cluster stands for."""
    user, database = quote(cluster.user, safe=""), quote(cluster.database, safe="")
    host = f"[{cluster.host}]" if ":" in cluster.host else cluster.host
    query = f"?{cluster.options}" if cluster.options else ""
    return f"redshift://{user}@{host}:{cluster.port}/{database}{query}"


def registered_url(label: str) -> str:
    """Return the URL of a registered cluster, '' for an unknown label; makes no catalogue."""
    from ess_dask.catalog.index import open_catalog

    if not (cache_path() / "catalog.db").exists():
        return ""
    with open_catalog() as catalog:
        return next((url_of(each) for each in catalog.clusters() if each.label == label), "")


def shown(url: str | RedshiftURL) -> str:
    """Return a URL for messages, with ``***`` for its password; of a broken one its scheme only."""
    try:
        parsed = _checked(_split(url)) if isinstance(url, str) else url
    except ConfigError:
        return f"{SCHEMES[0]}://..."
    return _written(parsed, f":{SHOWN}" if parsed.address.password else "")


def with_secret(url: RedshiftURL) -> str:
    """Return a URL with its password, to be opened and never shown."""
    password = url.address.password
    return _written(url, f":{quote(password.reveal(), safe='')}" if password else "")


@dataclass(frozen=True, slots=True)
class _Parts:
    """The pieces of a URL as they were given; ``fields`` holds those that are not empty."""

    fields: Mapping[str, Any]
    options: Mapping[str, str]

    @property
    def label(self) -> str:
        """The host when it may be a label: no dot and no port in it, all lower case."""
        host = self.fields.get("host", "")
        is_label = "port" not in self.fields and re.fullmatch(r"[a-z0-9][a-z0-9_-]*", host)
        return str(host) if is_label else ""


def _split(url: str) -> _Parts:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in SCHEMES:
        raise ConfigError("this is no Redshift URL", hint=_WRITE_IT)
    end = next((at for at, letter in enumerate(rest) if letter in "/?#"), len(rest))
    authority, (path, _, query) = rest[:end], rest[end:].partition("?")
    if "@" in rest[end:] or "#" in rest[end:]:
        raise ConfigError("the Redshift URL cannot be read: an @ or # stands bare", hint=_ESCAPE)
    fields = _read_authority(authority)
    database = _unescape(path.removeprefix("/"))
    if "/" in path.removeprefix("/"):
        raise ConfigError("the Redshift URL has more than a database behind its host",
                          hint=_WRITE_IT)  # fmt: skip
    if database:
        fields["database"] = database
    return _Parts(fields, _read_query(query))


def _read_authority(authority: str) -> dict[str, Any]:
    match = _AUTHORITY.fullmatch(authority)
    place = _HOST.fullmatch(match["rest"]) if match else None
    if match is None or place is None:
        raise ConfigError("the Redshift URL has an @ or a : too many", hint=_ESCAPE)
    fields: dict[str, Any] = {
        "user": _unescape(match["user"] or ""),
        "host": place["six"] or _unescape(place["name"] or "").lower(),
    }
    if not place["six"] and not _NAME.fullmatch(fields["host"]):
        raise ConfigError("the host of the Redshift URL is no name of a host", hint=_WRITE_IT)
    if match["password"]:
        fields["password"] = Secret(_unescape(match["password"]))
    if place["port"]:
        # Not shown: behind a password with a bare / in it, this is its front.
        if not re.fullmatch(r"[0-9]{1,5}", place["port"]) or not 0 < int(place["port"]) < 65536:
            raise ConfigError("the port of the Redshift URL is no port number", hint=_ESCAPE)
        fields["port"] = int(place["port"])
    return {name: value for name, value in fields.items() if value}


def _read_query(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for item in filter(None, query.split("&")):
        name, separator, value = item.partition("=")
        name = _unescape(name)
        if not separator:
            raise ConfigError(f"option {name!r} of the Redshift URL has no value",
                              hint="options are written name=value, with & between")  # fmt: skip
        if name in options:
            raise ConfigError(f"option {name!r} stands twice in the Redshift URL")
        options[name] = _unescape(value)
    return options


def _unescape(text: str) -> str:
    try:
        plain = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        plain = "\0"
    if "\0" in plain:
        raise ConfigError("an escape in the Redshift URL is no UTF-8 text", hint=_ESCAPE)
    return plain


def _registered(parts: _Parts, lookup: Lookup) -> _Parts:
    """Put what was registered under the label beneath what the URL gives."""
    url = lookup(parts.label)
    if not url:
        return parts
    known = _split(url)
    own = {name: value for name, value in parts.fields.items() if name != "host"}
    return _Parts({**known.fields, **own}, {**known.options, **parts.options})


def _checked(parts: _Parts) -> RedshiftURL:
    values = read_options(parts.options)
    address = {OPTIONS[n].field: v for n, v in values.items() if not OPTIONS[n].loading}
    loading = {OPTIONS[n].field: v for n, v in values.items() if OPTIONS[n].loading}
    if "workgroup" in address:
        address.setdefault("iam", True)
    _refuse_contradictions(values, address, parts)
    fields = dict(parts.fields)
    if fields.get("host"):
        fields.setdefault("port", PORT)
        _add_names(fields["host"], address)
    return RedshiftURL(Address(**fields, **address), LoadOptions(**loading))


def _add_names(host: str, address: dict[str, Any]) -> None:
    """Read identifier and region from the host of a provisioned cluster, unless they are given."""
    match = _CLUSTER_HOST.fullmatch(host)
    if match and "serverless" not in host:
        address.setdefault("cluster", match[1])
        address.setdefault("region", match[2])


def _refuse_contradictions(
    values: Mapping[str, Any], address: Mapping[str, Any], parts: _Parts
) -> None:
    message = hint = ""
    if "cluster" in values and "workgroup" in values:
        message = "options 'cluster' and 'workgroup' of the Redshift URL exclude each other"
    elif values.get("keys") and "iam_role" in values:
        message = "options 'keys' and 'iam_role' of the Redshift URL exclude each other"
    elif address.get("iam") and values.get("ssl") is False:
        message = "option 'iam' of the Redshift URL needs TLS, and 'ssl' is false"
    elif values.get("iam") and not (
        "cluster" in values or "workgroup" in values or _CLUSTER_HOST.fullmatch(
            parts.fields.get("host", ""))
    ):  # fmt: skip
        message = "option 'iam' of the Redshift URL needs a cluster or a workgroup"
        hint = "add cluster=IDENTIFIER or workgroup=NAME"
    elif not parts.fields.get("host") and not {"cluster", "workgroup", "secret"} & set(values):
        message = "the Redshift URL names no host"
        hint = f"{_WRITE_IT}, or add cluster=IDENTIFIER, workgroup=NAME or secret=NAME"
    elif "database" not in parts.fields and "secret" not in values:
        message = "the Redshift URL names no database"
        hint = f"{_WRITE_IT}; a host alone must be a label of `ess redshift list`"
    if message:
        raise ConfigError(message, hint=hint)


def _written(url: RedshiftURL, password: str) -> str:
    """Return the URL as it can be read again, with ``password`` behind the user."""
    address = url.address
    user = f"{quote(address.user, safe='')}{password}@" if address.user or password else ""
    place = f"[{address.host}]" if ":" in address.host else quote(address.host, safe="")
    place += f":{address.port}" if address.port else ""
    query = "&".join(f"{name}={quote(text, safe='/:')}" for name, text in _changed(url))
    database = quote(address.database, safe="")
    return f"{SCHEMES[0]}://{user}{place}/{database}{'?' if query else ''}{query}"


def _changed(url: RedshiftURL) -> list[tuple[str, str]]:
    """Return the options that are not as they are without being given."""
    # A workgroup means IAM, unless the URL says otherwise.
    plain = RedshiftURL(Address(iam=bool(url.address.workgroup)))
    found = []
    for name, option in OPTIONS.items():
        value, default = (
            getattr(each.options if option.loading else each.address, option.field)
            for each in (url, plain)
        )
        if value != default:
            found.append((name, _as_text(value)))
    return found


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return show_seconds(value) if isinstance(value, float) else str(value)
