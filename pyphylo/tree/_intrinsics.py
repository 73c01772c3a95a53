"""What kernels tell LLVM that Numba has no words for: numbers without NaN, memory wanted soon."""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba.extending import intrinsic

__all__ = ["larger", "prefetch", "smaller"]


def _select(builder: Any, comparison: str, left: Any, right: Any) -> Any:
    # Plain comparisons do not become vector reductions, because NaN and -0.0 would have to
    # keep their place. Neither occurs in what is reduced here, and saying so changes no value.
    flags = ("nnan", "nsz")
    chosen = builder.fcmp_ordered(comparison, left, right, flags=flags)
    return builder.select(chosen, left, right, flags=flags)


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def smaller(typing_context: Any, left: Any, right: Any) -> Any:
    """The smaller of two float64 that are not NaN."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _select(builder, "<", *arguments)

    return numba.float64(numba.float64, numba.float64), generate


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def larger(typing_context: Any, left: Any, right: Any) -> Any:
    """The larger of two float64 that are not NaN."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _select(builder, ">", *arguments)

    return numba.float64(numba.float64, numba.float64), generate


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def prefetch(typing_context: Any, array: Any, index: Any) -> Any:
    """Ask for the memory of array.flat[index] of a contiguous array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        byte = ir.IntType(8).as_pointer()
        address = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
        flag = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", (byte,), kind)
        builder.call(prefetch, [address, flag(0), flag(3), flag(1)])
        return context.get_dummy_value()

    return numba.void(array, numba.intp), generate
