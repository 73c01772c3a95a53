"""The torch path against the core, bit for bit: on a GPU where there is one, and on the CPU."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import integer_populations, mixed_populations, table_of

import pyphylo as pp
from pyphylo import _core
from pyphylo import _torch_device as placing
from pyphylo import _torch_products as products
from pyphylo import _torch_similarity as similar
from pyphylo._torch_device import Plan
from pyphylo._torch_similarity import similarity_values
from pyphylo.cli import main

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
on_devices = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=cuda)])
with_products = pytest.mark.parametrize("product", [None, "int8", "float32", "float64"])
ESTIMATORS = st.sampled_from(["plugin", "unbiased"])
SMALLEST = Plan(side=32, width=64)


def by_core(core, estimator, split=-1):
    n = core.n_models
    values = np.empty((n, n) if split < 0 else (split, n - split))
    quantity = _core.Quantity.similarity
    _core.compare(
        core, getattr(_core.Estimator, estimator), split, 1, quantity, 0.0, values, lambda _: None
    )
    return values


def same_bits(a, b):
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)


def random_table(seed, models=70, genes=6, alleles=40, most=100, missing=0.0):
    """Each model has one n, at most `most`, over the genes that it has."""
    rng = np.random.default_rng(seed)
    rows = []
    for m in range(models):
        n = int(rng.integers(2, most + 1))
        for g in range(genes):
            if rng.random() >= missing:
                counts = rng.multinomial(n, rng.dirichlet(np.full(alleles, 0.2)))
                rows += [(m, g, f"a{a}", int(c)) for a, c in enumerate(counts) if c]
    names = [f"m{i}" for i in range(models)], [f"g{i}" for i in range(genes)]
    return pp.AlleleTable.from_counts(*names, *(list(c) for c in zip(*rows, strict=True)))


@on_devices
@with_products
@quick
@given(populations=integer_populations(), estimator=ESTIMATORS)
def test_integer_tables_have_the_same_bits(device, product, populations, estimator):
    core = table_of(populations)._core
    S = similarity_values(core, estimator, -1, device, plan=SMALLEST, product=product)
    assert same_bits(S, by_core(core, estimator))


@on_devices
@quick
@given(rows=integer_populations(), columns=integer_populations(), estimator=ESTIMATORS)
def test_rectangles_have_the_same_bits(device, rows, columns, estimator):
    core = table_of(rows).join(table_of(columns))._core
    S = similarity_values(core, estimator, len(rows), device, plan=SMALLEST)
    assert same_bits(S, by_core(core, estimator, len(rows)))


@on_devices
@with_products
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    models=st.integers(1, 9),
    most=st.sampled_from([127, 128, 256, 257, 4096, 65_535, 2**22]),
    missing=st.sampled_from([0.0, 0.3]),
    estimator=ESTIMATORS,
)
def test_large_counts_have_the_same_bits(device, product, seed, models, most, missing, estimator):
    core = random_table(seed, models, most=most, missing=missing)._core
    S = similarity_values(core, estimator, -1, device, plan=SMALLEST, product=product)
    assert same_bits(S, by_core(core, estimator))


@on_devices
@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("plan", [None, SMALLEST, Plan(64, 128), Plan(96, 64)])
def test_tiles_and_chunks_do_not_change_bits(device, plan, missing):
    table = random_table(1, models=130, missing=missing)
    expected = by_core(table._core, "unbiased")
    assert same_bits(similarity_values(table._core, "unbiased", -1, device, plan=plan), expected)
    between = similarity_values(table._core, "unbiased", 50, device, plan=plan)
    assert same_bits(between, by_core(table._core, "unbiased", 50))


def test_strips_of_a_diagonal_tile(monkeypatch):
    monkeypatch.setattr(similar, "_STRIP", 32)
    core = random_table(2, models=101)._core
    assert same_bits(similarity_values(core, "plugin", -1, "cpu"), by_core(core, "plugin"))


@on_devices
@quick
@given(populations=mixed_populations(), estimator=ESTIMATORS)
def test_float_tables_agree(device, populations, estimator):
    core = table_of(populations)._core
    if estimator == "unbiased":
        core = core.drop_single_probe_cells()
    S = similarity_values(core, estimator, -1, device, plan=SMALLEST)
    np.testing.assert_allclose(S, by_core(core, estimator), rtol=1e-12, atol=0)


@on_devices
def test_wide_float_tables_agree(device):
    """Thousands of shared alleles, each a rounding: n varies inside models."""
    rng = np.random.default_rng(3)
    models, genes, alleles = 40, 16, 400
    counts = rng.integers(1, 1000, (models, genes, alleles))
    m, g, a = np.nonzero(counts)
    names = [f"m{i}" for i in range(models)], [f"g{i}" for i in range(genes)]
    table = pp.AlleleTable.from_counts(*names, m, g, a.astype(str), counts[m, g, a])
    assert (table.summary()[0] == -1).all()
    S = similarity_values(table._core, "plugin", -1, device, plan=Plan(32, 256))
    np.testing.assert_allclose(S, by_core(table._core, "plugin"), rtol=1e-12, atol=0)


@on_devices
def test_float32_is_rounded_from_float64(device):
    core = random_table(4, models=40, missing=0.3)._core
    S = similarity_values(core, "plugin", -1, device, np.float32, plan=SMALLEST)
    assert same_bits(S, by_core(core, "plugin").astype(np.float32))


def test_sums_beyond_a_product_are_cut_into_chunks():
    """Two models of 600 columns, each of 256 probes: 600 * 2^16 is far above 2^24."""
    columns = [f"a{i}" for i in range(600)] * 2
    models = [0] * 600 + [1] * 600
    table = pp.AlleleTable.from_counts(
        ["a", "b"], ["g"], models, [0] * 1200, columns, [256] * 1199 + [255]
    )
    table = table.append(random_table(5, models=1, genes=1, most=200))
    entries = similar._shared_entries(table._core, -1, torch.device("cpu"), frequencies=False)
    float32 = next(p for p in products.PRODUCTS if p.name == "float32")
    chunks = similar._chunks(entries, 1024, float32)
    assert [c.begin for c in chunks] + [600] == [0] + [c.end for c in chunks]
    assert 1 < len(chunks) < 8
    for chunk in chunks:
        assert similar._largest_square(entries, chunk, float32) <= float32.limit
    assert len(similar._chunks(entries, 1024, products.FLOAT64)) == 1
    S = similarity_values(table._core, "plugin", -1, "cpu", product="float32")
    assert same_bits(S, by_core(table._core, "plugin"))


@pytest.mark.parametrize("split", [-1, 70])
def test_tiles_cover_the_result_once(split):
    core = random_table(6, models=110)._core
    expected = by_core(core, "plugin", split)
    seen = np.zeros(expected.shape, int)
    for top, bottom, left, right, tile in similar.iter_tiles(
        core, "plugin", split, "cpu", plan=SMALLEST
    ):
        assert same_bits(tile, expected[top:bottom, left:right])
        seen[top:bottom, left:right] += 1
    blocks = np.arange(110) // 32
    assert np.array_equal(seen, blocks[:, None] >= blocks if split < 0 else np.ones((70, 40)))


def test_inexact_numerators_are_refused():
    n = 2**31 - 1
    table = pp.AlleleTable.from_counts(["a", "b"], ["g"], [0, 1], [0, 0], ["x", "x"], [n, n])
    with pytest.raises(pp.InputError, match=r"2\^53"):
        similarity_values(table._core, "plugin", -1, "cpu")


@quick
@given(integer_populations())
def test_self_terms(populations):
    table = table_of(populations)
    terms, pattern_of = _core.self_terms(table._core, _core.Estimator.plugin)
    cells = list(populations.values())
    assert [[int(terms[i, p]) for p in pattern_of] for i in range(len(cells))] == [
        [sum(c * c for g in a.keys() & b.keys() for c in a[g].counts.values()) for b in cells]
        for a in cells
    ]


# -- memory --------------------------------------------------------------------------------


@quick
@given(
    models=st.integers(1, 50_000),
    columns=st.integers(0, 10**6),
    cell=st.sampled_from([1, 2, 3, 8]),
    fixed=st.integers(0, 10**9),
    free=st.integers(0, 10**11),
)
def test_a_plan_fits(models, columns, cell, fixed, free):
    try:
        plan = placing.plan_tiles(models, columns, cell, fixed, free, torch.device("cpu"))
    except MemoryError as error:
        assert "need at least" in str(error)
        assert free < fixed + 64 * 32**2 + 2 * 32 * 64 * cell
        return
    assert fixed + 64 * plan.side**2 + 2 * cell * plan.side * plan.width <= free
    assert plan.side % 32 == 0
    assert 32 <= plan.side <= 8192
    assert plan.width % 64 == 0
    assert 64 <= plan.width <= products.MAX_WIDTH


def test_more_memory_makes_larger_tiles():
    plans = [
        placing.plan_tiles(10_000, 350_000, 1, 0, free, torch.device("cpu"))
        for free in (10**6, 10**8, 5 * 10**9, 10**12)
    ]
    assert [p.side for p in plans] == [64, 1024, 8192, 8192]
    assert plans[2].width < plans[3].width == products.MAX_WIDTH


@on_devices
def test_too_little_memory_is_refused_with_the_number(device, monkeypatch):
    monkeypatch.setattr(similar, "free_bytes", lambda device: 100_000)
    with pytest.raises(MemoryError, match=r"at least .*KiB, but only 97\.7 KiB"):
        similarity_values(random_table(7)._core, "plugin", -1, device)


# -- the trial -----------------------------------------------------------------------------


@pytest.mark.parametrize("product", products.PRODUCTS, ids=lambda p: p.name)
def test_adversaries_stay_within_the_limit(product):
    rows = products.adversaries(product)
    assert (rows == np.floor(rows)).all()
    assert rows.max() <= product.largest
    assert product.limit * 0.5 <= (rows @ rows.T).max() <= product.limit


def altered(name, **changes):
    product = next(p for p in products.PRODUCTS if p.name == name)
    return dataclasses.replace(product, name="altered", **changes)


WRONG = [
    altered("bfloat16", multiply=lambda a, b: a @ b.t()),  # sums rounded to 8 bits
    altered("float32", multiply=lambda a, b: (a @ b.t()).half()),
    altered("float32", limit=2**26),  # sums that float32 cannot hold
    altered("int8", largest=255, dtype=torch.uint8, multiply=lambda a, b: a @ b.t()),
    altered(
        "float32",  # a split sum, one half of which lost its last bit of 24
        multiply=lambda a, b: (
            (s := (a[:, ::2] @ b[:, ::2].t())).sub(s % 2) + a[:, 1::2] @ b[:, 1::2].t()
        ),
    ),
]


@pytest.mark.parametrize("product", WRONG)
def test_the_trial_finds_wrong_sums(product):
    with products.exact_mode(torch.device("cpu")):
        assert products._failure(product, torch.device("cpu")) == "wrong sums"


def test_a_failing_product_is_passed_over(monkeypatch):
    cpu = torch.device("cpu")
    wrong = altered("int8", multiply=lambda a, b: torch._int_mm(a, b.t()) // 2 * 2)
    monkeypatch.setattr(products, "PRODUCTS", (wrong, *products.PRODUCTS[2:]))
    assert products.pick_product(cpu, 100).name == "float32"
    monkeypatch.setattr(products, "PRODUCTS", (wrong,))
    with pytest.raises(pp.WorkError, match=r"'cpu' .*altered: wrong sums.*device='cpu'"):
        products.pick_product(cpu, 100)


@on_devices
def test_an_absent_product_is_named(device):
    if device == "cpu":
        with pytest.raises(pp.WorkError, match="bfloat16: Could not run"):
            products.pick_product(torch.device(device), 200, "bfloat16")
    chosen = products.pick_product(torch.device(device), 127)
    assert chosen.name in ("int8", "bfloat16", "float32")


@pytest.mark.parametrize(
    ("count", "digits"),
    [(0, (1, 1, 1)), (127, (1, 1, 1)), (128, (2, 1, 1)), (256, (2, 1, 1)), (257, (2, 2, 1)),
     (16_384, (3, 2, 1)), (65_535, (3, 2, 1)), (2**31 - 1, (5, 4, 1))],
)  # fmt: skip
def test_digits_recombine(count, digits):
    for name, n in zip(("int8", "bfloat16", "float64"), digits, strict=True):
        product = next(p for p in products.PRODUCTS if p.name == name)
        assert product.n_digits(count) == n
        parts = [int(d) for d in product.digits(torch.tensor([count], dtype=torch.int32), n)]
        assert len(parts) == n
        assert sum(d << (product.bits * k) for k, d in enumerate(parts)) == count
        assert max(parts) <= product.largest_digit(count) <= product.largest


def test_roots_of_the_device(monkeypatch):
    """Where the device's own roots are trusted; x86 CPUs miss by one unit in the last place."""
    monkeypatch.setattr(similar, "_arithmetic", lambda device: (True, True))
    core = random_table(12, models=60, missing=0.3)._core
    S = similarity_values(core, "unbiased", -1, "cpu", plan=SMALLEST)
    np.testing.assert_allclose(S, by_core(core, "unbiased"), rtol=2**-51, atol=0)


