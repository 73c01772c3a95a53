"""AlleleRule and AlleleTable."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import integer_populations, mixed_populations, table_of

import pyphylo as pp
from pyphylo import _core, _reference
from pyphylo._names import clean_text
from pyphylo._texts import allele_column
from pyphylo.sampling.base import ModelIdentity, Population

quick = settings(max_examples=100, deadline=None)
TEXTS = st.text(alphabet=st.sampled_from(" \n\tabé😀\u0301\u00a0x"), max_size=12) | st.text()


@quick
@given(st.lists(TEXTS), st.sampled_from(["paper", "colab"]), st.integers(1, 6))
def test_rule_equals_the_oracle_alone_and_by_column(texts, preset, chars):
    rule = pp.AlleleRule(preset, chars=chars)
    expected = [_reference.allele(text, preset, chars) for text in texts]
    assert [rule(text) for text in texts] == expected
    assert rule.apply(pa.array(texts, pa.large_string())).to_pylist() == expected


@quick
@given(TEXTS, st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_normalisation_agrees(text, form):
    rule = pp.AlleleRule(normalize=form, chars=5)
    applied = rule.apply(pa.array([text], pa.large_string())).to_pylist()
    assert applied == [rule(text)]


def test_rule_presets():
    assert pp.AlleleRule()("  \n\n The answer") == " The"
    assert pp.AlleleRule("colab")("  \n\n The") == "  \n\n"
    assert pp.AlleleRule()("") == ""
    assert pp.AlleleRule()("e\u0301tude") == "e\u0301tu"
    assert pp.AlleleRule(normalize="NFC")("e\u0301tude") == "étud"
    assert pp.AlleleRule()("ab\ud83d") == "ab\ufffd"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "papier"}, "'papier'"),
        ({"chars": 0}, "chars"),
        ({"chars": True}, "chars"),
        ({"strip": " \n"}, "strip"),
        ({"strip": [""]}, "strip"),
        ({"normalize": "nfc"}, "'nfc'"),
    ],
)
def test_bad_rules(options, message):
    with pytest.raises(pp.InputError, match=message):
        pp.AlleleRule(**options)


def rows_of(populations):
    return [
        (m, g, allele)
        for m, cells in populations.items()
        for g, cell in cells.items()
        for allele, count in cell.counts.items()
        for _ in range(count)
    ]


@quick
@given(integer_populations(), st.randoms())
def test_table_holds_the_counts_whatever_the_order(populations, random):
    table = table_of(populations)
    frame = table.to_frame()
    held = {tuple(row) for row in frame.itertuples(index=False)}
    assert held == {
        (m, g, a, n)
        for m, cells in populations.items()
        for g, cell in cells.items()
        for a, n in cell.counts.items()
    }
    rows = rows_of(populations)
    random.shuffle(rows)
    shuffled = pp.AlleleTable.from_records(rows, pp.AlleleRule("colab", chars=9))
    kept = [m for m in table.models if m in shuffled.models]
    again = shuffled.select(models=kept, genes=[g for g in table.genes if g in shuffled.genes])
    assert again == table.select(models=kept, genes=again.genes)


@quick
@given(integer_populations(), st.integers(1, 7))
def test_batch_size_changes_nothing(populations, size):
    models = list(populations)
    rows = rows_of(populations)
    builder = _core.TableBuilder()
    builder.add_models(models)
    genes = sorted({g for _, g, _ in rows}) or ["g0"]
    builder.add_genes(genes)
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        builder.add_counts(
            np.array([models.index(m) for m, _, _ in part], np.int32),
            np.array([genes.index(g) for _, g, _ in part], np.int32),
            allele_column(pa.array([a for _, _, a in part], pa.string())),
            np.empty(0, np.int64),
        )
    assert pp.AlleleTable(builder.finish()) == table_of(populations, genes)


@quick
@given(mixed_populations())
def test_save_and_load(tmp_path_factory, populations):
    path = tmp_path_factory.mktemp("table") / "a.tbl"
    table = table_of(populations)
    table.provenance["note"] = "é"
    table.save(path)
    loaded = pp.AlleleTable.load(path)
    assert loaded == table
    assert loaded.provenance == table.provenance


@quick
@given(mixed_populations(), mixed_populations())
def test_append_then_select_gives_both_back(left, right):
    right = {f"r{m}": cells for m, cells in right.items()}
    a, b = table_of(left), table_of(right)
    both = a.append(b)
    assert both.models == a.models + b.models
    genes = [g for g in both.genes if g in a.genes]
    assert both.select(models=a.models, genes=genes) == a
    assert both.select(models=b.models, genes=list(b.genes)) == b


def test_records_as_tables_and_tuples():
    rows = [("a", "g", " hello"), ("b", "g", "hell no"), ("a", "h", ""), ("a", "g", "x")]
    table = pp.AlleleTable.from_records(iter(rows))
    frame = pd.DataFrame(rows, columns=["model", "gene", "completion"])
    assert table == pp.AlleleTable.from_records(pa.Table.from_pandas(frame))
    assert table == pp.AlleleTable.from_records(frame)
    assert table.models == ("a", "b")
    assert table.to_frame().to_dict("list") == {
        "model": ["a", "a", "a", "b"],
        "gene": ["g", "g", "h", "g"],
        "allele": ["hell", "x", "", "hell"],
        "count": [1, 1, 1, 1],
    }
    assert table.to_csr().sum() == 4


def test_repeated_rows_add_and_zeros_add_nothing():
    table = pp.AlleleTable.from_counts(
        ["a", "b"], ["g"], [0, 0, 0, 1], [0, 0, 0, 0], ["x", "x", "y", "x"], [1, 2, 0, 0]
    )
    assert table.to_frame().values.tolist() == [["a", "g", "x", 3]]
    assert table.summary()[0].tolist() == [3, 0]
    assert table.summary()[1] == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (([0], [0], ["x"], [-1]), "row 0: count -1"),
        (([2], [0], ["x"], [1]), "row 0: model index 2"),
        (([-1], [0], ["x"], [1]), "row 0: model_idx -1"),
        (([0, 0], [0, 5], ["x", "y"], [1, 1]), "row 1: gene index 5"),
        (([0], [0], ["x", "y"], [1]), "one length"),
        (([0], [0], [None], [1]), "row 0: the allele is null"),
        (([0], [0], [1], [1]), "alleles must be strings"),
        (([0.5], [0], ["x"], [1]), "model_idx"),
        (([0], [0], ["x"], [1.5]), "counts"),
        (([0] * 2, [0] * 2, ["x"] * 2, [2**31 - 1] * 2), "'a', gene 'g'"),
    ],
)
def test_bad_rows(rows, message):
    with pytest.raises(pp.InputError, match=message):
        pp.AlleleTable.from_counts(["a", "b"], ["g"], *rows)


@pytest.mark.parametrize(
    ("models", "message"),
    [(["a", "a"], "'a' occurs twice"), ([""], "non-empty"), ("ab", "one string"), ([1], "1")],
)
def test_bad_names(models, message):
    with pytest.raises(pp.InputError, match=message):
        pp.AlleleTable.from_counts(models, ["g"], [], [], [], [])


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [([0.6, 0.6], "'a', gene 'g'"), ([1.5, 0], "row 0"), ([float("nan"), 0], "row 0")],
)
def test_bad_probabilities(probabilities, message):
    with pytest.raises(pp.InputError, match=message):
        pp.AlleleTable.from_probabilities(["a"], ["g"], [0, 0], [0, 0], ["x", "y"], probabilities)


@pytest.mark.parametrize(
    "record", [("a", "g"), ("a", "g", 1), ("", "g", "x"), {"model": 1, "gene": 2, "completion": 3}]
)
def test_bad_records(record):
    with pytest.raises(pp.InputError):
        pp.AlleleTable.from_records([record])


def test_records_table_without_a_column():
    with pytest.raises(pp.InputError, match="completion"):
        pp.AlleleTable.from_records(pa.table({"model": ["a"], "gene": ["g"]}))


def saved(tmp_path):
    path = tmp_path / "a.tbl"
    pp.AlleleTable.from_records([("a", "g", "x"), ("b", "h", "yz")]).save(path)
    return path


def test_every_truncation_and_flipped_byte_is_refused(tmp_path):
    path = saved(tmp_path)
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(pp.FileFormatError):
            pp.AlleleTable.load(path)
    for position in range(len(data)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        with pytest.raises(pp.FileFormatError):
            pp.AlleleTable.load(path)
    path.write_bytes(data + b"\0")
    with pytest.raises(pp.FileFormatError, match="longer"):
        pp.AlleleTable.load(path)


def test_foreign_and_absent_files(tmp_path):
    path = tmp_path / "a.tbl"
    with pytest.raises(pp.InputError, match="does not exist"):
        pp.AlleleTable.load(path)
    path.write_text("model,gene\n" * 10)
    with pytest.raises(pp.FileFormatError, match="begins with other bytes"):
        pp.AlleleTable.load(path)


def test_save_reports_a_full_disk(tmp_path):
    table = pp.AlleleTable.from_records([("a", "g", "x")])
    with pytest.raises(OSError, match="No space left"):
        table._core.write("", "/dev/full")


def test_append_refuses_repeated_models_and_other_genomes():
    a = pp.AlleleTable.from_records([("a", "g", "x")])
    with pytest.raises(pp.InputError, match="'a' occurs twice"):
        a.append(a)
    b = pp.AlleleTable.from_records([("b", "g", "x")], pp.AlleleRule(chars=2))
    with pytest.raises(pp.InputError, match="rule"):
        a.append(b)


def table_with_genome(tmp_path, model, genome):
    store = pp.SampleStore.open_or_create(tmp_path / model, genome, {"mode": "import"})
    store.write(ModelIdentity(model, "r", "e", "d"), Population([["x"]] * len(genome)))
    return pp.AlleleTable.from_store(store)


@pytest.mark.parametrize(
    ("genes", "prompts", "message"),
    [
        (["g", "h"], ["one", "two!"], "different genomes: gene 'h' has another prompt in each"),
        (["g"], ["one"], "gene 'h' is in only one"),
        (["g", "h", "i"], ["one", "two", "three"], "gene 'i' is in only one"),
        (["g", "h"], ["one", None], "gene 'h' has another prompt"),
        (["h", "g"], ["two", "one"], "their digests are"),
    ],
)
def test_append_names_the_gene_that_differs(tmp_path, genes, prompts, message):
    a = table_with_genome(tmp_path, "a", pp.Genome(["g", "h"], ["one", "two"]))
    b = table_with_genome(tmp_path, "b", pp.Genome(genes, prompts))
    with pytest.raises(pp.InputError, match=message):
        a.append(b)
    with pytest.raises(pp.InputError, match=message):
        a.append(b.select(genes=["g"]))


def test_append_of_one_genome_and_of_unknown_ones(tmp_path):
    genome = pp.Genome(["g", "h"], ["one", "two"])
    a, b = (table_with_genome(tmp_path, name, genome) for name in "ab")
    both = a.append(b)
    assert both.models == ("a", "b")
    assert both.provenance["models"].keys() == {"a", "b"}
    assert both.provenance["prompts"] == genome.prompt_digests
    ragged = pp.AlleleTable.from_counts(["c"], ["i", "g"], [0, 0], [0, 1], ["x", "y"], [1, 1])
    assert both.append(ragged).genes == ("g", "h", "i")
    assert both.models == ("a", "b")  # what there was stays as it was


def test_select_refuses_unknown_names():
    a = pp.AlleleTable.from_records([("a", "g", "x")])
    with pytest.raises(pp.InputError, match="no gene 'h'"):
        a.select(genes=["h"])


@quick
@given(st.text(st.characters(exclude_categories=[]), max_size=8))
def test_clean_text_only_touches_lone_surrogates(text):
    cleaned = clean_text(text)
    cleaned.encode()
    if not any(0xD800 <= ord(c) < 0xE000 for c in text):
        assert cleaned == text
