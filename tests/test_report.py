"""The report's file: what is in it, what cannot run, what is refused."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

import pyphylo as pp
from pyphylo.cli import main
from pyphylo.errors import PyphyloWarning
from pyphylo.report import report_html, write_report
from pyphylo.report._columns import columns_of
from pyphylo.report._numbers import classical_scaling, heat_map, nearest
from pyphylo.report._page import inert_json, script, style

STRANGE = (
    "<img src=x onerror=alert(1)>",
    "a 'quoted', \"double\" name",
    "comma, and; semicolon",
    "\U0001f98a emoji",
    "\u0639\u0631\u0628\u064a \u05e2\u05d1\u05e8\u05d9\u05ea",
    "</script><script>alert(2)</script>",
    "@@data@@ <!-- ",
    "under_score",
)


def distances(n, seed=0, names=None):
    """Distances of points in space."""
    points = np.random.default_rng(seed).normal(size=(n, 6))
    square = cdist(points, points) / 4
    return pp.DistanceMatrix(square, names or [f"model-{i}" for i in range(n)])


def payload_of(page):
    """The data of a page."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return json.loads(text)


def array(text, dtype):
    return np.frombuffer(base64.b64decode(text), dtype=dtype)


def table():
    """Four models of two families; each has a word of its own after the second prompt."""
    rows = []
    for model, first, own in (("a1", " x", "one"), ("a2", " x", "two"), ("b1", " y", "ten"),
                              ("b2", " y", "six")):  # fmt: skip
        rows += [(model, "g1", first)] * 8 + [(model, "g2", own)] * 6 + [(model, "g2", "all")] * 2
    return pp.AlleleTable.from_records(rows, rule=pp.AlleleRule())


# -- what cannot run


def test_names_and_titles_stand_in_the_page_as_text_only():
    page = report_html(distances(len(STRANGE), names=STRANGE), title=STRANGE[5])
    assert sorted(payload_of(page)["names"]) == sorted(STRANGE)
    assert "<img" not in page
    assert "alert(2)</script>" not in page
    assert page.count("<script") == 2


def test_the_policy_allows_this_script_and_this_style_and_nothing_else():
    page = report_html(distances(5))
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    (program,) = re.findall(r"<script>(.*?)</script>", page, re.S)
    (sheet,) = re.findall(r"<style>(.*?)</style>", page, re.S)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    for rule, text in (("script-src", program), ("style-src", sheet)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in policy


def test_the_page_names_no_other_place_and_sets_no_markup():
    page = report_html(distances(5))
    elsewhere = set(re.findall(r"https?://[^\s'\"<]+", page)) - {"http://www.w3.org/2000/svg"}
    assert elsewhere == set()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", page)
    assert not re.search(r"<[a-z][^>]*\son[a-z]+=", page)
    assert " style=" not in page


@given(st.recursive(st.none() | st.booleans() | st.integers(-(2**40), 2**40)
                    | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
                    lambda part: st.lists(part) | st.dictionaries(st.text(), part)))  # fmt: skip
def test_inert_json_is_json_without_markup(payload):
    text = inert_json(payload)
    assert json.loads(text) == payload
    assert not set("<>&") & set(text)
    assert text.isascii()


# -- what is shown


def test_everything_is_in_the_order_of_the_tree():
    D = distances(40, seed=3)
    data = payload_of(report_html(D))
    tree = pp.neighbor_joining(D).root_at("midpoint").ladderize()
    assert tuple(data["names"]) == tree.tips
    assert data["tree"]["parent"] == tree.parent.tolist()
    assert data["tree"]["length"] == pytest.approx(tree.length.tolist(), rel=1e-8)
    square = D.filter(tree.tips).values
    k = data["near"]["k"]
    index = array(data["near"]["index"], "<u4").reshape(40, k)
    for i in range(40):
        order = sorted((square[i, j], j) for j in range(40) if j != i)[:k]
        assert index[i].tolist() == [j for _, j in order]
    found = array(data["near"]["distance"], "<f4").reshape(40, k)
    assert np.allclose(found, np.take_along_axis(square, index.astype(int), axis=1), rtol=1e-6)


def test_cells_of_the_heat_map_are_means_of_blocks(monkeypatch):
    square = distances(23).values.copy()
    square[2, 5] = square[5, 2] = np.nan
    for side in (1000, 10):
        monkeypatch.setattr("pyphylo.report._numbers._SIDE", side)
        monkeypatch.setattr("pyphylo.report._numbers._ROWS", 7)
        heat = heat_map(square)
        block = heat["block"]
        assert heat["side"] == -(-23 // block) <= side
        levels = array(heat["cells"], "u1").reshape(heat["side"], -1)
        for row in range(heat["side"]):
            for column in range(heat["side"]):
                part = square[
                    row * block : (row + 1) * block, column * block : (column + 1) * block
                ]
                known = np.exp(-part[np.isfinite(part)])
                if not known.size:
                    assert levels[row, column] == 255
                    continue
                value = heat["low"] + (heat["high"] - heat["low"]) * levels[row, column] / 254
                assert value == pytest.approx(known.mean(), abs=0.51 / 254)


def test_relatives_without_a_distance_come_last():
    square = distances(6).values.copy()
    square[0, 2] = square[2, 0] = np.nan
    index, value = nearest(square, 10)
    assert index.shape == (6, 5)
    assert index[0, -1] == 2
    assert np.isnan(value[0, -1])
    assert np.isfinite(value[1]).all()


@pytest.mark.parametrize("n", [30, 150])
def test_a_plane_is_mapped_as_it_is(n):
    points = np.random.default_rng(1).normal(size=(n, 2)) * (3, 1)
    square = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2))
    xy, share = classical_scaling(square)
    again = np.sqrt(((xy[:, None] - xy[None]) ** 2).sum(axis=2))
    assert np.allclose(again, square, atol=1e-6)
    assert share[0] > share[1]
    assert sum(share) == pytest.approx(1)


