"""Entry point of ``ess``: imports only the command that runs, turns errors into exit codes."""

from __future__ import annotations

import errno
import gc
import importlib
import os
import sys
from typing import Any

import click

from ess_dask._version import __version__
from ess_dask.errors import EssError, InterruptedRunError

_GC_THRESHOLD = 100_000

COMMANDS: dict[str, tuple[str, str]] = {
    "backfill": ("backfill:backfill", "Run a pipeline over a long range, piece by piece."),
    "cat": ("files:cat", "Write a file's bytes to stdout."),
    "category": ("category:category", "Add, change, copy or delete categories of files."),
    "ls": (
        "files:ls",
        "List the files of a folder, a pattern or a category.",
    ),
    "init": ("init:init", "Write a pipeline file from a look at one file."),
    "lsa": ("files:lsa", "List the members of an archive."),
    "probe": ("files:probe", "Find out a category's structure again and keep it."),
    "purge": ("datastore:purge", "Forget a datastore and its categories, never its files."),
    "repository": ("datastore:repository", "List the known datastores; the current one is marked."),
    "select": (
        "datastore:select",
        "Choose a datastore: local, a folder, s3://bucket[/prefix] or a known label.",
    ),
    "summary": ("summary:summary", "Show all categories, one category, or one FIELD of it."),
    "create": (
        "tables:create",
        "Create a database, or a table, vector or variable in the current one.",
    ),
    "drop": ("tables:drop", "Drop a database, or a table, vector or variables of the current one."),
    "use": ("tables:use", "Make a database the current one."),
    "query": (
        "query:query",
        "Answer a SQL statement from the files of categories or from tables in memory.",
    ),
    "stream": ("stream:stream", "Send the files of a category through a command, in file order."),
    "exec": ("stream:exec_", "Run a command on every worker (without a cluster: once, here)."),
    "file": (
        "file:file_",
        "Copy files to and from the folders in which the workers' commands run.",
    ),
    "demo": ("demo:demo", "Make a dirty lake, clean it, load it and ask it a question."),
    "doctor": ("doctor:doctor", "Look at everything that a run needs, and say what to mend."),
    "plan": ("run:plan", "Show what a run of a pipeline would do."),
    "preview": ("run:preview", "Show the first clean rows of a pipeline; nothing is loaded."),
    "profile": (
        "profile:profile",
        "Show what is in the columns of a category: nulls, ranges, distinct values, spread,"
        " rejects.",
    ),
    "redshift": (
        "redshift:redshift",
        "Register Redshift clusters, ask them, load and unload their tables.",
    ),
    "rejects": ("rejects:rejects", "List, show and replay rejected rows."),
    "run": ("run:run", "Run a pipeline: clean and load what is not loaded yet."),
    "runs": ("runs:runs", "List the runs of pipelines and tell what happened in each."),
    "config": ("config:config", "Print the settings in force."),
    "cluster": ("cluster:cluster", "Choose, make and look at the machines that do the work."),
    "server": ("server:server", "Reset, restart, commit or summarise this folder's databases."),
    "udbd": ("udbd:udbd", "Start, stop and look at the servers that hold databases in memory."),
}
"""Command name: (``module:function`` below ``ess_dask.cli``, one line of help).

The help stands here so that ``ess --help`` imports no command; a test compares it with the command.
"""


class _ReaderGone(Exception):  # noqa: N818 - not an error of ours
    """The reader of our output (head, less) has seen enough."""


