"""Building allele tables: rows a second, and peak memory."""

from __future__ import annotations

import shutil
import tempfile

import numpy as np
import pandas as pd
import pyarrow as pa

import pyphylo as pp

from . import simulated

FORMS = ("large_string", "dictionary", "str", "object")
ORDERS = ("model", "gene", "random")


def arrays(n_models, order):
    """Names, and one row a probe: model, gene, allele."""
    frame = simulated.table(n_models).to_frame()
    rows = frame.loc[frame.index.repeat(frame["count"])]
    model = pd.factorize(rows["model"])[0].astype(np.int32)
    gene = pd.factorize(rows["gene"])[0].astype(np.int32)
    if order == "gene":
        kept = np.argsort(gene, kind="stable")
    elif order == "random":
        kept = np.random.default_rng(0).permutation(len(rows))
    else:
        kept = np.arange(len(rows))
    names = [f"m{i}" for i in range(n_models)], [f"g{i}" for i in range(128)]
    return names, model[kept], gene[kept], rows["allele"].to_numpy()[kept]


class FromCounts:
    """One row a probe, in several forms and orders."""

    params = (simulated.MODELS, FORMS, ORDERS)
    param_names = ("models", "form", "order")
    timeout = 600

    def setup(self, n_models, form, order):
        self.names, self.model, self.gene, alleles = arrays(n_models, order)
        strings = pa.array(alleles, pa.large_string())
        self.alleles = {
            "large_string": strings,
            "dictionary": strings.dictionary_encode(),
            "str": alleles.astype(str),
            "object": alleles,
        }[form]
        self.counts = np.ones(len(alleles), np.int64)

    def build(self):
        return pp.AlleleTable.from_counts(
            *self.names, self.model, self.gene, self.alleles, self.counts
        )

    def time_from_counts(self, n_models, form, order):
        self.build()

    def peakmem_from_counts(self, n_models, form, order):
        self.build()


class FromAggregated:
    """Rows that are entries already."""

    params = (simulated.MODELS,)
    param_names = ("models",)
    timeout = 600

    def setup(self, n_models):
        table = simulated.table(n_models)
        frame = table.to_frame()
        self.names = table.models, table.genes
        self.columns = (
            frame["model"].str[1:].astype(np.int32).to_numpy(),
            frame["gene"].str[1:].astype(np.int32).to_numpy(),
            pa.array(frame["allele"], pa.large_string()),
            frame["count"].to_numpy(),
        )

    def time_from_counts(self, n_models):
        pp.AlleleTable.from_counts(*self.names, *self.columns)


class FromStore:
    """A store of one shard a model."""

    params = (simulated.MODELS[:1],)
    param_names = ("models",)
    timeout = 600

    def setup(self, n_models):
        from pyphylo.sampling.base import ModelIdentity

        (models, genes), model, gene, alleles = arrays(n_models, "model")
        self.folder = tempfile.mkdtemp()
        genome = pp.Genome(genes, [None] * len(genes))
        self.store = pp.SampleStore.open_or_create(
            self.folder + "/store", genome, {"mode": "import"}
        )
        ends = np.searchsorted(model, np.arange(1, n_models))
        rows = zip(models, np.split(gene, ends), np.split(alleles, ends), strict=True)
        for name, genes_of, texts in rows:
            columns = {"gene": genes_of, "probe": np.arange(len(texts)), "completion": texts}
            self.store.write_table(
                ModelIdentity(name, "0", "simulated", "float32"), pa.table(columns), {}
            )

    def teardown(self, n_models):
        shutil.rmtree(self.folder)

    def time_from_store(self, n_models):
        pp.AlleleTable.from_store(self.store)


class Append:
    """Ten new models to a table."""

    params = (simulated.MODELS,)
    param_names = ("models",)
    timeout = 600

    def setup(self, n_models):
        whole = simulated.table(n_models + 10)
        self.old = whole.select(models=whole.models[:-10])
        self.new = whole.select(models=whole.models[-10:])

    def time_append(self, n_models):
        self.old.append(self.new)
