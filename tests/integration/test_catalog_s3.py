"""S3 as it really answers: names, paging, versions, refusals, a dead endpoint."""

# ruff: noqa: DTZ001 - dates in names are naive

import json
import logging
import os
from datetime import datetime

import pytest

from ess_dask.catalog import s3_listing, s3_reader
from ess_dask.catalog.datastores import make_datastore
from ess_dask.catalog.listing import list_files, list_folder
from ess_dask.catalog.model import Category, Datastore, FileRef
from ess_dask.catalog.selection import select_files
from ess_dask.catalog.store import check_version, find_file, open_file, write_file
from ess_dask.errors import AccessError, ConfigError, ReadError, TransientError, UsageError
from ess_dask.testing.s3 import free_port, moto_s3, rclone_s3, require_authorization

LAKE = Datastore("lake", "s3://lake")
EVERYTHING = Category("all", ("*",))
# moto's routing does not take a key with a newline; rclone's server does (see below).
ODD_KEYS = [
    "a b.csv", "ü/é#1?.csv", "a//b.csv", "/lead.csv", "100%41.csv", "+plus.csv", "x&y=z.csv",
    "x?versionId=3.csv", "~tilde.csv", "'q\".csv", "$(id).csv", "日本.csv",
]  # fmt: skip


@pytest.fixture(scope="module")
def server():
    with moto_s3() as running:
        yield running


@pytest.fixture
def s3(server, monkeypatch, tmp_path):
    """Return a client of an empty bucket ``lake``; the process talks to this server only."""
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    client = server.client()
    client.create_bucket(Bucket="lake")
    yield client
    require_authorization(server, after=1_000_000)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="lake"):
        for entry in page.get("Contents", ()):
            client.delete_object(Bucket="lake", Key=entry["Key"])
    client.delete_bucket(Bucket="lake")


@pytest.fixture
def quick(monkeypatch):
    """Retry without waiting."""
    import stamina

    stamina.set_testing(True, attempts=3)
    yield
    stamina.set_testing(False)


def put(client, key, data=b"x"):
    client.put_object(Bucket="lake", Key=key, Body=data)


def only(store=LAKE):
    (file,) = select_files(store, EVERYTHING).files
    return file


@pytest.mark.parametrize("key", ODD_KEYS)
def test_any_key_is_listed_found_read_and_written(s3, key):
    put(s3, key, key.encode())
    file = only()
    assert file.uri == f"s3://lake/{key}"
    assert file.size == len(key.encode())
    with open_file(LAKE, file) as stream:
        assert stream.read() == key.encode()
    assert find_file(LAKE, file.uri) == file
    s3.delete_object(Bucket="lake", Key=key)
    with write_file(LAKE, f"/{key}") as stream:
        stream.write(b"written")
    assert only().uri == file.uri


def test_selection_by_date(s3):
    for day in (3, 1, 2):
        put(s3, f"raw/purchase_2014090{day}.csv", b"x" * day)
    put(s3, "raw/purchase_20150230.csv")
    put(s3, "raw/")
    category = Category("p", ("raw/purchase*",))
    selection = select_files(LAKE, category, "2014-09-02", "*")
    assert [(f.date, f.size) for f in selection.files] == [
        (datetime(2014, 9, 2), 2),
        (datetime(2014, 9, 3), 3),
    ]
    assert (selection.undated, selection.matched) == (1, 4)
    below = Datastore("deep", "s3://lake/raw")
    assert select_files(below, Category("p", ("purchase_201409*",))).matched == 3


@pytest.mark.parametrize("broad", [3, 200])
def test_folders_are_listed_side_by_side_without_loss_or_doubles(s3, monkeypatch, broad):
    monkeypatch.setattr(s3_listing, "_MANY_FOLDERS", broad)
    monkeypatch.setattr(s3_listing, "PARALLEL", 4)
    keys = {f"{a}/{b}/{c}.csv" for a in "abcdef" for b in "xy" for c in "12"} | {"top.csv"}
    for key in keys:
        put(s3, key)
    listed = sorted(f.uri.removeprefix("s3://lake/") for f in list_files(LAKE, EVERYTHING))
    assert listed == sorted(keys)
    kept = list_files(LAKE, EVERYTHING, ("s3://lake/a/*",))
    assert len(list(kept)) == 21


