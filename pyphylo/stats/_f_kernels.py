"""f4 of many quadruples from f2 of pairs by blocks of genes. Loaded on first use."""

from __future__ import annotations

from typing import Any

from pyphylo._jit import compiled

__all__ = ["f4_moments"]


@compiled
def f4_moments(
    sums: Any, n_models: Any, quadruples: Any, sizes: Any, estimates: Any, variances: Any
) -> None:
    """Mean of f4 over genes and its jackknife variance, for rows (a, b, c, d) of models.

    `sums` is pairs x blocks, pairs i < j by rows; f2 of a model and itself is 0. Of a
    quadruple, f4 in block b is s_b = (f2_b(a,d) + f2_b(b,c) - f2_b(a,c) - f2_b(b,d)) / 2.
    Invariant: pass 1 leaves the sum of all s_b, pass 2 the sum of
    n_b / (n - n_b) (s_b / n_b - f4)^2 (Busing et al. 1999).
    """
    n_blocks = len(sizes)
    n = 0
    for b in range(n_blocks):
        n += sizes[b]
    for k in range(len(quadruples)):
        i, j = quadruples[k, 0], quadruples[k, 1]
        l, m = quadruples[k, 2], quadruples[k, 3]  # noqa: E741
        low, high = min(i, m), max(i, m)
        ad, w_ad = low * (2 * n_models - low - 1) // 2 - low - 1 + high, 0.5
        if low == high:
            ad, w_ad = 0, 0.0
        low, high = min(j, l), max(j, l)
        bc, w_bc = low * (2 * n_models - low - 1) // 2 - low - 1 + high, 0.5
        if low == high:
            bc, w_bc = 0, 0.0
        low, high = min(i, l), max(i, l)
        ac, w_ac = low * (2 * n_models - low - 1) // 2 - low - 1 + high, 0.5
        if low == high:
            ac, w_ac = 0, 0.0
        low, high = min(j, m), max(j, m)
        bd, w_bd = low * (2 * n_models - low - 1) // 2 - low - 1 + high, 0.5
        if low == high:
            bd, w_bd = 0, 0.0
        total = 0.0
        for b in range(n_blocks):
            total += (w_ad * sums[ad, b] + w_bc * sums[bc, b]) - (
                w_ac * sums[ac, b] + w_bd * sums[bd, b]
            )
        mean = total / n
        spread = 0.0
        for b in range(n_blocks):
            s = (w_ad * sums[ad, b] + w_bc * sums[bc, b]) - (
                w_ac * sums[ac, b] + w_bd * sums[bd, b]
            )
            apart = s / sizes[b] - mean
            spread += sizes[b] / (n - sizes[b]) * apart * apart
        estimates[k] = mean
        variances[k] = spread / n_blocks
