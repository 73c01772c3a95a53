"""What is worked out of the distances: the heat map, nearest relatives, a map."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["classical_scaling", "heat_map", "nearest", "packed", "rounded"]

Floats = NDArray[np.float64]

_SIDE = 1500
"""Most cells a side of the heat map: 3 MB of page."""

_MISSING = 255
"""The level of a cell without a value; those with one have 0..254."""

_ROWS = 512
"""Rows of the matrix that are worked on at a time."""


def packed(values: NDArray[Any]) -> str:
    """The bytes of an array, little-endian, as base64."""
    array = np.ascontiguousarray(values)
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return base64.b64encode(array.tobytes()).decode("ascii")


def rounded(values: Any, digits: int = 7) -> list[float | None]:
    """Numbers with so many significant digits; None where there is none."""
    return [
        float(f"{value:.{digits}g}") if math.isfinite(value) else None
        for value in np.asarray(values, dtype=np.float64).tolist()
    ]


def heat_map(distances: NDArray[Any]) -> dict[str, Any]:
    """Similarities in the order of the tree, in 255 levels, averaged where models are many.

    Parameters
    ----------
    distances : ndarray, shape (n, n)
        NaN where there is none.

    Returns
    -------
    dict
        ``side`` cells a side, each of ``block`` x ``block`` models (fewer at the end);
        ``low`` and ``high``, the similarities of levels 0 and 254; ``cells``, a byte each.

    Notes
    -----
    O(n^2) time; memory of `_ROWS` rows beside the result.
    """
    n = len(distances)
    block = -(-n // _SIDE)
    starts = np.arange(0, n, block)
    side = len(starts)
    means = np.full((side, side), np.nan)
    rows = max(1, _ROWS // block) * block
    for first in range(0, n, rows):
        part = np.exp(-np.asarray(distances[first : first + rows], dtype=np.float64))
        known = np.isfinite(part)
        inside = np.arange(0, len(part), block)
        total = _block_sums(np.where(known, part, 0.0), inside, starts)
        count = _block_sums(known.astype(np.float64), inside, starts)
        there = means[first // block : first // block + len(inside)]
        np.divide(total, count, out=there, where=count > 0)
    here = means[np.isfinite(means)]
    low = math.floor(10 * float(here.min(initial=0.9))) / 10
    high = max(float(here.max(initial=1.0)), low + 0.1)
    scaled = np.nan_to_num((means - low) / (high - low) * 254)
    levels = np.clip(np.rint(scaled), 0, 254).astype(np.uint8)
    levels[~np.isfinite(means)] = _MISSING
    return {"side": side, "block": block, "low": low, "high": high, "cells": packed(levels)}


def _block_sums(values: Floats, rows: NDArray[Any], columns: NDArray[Any]) -> Floats:
    return np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1)


def nearest(distances: NDArray[Any], k: int) -> tuple[NDArray[np.int64], Floats]:
    """The closest others of each model and their distances, each of shape (n, k).

    Of equals, the first in order. Where fewer than k distances are known the others
    are NaN, at the end. O(n^2) time.
    """
    n = len(distances)
    k = min(k, n - 1)
    index = np.empty((n, k), dtype=np.int64)
    value = np.empty((n, k))
    for first in range(0, n, _ROWS):
        part = np.array(distances[first : first + _ROWS], dtype=np.float64)
        part[~np.isfinite(part)] = np.inf
        own = np.arange(len(part))
        # The model itself comes after all others: only those k are wanted.
        part[own, first + own] = np.nan
        order = np.argsort(part, axis=1, kind="stable")[:, :k]
        index[first : first + _ROWS] = order
        value[first : first + _ROWS] = np.take_along_axis(part, order, axis=1)
    value[~np.isfinite(value)] = np.nan
    return index, value


def classical_scaling(distances: NDArray[Any]) -> tuple[Floats, list[float]]:
    """A map of the models: principal coordinates.

    Parameters
    ----------
    distances : ndarray, shape (n, n)
        Where there is none, the mean of the known ones is taken.

    Returns
    -------
    xy : ndarray, shape (n, 2)
        The sign of each axis is such that its largest coordinate is positive.
    share : list of float
        Of the squared norm of the doubly centred matrix, that of each axis.

    Notes
    -----
    O(n^2) time an iteration (Lanczos), O(n^3) below a hundred models. Torgerson (1952),
    Psychometrika 17:401; Gower (1966), Biometrika 53:325.
    """
    from scipy.sparse.linalg import eigsh

    square = np.array(distances, dtype=np.float64)
    known = np.isfinite(square)
    if not known.all():
        square[~known] = square[known].mean() if known.any() else 0.0
    # By a power of two, which changes no digit: squares of lengths of any size are numbers.
    scale = np.frexp(square.max(initial=0.0))[1]
    np.ldexp(square, -scale, out=square)
    np.square(square, out=square)
    square -= square.mean(axis=0)
    square -= square.mean(axis=1)[:, None]
    square *= -0.5
    n = len(square)
    if not square.any():  # nothing is apart, and Lanczos begins with a vector that is something
        return np.zeros((n, 2)), [0.0, 0.0]
    if n < 100:
        values, vectors = np.linalg.eigh(square)
        values, vectors = values[-2:], vectors[:, -2:]
    else:
        start = np.cos(np.arange(n) * 2.399963)
        values, vectors = eigsh(square, k=2, which="LA", v0=start, tol=1e-7)
    order = np.argsort(-values)
    values, vectors = np.maximum(values[order], 0.0), vectors[:, order]
    flip = np.sign(np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0))
    xy = np.ldexp(vectors * np.where(flip == 0, 1.0, flip) * np.sqrt(values), scale)
    norm = float(np.vdot(square, square))
    share = [float(value**2 / norm) if norm > 0 else 0.0 for value in values]
    return xy, share
