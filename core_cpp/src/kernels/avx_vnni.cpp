// 256-bit dot products of bytes: Alder Lake, Zen 5 and later.
#include "elementwise.hpp"
#include "kernel_sets.hpp"
#include "lanes256.hpp"
#include "tiles.hpp"

namespace phylo {
namespace {

/// Four columns of u8: `broadcast` is read as s8, hence counts up to 127.
struct Bytes : Base256 {
    static Sum add_products(Sum sum, __m256i x, __m256i w) {
        return _mm256_dpbusd_avx_epi32(sum, x, w);
    }
};

/// Two columns of i16.
struct Shorts : Base256 {
    static Sum add_products(Sum sum, __m256i x, __m256i w) {
        return _mm256_dpwssd_avx_epi32(sum, x, w);
    }
};

}  // namespace

const KernelSet kAvxVnniKernels = with_elementwise({.name = "avx-vnni",
                                                    .multiply_u8 = multiply_counts<Bytes, 4>,
                                                    .multiply_i16 = multiply_counts<Shorts, 4>,
                                                    .multiply_f64 = multiply_frequencies<32>,
                                                    .u8_rate = 225e9,
                                                    .i16_rate = 112e9});

}  // namespace phylo
