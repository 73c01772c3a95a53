"""Matrix products of counts on a torch device that come out exact, and the proof by trial.

A product is exact when three things hold: its operands represent every count (or digit of
a count), each product of two is exact, and every partial sum is exactly representable.
Sums of non-negative integers only grow, so the last means: the final sum is within `limit`.

- int8 operands, 32-bit integer sums (`torch._int_mm`): digits up to 127, sums below 2^31.
- bfloat16 operands, float32 output (`torch.mm(out_dtype=)`, torch 2.8 and later, CUDA):
  8 significant bits hold the integers to 256. Tensor cores multiply exactly, align the
  addends of a step to the largest exponent e and cut them below 2^(e - 23) or lower (Fasi et
  al. 2021, PeerJ CS 7:e330, for V100 to A100; Khattak & Mikaitis, arXiv 2512.07004, to
  B200). Below 2^24 that unit is at most 1, so an integer loses nothing, whatever the rounding.
  Only the 8-bit floats have narrower accumulators. Split sums might be added in bfloat16:
  `exact_mode` forbids it.
- float32 operands, the same integers: exact in IEEE, TF32 (11 bits) and bfloat16 passes alike,
  so the global precision settings need no touching. For where bfloat16 has no float32 output.
- float64 operands: exact to 2^53 in any order.

None of this is taken on trust: `pick_product` multiplies adversarial operands on the device,
once a process, and passes over a product that is absent or wrong.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from pyphylo.errors import WorkError

__all__ = ["FLOAT64", "MAX_WIDTH", "PRODUCTS", "Product", "exact_mode", "pick_product"]

MAX_WIDTH = 1 << 17
"""Columns of one product at most: 2^17 * 127^2 is below 2^31, so int8 sums never overflow."""


@dataclass(frozen=True)
class Product:
    """A way to multiply matrices of counts.

    Attributes
    ----------
    name : str
    dtype : torch.dtype
        Of the operands.
    bits : int
        Width of a digit, where counts are too large for one operand.
    largest : int
        The largest count that fits one operand.
    limit : int
        Sums up to it are exact.
    cost : int
        Time of a multiplication on a data-centre GPU, that of int8 being 1.
    multiply : callable
        ``(a, b) -> a @ b.T`` of two row-major matrices.
    """

    name: str
    dtype: torch.dtype
    bits: int
    largest: int
    limit: int
    cost: int
    multiply: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

    def n_digits(self, count: int) -> int:
        """Operands that the digits of counts up to `count` fill."""
        return 1 if count <= self.largest else -(-count.bit_length() // self.bits)

    def digits(self, counts: torch.Tensor, n: int) -> Iterator[torch.Tensor]:
        """The `n` digits of whole numbers, least first: their sum times 2^(bits k) is `counts`."""
        if n == 1:
            yield counts
            return
        for k in range(n):
            yield (counts >> (self.bits * k)) & ((1 << self.bits) - 1)

    def largest_digit(self, count: int) -> int:
        """No digit of a count up to `count` exceeds it."""
        return count if self.n_digits(count) == 1 else (1 << self.bits) - 1


def _int8(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    # cuBLASLt wants over 16 rows, sizes in multiples of 8 and b column-major: callers pad.
    return torch._int_mm(a, b.t())


def _float32_sums(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.mm(a, b.t(), out_dtype=torch.float32)


def _same_type(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.mm(a, b.t())


FLOAT64 = Product("float64", torch.float64, 31, 2**31 - 1, 2**53, 32, _same_type)
PRODUCTS = (
    Product("int8", torch.int8, 7, 127, 2**31 - 1, 1, _int8),
    Product("bfloat16", torch.bfloat16, 8, 256, 2**24, 2, _float32_sums),
    Product("float32", torch.float32, 8, 256, 2**24, 16, _same_type),
    FLOAT64,
)


@contextlib.contextmanager
def exact_mode(device: torch.device) -> Iterator[None]:
    """Forbid what would round inside a product; every setting is put back, also on errors."""
    matmul = torch.backends.cuda.matmul
    name = "allow_bf16_reduced_precision_reduction"
    before = getattr(matmul, name)
    # From torch 2.10 on a second setting travels with the first.
    split = getattr(matmul, f"{name}_split_k", None)
    after = (False, before) if split is None else ((False, split), (before, split))
    setattr(matmul, name, after[0])
    try:
        # Under autocast float32 operands would become halves.
        with torch.inference_mode(), torch.autocast(device.type, enabled=False):
            yield
    finally:
        setattr(matmul, name, after[1])


def pick_product(device: torch.device, count: int, only: str | None = None) -> Product:
    """The cheapest product that is exact on `device` for counts up to `count`.

    Parameters
    ----------
    device : torch.device
    count : int
    only : str, optional
        Consider only the product of this name.

    Raises
    ------
    WorkError
        When every product is absent there or wrong, with what each did.
    """
    candidates = [product for product in PRODUCTS if only in (None, product.name)]
    failures = []
    for product in sorted(candidates, key=lambda p: p.cost * p.n_digits(count) ** 2):
        failure = _failure(product, device)
        if failure is None:
            return product
        failures.append(f"{product.name}: {failure}")
    raise WorkError(
        f"device {str(device)!r} does not multiply integers exactly ({'; '.join(failures)}): "
        "use device='cpu'"
    )


@functools.cache
def _failure(product: Product, device: torch.device) -> str | None:
    """What is wrong with a product on a device; None where it passes the trial."""
    patterns = adversaries(product)
    for width, rows in ((MAX_WIDTH, 64), (4096, 512)):
        part = patterns[:, :width]
        expected = part @ part.T  # float64: exact in any order, like the sums themselves
        which = np.arange(rows) % len(part)
        operand = torch.tensor(part, device=device).to(product.dtype)[
            torch.tensor(which, device=device)
        ]
        try:
            got = product.multiply(operand, operand).to(torch.float64).cpu().numpy()
        except torch.cuda.OutOfMemoryError:
            raise
        except (AttributeError, RuntimeError, TypeError) as error:
            return str(error).partition("\n")[0][:120]
        if not np.array_equal(got, expected[np.ix_(which, which)]):
            return "wrong sums"
    return None


def adversaries(product: Product) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Rows of whole numbers whose products lose bits wherever a sum keeps too few.

    Every sum stays within the product's limit, and the heavy rows come near it (float64 to half),
    with ones among the addends: a sum that rounds, or an addend that is shifted away, shows.
    """
    rng = np.random.default_rng(0)
    top = min(product.largest, 2**26)
    heavy = min((product.limit - MAX_WIDTH) // top**2, MAX_WIDTH - 4096)
    first = np.ones(MAX_WIDTH)
    first[:heavy] = top
    spread = np.ones(MAX_WIDTH)
    spread[np.linspace(0, MAX_WIDTH - 1, heavy).astype(int)] = top
    mixed = first.copy()
    mixed[MAX_WIDTH // 2 :: 2] = 0
    rows = [first, first[::-1], spread, rng.permutation(first), rng.permutation(mixed)]
    rows += [np.ones(MAX_WIDTH), np.arange(MAX_WIDTH) % 3 % 2, rng.integers(0, 4, MAX_WIDTH)]
    return np.stack(rows).astype(np.float64)
