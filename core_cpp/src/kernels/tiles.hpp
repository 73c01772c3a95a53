// Tile products over any vector of counts. Included once by each instruction set's file; see
// elementwise.hpp for why everything has internal linkage.
#pragma once

#include <cstdint>
#include <utility>

#include "phylo/kernels.hpp"

namespace phylo {
namespace {

/// Rows R... of a tile against V::kLanes models of each of three panels.
///
/// Invariant: after g groups, a[r], b[r] and c[r] hold the sums of row r over these groups.
/// Accumulators are indexed by constants only, from the front end on, so that the compiler keeps
/// them in registers: an array that a loop indexes is spilled.
template <class V, int... R>
[[gnu::always_inline]] inline void multiply_rows(const CountTile& tile, std::int64_t row,
                                                 std::int64_t lane,
                                                 std::integer_sequence<int, R...> /*rows*/) {
    typename V::Sum a[sizeof...(R)] = {(static_cast<void>(R), V::zero())...};
    typename V::Sum b[sizeof...(R)] = {(static_cast<void>(R), V::zero())...};
    typename V::Sum c[sizeof...(R)] = {(static_cast<void>(R), V::zero())...};
    const std::uint8_t* left = tile.rows + row * 4;
    const std::uint8_t* right = tile.columns + lane * 4;
    for (std::int64_t g = 0; g < tile.groups; ++g) {
        const auto x = V::load(right);
        const auto y = V::load(right + tile.panel_bytes);
        const auto z = V::load(right + 2 * tile.panel_bytes);
        const auto add = [&](typename V::Sum& p, typename V::Sum& q, typename V::Sum& r,
                             const std::uint8_t* counts) __attribute__((always_inline)) {
            const auto w = V::broadcast(counts);
            p = V::add_products(p, x, w);
            q = V::add_products(q, y, w);
            r = V::add_products(r, z, w);
            V::in_order(p, q, r);
        };
        (add(a[R], b[R], c[R], left + 4 * R), ...);
        left += kGroupBytes;
        right += kGroupBytes;
    }
    std::int32_t* sums = tile.sums + row * tile.stride + lane;
    (V::store(sums + R * tile.stride, a[R], tile.add), ...);
    (V::store(sums + R * tile.stride + kPanelModels, b[R], tile.add), ...);
    (V::store(sums + R * tile.stride + 2 * kPanelModels, c[R], tile.add), ...);
}

/// A whole tile, `Rows` rows of it at a time.
template <class V, int Rows>
void multiply_counts(const CountTile& tile) {
    for (std::int64_t row = 0; row < kTileRows; row += Rows) {
        for (std::int64_t lane = 0; lane < kPanelModels; lane += V::kLanes) {
            multiply_rows<V>(tile, row, lane, std::make_integer_sequence<int, Rows>());
        }
    }
}

/// Vectors of doubles, `Bytes` wide, as the compiler's own type.
template <int Bytes>
struct Doubles {
    typedef double Vector __attribute__((vector_size(Bytes), aligned(8), may_alias));  // NOLINT
    static constexpr int kLanes = Bytes / 8;
};

/// Rows R... of a tile against one vector of models.
template <int Bytes, int... R>
[[gnu::always_inline]] inline void multiply_rows(const FrequencyTile& tile, std::int64_t row,
                                                 std::int64_t column,
                                                 std::integer_sequence<int, R...> /*rows*/) {
    using Vector = typename Doubles<Bytes>::Vector;
    Vector sum[sizeof...(R)] = {(static_cast<void>(R), Vector{})...};
    const double* left = tile.rows + row;
    const double* right =
        tile.columns + (column / kPanelModels) * tile.panel_doubles + column % kPanelModels;
    for (std::int64_t g = 0; g < tile.groups; ++g) {
        const Vector x = *reinterpret_cast<const Vector*>(right);
        ((sum[R] += x * left[R]), ...);
        left += kPanelModels;
        right += kPanelModels;
    }
    double* sums = tile.sums + row * tile.stride + column;
    ((*reinterpret_cast<Vector*>(sums + R * tile.stride) += sum[R]), ...);
}

template <int Bytes>
void multiply_frequencies(const FrequencyTile& tile) {
    for (std::int64_t column = 0; column < kTileColumns; column += Doubles<Bytes>::kLanes) {
        multiply_rows<Bytes>(tile, 0, column, std::make_integer_sequence<int, kTileRows>());
    }
}

}  // namespace
}  // namespace phylo
