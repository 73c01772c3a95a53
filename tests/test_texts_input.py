"""Texts from files and data sets: what is read, and what is refused with which words."""

from __future__ import annotations

import builtins
import csv
import gzip
import hashlib
import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyphylo as pp
from pyphylo.io.texts import read_dataset, read_texts

TEXTS = ["first text, with a comma", 'second "quoted"\nover lines', "drittes: Grüße 日本"]


def _write(path, texts, kind):
    if kind == "jsonl":
        data = "".join(json.dumps({"id": i, "body": t}) + "\n" for i, t in enumerate(texts))
    elif kind in ("csv", "tsv"):
        import io

        handle = io.StringIO(newline="")
        writer = csv.writer(handle, delimiter="," if kind == "csv" else "\t")
        writer.writerow(["id", "body"])
        writer.writerows(enumerate(texts))
        data = handle.getvalue()
    else:
        data = "\n\n".join(texts)
    path.write_bytes(data.encode())
    return path


@pytest.mark.parametrize("kind", ["jsonl", "csv", "tsv", "txt"])
def test_every_kind_gives_the_same_texts(tmp_path, kind):
    path = _write(tmp_path / f"t.{kind}", TEXTS, kind)
    source = read_texts(path, field="body")
    assert list(source.texts) == TEXTS
    assert source.name == f"t.{kind}"
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert source.facts["kind"] == {"txt": "text"}.get(kind, kind)
    zipped = tmp_path / f"z.{kind}.gz"
    zipped.write_bytes(gzip.compress(b"\xef\xbb\xbf" + path.read_bytes()))
    assert list(read_texts(zipped, field="body").texts) == TEXTS
    assert list(read_texts(path, field="body", max_texts=2).texts) == TEXTS[:2]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=9).filter(str.strip), min_size=1, max_size=5))
def test_odd_texts_in_tables_and_json(tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("t")
    rows = folder / "t.jsonl"
    rows.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    assert list(read_texts(rows).texts) == texts
    texts = [t.encode("utf-8", "replace").decode() for t in texts]
    table = folder / "t.csv"
    with table.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, quoting=csv.QUOTE_ALL)
        writer.writerows([["text"], *([t] for t in texts)])
    assert list(read_texts(table).texts) == texts


def test_units_of_plain_text(tmp_path):
    path = tmp_path / "t.py"
    path.write_bytes(b"one\r\ntwo\r\n\r\n\r\nthree\r\n")
    assert list(read_texts(path).texts) == ["one\ntwo", "three"]
    assert list(read_texts(path, unit="line").texts) == ["one", "two", "three"]
    assert list(read_texts(path, unit="file").texts) == ["one\ntwo\n\n\nthree"]
    with pytest.raises(pp.InputError, match=r"unknown unit 'word'.*'paragraph'"):
        read_texts(path, unit="word")


