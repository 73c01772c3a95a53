// Included once by each instruction set's file: everything here has internal linkage, so that no
// code compiled for a newer processor is merged into the functions that an older one runs. For the
// same reason nothing of the standard library that has code is used.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "phylo/kernels.hpp"

namespace phylo {
namespace {

template <class Numerator>
void identities(const Numerator* numerators, std::int64_t n, double self, const double* selves,
                double* out) {
    const double nan = __builtin_nan("");
    for (std::int64_t j = 0; j < n; ++j) {
        const double product = self * selves[j];
        const double identity =
            static_cast<double>(numerators[j]) / __builtin_sqrt(product > 0.0 ? product : 1.0);
        out[j] = product > 0.0 ? identity : nan;
    }
}

/// Natural logarithm of a positive, normal number, within 1 ulp.
///
/// x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), s = f / (2 + f), and
/// log(1 + f) = 2 atanh(s) = 2 s + s R(s^2). As 2 s = f - s f, and with h = f^2 / 2
/// 2 s = f - (h - s h), so that the leading term f enters without rounding.
/// R is the series 2/3 z + 2/5 z^2 + ...; z <= 0.0295, so twelve terms leave 2^-60.
/// Only +, -, x and / are used, each correctly rounded: the same bits on every processor.
inline double logarithm(double x) {
    constexpr double ln2_high = 0x1.62e42fee00000p-1;  // 33 bits: k x ln2_high is exact
    constexpr double ln2_low = 0x1.a39ef35793c76p-33;
    constexpr std::uint64_t root_half = 0x3fe6a09e667f3bcdU;  // sqrt(1/2)
    const auto bits = std::bit_cast<std::uint64_t>(x);
    // The exponent of x / sqrt(1/2), and what it leaves of x.
    const std::uint64_t shifted = bits - root_half;
    const std::uint64_t exponent = shifted & 0xfff0000000000000U;
    // x is at most 1 here: the exponent is 0 or negative. Its size, as a double, by the trick of
    // writing an integer below 2^52 into a significand.
    const std::uint64_t below = (0U - exponent) >> 52U;
    const double k = 0x1p52 - std::bit_cast<double>(std::uint64_t{0x4330000000000000U} | below);
    const double f = std::bit_cast<double>(bits - exponent) - 1.0;
    const double s = f / (2.0 + f);
    const double z = s * s;
    double series = 2.0 / 25.0;
    series = series * z + 2.0 / 23.0;
    series = series * z + 2.0 / 21.0;
    series = series * z + 2.0 / 19.0;
    series = series * z + 2.0 / 17.0;
    series = series * z + 2.0 / 15.0;
    series = series * z + 2.0 / 13.0;
    series = series * z + 2.0 / 11.0;
    series = series * z + 2.0 / 9.0;
    series = series * z + 2.0 / 7.0;
    series = series * z + 2.0 / 5.0;
    series = series * z + 2.0 / 3.0;
    series = series * z;
    const double h = 0.5 * f * f;
    return k * ln2_high + (f - (h - (s * (h + series) + k * ln2_low)));
}

void distances(double* values, std::int64_t n, double floor) {
    for (std::int64_t j = 0; j < n; ++j) {
        const double similarity = values[j];
        double x = similarity > floor ? similarity : floor;
        x = x < 1.0 ? x : 1.0;
        // 0 - x, not -x: the distance of equal models is 0, not -0.
        const double distance = 0.0 - logarithm(x);
        values[j] = similarity == similarity ? distance : similarity;
    }
}

void narrow(const double* values, std::int64_t n, float* out) {
    for (std::int64_t j = 0; j < n; ++j) {
        out[j] = static_cast<float>(values[j]);
    }
}

/// Every value is written where the next marked one belongs.
template <class T>
std::int64_t keep_marked(T* row, std::int64_t n, const std::uint64_t* marks) {
    std::int64_t kept = 0;
    for (std::int64_t k = 0; k < n; ++k) {
        row[kept] = row[k];
        kept += static_cast<std::int64_t>(marks[k / 64] >> (k % 64) & 1U);
    }
    return kept;
}

/// A set's products, with what this file gives every set.
constexpr KernelSet with_elementwise(KernelSet set) noexcept {
    set.identities_i32 = identities<std::int32_t>;
    set.identities_i64 = identities<std::int64_t>;
    set.identities_f64 = identities<double>;
    set.distances = distances;
    set.narrow = narrow;
    set.stream = set.stream == nullptr ? narrow : set.stream;
    set.keep_f32 = set.keep_f32 == nullptr ? keep_marked<float> : set.keep_f32;
    set.keep_f64 = set.keep_f64 == nullptr ? keep_marked<double> : set.keep_f64;
    return set;
}

}  // namespace
}  // namespace phylo
