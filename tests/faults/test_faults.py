"""A selection of `python -m tests.faults` that takes seconds; there every fault is run."""

from __future__ import annotations

import random
from importlib.util import find_spec

import pytest

from faults.damage import damages, make_files, told
from faults.scenarios import Figures, calls_of, faults_of, kills_of, run_fault
from faults.sharing import (
    api_faults,
    check_api_fault,
    check_full_disk,
    check_race,
    check_read_only,
)
from faults.world import COMMANDS, World
from faults.zygote import Action, Fault, Zygote, build_shim

pytestmark = pytest.mark.xdist_group("faults")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    shim = build_shim(folder)
    if shim is None:
        pytest.skip("needs Linux and a C compiler")
    with Zygote(shim) as zygote:
        yield World(folder, zygote)


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_or_refused_at_any_call(world, name):
    command = COMMANDS[name]
    calls = calls_of(world, command)
    # Where something is put in place, all that can happen; elsewhere some of it.
    kills, faults = list(kills_of(calls)), list(faults_of(calls))
    renames = [fault for fault in kills if calls[fault.at].startswith("rename")][:2]
    drawn = random.Random(name)
    chosen = [*renames, *drawn.sample(kills, 5), *drawn.sample(faults, 7)]
    figures = Figures()
    for fault in chosen:
        run_fault(world, command, fault, figures)
    assert figures.runs == len(chosen)
    assert figures.ends["killed"] >= len(renames) + 5


def test_what_is_put_in_place_is_on_the_disk_first(world):
    """Of each file: written, then fsync, then renamed; then fsync of its folder."""
    for name in ("sample", "import", "distance"):
        calls = [call.split(" ", 1) for call in calls_of(world, COMMANDS[name])]
        renamed = [k for k, (what, _) in enumerate(calls) if what == "rename"]
        assert renamed
        for k in renamed:
            target = calls[k][1]
            if target.endswith(".alleles"):
                continue  # checked by its reader, and made again from the store
            part = f"{target}.part"
            touched = [what for what, path in calls[:k] if path == part]
            last_write = max(i for i, what in enumerate(touched) if what == "write")
            assert "fsync" in touched[last_write:]
            assert ["fsync", target.rpartition("/")[0]] in calls[k:]


@pytest.mark.parametrize("kind", range(8))
def test_a_changed_byte_is_named(tmp_path, kind):
    file = make_files(tmp_path / "files")[kind]
    data = file.path.read_bytes()
    named = [told(file, changed) for changed in damages(data, every=29, start=kind)]
    # A listing reads the ends of shards only, and an archive holds bytes that nobody reads.
    assert sum(named) > 0.6 * len(named)
    if not file.kind.startswith(("listing", "matrix")):
        assert all(named)


def test_only_the_damaged_shard_is_made_again(world):
    for name in ("sample", "import"):
        command = COMMANDS[name]
        (written,) = world.expected(command).values()
        world.fresh(command)
        world.must(command)
        place = world.root / command.stores[0]
        shards = sorted(file for file in written if file.startswith("shards/"))
        for at in (0.01, 0.5, 0.99):  # in the columns, in the middle, in the footer
            damaged = place / shards[1]
            data = bytearray(damaged.read_bytes())
            data[int(len(data) * at)] ^= 4
            damaged.write_bytes(data)
            before = {file: (place / file).stat().st_ino for file in shards}
            done = world.must(command)
            assert done.err.count("is damaged") == 1
            assert damaged.name in done.err
            assert {f: (place / f).read_bytes() for f in written} == written
            kept = [f for f in shards if (place / f).stat().st_ino == before[f]]
            assert kept == [shards[0], *shards[2:]]


def test_many_processes_and_one_store(world):
    assert check_race(world, 5, 2) == {"processes": 5, "shards": 11}


@pytest.mark.parametrize("check", [check_full_disk, check_read_only])
def test_disks_that_take_no_more(world, check):
    reason = check(world)
    if reason is not None:
        pytest.skip(reason)


@pytest.mark.skipif(find_spec("openai") is None, reason="needs the package openai")
@pytest.mark.parametrize("answer", api_faults())
@pytest.mark.parametrize("stays", [False, True])
def test_a_server_that_fails(world, answer, stays):
    check_api_fault(world, api_faults()[answer], 2, stays=stays)


def test_the_shim_strikes(world):
    """A fault that never came would pass for one that was borne."""
    command = COMMANDS["tree"]
    calls = calls_of(world, command)
    log = world.folder / "struck.log"
    world.fresh(command)
    fault = Fault(len(calls) - 1, Action.KILL_BEFORE, log=str(log))
    assert world.zygote.run(command.words(world.root), world.root, fault).code == -9
    assert log.read_text().splitlines() == calls
