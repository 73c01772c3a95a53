// 256-bit registers without dot products: Haswell, Zen and later.
#include "elementwise.hpp"
#include "kernel_sets.hpp"
#include "lanes256.hpp"
#include "tiles.hpp"

// NOLINTBEGIN(portability-simd-intrinsics): a file of one set, each with its own instructions.
// NOLINTBEGIN(modernize-avoid-c-arrays): std::array has functions, which would be compiled for this
// set and merged into what older processors run.
namespace phylo {
namespace {

/// Two columns of i16.
struct Shorts : Base256 {
    static Sum add_products(Sum sum, __m256i x, __m256i w) {
        return _mm256_add_epi32(sum, _mm256_madd_epi16(x, w));
    }
};

/// Groups of u8 whose products fit a signed 16-bit sum: vpmaddubsw adds two products a group.
std::int64_t groups_a_short(std::int32_t largest_product) {
    const std::int64_t groups =
        32767 / (2 * std::int64_t{largest_product > 0 ? largest_product : 1});
    return groups > 0 ? groups : 1;
}

/// Two rows of a tile against eight models of each panel, u8 counts up to 127.
///
/// Invariant: `sum` holds the products of the groups before the current run, `part` those of the
/// run in 16 bits, which cannot overflow: 2 x 127^2 is below 2^15, and runs are cut to fit.
template <int... R>
[[gnu::always_inline]] inline void multiply_byte_rows(const CountTile& tile, std::int64_t row,
                                                      std::int64_t lane, std::int64_t run,
                                                      std::integer_sequence<int, R...> /*rows*/) {
    const __m256i one = _mm256_set1_epi16(1);
    __m256i sum[3 * sizeof...(R)] = {};
    const std::uint8_t* left = tile.rows + row * 4;
    const std::uint8_t* right = tile.columns + lane * 4;
    for (std::int64_t g = 0; g < tile.groups;) {
        const std::int64_t stop = g + run < tile.groups ? g + run : tile.groups;
        __m256i a[sizeof...(R)] = {(static_cast<void>(R), Base256::zero())...};
        __m256i b[sizeof...(R)] = {(static_cast<void>(R), Base256::zero())...};
        __m256i c[sizeof...(R)] = {(static_cast<void>(R), Base256::zero())...};
        for (; g < stop; ++g) {
            const __m256i x = Base256::load(right);
            const __m256i y = Base256::load(right + tile.panel_bytes);
            const __m256i z = Base256::load(right + 2 * tile.panel_bytes);
            const auto add = [&](__m256i& p, __m256i& q, __m256i& r, const std::uint8_t* counts)
                                 __attribute__((always_inline)) {
                                     const __m256i w = Base256::broadcast(counts);
                                     p = _mm256_add_epi16(p, _mm256_maddubs_epi16(x, w));
                                     q = _mm256_add_epi16(q, _mm256_maddubs_epi16(y, w));
                                     r = _mm256_add_epi16(r, _mm256_maddubs_epi16(z, w));
                                     Base256::in_order(p, q, r);
                                 };
            (add(a[R], b[R], c[R], left + std::ptrdiff_t{4} * R), ...);
            left += kGroupBytes;
            right += kGroupBytes;
        }
        ((sum[3 * R] = _mm256_add_epi32(sum[3 * R], _mm256_madd_epi16(a[R], one)),
          sum[3 * R + 1] = _mm256_add_epi32(sum[3 * R + 1], _mm256_madd_epi16(b[R], one)),
          sum[3 * R + 2] = _mm256_add_epi32(sum[3 * R + 2], _mm256_madd_epi16(c[R], one))),
         ...);
    }
    std::int32_t* sums = tile.sums + row * tile.stride + lane;
    (Base256::store(sums + R * tile.stride, sum[3 * R], tile.add), ...);
    (Base256::store(sums + R * tile.stride + kPanelModels, sum[3 * R + 1], tile.add), ...);
    (Base256::store(sums + R * tile.stride + 2 * kPanelModels, sum[3 * R + 2], tile.add), ...);
}

void multiply_bytes(const CountTile& tile) {
    const std::int64_t run = groups_a_short(tile.largest_product);
    for (std::int64_t row = 0; row < kTileRows; row += 4) {
        for (std::int64_t lane = 0; lane < kPanelModels; lane += Base256::kLanes) {
            multiply_byte_rows(tile, row, lane, run, std::make_integer_sequence<int, 4>());
        }
    }
}

}  // namespace

const KernelSet kAvx2Kernels = with_elementwise({.name = "avx2",
                                                 .multiply_u8 = multiply_bytes,
                                                 .multiply_i16 = multiply_counts<Shorts, 4>,
                                                 .multiply_f64 = multiply_frequencies<32>,
                                                 .u8_rate = 200e9,
                                                 .i16_rate = 100e9});

}  // namespace phylo
// NOLINTEND(modernize-avoid-c-arrays)
// NOLINTEND(portability-simd-intrinsics)
