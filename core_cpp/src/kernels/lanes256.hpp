// What the two 256-bit sets share; included once by each.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace phylo {
namespace {

struct Base256 {
    using Sum = __m256i;
    static constexpr std::int64_t kLanes = 8;
    static Sum zero() { return _mm256_setzero_si256(); }
    static __m256i load(const std::uint8_t* counts) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(counts));
    }
    static __m256i broadcast(const std::uint8_t* counts) {
        std::int32_t group;
        __builtin_memcpy(&group, counts, sizeof group);
        return _mm256_set1_epi32(group);
    }
    /// Keeps what precedes in front of what follows: left to itself, GCC first computes all
    /// products of a step and then has no registers left for the sums.
    [[gnu::always_inline]] static void in_order(__m256i& a, __m256i& b, __m256i& c) {
        asm("" : "+x"(a), "+x"(b), "+x"(c));  // NOLINT
    }
    static void store(std::int32_t* sums, Sum sum, bool add) {
        auto* place = reinterpret_cast<__m256i*>(sums);
        _mm256_storeu_si256(place, add ? _mm256_add_epi32(sum, _mm256_loadu_si256(place)) : sum);
    }
};

}  // namespace
}  // namespace phylo
