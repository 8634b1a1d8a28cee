"""Faults that the stand-in plays: each cuts or breaks exactly what its rule says."""

import socket
import struct
import threading
import time

import pyarrow as pa
import pytest
import redshift_connector

from tests.redshift import one, only_standin, run

pytestmark = pytest.mark.slow

# The driver unpacks what it did not get.
CUT = (redshift_connector.InterfaceError, OSError, struct.error)


@pytest.fixture
def faults(redshift):
    faults = only_standin(redshift).faults
    faults.clear()
    yield faults
    faults.clear()


@pytest.fixture
def table(client, faults):
    name = client.table("id bigint")
    client.opened.pop().close()
    wait_until(lambda: sessions(client.server) == 0)
    faults.clear()
    return name


def wait_until(true):
    deadline = time.monotonic() + 10
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert true()


def sessions(redshift):
    # Not those of such questions, which come by another door.
    ((count,),) = redshift.query(
        "select count(*) from pg_stat_activity "
        "where usename = 'awsuser' and client_addr is not null"
    )
    return count


def test_statements_are_counted_in_order(client, faults, table):
    con = client.connect()
    faults.clear()
    run(con, f"insert into {table} values (1)")
    run(con, "select %s::int", 5)
    con.commit()
    assert [sql.lower() for sql in faults.seen] == [
        "begin transaction", f"insert into {table} values (1)", "select $1::int", "commit",
    ]  # fmt: skip


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_connection_cut_before_a_statement_leaves_nothing(redshift, client, faults, table, n):
    before = sessions(redshift)
    con = client.connect()
    faults.clear()
    faults.cut_before(n)
    with pytest.raises(CUT):
        run(con, f"insert into {table} values (1)")
        con.commit()
    # The session is over when the client learns of it, not some time later.
    assert sessions(redshift) == before
    assert redshift.query(f"select count(*) from {table}") == [(0,)]
    assert len(faults.seen) == n


@pytest.mark.parametrize(("n", "rows"), [(1, 0), (2, 0), (3, 1)])
def test_a_lost_answer_is_of_a_statement_that_ran(redshift, client, faults, table, n, rows):
    con = client.connect()
    faults.clear()
    faults.cut_after(n)
    with pytest.raises(CUT):
        run(con, f"insert into {table} values (1)")
        con.commit()
    assert redshift.query(f"select count(*) from {table}") == [(rows,)]


def test_the_lost_commit_by_its_text(redshift, client, faults, table):
    faults.cut_after_matching("^commit")
    first = client.connect()
    run(first, f"insert into {table} values (1)")
    with pytest.raises(CUT):
        first.commit()
    second = client.connect()
    run(second, f"insert into {table} values (2)")
    second.commit()
    assert redshift.query(f"select count(*) from {table}") == [(2,)]


def test_a_lost_answer_in_autocommit(redshift, client, faults, table):
    con = client.connect()
    con.autocommit = True
    faults.cut_after_matching("insert")
    with pytest.raises(CUT):
        run(con, f"insert into {table} values (1)")
    assert redshift.query(f"select count(*) from {table}") == [(1,)]


def test_a_cut_copy_leaves_nothing(redshift, client, faults, table):
    entry = client.parquet(pa.table({"id": range(1000)}))
    sql = client.copy(table, client.manifest(entry))
    for rule in (faults.cut_before_matching, faults.cut_after_matching):
        rule("^copy")
        con = client.connect()
        with pytest.raises(CUT):
            run(con, sql)
        assert redshift.query(f"select count(*) from {table}") == [(0,)]


def test_a_scripted_error_aborts_the_transaction(redshift, client, faults, table):
    message = "1023 DETAIL: Serializable isolation violation on table - 123"
    con = client.connect()
    faults.fail_matching("^insert", "XX000", message, count=2)
    for _ in range(2):
        with pytest.raises(redshift_connector.ProgrammingError, match="1023") as caught:
            run(con, f"insert into {table} values (1)")
        assert caught.value.args[0]["C"] == "XX000"
        with pytest.raises(redshift_connector.ProgrammingError, match="aborted"):
            run(con, "select 1")
        con.rollback()
    run(con, f"insert into {table} values (1)")
    faults.clear()
    faults.fail(1, "XX000", message)
    with pytest.raises(redshift_connector.ProgrammingError, match="1023"):
        con.commit()
    # As of a real one: the transaction is over and nothing of it is there; a new one may begin.
    assert one(con, f"select count(*) from {table}") == 0
    con.commit()
    assert redshift.query(f"select count(*) from {table}") == [(0,)]


def test_many_sessions_in_a_row_are_over_when_they_end(redshift, client, faults, table):
    started = time.monotonic()
    for _ in range(20):
        con = client.connect()
        run(con, f"insert into {table} values (1)")
        faults.cut_before_matching("^select 2")
        with pytest.raises(CUT):
            run(con, "select 2")
        assert sessions(redshift) == 0
    assert redshift.query(f"select count(*) from {table}") == [(0,)]
    assert time.monotonic() - started < 20


def test_faults_of_the_simple_protocol(redshift, faults, table):
    import psycopg

    def connect():
        return psycopg.connect(
            host=redshift.host, port=redshift.port, user=redshift.user,
            password=redshift.password, dbname=redshift.database, autocommit=True,
        )  # fmt: skip

    with connect() as connection:
        faults.fail_matching("insert", "40001", "scripted")
        with pytest.raises(psycopg.errors.SerializationFailure, match="scripted"):
            connection.execute(f"insert into {table} values (1)")
        faults.cut_after_matching("insert")
        with pytest.raises(psycopg.OperationalError):
            connection.execute(f"insert into {table} values (1)")
    with connect() as connection:
        faults.cut_before_matching("insert")
        with pytest.raises(psycopg.OperationalError):
            connection.execute(f"insert into {table} values (1)")
    assert redshift.query(f"select count(*) from {table}") == [(1,)]


def test_a_client_that_vanishes_while_it_waits_lets_go_of_its_locks(redshift, client, table):
    holder, waiter = client.connect(), client.connect()
    run(holder, f"lock {table}")
    run(waiter, "select 1")
    thread = threading.Thread(target=lambda: _ignore(waiter, f"lock {table}"))
    thread.start()
    before = sessions(redshift)
    time.sleep(0.2)
    waiter._usock.shutdown(socket.SHUT_RDWR)
    thread.join(10)
    wait_until(lambda: sessions(redshift) == before - 1)
    client.opened.remove(waiter)


def _ignore(connection, sql):
    try:
        run(connection, sql)
    except Exception:
        connection._usock.close()


def test_many_clients_at_once(redshift, client, table):
    def work():
        con = client.connect()
        for i in range(10):
            run(con, f"insert into {table} values ({i})")
            con.commit()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    con = client.connect()
    assert one(con, f"select count(*) from {table}") == 80
