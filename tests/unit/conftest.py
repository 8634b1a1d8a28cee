"""Fixtures of the unit tests: the aq programs in this process, in a folder of their own."""

import io
import os
import sys
from dataclasses import dataclass

import pytest

from ess_dask.aq.programs import aq_cat, aq_cnt, aq_ord, aq_pp, aq_sess, loginf, objcnv
from ess_dask.aq.programs.common import run_main

PROGRAMS = {
    "aq_cat": aq_cat.aq_cat,
    "aq_cnt": aq_cnt.aq_cnt,
    "aq_ord": aq_ord.aq_ord,
    "aq_pp": aq_pp.aq_pp,
    "aq_sess": aq_sess.aq_sess,
    "loginf": loginf.loginf,
    "logcnv": objcnv.logcnv,
    "objcnv": objcnv.objcnv,
}


@dataclass(frozen=True)
class Ended:
    """How a program ended: exit code, bytes of the standard output, text of the error output."""

    code: int
    out: bytes
    err: str

    @property
    def lines(self):
        """The lines of the output, as text of bytes."""
        return self.out.decode("latin-1").splitlines()


class Aq:
    """Runs aq programs in the folder of a test."""

    def __init__(self, folder, capfdbinary):
        self.folder = folder
        self._capture = capfdbinary

    def write(self, name, data):
        """Write an input file; return its name."""
        path = self.folder / name
        path.write_bytes(data.encode("latin-1") if isinstance(data, str) else data)
        return str(path)

    def __call__(self, program, *arguments, stdin=b""):
        """Run ``program``; ``stdin`` is what it reads there."""
        words = [str(argument) for argument in arguments]
        self._capture.readouterr()
        old = os.dup(0)
        source = self.folder / ".stdin"
        source.write_bytes(stdin)
        handle = os.open(source, os.O_RDONLY)
        os.dup2(handle, 0)
        keep, sys.stdin = sys.stdin, io.TextIOWrapper(io.FileIO(0, closefd=False))
        try:
            code = run_main(program, PROGRAMS[program], words)
        finally:
            sys.stdin.detach()
            sys.stdin = keep
            os.dup2(old, 0)
            os.close(old)
            os.close(handle)
        out, err = self._capture.readouterr()
        return Ended(code, out, err.decode("latin-1"))

    def pp(self, *arguments, stdin=b""):
        """Run aq_pp."""
        return self("aq_pp", *arguments, stdin=stdin)

    def value(self, expression, kind="s", columns="s:s i:n", record=b"ab,5\n"):
        """Return the text of an expression over one record."""
        ended = self.pp(
            "-d",
            *columns.split(),
            "-eval",
            f"{kind}:x",
            expression,
            "-o,sep=\\x01,notitle",
            "-",
            "-c",
            "x",
            stdin=record,
        )
        assert ended.code == 0, ended.err
        return ended.out.decode("latin-1").removesuffix("\n")


@pytest.fixture
def aq(tmp_path, monkeypatch, capfdbinary):
    """The aq programs, in an empty folder, in UTC."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "UTC")
    return Aq(tmp_path, capfdbinary)
