"""What is kept of a cluster's tables beside it, and when it goes."""

import json

import pytest

from ess_dask.tables.homes import forgetting_ended, sweep_instances
from ess_dask.tables.registry import DamagedListError, Registry


@pytest.fixture
def clusters(tmp_path, monkeypatch):
    """Give a function that makes the home of a cluster; it returns its shared place and TLS."""
    monkeypatch.setenv("ESS_CACHE_DIR", str(tmp_path / "ess"))

    def make(name):
        tls, shared = tmp_path / "tls" / name, tmp_path / "shared" / name
        home = tmp_path / "ess" / "far-tables" / f"ec2-{name}"
        for folder in (tls, home, shared / "one" / "segments"):
            folder.mkdir(parents=True)
        (shared / "one" / "segments" / "a.arrow").write_bytes(b"rows")
        (home / "about.json").write_text(json.dumps({"tls": str(tls), "shared": str(shared)}))
        return shared, tls

    return make


def test_only_what_ends_is_forgotten(clusters):
    (lost, lost_tls), (ends, ends_tls), (lives, _) = map(clusters, ("lost", "ends", "lives"))
    lost_tls.rmdir()
    with forgetting_ended("ec2", print):
        ends_tls.rmdir()
    assert not ends.exists()
    assert (lives / "one" / "segments" / "a.arrow").exists()
    # Its certificates are gone, but nobody has said that it has ended.
    assert (lost / "one" / "segments" / "a.arrow").exists()


def test_a_damaged_list_is_told_and_goes_with_its_instance(tmp_path):
    damaged = Registry(tmp_path / "before")
    (tmp_path / "before" / "segments" / "a.arrow").write_bytes(b"rows")
    (tmp_path / "before" / "tables.sqlite").write_bytes(b"no database" * 500)
    with pytest.raises(DamagedListError, match="begin anew: ess udbd restart"):
        damaged.names()
    sweep_instances(tmp_path, "now")
    assert not (tmp_path / "before").exists()
