"""Cancelling reaches the work of one owner, or of all, and nothing that has ended."""

import threading

from ess_dask.clean.running import Running


def test_only_the_owners_work_is_stopped():
    running, stopped = Running(), []
    with running.owned_by("one"), running.registered(lambda: stopped.append("one")):
        with running.owned_by("two"), running.registered(lambda: stopped.append("two")):
            assert running.cancel_all("two") == 1
            assert running.cancel_all("three") == 0
            assert stopped == ["two"]
            assert running.cancel_all() == 2
        assert running.cancel_all("two") == 0
    assert stopped == ["two", "one", "two"]
    assert len(running) == 0


def test_what_is_owned_is_a_matter_of_the_thread():
    running, stopped = Running(), []
    ready, done = threading.Event(), threading.Event()

    def work():
        with running.registered(lambda: stopped.append("other")):
            ready.set()
            done.wait(10)

    other = threading.Thread(target=work)
    with running.owned_by("one"):
        other.start()
        ready.wait(10)
        assert running.cancel_all("one") == 0
    done.set()
    other.join()
    assert stopped == []


def test_what_a_cancelled_task_still_begins_is_stopped_and_its_second_try_is_not():
    running, stopped = Running(), []
    running.cancel_task("a")
    with running.for_task("a"), running.registered(lambda: stopped.append("early")):
        pass
    with running.for_task("a"), running.registered(lambda: stopped.append("again")):
        pass
    with running.for_task("b"):
        with running.registered(lambda: stopped.append("first")):
            assert running.cancel_task("b") == 1
        with running.registered(lambda: stopped.append("second")):
            pass
    assert stopped == ["early", "first", "second"]
