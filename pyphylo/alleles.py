"""AlleleRule turns a completion into an allele; AlleleTable counts alleles of models over genes."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from pyphylo import _core
from pyphylo._files import atomic_path
from pyphylo._names import check_names, clean_text
from pyphylo._version import __version__
from pyphylo.errors import FileFormatError, InputError

if TYPE_CHECKING:
    import pandas as pd
    import scipy.sparse

    from pyphylo.store import SampleStore

__all__ = ["AlleleRule", "AlleleTable"]

_PRESETS: dict[str, tuple[str, ...]] = {"paper": (" ", "\n"), "colab": ()}
_BATCH = 65_536
"""Rows that go to the core at once; no result depends on it."""

_Strings: TypeAlias = Any  # a pyarrow large_string array


@dataclass(frozen=True)
class AlleleRule:
    r"""How a completion becomes an allele.

    Parameters
    ----------
    preset : {"paper", "colab"}
        ``"paper"`` strips leading spaces, then leading newlines, and keeps the
        first characters; ``"colab"`` keeps the first characters as they are.
    chars : int
        Code points kept. A shorter completion is a shorter allele.
    strip : sequence of str, optional
        Replaces what the preset strips: sets of characters, stripped from the
        left one after the other.
    normalize : {"NFC", "NFD", "NFKC", "NFKD"}, optional
        Unicode normalisation, before stripping.

    Examples
    --------
    >>> AlleleRule()("  \n42 is the answer")
    '42 i'
    """

    preset: str = "paper"
    chars: int = 4
    strip: tuple[str, ...] = ()
    normalize: str | None = None

    def __init__(
        self,
        preset: str = "paper",
        *,
        chars: int = 4,
        strip: Sequence[str] | None = None,
        normalize: str | None = None,
    ) -> None:
        if preset not in _PRESETS:
            raise InputError(f"unknown preset {preset!r}; known: 'paper', 'colab'")
        if not isinstance(chars, int) or isinstance(chars, bool) or chars < 1:
            raise InputError(f"chars must be a whole number of at least 1, not {chars!r}")
        if normalize not in (None, "NFC", "NFD", "NFKC", "NFKD"):
            raise InputError(f"unknown normalisation {normalize!r}; known: NFC, NFD, NFKC, NFKD")
        stripped = _PRESETS[preset] if strip is None else tuple(strip)
        if isinstance(strip, str) or not all(isinstance(s, str) and s for s in stripped):
            raise InputError(f"strip must be a sequence of non-empty strings, not {strip!r}")
        object.__setattr__(self, "preset", preset)
        object.__setattr__(self, "chars", chars)
        object.__setattr__(self, "strip", stripped)
        object.__setattr__(self, "normalize", normalize)

    def __call__(self, text: str) -> str:
        """The allele of one completion."""
        text = clean_text(text)
        if self.normalize is not None:
            text = unicodedata.normalize(self.normalize, text)  # type: ignore[arg-type]
        for characters in self.strip:
            text = text.lstrip(characters)
        return text[: self.chars]

    def apply(self, completions: _Strings) -> _Strings:
        """The alleles of an Arrow array of completions, as a large_string array."""
        if self.normalize is not None:
            completions = pc.utf8_normalize(completions, form=self.normalize)
        for characters in self.strip:
            completions = pc.utf8_ltrim(completions, characters=characters)
        return pc.utf8_slice_codeunits(completions, start=0, stop=self.chars).cast(
            pa.large_string()
        )

    def to_dict(self) -> dict[str, Any]:
        """The rule as JSON types."""
        return {"chars": self.chars, "strip": list(self.strip), "normalize": self.normalize}


class AlleleTable:
    """Allele counts (or probabilities) of models over genes, in compressed sparse rows.

    Immutable. Made by one of the ``from_`` constructors or `load`. Columns are
    (gene, allele) pairs, ordered by gene, then by the allele's UTF-8 bytes, so
    the same data give the same table in whatever order and batches they came.
    A (model, gene) cell without an entry is missing; the empty allele ``""``
    is an allele.

    Attributes
    ----------
    models, genes : tuple of str
    nnz : int
        Number of stored (model, gene, allele) entries.
    provenance : dict
        What is known of the data's origin: package version, allele rule,
        genome digest, sampling configuration, model identities.
    """

    def __init__(
        self, core: _core.AlleleTable, provenance: Mapping[str, Any] | None = None
    ) -> None:
        self._core = core
        self.models: tuple[str, ...] = tuple(core.models)
        self.genes: tuple[str, ...] = tuple(core.genes)
        self.provenance: dict[str, Any] = dict(provenance or {})

    def __repr__(self) -> str:
        return (
            f"AlleleTable({len(self.models)} models, {len(self.genes)} genes, "
            f"{self._core.n_columns} alleles, nnz={self.nnz})"
        )

    def __eq__(self, other: object) -> bool:
        """Same models, genes, alleles and counts; the provenance may differ."""
        return self._core == other._core if isinstance(other, AlleleTable) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    @property
    def nnz(self) -> int:
        """Number of stored entries."""
        return self._core.nnz

    # -- making one ------------------------------------------------------------------

    @classmethod
    def from_store(cls, store: SampleStore, rule: AlleleRule | None = None) -> AlleleTable:
        """Count the alleles of every population in a store.

        Parameters
        ----------
        store : SampleStore
        rule : AlleleRule, optional
            The paper's, by default.

        Raises
        ------
        InputError
            When the rule asks for longer alleles than the store's probes were
            sampled for, or strips more.
        """
        rule = AlleleRule() if rule is None else rule
        store.check_rule(rule)
        builder = _core.TableBuilder()
        builder.add_genes(store.genome.genes)
        identities: dict[str, Any] = {}
        for index, name in enumerate(store.models):
            shard = store.read(name)
            builder.add_models([name])
            genes = shard.table.column("gene").to_numpy().astype(np.int32, copy=False)
            alleles = rule.apply(shard.table.column("completion")).combine_chunks()
            _add_counts(builder, np.full(len(genes), index, np.int32), genes, alleles, None)
            identities[name] = shard.identity.to_dict()
        provenance = {
            "pyphylo": __version__,
            "rule": rule.to_dict(),
            "genome": store.genome.digest,
            "sampling": store.config,
            "models": identities,
        }
        return cls(builder.finish(), provenance)

    @classmethod
    def from_records(cls, records: Any, rule: AlleleRule | None = None) -> AlleleTable:
        """Count the alleles of completions that come as rows.

        Parameters
        ----------
        records : iterable of (model, gene, completion), or a table
            Anything that speaks Arrow's stream protocol (pyarrow, pandas,
            polars) and has columns ``model``, ``gene``, ``completion`` is read
            without a Python loop. Models and genes are ordered by first
            appearance.
        rule : AlleleRule, optional
            The paper's, by default.
        """
        rule = AlleleRule() if rule is None else rule
        gatherer = _RecordGatherer(rule)
        if hasattr(records, "__arrow_c_stream__"):
            for batch in _arrow_batches(records):
                gatherer.add(*(batch.column(name) for name in ("model", "gene", "completion")))
        else:
            rows = iter(records)
            while chunk := list(islice(rows, _BATCH)):
                gatherer.add(*_columns_of(chunk))
        return cls(gatherer.finish(), {"pyphylo": __version__, "rule": rule.to_dict()})

    @classmethod
    def from_counts(
        cls,
        models: Sequence[str],
        genes: Sequence[str],
        model_idx: ArrayLike,
        gene_idx: ArrayLike,
        alleles: Any,
        counts: ArrayLike,
    ) -> AlleleTable:
        """Build a table from counted alleles.

        Parameters
        ----------
        models, genes : sequence of str
        model_idx, gene_idx : array of int, shape (rows,)
            Positions in `models` and `genes`.
        alleles : sequence of str, NumPy or Arrow string array, shape (rows,)
        counts : array of int, shape (rows,)
            Probes; 0 adds nothing, repeated rows add. A cell's n is the sum
            of its counts.

        Notes
        -----
        O(rows + entries log entries) time.
        """
        builder = _core.TableBuilder()
        builder.add_models(check_names(models, "model"))
        builder.add_genes(check_names(genes, "gene"))
        rows = _Rows.of(model_idx, gene_idx, alleles, counts, "counts", np.int64)
        for part in rows.batches():
            _add_counts(builder, part.models, part.genes, part.alleles, part.values)
        return cls(builder.finish(), {"pyphylo": __version__})

    @classmethod
    def from_probabilities(
        cls,
        models: Sequence[str],
        genes: Sequence[str],
        model_idx: ArrayLike,
        gene_idx: ArrayLike,
        alleles: Any,
        probabilities: ArrayLike,
    ) -> AlleleTable:
        """Build a table from exact allele probabilities (from logits).

        As `from_counts`; a cell's probabilities add up to at most 1, what is
        missing having been pruned.
        """
        builder = _core.TableBuilder()
        builder.add_models(check_names(models, "model"))
        builder.add_genes(check_names(genes, "gene"))
        rows = _Rows.of(model_idx, gene_idx, alleles, probabilities, "probabilities", np.float64)
        for part in rows.batches():
            offsets, data = _string_buffers(part.alleles)
            builder.add_probabilities(part.models, part.genes, offsets, data, part.values)
        return cls(builder.finish(), {"pyphylo": __version__})

    # -- new tables from old -----------------------------------------------------------

    def append(self, other: AlleleTable) -> AlleleTable:
        """A new table with the models of both; a gene that one lacks is missing there."""
        check_names(self.models + other.models, "model")
        return self.join(other)

    def join(self, other: AlleleTable) -> AlleleTable:
        """As `append`, but a model may occur in both (its rows stay apart)."""
        provenance = _merged_provenance(self.provenance, other.provenance)
        return AlleleTable(self._core.concatenate(other._core), provenance)

    def select(
        self, models: Sequence[str] | None = None, genes: Sequence[str] | None = None
    ) -> AlleleTable:
        """A new table of the given models and genes, in the given order."""
        rows = _positions(self.models, models, "model")
        columns = _positions(self.genes, genes, "gene")
        provenance = dict(self.provenance)
        known = provenance.get("models", {})
        if known:
            kept = (self.models[i] for i in rows)
            provenance["models"] = {name: known[name] for name in kept if name in known}
        return AlleleTable(self._core.select(rows, columns), provenance)

    # -- what it holds -----------------------------------------------------------------

    def summary(self) -> tuple[NDArray[np.int64], int, int]:
        """Probes of each model, the number of missing cells, and the numerators' bound.

        A model's entry is its one n, -1 where n varies between its genes or a
        cell is exact, 0 where every cell is missing.
        """
        return self._core.summary()

    def alleles(self) -> _Strings:
        """The allele of every column, as an Arrow large_string array."""
        offsets = pa.py_buffer(self._core.allele_offsets)
        data = pa.py_buffer(self._core.allele_bytes)
        return pa.LargeStringArray.from_buffers(self._core.n_columns, offsets, data)

    def to_csr(self) -> scipy.sparse.csr_array:
        """Counts as a SciPy CSR array, shape (models, (gene, allele) columns)."""
        import scipy.sparse

        core = self._core
        values = core.probabilities if core.probabilities.size else core.counts
        if core.probabilities.size and core.counts.any():
            raise InputError("the table mixes counts and probabilities; select models of one kind")
        shape = (len(self.models), core.n_columns)
        return scipy.sparse.csr_array((values, core.columns, core.indptr), shape=shape)

    def to_frame(self) -> pd.DataFrame:
        """One row an entry: model, gene, allele, count (and probability where cells are exact)."""
        import pandas as pd

        core = self._core
        model = np.repeat(np.arange(core.n_models), np.diff(core.indptr))
        gene = np.searchsorted(core.gene_offsets, core.columns, side="right") - 1
        columns: dict[str, Any] = {
            "model": np.asarray(self.models, dtype=object)[model],
            "gene": np.asarray(self.genes, dtype=object)[gene],
            "allele": self.alleles().take(pa.array(core.columns)).to_numpy(zero_copy_only=False),
            "count": core.counts,
        }
        if core.probabilities.size:
            columns["probability"] = core.probabilities
        frame: pd.DataFrame = pd.DataFrame(columns)
        return frame

    def save(self, path: str | Path) -> None:
        """Write the table to a versioned, checksummed file; replaced atomically."""
        note = json.dumps(self.provenance, sort_keys=True, ensure_ascii=False)
        atomic_path(path, lambda part: self._core.write(note, str(part)))

    @classmethod
    def load(cls, path: str | Path) -> AlleleTable:
        """Read what `save` wrote; a foreign, truncated or damaged file is refused."""
        if not Path(path).is_file():
            raise InputError(f"allele table file {str(path)!r} does not exist")
        core, note = _core.read_table(str(path))
        try:
            provenance = json.loads(note)
        except json.JSONDecodeError:
            raise FileFormatError(f"{str(path)!r}: its provenance is not JSON") from None
        return cls(core, provenance)


@dataclass(frozen=True)
class _Rows:
    """Row arrays of equal length, checked."""

    models: NDArray[np.int32]
    genes: NDArray[np.int32]
    alleles: _Strings
    values: NDArray[Any]

    @classmethod
    def of(
        cls,
        model_idx: ArrayLike,
        gene_idx: ArrayLike,
        alleles: Any,
        values: ArrayLike,
        what: str,
        dtype: type[np.int64] | type[np.float64],
    ) -> _Rows:
        strings = _large_strings(alleles)
        rows = cls(
            _index_array(model_idx, "model_idx"),
            _index_array(gene_idx, "gene_idx"),
            strings,
            _value_array(values, what, dtype),
        )
        lengths = (len(rows.models), len(rows.genes), len(strings), len(rows.values))
        if len(set(lengths)) != 1:
            raise InputError(
                f"model_idx, gene_idx, alleles and {what} must have one length, not "
                f"{', '.join(map(str, lengths))}"
            )
        return rows

    def batches(self) -> Iterable[_Rows]:
        """Views of at most 2^24 rows, so that no copy is large."""
        size = 1 << 24
        for start in range(0, len(self.models), size):
            part = slice(start, start + size)
            yield _Rows(self.models[part], self.genes[part], self.alleles[part], self.values[part])


class _RecordGatherer:
    """Numbers models and genes as they appear and hands batches to the core."""

    def __init__(self, rule: AlleleRule) -> None:
        self._rule = rule
        self._builder = _core.TableBuilder()
        self._models: dict[str, int] = {}
        self._genes: dict[str, int] = {}

    def add(self, models: Any, genes: Any, completions: Any) -> None:
        alleles = self._rule.apply(completions)
        model_idx = _number(models, self._models, self._builder.add_models, "model")
        gene_idx = _number(genes, self._genes, self._builder.add_genes, "gene")
        _add_counts(self._builder, model_idx, gene_idx, alleles, None)

    def finish(self) -> _core.AlleleTable:
        return self._builder.finish()


def _number(names: Any, known: dict[str, int], announce: Any, what: str) -> NDArray[np.int32]:
    """Position of each name among all names so far, new ones announced to the core."""
    encoded = names.dictionary_encode()
    fresh = [name for name in encoded.dictionary.to_pylist() if name not in known]
    for name in check_names(fresh, what):
        known[name] = len(known)
    announce(fresh)
    position = np.array([known[n] for n in encoded.dictionary.to_pylist()], dtype=np.int32)
    indices: NDArray[np.int32] = position[encoded.indices.to_numpy(zero_copy_only=False)]
    return indices


def _columns_of(rows: list[Any]) -> tuple[Any, Any, Any]:
    """Arrow columns of (model, gene, completion) tuples."""
    for row in rows:
        if len(row) != 3 or not all(isinstance(field, str) for field in row):
            raise InputError(f"a record must be (model, gene, completion), three strings: {row!r}")
    models, genes, texts = zip(*rows, strict=True)
    return pa.array(models), pa.array(genes), pa.array([clean_text(text) for text in texts])


def _arrow_batches(records: Any) -> Iterable[Any]:
    reader = pa.RecordBatchReader.from_stream(records)
    missing = {"model", "gene", "completion"} - set(reader.schema.names)
    if missing:
        raise InputError(f"the records lack the columns {sorted(missing)}")
    for batch in reader:
        if any(batch.column(name).null_count for name in ("model", "gene", "completion")):
            raise InputError("the records hold nulls in model, gene or completion: drop those rows")
        yield batch


def _large_strings(alleles: Any) -> _Strings:
    """Any strings as one Arrow large_string array."""
    if isinstance(alleles, pa.ChunkedArray):
        alleles = alleles.combine_chunks()
    if not isinstance(alleles, pa.Array):
        array = np.asarray(alleles) if isinstance(alleles, np.ndarray) else alleles
        try:
            alleles = pa.array(array, type=pa.large_string(), from_pandas=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError) as error:
            raise InputError(f"alleles must be strings: {error}") from None
    if alleles.null_count:
        row = alleles.is_null().to_pylist().index(True)
        raise InputError(f"row {row}: the allele is null; an empty completion is the allele ''")
    return alleles.cast(pa.large_string())


def _string_buffers(strings: _Strings) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Offsets and bytes of a large_string array, without a copy."""
    _, offsets, data = strings.buffers()
    start, length = strings.offset, len(strings)
    if offsets is None or length == 0:
        return np.zeros(length + 1, np.int64), np.empty(0, np.uint8)
    positions = np.frombuffer(offsets, np.int64)[start : start + length + 1]
    text = np.empty(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    return positions, text


def _add_counts(
    builder: _core.TableBuilder,
    models: NDArray[np.int32],
    genes: NDArray[np.int32],
    alleles: _Strings,
    counts: NDArray[np.int64] | None,
) -> None:
    offsets, data = _string_buffers(alleles)
    builder.add_counts(
        models, genes, offsets, data, np.empty(0, np.int64) if counts is None else counts
    )


def _index_array(values: ArrayLike, what: str) -> NDArray[np.int32]:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise InputError(f"{what} must be a one-dimensional array of whole numbers")
    wide = array.astype(np.int64)
    outside = (wide < 0) | (wide > np.iinfo(np.int32).max)
    if outside.any():
        row = int(outside.argmax())
        raise InputError(f"row {row}: {what} {wide[row]} is not a position")
    return np.ascontiguousarray(wide, dtype=np.int32)


def _value_array(
    values: ArrayLike, what: str, dtype: type[np.int64] | type[np.float64]
) -> NDArray[Any]:
    array = np.asarray(values)
    allowed = "iu" if dtype is np.int64 else "iuf"
    if array.ndim != 1 or (array.size and array.dtype.kind not in allowed):
        kind = "whole numbers" if dtype is np.int64 else "numbers"
        raise InputError(f"{what} must be a one-dimensional array of {kind}")
    return np.ascontiguousarray(array, dtype=dtype)


def _positions(
    known: tuple[str, ...], wanted: Sequence[str] | None, what: str
) -> NDArray[np.int64]:
    if wanted is None:
        return np.arange(len(known), dtype=np.int64)
    index = {name: i for i, name in enumerate(known)}
    names = check_names(wanted, what)
    for name in names:
        if name not in index:
            raise InputError(f"the table has no {what} {name!r}")
    return np.array([index[name] for name in names], dtype=np.int64)


def _merged_provenance(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """What holds for both; tables of different genomes or rules do not go together."""
    for key, remedy in (("genome", "sample one genome"), ("rule", "use one allele rule")):
        if key in a and key in b and a[key] != b[key]:
            raise InputError(f"the two tables differ in their {key}: {remedy} for both")
    merged = {key: a.get(key, b.get(key)) for key in sorted(a.keys() | b.keys())}
    if "models" in merged:
        merged["models"] = {**b.get("models", {}), **a.get("models", {})}
    if a.get("sampling") != b.get("sampling"):
        merged.pop("sampling", None)
    return merged
