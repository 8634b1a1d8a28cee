"""``python -m ess_dask.testing.ec2.probe``: try all that the stand-in needs of this machine."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from pathlib import Path

from ess_dask.errors import EssError, UsageError
from ess_dask.testing.ec2 import kernel, namespace, network, rootfs


def _try_all(outside: str) -> int:
    namespace.require_private(outside)
    try:
        network.make_bridge()
        failures: list[BaseException] = []
        thread = threading.Thread(target=_plug, args=[failures])
        thread.start()
        thread.join()
        if failures:
            raise failures[0]
        with tempfile.TemporaryDirectory() as folder:
            kernel.mount("tmpfs", folder, "tmpfs")
            rootfs.overlay(Path("/etc"), Path(folder) / "etc", Path(folder) / "upper")
            kernel.unmount(Path(folder) / "etc")
            kernel.unmount(folder)
    except OSError as error:
        raise UsageError(
            f"a step of a private network or disk is not permitted ({error})"
        ) from None
    return 0


def _plug(failures: list[BaseException]) -> None:
    outer = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        network.plug_in("ve0", network.Addresses("172.31.0.9", "54.214.0.9"), outer).close()
    except BaseException as error:
        failures.append(error)
    finally:
        os.close(outer)


if __name__ == "__main__":
    try:
        sys.exit(namespace.run_inside(_try_all))
    except EssError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
