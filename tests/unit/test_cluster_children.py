"""Children that must not outlive who started them."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from ess_dask.cluster.children import die_with_parent
from ess_dask.testing.clusters import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")

PARENT = textwrap.dedent(
    """
    import subprocess, sys
    from ess_dask.cluster.children import die_with_parent
    how = {"die": die_with_parent, "none": None}[sys.argv[1]]
    child = subprocess.Popen(["sleep", "60"], preexec_fn=how)
    print(child.pid, flush=True)
    child.wait()
    """
)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def family(how):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, how], stdout=subprocess.PIPE)
    with parent.stdout:
        child = int(parent.stdout.readline())
    return parent, child


def test_a_child_ends_when_its_parent_is_killed():
    parent, child = family("die")
    assert alive(child)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert wait_until(lambda: not alive(child))


def test_without_it_the_child_would_live_on():
    parent, child = family("none")
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    try:
        assert alive(child)
    finally:
        os.kill(child, signal.SIGKILL)


def test_it_does_not_disturb_a_normal_run():
    done = subprocess.run(
        ["sh", "-c", "echo fine"], preexec_fn=die_with_parent, capture_output=True, check=True
    )
    assert done.stdout == b"fine\n"
