"""Every call of a command, and at each of them every fault that it can meet."""

from __future__ import annotations

import errno
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .world import Command, World
from .zygote import Action, Done, Fault

__all__ = ["Figures", "calls_of", "faults_of", "kills_of", "run_fault"]

_ERRORS = {
    "open_w": (errno.EACCES, errno.ENOSPC),
    "open_r": (errno.EIO,),
    "write": (errno.ENOSPC, errno.EIO),
    "read": (errno.EIO,),
    "fsync": (errno.EIO,),
    "rename": (errno.EIO, errno.EACCES),
    "unlink": (errno.EACCES,),
    "rmdir": (errno.EACCES,),
    "mkdir": (errno.ENOSPC,),
}


@dataclass
class Figures:
    """What was done and how it ended."""

    runs: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)


def calls_of(world: World, command: Command) -> list[str]:
    """The calls below the world's folder that an undisturbed run makes, in order."""
    world.expected(command)
    world.fresh(command)
    log = world.folder / "calls.log"
    log.unlink(missing_ok=True)
    done = world.zygote.run(command.words(world.root), world.root, Fault(log=str(log)))
    assert done.code == 0, done
    return log.read_text().splitlines()


def kills_of(calls: list[str]) -> Iterator[Fault]:
    """Killed before and after each call; writes also in their middle."""
    for at, call in enumerate(calls):
        yield Fault(at, Action.KILL_BEFORE)
        yield Fault(at, Action.KILL_AFTER)
        if call.startswith("write"):
            yield Fault(at, Action.TEAR)


def faults_of(calls: list[str]) -> Iterator[Fault]:
    """Each call refused in the ways of its kind, a disk that is full from there on, and signals."""
    for at, call in enumerate(calls):
        what = call.split()[0]
        for number in _ERRORS[what]:
            yield Fault(at, Action.FAIL, number)
        if what in ("open_w", "write", "mkdir"):
            yield Fault(at, Action.FAIL_FROM, errno.ENOSPC)
        for number in (signal.SIGINT, signal.SIGTERM):
            yield Fault(at, Action.SIGNAL, number)


def run_fault(world: World, command: Command, fault: Fault, figures: Figures) -> None:
    """One fault on one command, and all that must hold after it."""
    world.expected(command)
    world.fresh(command)
    done = world.zygote.run(command.words(world.root), world.root, fault)
    _check_end(fault, done, world.root)
    figures.runs += 1
    figures.ends[_named(done)] += 1
    world.check_after_fault(command)
    if done.code == 0:
        assert world.check_next_run(command) is not None
        return
    for name in world.check_next_run(command):
        figures.left[Path(name).suffix] += 1


def _named(done: Done) -> str:
    if done.code == -signal.SIGKILL:
        return "killed"
    return {0: "completed", 130: "interrupted", 143: "terminated"}.get(done.code, "refused")


def _check_end(fault: Fault, done: Done, root: Path) -> None:
    """A process ends as it was made to; where it says something, in a line that names the place."""
    assert "Traceback" not in done.err, done.err
    if done.code == -signal.SIGKILL:
        assert fault.action in (Action.KILL_BEFORE, Action.KILL_AFTER, Action.TEAR)
        return
    if fault.action is Action.SIGNAL:
        assert done.code in (0, 128 + fault.value), (fault, done)
    else:
        assert done.code in (0, 1, 2), (fault, done)
    if done.code:
        last = done.err.splitlines()[-1]
        assert last.startswith("pyphylo: error: "), done.err
        assert fault.action is Action.SIGNAL or str(root) in last, done.err
