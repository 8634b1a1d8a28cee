"""The programs of an AMI: a layer of small scripts that is laid over ``/usr`` of every instance."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

_GUEST = "ess_dask.testing.ec2.guest"

_ASK_INIT = ("systemctl", "shutdown", "poweroff", "reboot", "halt")

_NOTHING = (
    "apt", "apt-get", "apt-key", "add-apt-repository", "dnf", "yum", "amazon-linux-extras",
)  # fmt: skip
"""Package managers: what user data install with them is there already, or never is."""

_DO_NOTHING = """#!/bin/sh
# Takes what is piped into it, as the real one does; installs nothing.
[ -p /dev/stdin ] && cat >/dev/null
echo "{name}: taken, nothing is installed: $*" >&2
exit 0
"""

_PER = """#!/bin/sh
# cloud-init-per FREQUENCY NAME COMMAND...: every frequency runs it here once per call.
shift 2
exec "$@"
"""

_RELEASE = """#!/bin/sh
case "$*" in *c*) echo jammy ;; *i*) echo Ubuntu ;; *) echo 22.04 ;; esac
"""


def lay_out(layer: Path) -> None:
    """Write the layer; where ``/bin`` is no link, it gets the same programs."""
    python = shlex.quote(sys.executable)
    scripts = {name: _DO_NOTHING.format(name=name) for name in _NOTHING}
    scripts |= {
        name: f'#!/bin/sh\nexec {python} -E -m {_GUEST}.commands {name} "$@"\n'
        for name in _ASK_INIT
    }
    scripts["docker"] = f'#!/bin/sh\nexec {python} -E -m {_GUEST}.docker "$@"\n'
    scripts["cloud-init-per"] = _PER
    scripts["lsb_release"] = _RELEASE
    folders = ["usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin"]
    folders += [name for name in ("bin", "sbin") if not Path("/", name).is_symlink()]
    for folder in folders:
        (layer / folder).mkdir(parents=True, exist_ok=True)
        for name, text in scripts.items():
            if Path("/", folder).is_symlink():
                continue
            path = layer / folder / name
            path.write_text(text)
            path.chmod(0o755)
