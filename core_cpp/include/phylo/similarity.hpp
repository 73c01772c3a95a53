#pragma once

#include <cstdint>

#include "phylo/allele_table.hpp"
#include "phylo/parallel.hpp"
#include "phylo/self_terms.hpp"
#include "phylo/similarity_plan.hpp"

namespace phylo {

/// What is written of each pair.
enum class Quantity {
    numerator,   ///< sum over genes and alleles of n_ia n_ja; exact cells add nothing
    similarity,  ///< Nei's identity S
    distance,    ///< -log(min(max(S, floor), 1))
};

/// Where results go, and in which order.
struct Output {
    enum class Type { int64, float64, float32 };
    enum class Layout {
        matrix,     ///< rows x columns, row-major
        condensed,  ///< of a square call: the upper triangle by rows
    };
    Quantity quantity = Quantity::similarity;
    Type type =
        Type::float64;  ///< int64 for numerators, else a float; float32 is rounded from float64
    Layout layout = Layout::matrix;
    double floor = 0.0;      ///< of distances
    void* values = nullptr;  ///< where in memory; or
    int file = -1;           ///< a file open for writing, from the offset `file_begin` on
    std::int64_t file_begin = 0;

    [[nodiscard]] std::int64_t item_bytes() const noexcept { return type == Type::float32 ? 4 : 8; }
};

/// Compares models, as the plan and the output say.
///
/// S_ij = sum p_i p_j / sqrt(J_i J_j), all three sums over the genes that both have; NaN where
/// a self term is zero or no gene is shared. In a square call the diagonal is 1 (numerators:
/// the sum of squared counts). On an integer table the sums are exact integers, so S is the same
/// bits for any thread number, instruction set and order of models. On a float table common alleles
/// are summed in short chunks, then added, then rare alleles in the order of columns: a pair's
/// relative error stays below 2^-53 (3 + 256 + common / 256 + 4096 + rare / 4096), and bits do not
/// depend on threads, instruction set or order either. O(pairs x dense columns + shared rare
/// alleles of all pairs + nnz) time. Throws InputError when a numerator might exceed kExactLimit,
/// Interrupted when asked to stop, std::system_error when the file cannot be written.
/// Returns whether some pair is NaN.
bool compare(const AlleleTable& table, const Pairs& pairs, Estimator estimator, int threads,
             const Output& output, const StopRequest& stop = {});

/// Multiply-adds of bytes that `threads` threads of this processor do a second, measured for
/// some 20 ms on operands that stay in the first cache: the ceiling of dense columns.
[[nodiscard]] double measure_integer_peak(int threads);

}  // namespace phylo
