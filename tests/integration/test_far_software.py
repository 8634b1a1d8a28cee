"""Machines whose software is not that of the client: what is missing is sent, the rest refused."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import cloudpickle
import pytest

from ess_dask.cluster import machines, package, sent
from ess_dask.errors import ConfigError
from ess_dask.testing.clusters import wait_until
from ess_dask.testing.far_cluster import bare_python, far_cluster


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Give a cluster whose machines lack this package, with one worker."""
    python = bare_python(tmp_path_factory.mktemp("bare"))
    folder, hidden = tmp_path_factory.mktemp("far"), tmp_path_factory.mktemp("mine")
    with far_cluster(folder, hidden, 1, python) as cluster:
        yield cluster


@pytest.fixture(autouse=True, scope="module")
def functions_of_this_file():
    """The machines do not see this file: its functions travel as code."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.fixture
def conf(tmp_path, monkeypatch):
    monkeypatch.setenv("ESS_WORK_DIR", str(tmp_path))
    monkeypatch.setenv("ESS_CLUSTER", "custom")
    return tmp_path


def connect(cluster, conf):
    (conf / "reservation.json").write_text(cluster.reservation())
    return machines.connect(machines.attach())


def built_at():
    """Where the package of the process that runs this was found, by a function of the package."""
    from ess_dask.cluster import sent

    return sent.__file__


def test_the_environment_lacks_the_package(bare):
    done = subprocess.run([bare.python, "-c", "import ess_dask"], cwd="/", capture_output=True)
    assert b"No module named 'ess_dask'" in done.stderr


def test_connecting_sends_it_once_and_workers_that_come_later_have_it(bare, conf):
    with connect(bare, conf) as client:
        # By reference: only a worker and a scheduler that can import it know this function.
        digest = client.submit(sent.package_digest, package.FOLDER).result(timeout=30)
        assert digest == sent.package_digest(package.FOLDER)
        assert not package.send_package(client)
        bare.add_worker("late")
        client.wait_for_workers(2, timeout=30)
        found = client.run(built_at)
        assert len({Path(path).parents[2].name for path in found.values()}) == 1
        assert all("/ess-dask-" in path for path in found.values())
    with connect(bare, conf) as client:
        assert not package.send_package(client)


def test_a_worker_that_starts_again_has_it_before_its_first_task(bare, conf):
    with connect(bare, conf) as client:
        client.restart(timeout=60)
        assert client.submit(sent.package_here).result(timeout=30)["digest"]


def test_its_plug_ins_come_along(bare, conf):
    with connect(bare, conf) as client:
        for found in client.run(_steps).values():
            assert {"aq", "python", "shell", "sql"} <= set(found)


def _steps():
    from importlib.metadata import entry_points

    return [entry.name for entry in entry_points(group="ess_dask.steps")]


def test_another_build_is_replaced_when_nothing_is_held_and_refused_otherwise(
    bare, conf, tmp_path, monkeypatch
):
    changed = tmp_path / "changed" / "ess_dask"
    changed.mkdir(parents=True)
    for name, path in sent.package_files(package.FOLDER):
        (changed / name).parent.mkdir(parents=True, exist_ok=True)
        (changed / name).write_bytes(path.read_bytes())
    (changed / "errors.py").write_text((changed / "errors.py").read_text() + "ADDED = 1\n")
    with connect(bare, conf) as client:
        held = client.submit(sum, [1, 2], pure=False)
        held.result(timeout=30)
        with monkeypatch.context() as patch:
            patch.setattr(package, "FOLDER", changed)
            with pytest.raises(ConfigError, match=r"build \w{12}\), this is .*build \w{12}\)"):
                package.send_package(client)
            held.release()
            assert wait_until(lambda: not client.run_on_scheduler(sent.scheduler_here)["busy"])
            assert package.send_package(client)
        assert set(client.run(_added).values()) == {1}
        assert package.send_package(client)


def _added():
    from ess_dask import errors

    return errors.ADDED


def test_other_software_is_refused_naming_both(tmp_path, conf):
    python = bare_python(tmp_path / "env")
    site = next((tmp_path / "env" / "lib").glob("python*/site-packages"))
    for name in ("polars", "isal"):
        next(site.glob(f"{name}-*.dist-info")).unlink()
    (site / "polars-0.1.0.dist-info").mkdir()
    (site / "polars-0.1.0.dist-info" / "METADATA").write_text("Name: polars\nVersion: 0.1.0\n")
    (tmp_path / "mine").mkdir()
    (tmp_path / "far").mkdir()
    with far_cluster(tmp_path / "far", tmp_path / "mine", 1, python) as cluster:
        with pytest.raises(ConfigError) as caught:
            connect(cluster, conf)
        text = caught.value.message
        assert f"polars 0.1.0, here {version('polars')}" in text
        assert "isal is missing" in text
        assert "scheduler, worker tls://127.0.0.1:" in text
