"""The package that is sent to machines, and what must be equal there."""

import io
import platform
import zipfile

import pytest

from ess_dask.cluster import package, sent
from ess_dask.cluster.versions import PRESENT, RESULTS, WIRE, differing


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "testing").mkdir()
    for name in ("a.py", "b.yaml", "__pycache__/a.pyc", "testing/t.py", "c.pyc"):
        (tmp_path / name).write_text(name)
    return tmp_path


def test_the_archive_is_the_same_for_the_same_files_and_holds_its_plug_ins():
    archive = package.package_archive()
    assert archive == package.package_archive()
    names = zipfile.ZipFile(io.BytesIO(archive)).namelist()
    assert "ess_dask/__init__.py" in names
    assert "ess_dask/profiles/local.yaml" in names
    assert any(name.endswith(".dist-info/entry_points.txt") for name in names)
    assert not [name for name in names if "/testing/" in name or name.endswith(".pyc")]
    assert len(archive) < 2 << 20


def test_the_digest_is_that_of_names_and_contents(folder):
    before = sent.package_digest(folder)
    (folder / "testing" / "t.py").write_text("changed")
    (folder / "__pycache__" / "a.pyc").unlink()
    assert sent.package_digest(folder) == before
    (folder / "a.py").write_text("changed")
    changed = sent.package_digest(folder)
    (folder / "a.py").rename(folder / "d.py")
    assert len({before, changed, sent.package_digest(folder)}) == 3


def test_what_is_sent_imports_nothing_of_the_package():
    source = (package.FOLDER / "cluster" / "sent.py").read_text()
    assert "ess_dask." not in source.replace("``ess_dask.", "")
    assert "import ess_dask" not in source


def same():
    return dict.fromkeys((*WIRE, *RESULTS, *PRESENT), "1.0") | {"python": platform.python_version()}


def test_equal_software_differs_in_nothing():
    assert differing(same(), same()) == ()
    assert differing(same(), same() | {PRESENT[0]: "2.0"}) == ()


def test_every_difference_names_both_sides():
    there = same() | {"python": "3.9.1.final.0", "polars": "0.9", "duckdb": None, "isal": None}
    own = ".".join(platform.python_version_tuple()[:2])
    assert differing(same(), there) == (
        f"Python 3.9, here {own}",
        "duckdb is missing, here 1.0",
        "polars 0.9, here 1.0",
        "isal is missing",
    )
