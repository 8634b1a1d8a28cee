"""Somebody who works with a cluster on the stand-in, from a home and a folder of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ess_dask.testing.ec2.client import Ec2StandIn
from ess_dask.testing.ec2.network import ADDRESS


class Person:
    """Types commands inside the stand-in's network; each is a process of its own.

    ``env`` is their whole environment: a cluster of kind ec2, and the address they connect from.
    """

    def __init__(self, cloud: Ec2StandIn, home: Path) -> None:
        self.cloud = cloud
        self.home = home
        self.folder = home / "work"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.env = {
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
            "LOGNAME": home.name,
            "TZ": "UTC",
            "LC_ALL": "C.UTF-8",
            "ESS_CLUSTER": "ec2",
            "ESS_MY_ADDRESS": ADDRESS,
        }

    def ess(
        self,
        *args: str,
        code: int | None = 0,
        env: Mapping[str, str] | None = None,
        timeout: float = 300.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run ``ess``; the exit code has to be ``code`` (None: any), and no traceback be shown."""
        words = [sys.executable, "-m", "ess_dask.cli", *args]
        done = self._run(words, env or {}, timeout)
        said = f"ess {' '.join(args)}\n{done.stdout}\n{done.stderr}"
        if code is not None and done.returncode != code:
            raise AssertionError(f"ended with {done.returncode}, not {code}: {said}")
        if "Traceback" in done.stderr:
            raise AssertionError(said)
        return done

    def start(self, *args: str, **more: Any) -> subprocess.Popen[Any]:
        """Start ``ess`` and return the process."""
        words = [sys.executable, "-m", "ess_dask.cli", *args]
        environment = {**self.env, **more.pop("env", {})}
        return self.cloud.popen(words, env=environment, cwd=self.folder, **more)

    def python(self, code: str, timeout: float = 120.0) -> str:
        """Run a program; return what it prints. ``AssertionError`` when it fails."""
        done = self._run([sys.executable, "-c", code], {}, timeout)
        if done.returncode != 0:
            raise AssertionError(f"{done.stdout}\n{done.stderr}")
        return done.stdout

    def _run(
        self, words: list[str], env: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        environment = {**self.env, **env}
        return self.cloud.run(words, env=environment, cwd=self.folder, timeout=timeout)
