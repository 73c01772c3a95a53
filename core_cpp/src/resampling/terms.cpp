#include "terms.hpp"

#include <algorithm>
#include <map>
#include <utility>

namespace phylo::resampling {

namespace {

std::size_t index(std::int64_t value) noexcept { return static_cast<std::size_t>(value); }

/// A cell's self term before `scales`. Of an integer table it is a whole number, exact in a
/// double as long as bound_sums is.
double cell_term(const AlleleTable& table, bool integer, const Cell& cell, std::int64_t probes,
                 Estimator estimator) noexcept {
    if (!integer || probes == 0) {
        return cell_self_term(table, cell, estimator);
    }
    double square = 0.0;
    for (std::int64_t e = cell.begin; e < cell.end; ++e) {
        const auto count = static_cast<double>(table.counts[index(e)]);
        square += count * count;
    }
    return estimator == Estimator::plugin ? square : square - static_cast<double>(probes);
}

}  // namespace

GeneTerms gene_terms(const AlleleTable& table, Estimator estimator) {
    const TableSummary summary = summarise(table);
    const std::int64_t genes = table.n_genes();
    GeneTerms found;
    found.integer = std::ranges::all_of(summary.probes, [](std::int64_t n) { return n >= 0; });
    found.largest_count = table.counts.empty() ? 0 : std::ranges::max(table.counts);
    found.terms.assign(index(table.n_models() * genes), 0.0);
    found.present.assign(index(table.n_models() * genes), 0);
    found.scales.assign(index(table.n_models()), 1.0);
    found.probes.assign(index(genes), 0);
    std::map<std::vector<bool>, std::size_t> known;
    for (std::int64_t m = 0; m < table.n_models(); ++m) {
        for_each_cell(table, m, [&](const Cell& cell) {
            const std::int64_t n = probes_in(table, cell);
            const std::size_t at = index(m * genes + cell.gene);
            found.terms[at] = cell_term(table, found.integer, cell, n, estimator);
            found.present[at] = 1;
            std::int64_t& largest = found.probes[index(cell.gene)];
            largest = std::max(largest, n);
        });
        const std::int64_t n = summary.probes[index(m)];
        if (found.integer && n > 0 && estimator == Estimator::unbiased) {
            const auto probes = static_cast<double>(n);
            found.scales[index(m)] = probes / (probes - 1.0);
        }
        const auto row = found.present.begin() + m * genes;
        const std::vector<bool> mask(row, row + genes);
        found.patterns.push_back(known.emplace(mask, known.size()).first->second);
    }
    found.largest_probes = found.probes.empty() ? 0 : std::ranges::max(found.probes);
    return found;
}

SumBound bound_sums(const GeneTerms& terms, std::span<const std::int64_t> weights) {
    const std::size_t genes = terms.probes.size();
    SumBound bound;
    for (std::size_t row = 0; genes > 0 && row < weights.size() / genes; ++row) {
        std::int64_t sum = 0;
        for (std::size_t g = 0; g < genes; ++g) {
            std::int64_t part = 0;
            if (__builtin_mul_overflow(terms.probes[g], terms.probes[g], &part) ||
                __builtin_mul_overflow(part, weights[row * genes + g], &part) ||
                __builtin_add_overflow(sum, part, &sum)) {
                // A square beyond 63 bits with a weight of 0 adds nothing.
                sum = weights[row * genes + g] == 0 ? sum : INT64_MAX;
            }
            if (sum == INT64_MAX) {
                break;
            }
        }
        if (sum > bound.value) {
            bound = {.value = sum, .replicate = static_cast<std::int64_t>(row)};
        }
    }
    return bound;
}

}  // namespace phylo::resampling
