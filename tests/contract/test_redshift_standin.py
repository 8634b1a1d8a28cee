"""Redshift as its clients see it: the stand-in, or a real cluster (tests/redshift.py)."""

import csv
import datetime as dt
import gzip
import io
import json
import threading
from decimal import Context, Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redshift_connector

from tests.redshift import one, only_standin, refused, run

pytestmark = pytest.mark.slow

EXACT = Context(prec=80)


def naive(*parts):
    """Return a moment as a TIMESTAMP has it: of no zone."""
    return dt.datetime(*parts)  # noqa: DTZ001


def rows_of(count):
    return pa.table(
        {
            "id": pa.array(range(count), pa.int64()),
            "name": pa.array([f"n{i}" for i in range(count)], pa.string()),
        }
    )


def as_csv(rows, **more):
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n", **more).writerows(rows)
    return out.getvalue().encode()


class TestConnecting:
    def test_the_driver_connects_and_reads(self, con):
        assert "Redshift" in one(con, "select version()")
        assert run(con, "select 1, 'a', null, true") == [(1, "a", None, True)]

    def test_parameters_are_bound(self, con):
        assert run(con, "select %s::int + 1, %s::varchar", 41, "a'b\\c") == [(42, "a'b\\c")]

    def test_a_wrong_password_is_refused(self, client):
        with pytest.raises(redshift_connector.ProgrammingError) as caught:
            client.connect(password="wrong")
        assert caught.value.args[0]["C"] in ("28P01", "28000")

    def test_the_simple_protocol_works_too(self, redshift):
        import psycopg

        server = only_standin(redshift)
        with psycopg.connect(
            host=server.host, port=server.port, user=server.user, password=server.password,
            dbname=server.database,
        ) as connection:  # fmt: skip
            assert connection.info.server_version == 80002
            assert connection.execute("select 1; select 2").fetchone() == (1,)
            assert connection.execute("select %s::int", [3]).fetchone() == (3,)
            with connection.pipeline():
                cursors = [connection.execute("select %s::int", [i]) for i in range(5)]
                assert [cursor.fetchone() for cursor in cursors] == [(i,) for i in range(5)]

    def test_a_statement_can_be_cancelled(self, redshift):
        import psycopg

        server = only_standin(redshift)
        with psycopg.connect(
            host=server.host, port=server.port, user=server.user, password=server.password,
            dbname=server.database,
        ) as connection:  # fmt: skip
            timer = threading.Timer(0.3, connection.cancel_safe)
            timer.start()
            with pytest.raises(psycopg.errors.QueryCanceled):
                connection.execute("select pg_sleep(20)")
            timer.join()


