"""The readers: what each is fed with, how inputs are changed, and what must hold of its values."""

from __future__ import annotations

import json
import math
import random
import socketserver
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mutate import Mutation, blind, in_json, in_json_lines, in_zip, zipped
from tables import parquet_bytes

import pyphylo as pp
from pyphylo.io._spool import Spool
from pyphylo.io.completions import read_completions
from pyphylo.io.metadata import read_lineage, read_metadata
from pyphylo.io.scores import read_scores
from pyphylo.io.texts import read_csv, read_json_lines, read_plain
from pyphylo.io.trees import read_trees
from pyphylo.predict import BenchmarkRegressor
from pyphylo.sampling._journal import Journal
from pyphylo.sampling._locate import locate_model
from pyphylo.sampling.base import ModelIdentity, SamplingConfig
from pyphylo.sampling.openai import OpenAISampler

__all__ = ["TARGETS", "Target"]


@dataclass(frozen=True)
class Target:
    """A reader.

    Parameters
    ----------
    suffix : str
        Of the input's file.
    read : callable
        Reads the file, and asserts what must hold of what it gives.
    seeds : callable
        Good inputs; may use the folder that it is given.
    mutation : callable
    prepare : callable
        Puts beside the input what belongs to it.
    named : bool
        Whether errors name the file.
    stem : str
        Of the input's file.
    """

    suffix: str
    read: Callable[[Path], None]
    seeds: Callable[[Path], Iterable[bytes]]
    mutation: Mutation = blind
    prepare: Callable[[Path], None] = lambda folder: None
    named: bool = True
    stem: str = "input"


def _texts(*texts: str) -> Callable[[Path], list[bytes]]:
    return lambda folder: [text.encode() for text in texts]


def _is_name(text: object) -> bool:
    return isinstance(text, str) and text != "" and text.encode().decode() == text


# -- completions, genomes, texts -------------------------------------------------------------------


def _completions(path: Path) -> None:
    with Spool(path.parent) as rows:
        found = read_completions(path, rows)
        for names in (found.models, found.genes):
            assert all(map(_is_name, names))
            assert len(set(names)) == len(names) > 0
        at = np.arange(len(found.genes), dtype=np.int32)
        for model in range(len(found.models)):
            table = found.table(model, at)
            assert table.num_rows > 0
            assert set(table["gene"].to_pylist()) <= set(at.tolist())
            table["completion"].combine_chunks().validate(full=True)


def _row(model: str, gene: str, text: str) -> str:
    return json.dumps({"model": model, "gene": gene, "completion": text}, ensure_ascii=False) + "\n"


_COMPLETIONS = _texts(
    _row("a", "g0", " one") + _row("b/ü", "g1", "") + _row("a", "g1", "zwei\n\u2028"),
    "\ufeff" + _row("a", "g0", "x") + "\r\n" + _row("a", "g0", "\\ud83d"),
)


def _genome(path: Path) -> None:
    genome = pp.Genome.load(path)
    assert len(genome.digest) == 64
    assert all(map(_is_name, genome.genes))
    assert pp.Genome._from_jsonl(genome._to_jsonl(), "again").digest == genome.digest


_GENOME = _texts(
    '{"gene": "g0", "prompt": "The sum of", "provenance": {"n": 1}}\n{"gene": "g1", "prompt": null}'
)


def _plain_texts(path: Path) -> None:
    for read in (read_plain, read_json_lines, read_csv):
        try:
            source = read(path)
        except pp.InputError as error:
            assert path.name in str(error)
        else:
            assert source.texts
            assert all(map(_is_name, source.texts))


# -- trees -----------------------------------------------------------------------------------------


def _trees(path: Path) -> None:
    for tree in read_trees(path):
        assert all(map(_is_name, tree.tips))
        assert len(set(tree.tips)) == tree.n_tips > 0
        assert pp.Tree.from_newick(tree.newick()).newick() == tree.newick()


_NEWICK = _texts(
    "((a:1,b:.5e-3)90:2,('c''s [x]':0,d)e[&support=0.5],(f,g)):0;",
    "(a,b);\n[a [nested] comment](a,b,(c,d)'17');",
)
_NEXUS = _texts(
    "#NEXUS\nBEGIN TAXA;\n DIMENSIONS NTAX=3;\n TAXLABELS a 'b c' d;\nEND;\nBEGIN TREES;\n"
    " TRANSLATE 1 a, 2 'b c', x d,;\n TREE * t = [&R] ((1:1,2:2):1,x:3);\n UTREE u=(a,'b c',d);\n"
    "END;\n"
)
_PHYLOXML = _texts(
    '<?xml version="1.0" encoding="UTF-8"?>\n<phyloxml xmlns="http://www.phyloxml.org">'
    '<phylogeny rooted="true"><name>t</name><clade><confidence type="s">0.5</confidence>'
    '<clade branch_length="1"><name>a &amp; b</name></clade><clade><name>c</name>'
    "<branch_length>2e-3</branch_length></clade><clade><name>d</name></clade></clade></phylogeny></phyloxml>",
    '<phyloxml><phylogeny rooted="false"><clade><name>x</name></clade></phylogeny></phyloxml>',
)

