"""Weights of linear layers laid out for oneDNN, beside the model's own.

In float32 torch multiplies by MKL, which lays the weights out anew in every call and, on
processors that are not Intel's, may leave half of the vector registers' width unused. oneDNN
takes weights that were laid out once and uses all the width there is: with 50 rows half of
the time. Torch compiles models to that call but has no public name for it, so it is tried
out before it is used. It changes nothing but rounding.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Callable, Iterator
from typing import Any

import torch

from pyphylo._memory import available_bytes

__all__ = ["PackedLinears"]

_SHARE = 0.5
"""Of the free memory, what the second copy of the weights may take."""


class PackedLinears:
    """The linear layers of a model, made to multiply by packed weights.

    Invariant: a layer multiplies by its weights as they were when it was packed, so whoever
    changes weights unpacks first.
    """

    def __init__(self) -> None:
        self._packed: list[torch.nn.Module] = []

    @torch.inference_mode()
    def pack(self, model: Any) -> None:
        """Pack all layers that can be, unless it was done or memory is short."""
        if self._packed or not _is_sound():
            return
        found = list(_linears(model))
        needed = sum(weight.numel() * weight.itemsize for _, weight, _ in found)
        available = available_bytes()
        if available is not None and needed > _SHARE * available:
            return
        for module, weight, bias in found:
            # What an instance has goes before its class's, and hooks are called as ever.
            module.forward = _multiplication(weight, bias)
            self._packed.append(module)

    def unpack(self) -> None:
        """Let the layers multiply by their own weights again."""
        for module in self._packed:
            del module.forward
        self._packed = []


def _linears(
    model: Any,
) -> Iterator[tuple[torch.nn.Module, torch.Tensor, torch.Tensor | None]]:
    """Layers in float32 on a CPU that run their class's own code, with weights (out, in), bias."""
    from transformers.pytorch_utils import Conv1D

    for module in model.modules():
        if type(module) not in (torch.nn.Linear, Conv1D) or "forward" in vars(module):
            continue
        weight: torch.Tensor = module.weight
        if type(weight) is not torch.nn.Parameter:
            continue  # quantised, and says that it is of the dtype that it stands for
        if weight.device.type == "cpu" and weight.dtype == torch.float32 and weight.numel():
            yield module, weight.t() if type(module) is Conv1D else weight, module.bias


def _multiplication(
    weight: torch.Tensor, bias: torch.Tensor | None
) -> Callable[[torch.Tensor], torch.Tensor]:
    """``x @ weight.T + bias`` as a function of x, for the weights as they are now."""
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous())
    return functools.partial(_multiply, packed, bias)


def _multiply(
    packed: torch.Tensor,
    bias: torch.Tensor | None,
    input: torch.Tensor,  # noqa: A002  (what torch's own layer calls it)
) -> torch.Tensor:
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(input, packed, bias, "none", [], "")
    return product


@functools.cache
def _is_sound() -> bool:
    """Whether this torch multiplies so, and rightly."""
    there: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not there or platform.machine() not in ("x86_64", "AMD64"):
        return False
    rows, weight, bias = (torch.linspace(-1, 1, n) for n in (6 * 40, 24 * 40, 24))
    rows, weight = rows.reshape(2, 3, 40), weight.reshape(24, 40)
    try:
        found = _multiplication(weight, bias)(rows)
    except Exception:  # an operator that is not there, or that takes something else
        return False
    return torch.allclose(found, torch.nn.functional.linear(rows, weight, bias), atol=1e-5)
