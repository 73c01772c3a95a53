"""Feed changed files to every reader of foreign bytes.

::

    python tests/fuzz                            every reader, one second each
    python tests/fuzz --seconds 600 newick       one of them, ten minutes
    python tests/fuzz --together --seconds 0.5   all of them in one process, for a quick look

A reader gives a value, or raises an error of pyphylo that names the file; it never crashes,
hangs, raises anything else, writes, or takes more memory than a multiple of the file's size.
Inputs that broke this are kept in ``examples``, and are fed first.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
_ROOT = HERE.parent.parent
if any((_ROOT / "pyphylo").glob("_core*.so")):
    # The package of a source tree that was built in place; else the installed one.
    sys.path.insert(1, str(_ROOT))
import targets  # noqa: E402 -- which imports the package

LONGEST = 60.0
"""Seconds that one input may take."""
SETTING_UP = 300.0


def feed(
    names: list[str], folder: Path, seed: int, seconds: float
) -> dict[str, tuple[int, list[list[str]]]]:
    """Feed readers in a process of their own; of each how many inputs, and what was found."""
    folder.mkdir()
    environment = os.environ | {
        "NUMBA_CACHE_DIR": str(folder),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(sys.path[:2]),
        "HF_HUB_OFFLINE": "1",
    }
    arguments = [",".join(names), str(folder), str(seed), str(seconds), str(HERE / "examples")]
    with (folder / "stderr").open("wb") as stderr:
        worker = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), *arguments], stderr=stderr, env=environment
        )
        hung = _watched(worker, folder, len(names) * seconds)
    found = {name: _found(folder / name) for name in names}
    if hung or worker.returncode:
        what = "hang" if hung else f"crash ({_reason(worker.returncode)})"
        name = (folder / "now").read_text() if (folder / "now").exists() else names[0]
        inputs = sorted((folder / name / "files").glob(f"{targets.TARGETS[name].stem}*"))
        data = inputs[0].read_bytes() if inputs else b""
        said = (folder / "stderr").read_text("utf-8", "replace")[-3000:]
        found[name][1].append([what, said, data.hex()])
    return found


def _found(folder: Path) -> tuple[int, list[list[str]]]:
    count = folder / "count"
    findings = [json.loads(line) for line in _lines(folder / "findings")]
    return int(count.read_text()) if count.exists() else 0, findings


def _watched(worker: subprocess.Popen[bytes], folder: Path, seconds: float) -> bool:
    """Wait for the worker; whether it had to be killed over one input."""
    begun = time.monotonic()
    while worker.poll() is None:
        time.sleep(0.05)
        last = _began(folder / "state")
        late = last > 0 and time.monotonic() - last > LONGEST
        if late or time.monotonic() - begun > seconds + SETTING_UP:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
            return True
    return False


def _began(state: Path) -> float:
    """When the input began that is read now; 0 between readers."""
    data = state.read_bytes() if state.exists() else b""
    return float(struct.unpack("<dd", data)[1]) if len(data) == 16 else 0.0


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _reason(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit {code}"


def main() -> int:
    """Feed the readers that are named; 1 where something was found."""
    parser = argparse.ArgumentParser("tests/fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(targets.TARGETS))
    parser.add_argument("--seconds", type=float, default=1.0, help="of each reader (default 1)")
    parser.add_argument("--seed", type=int, default=0, help="another one, other inputs")
    parser.add_argument("--findings", type=Path, metavar="DIR", help="where findings are written")
    parser.add_argument("--together", action="store_true", help="one process for all readers")
    args = parser.parse_args()
    unknown = set(args.targets) - targets.TARGETS.keys()
    if unknown:
        parser.error(f"no target {sorted(unknown)[0]!r}")
    wanted = args.targets or list(targets.TARGETS)
    work = Path(tempfile.mkdtemp(prefix="pyphylo-fuzz-"))
    broken = False
    try:
        for number, names in enumerate([wanted] if args.together else [[name] for name in wanted]):
            found = feed(names, work / str(number), args.seed, args.seconds)
            for name, (count, findings) in found.items():
                print(f"{name}: {count} inputs, {len(findings)} findings", flush=True)
                broken |= bool(findings)
                _show(name, findings, args.findings)
    finally:
        shutil.rmtree(work)
    return int(broken)


def _show(name: str, findings: list[list[str]], folder: Path | None) -> None:
    for number, (what, text, data) in enumerate(findings):
        print(f"  {what}\n{text}", flush=True)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}-{number}").write_bytes(bytes.fromhex(data))
            print(f"  kept as {folder / f'{name}-{number}'}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
