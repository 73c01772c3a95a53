"""Options of models behind a server."""

from __future__ import annotations

import argparse
from typing import Any

from pyphylo.errors import InputError

__all__ = ["SERVER_BACKEND", "add_server_options", "server_options"]

SERVER_BACKEND = "openai"


def add_server_options(group: Any) -> None:
    """What ``--backend openai`` takes; all but the backend itself default to None."""
    for flag, kind, metavar, help_text in _OPTIONS:
        group.add_argument(flag, type=kind, metavar=metavar, help=help_text)


def server_options(args: argparse.Namespace) -> dict[str, Any]:
    """The options that were given, as the backend takes them.

    Raises
    ------
    InputError
        When one was given for a backend that asks no server.
    """
    given = {name: getattr(args, name) for name in map(_name, _OPTIONS)}
    given = {name: value for name, value in given.items() if value is not None}
    if given and args.backend != SERVER_BACKEND:
        flag = "--" + next(iter(given)).replace("_", "-")
        raise InputError(f"{flag} goes with --backend {SERVER_BACKEND}, not {args.backend}")
    return given


def _name(option: tuple[str, Any, str, str]) -> str:
    return option[0].removeprefix("--").replace("-", "_")


_OPTIONS: tuple[tuple[str, Any, str, str], ...] = (
    ("--base-url", str, "URL", "of the server (default: $OPENAI_BASE_URL, else OpenAI)"),
    ("--api-key-env", str, "VAR", "environment variable with the key (default OPENAI_API_KEY)"),
    ("--endpoint", str, "E", "auto (default), completions, chat"),
    ("--instruction", str, "TEXT", "what a chat begins with"),
    ("--server-name", str, "NAME", "recorded in place of the URL"),
    ("--max-requests", int, "N", "stop there; 0 prints the estimate alone"),
    ("--price-prompt", float, "P", "a million prompt tokens, for the estimate and the cost"),
    ("--price-completion", float, "P", "a million completion tokens, likewise"),
    ("--concurrency", int, "N", "requests under way at once (default 8)"),
    ("--choices", int, "N", "completions asked for at once (default: all probes)"),
)
