from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

__version__: str

class Estimator:
    __members__: ClassVar[dict[str, Estimator]]
    plugin: Estimator
    unbiased: Estimator
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> int: ...
    def __int__(self) -> int: ...
    def __index__(self) -> int: ...

class AlleleTable:
    __hash__: None  # type: ignore[assignment]
    @property
    def models(self) -> list[str]: ...
    @property
    def genes(self) -> list[str]: ...
    @property
    def n_models(self) -> int: ...
    @property
    def n_genes(self) -> int: ...
    @property
    def n_columns(self) -> int: ...
    @property
    def nnz(self) -> int: ...
    @property
    def gene_offsets(self) -> NDArray[np.int64]: ...
    @property
    def indptr(self) -> NDArray[np.int64]: ...
    @property
    def columns(self) -> NDArray[np.int32]: ...
    @property
    def counts(self) -> NDArray[np.int32]: ...
    @property
    def probabilities(self) -> NDArray[np.float64]: ...
    @property
    def draws(self) -> NDArray[np.int32]: ...
    @property
    def decided(self) -> NDArray[np.float64]: ...
    @property
    def hybrid_cells(self) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]: ...
    @property
    def allele_offsets(self) -> NDArray[np.int64]: ...
    @property
    def allele_bytes(self) -> bytes: ...
    def entry_values(self) -> NDArray[np.float64]: ...
    def summary(self) -> tuple[NDArray[np.int64], int, int]: ...
    def select(self, models: NDArray[np.int64], genes: NDArray[np.int64]) -> AlleleTable: ...
    def concatenate(self, other: AlleleTable) -> AlleleTable: ...
    def drop_single_probe_cells(self) -> AlleleTable: ...
    def write(self, note: str, path: str) -> None: ...
    def __eq__(self, other: object) -> bool: ...

class AlleleColumn:
    @staticmethod
    def utf8(
        offsets: NDArray[np.int32] | NDArray[np.int64], data: NDArray[np.uint8]
    ) -> AlleleColumn: ...
    @staticmethod
    def ucs4(characters: NDArray[np.uint32], width: int) -> AlleleColumn: ...
    @staticmethod
    def dictionary(
        codes: NDArray[np.int32], offsets: NDArray[np.int64], data: NDArray[np.uint8]
    ) -> AlleleColumn: ...

class TableBuilder:
    def __init__(self) -> None: ...
    def add_models(self, names: Sequence[str]) -> None: ...
    def add_genes(self, names: Sequence[str]) -> None: ...
    def add_counts(
        self,
        models: NDArray[np.int32],
        genes: NDArray[np.int32],
        alleles: AlleleColumn,
        counts: NDArray[np.int64],
        first_row: int = 0,
    ) -> None: ...
    def add_probabilities(
        self,
        models: NDArray[np.int32],
        genes: NDArray[np.int32],
        alleles: AlleleColumn,
        probabilities: NDArray[np.float64],
        first_row: int = 0,
    ) -> None: ...
    def add_hybrid(
        self,
        models: NDArray[np.int32],
        genes: NDArray[np.int32],
        alleles: AlleleColumn,
        probabilities: NDArray[np.float64],
        counts: NDArray[np.int64],
        undecided: NDArray[np.float64],
        first_row: int = 0,
    ) -> None: ...
    def peak_bytes(self, more: int) -> int: ...
    def finish(self) -> AlleleTable: ...

class Index:
    __members__: ClassVar[dict[str, Index]]
    da: Index
    chord: Index
    rogers: Index
    jsd: Index
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> int: ...
    def __int__(self) -> int: ...
    def __index__(self) -> int: ...

