"""The provider as Airflow sees it: found, light, with a connection that can be tested."""

import json
import subprocess
import sys

import pytest

from tests.airflow.shop import PASSWORD, connect

pytestmark = pytest.mark.slow

HEAVY = ["boto3", "dask", "distributed", "duckdb", "numpy", "pandas", "polars", "pyarrow", "s3fs"]


def imported(code):
    """Return the modules that are there after some code."""
    code += "\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=100
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_the_room_itself_imports_neither_airflow_nor_the_engine():
    modules = imported("import ess_dask.airflow; ess_dask.airflow.get_provider_info()")
    assert [each for each in [*HEAVY, "airflow"] if each in modules] == []


def test_its_operators_import_nothing_of_the_engine():
    modules = imported("from ess_dask.airflow import *")
    assert [each for each in HEAVY if each in modules] == []
    rooms = {each.split(".")[1] for each in modules if each.startswith("ess_dask.")}
    assert rooms == {"_version", "airflow"}


def test_airflow_finds_the_provider(airflow):
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    assert "ess-dask" in manager.providers
    hook = manager.hooks["ess"]
    assert (hook.hook_name, hook.connection_id_attribute_name) == ("ess-dask", "ess_conn_id")
    assert "ess_dask.airflow.links.EssReportLink" in manager.extra_links_class_names
    fields = {name for name in manager.connection_form_widgets if name.startswith("extra__ess__")}
    assert {name.removeprefix("extra__ess__") for name in fields} == {
        "executable", "folder", "cache_dir", "profile", "environment", "aws_conn_id", "report_url",
    }  # fmt: skip
    behaviour = manager.field_behaviours["ess"]
    assert "host" in json.dumps(behaviour)


def try_connection(monkeypatch, extra, name="tested"):
    from ess_dask.airflow import EssHook

    connect(monkeypatch, name, extra)
    return EssHook(name).test_connection()


def test_a_connection_can_be_tested(airflow, shop, monkeypatch):
    works, said = try_connection(monkeypatch, shop.extra())
    assert works, said
    assert "Essentia : 0.1.0" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"executable": "/nowhere/ess"}, "/nowhere/ess"),
        ({"folder": "/dev/null/nowhere"}, "/dev/null/nowhere"),
        ({"profile": "nobody"}, "nobody"),
        ({"executabel": "ess"}, "unknown field 'executabel'"),
        ({"environment": "TZ=UTC"}, "no JSON object"),
    ],
)
def test_a_wrong_connection_says_what_is_wrong(airflow, shop, monkeypatch, change, said):
    works, answer = try_connection(monkeypatch, shop.extra(**change))
    assert not works
    assert said in answer
    assert PASSWORD not in answer


def test_the_default_connection_need_not_exist(airflow):
    from ess_dask.airflow import EssHook

    setup = EssHook().get_conn()
    assert (setup.executable, setup.folder) == ("ess", "")


def test_a_setup_shows_no_secret(airflow, monkeypatch):
    from ess_dask.airflow import EssHook

    connect(monkeypatch, "shown", {"environment": '{"A": "b"}'})
    setup = EssHook("shown").get_conn()
    assert setup.secrets == {"ESS_REDSHIFT_PASSWORD": PASSWORD}
    assert setup.variables == {"A": "b"}
    assert PASSWORD not in repr(setup)


def test_the_link_leads_to_the_report():
    from ess_dask.airflow.links import report_url

    assert report_url("https://x/{run_id}.html", "r1") == "https://x/r1.html"
    assert report_url("", "r1") == report_url("https://x/{run_id}", "") == ""
