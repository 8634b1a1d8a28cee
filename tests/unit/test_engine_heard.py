"""What a step says in a batch comes back with it: bounded, with its file, and nowhere twice."""

import logging
import pickle
import threading
from contextlib import contextmanager

from ess_dask.engine.heard import LIMIT, TEXT_LIMIT, OwnHandler, about, hearing

LOG = logging.getLogger("shop.cleaning")


@contextmanager
def bare_root():
    """Give a root logger as a program has it that configures nothing (pytest puts its own on)."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    root.setLevel(logging.WARNING)
    yield root
    assert root.handlers == []
    assert root.level == logging.WARNING
    root.handlers[:] = handlers
    root.setLevel(level)


def test_records_come_with_level_time_and_file():
    with bare_root():
        with hearing(logging.INFO) as ear:
            about("/lake/a.csv")
            LOG.info("%d rows", 7)
            LOG.debug("too quiet")
            about("")
            LOG.error("of many files")
            LOG.warning("of one", extra={"file": "/lake/b.csv"})
        said = [(each.level, each.name, each.text, each.file) for each in ear.said]
        assert said == [
            (logging.INFO, "shop.cleaning", "7 rows", "/lake/a.csv"),
            (logging.ERROR, "shop.cleaning", "of many files", ""),
            (logging.WARNING, "shop.cleaning", "of one", "/lake/b.csv"),
        ]
        assert ear.said == pickle.loads(pickle.dumps(ear.said))
        LOG.error("afterwards")
        assert len(ear.said) == 3


def test_a_chatty_step_is_bounded_and_what_is_left_out_is_counted():
    with bare_root():
        with hearing(logging.INFO) as ear:
            for number in range(LIMIT + 1000):
                LOG.info("row %s %s", number, "x" * 10_000)
        assert (len(ear.said), ear.left_out) == (LIMIT, 1000)
        assert {len(each.text) for each in ear.said} == {TEXT_LIMIT}


def test_batches_of_two_threads_are_not_mixed():
    with bare_root():
        inside, heard = threading.Barrier(2), {}

        def work(name):
            with hearing(logging.INFO) as ear:
                inside.wait(5)
                LOG.info(name)
                inside.wait(5)
            heard[name] = [each.text for each in ear.said]

        threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
        assert heard == {"a": ["a"], "b": ["b"]}


def test_a_users_own_handlers_get_no_more_than_they_asked_for():
    with bare_root() as root:
        shown = []

        class Theirs(logging.Handler):
            def emit(self, record):
                shown.append(record.getMessage())

        class Ours(OwnHandler):
            def emit(self, record):
                shown.append(f"ours: {record.getMessage()}")

        theirs, ours = Theirs(), Ours()
        root.addHandler(theirs)
        root.addHandler(ours)
        with hearing(logging.INFO) as ear:
            LOG.info("quiet")
            LOG.warning("loud")
        LOG.warning("outside")
        root.removeHandler(theirs)
        root.removeHandler(ours)
        assert [each.text for each in ear.said] == ["loud"]
        assert shown == ["loud", "outside", "ours: outside"]


def test_libraries_that_talk_about_themselves_are_heard_from_a_warning_on():
    with bare_root():
        with hearing(logging.DEBUG) as ear:
            logging.getLogger("botocore.auth").debug("the headers")
            logging.getLogger("botocore.auth").warning("denied")
        assert [each.text for each in ear.said] == ["denied"]


def test_a_record_that_does_not_fit_its_arguments_is_no_error():
    with bare_root():
        with hearing(logging.INFO) as ear:
            LOG.warning("%d rows", "many")
            try:
                raise ValueError("no date")
            except ValueError:
                LOG.exception("row %d", 3)
        assert [each.text for each in ear.said] == ["%d rows", "row 3 (ValueError: no date)"]


def test_nothing_is_collected_unless_asked_for():
    with bare_root() as root:
        with hearing(0) as ear:
            assert root.handlers == []
            LOG.debug("to nobody")
        assert ear.said == []
