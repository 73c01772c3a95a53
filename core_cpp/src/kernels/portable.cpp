// What any processor runs: plain loops that compilers vectorise with the baseline set.
#include <cstdint>

#include "elementwise.hpp"
#include "kernel_sets.hpp"
#include "tiles.hpp"

// NOLINTBEGIN(modernize-avoid-c-arrays): std::array has functions, which would be compiled for this
// set and merged into what older processors run.
namespace phylo {
namespace {

/// One row against the 16 models of a panel.
template <class Count>
void multiply_panel(const std::uint8_t* left, const std::uint8_t* right, std::int64_t groups,
                    std::int32_t* sums, bool add) {
    constexpr std::size_t columns = 4 / sizeof(Count);
    constexpr std::size_t models = kPanelModels;
    std::int32_t sum[models] = {};
    for (std::int64_t g = 0; g < groups; ++g) {
        Count own[columns];
        std::memcpy(own, left + g * kGroupBytes, sizeof own);
        Count others[models * columns];
        std::memcpy(others, right + g * kGroupBytes, sizeof others);
        for (std::size_t m = 0; m < models; ++m) {
            for (std::size_t c = 0; c < columns; ++c) {
                sum[m] += std::int32_t{own[c]} * others[m * columns + c];
            }
        }
    }
    for (std::size_t m = 0; m < models; ++m) {
        sums[m] = add ? sums[m] + sum[m] : sum[m];
    }
}

template <class Count>
void multiply(const CountTile& tile) {
    for (std::int64_t row = 0; row < kTileRows; ++row) {
        for (std::int64_t column = 0; column < kTileColumns; column += kPanelModels) {
            multiply_panel<Count>(tile.rows + row * 4,
                                  tile.columns + column / kPanelModels * tile.panel_bytes,
                                  tile.groups, tile.sums + row * tile.stride + column, tile.add);
        }
    }
}

}  // namespace

const KernelSet kPortableKernels = with_elementwise({.name = "portable",
                                                     .multiply_u8 = multiply<std::uint8_t>,
                                                     .multiply_i16 = multiply<std::int16_t>,
                                                     .multiply_f64 = multiply_frequencies<16>,
                                                     .u8_rate = 10e9,
                                                     .i16_rate = 10e9});

}  // namespace phylo
// NOLINTEND(modernize-avoid-c-arrays)