def test_a_folder_lists_its_files_and_folders(s3):
    for key in ("top.csv", "a/1.csv", "a/b/2.csv"):
        put(s3, key)

    def below(folder, **deep):
        return sorted(f.uri.removeprefix("s3://lake/") for f in list_folder(LAKE, folder, **deep))

    assert below("") == ["a/", "top.csv"]
    assert below("a") == ["a/1.csv", "a/b/"]
    assert below("a", deep=True) == ["a/1.csv", "a/b/2.csv"]


def test_a_listing_is_never_remembered(s3):
    put(s3, "a.csv")
    assert select_files(LAKE, EVERYTHING).matched == 1
    put(s3, "b.csv")
    assert select_files(LAKE, EVERYTHING).matched == 2


def test_a_big_object_is_read_in_blocks_and_can_be_sought_in(s3, monkeypatch):
    monkeypatch.setattr(s3_reader, "BLOCK", 1000)
    data = os.urandom(10_500)
    put(s3, "big", data)
    with open_file(LAKE, only()) as stream:
        assert b"".join(iter(lambda: stream.read(333), b"")) == data
        assert stream.read(1) == b""
        stream.seek(4_321)
        assert stream.read(10) == data[4_321:4_331]
        stream.seek(-5, os.SEEK_END)
        assert stream.read() == data[-5:]
        stream.seek(20_000)
        assert stream.read(5) == b""
        with pytest.raises(ValueError, match="negative"):
            stream.seek(-1)


def test_an_empty_object(s3):
    put(s3, "empty", b"")
    file = only()
    with open_file(LAKE, file) as stream:
        assert stream.read() == b""
    s3.delete_object(Bucket="lake", Key="empty")
    with pytest.raises(ReadError, match="vanished"):
        open_file(LAKE, file)


def test_a_replaced_object_is_not_read(s3):
    put(s3, "a", b"old")
    file = only()
    put(s3, "a", b"new")
    with pytest.raises(ReadError, match=r"s3://lake/a was replaced after it was listed"):
        open_file(LAKE, file)


def test_an_object_replaced_while_it_is_read_is_an_error_not_a_mixture(s3, monkeypatch):
    monkeypatch.setattr(s3_reader, "BLOCK", 1000)
    put(s3, "a", b"1" * 5000)
    with open_file(LAKE, only()) as stream:
        stream.read(10)
        put(s3, "a", b"2" * 5000)
        with pytest.raises(ReadError, match="replaced"):
            while stream.read(1000):
                pass


def test_a_deleted_object(s3):
    put(s3, "a")
    file = only()
    s3.delete_object(Bucket="lake", Key="a")
    with pytest.raises(ReadError, match="vanished"):
        open_file(LAKE, file)
    check_version(LAKE, file)
    with pytest.raises(ReadError, match="no file"):
        find_file(LAKE, "a")


def test_an_archived_object(s3):
    s3.put_object(Bucket="lake", Key="a", Body=b"x", StorageClass="GLACIER")
    with pytest.raises(ReadError, match="Glacier"):
        open_file(LAKE, only())


def test_a_bucket_that_does_not_exist(s3):
    with pytest.raises(AccessError, match="bucket nosuch does not exist") as caught:
        select_files(Datastore("n", "s3://nosuch"), EVERYTHING)
    assert caught.value.exit_code == 3


def test_a_pattern_without_a_bucket(s3):
    with pytest.raises(UsageError, match="names no bucket"):
        select_files(LAKE, Category("c", ("s3://*/x",)))


def user_without(s3, server, action):
    """Return keys of a user who may do everything but one action."""
    import botocore.session

    iam = botocore.session.Session().create_client(
        "iam", region_name="us-east-1", endpoint_url=server.endpoint,
        aws_access_key_id=server.access_key, aws_secret_access_key=server.secret_key,
    )  # fmt: skip
    name = f"user-{action.replace(':', '-')}"
    iam.create_user(UserName=name)
    statements = [
        {"Effect": "Allow", "Action": "s3:*", "Resource": "*"},
        {"Effect": "Deny", "Action": action, "Resource": "*"},
    ]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy)
    return iam.create_access_key(UserName=name)["AccessKey"]