def genetic_distance(
    table: AlleleTable,
    index: Index,
    split: int,
    condensed: bool,
    single_precision: bool,
    threads: int,
) -> NDArray[np.float32] | NDArray[np.float64]: ...
def f2_blocks(
    table: AlleleTable,
    weights: NDArray[np.float64],
    block_ends: NDArray[np.int64],
    roots: bool,
    threads: int,
) -> NDArray[np.float64]: ...
def f2_moments(
    table: AlleleTable,
    weights: NDArray[np.float64],
    block_ends: NDArray[np.int64],
    roots: bool,
    threads: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int32], NDArray[np.int32]]: ...
def gene_products(
    table: AlleleTable, model: int, estimator: Estimator, threads: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.uint8], NDArray[np.float64]]: ...
def matrix_float32(rows: int, columns: int) -> NDArray[np.float32]: ...
def matrix_float64(rows: int, columns: int) -> NDArray[np.float64]: ...
def fill_distances(
    given: NDArray[Any], work: NDArray[Any], n: int, first: int, last: int
) -> float: ...
def close_gaps(
    work: NDArray[Any], at: NDArray[np.int64], kept: NDArray[np.int64], closed: int
) -> None: ...
def fit_edges(
    parent: NDArray[np.int32],
    length: NDArray[np.float64],
    distance: NDArray[np.float64],
    weight: NDArray[np.float64],
) -> tuple[int, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...
def best_edges(
    parent: NDArray[np.int32],
    length: NDArray[np.float64],
    distances: NDArray[np.float64],
    weights: NDArray[np.float64],
    threads: int,
) -> NDArray[np.int64]: ...
def read_table(path: str) -> tuple[AlleleTable, str]: ...

class Quantity:
    __members__: ClassVar[dict[str, Quantity]]
    numerator: Quantity
    similarity: Quantity
    distance: Quantity
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> int: ...
    def __int__(self) -> int: ...
    def __index__(self) -> int: ...

def compare(
    table: AlleleTable,
    estimator: Estimator,
    split: int,
    threads: int,
    quantity: Quantity,
    floor: float,
    out: NDArray[np.float64] | NDArray[np.float32] | NDArray[np.int64],
    claim: Callable[[int], None],
) -> bool: ...
def compare_to_file(
    table: AlleleTable,
    estimator: Estimator,
    split: int,
    threads: int,
    quantity: Quantity,
    floor: float,
    file: int,
    begin: int,
    single: bool,
    condensed: bool,
    claim: Callable[[int], None],
) -> bool: ...

class PackedComparison:
    def __init__(
        self,
        table: AlleleTable,
        estimator: Estimator,
        split: int,
        twice: bool,
        threads: int,
        quantity: Quantity,
        floor: float,
        single: bool,
        claim: Callable[[int], None],
    ) -> None: ...
    def compute(
        self,
        begin: int,
        end: int,
        threads: int,
        out: NDArray[np.float64] | NDArray[np.float32],
    ) -> bool: ...

STRIP_ROWS: int

def plan_similarity(
    table: AlleleTable, split: int, threads: int, twice: bool
) -> dict[str, Any]: ...
def take_distances(values: NDArray[np.float64], floor: float) -> None: ...
def integer_peak(threads: int) -> float: ...
def self_terms(
    table: AlleleTable, estimator: Estimator
) -> tuple[NDArray[np.float64], NDArray[np.uint64]]: ...

class Resampling:
    def __init__(
        self,
        table: AlleleTable,
        estimator: Estimator,
        weights: NDArray[np.int64],
        claim: Callable[[int], None],
    ) -> None: ...
    @property
    def n_pairs(self) -> int: ...
    @property
    def n_replicates(self) -> int: ...
    def replicates_f32(
        self, first: int, last: int, floor: float, threads: int
    ) -> NDArray[np.float32]: ...
    def replicates_f64(
        self, first: int, last: int, floor: float, threads: int
    ) -> NDArray[np.float64]: ...
    def errors(self, jackknife: bool, floor: float, threads: int) -> NDArray[np.float64]: ...

def available_threads() -> int: ...
def detected_instruction_sets() -> list[str]: ...
def kernel_instruction_set() -> str: ...
