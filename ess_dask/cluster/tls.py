"""Certificates of one cluster: its own authority, one certificate each for three roles.

The authority's key exists only while the three are signed and is never written: nobody can make
a fourth. A client's certificate cannot pose as a server.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from distributed.security import Security

ROLES = ("client", "scheduler", "worker")
VALID = datetime.timedelta(days=397)
MARGIN = datetime.timedelta(days=30)
"""Certificates with less left than this are remade when a cluster starts."""


def ensure_certificates(folder: Path, hosts: Sequence[str] = ("127.0.0.1", "localhost")) -> None:
    """Make the certificates in ``folder`` unless good ones are there.

    ``hosts`` are the names or addresses the servers are reached by. Files have mode 0600, the
    folder 0700. One process at a time may call it for a folder.
    """
    if usable(folder):
        return
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    # In two steps: the mode given with `parents` is not that of the parents.
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part.mkdir(mode=0o700)
    _make(part, hosts, datetime.datetime.now(datetime.UTC))
    # A whole folder takes the place of the other: never a key beside a foreign authority.
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def usable(folder: Path, now: datetime.datetime | None = None) -> bool:
    """Say whether ``folder`` holds all certificates, from one authority, valid for long enough."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    now = now or datetime.datetime.now(datetime.UTC)
    try:
        authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
        for role in ROLES:
            found = x509.load_pem_x509_certificate((folder / f"{role}.pem").read_bytes())
            found.verify_directly_issued_by(authority)
            if not found.not_valid_before_utc <= now < found.not_valid_after_utc - MARGIN:
                return False
    except (OSError, ValueError, TypeError, InvalidSignature):
        return False
    return True


def security(folder: Path) -> Security:
    """Return Dask's settings for mutual TLS with the certificates in ``folder``."""
    import ssl

    from distributed.security import Security

    certificates = {f"tls_{role}_cert": str(folder / f"{role}.pem") for role in ROLES}
    return Security(
        require_encryption=True,
        tls_ca_file=str(folder / "ca.pem"),
        tls_min_version=ssl.TLSVersion.TLSv1_3,
        **certificates,
    )


def _make(folder: Path, hosts: Sequence[str], now: datetime.datetime) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding

    authority = ec.generate_private_key(ec.SECP256R1())
    signed = _sign(_builder("ess-authority", authority, now), authority, hosts, None)
    _write(folder / "ca.pem", signed.public_bytes(Encoding.PEM))
    for role in ROLES:
        key = ec.generate_private_key(ec.SECP256R1())
        signed = _sign(_builder(f"ess-{role}", key, now), authority, hosts, role)
        _write(folder / f"{role}.pem", _key_bytes(key) + signed.public_bytes(Encoding.PEM))


def _builder(
    name: str, key: EllipticCurvePrivateKey, now: datetime.datetime
) -> x509.CertificateBuilder:
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named("ess-authority"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Clocks of two machines differ: valid from a little before now.
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    )


def _named(name: str) -> x509.Name:
    from cryptography import x509

    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _sign(
    builder: x509.CertificateBuilder,
    authority: EllipticCurvePrivateKey,
    hosts: Sequence[str],
    role: str | None,
) -> x509.Certificate:
    """Sign one certificate; ``role`` None is the authority's own."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    is_authority = role is None
    limits = x509.BasicConstraints(ca=is_authority, path_length=0 if is_authority else None)
    builder = builder.add_extension(limits, True).add_extension(_key_usage(is_authority), True)
    if role is not None:
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
        builder = builder.add_extension(issuer, False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(_purposes(role)), False)
    if role in ("scheduler", "worker"):
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        builder = builder.add_extension(names, False)
    return builder.sign(authority, SHA256())


def _purposes(role: str) -> list[x509.ObjectIdentifier]:
    from cryptography.x509.oid import ExtendedKeyUsageOID as Purpose

    # Schedulers and workers also call each other, so they are clients too.
    client = [Purpose.CLIENT_AUTH]
    return client if role == "client" else [Purpose.SERVER_AUTH, *client]


def _key_usage(is_authority: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_bytes(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
