#pragma once

#include <cstdint>
#include <span>

namespace phylo {

/// The square of distances that neighbor joining works on: rows of `columns` values, of which the
/// first are in use.
template <class T>
struct DistanceRows {
    T* values;
    std::int64_t columns;

    [[nodiscard]] T* row(std::int64_t i) const noexcept { return values + i * columns; }
};

/// Fills rows first <= i < last, right of the diagonal and, mirrored, below it, from the upper
/// triangle of n nodes by rows; zeros go into the diagonal. Gives the largest absolute value as it
/// is stored, infinity among them; NaN must not occur. Parts of the rows may be filled at once. O(n
/// (last - first)).
template <class Given, class T>
double fill_from_condensed(std::span<const Given> condensed, DistanceRows<T> rows, std::int64_t n,
                           std::int64_t first, std::int64_t last) noexcept;

/// As above, from a square; only the rows are filled.
template <class Given, class T>
double fill_from_square(std::span<const Given> square, DistanceRows<T> rows, std::int64_t n,
                        std::int64_t first, std::int64_t last) noexcept;

/// Drops the columns of joined nodes and lets every distance stand both ways.
///
/// kept: the nodes that stay, ascending; at: the row of each. Node kept[i] knows its distances to
/// the first `closed` nodes and to those before it; afterwards the row at[i] holds those to
/// kept[0], kept[1], ..., and zero for itself. O(kept.size()^2).
template <class T>
void close_gaps(DistanceRows<T> rows, std::span<const std::int64_t> at,
                std::span<const std::int64_t> kept, std::int64_t closed);

}  // namespace phylo
