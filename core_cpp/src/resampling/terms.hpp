#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "phylo/allele_table.hpp"
#include "phylo/similarity.hpp"

namespace phylo::resampling {

/// What is known of every (model, gene) cell before genes are weighted.
///
/// In an integer table (each model has one n) products are of counts and a model's self terms are
/// whole numbers, of which `scale` is divided out after they were summed: n^2 J is
/// n (sum c^2 - n) / (n - 1) under the unbiased estimator. In a float table products are of
/// frequencies, and scales are 1.
struct GeneTerms {
    bool integer = false;
    std::int64_t largest_count = 0;
    std::int64_t largest_probes = 0;  ///< in any cell
    std::vector<double> terms;        ///< models x genes; 0 where the cell is missing
    std::vector<std::uint8_t> present;
    std::vector<double> scales;         ///< of each model
    std::vector<std::size_t> patterns;  ///< models with the same genes have the same number
    std::vector<std::int64_t> probes;   ///< of each gene, the largest n
};

/// O(nnz + models x genes).
[[nodiscard]] GeneTerms gene_terms(const AlleleTable& table, Estimator estimator);

/// What no weighted sum of numerators or self terms exceeds, INT64_MAX where that is above 2^63;
/// and the replicate that might come closest. For integer tables.
struct SumBound {
    std::int64_t value = 0;
    std::int64_t replicate = 0;
};
[[nodiscard]] SumBound bound_sums(const GeneTerms& terms, std::span<const std::int64_t> weights);

/// What products are formed of: an entry's count in an integer table, else its frequency.
[[nodiscard]] inline double entry_value(const AlleleTable& table, bool integer, std::int64_t entry,
                                        std::int64_t probes) noexcept {
    const auto at = static_cast<std::size_t>(entry);
    if (integer) {
        return table.counts[at];
    }
    return probes == 0 ? table.probabilities[at] : table.counts[at] / static_cast<double>(probes);
}

/// Calls visit(gene, column, value) for every entry of a model, columns ascending.
template <class Visit>
void for_each_entry(const AlleleTable& table, bool integer, std::int64_t model, Visit&& visit) {
    for_each_cell(table, model, [&](const Cell& cell) {
        const std::int64_t probes = integer ? 0 : probes_in(table, cell);
        for (std::int64_t e = cell.begin; e < cell.end; ++e) {
            visit(cell.gene, table.columns[static_cast<std::size_t>(e)],
                  entry_value(table, integer, e, probes));
        }
    });
}

}  // namespace phylo::resampling