# -- matrices --------------------------------------------------------------------------------------


def _matrix(path: Path) -> None:
    for kind in (pp.DistanceMatrix, pp.SimilarityMatrix):
        try:
            matrix = kind.load(path, allow_nan=True)
        except pp.InputError as error:
            assert path.name in str(error)
            continue
        n = len(matrix.ids)
        assert all(map(_is_name, matrix.ids))
        assert matrix.values.shape == (n, n)
        assert not np.isinf(matrix.values).any()
        if not isinstance(matrix.stored, np.memmap):
            assert np.array_equal(matrix.values, matrix.values.T, equal_nan=True)
            matrix.save(path.parent.parent / "again.npz")


def _strict_phylip(path: Path) -> None:
    _matrix(path)
    pp.DistanceMatrix.load(path, strict=True, allow_nan=True)


def _saved(suffix: str, part: str = "") -> Callable[[Path], list[bytes]]:
    """Files of small matrices, or what lies beside them."""

    def seeds(folder: Path) -> list[bytes]:
        found = []
        for n in (1, 3):
            values = np.abs(np.subtract.outer(np.arange(n), np.arange(n))) / 3
            path = folder / f"matrix{n}{suffix}"
            pp.DistanceMatrix(values, [f"m{i}é" for i in range(n)]).save(path)
            found.append(path.with_name(path.name + part).read_bytes())
        return found

    return seeds


def _beside(suffix: str, part: str) -> Callable[[Path], None]:
    """Put the other file of a pair where the input will be."""

    def prepare(folder: Path) -> None:
        name = "input.npy" + part
        (folder / name).write_bytes(_saved(suffix, part)(folder.parent / "seeds")[1])

    return prepare


def _beside_names(path: Path) -> None:
    _matrix(path.with_name("input.npy"))


# -- tables of alleles, shards, stores -------------------------------------------------------------


def _alleles(path: Path) -> None:
    table = pp.AlleleTable.load(path)
    assert all(map(_is_name, (*table.models, *table.genes)))
    assert table.to_csr().shape[0] == len(table.models)
    assert len(table.to_frame()) == table.nnz


def _allele_files(folder: Path) -> list[bytes]:
    rows = [("a", "g0", "x"), ("a", "g1", "y"), ("b", "g0", "x"), ("b", "g1", ""), ("c", "g0", "ü")]
    table = pp.AlleleTable.from_records(rows)
    table.save(folder / "t.alleles")
    return [(folder / "t.alleles").read_bytes()]


_IDENTITY = ModelIdentity("a/b", "sha256:0", "import", "", "")


def _a_store(folder: Path, mode: str) -> pp.SampleStore:
    import pyarrow as pa

    genome = pp.Genome(["g0", "g1"], [None, None])
    store = pp.SampleStore.open_or_create(folder, genome, {"mode": mode})
    genes = pa.array([0, 0, 1], pa.int32())
    texts = pa.array([" x", "y", ""])
    if mode == "import":
        table = pa.table({"gene": genes, "probe": pa.array([0, 1, 0], pa.int32()), "t": texts})
        table = table.rename_columns(["gene", "probe", "completion"])
    else:
        numbers = {"probability": [0.25, 0.5, 1.0]}
        table = pa.table({"gene": genes, "completion": texts, **numbers})
        table = table.append_column("draws", pa.array([0, 0, 0], pa.int32()))
        for name in ("undecided", "pruned"):
            table = table.append_column(name, pa.array([0.0, 0.0, 0.0]))
    store.write_table(_IDENTITY, table, {})
    return store


def _shards(folder: Path) -> list[bytes]:
    found = []
    for mode in ("import", "exact"):
        store = _a_store(folder / mode, mode)
        found.append(next((folder / mode / "shards").iterdir()).read_bytes())
        assert store.models
    return found


def _shard(path: Path) -> None:
    """The input is a shard of a store of each kind."""
    for mode in ("import", "exact"):
        store = pp.SampleStore.open(path.parent.parent / "stores" / mode)
        shard = Path(store.path) / "shards" / path.name
        try:
            for name in store.models:
                store.read(name)
            pp.AlleleTable.from_store(store)
        except pp.InputError as error:
            assert shard.name in str(error) or "shard" in str(error), error