def test_wrong_arithmetic_is_refused(monkeypatch):
    assert similar._arithmetic(torch.device("cpu"))[0]
    monkeypatch.setattr(similar, "_arithmetic", lambda device: (False, True))
    with pytest.raises(pp.WorkError, match="IEEE 754"):
        similarity_values(random_table(12, models=3)._core, "plugin", -1, "cpu")


@cuda
def test_cuda_takes_roots_itself():
    assert similar._arithmetic(torch.device("cuda", 0)) == (True, True)


# -- settings ------------------------------------------------------------------------------


@pytest.fixture(params=[True, False])
def reduced(request):
    """torch's setting, one way and the other, and as it was."""
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_bf16_reduced_precision_reduction
    matmul.allow_bf16_reduced_precision_reduction = request.param
    yield request.param
    matmul.allow_bf16_reduced_precision_reduction = before


def test_settings_are_put_back(reduced, monkeypatch):
    matmul = torch.backends.cuda.matmul

    def now():
        return matmul.allow_bf16_reduced_precision_reduction

    with products.exact_mode(torch.device("cpu")):
        assert now() is False
        assert torch.is_inference_mode_enabled()
    assert now() is reduced
    core = random_table(8, models=70)._core
    for _ in similar.iter_tiles(core, "plugin", -1, "cpu", plan=SMALLEST):
        assert now() is reduced
        assert not torch.is_inference_mode_enabled()
    monkeypatch.setattr(similar, "free_bytes", lambda device: 0)
    with pytest.raises(MemoryError):
        similarity_values(core, "plugin", -1, "cpu")
    assert now() is reduced


