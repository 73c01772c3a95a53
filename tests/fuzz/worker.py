"""One process that feeds inputs to a reader, and says what came of each.

Writes what it does into its folder, so that whoever watches it can tell what it was doing when
it died or hung: the input is the file that is read, ``state`` tells the number of inputs and when
the last one began, ``findings`` is JSON lines.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import random
import resource
import struct
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

from targets import TARGETS, Target

from pyphylo.errors import PyphyloError, PyphyloWarning

FREE = 512 << 20
TIMES = 400
"""A reader may take FREE bytes and TIMES the input's size beyond what the process has."""
_SLACK = 4 << 30
"""Of address space; what a reader asks for beyond that is refused, and is a finding."""

_WRITES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod"}
_NEVER = {
    "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "pickle.find_class",
    "ctypes.dlopen", "urllib.Request",
}  # fmt: skip


class Forbidden(BaseException):
    """A reader did what none may do."""


class Watch:
    """What a reader may do beside reading: nothing. Armed while one runs."""

    def __init__(self, folder: Path) -> None:
        self.allowed = (str(folder), os.environ["NUMBA_CACHE_DIR"])
        self.armed = False
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        if event in _NEVER:
            raise Forbidden(f"{event}: {arguments!r}")
        if event == "open" and isinstance(arguments[0], (str, bytes)):
            flags = arguments[2] if isinstance(arguments[2], int) else 0
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self._check(event, arguments[0])
        elif event in _WRITES:
            self._check(event, arguments[0])
        elif event == "socket.connect" and arguments[1][0] != "127.0.0.1":
            raise Forbidden(f"{event}: {arguments[1]!r}")

    def _check(self, event: str, path: Any) -> None:
        if not os.path.abspath(os.fsdecode(path)).startswith(self.allowed):  # noqa: PTH100
            raise Forbidden(f"{event}: {path!r}")


def _peak() -> int:
    """Most memory since `_reset`."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _reset() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def problem_with(target: Target, path: Path, data: bytes) -> tuple[str, str] | None:
    """What is wrong about how the reader takes an input: a short name of it, and all of it."""
    path.write_bytes(data)
    before = _peak()
    problem = None
    _watch.armed = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", PyphyloWarning)
            target.read(path)
    except PyphyloError as error:
        _watch.armed = False
        if target.named and path.name not in str(error):
            problem = _named("an error that names no file", error)
    except BaseException as error:
        _watch.armed = False
        if isinstance(error, KeyboardInterrupt):
            raise
        problem = _named(type(error).__name__, error)
    finally:
        _watch.armed = False
    taken = _peak() - before
    if problem is None and taken > FREE + TIMES * len(data):
        problem = "memory", f"{taken >> 20} MiB for {len(data)} bytes"
    return problem


def _named(kind: str, error: BaseException) -> tuple[str, str]:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "pyphylo" in f.filename]
    where = f"{Path(frames[-1].filename).name}:{frames[-1].name}" if frames else "?"
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return f"{kind} in {where}", text[-3000:]


class State:
    """Two numbers that whoever watches reads: inputs so far, and when the last one began."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(16))
        with path.open("r+b") as handle:
            self._map = mmap.mmap(handle.fileno(), 16)

    def tell(self, count: int, began: float) -> None:
        self._map[:] = struct.pack("<dd", count, began)


def feed(name: str, folder: Path, seed: int, seconds: float, examples: Path, state: State) -> None:
    """Feed one reader for some seconds: first the kept examples, then changes of its seeds."""
    target = TARGETS[name]
    inside, scratch = folder / "files", folder / "seeds"
    inside.mkdir(parents=True)
    scratch.mkdir()
    path = inside / f"{target.stem}{target.suffix}"
    seeds = list(target.seeds(scratch))
    target.prepare(inside)
    for data in seeds:  # compiles, imports, and so is no part of the first input
        path.write_bytes(data)
        with contextlib.suppress(PyphyloError):
            target.read(path)
    kept = [file.read_bytes() for file in sorted((examples / name).glob("*"))]
    rng = random.Random(f"{name} {seed}")
    pool = list(seeds)
    count, begun, known = 0, time.monotonic(), set()
    with (folder / "findings").open("a") as findings:
        while kept or time.monotonic() - begun < seconds:
            data = kept.pop() if kept else target.mutation(rng, rng.choice(pool), pool)
            if count % 128 == 0:
                _reset()
            state.tell(count, time.monotonic())
            problem = problem_with(target, path, data)
            count += 1
            if problem is not None and problem[0] not in known:
                known.add(problem[0])
                findings.write(json.dumps([*problem, data.hex()]) + "\n")
                findings.flush()
            elif rng.random() < 0.02 and len(data) < 1 << 14:  # changes on changes, now and then
                pool[len(seeds) + rng.randrange(64) :] = [data]
    state.tell(count, 0.0)
    (folder / "count").write_text(str(count))


def main(names: str, folder: Path, seed: int, seconds: float, examples: Path) -> None:
    """Feed the readers one after the other."""
    global _watch
    _watch = Watch(folder)
    state = State(folder / "state")
    limit = _vm() + _SLACK
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for name in names.split(","):
        (folder / "now").write_text(name)
        feed(name, folder / name, seed, seconds, examples, state)


def _vm() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), Path(sys.argv[5]))
