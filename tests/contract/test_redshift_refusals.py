"""What PostgreSQL would take and Redshift does not: the stand-in refuses it, as a cluster does."""

import pytest
import redshift_connector

from tests.redshift import one, refused, run

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("word", ["raw", "tag", "snapshot", "percent", "new", "system"])
def test_a_reserved_word_is_no_name_of_a_column(client, con, word):
    assert refused(con, f"create table t_reserved (id int, {word} int)")["C"] == "42601"
    table = client.table("id int", con)
    assert refused(con, f"alter table {table} add column {word} int")["C"] == "42601"
    run(con, f'alter table {table} add column "{word}" int')


def test_a_reserved_word_is_no_name_in_a_query(client, con):
    table = client.table('id int encode raw, "raw" varbyte', con)
    assert refused(con, f"select raw from {table}")["C"] == "42601"
    assert run(con, f'select r.raw, "raw", id as raw from {table} r') == []


def test_a_text_among_selected_columns_needs_a_type(client, con):
    table = client.table("id int, name varchar(10)", con)
    run(con, f"insert into {table} values (%s, %s), (%s, %s)", 1, "a", 2, None)
    for sql in ("select id, %s from {0}", "insert into {0} select id, %s from {0}"):
        with pytest.raises(redshift_connector.ProgrammingError, match="Invalid type: 705"):
            run(con, sql.format(table), "x")
        con.rollback()
        run(con, f"insert into {table} values (%s, %s)", 1, "a")
    run(con, f"insert into {table} select id, cast(%s as varchar(10)) from {table}", "x")
    assert one(con, f"select count(*) from {table} where name = 'x'") == 1
    run(con, f"insert into {table} select %s, name from {table}", 5)


def test_a_table_from_a_query_takes_no_values(client, con):
    table = client.table("id int", con)
    with pytest.raises(redshift_connector.ProgrammingError, match="no parameter"):
        run(con, f"create temporary table taken as select id from {table} where id = %s", 1)
    con.rollback()


def test_digits_of_a_binary_have_to_fit_into_a_text(client, con):
    table = client.table("b varbyte(40000)", con)
    run(con, f"insert into {table} select to_varbyte(repeat('a', 32768), 'utf8')")
    assert refused(con, f"select to_hex(b) from {table}")
    run(con, f"insert into {table} select to_varbyte(repeat('a', 32768), 'utf8')")
    assert one(con, f"select to_hex(substring(b, 32001, 32000)) from {table}") == "61" * 768


def test_an_unload_takes_no_limit_outside_of_parentheses(client, con):
    def sql(query):
        return f"unload ('{query}') to '{client.prefix}/{len(query)}/' iam_role default parquet"

    said = refused(con, sql("select 1 as a limit 1"))
    assert (said["M"], said["C"]) == ("Limit clause is not supported", "0A000")
    run(con, sql("select * from (select 1 as a limit 1) as q where 2 = 2"))