def test_columns_are_numbers_or_texts_by_frequency():
    rows = {
        "a": {"family": "x", "size": "1.5", "flag": "1"},
        "b": {"family": "y", "size": "2", "flag": "2"},
        "c": {"family": "y", "size": "70"},
        "d": {},
    }
    family, size, flag = columns_of(rows, ["a", "b", "c", "d"])
    assert family == {
        "name": "family",
        "kind": "text",
        "levels": ["y", "x"],
        "codes": [1, 0, 0, -1],
    }
    assert size == {"name": "size", "kind": "number", "values": [1.5, 2.0, 70.0, None]}
    assert flag["kind"] == "text"


def test_dates_are_a_ramp_that_shows_what_was_written():
    written = ["2023-01", "2023-07-02", "2025", "", "2023-02-31"]
    rows = {name: {"date": text} for name, text in zip("abcd", written, strict=False)}
    (date,) = columns_of(rows, ["a", "b", "c", "d"])
    assert date["kind"] == "number"
    assert date["values"] == pytest.approx([2023.0, 2023.497, 2025.0, None], abs=1e-3)
    assert date["texts"] == written[:4]
    rows["e"] = {"date": written[4]}
    (no_date,) = columns_of(rows, ["a", "b", "c", "e"])
    assert no_date["kind"] == "text"


def test_telling_alleles_are_those_that_others_lack():
    with pytest.warns(pp.PyphyloWarning, match="needs 8 genes"):
        data = payload_of(report_html(table(), merges=False))
    assert sorted(data["names"]) == ["a1", "a2", "b1", "b2"]
    i = data["names"].index("a1")
    (_, allele, own, mean, beside), *_ = data["alleles"]["rows"][i]
    assert (allele, own, mean) == ("one", 0.75, pytest.approx(0.75 / 4, abs=1e-3))
    assert beside == [0, 0, 0]
    said = {row[1]: row for row in data["alleles"]["rows"][i]}
    nearest_of_a1 = data["names"][array(data["near"]["index"], "<u4")[i * data["near"]["k"]]]
    assert nearest_of_a1 == "a2"
    assert said["x"][4] == [1, 0, 0]


def many_genes(n_models=12, n_genes=20):
    """Completions of many genes; models of one half of the order say alike."""
    rng = np.random.default_rng(7)
    rows = []
    for model in range(n_models):
        for gene in range(n_genes):
            base = rng.integers(0, 3, size=8) + (10 if model % 2 and gene % 3 else 0)
            rows += [(f"m{model}", f"g{gene}", f"w{word:03d} and more") for word in base]
    return rows


