"""Which environment variables a long-lived process of ours may have."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

ON_WORKER = "ESS_ON_WORKER"
"""Set on a worker of other machines: a command that runs there starts no cluster of its own."""

ALLOWED = frozenset(
    {
        "ESS_CACHE_DIR",
        "HOME",
        "LANG",
        "LANGUAGE",
        "LD_LIBRARY_PATH",
        "LOGNAME",
        "PATH",
        "PYTHONPATH",
        "SHELL",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
        "TMPDIR",
        "TZ",
        "USER",
        "VIRTUAL_ENV",
    }
)
"""Everything else stays behind: a daemon outlives the shell that had the keys, and any process of
the same user can read ``/proc/PID/environ``. Other ``ESS_*`` are left out on purpose too: a
warehouse address may hold a password."""


def daemon_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the part of ``environ`` that a daemon and its workers get."""
    kept = {k: v for k, v in environ.items() if k in ALLOWED or k.startswith("LC_")}
    if "PYTHONPATH" in kept:
        # The daemon runs in another folder.
        folders = kept["PYTHONPATH"].split(os.pathsep)
        kept["PYTHONPATH"] = os.pathsep.join(str(Path(folder).absolute()) for folder in folders)
    return kept