def _linked_stores(folder: Path) -> None:
    for mode in ("import", "exact"):
        root = folder.parent / "stores" / mode
        _a_store(root, mode)
        for shard in (root / "shards").iterdir():
            shard.unlink()
        (root / "shards" / "input.parquet").symlink_to(folder / "input.parquet")


def _manifest(path: Path) -> None:
    store = pp.SampleStore.open(path.parent)
    assert store.models == ()
    repr(store)


def _manifests(folder: Path) -> list[bytes]:
    _a_store(folder / "s", "import")
    return [(folder / "s" / "manifest.json").read_bytes()]


def _with_genome(folder: Path) -> None:
    (folder / "shards").mkdir()
    genome = folder.parent / "seeds" / "s" / "genome.jsonl"
    (folder / "genome.jsonl").write_bytes(genome.read_bytes())


# -- scores, metadata ------------------------------------------------------------------------------


def _scores(path: Path) -> None:
    frame = read_scores(path).frame
    assert len(frame) > 0
    assert all(map(math.isfinite, frame["score"]))
    assert all(isinstance(name, str) and name for name in frame["name"])


_SCORES = _texts(
    "model,mmlu,gsm8k\na,0.5,\nb/c,1e-3,NaN\n",
    'model\tx\n"a\nb"\t1\n',
    "Model,Average ⬆️,ARC (25-shot),HellaSwag,MMLU,TruthfulQA\n"
    '"<a href=""https://huggingface.co/o/m"">m</a>",50,50,60,70,80\n',
)
_RESULTS = _texts(
    json.dumps(
        {
            "results": {
                "arc_easy": {"acc,none": 0.5, "acc_stderr,none": 0.1, "alias": "arc"},
                "leaderboard_bbh": {"acc_norm,none": 0.25},
            },
            "group_subtasks": {"leaderboard_bbh": ["x"]},
            "higher_is_better": {"arc_easy": {"acc": True}},
            "config": {"model_args": "pretrained=gpt2,revision=main"},
            "date": 1.7e9,
        }
    ),
    json.dumps(
        {
            "config_general": {"model_name": "o/m"},
            "results": {"harness|arc:challenge|25": {"acc_norm": 0.5}},
            "versions": {"harness|arc:challenge|25": 0},
        }
    ),
    json.dumps({"results": {"t": {"word_perplexity,none": 3.5, "acc": 1}}, "model_name": "m"}),
)


def _metadata(path: Path) -> None:
    rows = read_metadata(path)
    assert all(isinstance(v, str) and v for row in rows.values() for v in row.values())
    lineage = read_lineage(path)
    assert all(0 < size < math.inf for size in lineage.sizes.values())


_METADATA = _texts(
    'model,family,base_model,date,params_b\na,f,,2024-05,7\nb,"f,\n2",a,2024-05-06T00:00,0.5\n'
)

# -- predictors, servers, weights ------------------------------------------------------------------


def _predictors(folder: Path) -> list[bytes]:
    place = np.random.default_rng(0).normal(size=(16, 2))
    distances = np.sqrt(((place[:, None] - place[None]) ** 2).sum(axis=2))
    model = BenchmarkRegressor(n_folds=2).fit(distances, 1 / (1 + np.exp(-place[:, 0])))
    model.save(folder / "model.npz")
    return [(folder / "model.npz").read_bytes()]


def _predictor(path: Path) -> None:
    BenchmarkRegressor.load(path).get_params()


_ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
    b"connection: close\r\n\r\n%s"
)


