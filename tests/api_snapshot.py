"""What users of pyphylo write: its public names with their parameters, its commands and options.

    python tests/api_snapshot.py

writes tests/api_snapshot.txt anew, which tests/test_api.py compares with what is there. It is the
same text on every version of Python and of the libraries.
"""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

SNAPSHOT = Path(__file__).with_suffix(".txt")
MODULES = (
    "pyphylo",
    "pyphylo.tree",
    "pyphylo.stats",
    "pyphylo.predict",
    "pyphylo.simulate",
    "pyphylo.plot",
    "pyphylo.report",
    "pyphylo.demo",
    "pyphylo.run",
    "pyphylo.io.annotations",
    "pyphylo.io.completions",
    "pyphylo.io.metadata",
    "pyphylo.io.model_cards",
    "pyphylo.io.scores",
    "pyphylo.io.trees",
    "pyphylo.sampling.base",
)


def snapshot() -> str:
    """The whole text."""
    lines: list[str] = []
    for module in MODULES:
        lines += [f"module {module}", *_names_of(module), ""]
    from pyphylo.cli import build_parser

    for command in _commands(build_parser()):
        lines += [*command, ""]
    return "\n".join(lines)


# -- Python --------------------------------------------------------------------------------


def _names_of(module: str) -> Iterator[str]:
    namespace = import_module(module)
    for name in sorted(namespace.__all__):
        value = getattr(namespace, name)
        home = getattr(value, "__module__", module)
        if inspect.ismodule(value) or name.startswith("_"):
            yield f"  {name}"
        elif module != "pyphylo" and name in import_module("pyphylo").__all__:
            yield f"  {name} = pyphylo.{name}"
        elif inspect.isclass(value):
            yield from _class_lines(name, value)
        elif callable(value) and home.startswith("pyphylo"):
            yield f"  {name}{_signature(value)}"
        else:
            yield f"  {name}: {type(value).__name__}"


def _class_lines(name: str, value: type[Any]) -> Iterator[str]:
    own = [base for base in value.__mro__ if base.__module__.startswith("pyphylo")]
    if issubclass(value, BaseException):
        yield f"  class {name}({', '.join(base.__name__ for base in value.__bases__)})"
        return
    fields = getattr(value, "_fields", ())
    is_made = any("__init__" in vars(base) or "__new__" in vars(base) for base in own)
    is_protocol = getattr(value, "_is_protocol", False)
    yield f"  class {name}{_signature(value) if is_made and not is_protocol else ''}"
    members: dict[str, str] = {field: f"{field}: field" for field in fields}
    for base in reversed(own):
        for member, what in vars(base).items():
            text = None if member.startswith("_") else _member(member, what)
            if text is not None:
                members[member] = text
        for attribute in re.findall(r"^ +self\.([a-z]\w*)(?:: [^=]+)? = ", _source(base), re.M):
            members.setdefault(attribute, f"{attribute}: attribute")
    for member in sorted(members):
        yield f"    {members[member]}"


def _member(name: str, what: Any) -> str | None:
    """A line for what pyphylo defines; None for what a library adds to its classes."""
    if isinstance(what, (property, cached_property)):
        return f"{name}: property"
    if isinstance(what, (classmethod, staticmethod)):
        return f"{type(what).__name__} {name}{_signature(what.__func__)}"
    if inspect.isfunction(what):
        return f"{name}{_signature(what)}"
    return None


def _source(value: type[Any]) -> str:
    """The text of a class; of what a factory made there is none."""
    try:
        return inspect.getsource(value)
    except (OSError, TypeError):
        return ""


def _signature(value: Callable[..., Any]) -> str:
    """Parameters and defaults; no annotations, whose text depends on the version of Python."""
    parameters = []
    for parameter in inspect.signature(value).parameters.values():
        default = parameter.default
        if default is not inspect.Parameter.empty:
            default = _Shown(default)
        parameters.append(parameter.replace(annotation=inspect.Parameter.empty, default=default))
    return str(inspect.Signature(parameters))


class _Shown:
    """A default as the snapshot writes it."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __repr__(self) -> str:
        return _text(self._value)


def _text(value: object) -> str:
    """The value where it is plain, otherwise its type or name."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)
    if isinstance(value, (tuple, list)):
        inner = ", ".join(map(_text, value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner})"
    if inspect.isclass(value) or inspect.isfunction(value):
        return value.__name__ if value.__name__.isidentifier() else "<function>"
    return "<factory>" if "FACTORY" in type(value).__name__ else f"<{type(value).__name__}>"


# -- the command line ----------------------------------------------------------------------


def _commands(parser: argparse.ArgumentParser) -> Iterator[list[str]]:
    lines = [f"command {parser.prog}"]
    inner: list[argparse.ArgumentParser] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            inner = list(action.choices.values())
            continue
        if not isinstance(action, argparse._HelpAction):
            lines.append(f"  {_option(action)}")
    yield lines
    for child in inner:
        yield from _commands(child)


def _option(action: argparse.Action) -> str:
    name = ", ".join(action.option_strings) or str(action.metavar or action.dest)
    kind = type(action).__name__.strip("_").removesuffix("Action")
    facts = {"": "" if kind == "Store" else kind}
    if action.type is not None:
        facts["type"] = _text(action.type)
    if action.nargs not in (None, 0):
        facts["nargs"] = repr(action.nargs)
    if action.choices is not None:
        facts["choices"] = _text(list(action.choices))
    if action.default not in (None, argparse.SUPPRESS):
        facts["default"] = _text(action.default)
    if action.required and action.option_strings:
        facts["required"] = "True"
    shown = [f"{key}={text}" if key else text for key, text in facts.items() if text]
    return f"{name}  {' '.join(shown)}".rstrip()


if __name__ == "__main__":
    SNAPSHOT.write_text(snapshot(), encoding="utf-8")
