"""After a command: no process, no temporary folder, no socket; after the cluster's end as well."""

import pytest

COMMANDS = [
    ["select", "local"],
    ["category", "add", "purchase", "{lake}/purchase_*.gz"],
    ["ls"],
    ["summary"],
    ["stream", "purchase", "*", "2014-09-03", "wc -l"],
    ["stream", "purchase", "*", "2014-09-03", "exit 3"],
    ["exec", "echo done"],
    ["plan", "shop.yaml"],
    ["preview", "shop.yaml", "--limit", "3"],
    ["run", "shop.yaml"],
    ["run", "nosuch.yaml"],
    ["udbd", "status"],
]


@pytest.mark.slow
def test_a_command_leaves_nothing_behind(shop):
    shop.write()
    for command in COMMANDS:
        done = shop.user.ess(*(word.format(lake=shop.lake) for word in command), code=None)
        wanted = 3 if "exit 3" in command else 2 if "nosuch.yaml" in command else 0
        assert done.returncode == wanted, (command, done.stderr)
        shop.check_nothing_left()


@pytest.mark.slow
def test_a_stopped_cluster_leaves_nothing_behind(shop):
    shop.write(memory="memory: {table: wood.sales, key: userID}")
    shop.run()
    assert shop.processes()
    shop.user.ess("udbd", "stop")
    shop.check_nothing_left()
    scratch = shop.state / "daemon" / "scratch"
    # Dask leaves empty lock files; nothing that was spilled may be left.
    assert not [path for path in scratch.rglob("*") if path.is_file() and path.stat().st_size]
