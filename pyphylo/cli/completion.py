"""``pyphylo completion``: a script that lets a shell complete commands, options and files."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from pyphylo.cli._common import Outcome, add_json
from pyphylo.errors import WorkError

__all__ = ["add_parser"]

_SHELLS = ("bash", "zsh", "fish")
_FILES = {"FILE", "DIST", "CSV", "TXT", "NWK", "GENOME", "G", "MODEL"}
_FOLDERS = {"STORE", "STORE_A", "STORE_B", "DIR"}
"""Words of the help that stand for something on disk, or may."""


def add_parser(commands: Any, name: str) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help="a script that completes commands in bash, zsh or fish",
        description="Print a script after which the Tab key completes commands, options and files. "
        "It holds the words of this version: print it again after an update. Needs shtab: "
        "pip install 'pyphylo[completion]'.",
        epilog='examples:\n  eval "$(pyphylo completion bash)"\n'
        '  eval "$(pyphylo completion zsh)"\n'
        "  pyphylo completion fish > ~/.config/fish/completions/pyphylo.fish",
    )
    parser.add_argument("shell", choices=_SHELLS, help="what the script is for")
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> Outcome:
    try:
        import shtab
    except ImportError:
        raise WorkError("completion needs shtab: pip install 'pyphylo[completion]'") from None
    from pyphylo.cli import build_parser

    parser = build_parser()
    _shorten(parser)
    for action in _actions(parser):
        if action.choices is None and action.metavar in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.metavar in _FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    script = shtab.complete(parser, shell=args.shell)
    return Outcome(script, {"shell": args.shell, "script": script})


def _shorten(parser: argparse.ArgumentParser) -> None:
    """Describe each command, which shells show on one line, by its line in the list of commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for listed in action._choices_actions:
                inner = action.choices[listed.dest]
                inner.description = listed.help
                _shorten(inner)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The arguments of a parser, and of those below it that are not commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _actions(inner)
        else:
            yield action
