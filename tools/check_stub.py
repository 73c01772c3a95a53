"""Compare pyphylo/_core.pyi with the compiled core.

    python tools/check_stub.py

mypy.stubtest compares the names. It reads the stub alone, in a package that holds nothing else:
with the whole of pyphylo around it the check takes six times as long and finds no more. Of
pybind11's functions it knows no parameters: these are compared here, by name, order and default,
from the signatures that pybind11 writes into docstrings.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyphylo import _core

ROOT = Path(__file__).resolve().parent.parent
STUB = ROOT / "pyphylo/_core.pyi"


def main() -> int:
    """0 where every name, parameter and default agrees."""
    wrong = list(differing_parameters())
    print("\n".join(wrong) or "parameters agree")
    return max(compare_names(), bool(wrong))


def compare_names() -> int:
    """The exit status of stubtest."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder, "pyphylo")
        package.mkdir()
        (package / "__init__.pyi").touch()
        (package / "_core.pyi").write_bytes(STUB.read_bytes())
        command = [sys.executable, "-m", "mypy.stubtest", "pyphylo._core"]
        command += ["--allowlist", str(ROOT / "tools/stub_allowlist.txt")]
        environment = os.environ | {"MYPYPATH": folder}
        return subprocess.run(command, env=environment, check=False).returncode


def differing_parameters() -> Iterator[str]:
    """A line for each function whose parameters are not what the stub says."""
    for name, stub, function in functions(ast.parse(STUB.read_text(encoding="utf-8")).body, _core):
        stated = parameters(stub)
        for real in signatures(function):
            if stated != real:
                yield f"{name}: the stub has {stated}, the core {real}"


def signatures(function: Any) -> Iterator[list[str]]:
    """The parameters of each overload, from the docstring."""
    lines = (function.__doc__ or "").splitlines()
    overloads = [line.partition(" ")[2] for line in lines if re.match(r"\d+\. ", line)]
    for line in overloads or lines[:1]:
        node = ast.parse(f"def {line}: ...").body[0]
        yield parameters(node)  # type: ignore[arg-type]


def functions(body: list[ast.stmt], owner: Any) -> Iterator[tuple[str, ast.FunctionDef, Any]]:
    """The functions of a stub and their counterparts, but operators and properties."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from functions(node.body, getattr(owner, node.name))
        elif isinstance(node, ast.FunctionDef):
            is_property = any(getattr(d, "id", "") == "property" for d in node.decorator_list)
            is_operator = node.name.startswith("__") and node.name != "__init__"
            if not is_property and not is_operator:
                yield f"{owner.__name__}.{node.name}", node, getattr(owner, node.name)


def parameters(node: ast.FunctionDef) -> list[str]:
    """Names in order, with defaults where there are any."""
    names = [argument.arg for argument in node.args.args]
    defaults = [f"={ast.unparse(default)}" for default in node.args.defaults]
    padded = [""] * (len(names) - len(defaults)) + defaults
    keyword = [argument.arg for argument in node.args.kwonlyargs]
    return [a + b for a, b in zip(names, padded, strict=True)] + ["*", *keyword] * bool(keyword)


if __name__ == "__main__":
    sys.exit(main())