@pytest.mark.parametrize("action", ["s3:ListBucket", "s3:GetObject"])
def test_a_denied_action_is_named_with_the_bucket(s3, server, monkeypatch, action):
    put(s3, "a")
    file = only()
    key = user_without(s3, server, action)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    require_authorization(server)
    other = Datastore("other", "s3://lake", region="us-east-1", credentials="env")
    with pytest.raises(AccessError, match=f"{action} on bucket lake") as caught:
        select_files(other, EVERYTHING) if action == "s3:ListBucket" else open_file(other, file)
    assert caught.value.exit_code == 3


def test_unknown_keys_are_refused(s3, server, tmp_path):
    file = credentials_file(tmp_path, "AKIAUNKNOWN000000000", "canary-secret")
    require_authorization(server)
    store = make_datastore("s3://lake", credentials=str(file))
    with pytest.raises(AccessError, match="credentials were refused") as caught:
        select_files(store, EVERYTHING)
    assert "canary-secret" not in f"{caught.value}{caught.value!r}{caught.value.__dict__}"


def credentials_file(folder, access, secret):
    path = folder / "keys.csv"
    path.write_text(f"User Name,Access Key Id,Secret Access Key\nme,{access},{secret}\n")
    return path


def test_a_credentials_file_is_a_reference_read_at_each_use(s3, server, monkeypatch, tmp_path):
    put(s3, "a")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    path = credentials_file(tmp_path, server.access_key, server.secret_key)
    store = make_datastore("s3://lake", credentials=str(path))
    assert server.secret_key not in repr(store)
    assert store.credentials == f"file:{path}"
    assert only(store).uri == "s3://lake/a"
    path.unlink()
    with pytest.raises(ConfigError, match=r"keys\.csv"):
        only(store)


