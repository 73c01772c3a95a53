#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "phylo/buffer.hpp"
#include "phylo/kernels.hpp"

namespace phylo::resampling {

template <class Value>
inline constexpr std::int64_t kColumnsAGroup =
    std::is_same_v<Value, double> ? 1 : 4 / static_cast<std::int64_t>(sizeof(Value));

/// What the products of a kind of values add up to.
template <class Value>
using SumOf = std::conditional_t<std::is_same_v<Value, double>, double, std::int32_t>;

/// A matrix as the tile kernels read it (see kernels.hpp): 16 rows a panel, [group][row][column].
/// Rows may be models, pairs or replicates, and columns alleles or genes. What is beyond the
/// matrix is zero.
template <class Value>
class Panels {
   public:
    static constexpr std::int64_t kColumns = kColumnsAGroup<Value>;
    static constexpr std::int64_t kGroup = kPanelModels * kColumns;

    Panels() = default;
    /// Rows are rounded up to whole tiles. Without groups too there is memory that rows can point
    /// into.
    Panels(std::int64_t rows, std::int64_t groups)
        : groups_(groups),
          values_(kGroup +
                  (rows + kTileColumns - 1) / kTileColumns * kTileColumns * groups * kColumns) {
        std::fill_n(values_.data(), values_.size(), Value{0});
    }
    [[nodiscard]] static std::int64_t groups_for(std::int64_t columns) noexcept {
        return (columns + kColumns - 1) / kColumns;
    }
    [[nodiscard]] std::int64_t groups() const noexcept { return groups_; }
    /// From one panel to the next.
    [[nodiscard]] std::int64_t stride() const noexcept { return groups_ * kGroup; }
    [[nodiscard]] std::int64_t place(std::int64_t row, std::int64_t column) const noexcept {
        return row / kPanelModels * stride() + column / kColumns * kGroup +
               row % kPanelModels * kColumns + column % kColumns;
    }
    [[nodiscard]] Value* at(std::int64_t row, std::int64_t column) noexcept {
        return values_.data() + place(row, column);
    }
    [[nodiscard]] const Value* at(std::int64_t row, std::int64_t column) const noexcept {
        return values_.data() + place(row, column);
    }

   private:
    std::int64_t groups_ = 0;
    Buffer<Value> values_;
};

/// sums[8 x 48] = 8 rows of one panel x 48 rows of three, over `groups` groups.
template <class Value>
void multiply(const KernelSet& kernels, const Value* rows, const Value* columns,
              std::int64_t stride, std::int64_t groups, std::int64_t largest_value,
              SumOf<Value>* sums) {
    if constexpr (std::is_same_v<Value, double>) {
        std::fill_n(sums, kTileRows * kTileColumns, 0.0);
        kernels.multiply_f64({.rows = rows,
                              .columns = columns,
                              .panel_doubles = stride,
                              .groups = groups,
                              .sums = sums,
                              .stride = kTileColumns});
    } else {
        const CountTile tile = {
            .rows = reinterpret_cast<const std::uint8_t*>(rows),
            .columns = reinterpret_cast<const std::uint8_t*>(columns),
            .panel_bytes = stride * static_cast<std::int64_t>(sizeof(Value)),
            .groups = groups,
            .sums = sums,
            .stride = kTileColumns,
            .add = false,
            .largest_product = static_cast<std::int32_t>(largest_value * largest_value)};
        if constexpr (std::is_same_v<Value, std::uint8_t>) {
            kernels.multiply_u8(tile);
        } else {
            kernels.multiply_i16(tile);
        }
    }
}

/// Multiply-adds a second of the kernel that multiplies such values, for choosing which alleles are
/// common. Of frequencies it is the same everywhere: the choice decides the order of their sums.
template <class Value>
double rate_of(const KernelSet& kernels) noexcept {
    return std::is_same_v<Value, std::uint8_t>   ? kernels.u8_rate
           : std::is_same_v<Value, std::int16_t> ? kernels.i16_rate
                                                 : 25e9;
}

}  // namespace phylo::resampling