@pytest.mark.skipif(
    not hasattr(torch.backends.cuda.matmul, "allow_bf16_reduced_precision_reduction_split_k"),
    reason="an older torch",
)
def test_the_split_setting_is_put_back():
    matmul = torch.backends.cuda.matmul
    matmul.allow_bf16_reduced_precision_reduction = (False, False)
    try:
        with products.exact_mode(torch.device("cpu")):
            pass
        assert not matmul.allow_bf16_reduced_precision_reduction_split_k
    finally:
        matmul.allow_bf16_reduced_precision_reduction = (True, True)


def test_surrounding_settings_do_not_matter():
    core = random_table(9, models=40, most=200)._core
    expected = by_core(core, "plugin")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        S = similarity_values(core, "plugin", -1, "cpu", product="float32")
    assert same_bits(S, expected)
    torch.set_default_dtype(torch.float16)
    try:
        assert same_bits(similarity_values(core, "plugin", -1, "cpu"), expected)
    finally:
        torch.set_default_dtype(torch.float32)


# -- devices -------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["gpu", "meta", "cuda:x", "", None, 1.5])
def test_unknown_devices_are_refused(device):
    with pytest.raises(pp.InputError, match="known: 'cpu', 'cuda'"):
        pp.nei_similarity(random_table(10, models=2), device=device)