def _answers(folder: Path) -> list[bytes]:
    text = {"model": "m", "choices": [{"text": " a", "finish_reason": "stop"}] * 2}
    chat = {"model": "m", "choices": [{"message": {"role": "assistant", "content": "b"}}] * 2}
    usage = {"usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}}
    refusal = {"error": {"message": "no such key: top_k", "code": "invalid", "param": "top_k"}}
    bodies = [json.dumps(value).encode() for value in (text | usage, chat | usage, refusal)]
    found = [_ANSWER % (len(body), body) for body in bodies]
    found[2] = found[2].replace(b"200 OK", b"400 Bad")
    return found


def _in_answer(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The JSON behind the headers, its length told rightly; or all of it, blindly."""
    head, empty, body = data.partition(b"\r\n\r\n")
    if rng.random() < 0.25 or not empty:
        return blind(rng, data, others)
    body = in_json(rng, body, others)
    status = head.split(b"\r\n")[0]
    if rng.random() < 0.2:
        status = b"HTTP/1.1 %d X" % rng.choice((200, 204, 301, 400, 401, 404, 422, 429, 500, 503))
    return (_ANSWER % (len(body), body)).replace(b"HTTP/1.1 200 OK", status)


class _Serves(socketserver.BaseRequestHandler):
    """Answers whatever is asked with the input."""

    answer = b""

    def handle(self) -> None:
        asked = b""
        while b"\r\n\r\n" not in asked:
            if not (part := self.request.recv(1 << 16)):
                return
            asked += part
        self.request.sendall(self.answer)


def _ask(path: Path) -> None:
    _Serves.answer = path.read_bytes()
    server = _server()
    sampler = OpenAISampler(
        "m", "m", base_url=f"http://127.0.0.1:{server}/v1", retries=0, timeout=0.2, max_requests=40
    )
    genome = pp.Genome(["g"], ["One two"])
    try:
        population = sampler.sample(genome, SamplingConfig(n_probes=2))
    except pp.PyphyloError as error:
        assert "'m'" in str(error) or "max_requests" in str(error), error
    else:
        assert len(population.completions[0]) == 2
        assert all(text.encode() is not None for text in population.completions[0])
        json.dumps(population.facts)


_port: list[int] = []


def _server() -> int:
    if not _port:
        found = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Serves)
        found.daemon_threads = True
        threading.Thread(target=found.serve_forever, daemon=True).start()
        _port.append(found.server_address[1])
    return _port[0]


def _journal(path: Path) -> None:
    kept = Journal(path, 2).read()
    for gene, texts in kept.completions.items():
        assert isinstance(gene, str)
        assert len(texts) == 2
        assert all(isinstance(text, str) for text in texts)


_JOURNAL = _texts(
    '{"gene": "g", "completions": ["a", "b"], "endpoint": "chat", "keys_refused": ["n"], "usage": '
    '{"requests": 1, "prompt_tokens": 1, "completion_tokens": 2, "served": {"m": 1}, '
    '"unanswered": 0, "uncounted": 0}}\n{"gene": "cut'
)


def _weights(path: Path) -> None:
    location = locate_model(str(path))
    assert location.revision.startswith("sha256:")
    assert location.source == str(path.parent)


def _checkpoint(path: Path) -> None:
    """The input is an index of weights, beside which there is one file."""
    location = locate_model(str(path.parent))
    assert location.revision.startswith("sha256:")


def _one_shard(folder: Path) -> None:
    (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (folder / "model-1.safetensors").write_bytes(b"weights")
    (folder.parent / "x").write_bytes(b"outside")


_rows = zipped(in_json_lines)

TARGETS: dict[str, Target] = {
    "completions": Target(".jsonl", _completions, _COMPLETIONS, _rows),
    "genome": Target(".jsonl", _genome, _GENOME, in_json_lines),
    "texts": Target(".x", _plain_texts, lambda f: [*_COMPLETIONS(f), *_SCORES(f)], zipped(blind)),
    "newick": Target(".nwk", _trees, _NEWICK),
    "nexus": Target(".nex", _trees, _NEXUS),
    "phyloxml": Target(".xml", _trees, _PHYLOXML),
    "phylip": Target(".phy", _strict_phylip, _saved(".phy")),
    "matrix-csv": Target(".csv", _matrix, _saved(".csv")),
    "matrix-npz": Target(".npz", _matrix, _saved(".npz"), in_zip),
    "matrix-npy": Target(".npy", _matrix, _saved(".npy"), prepare=_beside(".npy", ".json")),
    "matrix-names": Target(
        ".npy.json", _beside_names, _saved(".npy", ".json"), in_json, _beside(".npy", "")
    ),
    "matrix-parquet": Target(".parquet", _matrix, _saved(".parquet"), parquet_bytes),
    "alleles": Target(".alleles", _alleles, _allele_files),
    "shard": Target(".parquet", _shard, _shards, parquet_bytes, _linked_stores, named=False),
    "manifest": Target(
        ".json", _manifest, _manifests, in_json, _with_genome, named=False, stem="manifest"
    ),
    "scores": Target(".csv", _scores, _SCORES),
    "scores-parquet": Target(
        ".parquet", _scores, lambda f: [parquet_bytes(random.Random(0), b"", [])], parquet_bytes
    ),
    "results": Target(".json", _scores, _RESULTS, in_json),
    "metadata": Target(".csv", _metadata, _METADATA),
    "predictor": Target(".npz", _predictor, _predictors, in_zip),
    "openai": Target(".http", _ask, _answers, _in_answer, named=False),
    "journal": Target(".jsonl", _journal, _JOURNAL, in_json_lines),
    "gguf": Target(".gguf", _weights, lambda f: [b"GGUF\3\0\0\0" + bytes(16)]),
    "weights-index": Target(
        ".index.json",
        _checkpoint,
        _texts('{"metadata": {}, "weight_map": {"a": "model-1.safetensors"}}'),
        in_json,
        _one_shard,
        named=False,
        stem="model.safetensors",
    ),
}
