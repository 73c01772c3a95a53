#include "phylo/self_terms.hpp"

#include <algorithm>
#include <map>
#include <vector>

namespace phylo {

namespace {

std::size_t index(std::int64_t value) noexcept { return static_cast<std::size_t>(value); }

/// Sum of squared counts of a cell.
std::int64_t count_square(const AlleleTable& table, const Cell& cell) noexcept {
    std::int64_t sum = 0;
    for (std::int64_t e = cell.begin; e < cell.end; ++e) {
        const std::int64_t count = table.counts[index(e)];
        sum += count * count;
    }
    return sum;
}

double probability_square(const AlleleTable& table, const Cell& cell) noexcept {
    double sum = 0.0;
    for (std::int64_t e = cell.begin; e < cell.end; ++e) {
        sum += table.probabilities[index(e)] * table.probabilities[index(e)];
    }
    return sum;
}

/// A hybrid cell's unbiased term. With p = q + r f, sum p^2 - r^2 (1 - sum f^2) / (m - 1) is the
/// sum of q^2 + 2 r q f and of r^2 times the term of the m draws alone: nothing cancels.
double hybrid_term(const AlleleTable& table, const Cell& cell) noexcept {
    const auto m = static_cast<double>(draws_in(table, cell));
    std::int64_t repeated = 0;
    double decided = 0.0;
    for (std::int64_t e = cell.begin; e < cell.end; ++e) {
        const std::int64_t draws = table.draws[index(e)];
        const double q = table.decided[index(e)];
        repeated += draws * (draws - 1);
        decided += q * (q + 2.0 * cell.undecided * static_cast<double>(draws) / m);
    }
    return decided +
           cell.undecided * cell.undecided * (static_cast<double>(repeated) / (m * (m - 1.0)));
}

/// Which genes each model has; models with the same genes share an entry of `masks`.
struct Patterns {
    std::vector<std::vector<bool>> masks;
    std::vector<std::size_t> of_model;
};

Patterns find_patterns(const AlleleTable& table) {
    Patterns patterns;
    std::map<std::vector<bool>, std::size_t> known;
    for (std::int64_t m = 0; m < table.n_models(); ++m) {
        std::vector<bool> mask(index(table.n_genes()), false);
        for_each_cell(table, m, [&](const Cell& cell) { mask[index(cell.gene)] = true; });
        const auto [entry, is_new] = known.emplace(std::move(mask), patterns.masks.size());
        if (is_new) {
            patterns.masks.push_back(entry->first);
        }
        patterns.of_model.push_back(entry->second);
    }
    return patterns;
}

}  // namespace

double cell_self_term(const AlleleTable& table, const Cell& cell, Estimator estimator) noexcept {
    if (cell.undecided > 0.0 && estimator == Estimator::unbiased) {
        return hybrid_term(table, cell);
    }
    const std::int64_t n = probes_in(table, cell);
    if (n == 0) {
        return probability_square(table, cell);
    }
    const auto square = static_cast<double>(count_square(table, cell));
    const auto probes = static_cast<double>(n);
    return estimator == Estimator::plugin ? square / (probes * probes)
                                          : (square - probes) / (probes * (probes - 1.0));
}

SelfTerms::SelfTerms(const AlleleTable& table, Estimator estimator, const TableSummary& summary) {
    Patterns patterns = find_patterns(table);
    patterns_ = patterns.masks.size();
    pattern_of_ = std::move(patterns.of_model);
    terms_.assign(index(table.n_models()) * patterns_, 0.0);
    // Every model has one n, or no cell at all.
    const bool integer = std::ranges::all_of(summary.probes, [](std::int64_t n) { return n >= 0; });
    std::vector<std::int64_t> whole(patterns_);
    for (std::int64_t m = 0; m < table.n_models(); ++m) {
        const std::int64_t n = summary.probes[index(m)];
        const bool one_n = integer && n > 0;
        double* terms = terms_.data() + index(m) * patterns_;
        whole.assign(patterns_, 0);
        for_each_cell(table, m, [&](const Cell& cell) {
            const std::int64_t square = one_n ? count_square(table, cell) : 0;
            const std::int64_t exact = estimator == Estimator::unbiased ? square - n : square;
            const double term = one_n ? 0.0 : cell_self_term(table, cell, estimator);
            for (std::size_t p = 0; p < patterns_; ++p) {
                if (patterns.masks[p][index(cell.gene)]) {
                    whole[p] += exact;
                    terms[p] += term;
                }
            }
        });
        if (one_n) {
            // n^2 J = n (sum c^2 - n) / (n - 1), summed over genes before the one division.
            const auto probes = static_cast<double>(n);
            const double scale = estimator == Estimator::unbiased ? probes / (probes - 1.0) : 1.0;
            for (std::size_t p = 0; p < patterns_; ++p) {
                terms[p] = static_cast<double>(whole[p]) * scale;
            }
        }
    }
}

}  // namespace phylo
