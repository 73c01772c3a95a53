"""One store and many processes, a full disk, a read-only one, and a server that fails."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyphylo as pp
from pyphylo.store import SampleStore

from .world import COMMANDS, GENES, PROBES, World, files_below

__all__ = ["api_faults", "check_api_fault", "check_full_disk", "check_race", "check_read_only"]

WANTED_BY_ALL = "same"


def check_race(world: World, processes: int, own: int) -> dict[str, int]:
    """Processes sample models of their own and one that all want; each shard is written once.

    A lock of that one is held by nobody and left over from a dead process, and is no obstacle.
    """
    world.expected(COMMANDS["sample"])
    world.fresh(COMMANDS["sample"])
    models = world.root.parent / "models"
    names = [f"p{p}m{m}" for p in range(processes) for m in range(own)]
    for name in [*names, WANTED_BY_ALL]:
        (models / f"{name}.json").write_text(json.dumps({"note": name, "pause": 0.01}))
    store = world.root / "raced"
    Path(f"{store}.lock").touch()
    argvs = []
    for p in range(processes):
        given = [WANTED_BY_ALL, *(f"p{p}m{m}" for m in range(own))]
        argvs.append(
            ["sample", *(f"{name}={models / name}.json" for name in given), "--json",
             "--genome", f"{world.root}/in/genome.jsonl", "--probes", str(PROBES),
             "--backend", "letters", "--store", str(store)]
        )  # fmt: skip
    done = world.zygote.run_together(argvs, world.root)
    assert [each.code for each in done] == [0] * processes, [each.err for each in done]
    events = [json.loads(line) for each in done for line in each.out.splitlines()]
    written = [e["model"] for e in events if e["event"] == "model_done" and e["sampled_here"]]
    assert sorted(written) == sorted([*names, WANTED_BY_ALL])
    opened = SampleStore.open(store)
    assert len(list(opened.shards())) == len(names) + 1 == len(opened.models)
    assert not [name for name in files_below(store) if name.endswith(".part")]
    return {"processes": processes, "shards": len(written)}


def check_full_disk(world: World) -> str | None:
    """Import onto a disk of 200 kB that is too small, then onto it made larger; or why not."""
    with _mounted(world.folder / "disk", "size=200k") as disk:
        if disk is None:
            return "a file system cannot be mounted here"
        rows = world.folder / "many.jsonl"
        _write_rows(rows)
        argv = ["import", str(rows), "--store", f"{disk}/store"]
        done = world.zygote.run(argv, disk)
        assert done.code == 1, done
        assert "No space left on device" in done.err, done
        assert done.err.count("\n") == 1, done
        kept = SampleStore.open(disk / "store").models
        assert 0 < len(kept) < 60, kept
        before = files_below(disk / "store" / "shards")
        assert not [name for name in before if name.endswith(".part")]
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        done = world.zygote.run(argv, disk)
        assert done.code == 0, done
        after = files_below(disk / "store" / "shards")
        assert before.items() <= after.items()
        assert len(list(SampleStore.open(disk / "store").shards())) == 60
    return None


def check_read_only(world: World) -> str | None:
    """A store on a read-only disk is read, and refused before any sampling; or why not tried."""
    command = COMMANDS["sample"]
    world.expected(command)
    with _mounted(world.folder / "disk", "size=4m") as disk:
        if disk is None:
            return "a file system cannot be mounted here"
        world.fresh(command)
        sampled = f"{world.root}/sampled"
        words = [word.replace(sampled, f"{disk}/a/s") for word in command.words(world.root)]
        assert world.zygote.run(words, disk).code == 0
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        tried = sorted(world.root.parent.glob("models/*.pids"))
        before = [path.read_bytes() for path in tried]
        for place in (f"{disk}/a/s", f"{disk}/new"):
            now = [word.replace(f"{disk}/a/s", place) for word in words]
            done = world.zygote.run(now, disk)
            assert done.code == 2, done
            assert "read-only" in done.err, done
            assert done.err.count("\n") == 1, done
        assert [path.read_bytes() for path in tried] == before
        out = ["distance", f"{disk}/a/s", "-o", f"{world.root}/d.csv"]
        done = world.zygote.run(out, disk)
        assert done.code == 0, done
    return None


@contextmanager
def _mounted(place: Path, options: str) -> Iterator[Path | None]:
    """A small file system of its own; None where there is no right to mount one."""
    place.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def _write_rows(path: Path) -> None:
    """Rows of sixty models; each shard takes some kilobytes."""
    rows = (
        {"model": f"m{model}", "gene": f"g{gene}", "completion": f"{model * gene * probe} {probe}"}
        for model in range(60)
        for gene in range(20)
        for probe in range(30)
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


# -- a server ----------------------------------------------------------------------------


def api_faults() -> dict[str, object]:
    """What a server answers instead of completions."""
    half = b'{"model": "m", "choices": [{"text": " a'
    return {
        "connection cut before the answer": (0, {}, b""),
        "connection cut in the answer": (200, {"content-length": "4000"}, half),
        "half a JSON": (200, {"content-type": "application/json"}, half),
        "500": (500, {}, {"error": {"message": "oops"}}),
        "503 as a page": (503, {}, b"<html>busy</html>"),
    }


def check_api_fault(world: World, answer: object, at: int, *, stays: bool) -> str:
    """From the at-th request on the server fails, once or for good; then it is well again."""
    from stub_server import Stub, says, serving

    shutil.rmtree(world.root, ignore_errors=True)
    (world.root / "in").mkdir(parents=True)
    prompts = [f"prompt {k}" for k in range(GENES)]
    genome = pp.Genome([f"g{k}" for k in range(GENES)], prompts)
    genome.save(world.root / "in" / "genome.jsonl")

    def fault(stub: object, request: object) -> object:
        number = len(server.requests) - 1
        return answer if (number >= at if stays else number == at) else None

    with serving(Stub([fault])) as server:
        argv = [
            "sample", "m", "n", "--genome", f"{world.root}/in/genome.jsonl",
            "--probes", str(PROBES), "--backend", "openai", "--base-url", server.url,
            "--store", f"{world.root}/asked",
        ]  # fmt: skip
        done = world.zygote.run(argv, world.root)
        assert "Traceback" not in done.err, done
        assert done.code == (1 if stays else 0), done
        assert not stays or server.url in done.err, done
        shards = files_below(world.root / "asked" / "shards")
        server.faults.clear()
        asked = len(server.requests)
        again = world.zygote.run(argv, world.root)
        assert again.code == 0, again
        store = SampleStore.open(world.root / "asked")
        assert store.models == ("m", "n")
        assert shards.items() <= files_below(world.root / "asked" / "shards").items()
        for shard in store.shards():
            texts = [sorted(says(prompt, k) for k in range(PROBES)) for prompt in prompts]
            rows = shard.table.to_pylist()
            found = [sorted(r["completion"] for r in rows if r["gene"] == g) for g in range(GENES)]
            assert found == texts
        # What was answered before is not asked again.
        assert len(server.requests) - asked <= 2 * GENES - min(at, 2 * GENES) + 1
    return "refused" if done.code else "completed"
