"""Where a running cluster is reached: what every kind of cluster gives to those that use it."""

from __future__ import annotations

from pathlib import Path

from ess_dask.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running cluster. ``tls`` is the folder with ``ca.pem`` and ``client.pem``.

    ``address`` is the scheduler's (``tls://HOST:PORT``), ``kind`` one of ``choice.KINDS``, ``name``
    the cluster's own. ``remote``: its workers are on other machines, which see neither the files
    nor the folders of this one. ``advice`` says what a person can do when it does not answer.
    ``scope`` tells clusters of one name apart: whose it is, and where ('' is this user's).
    """

    kind: str
    name: str
    address: str
    tls: Path
    remote: bool
    advice: str = ""
    scope: str = ""
