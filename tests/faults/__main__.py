"""``python -m tests.faults``: every fault, or as many as are asked for, with figures.

    python -m tests.faults kills            every command killed before, in and after every call
    python -m tests.faults kills --runs 200 so many of them, drawn by --seed
    python -m tests.faults errors           every call refused, the disk full from it on, signals
    python -m tests.faults cold --runs 40   whole processes, killed after a random time
    python -m tests.faults damage           every byte of every file changed, every length cut
    python -m tests.faults sharing          sixteen processes, a full disk, a read-only one
    python -m tests.faults api              a server that breaks off, fails and stutters

Ends with 1 at the first promise that is not kept, and says which. Linux and a C compiler.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # helpers beside the tests

from .damage import damages, make_files, told
from .scenarios import Figures, calls_of, faults_of, kills_of, run_fault
from .sharing import api_faults, check_api_fault, check_full_disk, check_race, check_read_only
from .world import COMMANDS, GENES, World
from .zygote import Fault, Zygote, build_shim


def _enumerated(
    world: World, args: argparse.Namespace, of: Callable[[list[str]], Iterator[Fault]]
) -> None:
    """All faults of a kind on all commands, or some of them."""
    every = []
    for command in COMMANDS.values():
        calls = calls_of(world, command)
        faults = [(command, fault, calls[fault.at]) for fault in of(calls)]
        print(f"{command.name}: {len(calls)} calls, {len(faults)} faults")
        every += faults
    if args.runs is not None and args.runs < len(every):
        every = random.Random(args.seed).sample(every, args.runs)
    figures = Figures()
    for command, fault, call in every:
        try:
            run_fault(world, command, fault, figures)
        except AssertionError as error:
            raise AssertionError(f"{command.name}, {fault} at {call}: {error}") from error
    print(f"{figures.runs} runs: {dict(figures.ends)}; left and passed over: {dict(figures.left)}")


def kills(world: World, args: argparse.Namespace) -> None:
    """Killed."""
    _enumerated(world, args, kills_of)


def errors(world: World, args: argparse.Namespace) -> None:
    """Refused."""
    _enumerated(world, args, faults_of)


def cold(world: World, args: argparse.Namespace) -> None:
    """Whole processes, ended by SIGKILL, SIGINT or SIGTERM after a random time."""
    random_ = random.Random(args.seed)
    program = (
        "import sys; from pyphylo.sampling.registry import register_backend; "
        "register_backend('letters', 'letters_backend:LettersSampler'); "
        "from pyphylo.cli import main; sys.exit(main())"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ends: Counter[str] = Counter()
    lasts = {}
    for command in COMMANDS.values():
        world.expected(command)
        world.fresh(command)
        argv = [sys.executable, "-c", program, *command.words(world.root)]
        begin = time.monotonic()
        subprocess.run(argv, env=env, check=True, capture_output=True)
        lasts[command.name] = time.monotonic() - begin
    for _ in range(args.runs or 40):
        command = random_.choice(list(COMMANDS.values()))
        number = random_.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
        world.fresh(command)
        argv = [sys.executable, "-c", program, *command.words(world.root)]
        process = subprocess.Popen(argv, env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        time.sleep(lasts[command.name] * random_.random())
        process.send_signal(number)
        process.communicate(timeout=120)
        ends[f"{signal.Signals(number).name} {process.returncode}"] += 1
        world.check_after_fault(command)
        world.check_next_run(command)
    print(f"{sum(ends.values())} runs: {dict(ends)}")


def damage(world: World, args: argparse.Namespace) -> None:
    """Bytes changed and files cut."""
    for file in make_files(world.folder / "damage"):
        data = file.path.read_bytes()
        named = [told(file, changed) for changed in damages(data, every=args.every)]
        file.path.write_bytes(data)
        print(f"{file.kind}: {len(data)} bytes, {len(named)} damages, {sum(named)} named, "
              f"{len(named) - sum(named)} that change nothing that is read")  # fmt: skip


def sharing(world: World, args: argparse.Namespace) -> None:
    """Many processes, and disks that do not take files."""
    print("race:", check_race(world, 16, 4))
    print("full disk:", check_full_disk(world) or "kept what was whole, then went on")
    print("read-only disk:", check_read_only(world) or "refused before work, read all the same")


def api(world: World, args: argparse.Namespace) -> None:
    """A failing server."""
    ends: Counter[str] = Counter()
    for name, answer in api_faults().items():
        for at in range(2 * GENES):
            for stays in (False, True):
                ended = check_api_fault(world, answer, at, stays=stays)
                ends[f"{name}, {'for good' if stays else 'once'}: {ended}"] += 1
    for name, count in sorted(ends.items()):
        print(f"{count} x {name}")


def main() -> int:
    """Parse and run."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = {each.__name__: each for each in (kills, errors, cold, damage, sharing, api)}
    parser.add_argument("kind", nargs="*", metavar="KIND", help=f"{', '.join(kinds)} (all)")
    parser.add_argument("--runs", type=int, help="so many faults, drawn; all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=1, help="damage every n-th byte")
    args = parser.parse_args()
    unknown = set(args.kind) - kinds.keys()
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    memory = Path("/dev/shm")  # noqa: S108  (a fsync costs nothing there)
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        shim = build_shim(Path(folder))
        if shim is None:
            sys.exit("needs Linux and a C compiler (cc)")
        with Zygote(shim) as zygote:
            for name in args.kind or kinds:
                begin = time.monotonic()
                try:
                    kinds[name](World(Path(folder), zygote), args)
                except AssertionError as error:
                    print(f"{name}: NOT KEPT: {error}")
                    return 1
                print(f"{name}: kept, {time.monotonic() - begin:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
