"""Errors of Redshift, its driver and the network, as errors of the product."""

import socket
import ssl
import struct

import pytest
import redshift_connector as driver

from ess_dask.errors import (
    AccessError,
    ConfigError,
    DataError,
    EssError,
    LockedError,
    TransientError,
    UsageError,
)
from ess_dask.warehouse.redshift.connection import (
    ConflictRetryError,
    LostConnectionError,
    translate,
    translating,
)
from ess_dask.warehouse.redshift.translate import PausedError


def server(code, message, detail="", kind=driver.ProgrammingError):
    """Return what the driver raises for an answer of the server."""
    return kind({"S": "ERROR", "C": code, "M": message, "D": detail, "F": "x.c"})


CYCLE = """
  -----------------------------------------------
  error:  Serializable isolation violation on table in Redshift
  code:      1023
  context:   Serializable isolation violation on table - 107002, transactions forming the cycle
             are: 4023, 4024 (pid:9177)
"""
ASSUME = "User arn:aws:redshift:us-east-1:1:dbuser:c/etl is not authorized to assume IAM Role x"
DENIED = "S3ServiceException:Access Denied,Status 403,Error AccessDenied,Rid 7A1,CanRetry 1"
MISSING = "S3ServiceException:The specified key does not exist.,Status 404,Error NoSuchKey,Rid 7"


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (server("XX000", "1023", CYCLE), ConflictRetryError, "4023, 4024"),
        (server("40001", "could not serialize access"), ConflictRetryError, "40001"),
        (server("XX000", "could not complete because of conflict with concurrent transaction"),
         ConflictRetryError, "conflict"),
        (server("XX000", "could not open relation with OID 6134794"), ConflictRetryError, "OID"),
        (server("40P01", "deadlock detected"), ConflictRetryError, "deadlock"),
        (server("57014", "canceling statement due to statement timeout"), LockedError, "timeout"),
        (server("XX000", "Query (150) canceled on user's request"), LockedError, "(150)"),
        (server("55P03", "could not obtain lock on relation"), LockedError, "55P03"),
        (server("57P01", "terminating connection due to administrator command"),
         LostConnectionError, "57P01"),
        (server("08006", "connection failure"), LostConnectionError, "08006"),
        (server("53300", "too many connections"), TransientError, "too many"),
        (server("XX000", "S3ServiceException:Please reduce,Status 503,Error SlowDown"),
         TransientError, "SlowDown"),
        (server("28000", "password authentication failed for user \"etl\"", "",
                driver.InterfaceError), AccessError, "user or password was refused"),
        (server("28P01", "password authentication failed"), AccessError, "28P01"),
        (server("42501", "permission denied for relation sales"), AccessError, "relation sales"),
        (server("42501", "must be owner of relation sales"), AccessError, "must be owner"),
        (server("XX000", ASSUME), AccessError, "sts:AssumeRole"),
        (server("XX000", "Load", f"error: {ASSUME}"), AccessError, "sts:AssumeRole"),
        (server("XX000", "User x is not authorized to perform: iam:PassRole"), AccessError,
         "iam:PassRole"),
        (server("XX000", DENIED), AccessError, "s3:GetObject"),
        (server("XX000", f"UNLOAD: {DENIED}"), AccessError, "s3:PutObject"),
        (server("XX000", MISSING), DataError, "NoSuchKey"),
        (server("42P01", "relation \"nope\" does not exist"), DataError, "nope"),
        (server("23505", "duplicate key", "", driver.IntegrityError), DataError, "23505"),
        (server("22001", "value too long for type character varying(1)"), DataError, "varying(1)"),
        (server("53100", "Disk Full"), DataError, "Disk Full"),
        (server("XX000", "The cluster is paused"), PausedError, "paused"),
        (server("XX000", "cluster is resizing"), TransientError, "resizing"),
        (driver.InterfaceError("BrokenPipe: server socket closed. Please check"),
         LostConnectionError, "BrokenPipe: server socket closed"),
        (driver.InterfaceError("connection is closed"), LostConnectionError, "is closed"),
        (driver.InterfaceError("communication error", ConnectionRefusedError(111, "refused")),
         LostConnectionError, "refused"),
        (driver.InterfaceError("communication error", socket.gaierror(-2, "not known")),
         LostConnectionError, "not known"),
        (driver.OperationalError("connection time out", TimeoutError()), LostConnectionError,
         "no answer in time"),
        (TimeoutError("timed out"), LostConnectionError, "no answer in time"),
        (ConnectionResetError(104, "Connection reset by peer"), LostConnectionError, "reset"),
        (BrokenPipeError(32, "Broken pipe"), LostConnectionError, "Broken pipe"),
        (driver.InterfaceError("communication error", ssl.SSLError(1, "[SSL] wrong version")),
         LostConnectionError, "wrong version"),
        (driver.InterfaceError("Server refuses SSL"), ConfigError, "does not speak TLS"),
        (driver.InterfaceError("server requesting MD5 password authentication, but no password "
                               "was provided"), AccessError, "no password"),
        (driver.InterfaceError("Authentication method 7 not supported by redshift_connector."),
         AccessError, "method 7"),
        (driver.NotSupportedError("type x not mapped to pg type"), DataError, "not mapped"),
    ],
)  # fmt: skip
def test_each_error_has_its_type(error, kind, words):
    found = translate(error, "copy of sales")
    assert type(found) is kind, repr(found)
    assert found.message.startswith("copy of sales: ")
    assert words in found.message
    assert "\n" not in found.message
    assert found.hint or kind is DataError


def test_a_certificate_that_is_not_trusted_is_no_fault_of_the_network():
    refused = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED]")
    refused.verify_message = "self-signed certificate"
    found = translate(driver.InterfaceError("communication error", refused), "connect")
    assert type(found) is AccessError
    assert "self-signed certificate" in found.message
    assert "SSL_CERT_FILE" in found.hint


def test_what_is_ours_and_what_is_nobodys_fault_stays():
    for error in (UsageError("x"), ValueError("y"), struct.error("z"), KeyError("k")):
        assert translate(error) is error
        with pytest.raises(type(error)) as caught, translating("x"):
            raise error
        assert caught.value is error


def test_a_pause_says_how_to_resume():
    assert "aws redshift resume-cluster" in translate(server("XX000", "cluster is paused")).hint


def test_a_failed_statement_keeps_no_trace_of_the_driver():
    with pytest.raises(DataError) as caught, translating("the ledger"):
        raise server("42601", "syntax error")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert str(caught.value) == "the ledger: syntax error (42601)\n  hint: check the statement"


def test_new_errors_are_retried_as_transient():
    assert issubclass(ConflictRetryError, TransientError)
    assert issubclass(LostConnectionError, TransientError)
    assert issubclass(TransientError, EssError)
