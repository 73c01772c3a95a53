// 512-bit registers and their dot products of bytes: Cascade Lake, Zen 4 and later.
#include <immintrin.h>

#include "elementwise.hpp"
#include "kernel_sets.hpp"
#include "tiles.hpp"

// NOLINTBEGIN(portability-simd-intrinsics): a file of one set, each with its own instructions.
namespace phylo {
namespace {

struct Base {
    using Sum = __m512i;
    static constexpr std::int64_t kLanes = 16;
    static Sum zero() { return _mm512_setzero_si512(); }
    static __m512i load(const std::uint8_t* counts) { return _mm512_loadu_si512(counts); }
    static __m512i broadcast(const std::uint8_t* counts) {
        std::int32_t group;
        __builtin_memcpy(&group, counts, sizeof group);
        return _mm512_set1_epi32(group);
    }
    static void in_order(const Sum& /*a*/, const Sum& /*b*/, const Sum& /*c*/) {}
    static void store(std::int32_t* sums, Sum sum, bool add) {
        _mm512_storeu_si512(sums, add ? _mm512_add_epi32(sum, _mm512_loadu_si512(sums)) : sum);
    }
};

/// Four columns of u8: `broadcast` is read as s8, hence counts up to 127.
struct Bytes : Base {
    static Sum add_products(Sum sum, __m512i x, __m512i w) {
        return _mm512_dpbusd_epi32(sum, x, w);
    }
};

/// Two columns of i16.
struct Shorts : Base {
    static Sum add_products(Sum sum, __m512i x, __m512i w) {
        return _mm512_dpwssd_epi32(sum, x, w);
    }
};

/// Whole cache lines go to memory without being read first, and push nothing out of the caches.
void stream(const double* values, std::int64_t n, float* out) {
    constexpr std::uintptr_t line = 64;
    std::int64_t j = 0;
    for (; j < n && reinterpret_cast<std::uintptr_t>(out + j) % line != 0; ++j) {
        out[j] = static_cast<float>(values[j]);
    }
    for (; j + 16 <= n; j += 16) {
        _mm256_stream_ps(out + j, _mm512_maskz_cvtpd_ps(0xff, _mm512_loadu_pd(values + j)));
        _mm256_stream_ps(out + j + 8, _mm512_maskz_cvtpd_ps(0xff, _mm512_loadu_pd(values + j + 8)));
    }
    narrow(values + j, n - j, out + j);
    _mm_sfence();  // other threads see the line before they are told that the row is done
}

/// Sixteen values at a time; those behind the last are never marked.
std::int64_t keep_floats(float* row, std::int64_t n, const std::uint64_t* marks) {
    std::int64_t kept = 0;
    for (std::int64_t k = 0; k < n; k += 16) {
        const std::int64_t rest = n - k;
        const auto within = static_cast<__mmask16>(rest < 16 ? (1U << rest) - 1U : 0xffffU);
        const auto marked = static_cast<__mmask16>(marks[k / 64] >> (k % 64) & within);
        _mm512_storeu_ps(row + kept, _mm512_maskz_compress_ps(marked, _mm512_loadu_ps(row + k)));
        kept += __builtin_popcount(marked);
    }
    return kept;
}

std::int64_t keep_doubles(double* row, std::int64_t n, const std::uint64_t* marks) {
    std::int64_t kept = 0;
    for (std::int64_t k = 0; k < n; k += 8) {
        const std::int64_t rest = n - k;
        const auto within = static_cast<__mmask8>(rest < 8 ? (1U << rest) - 1U : 0xffU);
        const auto marked = static_cast<__mmask8>(marks[k / 64] >> (k % 64) & within);
        _mm512_storeu_pd(row + kept, _mm512_maskz_compress_pd(marked, _mm512_loadu_pd(row + k)));
        kept += __builtin_popcount(marked);
    }
    return kept;
}

}  // namespace

const KernelSet kAvx512VnniKernels = with_elementwise({.name = "avx512-vnni",
                                                       .multiply_u8 = multiply_counts<Bytes, 8>,
                                                       .multiply_i16 = multiply_counts<Shorts, 8>,
                                                       .multiply_f64 = multiply_frequencies<64>,
                                                       .stream = stream,
                                                       .keep_f32 = keep_floats,
                                                       .keep_f64 = keep_doubles,
                                                       .u8_rate = 450e9,
                                                       .i16_rate = 225e9});

}  // namespace phylo
// NOLINTEND(portability-simd-intrinsics)
