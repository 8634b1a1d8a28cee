"""The blocks of a Markdown page, and a reader who types them one after the other.

``sh`` and ``python`` blocks are run, and ``ipython`` ones, each a cell. A ``text`` block right
behind one is what it prints: ``...`` stands for anything, and what changes from run to run (times,
run ids, the home folder) is not compared. A block whose first line is ``# name.ext`` alone is the
content of that file. ``no-run`` in the info string marks a block that is only shown.
"""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.ipython import Shell

FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE_TITLE = re.compile(r"# ([\w./-]+\.\w+)\n")
HOME = "/home/ada"
"""The home folder that pages show."""

CHANGING = [
    (r"\d{8}T\d{6}-[0-9a-f]{8}", "RUN"),
    (r"digest [0-9a-f]{12}", "digest X"),
    (r"\b[\d,]+ rows/s", "N rows/s"),
    (r"\b\d+(\.\d+)? ?s\b", "N s"),
    (r"\bpid \d+", "pid N"),
    (r"\d+ threads", "N threads"),
    (r"[ \t]+$", ""),
]

# The reader's Python: one session for the page, the value of a last expression is shown.
SESSION = """
import ast, json, sys
names = {"__name__": "__main__"}
for line in sys.stdin:
    tree = ast.parse(json.loads(line))
    last = tree.body.pop().value if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<page>", "exec"), names)
    if last is not None:
        value = eval(compile(ast.Expression(last), "<page>", "eval"), names)
        if value is not None:
            print(value)
    print("\\0", flush=True)
"""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page. ``shown`` is the output the page shows for it, None for none."""

    page: str
    line: int
    language: str
    marks: str
    text: str
    shown: str | None = None

    @property
    def is_run(self):
        return self.language in ("sh", "python", "ipython") and "no-run" not in self.marks

    @property
    def file(self):
        """The name of the file whose content the block is, '' for none."""
        title = FILE_TITLE.match(self.text)
        return title[1] if title else ""


def read_blocks(path):
    """Return the blocks of a page; the output behind a block is put into it."""
    page = path.read_text(encoding="utf-8")
    blocks, end = [], None
    for fence in FENCE.finditer(page):
        language, marks, text = fence.groups()
        if language == "text" and end is not None and not page[end : fence.start()].strip():
            before = blocks.pop()
            blocks.append(Block(**{**vars(before), "shown": text}))
        else:
            line = page.count("\n", 0, fence.start()) + 1
            blocks.append(Block(path.name, line, language, marks.strip(), text))
        end = fence.end()
    return blocks


class Reader:
    """A person who follows a page in a shell and in Python; folder and exports last.

    With ``cloud``, a stand-in for EC2, the commands of the shell are typed inside of its network.
    """

    def __init__(self, user, cloud=None):
        self._user = user
        self._cloud = cloud
        self._patience = 300 if cloud else 100
        self._state = user.home / "shell"
        self._state.write_text("")
        self._python = None
        self._notebook = None

    def follow(self, block):
        """Do what a block says and compare what it prints."""
        if block.file:
            target = self._user.folder / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text)
            return
        ways = {"sh": self._type, "python": self._evaluate, "ipython": self._cell}
        printed = ways[block.language](block.text)
        where = f"{block.page}:{block.line}"
        assert "Traceback" not in printed, f"{where}\n{printed}"
        if block.shown is not None:
            got = usual(printed, self._user.home)
            assert matches(usual(block.shown, HOME), got), f"{where} printed\n{got}"

    def _type(self, commands):
        script = (
            f"""set -eo pipefail\n. "{self._state}"\n{commands}\nexport -p > "{self._state}"\n"""
        )
        run = self._cloud.run if self._cloud else subprocess.run
        done = run(
            ["bash", "-c", script],
            cwd=self._user.folder,
            env=self._user.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=self._patience,
            text=True,
        )
        assert done.returncode == 0, f"{commands}\nended with {done.returncode}\n{done.stdout}"
        return done.stdout

    def _evaluate(self, code):
        if self._python is None:
            self._python = subprocess.Popen(
                [sys.executable, "-c", SESSION],
                cwd=self._user.folder,
                env=self._user.env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self._python.stdin.write(json.dumps(code) + "\n")
        self._python.stdin.flush()
        printed = []
        for line in self._python.stdout:
            if line == "\0\n":
                return "".join(printed)
            printed.append(line)
        raise AssertionError(f"{code}\nended Python:\n{''.join(printed)}")

    def _cell(self, text):
        if self._notebook is None:
            self._notebook = Shell(self._user)
        done = self._notebook(text)
        return done["err"] + re.sub(r"^Out\[\d+\]: \n?", "", done["out"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._notebook is not None:
            self._notebook.__exit__()
        if self._python is not None:
            self._python.stdin.close()
            self._python.stdout.close()
            self._python.wait(timeout=30)


def usual(text, home):
    """Return printed text without what changes from run to run."""
    text = text.replace(str(home), HOME)
    for pattern, constant in CHANGING:
        text = re.sub(pattern, constant, text, flags=re.MULTILINE)
    return text.strip("\n")


def matches(shown, printed):
    """Whether the printed text is the shown one, in which ``...`` stands for anything.

    A line of dots alone stands for any number of lines.
    """
    lines = [
        r"(?:[^\n]*\n)*"
        if line.strip() == "..."
        else r"[^\n]*".join(map(re.escape, line.split("..."))) + r"\n"
        for line in shown.splitlines()
    ]
    return re.fullmatch("".join(lines), printed + "\n") is not None


def pages(root: Path):
    """Return the pages that a reader follows."""
    return [root / "README.md", *sorted((root / "docs").glob("*.md")), *how_to(root)]


def how_to(root: Path):
    """Return the how-to pages."""
    return sorted((root / "docs" / "how-to").glob("*.md"))
