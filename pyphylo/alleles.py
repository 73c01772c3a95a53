"""AlleleRule turns a completion into an allele; AlleleTable counts alleles of models over genes."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from pyphylo import _core
from pyphylo._files import atomic_path, close_paths
from pyphylo._names import check_names, clean_text, did_you_mean, whole_number
from pyphylo._populations import add_shard
from pyphylo._provenance import merged_provenance
from pyphylo._rows import RowArrays, gather_records
from pyphylo._texts import Strings
from pyphylo._version import __version__
from pyphylo.errors import FileFormatError, InputError

if TYPE_CHECKING:
    import pandas as pd
    import scipy.sparse

    from pyphylo.store import SampleStore, Shard

__all__ = ["AlleleRule", "AlleleTable"]

_PRESETS: dict[str, tuple[str, ...]] = {"paper": (" ", "\n"), "colab": ()}


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
        if normalize not in (None, "NFC", "NFD", "NFKC", "NFKD"):
            raise InputError(f"unknown normalisation {normalize!r}; known: NFC, NFD, NFKC, NFKD")
        stripped = _PRESETS[preset] if strip is None else tuple(strip)
        if isinstance(strip, str) or not all(isinstance(s, str) and s for s in stripped):
            raise InputError(f"strip must be a sequence of non-empty strings, not {strip!r}")
        object.__setattr__(self, "preset", preset)
        object.__setattr__(self, "chars", whole_number(chars, "chars", 1))
        object.__setattr__(self, "strip", stripped)
        object.__setattr__(self, "normalize", normalize)

    def __call__(self, text: str) -> str:
        """The allele of one completion."""
        text = clean_text(text)
        if self.normalize is not None:
            form: Any = self.normalize
            text = unicodedata.normalize(form, text)
        for characters in self.strip:
            text = text.lstrip(characters)
        return text[: self.chars]

    def apply(self, completions: Strings) -> Strings:
        """The alleles of an Arrow array of completions, as a large_string array.

        Of a dictionary array, a dictionary array: the rule is applied to each
        text once, and several codes may then mean one allele.
        """
        if pa.types.is_dictionary(completions.type):
            alleles = self.apply(completions.dictionary)
            return pa.DictionaryArray.from_arrays(completions.indices, alleles)
        if self.normalize is not None:
            # Not Arrow's own: some versions decompose where they should compose.
            form: Any = self.normalize
            different = completions.dictionary_encode()
            texts = [unicodedata.normalize(form, text) for text in different.dictionary.to_pylist()]
            completions = pa.array(texts, pa.large_string()).take(different.indices)
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

    def _repr_html_(self) -> str:
        """The first models, as a notebook shows them."""
        from pyphylo._html import table_html

        return table_html(self)

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
        """Count the alleles of every population in a store, or take over their probabilities.

        Parameters
        ----------
        store : SampleStore
        rule : AlleleRule, optional
            The paper's, by default. Any length up to the store's own: shards
            keep the text, so shorter alleles need no new samples.

        Raises
        ------
        InputError
            When the rule asks for longer alleles than the store's probes were
            sampled for, strips more, or normalises texts that the store cut short.

        Notes
        -----
        O(rows) time beside the reading of shards; the rule is applied to each
        different completion of a model once. Memory as for `from_counts`, and
        one shard.
        """
        rule = AlleleRule() if rule is None else rule
        store.check_rule(rule)
        return cls._of_shards(store, store.shards(), rule)

    @classmethod
    def _of_shards(
        cls, store: SampleStore, shards: Iterable[Shard], rule: AlleleRule
    ) -> AlleleTable:
        """Count the alleles of some of a store's shards."""
        builder = _core.TableBuilder()
        builder.add_genes(store.genome.genes)
        identities: dict[str, Any] = {}
        for index, shard in enumerate(shards):
            builder.add_models([shard.identity.name])
            add_shard(builder, index, shard.table, rule)
            identities[shard.identity.name] = shard.identity.to_dict()
        provenance = {
            "pyphylo": __version__,
            "rule": rule.to_dict(),
            "genome": store.genome.digest,
            "prompts": store.genome.prompt_digests,
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
        return cls(gather_records(records, rule), {"pyphylo": __version__, "rule": rule.to_dict()})

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
            Also Arrow or NumPy arrays of strings.
        model_idx, gene_idx : array of int, shape (rows,)
            Positions in `models` and `genes`. Any integer type, any order.
        alleles : sequence of str, shape (rows,)
            Arrow (string, large_string, string_view or dictionary; an array, a
            chunked array or anything that speaks Arrow's stream protocol),
            NumPy (str, StringDType or object) or a list.
        counts : array of int, shape (rows,)
            Probes, up to 2^31 - 1; 0 adds nothing, repeated rows add. A cell's
            n is the sum of its counts.

        Raises
        ------
        InputError
            Naming the row whose index, allele or count cannot be, or the model
            and gene whose counts overflow.
        MemoryError
            When the rows read so far would not fit, with the number of bytes.

        Notes
        -----
        O(rows + columns log columns) time: alleles are numbered by hashing, rows
        ordered by counting and radix sorts. Rows are read where they lie, a slice
        at a time; beside them this takes at most 64 bytes for each different
        (model, gene, allele), 130 for each different (gene, allele), and 80 MB.
        """
        models, genes = check_names(models, "model"), check_names(genes, "gene")
        rows = RowArrays.of((models, model_idx), (genes, gene_idx), alleles, counts=counts)
        builder = _builder_of(models, genes)
        rows.add_to(builder, builder.add_counts)
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
        models, genes = check_names(models, "model"), check_names(genes, "gene")
        rows = RowArrays.of(
            (models, model_idx), (genes, gene_idx), alleles, probabilities=probabilities
        )
        builder = _builder_of(models, genes)
        rows.add_to(builder, builder.add_probabilities)
        return cls(builder.finish(), {"pyphylo": __version__})

    @classmethod
    def from_hybrid(
        cls,
        models: Sequence[str],
        genes: Sequence[str],
        model_idx: ArrayLike,
        gene_idx: ArrayLike,
        alleles: Any,
        probabilities: ArrayLike,
        counts: ArrayLike,
        undecided: ArrayLike,
    ) -> AlleleTable:
        r"""Build a table from cells that are partly decided and partly drawn.

        Of a hybrid cell some probability is known to belong to certain alleles
        (from logits); the rest, its undecided mass r, is estimated by m draws
        made inside it. With q the decided probability of an allele and f its
        frequency among the draws, its frequency is :math:`p = q + r f`.

        Parameters
        ----------
        models, genes, model_idx, gene_idx, alleles
            As in `from_counts`.
        probabilities : array of float, shape (rows,)
            q, 0 where nothing is decided. Repeated rows add.
        counts : array of int, shape (rows,)
            Draws inside the undecided mass that gave this allele; repeated rows add.
        undecided : array of float, shape (rows,)
            r of the row's cell, the same in all its rows. 0: an exact cell.
            1, with nothing decided: a sampled cell.

        Raises
        ------
        InputError
            As `from_counts`; also, by model and gene, where a cell is given two
            undecided masses, has draws but no undecided mass, or its decided and
            undecided mass add up to more than 1.

        Notes
        -----
        Time and memory as for `from_counts`. The unbiased self term of a cell is
        :math:`\sum p^2 - r^2 (1 - \sum f^2) / (m - 1)`; a cell of fewer than two
        draws has none. A row without probability and draws adds nothing, so a
        cell of such rows alone is missing.
        """
        models, genes = check_names(models, "model"), check_names(genes, "gene")
        rows = RowArrays.of(
            (models, model_idx),
            (genes, gene_idx),
            alleles,
            probabilities=probabilities,
            counts=counts,
            undecided=undecided,
        )
        builder = _builder_of(models, genes)
        rows.add_to(builder, builder.add_hybrid)
        return cls(builder.finish(), {"pyphylo": __version__})

    # -- new tables from old -----------------------------------------------------------

    def append(self, other: AlleleTable) -> AlleleTable:
        """A new table with the models of both; a gene that one lacks is missing there.

        Raises
        ------
        InputError
            When a model is in both tables, or they were made of different
            genomes (naming a gene that differs) or by different allele rules.

        Notes
        -----
        O(entries + columns) time.
        """
        check_names(self.models + other.models, "model")
        return self.join(other)

    def join(self, other: AlleleTable) -> AlleleTable:
        """As `append`, but a model may occur in both (its rows stay apart)."""
        provenance = merged_provenance(self.provenance, other.provenance)
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

    def alleles(self) -> Strings:
        """The allele of every column, as an Arrow large_string array."""
        offsets = pa.py_buffer(self._core.allele_offsets)
        data = pa.py_buffer(self._core.allele_bytes)
        return pa.LargeStringArray.from_buffers(self._core.n_columns, offsets, data)

    def to_csr(self) -> scipy.sparse.csr_array:
        """Counts (or the probabilities of exact and hybrid cells) as a SciPy CSR array.

        Shape (models, (gene, allele) columns).
        """
        import scipy.sparse

        core = self._core
        values = core.probabilities if core.probabilities.size else core.counts
        if core.probabilities.size and core.counts.any():
            raise InputError("the table mixes counts and probabilities; select models of one kind")
        shape = (len(self.models), core.n_columns)
        return scipy.sparse.csr_array((values, core.columns, core.indptr), shape=shape)

    def to_frame(self) -> pd.DataFrame:
        """One row an entry: model, gene, allele, count.

        Where cells are exact or hybrid also probability, the allele's
        frequency there; where cells are hybrid also decided, draws and
        undecided, of which that frequency is made (see `from_hybrid`).
        """
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
        if core.draws.size:
            columns |= {"decided": core.decided, "draws": core.draws}
            columns["undecided"] = self._undecided_of(model, gene)
        frame: pd.DataFrame = pd.DataFrame(columns)
        return frame

    def _undecided_of(
        self, model: NDArray[np.int64], gene: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """The undecided mass of the cell of each entry; 0 where it is not hybrid."""
        models, genes, masses = self._core.hybrid_cells
        cells = models.astype(np.int64) * len(self.genes) + genes
        wanted = model * len(self.genes) + gene
        nearest = np.minimum(np.searchsorted(cells, wanted), len(cells) - 1)
        return np.where(cells[nearest] == wanted, masses[nearest], 0.0)

    def save(self, path: str | Path, *, durable: bool = True) -> None:
        """Write the table to a versioned, checksummed file; replaced atomically.

        `durable` waits until the bytes are on the disk.
        """
        self._write(path, durable=durable, follow=True)

    def _write(self, path: str | Path, *, durable: bool, follow: bool) -> None:
        note = json.dumps(self.provenance, sort_keys=True, ensure_ascii=False)

        def fill(part: Path) -> None:
            self._core.write(note, str(part))

        atomic_path(path, fill, durable=durable, follow=follow)

    @classmethod
    def load(cls, path: str | Path) -> AlleleTable:
        """Read what `save` wrote; a foreign, truncated or damaged file is refused."""
        if not Path(path).is_file():
            raise InputError(f"allele table file {str(path)!r} does not exist{close_paths(path)}")
        core, note = _core.read_table(str(path))
        try:
            provenance = json.loads(note)
        except (ValueError, RecursionError):
            raise FileFormatError(f"{str(path)!r}: its provenance is not JSON") from None
        return cls(core, provenance)


def _builder_of(models: Sequence[str], genes: Sequence[str]) -> _core.TableBuilder:
    builder = _core.TableBuilder()
    builder.add_models(models)
    builder.add_genes(genes)
    return builder


def _positions(
    known: tuple[str, ...], wanted: Sequence[str] | None, what: str
) -> NDArray[np.int64]:
    if wanted is None:
        return np.arange(len(known), dtype=np.int64)
    index = {name: i for i, name in enumerate(known)}
    names = check_names(wanted, what)
    for name in names:
        if name not in index:
            raise InputError(f"the table has no {what} {name!r}{did_you_mean(name, known)}")
    return np.array([index[name] for name in names], dtype=np.int64)
