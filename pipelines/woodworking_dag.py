"""The woodworking pipeline every night, as an Airflow DAG (2.10 to 3.x).

Copy it into Airflow's folder of DAGs. A connection ``ess_default`` of type ``ess`` names the
executable and the working folder, if ``ess`` is not on the worker's PATH.
"""

from datetime import UTC, datetime, timedelta

from airflow import DAG

from ess_dask.airflow import EssRunOperator, EssSensor

PIPELINE = "woodworking"

with DAG(
    "woodworking",
    schedule="15 3 * * *",
    start_date=datetime(2014, 9, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5)},
    doc_md=__doc__,
) as dag:
    arrived = EssSensor(
        task_id="arrived",
        pipeline=PIPELINE,
        minimum_files=1,
        poke_interval=300,
        timeout=6 * 3600,
        mode="reschedule",
    )
    # From the first day on: a late file for an old date is loaded too, nothing is loaded twice.
    load = EssRunOperator(task_id="load", pipeline=PIPELINE, date_from="*")
    arrived >> load
