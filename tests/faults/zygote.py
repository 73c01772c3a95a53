"""Processes that run one command each, at the cost of a fork, with a fault armed before it.

The program below has everything imported and the shim loaded; for each line that it reads it
forks a child, which arms the shim and runs one command as ``python -m pyphylo`` would. A child
is a process of its own: what kills it kills nothing else, and nothing of it is left.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from dataclasses import dataclass
from enum import IntEnum
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

__all__ = ["Action", "Done", "Fault", "Zygote", "build_shim"]

_TESTS = Path(__file__).parent.parent


class Action(IntEnum):
    """What befalls the n-th call; as in shim.c."""

    COUNT = 0
    KILL_BEFORE = 1
    KILL_AFTER = 2
    TEAR = 3
    FAIL = 4
    FAIL_FROM = 5
    SIGNAL = 6


@dataclass(frozen=True)
class Fault:
    """One fault: at which call below the folder, what, and with which number (errno, signal)."""

    at: int = -1
    action: Action = Action.COUNT
    value: int = 0
    log: str = ""


@dataclass(frozen=True)
class Done:
    """How a command ended; `code` is negative where a signal killed it."""

    code: int
    out: str
    err: str


def build_shim(folder: Path) -> Path | None:
    """Compile the shim; None where that cannot be done here."""
    target = folder / "shim.so"
    command = ["cc", "-O1", "-shared", "-fPIC", "-o", str(target)]
    if not sys.platform.startswith("linux"):
        return None
    try:
        source = str(Path(__file__).with_name("shim.c"))
        subprocess.run([*command, source, "-ldl"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return target


class Zygote:
    """Runs commands; use it as a context manager.

    Parameters
    ----------
    shim : Path
    """

    def __init__(self, shim: Path) -> None:
        paths = [str(_TESTS), *filter(None, sys.path)]
        self._env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "LD_PRELOAD": str(shim),
            "OMP_NUM_THREADS": "1",
            "NO_PROXY": "127.0.0.1",
        }

    def __enter__(self) -> Zygote:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__))],
            env=self._env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def warm(self, argv: list[str]) -> None:
        """Run one command in the process that all others are forked from; it completes."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"warm": argv}) + "\n")
        assert self._process.stdout.readline() == "0\n"

    def run(self, argv: list[str], root: Path, fault: Fault | None = None) -> Done:
        """Run one command, with calls below `root` counted."""
        return self.run_together([argv], root, fault)[0]

    def run_together(
        self, argvs: list[list[str]], root: Path, fault: Fault | None = None
    ) -> list[Done]:
        """Run commands at the same time, each with the fault."""
        fault = fault or Fault()
        order = {
            "argvs": argvs,
            "root": str(root),
            "fault": [fault.at, int(fault.action), fault.value, fault.log],
        }
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        return [Done(**each) for each in json.loads(self._process.stdout.readline())]


# -- the program ---------------------------------------------------------------------------


def _begin(argv: list[str], root: str, fault: list[int | str], folder: str) -> int:
    """Fork a child that runs one command."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT), number)
        from pyphylo.cli import main

        at, action, value, log = fault
        arm = ctypes.CDLL(None).fault_arm
        arm(os.fsencode(root), ctypes.c_long(int(at)), action, value, os.fsencode(str(log)))
        try:
            code = main(argv)
        except SystemExit as error:
            code = int(error.code or 0)
        except BaseException:
            import traceback

            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)
    raise AssertionError("a child has ended")


def _serve() -> None:
    from pyphylo.sampling.registry import register_backend

    register_backend("letters", "letters_backend:LettersSampler")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if find_spec("openai"):
        from pyphylo.sampling import _ask

        _ask._FIRST_PAUSE = 0.01
    for line in sys.stdin:
        order = json.loads(line)
        if "warm" in order:
            print(_run_here(order["warm"]), flush=True)
            continue
        with tempfile.TemporaryDirectory() as folder:
            children = []
            for number, argv in enumerate(order["argvs"]):
                Path(folder, str(number)).mkdir()
                place = f"{folder}/{number}"
                children.append((_begin(argv, order["root"], order["fault"], place), place))
            done = []
            for child, place in children:
                status = os.waitpid(child, 0)[1]
                texts = {name: Path(place, name).read_text() for name in ("out", "err")}
                done.append({"code": os.waitstatus_to_exitcode(status), **texts})
        print(json.dumps(done), flush=True)


def _run_here(argv: list[str]) -> int:
    """Run a command in this process, so that its children find imported what it imports."""
    from pyphylo.cli import main

    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        return main(argv)


if __name__ == "__main__":
    _serve()
