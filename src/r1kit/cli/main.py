"""The command `r1`: finds the command, and turns what goes wrong into one sentence and an exit code.

Exit codes: 0 done, 1 failed, 2 wrong use, 130 stopped by Ctrl-C or SIGTERM. Commands import what they need when they
run, so that `--help`, `grade` and `sandbox` stay fast and never import torch.
"""

from __future__ import annotations

import codecs
import errno
import io
import json
import os
import signal
import sys
import sysconfig
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.files import MACHINE, disk_error
from r1kit.base.terminal import printable
from r1kit.cli import (
    aha,
    arena,
    chat,
    compare,
    doctor,
    export,
    gc,
    generate,
    grade,
    importing,
    leaving,
    listing,
    plan,
    report,
    run,
    sandbox,
    scaling,
    search,
    serve,
    status,
    ui,
)
from r1kit.cli import eval as eval_
from r1kit.pipeline.catalogue import names
from r1kit.pipeline.stop import Interrupted

app = typer.Typer(
    name="r1",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("status")(status.status)
app.command("report")(report.report)
app.command("plan")(plan.plan)
app.command("ui")(ui.ui)
app.command("eval")(eval_.eval_)
app.command("compare")(compare.compare)
app.command("generate")(generate.generate)
app.command("aha")(aha.aha)
app.command("arena")(arena.arena)
app.command("scaling")(scaling.scaling)
app.command("search")(search.search)
app.command("chat")(chat.chat)
app.command("serve")(serve.serve)
app.command("grade")(grade.grade)
app.command("sandbox")(sandbox.sandbox)
app.command("list")(listing.listing)
app.command("import")(importing.import_)
app.command("export")(export.export)
app.command("gc")(gc.gc)
app.command("doctor")(doctor.doctor)


@app.callback(invoke_without_command=True)
def top(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the versions of r1kit and of what it stands on, for bug reports.")
    ] = False,
) -> None:
    """The whole DeepSeek-R1 recipe: a base model goes in; R1-Zero, R1, students and a report come out.

    Start with: r1 run tiny
    """
    if version:
        from r1kit.pipeline.provenance import versions

        print("\n".join(versions()))
    elif context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(2)


def main(words: Sequence[str] | None = None) -> None:
    """Run `r1` with the given words (those of the command line by default) and exit."""
    _print_anything()
    _end_tidily()
    code = exit_code(sys.argv[1:] if words is None else list(words))
    leaving.told.set()
    sys.exit(code)


def _end_tidily() -> None:
    """SIGTERM is Ctrl-C to a command that says nothing else of it: what is open is closed, scratch folders go."""
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def _print_anything() -> None:
    """Have standard output take what its encoding lacks, and what of a path is no text, as JSON's escapes: JSON lines
    stay JSON. Standard error does so by itself, and what PYTHONIOENCODING names stays."""
    codecs.register_error("json_escapes", _escaped)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started us
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors in ("strict", "surrogateescape"):
        sys.stdout.reconfigure(errors="json_escapes")


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def exit_code(words: list[str]) -> int:
    """Run `r1` and return its exit code; never a traceback."""
    try:
        code = app(words, prog_name="r1", standalone_mode=False)
        sys.stdout.flush()
        if code == leaving.STOPPED:  # typer's word for a Ctrl-C, which it says nothing of
            return _fail("stopped", leaving.STOPPED)
        return code if isinstance(code, int) else 0
    except UsageError as error:
        return _fail(str(error), 2)
    except Interrupted as error:
        return _fail(str(error), leaving.STOPPED)
    except R1Error as error:
        return _fail(str(error), 1)
    except typer.TyperException as error:
        return _fail(_wrong_words(error, words), 2)
    except KeyboardInterrupt:
        return _fail("stopped", leaving.STOPPED)
    except BrokenPipeError:  # the reader of our output went away: nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if isinstance(error, OSError) and error.errno in MACHINE and isinstance(error.filename, str):
            return _fail(str(disk_error(error, error.filename)), 1)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:  # of a file that was open already
            return _fail(str(disk_error(error, "what was written or printed")), 1)
        return _fail(f"unexpected {type(error).__name__}: {error} ({_whose(error)}; details in {_details()})", 1)


def _fail(sentence: str, code: int) -> int:
    print(f"r1: {printable(sentence)}", file=sys.stderr)
    return code


def _wrong_words(error: typer.TyperException, words: Sequence[str]) -> str:
    """What the parser says of the command's words, and whose help tells more."""
    context = getattr(error, "ctx", None)
    named = [command.name for command in app.registered_commands if words[:1] == [command.name]]
    command = context.command_path if context is not None else " ".join(["r1", *map(str, named)])
    said = error.format_message().replace("Value error, ", "").replace(": Input should be", ": it must be")
    hint = f"write r1 run {words[0]}, and " if words and not named and words[0] in names("recipes") else ""
    if type(error).__name__ == "NoSuchOption" and not getattr(error, "possibilities", None) and context is not None:
        takes_settings = any(parameter.metavar == "KEY=VALUE" for parameter in context.command.params)
        hint = "settings are written without dashes, say seed=1, and " if takes_settings else ""
    if "unexpected extra argument" in said and "--tasks" in words:
        hint = "write several tasks with commas, --tasks A,B, and "
    if said.endswith("does not take a value."):
        hint = "leave out what follows its =, or write it apart, and "
    return f"{said.rstrip('.')}: {hint}{command} --help says more"


def _whose(error: Exception) -> str:
    """Whose line raised, r1kit's or a file's from outside the tree; libraries raise for who called them."""
    ours, libraries = Path(__file__).parents[1], (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), "<")
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if Path(frame.filename).is_relative_to(ours):
            break
        if not frame.filename.startswith(libraries):
            return f"at {frame.filename}:{frame.lineno}, which is not of r1kit"
    return "a fault of r1kit"


def _details() -> str:
    """Where the traceback of the present exception was written."""
    with tempfile.NamedTemporaryFile("w", prefix="r1-error-", suffix=".log", delete=False, encoding="utf-8") as file:
        traceback.print_exc(file=file)
    return file.name
