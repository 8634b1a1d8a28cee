"""The stand-in's slices: files side by side, pieces in order, nothing left behind."""

import threading
from contextlib import closing

import pytest

from ess_dask.testing.redshift.slices import SLICES, side_by_side


def slice_threads():
    return [t for t in threading.enumerate() if t.name.startswith("redshift-slice")]


def test_files_and_pieces_keep_their_order():
    with closing(side_by_side(range(20), lambda file: iter(range(file)))) as courses:
        assert [(file, list(pieces)) for file, pieces in courses] == [
            (file, list(range(file))) for file in range(20)
        ]
    assert not slice_threads()


def test_as_many_files_at_once_as_there_are_slices():
    meeting = threading.Barrier(SLICES)

    def pieces(file):
        meeting.wait(10)
        yield file

    with closing(side_by_side(range(SLICES), pieces)) as courses:
        assert [list(found) for _, found in courses] == [[n] for n in range(SLICES)]


def test_few_pieces_are_made_ahead_and_the_rest_is_not_made_when_nobody_wants_it():
    made = []

    def pieces(file):
        for number in range(1000):
            made.append((file, number))
            yield number

    with closing(side_by_side(range(3), pieces)) as courses:
        for _, found in courses:
            assert next(found) == 0
    assert not slice_threads()
    assert len(made) <= 3 * 5


def test_what_is_wrong_with_a_file_is_raised_where_it_is_taken():
    def pieces(file):
        yield file
        if file == 2:
            raise ValueError(file)

    taken = []
    with closing(side_by_side(range(9), pieces)) as courses, pytest.raises(ValueError, match="2"):
        for _, found in courses:
            taken += found
    assert taken == [0, 1, 2]
    assert not slice_threads()
