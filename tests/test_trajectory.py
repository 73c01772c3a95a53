"""Training runs: distances against the kernels of all pairs, steps, pictures, the command."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from drawn_tables import drawn_table
from hypothesis import given, settings
from strategies import integer_populations, table_of

import pyphylo as pp
from pyphylo.cli import main
from pyphylo.plot import save_figure, trajectory_figure
from pyphylo.stats.trajectories import step_of


@pytest.fixture
def run():
    """A table with a run of drifting checkpoints and two other models."""
    rng = np.random.default_rng(3)
    n_genes, n_alleles = 48, 8
    p = rng.dirichlet(np.ones(n_alleles), n_genes)
    target = rng.dirichlet(np.ones(n_alleles), n_genes)
    shares = {0: 0.0, 10: 0.3, 100: 0.5, 1000: 0.5, 4000: 0.9}
    populations = {f"org/run@step{step}": (1 - w) * p + w * target for step, w in shares.items()}
    populations |= {"goal": target, "else": rng.dirichlet(np.ones(n_alleles), n_genes)}
    rows = []
    for model, (name, q) in enumerate(populations.items()):
        for gene in range(n_genes):
            for allele, count in enumerate(rng.multinomial(32, q[gene])):
                rows.append((model, gene, f"{allele}", int(count)))
        assert name
    model, gene, allele, count = zip(*rows, strict=True)
    genes = [f"g{g}" for g in range(n_genes)]
    table = pp.AlleleTable.from_counts(list(populations), genes, model, gene, allele, count)
    return table, list(populations)[:5]


def test_distances_and_errors_are_those_of_all_pairs(run):
    table, names = run
    found = pp.trajectory(table, names, ["goal", "else"])
    assert found.attrs["unit"] == "step"
    assert len(found) == 5 * 4 + 4
    assert found.drop_duplicates("checkpoint")["step"].tolist() == [0, 10, 100, 1000, 4000]
    errors = pp.similarity_errors(table, estimator="unbiased")
    row = {name: i for i, name in enumerate(table.models)}

    def of_pairs(square, rows):
        return [square[row[a], row[b]] for a, b in rows[["checkpoint", "other"]].to_numpy()]

    for name in ("similarity", "distance"):
        expected = of_pairs(errors.square(name), found)
        np.testing.assert_allclose(found[name], expected, atol=1e-12)
    # Away from 0, where all pairs are given as 0 without error.
    far = found[found["lower"] > 0]
    assert len(far) > 12
    expected = of_pairs(errors.square("similarity_error") / errors.square("similarity"), far)
    np.testing.assert_allclose(far["error"], expected, rtol=1e-9)
    np.testing.assert_allclose(far["upper"] - far["lower"], 2 * 1.959964 * far["error"], rtol=1e-6)


def test_it_tells_where_the_run_went(run):
    table, names = run
    found = pp.trajectory(table, names, ["goal", "else"]).set_index(["to", "other"]).sort_index()
    start = found.loc[("start", names[0]), "distance"].to_numpy()
    assert start[0] == 0
    assert (np.diff(start)[[0, 1, 3]] > 0).all()
    goal = found.loc[("reference", "goal"), "distance"].to_numpy()
    assert goal[-1] < 0.1 * goal[0]
    still = found.loc[[("previous", names[2])]].iloc[0]
    assert still["lower"] == 0 < still["upper"] < 0.05
    moved = found.loc[[("previous", names[0])]].iloc[0]
    assert moved["lower"] > 0
    assert moved["speed"] == pytest.approx(moved["distance"] / 10)
    assert moved["speed_upper"] == pytest.approx(moved["upper"] / 10)
    assert found.loc["start", "speed"].isna().all()


def test_equal_checkpoints_have_an_interval_at_0():
    """An unbiased similarity above 1 is a distance of 0, but not a sure one."""
    table = drawn_table(5, 6, 30, 4, 6)
    found = pp.trajectory(table, table.models)
    above = found[(found["similarity"] > 1)]
    assert len(above) > 1
    assert (above["distance"] == 0).all()
    assert (above["lower"] == 0).all()
    assert (above["error"] > 0).all()
    assert (above["upper"] > 0).any()


@settings(max_examples=40)
@given(integer_populations())
def test_odd_shapes(populations):
    populations = {m: cells for m, cells in populations.items() if cells}
    table = table_of(populations)
    if len(table.models) < 2 or len(table.genes) < 2:
        return
    found = pp.trajectory(table, table.models, estimator="unbiased")
    k = len(table.models)
    assert len(found) == 2 * k + k - 1
    itself = found["checkpoint"] == found["other"]
    assert (found.loc[itself, ["distance", "error", "upper"]] == 0).all(axis=None)
    known = found[found["error"].notna() & found["distance"].notna()]
    assert (known["lower"] <= known["distance"]).all()
    assert (known["distance"] <= known["upper"]).all()


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("EleutherAI/pythia-70m@step1000", 1000),
        ("allenai/OLMo-2@stage1-step5000-tokens21B", 5000),
        ("out/checkpoint-250", 250),
        ("run@iter_30", 30),
        ("Run@Step=7", 7),
        ("gpt2", None),
        ("llama-7b", None),
        ("org/run@main", None),
    ],
)
def test_steps_in_names(name, step):
    assert step_of(name) == step


def test_patterns_steps_and_counting(run):
    table, names = run
    shuffled = table.select(models=[*reversed(names), "goal", "else"])
    found = pp.trajectory(shuffled, "org/run@step*", ["goal"])
    pd.testing.assert_frame_equal(found, pp.trajectory(table, names, ["goal"]))
    given = pp.trajectory(table, [*names, "goal"], steps=[0, 1, 2, 3, 4, 5.5])
    assert given["step"].max() == 5.5
    counted = pp.trajectory(table, [*names, "goal"])
    assert counted.attrs["unit"] == "checkpoint"
    assert counted.drop_duplicates("checkpoint")["step"].tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("checkpoints", "options", "message"),
    [
        (["org/run@step0", "org/run@step11"], {}, r"did you mean 'org/run@step"),
        (["org/run@step0", "org/run@step10"], {"references": ["gaol"]}, "did you mean 'goal'"),
        (["org/run@step10", "org/run@step0"], {}, "'org/run@step10' is at 10, and behind it"),
        (["org/run@step0"], {}, "two checkpoints at least, not 1"),
        (["org/run@step0", "org/run@step0"], {}, "occurs twice"),
        ("org/ran@step*", {}, "checkpoint 'org/ran@step.*' is none of the table's 7 models"),
        ("org/run@step1000", {}, "match one model"),
        ("*@step*", {"steps": [1, 2]}, "5 checkpoints need as many steps, not 2"),
        ("*@step*", {"steps": [1, 2, 3, 4, float("nan")]}, "steps must increase"),
        ("*@step*", {"confidence": 1}, "between 0 and 1, not 1"),
        ("*@step*", {"estimator": "best"}, "unknown estimator 'best'"),
    ],
)
def test_bad_input(run, checkpoints, options, message):
    with pytest.raises(pp.InputError, match=message):
        pp.trajectory(run[0], checkpoints, **options)


def test_too_few_genes_or_probes(run):
    table, names = run
    with pytest.raises(pp.InputError, match="the table has 1: sample two genes"):
        pp.trajectory(table.select(genes=["g0"]), names)
    rows = [("a", "g", "x"), ("a", "h", "x"), ("b", "g", "x"), ("b", "g", "y"), ("b", "h", "x")]
    single = pp.AlleleTable.from_records(rows)
    with pytest.raises(pp.InputError, match="no gene has them in 'a'"):
        pp.trajectory(single, ["a", "b"])


@pytest.mark.parametrize("steps", [None, [0, 1, 2, 3, 4], [5, 10, 20, 30, 40]])
def test_pictures(run, tmp_path, steps):
    table, names = run
    found = pp.trajectory(table, names, ["goal", "else"], steps=steps)
    fig = trajectory_figure(found, title="A $run$")
    distance, speed = fig.axes[1], fig.axes[0]
    drawn = {line.get_label(): line for line in distance.get_lines()}
    assert set(drawn) == {f"start ({names[0]})", f"end ({names[-1]})", "goal", "else"}
    goal = found[found["other"] == "goal"]
    np.testing.assert_array_equal(drawn["goal"].get_ydata(), goal["distance"])
    (levels,) = speed.get_lines()
    speeds = found.loc[found["to"] == "previous", "speed"]
    np.testing.assert_array_equal(levels.get_ydata()[::2], speeds)
    wide = steps is None  # steps from 10 to 4000
    assert (distance.get_xscale() == "symlog") == wide
    low, high = speed.get_ylim()
    assert low < high
    assert (np.diff([low, *sorted(speeds[speeds > low]), high]) >= 0).all()
    one = [path.read_bytes() for path in save_figure(fig, tmp_path / "one")]
    two = [path.read_bytes() for path in save_figure(trajectory_figure(found, title="A $run$"),
                                                     tmp_path / "two")]  # fmt: skip
    assert one == two


def test_a_run_that_never_moved_is_drawn(tmp_path):
    rows = [(m, g, "same") for m in ("r@step1", "r@step1000") for g in "abc" for _ in range(4)]
    table = pp.AlleleTable.from_records(rows)
    found = pp.trajectory(table, "r@step*")
    assert (found["distance"] == 0).all()
    save_figure(trajectory_figure(found), tmp_path / "still")


def test_frames_of_another_kind_are_refused():
    with pytest.raises(pp.InputError, match="'to' is missing"):
        trajectory_figure(pd.DataFrame({"step": [1]}))


def test_command(run, tmp_path, capsys):
    table, names = run
    path, out = tmp_path / "table.ppt", tmp_path / "run.csv"
    table.save(path)
    words = ["trajectory", "org/run@step*", "--store", str(path), "--references", "goal"]
    assert main([*words, "-o", str(out), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["unit"] == "step"
    assert data["files"] == [str(out.with_suffix(s)) for s in (".csv", ".svg", ".png")]
    expected = pp.trajectory(table, names, ["goal"])
    pd.testing.assert_frame_equal(pd.read_csv(out), expected, check_dtype=False)
    assert len(data["rows"]) == len(expected)
    assert main([*words[:3], str(path), "--no-pictures"]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[0].split() == ["checkpoint", "step", "start", "end", "speed"]
    assert main(["trajectory", *names[:1], "org/run@step11", "--store", str(path)]) == 2
    assert "did you mean" in capsys.readouterr().err
    assert main([*words, "-o", str(path)]) == 2
    assert "take the place" in capsys.readouterr().err
