"""The software of a worker, computed from what is installed here."""

import sys
from importlib import metadata

from ess_dask.cluster.ec2 import software


def lines(**more):
    return software.pinned_requirements(**more).splitlines()


def test_everything_that_is_needed_is_pinned_to_what_is_installed_here():
    found = dict(line.split("==") for line in lines())
    for name in ("dask", "distributed", "polars", "pyarrow", "s3fs", "aiobotocore", "tornado"):
        assert found[name] == metadata.version(name)
    assert not {"ess-dask", "pytest", "moto", "boto3", "dask-cloudprovider"} & set(found)
    assert lines() == sorted(lines())


def test_what_another_system_needs_is_left_to_the_index(tmp_path, monkeypatch):
    """An installation in which a package needs others only on Linux, and only on Windows."""
    folder = tmp_path / "thing-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: thing\nVersion: 1\n"
        "Requires-Dist: nowhere-found>=2; sys_platform == 'linux'\n"
        "Requires-Dist: on-windows; sys_platform == 'win32'\n"
        "Requires-Dist: on-arm; platform_machine == 'aarch64'\n"
        "Requires-Dist: extra-only; extra == 'more'\n"
        "Requires-Dist: click\n"
    )
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    click = f"click=={metadata.version('click')}"
    assert lines(package="thing") == [click, "nowhere-found>=2"]
    assert lines(package="thing", architecture="arm64") == [click, "nowhere-found>=2", "on-arm"]


def test_the_image_is_that_of_this_python():
    assert software.python_image() == f"python:3.{sys.version_info.minor}-slim"