def test_mps_is_refused_with_the_reason():
    with pytest.raises(pp.InputError, match="float64"):
        pp.nei_similarity(random_table(10, models=2), device="mps")


def test_an_absent_cuda_device_is_refused():
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    with pytest.raises(pp.InputError, match=f"'cuda:{count}' is not there"):
        pp.nei_similarity(random_table(10, models=2), device=f"cuda:{count}")


def test_cpu_by_any_name():
    table = random_table(10, models=5)
    S = pp.nei_similarity(table)
    assert pp.nei_similarity(table, device=torch.device("cpu")) == S
    assert pp.nei_distance(table, device="cpu") == pp.nei_distance(S)


@cuda
@pytest.mark.parametrize("estimator", ["plugin", "unbiased"])
def test_public_functions_on_cuda(estimator):
    table = random_table(11, models=300, genes=20, missing=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pp.PyphyloWarning)
        for device in ("cuda", "cuda:0"):
            on_gpu = pp.nei_similarity(table, estimator=estimator, device=device)
            on_cpu = pp.nei_similarity(table, estimator=estimator)
            assert same_bits(on_gpu.values, on_cpu.values)
        assert same_bits(
            pp.nei_distance(table, estimator=estimator, device="cuda").values,
            pp.nei_distance(table, estimator=estimator).values,
        )


def test_the_cpu_does_not_load_torch():
    program = (
        "import sys, pyphylo as pp\n"
        "t = pp.AlleleTable.from_counts(['a', 'b'], ['g'], [0, 1], [0, 0], ['x', 'x'], [2, 3])\n"
        "pp.nei_distance(t)\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_the_command_line_takes_a_device(capsys, tmp_path):
    lines = tmp_path / "completions.jsonl"
    lines.write_text(
        "".join(
            f'{{"model": "{m}", "gene": "g", "completion": "{c}"}}\n'
            for m, c in (("a", "x"), ("a", "y"), ("b", "x"), ("b", "x"))
        )
    )
    store, out = str(tmp_path / "store"), tmp_path / "d.csv"
    assert main(["import", str(lines), "--store", store]) == 0
    assert main(["distance", store, "-o", str(out), "--device", "cpu"]) == 0
    assert out.exists()
    capsys.readouterr()
    assert main(["distance", store, "-o", str(out), "--device", "cuda:99"]) == 2
    assert "'cuda:99' is not there" in capsys.readouterr().err