def test_a_cell_may_be_longer_than_the_csv_modules_limit(tmp_path):
    limit = csv.field_size_limit()
    path = _write(tmp_path / "t.csv", ["x" * 300_000], "csv")
    assert len(read_texts(path, field="body").texts[0]) == 300_000
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("t.txt", b"", "'.*t.txt' holds no text"),
        ("t.txt", b" \n\n \n", "'.*t.txt' holds no text"),
        ("t.jsonl", b"", "holds no text"),
        ("t.csv", b"", "line 1: no text under column 'text'; there are: none"),
        ("t.csv", b"text\n", "holds no text"),
        ("t.csv", b"id,body\n1,x\n", "column 'text'; there are: 'id', 'body' .choose with --field"),
        ("t.csv", b"text,text\n1,x\n", "names 'text' twice"),
        ("t.csv", b"id,text\n1,x\n2\n", "line 3: 1 cells, not 2"),
        ("t.csv", b'id,text\n1,"x\n', "line 2: unexpected end"),
        ("t.jsonl", b'{"a": "x", "b": 1}\n', "under key 'text'; there are: 'a', 'b'"),
        ("t.jsonl", b'{"text": "x"}\n{"text": 7}\n', "line 2: key 'text' holds no text but '7'"),
        ("t.jsonl", b'{"text": "x"}\n{"text"\n', "line 2: not JSON"),
        ("t.jsonl", b"[1]\n", "line 1: expected a JSON object, not list"),
        ("t.txt", b"fine\nGr\xfc\xdfe", r"t.txt' is not UTF-8.* 0xfc at position 7 \(line 2"),
        ("t.txt", b"\xef\xbb\xbfab\xff", "byte 0xff at position 5"),
        ("t.jsonl", b'{"text": "\xff"}\n', "byte 0xff at position 10"),
        ("t.csv", b"text\n\xe4\n", "byte 0xe4 at position 5"),
        ("t.txt.gz", gzip.compress(b"text " * 99, mtime=0)[:-9], "is damaged"),
    ],
)  # fmt: skip
def test_bad_files_are_named(tmp_path, name, data, message):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(pp.FileFormatError, match=message):
        read_texts(path)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(pp.InputError, match="does not exist"):
        read_texts(tmp_path / "none.csv")
    with pytest.raises(pp.InputError, match="is a folder"):
        read_texts(tmp_path)


def test_of_several_fields_the_first_that_a_source_has(tmp_path):
    for kind in ("jsonl", "csv"):
        path = _write(tmp_path / f"t.{kind}", TEXTS, kind)
        source = read_texts(path, field=["content", "body", "id"])
        assert list(source.texts) == TEXTS
        assert source.facts["field"] == "body"
    path = tmp_path / "mixed.jsonl"
    path.write_text('{"b": "x", "a": "y"}\n{"a": "z"}\n')
    with pytest.raises(pp.FileFormatError, match="line 2: no text under key 'b'; there are: 'a'"):
        read_texts(path, field=["b", "a"])
    with pytest.raises(pp.FileFormatError, match="under key 'c', 'd'; there are: 'b', 'a'"):
        read_texts(path, field=["c", "d"])


def test_null_is_no_text(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": null}\n{"text": "x"}\n')
    assert list(read_texts(path).texts) == ["x"]


def test_without_the_datasets_library_the_error_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(pp.InputError, match=r"'org/name'.*pip install datasets"):
        read_dataset("org/name")


def test_reading_files_imports_no_datasets(tmp_path, monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        assert name.split(".")[0] != "datasets"
        return real(name, *args, **kwargs)

    path = _write(tmp_path / "t.csv", TEXTS, "csv")
    monkeypatch.setattr(builtins, "__import__", refuse)
    assert len(read_texts(path, field="body").texts) == 3


@pytest.mark.filterwarnings("ignore")
class TestDatasets:
    """With the library itself, on folders of files."""

    @pytest.fixture
    def folder(self, tmp_path):
        pytest.importorskip("datasets")
        folder = tmp_path / "set"
        folder.mkdir()
        rows = [{"id": i, "body": t} for i, t in enumerate([*TEXTS, None])]
        (folder / "train.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
        return folder

    def test_texts_and_facts(self, folder):
        source = read_dataset(str(folder), "body")
        assert list(source.texts) == TEXTS
        assert source.name == "set"
        expected = {"kind": "dataset", "field": "body", "split": "train", "max_texts": 10_000}
        assert source.facts == expected
        assert source.sha256 == read_dataset(str(folder), "body", max_texts=3).sha256
        assert list(read_dataset(str(folder), "body", max_texts=1).texts) == TEXTS[:1]

    def test_errors(self, folder):
        with pytest.raises(pp.InputError, match="key 'text'; there are: 'id', 'body'"):
            read_dataset(str(folder))
        with pytest.raises(pp.InputError, match="'none'"):
            read_dataset(str(folder), "body", split="none")
        with pytest.raises(pp.InputError, match="cannot be read"):
            read_dataset(str(folder / "absent"), "body")
