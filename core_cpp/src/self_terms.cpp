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

/// Which genes each model has; models with the same genes share a pattern.
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

/// Sums of a model's whole numbers over the genes of each pattern. Sums of integers may be taken in
/// any order, so a gene that most patterns have is added once for all and taken off the others.
class WholeSums {
   public:
    WholeSums(const Patterns& patterns, std::int64_t genes) : sums_(patterns.masks.size()) {
        for (std::size_t g = 0; g < index(genes); ++g) {
            const auto have = std::ranges::count_if(
                patterns.masks, [&](const std::vector<bool>& mask) { return mask[g]; });
            const bool most = 2 * index(have) > patterns.masks.size();
            Gene gene{.most_have_it = most, .others = {}};
            for (std::size_t p = 0; p < patterns.masks.size(); ++p) {
                if (patterns.masks[p][g] != most) {
                    gene.others.push_back(static_cast<std::uint32_t>(p));
                }
            }
            genes_.push_back(std::move(gene));
        }
    }

    void start() {
        std::ranges::fill(sums_, 0);
        of_all_ = 0;
    }
    void add(std::int64_t gene, std::int64_t term) {
        const Gene& side = genes_[index(gene)];
        of_all_ += side.most_have_it ? term : 0;
        const std::int64_t change = side.most_have_it ? -term : term;
        for (const std::uint32_t p : side.others) {
            sums_[p] += change;
        }
    }
    [[nodiscard]] std::int64_t operator[](std::size_t pattern) const {
        return of_all_ + sums_[pattern];
    }

   private:
    struct Gene {
        bool most_have_it;
        std::vector<std::uint32_t> others;  ///< patterns that are not like most
    };
    std::vector<Gene> genes_;
    std::vector<std::int64_t> sums_;
    std::int64_t of_all_ = 0;
};

/// 1 where a pattern has a gene, else 0: gene by gene, all patterns of a gene together.
std::vector<double> weights_of(const Patterns& patterns, std::int64_t genes) {
    std::vector<double> weights;
    weights.reserve(index(genes) * patterns.masks.size());
    for (std::size_t g = 0; g < index(genes); ++g) {
        for (const std::vector<bool>& mask : patterns.masks) {
            weights.push_back(mask[g] ? 1.0 : 0.0);
        }
    }
    return weights;
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
    terms_.assign(index(table.n_models()) * patterns_, 0.0);
    // Every model has one n, or no cell at all.
    if (std::ranges::all_of(summary.probes, [](std::int64_t n) { return n >= 0; })) {
        WholeSums sums(patterns, table.n_genes());
        for (std::int64_t m = 0; m < table.n_models(); ++m) {
            const std::int64_t n = summary.probes[index(m)];
            if (n == 0) {
                continue;
            }
            sums.start();
            for_each_cell(table, m, [&](const Cell& cell) {
                const std::int64_t square = count_square(table, cell);
                sums.add(cell.gene, estimator == Estimator::unbiased ? square - n : square);
            });
            // n^2 J = n (sum c^2 - n) / (n - 1), summed over genes before the one division.
            const auto probes = static_cast<double>(n);
            const double scale = estimator == Estimator::unbiased ? probes / (probes - 1.0) : 1.0;
            for (std::size_t p = 0; p < patterns_; ++p) {
                terms_[index(m) * patterns_ + p] = static_cast<double>(sums[p]) * scale;
            }
        }
    } else {
        const std::vector<double> weights = weights_of(patterns, table.n_genes());
        for (std::int64_t m = 0; m < table.n_models(); ++m) {
            double* terms = terms_.data() + index(m) * patterns_;
            for_each_cell(table, m, [&](const Cell& cell) {
                const double term = cell_self_term(table, cell, estimator);
                const double* weight = weights.data() + index(cell.gene) * patterns_;
                for (std::size_t p = 0; p < patterns_; ++p) {
                    terms[p] += term * weight[p];  // exact: term or 0
                }
            });
        }
    }
    pattern_of_ = std::move(patterns.of_model);
}

}  // namespace phylo
