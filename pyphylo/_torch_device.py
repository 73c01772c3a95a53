"""Which torch device, and what fits its memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pyphylo import _core
from pyphylo._memory import available_bytes, human_bytes
from pyphylo._torch_products import MAX_WIDTH
from pyphylo.errors import InputError

__all__ = [
    "COLUMN_PAD",
    "ROW_PAD",
    "Plan",
    "fixed_bytes",
    "free_bytes",
    "padded",
    "plan_tiles",
    "resolve_device",
]

_MAX_SIDE = 8192
ROW_PAD, COLUMN_PAD = 32, 64
"""Sizes are padded with zeros to multiples of these: int8 products want 8, 16 bytes run best."""
_PAIR_BYTES = 64
"""Scratch of the last step for every pair of a tile: eight float64 arrays at most."""
_ENTRY_BYTES = 96
"""Of every entry: columns, models, values, and copies and int64 indices while they are sorted."""
_COLUMN_BYTES = 32


@dataclass(frozen=True)
class Plan:
    """How the work is cut: models of a tile's side, columns of a chunk."""

    side: int
    width: int


def resolve_device(name: str) -> torch.device:
    """The torch device that a user names, or InputError saying what there is."""
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError, ValueError):
        device = torch.device("meta")
    if device.type == "mps":
        raise InputError(
            "device 'mps' cannot be used: it has no float64, which similarities need; "
            "use device='cpu'"
        )
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"unknown device {name!r}; known: 'cpu', 'cuda', 'cuda:N'")
    if device.type == "cuda":
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= found:
            there = ", ".join(f"'cuda:{i}'" for i in range(found)) or "no CUDA device"
            raise InputError(
                f"device {name!r} is not there: torch {torch.__version__} finds {there}; "
                "use device='cpu'"
            )
        return torch.device(
            "cuda", torch.cuda.current_device() if device.index is None else device.index
        )
    return device


def plan_tiles(
    models: int, columns: int, cell: int, fixed: int, free: int, device: torch.device
) -> Plan:
    """The largest tiles, then the widest chunks, that fit the device's free memory.

    Parameters
    ----------
    models, columns : int
        Of the longer side, and of the table.
    cell : int
        Bytes of a count: operands times the size of their type.
    fixed : int
        Bytes taken whatever the tiles.
    free : int
        Bytes that may be taken.
    device : torch.device
        Named where they do not suffice.

    Raises
    ------
    MemoryError
        When not even the smallest tile fits.
    """
    enough = min(MAX_WIDTH, padded(max(columns, 1), COLUMN_PAD))
    side = min(_MAX_SIDE, padded(models, ROW_PAD))
    while True:
        room = free - fixed - _PAIR_BYTES * side * side
        width = min(enough, room // (2 * side * cell) // COLUMN_PAD * COLUMN_PAD)
        # A chunk narrower than the tile makes operands dearer than their product.
        if width >= min(side, enough):
            return Plan(side, width)
        if side == ROW_PAD:
            break
        side = max(ROW_PAD, padded(side // 2, ROW_PAD))
    needed = fixed + _PAIR_BYTES * side * side + 2 * side * cell * min(COLUMN_PAD, enough)
    raise MemoryError(
        f"similarities on device {str(device)!r} need at least {human_bytes(needed)}, but only "
        f"{human_bytes(free)} of its memory are free: select fewer models or use device='cpu'"
    )


def free_bytes(device: torch.device) -> int:
    """Nine tenths of what can be taken: free memory, and what torch holds unused."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        available: int | None = torch.cuda.mem_get_info(device)[0] + unused
    else:
        available = available_bytes()
    return 1 << 62 if available is None else available * 9 // 10


def fixed_bytes(table: _core.AlleleTable) -> int:
    """What a table takes on the device whatever the tiles, self terms aside."""
    cells = 8 * table.n_models * table.n_genes if table.probabilities.size else 0
    return _ENTRY_BYTES * table.nnz + _COLUMN_BYTES * table.n_columns + 8 * table.n_models + cells


def padded(number: int, step: int) -> int:
    """The least multiple of `step` that is not below `number`."""
    return -(-number // step) * step