def test_limits_are_those_of_the_alleles():
    rows = many_genes()
    table = pp.AlleleTable.from_records(rows, rule=pp.AlleleRule())
    data = payload_of(report_html(table))
    names, k = data["names"], data["near"]["k"]
    frame = pp.distance_intervals(table, estimator="plugin").to_frame()
    low = {frozenset(pair): value for *pair, value in frame[["model", "other", "low"]].to_numpy()}
    index = array(data["near"]["index"], "<u4").reshape(-1, k)
    lower = array(data["near"]["lower"], "<f4").reshape(-1, k)
    upper = array(data["near"]["upper"], "<f4").reshape(-1, k)
    distance = array(data["near"]["distance"], "<f4").reshape(-1, k)
    for i, relatives in enumerate(index):
        for j, other in enumerate(relatives):
            assert lower[i, j] == pytest.approx(low[frozenset((names[i], names[other]))], abs=1e-6)
    assert (lower <= distance).all()
    assert (distance <= upper).all()
    other = distances(12, names=[f"m{i}" for i in range(12)])
    with pytest.warns(pp.PyphyloWarning, match="not those of the alleles"):
        assert "lower" not in payload_of(report_html(other, store=table))["near"]


def test_a_similarity_that_may_be_0_has_a_distance_without_upper_limit():
    """The floor of the logarithm, 23, is a convention and no limit."""
    rows = []
    for model, common in (("a", 12), ("b", 1), ("c", 12)):
        for gene in range(12):
            said = "a" if gene < common else model
            rows += [(model, f"g{gene}", f"{said} {k} and more") for k in (0, 0, 1)]
    data = payload_of(report_html(pp.AlleleTable.from_records(rows, rule=pp.AlleleRule())))
    i, k = data["names"].index("b"), data["near"]["k"]
    upper = array(data["near"]["upper"], "<f4").reshape(-1, k)
    assert np.isposinf(upper[i]).all()
    assert (upper[data["names"].index("a")] == [0, np.inf]).all()


def test_a_store_shows_the_words_of_its_models(tmp_path):
    path = tmp_path / "said.jsonl"
    records = [{"model": m, "gene": g, "completion": text} for m, g, text in many_genes()]
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    assert main(["import", str(path), "--store", str(tmp_path / "store")]) == 0
    assert main(["report", str(tmp_path / "store")]) == 0
    data = payload_of((tmp_path / "store.report.html").read_text(encoding="utf-8"))
    said = {(record["model"], record["gene"], record["completion"]) for record in records}
    shown = 0
    for name, rows in zip(data["names"], data["alleles"]["rows"], strict=True):
        for gene, allele, *_, words in rows:
            assert words.startswith(allele)
            assert (name, data["alleles"]["genes"][gene], words) in said
            shown += 1
    assert shown >= 12


def test_declared_parents_and_scores_are_shown():
    D = distances(30, seed=5)
    rows = {name: {"family": f"f{i % 3}"} for i, name in enumerate(D.ids)}
    rows["model-4"]["base_model"] = "model-7"
    rows["model-5"]["base_model"] = "somewhere else"
    import pandas as pd

    scores = pd.DataFrame({"model": D.ids, "quiz": np.linspace(0.2, 0.8, 30)})
    data = payload_of(report_html(D, metadata=rows, scores=scores))
    declared = dict(zip(data["names"], data["parents"]["declared"], strict=True))
    assert declared["model-4"] == "model-7"
    assert declared["model-5"] == "somewhere else"
    assert declared["model-6"] is None
    (target,) = data["scores"]["targets"]
    assert target["name"] == "quiz"
    true = dict(zip((data["names"][i] for i in target["tip"]), target["true"], strict=True))
    assert true["model-29"] == 0.8
    assert data["scores"]["groups"] == "families"


def test_an_empty_family_of_a_frame_is_none():
    D = distances(12, seed=5)
    import pandas as pd

    families = [np.nan if i == 3 else f"f{i % 3}" for i in range(12)]
    rows = pd.DataFrame({"model": D.ids, "family": families})
    scores = pd.DataFrame({"model": D.ids, "quiz": np.linspace(0.2, 0.8, 12)})
    data = payload_of(report_html(D, metadata=rows, scores=scores))
    assert data["scores"]["groups"] != "families"


