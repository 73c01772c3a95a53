#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "phylo/allele_table.hpp"

namespace phylo {

/// How the self term J of a cell is taken (Nei 1972, 1978).
enum class Estimator {
    plugin,    ///< sum p^2
    unbiased,  ///< sampled cell of n probes: (n sum p^2 - 1) / (n - 1); exact cell: sum p^2;
               ///< hybrid cell of m draws, frequencies f, in a mass r:
               ///< sum p^2 - r^2 (1 - sum f^2) / (m - 1)
};

/// A cell's self term as frequencies. O(entries of the cell).
[[nodiscard]] double cell_self_term(const AlleleTable& table, const Cell& cell,
                                    Estimator estimator) noexcept;

/// Self terms of every model, over the genes it shares with any other.
///
/// Genes missing in either model of a pair are left out of both self terms. Models that
/// have the same genes share a pattern, so terms are kept for (model, pattern), not for
/// every pair. On an integer table a model's terms are scaled
/// by its n^2, as its numerators are. O(models x patterns x genes + nnz) time, on an integer table
/// O(models x cells that are unlike their gene's in most patterns + models x patterns + nnz);
/// O(models x patterns) memory; one pattern when nothing is missing.
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
    /// Of model i over the genes of pattern p, at i * patterns() + p.
    [[nodiscard]] const std::vector<double>& terms() const noexcept { return terms_; }
    [[nodiscard]] const std::vector<std::size_t>& pattern_of() const noexcept {
        return pattern_of_;
    }

   private:
    std::size_t patterns_ = 0;
    std::vector<std::size_t> pattern_of_;
    std::vector<double> terms_;
};

}  // namespace phylo
