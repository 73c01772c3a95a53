"""The command line: one module a subcommand, each thin."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

from pyphylo._secrets import hide
from pyphylo._terminal import shown
from pyphylo._version import __version__
from pyphylo.cli._common import Outcome
from pyphylo.cli._parser import Parser
from pyphylo.errors import InputError, PyphyloError, PyphyloWarning

__all__ = ["build_parser", "main"]

_COMMANDS = {
    "demo": "demo",
    "run": "run",
    "genes": "genes",
    "sample": "sample",
    "import": "import_",
    "distance": "distance",
    "tree": "tree",
    "parents": "parents",
    "predict": "predict",
    "nearest": "nearest",
    "place": "place",
    "plan": "plan",
    "same": "same",
    "merge": "merge",
    "distilled": "distilled",
    "admixture": "admixture",
    "trajectory": "trajectory",
    "sensitivity": "sensitivity",
    "report": "report",
    "bench": "bench",
    "info": "info",
    "completion": "completion",
}


def build_parser() -> argparse.ArgumentParser:
    """The parser of every subcommand; imports no library."""
    parser = Parser(
        prog="pyphylo",
        description="Family trees of language models from what they say.",
        epilog="examples:\n"
        "  pyphylo demo                               the first time: nothing to prepare\n"
        "  pyphylo run gpt2 distilgpt2 --out family   your models\n"
        "  pyphylo tree --help                        options and examples of one command",
    )
    parser.add_argument("--version", action="version", version=f"pyphylo {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, module_name in _COMMANDS.items():
        module: ModuleType = import_module(f"pyphylo.cli.{module_name}")
        module.add_parser(commands, name)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns
    -------
    int
        0 done, 1 the work failed, 2 the call was wrong; 130 interrupted, 143 asked to end.
    """
    _open_streams()
    try:
        args = build_parser().parse_args(argv)
        with _ending_on_request(), warnings.catch_warnings():
            warnings.simplefilter("always", PyphyloWarning)
            warnings.showwarning = _show_warning
            outcome: Outcome = args.run(args)
        outcome.print(as_json=args.json)
        sys.stdout.flush()
    except InputError as error:
        return _fail(error, 2)
    except BrokenPipeError:
        # Whoever read our output has gone; there is nothing left to say, nor to flush.
        sys.stderr.close()
        return 1
    except OSError as error:
        return _fail(_describe(error), 1)
    except MemoryError as error:
        return _fail(str(error) or "out of memory: select fewer models", 1)
    except PyphyloError as error:
        return _fail(error, 1)
    except KeyboardInterrupt as error:
        code = 128 + (signal.SIGTERM if isinstance(error, _Terminated) else signal.SIGINT)
        return _fail("interrupted; what was finished is kept, run the same command to go on", code)
    return 0


def _open_streams() -> None:
    """Put the null device where a standard stream was closed.

    Else there is no stream to print to, and the next file that is opened gets its number, to
    which libraries below Python print.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115


class _Terminated(KeyboardInterrupt):
    """SIGTERM, as batch systems send it before they kill: the work ends as on control-C."""


@contextmanager
def _ending_on_request() -> Iterator[None]:
    """Take SIGTERM for an interruption; only the main thread may say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def _terminate(number: int, frame: object) -> None:
    raise _Terminated


def _fail(message: object, code: int) -> int:
    _say("error", message)
    return code


def _say(kind: str, message: object) -> None:
    """One line on stderr, without secrets and without what a terminal would obey."""
    line = shown(hide(" ".join(str(message).split())))
    print(f"pyphylo: {kind}: {line}", file=sys.stderr)


def _describe(error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"{reason}: {str(error.filename)!r}" if error.filename else reason


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: object = None,
) -> None:
    """One line for pyphylo's own warnings; other libraries' are for developers."""
    if issubclass(category, PyphyloWarning):
        _say("warning", message)
