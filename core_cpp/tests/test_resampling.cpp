#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "make_table.hpp"
#include "phylo/errors.hpp"
#include "phylo/resampling.hpp"

using namespace phylo;
using namespace phylo::testing;

namespace {

/// sum_g w_g sum_a c_i c_j over the genes that both have, and the same of each one's squares.
struct SlowSums {
    std::int64_t numerator = 0;
    std::int64_t self_i = 0;
    std::int64_t self_j = 0;
};

using Counts = std::vector<std::vector<std::vector<std::int64_t>>>;  // model, gene, allele

Counts counts_of(const AlleleTable& table) {
    const auto genes = static_cast<std::size_t>(table.n_genes());
    Counts counts(table.models.size(), std::vector<std::vector<std::int64_t>>(genes));
    for (std::int64_t m = 0; m < table.n_models(); ++m) {
        for_each_cell(table, m, [&](const Cell& cell) {
            const auto g = static_cast<std::size_t>(cell.gene);
            auto& alleles = counts[static_cast<std::size_t>(m)][g];
            alleles.assign(
                static_cast<std::size_t>(table.gene_offsets[g + 1] - table.gene_offsets[g]), 0);
            for (std::int64_t e = cell.begin; e < cell.end; ++e) {
                const auto at = static_cast<std::size_t>(e);
                alleles[static_cast<std::size_t>(table.columns[at] - table.gene_offsets[g])] =
                    table.counts[at];
            }
        });
    }
    return counts;
}

SlowSums slow_sums(const Counts& counts, std::size_t i, std::size_t j,
                   const std::int64_t* weights) {
    SlowSums sums;
    for (std::size_t g = 0; g < counts[i].size(); ++g) {
        if (counts[i][g].empty() || counts[j][g].empty()) {
            continue;
        }
        for (std::size_t a = 0; a < counts[i][g].size(); ++a) {
            const std::int64_t x = counts[i][g][a];
            const std::int64_t y = counts[j][g][a];
            sums.numerator += weights[g] * x * y;
            sums.self_i += weights[g] * x * x;
            sums.self_j += weights[g] * y * y;
        }
    }
    return sums;
}

/// Bit-identical, or NaN both.
bool same(double a, double b) { return std::isnan(a) ? std::isnan(b) : a == b; }

std::vector<double> replicates(const Resampling& resampling, std::int64_t first, std::int64_t last,
                               int threads) {
    std::vector<double> out(static_cast<std::size_t>((last - first) * resampling.n_pairs()));
    resampling.replicates(first, 0.0, threads, std::span(out));
    return out;
}

void check_replicates(const AlleleTable& table, std::int64_t largest_weight) {
    const auto genes = static_cast<std::size_t>(table.n_genes());
    constexpr std::size_t n = 11;
    std::vector<std::int64_t> weights(n * genes);
    for (std::size_t k = 0; k < weights.size(); ++k) {
        weights[k] = static_cast<std::int64_t>(k * 7919) % (largest_weight + 1);
    }
    const Resampling resampling(table, Estimator::plugin, weights, n);
    const std::vector<double> found = replicates(resampling, 0, n, 1);
    const Counts counts = counts_of(table);
    std::size_t at = 0;
    int wrong = 0;
    for (std::size_t b = 0; b < n; ++b) {
        for (std::size_t i = 0; i < counts.size(); ++i) {
            for (std::size_t j = i + 1; j < counts.size(); ++j) {
                const SlowSums sums = slow_sums(counts, i, j, weights.data() + b * genes);
                const double product =
                    static_cast<double>(sums.self_i) * static_cast<double>(sums.self_j);
                const double expected =
                    product > 0.0 ? static_cast<double>(sums.numerator) / std::sqrt(product)
                                  : std::nan("");
                wrong += same(found[at++], expected) ? 0 : 1;
            }
        }
    }
    CHECK(wrong == 0);
    const std::vector<double> threaded = replicates(resampling, 0, n, 4);
    CHECK(std::ranges::equal(threaded, found, same));
    const std::vector<double> part = replicates(resampling, 3, 10, 1);
    CHECK(std::ranges::equal(
        part,
        std::span(found).subspan(static_cast<std::size_t>(3 * resampling.n_pairs()), part.size()),
        same));
}

/// Two probes of a cell become many more.
std::vector<Row> enlarged(std::vector<Row> rows, std::int64_t factor) {
    for (Row& row : rows) {
        row.count = factor;
    }
    return rows;
}

}  // namespace

TEST_CASE("replicates equal slow sums, narrow and wide") {
    check_replicates(make_table(250, 7, random_rows(250, 7, 8, 1)), 3);
    check_replicates(make_table(60, 7, enlarged(random_rows(60, 7, 8, 2), 20)), 3);
    check_replicates(make_table(60, 6, enlarged(random_rows(60, 6, 8, 3), 8000)), 3);
    check_replicates(make_table(60, 6, random_rows(60, 6, 8, 4)), 100'000);
    check_replicates(make_table(1, 2, {{0, 0, "a"}}), 1);
}

TEST_CASE("one block of genes has no jackknife error, two have") {
    const AlleleTable table = make_table(
        2, 2, {{0, 0, "a", 2}, {1, 0, "a", 1}, {1, 0, "b", 1}, {0, 1, "a", 2}, {1, 1, "a", 2}});
    const auto errors = [&](const std::vector<std::int64_t>& weights) {
        const auto n = static_cast<std::int64_t>(weights.size()) / 2;
        const Resampling resampling(table, Estimator::plugin, weights, n);
        std::vector<double> out(6);
        const std::span<double> all(out);
        resampling.errors(ErrorMethod::jackknife, 1e-10, 1,
                          {.similarity = all.subspan(0, 1),
                           .similarity_bias = all.subspan(1, 1),
                           .similarity_error = all.subspan(2, 1),
                           .distance = all.subspan(3, 1),
                           .distance_bias = all.subspan(4, 1),
                           .distance_error = all.subspan(5, 1)});
        return out;
    };
    const double full = 6.0 / std::sqrt(8.0 * 6.0);
    const double first = 2.0 / std::sqrt(4.0 * 2.0);
    const std::vector<double> two = errors({1, 1, 0, 1, 1, 0});
    CHECK(two[0] == full);
    const double mean = (1.0 + first) / 2.0;
    CHECK(two[1] == doctest::Approx(mean - full));
    CHECK(two[2] == doctest::Approx(std::sqrt(
                        ((1.0 - mean) * (1.0 - mean) + (first - mean) * (first - mean)) / 2.0)));
    CHECK(two[3] == doctest::Approx(-std::log(full)));
    const std::vector<double> one = errors({1, 1, 0, 0});
    CHECK(one[0] == full);
    CHECK(std::isnan(one[2]));
    CHECK(std::isnan(one[5]));
}

TEST_CASE("weighted sums above 2^53 are refused") {
    const AlleleTable table = make_table(2, 1, {{0, 0, "a", 100}, {1, 0, "a", 100}});
    const std::vector<std::int64_t> most = {(std::int64_t{1} << 53) / 10'000};
    CHECK(replicates(Resampling(table, Estimator::plugin, most, 1), 0, 1, 1).front() == 1.0);
    const std::vector<std::int64_t> more = {most.front() + 1};
    CHECK_THROWS_AS(Resampling(table, Estimator::plugin, more, 1), InputError);
}
