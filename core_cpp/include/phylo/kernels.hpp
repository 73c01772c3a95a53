#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace phylo {

/// Panels: how common alleles are laid out for the tile kernels.
///
/// A panel holds 16 models. Its columns come in groups that fill 64 bytes of counts: 4 columns of
/// u8 or 2 of i16, model by model ([model][column]), so that one 512-bit register, or two of 256
/// bits, is the group for all 16 models. Panels of doubles hold one column a group (128 bytes).
inline constexpr std::int64_t kPanelModels = 16;
inline constexpr std::int64_t kGroupBytes = 64;
/// A tile kernel multiplies 8 models by 48, three panels.
inline constexpr std::int64_t kTileRows = 8;
inline constexpr std::int64_t kTileColumns = 48;

/// sums[r * stride + c] (+)= sum over groups of rows[r] x columns[c], for 8 x 48 models.
struct CountTile {
    const std::uint8_t* rows;     ///< the first of 8 models in its panel, first group
    const std::uint8_t* columns;  ///< the first of three panels, first group
    std::int64_t panel_bytes;     ///< from one panel to the next
    std::int64_t groups;
    std::int32_t* sums;
    std::int64_t stride;           ///< in elements
    bool add;                      ///< to what `sums` holds; else it is overwritten
    std::int32_t largest_product;  ///< no count of rows times count of columns exceeds it
};

/// sums[r * stride + c] += sum over columns, in order, of rows[r] x columns[c]. The sum is taken
/// apart from `sums` and added to it once.
struct FrequencyTile {
    const double* rows;
    const double* columns;
    std::int64_t panel_doubles;
    std::int64_t groups;
    double* sums;
    std::int64_t stride;
};

/// The inner loops, compiled for one instruction set. Integer kernels give the same integers, and
/// the others the same bits, in every set: no operation is fused, sums have one order.
struct KernelSet {
    const char* name = nullptr;
    void (*multiply_u8)(const CountTile&) = nullptr;
    void (*multiply_i16)(const CountTile&) = nullptr;
    void (*multiply_f64)(const FrequencyTile&) = nullptr;
    /// out[j] = numerators[j] / sqrt(self x selves[j]), NaN where the product is not above 0.
    void (*identities_i32)(const std::int32_t* numerators, std::int64_t n, double self,
                           const double* selves, double* out) = nullptr;
    void (*identities_i64)(const std::int64_t* numerators, std::int64_t n, double self,
                           const double* selves, double* out) = nullptr;
    void (*identities_f64)(const double* numerators, std::int64_t n, double self,
                           const double* selves, double* out) = nullptr;
    /// values[j] = -log(min(max(values[j], floor), 1)), never -0; NaN stays. Within 1 ulp.
    void (*distances)(double* values, std::int64_t n, double floor) = nullptr;
    void (*narrow)(const double* values, std::int64_t n, float* out) = nullptr;
    /// As narrow, past the caches where the set can: for results that are not read again soon.
    void (*stream)(const double* values, std::int64_t n, float* out) = nullptr;
    /// Moves a row's marked values to its front, in order, and gives their number. Value k is
    /// marked by bit k % 64 of word k / 64. What lies up to 64 bytes behind them may be
    /// overwritten, but nothing beyond the row's n values, rounded up to whole 64 bytes.
    std::int64_t (*keep_f32)(float* row, std::int64_t n, const std::uint64_t* marks) = nullptr;
    std::int64_t (*keep_f64)(double* row, std::int64_t n, const std::uint64_t* marks) = nullptr;
    /// Multiply-adds a second on a core, in round numbers, for cost models.
    double u8_rate = 0.0;
    double i16_rate = 0.0;
};

/// Sets that this build has and this processor runs, slowest first: "portable", then any of
/// "neon", "avx2", "avx-vnni", "avx512-vnni".
[[nodiscard]] const std::vector<const KernelSet*>& usable_kernels();

/// The set in use: the last usable one, or what the environment variable PYPHYLO_ISA names.
/// Throws InputError when that is not usable.
[[nodiscard]] const KernelSet& kernels();

}  // namespace phylo