class TestCopyOfParquet:
    COLUMNS = """a smallint, b integer, c bigint, d real, e double precision,
      f decimal(20, 4), g boolean, h date, i timestamp, j timestamptz, k varchar(20), l char(3),
      m varbyte(4), n super"""

    def values(self):
        day, moment = dt.date(2020, 2, 29), naive(2020, 2, 29, 1, 2, 3, 456789)
        utc = moment.replace(tzinfo=dt.UTC)
        return pa.table({
            "a": pa.array([-32768, None], pa.int16()), "b": pa.array([2**31 - 1, None], pa.int32()),
            "c": pa.array([-(2**63), None], pa.int64()), "d": pa.array([1.5, None], pa.float32()),
            "e": pa.array([0.1, None], pa.float64()),
            "f": pa.array([Decimal("-1234567890123456.7890"), None], pa.decimal128(20, 4)),
            "g": [True, None], "h": pa.array([day, None], pa.date32()),
            "i": pa.array([moment, None], pa.timestamp("us")),
            "j": pa.array([utc, None], pa.timestamp("us", "UTC")),
            "k": ['é"\n\\,\t', None], "l": ["x", None],
            "m": pa.array([b"\x00\xff", None], pa.binary()),
            "n": pa.array([{"p": [1, 2], "q": "é"}, None]),
        })  # fmt: skip

    def test_every_type_arrives(self, client, con):
        table = client.table(self.COLUMNS)
        source = client.manifest(client.parquet(self.values()))
        run(con, client.copy(table, source, "format parquet manifest serializetojson"))
        first, second = run(
            con,
            "select a, b, c, d, e, f, g, h, i, j, k, l, to_hex(m), json_serialize(n) "
            f"from {table} order by a",
        )
        assert first[:9] == (
            -32768, 2**31 - 1, -(2**63), 1.5, 0.1, Decimal("-1234567890123456.7890"), True,
            dt.date(2020, 2, 29), naive(2020, 2, 29, 1, 2, 3, 456789),
        )  # fmt: skip
        assert first[9] == dt.datetime(2020, 2, 29, 1, 2, 3, 456789, dt.UTC)
        assert first[10:13] == ('é"\n\\,\t', "x  ", "00ff")
        assert json.loads(first[13]) == {"p": [1, 2], "q": "é"}
        assert second == (None,) * 14

    def test_decimals_of_every_size(self, client, con):
        largest = 10**38 - 1
        for digits, scale in ((5, 0), (9, 2), (18, 3), (18, 5), (38, 0), (38, 6), (38, 37)):
            numbers = [0, 1, -1, 9999, 10_000, -10_001, largest, -largest, 10**37, -(2**64)]
            values = [Decimal(n % 10**digits if n > 0 else -(-n % 10**digits)).scaleb(-scale, EXACT)
                      for n in numbers]  # fmt: skip
            table = client.table(f"n int, d decimal({digits}, {scale})")
            kind = pa.decimal128(digits, scale)
            rows = {"n": pa.array(range(11), pa.int32()), "d": pa.array([*values, None], kind)}
            run(con, client.copy(table, client.manifest(client.parquet(pa.table(rows)))))
            assert run(con, f"select d::varchar from {table} order by n") == [
                *((f"{value:.{scale}f}" if value else f"{0:.{scale}f}",) for value in values),
                (None,),
            ]
            con.commit()  # else the next table is younger than the snapshot

    def test_times_that_postgres_has_no_place_for(self, client, con):
        only_standin(client.server)
        for kind, type_ in (("date", pa.date32()), ("timestamp", pa.timestamp("us"))):
            table = client.table(f"t {kind}")
            width = {"date": pa.int32(), "timestamp": pa.int64()}[kind]
            lowest = -(2 ** (width.bit_width - 1))
            values = pa.array([lowest], width).view(type_)
            source = client.manifest(client.parquet(pa.table({"t": values})))
            assert "out of range" in refused(con, client.copy(table, source))["M"]
            con.rollback()

    def test_many_files_are_read_side_by_side_and_loaded_in_order(self, client, con):
        only_standin(client.server)  # a cluster has no order
        table = client.table("id bigint, name varchar(10)")
        sizes = [40_000, 1, 70_000, 0, 3, 200, 9_000]
        entries = [client.parquet(rows_of(size)) for size in sizes]
        run(con, client.copy(table, client.manifest(*entries)))
        found = run(con, f"select count(*), sum(id) from {table}")
        assert found == [(sum(sizes), sum(size * (size - 1) // 2 for size in sizes))]
        # A file begins where the number of its row is 0 again: the files came in their order.
        starts = run(con, f"select id from {table} where id = 0 or id = 39999 or id = 8999")
        long = [0, 8999, 39_999]
        assert [row[0] for row in starts] == [*long, 0, *long, 0, 0, 0, 8999]

    def test_one_bad_file_among_many(self, client, con):
        table = client.table("id bigint, name varchar(10)")
        good = [client.parquet(rows_of(30_000)) for _ in range(6)]
        bad = client.parquet(pa.table({"id": [1], "name": ["x" * 11]}))
        sql = client.copy(table, client.manifest(*good[:4], bad, *good[4:]))
        assert bad["url"] in refused(con, sql)["D"]
        con.rollback()
        assert one(con, f"select count(*) from {table}") == 0
        assert not [t for t in threading.enumerate() if t.name.startswith("redshift-slice")]

    def test_an_empty_text_is_not_a_null(self, client, con):
        table = client.table("k varchar(5)")
        run(con, client.copy(table, client.manifest(client.parquet(pa.table({"k": ["", None]})))))
        assert run(con, f"select k is null, count(*) from {table} group by 1 order by 1") == [
            (False, 1), (True, 1),
        ]  # fmt: skip

    def test_commit_and_rollback_and_the_same_text_again(self, client, con):
        table = client.table("id bigint, name varchar(10), primary key (id)")
        entries = [client.parquet(rows_of(10)), client.parquet(rows_of(3))]
        sql = client.copy(table, client.manifest(*entries))
        run(con, sql)
        assert one(con, "select pg_last_copy_count()") == 13
        con.rollback()
        assert one(con, f"select count(*) from {table}") == 0
        for _ in range(3):  # the driver keeps prepared statements: only the first is parsed
            run(con, sql)
        con.commit()
        # No key is enforced.
        assert one(con, f"select count(*) from {table}") == 39
        assert one(con, f"select count(distinct id) from {table}") == 10

    def test_the_table_may_change_between_two_copies(self, client, con):
        table = client.table("id bigint, name varchar(10)")
        sql = client.copy(table, client.manifest(client.parquet(rows_of(2))))
        run(con, sql)
        con.commit()
        run(con, f"alter table {table} add column more int")
        con.commit()
        assert "number of columns" in refused(con, sql)["D"]
        run(con, f"alter table {table} drop column more")
        run(con, sql)
        con.commit()
        assert one(con, f"select count(*) from {table}") == 4

    def test_a_list_of_columns_decides_the_places(self, client, con):
        table = client.table("id bigint, more int default 7, name varchar(10)")
        source = client.manifest(client.parquet(rows_of(1).select(["name", "id"])))
        run(con, client.copy(table, source, columns="(name, id)"))
        assert run(con, f"select * from {table}") == [(0, 7, "n0")]
        assert "does not exist" in refused(con, client.copy(table, source, columns="(nope)"))["M"]

    def test_identity_columns(self, client, con):
        table = client.table("n bigint identity(10, 5), id bigint, name varchar(10)")
        run(con, client.copy(table, client.manifest(client.parquet(rows_of(2)))))
        assert [row[0] for row in run(con, f"select n from {table} order by n")] == [10, 15]
        numbered = rows_of(1).add_column(0, "n", pa.array([99], pa.int64()))
        source = client.manifest(client.parquet(numbered))
        run(con, client.copy(table, source, "format parquet manifest explicit_ids"))
        assert one(con, f"select max(n) from {table}") == 99

    @pytest.mark.parametrize(
        ("columns", "values", "code", "said"),
        [
            ("id bigint", pa.array([1], pa.int32()), "15007", "incompatible Parquet schema"),
            ("id int", pa.array([1], pa.int64()), "15007", "incompatible Parquet schema"),
            ("i timestamp", pa.array([1], pa.timestamp("ns")), "15007", "incompatible"),
            ("d decimal(10, 2)", pa.array([Decimal("1.234")]), "15007", "incompatible"),
            ("d decimal(18, 3)", pa.array([Decimal("1.234")]), "15007", "incompatible"),
            ("b varbyte(3)", pa.array([b"abc"], pa.binary(3)), "15007", "incompatible"),
            ("k varchar(3)", pa.array(["éé"]), "15007", "Table: 3, Data: 4"),
            ("k varchar(3) not null", pa.array([None], pa.string()), "15007", "not-null"),
        ],
    )
    def test_what_does_not_fit_is_a_scan_error(self, client, con, columns, values, code, said):
        table = client.table(columns)
        source = client.manifest(client.parquet(pa.table({"c": values})))
        error = refused(con, client.copy(table, source))
        assert error["M"] == "Spectrum Scan Error"
        assert code in error["D"]
        assert said in error["D"]
        assert one(con, f"select count(*) from {table}") == 0

    def test_the_count_of_columns_has_to_be_equal(self, client, con):
        table = client.table("id bigint")
        error = refused(con, client.copy(table, client.manifest(client.parquet(rows_of(1)))))
        assert "Table columns: 1, Data columns: 2" in error["D"]

    def test_a_failure_in_the_second_file_leaves_nothing(self, client, con):
        table = client.table("id bigint, name varchar(3)")
        long = pa.table({"id": [1], "name": ["long"]})
        source = client.manifest(client.parquet(rows_of(99)), client.parquet(long))
        assert "longer than" in refused(con, client.copy(table, source))["D"]
        assert one(con, f"select count(*) from {table}") == 0

    def test_many_row_groups_and_rows(self, client, con):
        table = client.table("id bigint, name varchar(10)")
        big = client.parquet(rows_of(200_000), row_group_size=30_000, compression="zstd")
        run(con, client.copy(table, client.manifest(big)))
        assert run(con, f"select count(*), sum(id), max(len(name)) from {table}") == [
            (200_000, 199_999 * 100_000, 7)
        ]


class TestWhichFiles:
    @pytest.fixture
    def table(self, client):
        return client.table("id bigint, name varchar(10)")

    def test_a_source_without_a_manifest_is_a_prefix(self, client, con, table):
        client.parquet(rows_of(1), "log_1")
        client.parquet(rows_of(2), "log_10")
        client.parquet(rows_of(4), "log_2")
        run(con, client.copy(table, f"{client.prefix}/log_1", "format parquet"))
        assert one(con, f"select count(*) from {table}") == 3

    def test_a_prefix_of_nothing_is_an_error(self, client, con, table):
        error = refused(con, client.copy(table, f"{client.prefix}/none", "format parquet"))
        assert "does not exist" in error["M"]

    def test_a_missing_file_fails_only_if_it_is_mandatory(self, client, con, table):
        here = client.parquet(rows_of(2))
        gone = here | {"url": f"{client.prefix}/gone"}
        assert "NoSuchKey" in refused(con, client.copy(table, client.manifest(here, gone)))["M"]
        optional = {key: value for key, value in gone.items() if key != "mandatory"}
        run(con, client.copy(table, client.manifest(here, optional)))
        assert one(con, f"select count(*) from {table}") == 2

    def test_a_manifest_says_the_right_sizes_of_parquet(self, client, con, table):
        here = client.parquet(rows_of(2))
        wrong = here | {"meta": {"content_length": 5}}
        assert "size" in refused(con, client.copy(table, client.manifest(wrong)))["D"]
        del wrong["meta"]
        assert "content_length" in refused(con, client.copy(table, client.manifest(wrong)))["D"]

    def test_a_manifest_has_to_be_one(self, client, con, table):
        source = client.put("bad.manifest", b"{}")
        assert "Manifest" in refused(con, client.copy(table, source))["M"]

    def test_another_role_is_refused(self, client, con, table):
        sql = client.copy(table, client.manifest(client.parquet(rows_of(1))))
        other = sql.replace(client.server.role, client.server.role + "-other")
        assert "not authorized to assume" in refused(con, other)["M"]
        assert one(con, f"select count(*) from {table}") == 0

    def test_credentials_as_keys(self, client, con, table):
        server = only_standin(client.server)
        role = f"iam_role '{server.role}'"
        sql = client.copy(table, client.manifest(client.parquet(rows_of(1))))
        keys = server.s3
        for words in (
            f"access_key_id '{keys.access_key}' secret_access_key '{keys.secret_key}'",
            f"credentials 'aws_access_key_id={keys.access_key};"
            f"aws_secret_access_key={keys.secret_key}'",
            f"credentials 'aws_iam_role={server.role}'",
            "iam_role default",
        ):
            run(con, sql.replace(role, words))
        assert one(con, f"select count(*) from {table}") == 4
        assert "CREDENTIALS" in refused(con, sql.replace(role, ""))["M"]

    def test_objects_that_s3_denies(self, client, con, table):
        from ess_dask.testing.s3 import require_authorization

        server = only_standin(client.server)
        keys = "access_key_id 'AKIAUNKNOWNUNKNOWN00' secret_access_key 'none'"
        sql = client.copy(table, client.manifest(client.parquet(rows_of(1))))
        require_authorization(server.s3)
        try:
            error = refused(con, sql.replace(f"iam_role '{server.role}'", keys))
        finally:
            require_authorization(server.s3, 1_000_000)
        assert "S3ServiceException" in error["M"]
        assert "Status 403" in error["M"]


class TestWordsOfCopy:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ("format parquet maxerror 3", "MAXERROR"),
            ("format parquet gzip", "GZIP"),
            ("format parquet region 'us-east-1'", "REGION"),
            ("format parquet bogus", 'syntax error at or near "bogus"'),
            ("format parquet manifest manifest", "conflicting or redundant"),
            ("format json 'auto'", "JSON"),
            ("format csv fillrecord", "FILLRECORD"),
            ("format csv timeformat 'DD.MM.YYYY'", "TIMEFORMAT"),
            ("delimiter '|'", "FORMAT CSV or PARQUET"),
        ],
    )
    def test_what_is_not_done_is_refused(self, client, con, options, said):
        only_standin(client.server)
        table = client.table("id bigint")
        error = refused(con, client.copy(table, "s3://b/x", options))
        assert said.lower() in error["M"].lower()

    def test_a_parameter_is_refused(self, client, con):
        table = client.table("id bigint")
        with pytest.raises(redshift_connector.ProgrammingError, match=r"\$1"):
            run(con, f"copy {table} from %s iam_role default format parquet", "s3://b/x")

    def test_a_table_that_is_not_there(self, con, client):
        error = refused(con, client.copy("no_such_table", "s3://b/x", "format parquet"))
        assert "nonexistent table no_such_table" in error["M"]

    def test_a_failed_copy_aborts_the_transaction(self, client, con):
        table = client.table("id bigint")
        run(con, f"insert into {table} values (1)")
        with pytest.raises(redshift_connector.ProgrammingError):
            run(con, client.copy(table, f"{client.prefix}/none", "format parquet"))
        with pytest.raises(redshift_connector.ProgrammingError, match="aborted"):
            run(con, "select 1")
        con.rollback()
        assert one(con, f"select count(*) from {table}") == 0


class TestCopyOfCsv:
    COLUMNS = """id int not null, name varchar(6), amount decimal(8, 2), day date, at timestamp,
      zoned timestamptz, ok boolean, clock time, big bigint, half double precision"""
    GOOD = (
        ["1", 'é"\n,', "12.349", "2020-02-29", "2020-02-29 01:02:03.5", "2020-02-29 01:02:03+02",
         "t", "01:02:03", "-9223372036854775808", "1e3"],
        ["2", "", "", "", "", "", "", "", "", ""],
    )  # fmt: skip

    def load(self, client, con, columns, data, options=""):
        table = client.table(columns)
        run(con, client.copy(table, client.put("data.csv", data), f"format csv {options}"))
        return table

    def test_every_type_arrives(self, client, con):
        options = "timeformat 'auto' dateformat 'auto' compupdate off statupdate off"
        table = self.load(client, con, self.COLUMNS, as_csv(self.GOOD), options)
        first, second = run(con, f"select * from {table} order by id")
        assert first == (
            1, 'é"\n,', Decimal("12.34"), dt.date(2020, 2, 29),
            naive(2020, 2, 29, 1, 2, 3, 500000),
            dt.datetime(2020, 2, 28, 23, 2, 3, tzinfo=dt.UTC), True, dt.time(1, 2, 3),
            -(2**63), 1000.0,
        )  # fmt: skip
        assert second == (2, "", *[None] * 8)
        assert one(con, "select pg_last_copy_count()") == 2

    def test_gzip_header_delimiter_null_and_emptyasnull(self, client, con):
        data = gzip.compress(as_csv([["id", "name"], [1, "-"], [2, ""], [3, "x"]], delimiter="|"))
        options = "gzip ignoreheader 1 delimiter '|' null as '-' emptyasnull"
        table = self.load(client, con, "id int, name varchar(5)", data, options)
        assert run(con, f"select id, name from {table} order by id") == [
            (1, None), (2, None), (3, "x"),
        ]  # fmt: skip

    def test_truncatecolumns_cuts_bytes_between_characters(self, client, con):
        table = self.load(client, con, "k varchar(4)", "aééé\n".encode(), "truncatecolumns")
        assert one(con, f"select k from {table}") == "aé"

    def test_an_unknown_byte_may_be_replaced(self, client, con):
        table = self.load(client, con, "id int, k varchar(4)", b"1,a\xffb\n", "acceptinvchars")
        assert one(con, f"select k from {table}") == "a?b"

    def test_an_empty_file_is_no_rows(self, client, con):
        table = self.load(client, con, "id int", b"")
        assert one(con, f"select count(*) from {table}") == 0

    def test_json_goes_into_super(self, client, con):
        table = self.load(client, con, "s super", as_csv([['{"a": [1, 2]}']]))
        assert json.loads(one(con, f"select json_serialize(s) from {table}")) == {"a": [1, 2]}

    @pytest.mark.parametrize(
        ("columns", "value", "code"),
        [
            ("a int", "x", 1207),
            ("a int", "2147483648", 1204),
            ("a smallint", "1.5", 1207),
            ("a varchar(3)", "éé", 1204),
            ("a char(3)", "é", 1220),
            ("a date", "2020-02-30", 1205),
            ("a timestamp", "yesterday", 1206),
            ("a boolean", "maybe", 1210),
            ("a decimal(4, 2)", "100", 1204),
            ("a decimal(4, 2)", "ten", 1207),
            ("a double precision", "wide", 1207),
            ("a int not null", "", 1213),
        ],
    )
    def test_a_bad_value_is_told_with_its_place(self, client, con, columns, value, code):
        table = client.table(f"n int, {columns}")
        good = {"a int not null": "1"}.get(columns, "")
        data = as_csv([["n", "two\nlines"], [1, good], [2, value], [3, good]])
        url = client.put("bad.csv", data)
        error = refused(con, client.copy(table, url, "format csv ignoreheader 1"))
        assert f"Load into table '{table}' failed" in error["M"]
        assert one(con, f"select count(*) from {table}") == 0
        found = run(
            con,
            "select trim(filename), line_number, trim(colname), trim(raw_field_value), err_code "
            f"from stl_load_errors where filename = '{url}'",
        )
        assert found == [(url, 4, "a", value, code)]

    @pytest.mark.parametrize(
        ("line", "code", "reason"),
        [
            (b"1\n", 1214, "Delimiter not found"),
            (b"1,a,b\n", 1202, "Extra column(s) found"),
            (b"\n", 1211, "no data"),
            (b"1,\xff\n", 1220, "Bad UTF8 hex sequence: ff (error 3)"),
            (b"1,\xe2\x82\n", 1220, "Bad UTF8 hex sequence: e2 82 (error 2)"),
        ],
    )
    def test_an_irregular_row_is_told(self, client, con, line, code, reason):
        table = client.table("id int, k varchar(9)")
        url = client.put("bad.csv", b'0,"two\nlines"\n' + line + b"2,b\n")
        refused(con, client.copy(table, url, "format csv"))
        found = run(
            con,
            "select line_number, error_code, error_message from sys_load_error_detail "
            f"where trim(file_name) = '{url}'",
        )
        assert [row[:2] for row in found] == [(3, code)]
        assert reason in found[0][2]

    def test_maxerror_lets_the_good_rows_through(self, client, con):
        table = client.table("id int, k varchar(3)")
        url = client.put("some.csv", b"1,a\nx,b\n3,long\n4,d\n5\n")
        refused(con, client.copy(table, url, "format csv maxerror 3"))
        run(con, client.copy(table, url, "format csv maxerror 4"))
        con.commit()
        assert run(con, f"select id from {table} order by id") == [(1,), (4,)]
        assert one(con, "select pg_last_copy_count()") == 2
        status = run(
            con,
            "select status, loaded_rows, error_count from sys_load_history "
            f"where table_name = '{table}' order by query_id",
        )
        assert status == [("aborted", 0, 3), ("completed", 2, 3)]
        assert run(
            con,
            "select lines_scanned, errors from stl_load_commits "
            f"where query = pg_last_copy_id() and trim(filename) = '{url}'",
        ) == [(5, 3)]

    def test_a_large_file_with_a_bad_value_far_down(self, client, con):
        table = client.table("id int, at timestamp")
        lines = [f"{i},2020-02-29 01:02:{i % 60:02}.5" for i in range(150_000)]
        lines[140_000] = "x,2020-02-29 01:02:03"
        lines[149_999] = "1,2020-02-30 01:02:03"
        url = client.put("large.csv.gz", gzip.compress("\n".join(lines).encode(), 1))
        refused(con, client.copy(table, url, "format csv gzip maxerror 2"))
        run(con, client.copy(table, url, "format csv gzip maxerror 3"))
        con.commit()
        assert run(con, f"select count(*), max(id) from {table}") == [(149_998, 149_998)]
        found = run(
            con,
            "select distinct line_number, error_code from sys_load_error_detail "
            f"where trim(file_name) = '{url}' order by 1",
        )
        assert found == [(140_001, 1207), (150_000, 1206)]

    def test_the_tables_of_errors_survive_a_rollback(self, client, con):
        table = client.table("id int")
        url = client.put("bad.csv", b"x\n")
        refused(con, client.copy(table, url, "format csv"))
        other = client.connect()
        sql = f"select count(*) from stl_load_errors where trim(filename) = '{url}'"
        assert one(other, sql) == 1

    def test_a_broken_gzip_file_is_an_error(self, client, con):
        table = client.table("id int")
        url = client.put("cut.csv.gz", gzip.compress(b"1\n" * 1000)[:-9])
        refused(con, client.copy(table, url, "format csv gzip"))
        assert one(con, f"select count(*) from {table}") == 0


class TestUnload:
    @pytest.fixture
    def table(self, client, con):
        table = client.table(TestCopyOfParquet.COLUMNS)
        values = TestCopyOfParquet().values()
        source = client.manifest(client.parquet(values))
        run(con, client.copy(table, source, "format parquet manifest serializetojson"))
        con.commit()
        return table

    def unload(self, client, con, query, options, name="out/"):
        target = f"{client.prefix}/{name}"
        text = query.replace("'", "''")
        run(con, f"unload ('{text}') to '{target}' iam_role '{client.server.role}' {options}")
        return target

    def test_parquet_keeps_types(self, client, con, table):
        query = f"select a, b, c, d, e, f, g, h, i, k, n from {table} where k is not null"
        target = self.unload(client, con, query, "format parquet manifest verbose")
        manifest = json.loads(client.get(target + "manifest"))
        (entry,) = [e for e in manifest["entries"] if e["meta"]["record_count"]]
        data = client.get(entry["url"])
        assert entry["meta"]["content_length"] == len(data)
        read = pq.read_table(pa.BufferReader(data))
        wanted = TestCopyOfParquet().values().slice(0, 1)
        for name in "abcdefghik":
            assert read[name].to_pylist() == wanted[name].to_pylist()
            assert read[name].type == wanted[name].type
        assert json.loads(read["n"][0].as_py()) == wanted["n"][0].as_py()

    def test_nulls_and_empty_texts_stay_apart(self, client, con):
        query = "select null::varchar(3) k, 1 n union all select '', 2"
        target = self.unload(client, con, query, "format parquet parallel off")
        (url,) = client.files(target)
        rows = pq.read_table(pa.BufferReader(client.get(url))).to_pylist()
        assert sorted(rows, key=lambda row: row["n"]) == [{"k": None, "n": 1}, {"k": "", "n": 2}]

    def test_what_is_unloaded_can_be_copied(self, client, con):
        table = client.table("id bigint, name varchar(10)")
        run(con, client.copy(table, client.manifest(client.parquet(rows_of(100)))))
        target = self.unload(client, con, f"select * from {table}", "parquet manifest")
        assert len(client.files(target)) > 2  # a file for each slice, and the manifest
        run(con, client.copy(table, target + "manifest"))
        assert one(con, f"select count(*) from {table}") == 200

    def test_csv_with_header_and_gzip(self, client, con):
        query = "select 1 id, 'a,\"b' k union all select 2, null"
        target = self.unload(client, con, query, "csv header gzip parallel off")
        (url,) = client.files(target)
        assert url.endswith("000.gz")
        text = gzip.decompress(client.get(url)).decode()
        assert sorted(csv.reader(io.StringIO(text))) == [["1", 'a,"b'], ["2", ""], ["id", "k"]]

    def test_an_existing_target_is_not_overwritten(self, client, con):
        target = self.unload(client, con, "select 1", "csv parallel off")
        sql = f"unload ('select 2') to '{target}' iam_role '{client.server.role}' csv parallel off"
        assert "not empty" in refused(con, sql)["M"]
        run(con, sql + " allowoverwrite maxfilesize 5 mb")
        (url,) = client.files(target)
        assert client.get(url) == b"2\n"

    def test_an_unload_that_fails_aborts_the_transaction(self, client, con):
        sql = f"unload ('select * from nope') to '{client.prefix}/x/' iam_role default parquet"
        assert refused(con, sql)["C"] == "42P01"
        assert client.files(client.prefix + "/x/") == []
        sql = sql.replace("default", "'arn:aws:iam::1:role/x'").replace("* from nope", "1")
        assert "not authorized to assume" in refused(con, sql)["M"]


class TestTables:
    def test_words_that_only_redshift_has(self, client, con):
        table = client.table(
            """id bigint identity(1, 1) not null encode az64 distkey primary key,
            name varchar(max) encode zstd default 'a,b(' , other int references nope (id) sortkey,
            at timestamp default sysdate, constraint un unique (name),
            foreign key (other) references nope (id)) diststyle key
            compound sortkey (id, name -- a comment )
            """
        )
        run(con, f"insert into {table} (other) values (5), (5)")
        assert run(con, f"select id, name, other from {table} order by id") == [
            (1, "a,b(", 5), (2, "a,b(", 5),
        ]  # fmt: skip

    def test_a_table_from_a_query_and_one_like_another(self, client, con):
        table = client.table("id int, k varchar(3), v varbyte(2)")
        run(con, f"create temp table l_{table} (like {table})")
        run(con, f"create table {table}_2 distkey (id) sortkey (id) as select * from {table}")
        client.tables.append(f"{table}_2")
        con.commit()
        for name in (f"l_{table}", f"{table}_2"):
            error = refused(con, f"insert into {name} (k) values ('éé')")
            assert "value too long for type character varying(3)" in error["M"]

    def test_lengths_are_bytes_and_have_defaults(self, client, con):
        table = client.table("a varchar, b varchar(4), c char(2), d varbyte(2), e text")
        found = dict(
            run(
                con,
                "select column_name, character_maximum_length from svv_columns "
                f"where table_name = '{table}'",
            )
        )
        assert found == {"a": 256, "b": 4, "c": 2, "d": 2, "e": 256}
        run(con, f"insert into {table} (b, c) values ('éé', 'ab')")
        error = refused(con, f"insert into {table} (b) values ('ééa')")
        assert "value too long for type character varying(4)" in error["M"]
        error = refused(con, f"insert into {table} (d) values (from_hex('aabbcc'))")
        assert "too long" in error["M"].lower()

    def test_null_into_not_null(self, client, con):
        table = client.table("id int not null")
        assert (
            "Cannot insert a NULL value" in refused(con, f"insert into {table} values (null)")["M"]
        )

    def test_names_are_folded_even_in_quotes(self, client, con):
        table = client.table('"ID" int, "Größe" int')
        run(con, f'insert into "{table.upper()}" ("Id", "Größe") values (1, 2)')
        with con.cursor() as cursor:
            cursor.execute(f'select id, "größe" as "Total" from {table}')
            assert [column[0] for column in cursor.description] == ["id", "total"]

    def test_every_statement_folds_quoted_names(self, client, con):
        table = client.table('"Id" int, "MixedCase" varchar(9), "Raw" varbyte(4)')
        shouted = f'"{table.upper()}"'
        source = client.put("a.csv", b"1,a\n2,b\n")
        run(con, client.copy(shouted, source, "format csv", '("ID", "mixedCASE")'))
        run(con, f'insert into {shouted} ("iD", "MIXEDcase") values (3, \'c\')')
        run(con, f'update {shouted} set "MixedCase" = \'z\' where "ID" = 3')
        run(con, f"delete from {shouted} where \"MiXeDcAsE\" = 'b'")
        query = f'select t."ID", t."mixedCase" from "PUBLIC".{shouted} t order by "iD"'
        assert run(con, query) == [(1, "a"), (3, "z")]
        run(con, f'create temp table "Like_{table}" (like {shouted})')
        run(con, f'create temp table "As_{table}" as select "ID" as "New" from {shouted}')
        assert run(con, f'select "NEW" from "AS_{table}" order by new') == [(1,), (3,)]
        run(con, f'alter table {shouted} add column "AddedOne" varchar(4)')
        run(con, f"lock {shouted}")
        target = f"{client.prefix}/folded/"
        text = query.replace("'", "''")
        role = client.server.role
        run(con, f"unload ('{text}') to '{target}' iam_role '{role}' csv header parallel off")
        (url,) = client.files(target)
        assert client.get(url) == b"id,mixedcase\n1,a\n3,z\n"
        con.commit()
        con.autocommit = True
        run(con, f'alter table {shouted} alter column "MIXEDCase" type varchar(20)')
        shown = run(con, f"select \"column\", type from pg_table_def where tablename = '{table}'")
        assert shown == [
            ("id", "integer"), ("mixedcase", "character varying(20)"),
            ("raw", "binary varying(4)"), ("addedone", "character varying(4)"),
        ]  # fmt: skip
        run(con, f"truncate {shouted}")
        run(con, f'drop table "LIKE_{table}"')

    def test_names_keep_their_case_on_demand(self, client, con):
        run(con, "set enable_case_sensitive_identifier to true")
        con.commit()
        with con.cursor() as cursor:
            cursor.execute('select 1 as "Total"')
            assert cursor.description[0][0] == "Total"
        con.rollback()
        assert one(con, "show enable_case_sensitive_identifier") in ("on", "true")
        run(con, "reset enable_case_sensitive_identifier")
        con.commit()

    def test_a_rollback_takes_back_how_names_are_read(self, con):
        run(con, "set enable_case_sensitive_identifier to true")
        con.rollback()
        with con.cursor() as cursor:
            cursor.execute('select 1 as "Total"')
            assert cursor.description[0][0] == "total"
        assert one(con, "show enable_case_sensitive_identifier") in ("off", "false")

    def test_case_sensitive_names_are_copied_and_altered(self, client, con):
        con.autocommit = True
        run(con, "set enable_case_sensitive_identifier to true")
        table = client.table('"Id" int, id int, "Word" varchar(3)', con)
        url = client.put("a.csv", b"1,abc\n")
        run(con, client.copy(table, url, "format csv", '("Id", "Word")'))
        run(con, f'alter table {table} alter column "Word" type varchar(9)')
        assert run(con, f'select "Id", id, "Word" from {table}') == [(1, None, "abc")]
        assert "does not exist" in refused(con, client.copy(table, url, "csv", '("ID")'))["M"]

    def test_strings_and_comments_are_left_alone(self, con):
        sql = """select 'SYSDATE "X" nvl(' /* "Y */, 'a\\\\b', 'it''s' -- "Z"
        """
        assert run(con, sql) == [('SYSDATE "X" nvl(', "a\\b", "it's")]

    def test_a_type_that_redshift_has_not(self, con):
        assert "unsupported type" in refused(con, "create table zz_no (id uuid)")["M"]
        assert "between 1 and 38" in refused(con, "create table zz_no (d decimal(39, 2))")["M"]

    def test_altering_a_column_needs_no_transaction(self, client, con):
        table = client.table("k varchar(3), n int")
        sql = f"alter table {table} alter column k type varchar(8)"
        assert "cannot run inside a transaction block" in refused(con, sql)["M"]
        con.autocommit = True
        run(con, sql)
        run(con, f"insert into {table} values ('éééé')")
        for column, kind in (("k", "int"), ("n", "varchar(5)")):
            with pytest.raises(redshift_connector.ProgrammingError):
                run(con, f"alter table {table} alter column {column} type {kind}")

    def test_one_column_is_added_at_a_time(self, client, con):
        table = client.table("id int")
        run(con, f"alter table {table} add column k varchar(3) encode zstd")
        con.commit()
        assert "too long" in refused(con, f"insert into {table} (k) values ('éé')")["M"]
        error = refused(con, f"alter table {table} add column a int, add column b int")
        assert "syntax error" in error["M"]
        error = refused(con, f"alter table {table} add column a int not null")
        assert "NOT NULL" in error["M"]

    def test_truncate_commits(self, client, con):
        table = client.table("id int")
        run(con, f"insert into {table} values (1)")
        con.commit()
        run(con, f"truncate {table}")
        con.rollback()
        assert one(con, f"select count(*) from {table}") == 0

    def test_a_lock_before_the_first_read_sees_what_the_other_wrote(self, client):
        table = client.table("id int")
        first, second = client.connect(), client.connect()
        run(first, f"lock {table}")
        run(first, f"insert into {table} values (1)")
        run(second, "select 1 where 1 = 0")
        second.rollback()
        first.commit()
        run(second, f"lock table {table}")
        assert one(second, f"select count(*) from {table}") == 1

    def test_a_snapshot_is_taken_at_the_first_read(self, client):
        table = client.table("id int")
        first, second = client.connect(), client.connect()
        assert one(second, f"select count(*) from {table}") == 0
        run(first, f"insert into {table} values (1)")
        first.commit()
        assert one(second, f"select count(*) from {table}") == 0


class TestCatalogAndFunctions:
    @pytest.mark.parametrize(
        ("sql", "value"),
        [
            ("select strtol('7fffffff', 16)", 2147483647),
            ("select sum(strtol(left(md5('a'), 8), 16))", 214005177),
            ("select strtol('101', 2)", 5),
            ("select len('é')", 1),
            ("select octet_length('é')", 2),
            ("select nvl(null, 3)", 3),
            ("select dateadd(day, 1, '2020-02-28'::timestamp)", naive(2020, 2, 29)),
            ("select datediff(day, '2020-02-28'::timestamp, '2020-03-01'::timestamp)", 2),
            ("select json_serialize(json_parse('[1, 2]'))", "[1,2]"),
            ("select to_hex(from_hex('00FF'))", "00ff"),
        ],
    )
    def test_functions(self, con, sql, value):
        found = one(con, sql)
        if isinstance(value, str):
            found, value = found.replace(" ", "").lower(), value.lower()
        assert found == value

    def test_the_time(self, con):
        now = one(con, "select getdate()")
        assert abs(now - dt.datetime.now(dt.UTC).replace(tzinfo=None)) < dt.timedelta(minutes=5)
        assert run(con, "select sysdate")

    def test_the_catalog(self, client, con):
        table = client.table("id bigint not null, k varchar(7), s super")
        shown = run(con, f"select \"column\", type from pg_table_def where tablename = '{table}'")
        assert shown == [
            ("id", "bigint"), ("k", "character varying(7)"), ("s", "super"),
        ]  # fmt: skip
        assert run(
            con,
            "select column_name, data_type, is_nullable from svv_columns "
            f"where table_name = '{table}' order by ordinal_position",
        ) == [("id", "bigint", "NO"), ("k", "character varying", "YES"), ("s", "super", "YES")]
        assert run(con, f"select table_type from svv_tables where table_name = '{table}'") == [
            ("BASE TABLE",)
        ]
        assert one(con, "select count(*) from stv_slices") >= 1
        assert one(con, "select count(*) from stv_slices") <= 10_000

    def test_settings_that_only_redshift_has(self, con):
        run(con, "set query_group to 'loads'")
        assert one(con, "show query_group") == "loads"
        run(con, "reset query_group")
        run(con, "set statement_timeout to 60000")
        con.rollback()
        assert one(con, "select pg_last_copy_count()") == -1

    def test_varbyte_and_super_as_results(self, con):
        assert run(con, "select json_parse('{\"a\":1}')")[0][0].replace(" ", "") == '{"a":1}'
        assert run(con, "select from_hex('6162')") == [("ab",)]