def test_headings_that_are_almost_read_are_told_once(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("model,famly,bas_model\nmodel-1,a,model-2\n", encoding="utf-8")
    with pytest.warns(PyphyloWarning) as told:
        report_html(distances(12), metadata=path)
    assert sum("bas_model" in str(each.message) for each in told) == 1


@pytest.mark.parametrize(("n", "most"), [(1000, 6e6), (5000, 25e6)])
def test_files_stay_small(n, most, tmp_path):
    # A tree of its own: joining is not what is measured here
    parent = np.concatenate([np.repeat(np.arange(n, 2 * n - 1), 2), [-1]])
    names = [f"some-organisation/a-rather-long-model-name-{i}" for i in range(n)]
    tree = pp.Tree(names, parent, np.full(len(parent), 0.12345678))
    D = distances(n, names=names)
    rows = {name: {"family": f"family {i % 300}", "size": i / 7} for i, name in enumerate(names)}
    path = write_report(D, tmp_path / "r.html", tree=tree, metadata=rows)
    assert n * 300 < path.stat().st_size < most


def test_umap_keeps_groups_together():
    pytest.importorskip("umap", reason="umap-learn is not installed")
    points = np.random.default_rng(0).normal(size=(60, 4)) + np.repeat([[0], [40]], 30, axis=0)
    D = pp.DistanceMatrix(cdist(points, points) / 50, [f"{i // 30}-{i}" for i in range(60)])
    data = payload_of(report_html(D, umap=True))
    xy = array(data["map"]["umap"], "<f4").reshape(-1, 2)
    group = np.array([name[0] for name in data["names"]])
    near = cdist(xy, xy) + np.where(np.eye(60), np.inf, 0)
    assert (group[near.argmin(axis=1)] == group).all()
    assert "umap" not in payload_of(report_html(distances(4), umap=True))["map"]


def test_umap_is_drawn_unasked_only_where_it_is_installed_and_works(monkeypatch):
    where = "pyphylo.report._umap"
    monkeypatch.setattr(f"{where}.find_spec", lambda name: None)
    assert "umap" not in payload_of(report_html(distances(6)))["map"]
    monkeypatch.setattr(f"{where}.find_spec", lambda name: object())
    monkeypatch.setattr(f"{where}.neighbourhood_map", lambda values: np.zeros((len(values), 2)))
    assert "umap" in payload_of(report_html(distances(6)))["map"]
    assert "umap" not in payload_of(report_html(distances(6), umap=False))["map"]
    monkeypatch.setattr(f"{where}._UNASKED", 5)
    assert "umap" not in payload_of(report_html(distances(6)))["map"]

    def broken(values):
        raise ImportError("no module named umap.umap_")

    monkeypatch.setattr(f"{where}._UNASKED", 10)
    monkeypatch.setattr(f"{where}.neighbourhood_map", broken)
    with pytest.warns(pp.PyphyloWarning, match="the installed package umap fails"):
        data = payload_of(report_html(distances(6)))
    assert "umap" not in data["map"]
    with pytest.raises(ImportError):
        report_html(distances(6), umap=True)


def test_umap_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("pyphylo.report._umap.find_spec", lambda name: None)
    with pytest.raises(pp.InputError, match="umap-learn"):
        report_html(distances(4), umap=True)


# Machado, Oliveira & Fernandes (2009): protanopia, deuteranopia and tritanopia in linear RGB
BLINDNESS = np.array(
    [
        np.eye(3),
        [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
        [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
        [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
    ]
)
TO_XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]


def lab(colours, blindness):
    """CIE Lab (D65) of hexadecimal colours as somebody sees them."""
    parts = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colours])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    xyz = np.clip(linear @ blindness.T, 0, 1) @ np.array(TO_XYZ).T / [0.9505, 1, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_hues_and_greys_keep_apart_for_the_colour_blind(scheme):
    (hues,) = re.findall(rf"\b{scheme}: \[(.*?)\]", script())
    greys = re.findall(r"--branch: (#\w+); --lone: (#\w+);", style())[scheme == "dark"]
    colours = re.findall(r"#\w{6}", hues) + list(greys)
    assert len(colours) == 12
    for blindness in BLINDNESS:
        seen = lab(colours, blindness)
        assert (cdist(seen, seen) + 99 * np.eye(12)).min() > 14


# -- what is refused or said


def test_tree_and_matrix_that_disagree_show_what_both_have():
    tree = pp.neighbor_joining(distances(8))
    D = distances(9, names=[f"model-{i}" for i in range(2, 11)])
    with pytest.warns(pp.PyphyloWarning) as caught:
        data = payload_of(report_html(D, tree=tree))
    assert sorted(data["names"]) == [f"model-{i}" for i in range(2, 8)]
    said = [str(warning.message) for warning in caught]
    assert any("2 models that the tree has and the matrix lacks ('model-0'" in s for s in said)
    assert any("3 models that the matrix has and the tree lacks" in s for s in said)
    assert data["notes"] == said
    with pytest.raises(pp.InputError, match="share 0 models"):
        report_html(distances(3, names=["x", "y", "z"]), tree=tree)


def test_scores_of_another_kind_are_refused():
    with pytest.raises(pp.InputError, match=r"scores must be a path, a DataFrame .* not dict"):
        report_html(distances(4), scores={"model-1": {"quiz": 0.5}})


def test_metadata_of_unknown_models_are_named():
    D = distances(4)
    with pytest.warns(pp.PyphyloWarning, match="1 model of the metadata is not in the tree"):
        report_html(D, metadata={"model-1": {"family": "f"}, "stranger": {"family": "f"}})
    with pytest.warns(pp.PyphyloWarning, match="name none of these models"):
        report_html(D, metadata={"stranger": {"family": "f"}})


def test_one_model_is_no_tree():
    with pytest.raises(pp.InputError, match="at least 2 models"):
        report_html(pp.DistanceMatrix([[0.0]], ["alone"]))
    with pytest.raises(pp.InputError, match="there is only 'a1'"):
        report_html(table().select(models=["a1"]))
    assert len(payload_of(report_html(distances(2)))["names"]) == 2


def test_an_empty_store_says_what_to_do(tmp_path, capsys):
    genome = pp.Genome(["g1"], ["Once upon"])
    store = tmp_path / "store"
    pp.SampleStore.open_or_create(store, genome, {"mode": "import"})
    assert main(["report", str(store)]) == 2
    assert "holds no model yet" in capsys.readouterr().err
    assert [path.name for path in tmp_path.glob("*.html")] == []


def test_command(tmp_path, capsys):
    D = distances(12)
    D.save(tmp_path / "d.npz")
    (tmp_path / "m.csv").write_text("model,family\nmodel-1,a\n", encoding="utf-8")
    call = ["report", str(tmp_path / "d.npz"), "--metadata", str(tmp_path / "m.csv"), "--json"]
    assert main(call) == 0
    told = json.loads(capsys.readouterr().out)
    path = tmp_path / "d.report.html"
    assert told["report"] == str(path)
    assert told["bytes"] == path.stat().st_size
    assert payload_of(path.read_text(encoding="utf-8"))["columns"][0]["levels"] == ["a"]


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["-o", "d.npz"], "a report is an .html file"),
        (["--tree", "none.nwk"], "none.nwk"),
        (["--metadata", "none.csv"], "does not exist"),
        (["--store", "nowhere"], "nowhere"),
        (["--merges"], "merges are found by alleles: give a store"),
        (["-o", "no/where/r.html"], "folder does not exist"),
    ],
)
def test_bad_calls(tmp_path, monkeypatch, capsys, extra, said):
    monkeypatch.chdir(tmp_path)
    distances(4).save("d.npz")
    before = (tmp_path / "d.npz").read_bytes()
    assert main(["report", "d.npz", *extra]) == 2
    assert said in capsys.readouterr().err
    assert (tmp_path / "d.npz").read_bytes() == before


def test_folder_that_holds_nothing(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "holds no store" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "absent")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_folder_of_a_run(tmp_path):
    D = distances(6)
    D.save(tmp_path / "distances.npz")
    tree = pp.neighbor_joining(D).root_at("model-2")
    tree.write(tmp_path / "tree.nwk")
    (tmp_path / "metadata.csv").write_text("model,family\nmodel-1,a\n", encoding="utf-8")
    assert main(["report", str(tmp_path)]) == 0
    data = payload_of((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert data["tree"]["middle"] is False
    assert tuple(data["names"]) == tree.ladderize().tips
    assert data["columns"][0]["name"] == "family"
