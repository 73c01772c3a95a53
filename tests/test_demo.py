"""Models bred along a known tree."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from pyphylo.demo import Budget, Family, breed, recovered_clades
from pyphylo.demo import train as training
from pyphylo.demo.plan import FAMILIES, Node, breeding_plan, tip_names, true_tree
from pyphylo.demo.text import passages
from pyphylo.errors import FileFormatError, InputError
from pyphylo.tree.tree import Tree

SMALL = Budget(base=3, family=2, subfamily=2, tip=1, length=16)
PAIR = {"prose": ("manual", ("help",)), "characters": ("names", ("entities", "properties"))}
TOTAL = sum(node.steps for node in breeding_plan(SMALL, PAIR))


def breed_small(out: Path, **options: object) -> Family:
    return breed(out, budget=SMALL, families=PAIR, **options)  # type: ignore[arg-type]


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def notes(out: Path) -> dict[Path, int]:
    return {note: note.stat().st_mtime_ns for note in out.rglob("provenance.json")}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "family"


@pytest.fixture(scope="module")
def family(out: Path) -> Family:
    return breed_small(out)


# The plan


def path_length(plan: tuple[Node, ...], one: str, other: str) -> int:
    """Steps between two models, by way of their last common ancestor."""
    by_name = {node.name: node for node in plan}

    def lineage(name: str | None) -> dict[str, int]:
        found: dict[str, int] = {}
        while name is not None:
            found[name] = by_name[name].steps
            name = by_name[name].parent
        return found

    mine, theirs = lineage(one), lineage(other)
    return sum(s for n, s in (mine | theirs).items() if (n in mine) != (n in theirs))


@pytest.mark.parametrize("families", [FAMILIES, PAIR])
def test_true_tree_is_the_plan(families: dict[str, tuple[str, tuple[str, ...]]]) -> None:
    plan = breeding_plan(Budget(base=9, family=7, subfamily=5, tip=3), families)
    tree = true_tree(plan)
    assert sorted(tree.tips) == sorted(tip_names(plan))
    paths = tree.patristic()
    for one in tree.tips:
        for other in tree.tips:
            assert paths[tree.index(one), tree.index(other)] == path_length(plan, one, other)
    by_name = {node.name: node for node in plan}
    for tip in tree.tips:
        assert tree.depths()[tree.index(tip)] == path_length(plan, tip, "base")
        assert by_name[tip].family in families


def test_the_demo_has_16_tips_and_12_clades() -> None:
    tree = true_tree(breeding_plan(Budget()))
    assert tree.n_tips == 16
    assert recovered_clades(tree, tree) == (12, 12)


def test_parents_come_first() -> None:
    seen: set[str | None] = {None}
    for node in breeding_plan(Budget()):
        assert node.parent in seen
        assert sum(count for _, count in node.texts) >= 16
        seen.add(node.name)


def test_only_tips_of_one_parent_see_the_same_text() -> None:
    plan = [node for node in breeding_plan(Budget()) if node.parent is not None]
    own = {node.name: node.texts[0][0] for node in plan}
    for node in plan:
        sharing = {other.name for other in plan if own[other.name] == own[node.name]}
        clade = {other.name for other in plan if node.parent in (other.name, other.parent)}
        clade |= {other.name for other in plan if other.parent == node.name} | {node.name}
        assert sharing <= clade


def test_budgets_are_checked() -> None:
    with pytest.raises(InputError, match="tip must be at least 1, not 0"):
        Budget(tip=0)


# Counting


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("((a,b),(c,d),(e,f));", 3),
        ("(((a,b),c),d,(e,f));", 2),
        ("(((a,c),b),d,(e,f));", 1),
        ("(((a,c),e),d,(b,f));", 0),
        ("(a,b,c,d,e,f);", 0),
        ("((((a,b),(c,d)),e),f);", 3),
    ],
)
def test_recovered_clades(found: str, expected: int) -> None:
    true = Tree.from_newick("((a,b),((c,d),(e,f)));")
    assert recovered_clades(true, Tree.from_newick(found)) == (expected, 3)


def test_recovered_clades_of_other_tips_are_refused() -> None:
    with pytest.raises(InputError, match="only one has 'c'"):
        recovered_clades(Tree.from_newick("(a,b,c);"), Tree.from_newick("(a,b,d);"))


# Training


def test_training_lowers_the_loss() -> None:
    texts = passages("calendars")
    tokenizer = training.train_tokenizer(texts)
    tokens = training.encode(tokenizer, texts)
    model = training.new_model(len(tokenizer), seed=0)
    batch = tokens[:512].reshape(8, 64)

    def loss() -> float:
        with torch.no_grad():
            return float(model(input_ids=batch, labels=batch).loss)

    before = loss()
    training.train(model, [(tokens, 8)], 20, 3e-3, 64, 0, lambda steps: None)
    assert before > 6
    assert loss() < 0.7 * before


def test_tokenizer_gives_any_text_back() -> None:
    tokenizer = training.train_tokenizer(passages("manual"))
    assert len(tokenizer) == training.VOCABULARY
    for text in (
        "Ünïcødé 漢字 \U0001f600\n\n\t x",
        " leading and trailing ",
        "def f(x):\n    pass",
    ):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


# Breeding


def test_every_tip_is_a_folder_that_transformers_loads(family: Family) -> None:
    tips = tip_names(breeding_plan(SMALL, PAIR))
    assert tuple(family.models) == tuple(family.families) == tips
    for tip, folder in family.models.items():
        assert folder.name == tip
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder)
        tokens = tokenizer(" a b", return_tensors="pt")["input_ids"]
        assert tokenizer.decode(tokens[0]) == " a b"
        assert model(input_ids=tokens).logits.shape == (1, tokens.shape[1], len(tokenizer))


def test_all_models_differ(family: Family, out: Path) -> None:
    models = [path.parent for path in notes(out)]
    assert len(models) == len(breeding_plan(SMALL, PAIR))
    assert len({weights(folder) for folder in models}) == len(models)


def test_tree_and_metadata_are_written(family: Family, out: Path) -> None:
    assert Tree.read(out / "true.nwk") == family.tree == true_tree(breeding_plan(SMALL, PAIR))
    with (out / "metadata.csv").open(newline="", encoding="utf-8") as handle:
        rows = {row["model"]: row["family"] for row in csv.DictReader(handle)}
    assert rows == family.families
    assert set(rows.values()) == set(PAIR)


def test_genome_is_cut_from_text_that_no_model_saw(family: Family) -> None:
    assert len(family.genome) == 128
    starts = {kind: 0 for stem, branches in PAIR.values() for kind in (stem, *branches)}
    held_out = {kind: [text.strip() for text in passages(kind)[7::8]] for kind in starts}
    for prompt in family.genome.prompts:
        assert prompt is not None
        homes = [k for k, texts in held_out.items() if any(t.startswith(prompt) for t in texts)]
        assert homes
        starts[homes[0]] += 1
    assert min(starts.values()) >= 10


def test_a_second_call_trains_nothing(family: Family, out: Path) -> None:
    before, steps = notes(out), list[int]()
    again = breed_small(out, progress=steps.append)
    assert notes(out) == before
    assert steps == [TOTAL]
    assert (again.models, again.genome) == (family.models, family.genome)
    assert again.tree == family.tree


def test_a_model_that_is_not_finished_is_trained_again_and_comes_out_the_same(
    family: Family, out: Path
) -> None:
    tip = family.models["characters-entities-2"]
    ancestor = out / "ancestors" / "characters-entities"
    before, were = notes(out), {folder: weights(folder) for folder in (tip, ancestor)}
    for folder in (tip, ancestor):
        (folder / "provenance.json").unlink()
        (folder / "model.safetensors").write_bytes(b"cut off")
    breed_small(out)
    assert {folder: weights(folder) for folder in (tip, ancestor)} == were
    after = notes(out)
    changed = {note.parent for note in before if after[note] != before[note]}
    assert changed == {tip, ancestor}


def test_a_killed_call_is_continued_and_ends_the_same(family: Family, tmp_path: Path) -> None:
    done = 0

    def killed(steps: int) -> None:
        nonlocal done
        done += steps
        if done > TOTAL // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        breed_small(tmp_path, progress=killed)
    finished = notes(tmp_path)
    assert 0 < len(finished) < len(breeding_plan(SMALL, PAIR))
    steps: list[int] = []
    again = breed_small(tmp_path, progress=steps.append)
    assert sum(steps) == TOTAL
    assert finished.items() <= notes(tmp_path).items()
    for tip, folder in family.models.items():
        assert weights(again.models[tip]) == weights(folder)


def test_torch_s_own_random_numbers_are_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    training.new_model(64, seed=1)
    assert torch.equal(torch.rand(3), expected)


def test_another_seed_in_the_same_folder_is_refused(family: Family, out: Path) -> None:
    before = notes(out)
    with pytest.raises(InputError, match=r"ancestors/base.*not the same seed\)"):
        breed_small(out, seed=1)
    with pytest.raises(InputError, match="not the same length"):
        breed(out, budget=Budget(base=3, family=2, subfamily=2, tip=1, length=17), families=PAIR)
    assert notes(out) == before


def test_a_seed_changes_every_model(family: Family, tmp_path: Path) -> None:
    other = breed_small(tmp_path, seed=1)
    for tip, folder in family.models.items():
        assert weights(other.models[tip]) != weights(folder)
    assert other.genome != family.genome
    assert other.tree == family.tree


def test_a_damaged_note_is_named(family: Family, out: Path) -> None:
    note = family.models["prose-help-1"] / "provenance.json"
    data = note.read_bytes()
    try:
        for damaged in (b"{", b"[]", b"{}", json.dumps({"recipe": 3}).encode()):
            note.write_bytes(damaged)
            with pytest.raises(FileFormatError, match=r"prose-help-1.*remove"):
                breed_small(out)
    finally:
        note.write_bytes(data)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="file' cannot be a folder of models: File exists"):
        breed_small(tmp_path / "file")


@pytest.mark.parametrize("seed", [-1, 1.5, True])
def test_seeds_are_checked(tmp_path: Path, seed: object) -> None:
    with pytest.raises(InputError, match="seed must be a whole number"):
        breed_small(tmp_path, seed=seed)
