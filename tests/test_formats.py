"""Files of every version open and hold what they held; those of a newer one are refused."""

from __future__ import annotations

import io
import json
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from golden_files import (
    DECIDED,
    GENOME,
    HYBRID,
    SAID,
    SAMPLED,
    TREE,
    benchmark,
    identity,
    sampled_cells,
    similarities,
    write_files,
)

import pyphylo as pp
from pyphylo.predict import BenchmarkRegressor, ReferenceRegressor
from pyphylo.run import check_run_folder
from pyphylo.sampling.base import Population
from pyphylo.store import SampleStore

FORMATS = Path(__file__).parent / "data" / "formats"
NEWEST = FORMATS / "v1"
ALL = [FORMATS / "v0", NEWEST]
NEWER = "has format version 99; .* upgrade"


def cells(table: pp.AlleleTable, model: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    frame = table.to_frame()
    for row in frame[frame["model"] == model].itertuples():
        found.setdefault(row.gene, {})[row.allele] = row.count
    return found


def said(table: pp.AlleleTable) -> None:
    assert table.models == tuple(sorted(SAID))
    assert table.genes == GENOME.genes
    for name in SAID:
        expected = {gene: dict(cell.counts) for gene, cell in sampled_cells(name).items()}
        assert cells(table, name) == expected


def test_every_folder_is_tested():
    assert sorted(path for path in FORMATS.iterdir() if path.is_dir()) == ALL


@pytest.mark.parametrize("folder", ALL, ids=lambda path: path.name)
class TestOpens:
    def test_genome(self, folder):
        genome = pp.Genome.load(folder / "genome.jsonl")
        assert genome == GENOME
        if folder == NEWEST:
            assert genome.provenance == GENOME.provenance

    def test_store(self, folder):
        store = SampleStore.open(folder / "store")
        assert store.genome == GENOME
        assert store.models == tuple(sorted(SAID))
        for name, completions in SAID.items():
            shard = store.read(name)
            assert shard.identity == identity(name)
            assert shard.facts == {"bos": False}
            rows = [
                (g, p, text) for g, texts in enumerate(completions) for p, text in enumerate(texts)
            ]
            assert [tuple(row.values()) for row in shard.table.to_pylist()] == rows
        said(pp.AlleleTable.from_store(store))

    def test_store_can_be_worked_on(self, folder, tmp_path):
        """A run that an older version began is resumed: the model is known, another is added."""
        shutil.copytree(folder / "store", tmp_path / "store")
        config = SampleStore.open(folder / "store").config
        store = SampleStore.open_or_create(tmp_path / "store", GENOME, config)
        assert store.has(identity("gamma"))
        store.write(identity("new"), Population(SAID["gamma"], {}))
        assert SampleStore.open(tmp_path / "store").models == tuple(sorted([*SAID, "new"]))

    def test_allele_table(self, folder):
        said(pp.AlleleTable.load(folder / "table.alleles"))

    @pytest.mark.parametrize("suffix", ["npz", "parquet", "csv", "tsv", "npy"])
    def test_matrices(self, folder, suffix):
        if folder.name == "v0" and suffix == "npy":
            assert not (folder / "distances.npy").exists()
            return
        similarity = pp.SimilarityMatrix.load(folder / f"similarity.{suffix}")
        distances = pp.DistanceMatrix.load(folder / f"distances.{suffix}")
        assert similarity.ids == distances.ids == tuple(sorted(SAID))
        np.testing.assert_allclose(similarity.values, similarities(), rtol=1e-15)
        expected = -np.log(similarities())
        np.testing.assert_allclose(distances.values, expected, rtol=1e-14, atol=1e-15)
        if suffix in ("npz", "parquet", "npy"):
            assert distances.provenance["genome"] == GENOME.digest
            with pytest.raises(pp.FileFormatError, match="holds a distance matrix"):
                pp.SimilarityMatrix.load(folder / f"distances.{suffix}")


def test_probabilities_in_stores_and_tables():
    store = SampleStore.open(NEWEST / "hybrid")
    assert store.models == ("delta",)
    shard = store.read("delta")
    assert shard.facts == DECIDED.facts
    rows = shard.table.to_pylist()
    for gene, cell in enumerate(DECIDED.decided):
        own = [row for row in rows if row["gene"] == gene]
        assert {row["undecided"] for row in own} == {cell.undecided}
        assert {row["pruned"] for row in own} == {cell.pruned}
        known = {row["completion"]: row["probability"] for row in own if row["probability"]}
        assert known == dict(cell.probabilities)
        drawn = {row["completion"]: row["draws"] for row in own if row["draws"]}
        texts = DECIDED.completions[gene]
        assert drawn == {text: texts.count(text) for text in texts}
    for table in (
        pp.AlleleTable.from_store(store),
        pp.AlleleTable.load(NEWEST / "hybrid.alleles"),
    ):
        frame = table.to_frame().set_index(["gene", "allele"]).sort_index()
        snow = frame.loc[("gené 3", "雪が")]
        assert (snow["decided"], snow["draws"], snow["undecided"]) == (0.5, 0, 0.25)
        assert frame.loc[("g1", "abcd"), "draws"] == 2


@pytest.mark.parametrize("suffix", ["nwk", "nex", "xml"])
def test_trees(suffix):
    assert pp.Tree.read(NEWEST / f"tree.{suffix}") == pp.Tree.from_newick(TREE)


@pytest.mark.parametrize(
    ("name", "kind"), [("best", BenchmarkRegressor), ("reference", ReferenceRegressor)]
)
def test_estimators(name, kind):
    expected = json.loads((NEWEST / "predictions.json").read_text(encoding="utf-8"))[name]
    found = kind.load(NEWEST / f"{name}.npz").predict(benchmark()[0])
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_run_is_resumed():
    assert check_run_folder(NEWEST) == NEWEST


# -- versions ------------------------------------------------------------------------------


def npz_meta(path: Path) -> dict:
    with np.load(path) as archive:
        return json.loads(archive["meta"].tobytes())


def parquet_meta(path: Path, key: str) -> dict:
    return json.loads(pq.read_schema(path).metadata[key.encode()])


def versions(folder: Path) -> dict[str, int]:
    """What each file that states a version states."""
    found = {
        f"{name}.npz": npz_meta(folder / f"{name}.npz")["version"]
        for name in ("distances", "similarity", "best", "reference")
    }
    for name in ("distances", "similarity"):
        found[f"{name}.npy"] = json.loads((folder / f"{name}.npy.json").read_text())["version"]
        found[f"{name}.parquet"] = parquet_meta(folder / f"{name}.parquet", "pyphylo-matrix")[
            "version"
        ]
    for name in ("store", "hybrid"):
        found[name] = json.loads((folder / name / "manifest.json").read_text())["version"]
        for shard in (folder / name / "shards").glob("*.parquet"):
            found[shard.name] = parquet_meta(shard, "pyphylo")["version"]
    for name in ("table", "hybrid"):
        header = (folder / f"{name}.alleles").read_bytes()
        found[f"{name}.alleles"] = struct.unpack_from("<I", header, 8)[0]
    found["run.json"] = json.loads((folder / "run.json").read_text())["version"]
    return found


def test_what_is_written_now_is_of_the_newest_golden_versions(tmp_path):
    """A new version of a format needs golden files of its own: see tests/golden_files.py."""
    write_files(tmp_path / "now")
    assert versions(tmp_path / "now") == versions(NEWEST)
    names = {path.relative_to(NEWEST) for path in NEWEST.rglob("*")}
    assert {path.relative_to(tmp_path / "now") for path in (tmp_path / "now").rglob("*")} == names


def test_stores_hold_the_same_rows_as_the_golden_ones(tmp_path):
    write_files(tmp_path / "now")
    for name, config in (("store", SAMPLED), ("hybrid", HYBRID)):
        old, new = SampleStore.open(NEWEST / name), SampleStore.open(tmp_path / "now" / name)
        assert old.config == new.config == config.to_dict()
        for model in new.models:
            assert old.read(model).table.equals(new.read(model).table)


def with_meta(source: Path, target: Path, **changes: object) -> Path:
    """A NumPy archive with other values in its meta."""
    with np.load(source) as archive:
        arrays = dict(archive)
    meta = json.loads(arrays["meta"].tobytes()) | changes
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    np.savez(target, **arrays)
    return target


def with_parquet_meta(source: Path, target: Path, key: str, **changes: object) -> Path:
    table = pq.read_table(source)
    meta = json.loads(table.schema.metadata[key.encode()]) | changes
    pq.write_table(table.replace_schema_metadata({key: json.dumps(meta)}), target)
    return target


def with_json(source: Path, target: Path, **changes: object) -> Path:
    target.write_text(json.dumps(json.loads(source.read_text(encoding="utf-8")) | changes))
    return target


class TestNewerIsRefused:
    def test_allele_table(self, tmp_path):
        data = bytearray((NEWEST / "table.alleles").read_bytes())
        struct.pack_into("<I", data, 8, 99)
        (tmp_path / "t.alleles").write_bytes(data)
        with pytest.raises(pp.FileFormatError, match=NEWER):
            pp.AlleleTable.load(tmp_path / "t.alleles")

    @pytest.mark.parametrize("suffix", ["npz", "npy", "parquet"])
    def test_matrix(self, tmp_path, suffix):
        source, target = NEWEST / f"distances.{suffix}", tmp_path / f"d.{suffix}"
        if suffix == "npz":
            with_meta(source, target, version=99)
        elif suffix == "parquet":
            with_parquet_meta(source, target, "pyphylo-matrix", version=99)
        else:
            target.write_bytes(source.read_bytes())
            beside = source.with_name("distances.npy.json")
            with_json(beside, tmp_path / "d.npy.json", version=99)
        with pytest.raises(pp.FileFormatError, match=NEWER):
            pp.DistanceMatrix.load(target)

    def test_estimator(self, tmp_path):
        path = with_meta(NEWEST / "best.npz", tmp_path / "best.npz", version=99)
        with pytest.raises(pp.FileFormatError, match=NEWER):
            BenchmarkRegressor.load(path)

    def test_store(self, tmp_path):
        (tmp_path / "store").mkdir()
        with_json(NEWEST / "store/manifest.json", tmp_path / "store/manifest.json", version=99)
        with pytest.raises(pp.FileFormatError, match=NEWER):
            SampleStore.open(tmp_path / "store")
        with pytest.raises(pp.FileFormatError, match=NEWER):
            SampleStore.open_or_create(tmp_path / "store", GENOME, SAMPLED.to_dict())

    def test_shard(self, tmp_path):
        """Not told to be damaged: whoever deletes it would sample again for nothing."""
        shutil.copytree(NEWEST / "store", tmp_path / "store")
        shard = next((tmp_path / "store/shards").glob("gamma-*"))
        with_parquet_meta(shard, shard, "pyphylo", version=99)
        store = SampleStore.open(tmp_path / "store")
        for use in (lambda: store.models, lambda: store.read("gamma")):
            with pytest.raises(pp.FileFormatError, match=NEWER) as caught:
                use()
            assert "delete" not in str(caught.value)

    def test_genome(self, tmp_path):
        path = tmp_path / "genome.jsonl"
        path.write_text('{"pyphylo-genome": 99, "prompts": []}\n')
        with pytest.raises(pp.FileFormatError, match=NEWER):
            pp.Genome.load(path)
        path.write_text('{"gene": "a", "prompt": "b", "pyphylo-genome": 1}\n')
        assert pp.Genome.load(path) == pp.Genome(["a"], ["b"])

    def test_run(self, tmp_path):
        with_json(NEWEST / "run.json", tmp_path / "run.json", version=99)
        with pytest.raises(pp.FileFormatError, match=NEWER):
            check_run_folder(tmp_path)

    def test_run_of_another_program(self, tmp_path):
        (tmp_path / "run.json").write_text('{"format": "another"}')
        with pytest.raises(pp.InputError, match="not pyphylo's"):
            check_run_folder(tmp_path)


@pytest.mark.parametrize("version", [0, -1, "1", None, True, 1.0])
def test_what_is_no_version_is_damage(tmp_path, version):
    path = with_meta(NEWEST / "distances.npz", tmp_path / "d.npz", version=version)
    with pytest.raises(pp.FileFormatError, match="damaged: its format version is"):
        pp.DistanceMatrix.load(path)


def test_golden_files_are_small():
    sizes = {path: path.stat().st_size for path in FORMATS.rglob("*") if path.is_file()}
    assert sum(sizes.values()) < 100_000
    for path in sizes:
        if path.suffix == ".npz":
            with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
                assert archive.testzip() is None
