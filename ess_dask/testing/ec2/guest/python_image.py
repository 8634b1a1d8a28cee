"""What images hold: the official ``python`` with pip, or all that this machine has."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

from ess_dask.testing.ec2.guest import pip

PREFIX = Path("/opt/standin-python")
"""Where the Python of the official image lives: an environment without packages, but for pip."""

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OFFICIAL = re.compile(r"(?:docker[.]io/)?(?:library/)?python(?::(?P<tag>[\w.-]+))?(?:@.*)?")


def is_official(image: str) -> bool:
    """Return whether this is the name of the official Python image."""
    return _OFFICIAL.fullmatch(image) is not None


def check(image: str, error: type[Exception]) -> None:
    """Raise ``error`` for a Python that this machine does not have."""
    match = _OFFICIAL.fullmatch(image)
    here = "{}.{}".format(*sys.version_info)
    if match and not re.match(rf"{re.escape(here)}(?![\d])", match["tag"] or "latest"):
        raise error(
            f"the stand-in cannot run {image}: it has Python {here} only, as the machine that it "
            f"runs on; ask for python:{here}-slim"
        )


def search_path(image: str) -> str:
    """Return PATH of a container."""
    own = PREFIX if is_official(image) else Path(sys.prefix)
    return f"{own}/bin:{_SYSTEM_PATH}"


def usual_command(image: str) -> list[str]:
    """Return what an image runs when no command is given."""
    return ["python3"] if is_official(image) else ["/bin/sh"]


def furnish(image: str, root: Path) -> None:
    """Put the official image's Python into a container's root: an environment with our pip only."""
    if not is_official(image):
        return
    prefix = root / PREFIX.relative_to("/")
    version = "python{}.{}".format(*sys.version_info)
    site = prefix / "lib" / version / "site-packages"
    base = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    (prefix / "bin").mkdir(parents=True)
    (site / "pip").mkdir(parents=True)
    (prefix / "pyvenv.cfg").write_text(
        f"home = {base.parent}\ninclude-system-site-packages = false\n"
    )
    for name in ("python", "python3", version):
        (prefix / "bin" / name).symlink_to(base)
    (site / "pip" / "__init__.py").write_text('"""The stand-in\'s pip."""\n')
    shutil.copyfile(str(pip.__file__), site / "pip" / "__main__.py")
    index = [path for path in sys.path if Path(path).name == "site-packages"]
    (site / "pip" / "index.json").write_text(json.dumps(index))
    for name in ("pip", "pip3"):
        script = prefix / "bin" / name
        script.write_text(f'#!/bin/sh\nexec {PREFIX}/bin/python3 -m pip "$@"\n')
        script.chmod(0o755)
