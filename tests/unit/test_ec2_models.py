"""Models of AWS in short: they hold what is called, and follow botocore's and the user's own."""

import ast
import json
import os
from pathlib import Path

import botocore
import botocore.session
import pytest
from botocore.exceptions import ProfileNotFound
from botocore.loaders import JSONFileLoader, Loader
from botocore.model import ServiceModel

import ess_dask.cluster.ec2 as room
from ess_dask.cluster.ec2 import aws, models


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ESS_CACHE_DIR", str(tmp_path))
    return tmp_path / "aws"


@pytest.fixture(scope="module")
def whole():
    return Loader().load_service_model("ec2", "service-2")


@pytest.fixture
def read(monkeypatch):
    """Give the names of botocore's own files that are read."""
    found = []
    load = JSONFileLoader.load_file

    def noting(self, path):
        found.append(Path(path).name)
        return load(self, path)

    monkeypatch.setattr(JSONFileLoader, "load_file", noting)
    return found


def short(data_path=None):
    return models.loader(data_path).load_service_model("ec2", "service-2")


def test_all_that_is_called_is_in_the_short_model(home, whole):
    methods = {botocore.xform_name(name) for name in whole["operations"]}
    texts = [path.read_text() for path in Path(room.__file__).parent.glob("*.py")]
    nodes = [node for text in texts for node in ast.walk(ast.parse(text))]
    called = methods & {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    assert called == {botocore.xform_name(name) for name in short()["operations"]}


def test_an_operation_is_what_it_is_in_the_whole_model(home, whole):
    ours, theirs = (ServiceModel(each, "ec2") for each in (short(), whole))
    for name in models.OPERATIONS:
        for side in ("input_shape", "output_shape"):
            one, other = (getattr(each.operation_model(name), side) for each in (ours, theirs))
            assert shape(one) == shape(other), name
    assert ours.metadata == theirs.metadata


def shape(found, seen=()):
    if found is None or found.name in seen:
        return found and found.name
    seen = (*seen, found.name)
    about = [found.name, found.type_name, found.serialization, getattr(found, "enum", None)]
    if found.type_name == "structure":
        about += [found.required_members, {k: shape(v, seen) for k, v in found.members.items()}]
    return [*about, shape(found.member, seen)] if found.type_name == "list" else about


def test_the_second_command_reads_what_the_first_one_kept(home, read):
    first = short()
    assert "service-2" in read
    read.clear()
    assert short() == first
    assert "service-2" not in read


@pytest.mark.parametrize("spoilt", ["", "{", "[]", '{"of": 1, "model": {}}'])
def test_what_is_kept_is_made_again_when_it_is_spoilt_or_of_another_botocore(home, read, spoilt):
    first = short()
    (home / "ec2.json").write_text(spoilt)
    assert short() == first
    assert json.loads((home / "ec2.json").read_text())["model"] == first


def test_a_folder_that_cannot_be_written_does_not_matter(home):
    home.write_text("no folder")
    assert short()["operations"]


def test_a_model_of_the_user_counts_as_it_is(home, tmp_path):
    own = tmp_path / "models" / "ec2" / "2030-01-01"
    own.mkdir(parents=True)
    (own / "service-2.json").write_text('{"operations": {"New": {}}}')
    path = os.pathsep.join(["/not/there", str(tmp_path / "models")])
    assert short(path) == {"operations": {"New": {}}}


def test_endpoints_are_those_of_botocore_in_every_partition(home):
    def resolver(loader):
        session = botocore.session.Session()
        session.register_component("data_loader", loader)
        return session._get_internal_component("endpoint_resolver")

    ours, theirs = resolver(models.loader(None)), resolver(Loader())
    regions = [
        (partition, region, service)
        for partition in theirs.get_available_partitions()
        for service in models.SERVICES
        for region in theirs.get_available_endpoints(service, partition)
    ]
    assert len(regions) > 100
    for _, region, service in regions:
        one, other = (each.construct_endpoint(service, region) for each in (ours, theirs))
        assert one == other


def test_a_profile_that_is_not_there_is_told_by_what_needs_it(home, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    aws._session.cache_clear()
    try:
        session = aws._session()
    finally:
        aws._session.cache_clear()
    with pytest.raises(ProfileNotFound):
        session.create_client("ec2", region_name="us-east-1")
