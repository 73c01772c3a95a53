#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace phylo {

/// Where half_i + half_j - shared is at most this share of half_i + half_j, cancellation has
/// taken 8 bits, and the cells are compared allele by allele.
inline constexpr double kCancelled = 1.0 / 256;

/// `both` is half_i + half_j; never so where it is NaN.
[[nodiscard]] inline bool is_cancelled(double both, double shared) noexcept {
    return both - shared <= both * kCancelled;
}

/// The passes over one row of a tile that are worth a processor's widest vectors. Elements never
/// meet, so every instruction set gives the same bits.
struct LineKernels {
    std::string_view instruction_set;

    /// sums[j] += own * others[j]
    void (*add_products)(double* sums, const double* others, double own, std::int32_t n);

    /// sums[j] += own + half[j] - shared[j], except where that is cancelled; says whether any was.
    /// `half` is NaN where a model lacks the gene: it adds nothing and has not cancelled.
    bool (*add_terms)(double* sums, const double* shared, const double* half, double own,
                      std::int32_t n);

    /// The same with the root of each term.
    bool (*add_roots)(double* sums, const double* shared, const double* half, double own,
                      std::int32_t n);

    /// sums[j] += own + half[j] - 2 shared[j], nothing where `half` is NaN.
    void (*add_squares)(double* sums, const double* shared, const double* half, double own,
                        std::int32_t n);
};

/// Those that this processor can run, best last.
[[nodiscard]] std::span<const LineKernels> line_kernels() noexcept;

/// The best of them, or the best no newer than what PYPHYLO_ISA asks for (see cpu_dispatch).
[[nodiscard]] const LineKernels& chosen_line_kernels();

}  // namespace phylo
