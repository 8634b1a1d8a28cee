"""Clients that know nothing of the stand-in: awswrangler, SQLAlchemy, IAM, TLS, the program."""

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
import redshift_connector
import sqlalchemy as sa

from ess_dask.testing.redshift import standin
from tests.redshift import one, run

pytestmark = pytest.mark.slow


@pytest.fixture
def aws(redshift, monkeypatch):
    """Let AWS clients of this process find the stand-in's S3."""
    for name, value in redshift.env.items():
        monkeypatch.setenv(name, value)


class TestAwswrangler:
    FRAME = pd.DataFrame({
        "id": [1, 2, 3], "name": ["é", None, "c"], "price": [1.5, None, -2.25],
        "ok": [True, False, True], "at": pd.to_datetime(["2020-02-29 01:02:03"] * 3),
    })  # fmt: skip

    @pytest.fixture
    def names(self, client):
        name = f"w_{uuid.uuid4().hex[:10]}"
        client.tables.append(name)
        return {"table": name, "schema": "public"}

    def copy(self, client, names, frame=FRAME, **more):
        import awswrangler as wr

        con = client.connect()
        wr.redshift.copy(
            df=frame, path=f"{client.prefix}/wr/", con=con, iam_role=client.server.role,
            **names, **more,
        )  # fmt: skip
        return con

    def test_copy_and_read(self, aws, client, names):
        import awswrangler as wr

        con = self.copy(client, names, mode="overwrite", diststyle="KEY", distkey="id")
        back = wr.redshift.read_sql_query(f"select * from {names['table']} order by id", con=con)
        assert back["id"].tolist() == [1, 2, 3]
        assert back["name"].fillna("-").tolist() == ["é", "-", "c"]
        assert back["at"].tolist() == self.FRAME["at"].tolist()

    def test_append_and_upsert(self, aws, client, names):
        self.copy(client, names, mode="append", primary_keys=["id"])
        con = self.copy(client, names, mode="append")
        assert one(con, f"select count(*) from {names['table']}") == 6
        con.rollback()
        changed = self.FRAME.assign(price=9.0)[:1]
        con = self.copy(client, names, changed, mode="upsert", primary_keys=["id"])
        rows = run(
            con, f"select id, max(price), count(*) from {names['table']} group by 1 order by 1"
        )
        assert [row[0::2] for row in rows] == [(1, 1), (2, 2), (3, 2)]
        assert rows[0][1] == 9.0
        # The keys of the table are found, too.
        con = self.copy(client, names, changed, mode="upsert")
        assert one(con, f"select count(*) from {names['table']}") == 5

    def test_copy_from_files(self, aws, client, names):
        import awswrangler as wr

        path = f"{client.prefix}/files/"
        wr.s3.to_parquet(self.FRAME, path + "a.parquet")
        con = client.connect()
        wr.redshift.copy_from_files(
            path=path, con=con, iam_role=client.server.role, **names, mode="append"
        )
        assert one(con, f"select count(*) from {names['table']}") == 3

    def test_to_sql(self, aws, client, names):
        import awswrangler as wr

        con = client.connect()
        wr.redshift.to_sql(df=self.FRAME, con=con, **names, mode="overwrite")
        wr.redshift.to_sql(df=self.FRAME, con=con, **names, mode="append", use_column_names=True)
        assert one(con, f"select count(*) from {names['table']}") == 6

    def test_unload(self, aws, client, names):
        import awswrangler as wr

        con = self.copy(client, names)
        back = wr.redshift.unload(
            f"select * from {names['table']}", path=f"{client.prefix}/un/", con=con,
            iam_role=client.server.role,
        )  # fmt: skip
        back = back.sort_values("id").reset_index(drop=True)
        assert back["id"].tolist() == [1, 2, 3]
        assert back["price"].fillna(0).tolist() == [1.5, 0, -2.25]


class TestSqlalchemy:
    @pytest.fixture
    def engine(self, redshift):
        engine = sa.create_engine(redshift.url)
        yield engine
        engine.dispose()

    @pytest.fixture
    def table(self, client, engine):
        name = f"s_{uuid.uuid4().hex[:10]}"
        client.tables.append(name)
        table = sa.Table(
            name, sa.MetaData(),
            sa.Column("id", sa.BigInteger, primary_key=True, redshift_encode="az64"),
            sa.Column("name", sa.String(10), nullable=False),
            sa.Column("price", sa.Numeric(10, 2)),
            redshift_diststyle="KEY", redshift_distkey="id", redshift_sortkey=["id", "name"],
        )  # fmt: skip
        table.metadata.create_all(engine)
        return table

    def test_tables_are_inspected(self, engine, table):
        inspector = sa.inspect(engine)
        assert table.name in inspector.get_table_names()
        assert inspector.has_table(table.name)
        assert not inspector.has_table("no_such_table")
        # Not get_columns: this release of the dialect calls SQLAlchemy 2.1 wrongly. Its question:
        with engine.connect() as con:
            found = engine.dialect._get_schema_column_info(con, schema="public")
        columns = [column for some in found.values() for column in some]
        assert [(c.name, c.type, c.notnull) for c in columns if c.table_name == table.name] == [
            ("id", "bigint", True), ("name", "character varying(10)", True),
            ("price", "numeric(10,2)", False),
        ]  # fmt: skip
        assert inspector.get_pk_constraint(table.name)["constrained_columns"] == ["id"]
        assert "public" in inspector.get_schema_names()

    def test_rows_go_in_and_out(self, engine, table):
        with engine.begin() as con:
            con.execute(table.insert(), [{"id": 1, "name": "a%b"}, {"id": 2, "name": "c"}])
        with engine.connect() as con:
            rows = con.execute(sa.select(table.c.name).order_by(table.c.id)).all()
        assert rows == [("a%b",), ("c",)]

    def test_its_copy_command(self, client, engine, table):
        from sqlalchemy_redshift.dialect import CopyCommand, Format

        source = client.put("sa.csv", b"1,a,2.50\n2,b,\n")
        command = CopyCommand(table, source, iam_role_arns=client.server.role, format=Format.csv)
        with pytest.raises(sa.exc.ProgrammingError, match=r"\$1"), engine.begin() as con:
            con.execute(command)
        text = str(command.compile(dialect=engine.dialect, compile_kwargs={"literal_binds": True}))
        with engine.begin() as con:
            con.exec_driver_sql(text)
            assert con.execute(sa.select(sa.func.count()).select_from(table)).scalar() == 2