class LazyGroup(click.Group):
    """A group that imports a command's module only when that command is used."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; click itself would end with 1 when the reader of the output goes."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise _ReaderGone from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is meant; of one that is not there, say what comes near."""
        if args[0] not in COMMANDS:
            from difflib import get_close_matches

            near = " or ".join(map(repr, get_close_matches(args[0], COMMANDS, n=2)))
            if near:
                ctx.fail(f"No such command {args[0]!r}. Did you mean {near}?")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(f"ess_dask.cli.{module}"), name)
        assert isinstance(command, click.Command)
        _take_everywhere(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        # The original writes its versions to stderr (SPEC section 2); scripts use 2>&1.
        click.echo(f"Essentia : {__version__}", err=True)
        ctx.exit()


def _profile(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    # What the environment names is looked for by the command itself: help needs no profile.
    inherited = None if isinstance(ctx.command, click.Group) else os.environ.get("ESS_PROFILE")
    name = value or inherited
    if name and not ctx.resilient_parsing:
        from ess_dask._settings_sources import find_profile

        find_profile(name)
        os.environ["ESS_PROFILE"] = name


def _log_setting(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Let what is given here decide before the variable of the same setting."""
    if value and not ctx.resilient_parsing:
        os.environ[f"ESS_{param.name}".upper()] = value


def _shared_options() -> list[click.Option]:
    """The options of ``ess`` that may also stand behind the command."""
    about = "Settings profile (also ESS_PROFILE)."
    return [
        click.Option(["--traceback"], is_flag=True, help="Show the Python traceback of an error.",
                     expose_value=False),
        click.Option(["--profile"], metavar="NAME", help=about, callback=_profile,
                     expose_value=False),
        click.Option(["--log-format"], type=click.Choice(["console", "json"]),
                     help="How stderr is written (also ESS_LOG_FORMAT).", callback=_log_setting,
                     expose_value=False),
        click.Option(["--log-level"], type=click.Choice(["debug", "info", "warning", "error"]),
                     help="Least level of records on stderr (also ESS_LOG_LEVEL).",
                     callback=_log_setting, expose_value=False),
    ]  # fmt: skip


def _take_everywhere(command: click.Command) -> None:
    """Let a command and those below it take the shared options, unseen in their help."""
    for option in _shared_options():
        if option.name not in {known.name for known in command.params}:
            option.hidden = True
            command.params.append(option)
    for each in command.commands.values() if isinstance(command, click.Group) else ():
        _take_everywhere(each)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-v",
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version and exit.",
)
def ess() -> None:
    """Dirty daily files in; clean, queryable, exactly-once loaded data out.

    --profile, --traceback, --log-format and --log-level may also stand behind a command.
    """


ess.params += _shared_options()


def main(args: list[str] | None = None) -> None:
    """Run ``ess`` and exit with the documented code: 0 1 2 3 4 75 130."""
    # Imports and models of AWS hold few cycles: looking for them is a fifth of a short command.
    gc.set_threshold(_GC_THRESHOLD)
    _open_closed_streams()
    code = run(ess, sys.argv[1:] if args is None else args)
    if code == InterruptedRunError.exit_code:
        # Aborted work in Python threads cannot be ended otherwise, and a normal exit waits for it.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _open_closed_streams() -> None:
    """Give those of the standard streams that the caller closed (``>&-``) to nobody: a file that is
    opened later would take their place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123


def run(command: click.Command, args: list[str]) -> int:
    """Run one command; return its exit code, with errors told on stderr and no traceback."""
    try:
        result: Any = command.main(args, prog_name=command.name, standalone_mode=False)
    except EssError as error:
        if "--traceback" in args:
            raise
        click.echo(_shown(f"{command.name}: {error}"), err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo(f"{command.name}: interrupted", err=True)
        return 130
    except _ReaderGone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, UnicodeEncodeError) as error:
        told = _told(error, args)
        if told is None or "--traceback" in args:
            raise
        code, what, hint = told
        click.echo(_shown(f"{command.name}: {what}\n  hint: {hint}"), err=True)
        return code
    return result if isinstance(result, int) else 0


def _shown(text: str) -> str:
    from ess_dask.markup import printable_lines

    return printable_lines(text)


def _told(error: OSError | UnicodeEncodeError, args: list[str]) -> tuple[int, str, str] | None:
    """Return exit code, message and hint for what the machine or an argument forbids, whichever
    part of us met it; None for what is a defect of ours."""
    if isinstance(error, UnicodeEncodeError):
        odd = next((each for each in args if not each.isprintable() and _is_bytes(each)), "")
        hint = "names of datastores and categories, options and statements are UTF-8"
        return (2, f"{odd!r} is not valid UTF-8", hint) if odd else None
    where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        hint = "make room (state, spool and warehouse folders), run again"
        return 1, os.strerror(error.errno).lower() + (f" for {where}" if where else ""), hint
    if error.errno == errno.ENAMETOOLONG:
        return 2, f"a name of {len(where)} characters is too long: {where[:40]}...", "look at it"
    return None


def _is_bytes(text: str) -> bool:
    """Whether the shell gave bytes that are no text; Python keeps them as lone surrogates."""
    return any("\ud800" <= letter <= "\udfff" for letter in text)
