"""The catalogue's words: datastore, category, file, cluster. Plain values, no I/O."""

from __future__ import annotations

from datetime import datetime

from ess_dask.dataclass import dataclass

FileDate = datetime | int
"""The date (naive, in the lake's own zone) or the integer id found in a file's name."""


@dataclass(frozen=True, slots=True)
class Datastore:
    """A place that holds raw files. Holds references to credentials, never a secret.

    ``root`` is an absolute folder or ``s3://bucket[/prefix]``; ``credentials`` is ``""`` (the usual
    chain), ``profile:NAME``, or ``file:/abs/path.csv`` (columns User Name, Access Key Id, Secret
    Access Key), read again at each use.
    """

    label: str
    root: str
    region: str = ""
    credentials: str = ""
    endpoint: str = ""

    @property
    def is_local(self) -> bool:
        """Whether the files lie in a folder of this machine."""
        return not self.root.startswith("s3://")


@dataclass(frozen=True, slots=True)
class WarehouseCluster:
    """A registered cluster of a warehouse. Holds where it is and who asks it, never a secret.

    ``identifier`` is its name at the cloud's control plane. ``options`` is what stands behind the
    ``?`` of its URL.
    """

    label: str
    identifier: str
    host: str
    port: int
    database: str
    user: str
    region: str = ""
    options: str = ""


def shown(uri: str) -> str:
    """Return a uri as text that can be printed: bytes that are no UTF-8 are escaped."""
    return uri.encode("utf-8", "backslashreplace").decode()


@dataclass(frozen=True, slots=True)
class FileRef:
    """One version of one file. ``uri`` is an absolute path or ``s3://bucket/key``; size in bytes.

    ``etag`` names the version: the store's own, or ``mtime_ns-size`` for a local file. ``date`` is
    None when the name holds no (possible) date.
    """

    uri: str
    date: FileDate | None
    size: int
    etag: str

    @property
    def shown(self) -> str:
        """The uri as text that can be printed."""
        return shown(self.uri)


@dataclass(frozen=True, slots=True)
class Category:
    """Files that belong together: patterns over the full path, a date pattern, a structure.

    ``columnspec`` is in Essentia's form (``S:userID I:articleID``, SPEC 2.2); ``dateregex`` is
    ``auto``, ``none`` or a pattern with classes such as ``[:%Y:]``. ``compression`` is ``""`` for
    detection by content.
    """

    name: str
    patterns: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    dateregex: str = "auto"
    archive: str = ""
    compression: str = ""
    delimiter: str = ""
    columnspec: str = ""
    header: bool | None = None
    preprocess: str = ""
    comment: str = ""
    usecache: bool = False
    pkey: str = ""