IAM_LOGIN = """
import boto3, os, pathlib, redshift_connector, sys
from ess_dask.testing.redshift import standin

with standin(pathlib.Path(sys.argv[1]), "moto", tls=True) as server:
    os.environ.update(server.env | {"SSL_CERT_FILE": str(server.ca_file)})
    boto3.client("redshift", endpoint_url=server.control_plane).create_cluster(
        ClusterIdentifier="c1", NodeType="ra3.xlplus", MasterUsername="awsuser",
        MasterUserPassword="Passw0rd1", DBName="dev", ClusterType="single-node",
    )
    with redshift_connector.connect(
        iam=True, cluster_identifier="c1", db_user="awsuser", database="dev",
        host=server.host, port=server.port, region=server.s3.region,
        access_key_id=server.s3.access_key, secret_access_key=server.s3.secret_key,
        endpoint_url=server.control_plane,
    ) as connection:
        cursor = connection.cursor()
        cursor.execute("select current_user")
        print(cursor.fetchall())
"""


def test_iam_gives_a_login(tmp_path):
    # In a process of its own: moto's state is one for all of a process.
    done = subprocess.run(
        [sys.executable, "-c", IAM_LOGIN, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip().endswith("(['awsuser'],)"), done.stderr


def test_tls_with_the_stand_ins_own_authority(tmp_path, monkeypatch):
    with standin(tmp_path, "rclone", tls=True) as server:
        login = {
            "host": server.host, "port": server.port, "user": server.user,
            "password": server.password, "database": server.database,
        }  # fmt: skip
        with pytest.raises(Exception, match=r"(?i)certificate|ssl"):
            redshift_connector.connect(**login)
        monkeypatch.setenv("SSL_CERT_FILE", str(server.ca_file))
        connection = redshift_connector.connect(**login)
        assert connection._usock.version().startswith("TLSv1")
        run(connection, "create table t (id bigint, name varchar(10))")
        run(connection, "insert into t select g, 'x' from generate_series(1, 50000) g")
        assert len(run(connection, "select * from t")) == 50_000
        connection.close()
        assert "ssl=false" not in server.url
        assert server.control_plane is None


def test_rclone_takes_many_small_files_at_once(tmp_path):
    from botocore.config import Config

    from ess_dask.testing.s3 import rclone_s3

    (tmp_path / "b").mkdir()
    with rclone_s3(tmp_path) as server:
        quick = Config(read_timeout=10, retries={"total_max_attempts": 1})
        client = server.client(quick)

        def work(number):
            keys = [f"{number}/{i}.csv" for i in range(60)]
            for key in keys:
                client.put_object(Bucket="b", Key=key, Body=b"1,a\n")
            found = client.list_objects_v2(Bucket="b", Prefix=f"{number}/")["Contents"]
            gone = client.delete_objects(
                Bucket="b", Delete={"Objects": [{"Key": item["Key"]} for item in found]}
            )
            return len(found), gone.get("Errors", [])

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(work, range(8))) == [(60, [])] * 8
        assert "Contents" not in client.list_objects_v2(Bucket="b")


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_program_prints_what_to_export_and_leaves_nothing(tmp_path, ending):
    program = subprocess.Popen(
        [sys.executable, "-m", "ess_dask.testing.redshift"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    try:
        words = {}
        while "ESS_WAREHOUSE" not in words:
            line = program.stdout.readline()
            assert line, program.stderr.read()
            name, _, value = line.removeprefix("export ").strip().partition("=")
            (words[name],) = shlex.split(value)
        url, _, query = words["ESS_WAREHOUSE"].partition("?")
        assert re.match(r"redshift\+redshift_connector://awsuser:\S+@127.0.0.1:\d+/dev$", url)
        assert "stage=s3://" in query
        assert "iam_role=arn:aws:iam::" in query
        assert words["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")
        engine = sa.create_engine(url + "?ssl=false")
        with engine.connect() as connection:
            assert connection.execute(sa.text("select 1")).scalar() == 1
        engine.dispose()
        program.send_signal(ending)
        assert program.wait(20) == 0
    finally:
        program.kill()
        program.communicate()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def open_folder():
    """Give a folder that every user can pass: pytest's own are closed to the server's."""
    with tempfile.TemporaryDirectory(prefix="ess-rs-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_folder_is_used_again(open_folder):
    with standin(open_folder, "rclone", keep=True) as server:
        server.query("create table kept (id int)")
        server.s3.client().put_object(Bucket=server.bucket, Key="stage/x", Body=b"1")
    with standin(open_folder, "rclone", keep=True) as server:
        assert server.query("select count(*) from kept") == [(0,)]
        found = server.s3.client().get_object(Bucket=server.bucket, Key="stage/x")
        assert found["Body"].read() == b"1"
        assert server.password not in repr(server)
