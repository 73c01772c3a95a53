"""What kernels tell LLVM that Numba has no words for.

Numbers without NaN, memory wanted soon, and comparisons of 64 numbers at once, whose answers are
the bits of one.
"""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba.extending import intrinsic

__all__ = ["LANES", "at_most", "first_bit", "has_q", "larger", "least_q", "prefetch", "smaller"]

LANES = 64
"""Numbers that are compared at once."""

_DOUBLE = ir.DoubleType()
_INDEX = ir.IntType(64)


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


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def first_bit(typing_context: Any, bits: Any) -> Any:
    """The place of the lowest bit of a uint64 that is set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return numba.int64(numba.uint64), generate


def _lanes(builder: Any, value: Any) -> Any:
    """One number in every lane."""
    kind = ir.VectorType(value.type, LANES)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), zeros)


def _load(context: Any, builder: Any, array_type: Any, array: Any, start: Any) -> Any:
    """array[start : start + LANES] of a contiguous array, as float64."""
    data = context.make_array(array_type)(context, builder, array).data
    element = data.type.pointee
    vector = ir.VectorType(element, LANES).as_pointer()
    address = builder.bitcast(builder.gep(data, [start]), vector)
    loaded = builder.load(address, align=array_type.dtype.bitwidth // 8)
    if element != _DOUBLE:
        loaded = builder.fpext(loaded, ir.VectorType(_DOUBLE, LANES))
    return loaded


def _q(context: Any, builder: Any, types: Any, arguments: Any) -> Any:
    """Q of 64 nodes, c row[j] - (own + R[j]); arguments: row, R, start, c, own."""
    row, sums, start, c, own = arguments
    distances = _load(context, builder, types[0], row, start)
    others = _load(context, builder, types[1], sums, start)
    scaled = builder.fmul(_lanes(builder, c), distances)
    return builder.fsub(scaled, builder.fadd(_lanes(builder, own), others))


def _bits(builder: Any, flags: Any) -> Any:
    return builder.bitcast(flags, _INDEX)


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def at_most(typing_context: Any, left: Any, right: Any, start: Any, limit: Any) -> Any:
    """Bit k: whether left[start + k] - right[start + k] <= limit, k < 64; float64 arrays."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        types = signature.args
        a = _load(context, builder, types[0], arguments[0], arguments[2])
        b = _load(context, builder, types[1], arguments[1], arguments[2])
        limits = _lanes(builder, arguments[3])
        return _bits(builder, builder.fcmp_ordered("<=", builder.fsub(a, b), limits))

    return numba.uint64(left, right, numba.int64, numba.float64), generate


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def has_q(typing_context: Any, row: Any, sums: Any, start: Any, c: Any, own: Any, q: Any) -> Any:
    """Bit k: whether c row[start + k] - (own + sums[start + k]) == q, k < 64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found = _q(context, builder, signature.args, arguments[:5])
        return _bits(builder, builder.fcmp_ordered("==", found, _lanes(builder, arguments[5])))

    number = numba.float64
    return numba.uint64(row, sums, numba.int64, number, number, number), generate


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def least_q(
    typing_context: Any, row: Any, sums: Any, start: Any, c: Any, own: Any, count: Any
) -> Any:
    """The least c row[start + k] - (own + sums[start + k]) of k < count <= 64, none being NaN.

    All 64 are read; what lies behind those counted may be anything.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found = _q(context, builder, signature.args, arguments[:5])
        places = ir.Constant(ir.VectorType(_INDEX, LANES), [_INDEX(k) for k in range(LANES)])
        counted = builder.icmp_signed("<", places, _lanes(builder, arguments[5]))
        nothing = _lanes(builder, ir.Constant(_DOUBLE, float("inf")))
        left = builder.select(counted, found, nothing)
        width = LANES
        while width > 1:
            width //= 2
            halves = [
                builder.shuffle_vector(
                    left,
                    ir.Constant(left.type, ir.Undefined),
                    ir.Constant(
                        ir.VectorType(ir.IntType(32), width),
                        [ir.IntType(32)(first + k) for k in range(width)],
                    ),
                )
                for first in (0, width)
            ]
            left = _select(builder, "<", *halves)
        return builder.extract_element(left, ir.IntType(32)(0))

    number = numba.float64
    return number(row, sums, numba.int64, number, number, numba.int64), generate
