"""Certificates of a cluster: what they allow, how they are kept, when they are remade."""

import datetime
import socket
import ssl
import stat
import threading

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID as Purpose

from ess_dask.cluster import tls


@pytest.fixture
def folder(tmp_path):
    tls.ensure_certificates(tmp_path / "tls")
    return tmp_path / "tls"


def load(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind).value


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_files_and_folder_are_private_and_no_authority_key_is_kept(folder):
    assert sorted(contents(folder)) == ["ca.pem", "client.pem", "scheduler.pem", "worker.pem"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert b"PRIVATE" not in (folder / "ca.pem").read_bytes()


def test_a_loose_umask_changes_nothing(tmp_path):
    import os

    before = os.umask(0)
    try:
        tls.ensure_certificates(tmp_path / "tls")
        tls.ensure_certificates(tmp_path / "cluster" / "tls")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "cluster").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "tls").iterdir()} == {0o600}


@pytest.mark.parametrize("role", tls.ROLES)
def test_each_role_is_signed_by_the_authority_for_its_purpose(folder, role):
    certificate = load(folder / f"{role}.pem")
    certificate.verify_directly_issued_by(load(folder / "ca.pem"))
    purposes = set(extension(certificate, x509.ExtendedKeyUsage))
    assert purposes == (
        {Purpose.CLIENT_AUTH} if role == "client" else {Purpose.CLIENT_AUTH, Purpose.SERVER_AUTH}
    )
    assert not extension(certificate, x509.BasicConstraints).ca
    assert certificate.public_key().curve.name == "secp256r1"


def test_servers_carry_the_names_they_are_reached_by(tmp_path):
    tls.ensure_certificates(tmp_path / "tls", hosts=("10.0.0.7", "node.internal"))
    for role in ("scheduler", "worker"):
        names = extension(load(tmp_path / "tls" / f"{role}.pem"), x509.SubjectAlternativeName)
        assert [str(found) for found in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.7"]
        assert names.get_values_for_type(x509.DNSName) == ["node.internal"]


def test_good_certificates_stay(folder):
    before = contents(folder)
    tls.ensure_certificates(folder)
    assert contents(folder) == before


def test_they_count_as_expired_a_month_early_and_before_their_time(folder):
    now = datetime.datetime.now(datetime.UTC)
    assert tls.usable(folder, now + tls.VALID - tls.MARGIN - datetime.timedelta(days=1))
    assert not tls.usable(folder, now + tls.VALID - tls.MARGIN + datetime.timedelta(days=1))
    assert not tls.usable(folder, now - datetime.timedelta(days=1))


def test_expired_ones_are_remade_all_together(tmp_path, monkeypatch):
    monkeypatch.setattr(tls, "VALID", datetime.timedelta(days=2))
    tls.ensure_certificates(tmp_path / "tls")
    before = contents(tmp_path / "tls")
    monkeypatch.undo()
    tls.ensure_certificates(tmp_path / "tls")
    after = contents(tmp_path / "tls")
    assert after.keys() == before.keys()
    assert all(after[name] != before[name] for name in after)
    assert tls.usable(tmp_path / "tls")


@pytest.mark.parametrize("name", ["ca.pem", "client.pem", "scheduler.pem", "worker.pem"])
@pytest.mark.parametrize("damage", ["missing", "empty", "garbage"])
def test_damaged_ones_are_remade(folder, name, damage):
    if damage == "missing":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(b"" if damage == "empty" else b"-----BEGIN nothing")
    assert not tls.usable(folder)
    tls.ensure_certificates(folder)
    assert tls.usable(folder)


def test_one_of_another_authority_is_noticed(folder, tmp_path):
    tls.ensure_certificates(tmp_path / "other")
    (folder / "worker.pem").write_bytes((tmp_path / "other" / "worker.pem").read_bytes())
    assert not tls.usable(folder)


def test_left_over_halves_of_a_killed_attempt_are_no_obstacle(tmp_path):
    (tmp_path / "tls.part").mkdir()
    (tmp_path / "tls.part" / "ca.pem").write_text("half")
    tls.ensure_certificates(tmp_path / "tls")
    assert tls.usable(tmp_path / "tls")
    assert not (tmp_path / "tls.part").exists()


def handshake(server, server_role, client, client_role):
    """Try one TLS connection between two Dask roles; return None or the server's error."""
    listen = tls.security(server).get_listen_args(server_role)["ssl_context"]
    connect = tls.security(client).get_connection_args(client_role)["ssl_context"]
    here, there = socket.socketpair()
    errors = []

    def serve():
        try:
            with listen.wrap_socket(here, server_side=True) as peer:
                peer.sendall(peer.recv(2))
        except (ssl.SSLError, OSError) as error:
            errors.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with connect.wrap_socket(there) as peer:
            peer.sendall(b"hi")
            assert peer.recv(2) == b"hi"
    except (ssl.SSLError, OSError, AssertionError) as error:
        errors.append(error)
    finally:
        there.close()
        thread.join(10)
        here.close()
    return errors


@pytest.mark.parametrize(
    ("server", "client"),
    [
        ("scheduler", "client"),
        ("worker", "client"),
        ("scheduler", "worker"),
        ("worker", "scheduler"),
    ],
)
def test_the_members_of_a_cluster_trust_each_other(folder, server, client):
    assert handshake(folder, server, folder, client) == []


def test_members_of_two_clusters_do_not(folder, tmp_path):
    tls.ensure_certificates(tmp_path / "other")
    assert handshake(folder, "scheduler", tmp_path / "other", "client")


def test_a_client_cannot_pose_as_a_scheduler(folder):
    assert handshake(folder, "client", folder, "client")


def test_an_expired_client_is_refused(tmp_path, monkeypatch, folder):
    monkeypatch.setattr(tls, "VALID", datetime.timedelta(minutes=-1))
    tls.ensure_certificates(tmp_path / "old")
    assert handshake(tmp_path / "old", "scheduler", tmp_path / "old", "client")


def test_encryption_is_required_and_new(folder):
    found = tls.security(folder)
    assert found.require_encryption
    assert found.tls_min_version == ssl.TLSVersion.TLSv1_3
    assert "PRIVATE" not in repr(found)
