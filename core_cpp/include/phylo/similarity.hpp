#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "phylo/allele_table.hpp"
#include "phylo/parallel.hpp"

namespace phylo {

/// How the self term J of a cell is taken (Nei 1972, 1978).
enum class Estimator {
    plugin,    ///< sum p^2
    unbiased,  ///< sampled cell of n probes: (n sum p^2 - 1) / (n - 1); exact cell: sum p^2;
               ///< hybrid cell of m draws, frequencies f, in a mass r:
               ///< sum p^2 - r^2 (1 - sum f^2) / (m - 1)
};

/// Numerators above this lose bits in a double.
inline constexpr std::int64_t kExactLimit = std::int64_t{1} << 53;

/// Which pairs of a table's models are wanted.
struct Pairs {
    std::int64_t row_begin = 0;
    std::int64_t row_end = 0;
    std::int64_t column_begin = 0;
    std::int64_t column_end = 0;
    bool symmetric = false;  ///< rows and columns are the same models: only columns below the row

    [[nodiscard]] std::int64_t rows() const noexcept { return row_end - row_begin; }
    [[nodiscard]] std::int64_t columns() const noexcept { return column_end - column_begin; }

    /// All models against all.
    [[nodiscard]] static Pairs square(const AlleleTable& table) noexcept {
        return {.row_begin = 0,
                .row_end = table.n_models(),
                .column_begin = 0,
                .column_end = table.n_models(),
                .symmetric = true};
    }
    /// The first `split` models against the others.
    [[nodiscard]] static Pairs between(const AlleleTable& table, std::int64_t split) noexcept {
        return {.row_begin = 0,
                .row_end = split,
                .column_begin = split,
                .column_end = table.n_models(),
                .symmetric = false};
    }
};

/// Self terms of every model, over the genes it shares with any other.
///
/// Genes missing in either model of a pair are left out of both self terms. Models that
/// have the same genes share a pattern, so terms are kept for (model, pattern), not for
/// every pair. On an integer table a model's terms are scaled
/// by its n^2, as its numerators are. O(models x patterns x
/// genes + nnz) time, O(models x patterns) memory; one pattern when nothing is missing.
class SelfTerms {
   public:
    /// Requires that under `unbiased` every cell has an unbiased term.
    SelfTerms(const AlleleTable& table, Estimator estimator, const TableSummary& summary);

    /// Model i's self term over the genes that it shares with model j.
    [[nodiscard]] double operator()(std::int64_t i, std::int64_t j) const noexcept {
        return terms_[static_cast<std::size_t>(i) * patterns_ +
                      pattern_of_[static_cast<std::size_t>(j)]];
    }
    [[nodiscard]] std::size_t patterns() const noexcept { return patterns_; }

   private:
    std::size_t patterns_ = 0;
    std::vector<std::size_t> pattern_of_;
    std::vector<double> terms_;
};

/// Whether numerators are integers: every model has one n (or no cell at all).
[[nodiscard]] bool is_integer(const TableSummary& summary) noexcept;

/// Nei's identity of every wanted pair, row-major, `pairs.rows()` x `pairs.columns()`.
///
/// S_ij = sum p_i p_j / sqrt(J_i J_j), all three sums over the genes that both have; NaN where
/// a self term is zero or no gene is shared. The diagonal of a symmetric call is 1. On an integer
/// table the sums are exact integers, so S is the same bits for any thread number and block size;
/// on a float table every pair's sum runs over genes in order, so likewise on one instruction set.
/// O(sum over columns of rows-having-it x columns-having-it) time.
/// Throws InputError when a numerator might exceed kExactLimit, Interrupted when asked to stop.
void nei_similarity(const AlleleTable& table, const Pairs& pairs, Estimator estimator, int threads,
                    std::span<double> out, const StopRequest& stop = {});

/// The exact numerators sum over genes and alleles of n_ia n_ja of an integer or float table's
/// counts (exact and hybrid cells add nothing), the same pairs and layout; a symmetric call fills
/// the diagonal with sum n_ia^2.
void count_numerators(const AlleleTable& table, const Pairs& pairs, int threads,
                      std::span<std::int64_t> out, const StopRequest& stop = {});

}  // namespace phylo
