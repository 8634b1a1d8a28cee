"""An IPython shell in a process of its own, whose cells are typed from outside."""

import json
import signal
import subprocess
import sys
import threading
import time

SERVER = """
import io, json, sys
from contextlib import redirect_stdout, redirect_stderr
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.completer import provisionalcompleter

shell = InteractiveShell.instance()
shell.colors = "nocolor"
for line in sys.stdin:
    order = json.loads(line)
    out, err = io.StringIO(), io.StringIO()
    answer = {}
    with redirect_stdout(out), redirect_stderr(err):
        if "complete" in order:
            text = order["complete"]
            with provisionalcompleter():
                found = [each.text for each in shell.Completer.completions(text, len(text))]
            answer["found"] = found
        else:
            done = shell.run_cell(order["cell"], store_history=True)
            error = done.error_in_exec or done.error_before_exec
            value = done.result
            answer["error"] = type(error).__name__ if error else ""
            answer["kind"] = "" if value is None else type(value).__module__.partition(".")[0]
            answer["html"] = value._repr_html_() if hasattr(value, "_repr_html_") else ""
    answer |= {"out": out.getvalue(), "err": err.getvalue()}
    print(json.dumps(answer), file=sys.__stdout__, flush=True)
"""


class Shell:
    """Types cells. Each answer has ``out``, ``err``, ``error`` (the name of a type), ``kind`` (the
    package of the value) and ``html``."""

    def __init__(self, user):
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            cwd=user.folder,
            env=user.env | {"MPLBACKEND": "Agg", "IPYTHONDIR": str(user.home / ".ipython")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, cell):
        """Run a cell; return what came of it."""
        return self._ask({"cell": cell})

    def interrupt(self, cell, begun, presses=2):
        """Run a cell; press Ctrl-C so often, the first time once ``begun()``; return what came."""
        person = threading.Thread(target=self._press, args=(begun, presses))
        person.start()
        try:
            return self(cell)
        finally:
            person.join()

    def _press(self, begun, presses):
        until = time.monotonic() + 30
        while not begun() and time.monotonic() < until:
            time.sleep(0.02)
        for _ in range(presses):
            self._process.send_signal(signal.SIGINT)
            time.sleep(0.5)

    def complete(self, text):
        """Return what the Tab key offers at the end of a cell."""
        return self._ask({"complete": text})["found"]

    def _ask(self, order):
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the shell ended at {order}"
        return json.loads(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=10)