def test_a_profile(s3, server, monkeypatch, tmp_path):
    put(s3, "a")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    shared = tmp_path / "credentials"
    shared.write_text(
        f"[me]\naws_access_key_id={server.access_key}\naws_secret_access_key={server.secret_key}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    assert only(make_datastore("s3://lake", profile="me")).uri == "s3://lake/a"
    with pytest.raises(AccessError, match="nobody"):
        only(make_datastore("s3://lake", profile="nobody"))


def test_no_credentials_at_all(s3, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(AccessError, match="no credentials were found"):
        only(make_datastore("s3://lake", region="eu-central-1"))
    keys = Datastore("lake", "s3://lake", credentials="env")
    with pytest.raises(AccessError, match="are not stored"):
        only(keys)


def test_a_dead_endpoint_is_retried_then_told_with_its_address(monkeypatch, quick, server, caplog):
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    address = f"http://127.0.0.1:{free_port()}"
    store = Datastore("lake", "s3://lake", endpoint=address)
    with caplog.at_level(logging.WARNING), pytest.raises(TransientError) as caught:
        select_files(store, EVERYTHING)
    assert address in caught.value.message
    assert caught.value.exit_code == 1
    assert sum("trying again" in record.message for record in caplog.records) == 2


@pytest.mark.parametrize("address", ["http://127.0.0.1:nothing", "ftp://127.0.0.1", "nowhere"])
def test_an_endpoint_that_is_none_is_a_usage_error(monkeypatch, server, address):
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="s3://lake/: "):
        select_files(Datastore("lake", "s3://lake", endpoint=address), EVERYTHING)


def test_a_password_in_the_endpoint_is_not_shown(monkeypatch, quick, server, caplog):
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    address = f"http://me:canary-secret@127.0.0.1:{free_port()}"
    with caplog.at_level(logging.WARNING), pytest.raises(TransientError) as caught:
        select_files(Datastore("lake", "s3://lake", endpoint=address), EVERYTHING)
    assert "127.0.0.1" in caught.value.message
    assert "canary-secret" not in caught.value.message + caplog.text


def test_a_sign_in_that_has_expired_is_told(s3, monkeypatch):
    from botocore.exceptions import UnauthorizedSSOTokenError

    def expired(*_, **__):
        raise UnauthorizedSSOTokenError

    monkeypatch.setattr("s3fs.S3FileSystem.call_s3", expired)
    with pytest.raises(AccessError, match="SSO session"):
        select_files(LAKE, EVERYTHING)


def test_a_broken_answer_is_fetched_again(s3, quick, monkeypatch):
    put(s3, "a", b"whole")
    file = only()
    whole, calls = s3_reader._fetch, []

    async def breaking(*arguments):
        calls.append(arguments)
        if len(calls) < 3:
            raise ConnectionResetError("reset in mid-body")
        return await whole(*arguments)

    monkeypatch.setattr(s3_reader, "_fetch", breaking)
    with open_file(LAKE, file) as stream:
        assert stream.read() == b"whole"
    assert len(calls) == 3


def test_an_answer_of_another_length_is_no_answer(s3, quick):
    put(s3, "a", b"12345")
    file = only()
    longer = FileRef(file.uri, None, 9, file.etag)
    with pytest.raises(TransientError, match="5 of 9 bytes"):
        open_file(LAKE, longer)


def test_write_is_whole(s3):
    with write_file(LAKE, "/out/a b.gz") as target:
        target.write(b"rows" * 10)
        assert "Contents" not in s3.list_objects_v2(Bucket="lake")
    assert only().uri == "s3://lake/out/a b.gz"
    with open_file(LAKE, only()) as stream:
        assert stream.read() == b"rows" * 10


def test_writing_below_the_stores_root_and_nothing_at_all(s3):
    with write_file(Datastore("deep", "s3://lake/conv"), "x.csv"):
        pass
    assert only().uri == "s3://lake/conv/x.csv"
    assert only().size == 0


def test_a_write_that_fails_leaves_nothing(s3):
    with pytest.raises(ZeroDivisionError), write_file(LAKE, "half") as target:
        target.write(b"half")
        raise ZeroDivisionError
    assert "Contents" not in s3.list_objects_v2(Bucket="lake")
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="lake")


def test_a_write_into_no_bucket(s3):
    with (
        pytest.raises(AccessError, match="bucket nosuch does not exist"),
        write_file(Datastore("n", "s3://nosuch"), "x") as target,
    ):
        target.write(b"x")


@pytest.mark.slow
def test_more_than_one_page(tmp_path, monkeypatch):
    names = {f"{i:04}_2014090{i % 9 + 1}.csv" for i in range(2500)}
    (tmp_path / "lake" / "many").mkdir(parents=True)
    for name in names:
        (tmp_path / "lake" / "many" / name).write_bytes(b"x")
    with rclone_s3(tmp_path) as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        listed = [f.uri.rpartition("/")[2] for f in list_files(LAKE, EVERYTHING)]
        assert len(listed) == len(names)
        assert set(listed) == names
        assert len(select_files(LAKE, EVERYTHING, "2014-09-01", "2014-09-01").files) == 278


def test_the_other_server_has_folders_behind_it(tmp_path, monkeypatch):
    (tmp_path / "lake" / "deep").mkdir(parents=True)
    (tmp_path / "lake" / "deep" / "x_20140901.csv").write_bytes(b"one")
    big = os.urandom(3_000_000)
    (tmp_path / "lake" / "big_20140902.bin").write_bytes(big)
    monkeypatch.setattr(s3_reader, "BLOCK", 1 << 20)
    with rclone_s3(tmp_path) as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        files = select_files(LAKE, EVERYTHING, "2014-09-01", "2014-09-02").files
        assert [f.uri for f in files] == [
            "s3://lake/deep/x_20140901.csv",
            "s3://lake/big_20140902.bin",
        ]
        with open_file(LAKE, files[1]) as stream:
            assert b"".join(iter(lambda: stream.read(1 << 16), b"")) == big
        (tmp_path / "lake" / "deep" / "x_20140901.csv").write_bytes(b"two")
        with pytest.raises(ReadError, match="replaced"):
            open_file(LAKE, files[0])
