#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "make_table.hpp"
#include "phylo/f_statistics.hpp"
#include "phylo/self_terms.hpp"

using namespace phylo;
using namespace phylo::testing;

namespace {

AlleleTable drawn(int models, int genes, int n, unsigned seed) {
    return make_table(models, genes, random_rows(models, genes, n, seed));
}

/// One gene's unbiased f2 with a weight for each column, straight from the counts.
struct Term {
    double value = 0.0;
    bool known = false;
};

Term term_of(const AlleleTable& table, const std::vector<double>& weights, std::int64_t gene,
             std::int64_t i, std::int64_t j) {
    const auto counts_of = [&](std::int64_t model) {
        std::vector<double> counts(static_cast<std::size_t>(table.n_columns()), 0.0);
        for_each_cell(table, model, [&](const Cell& cell) {
            for (std::int64_t e = cell.begin; cell.gene == gene && e < cell.end; ++e) {
                const auto at = static_cast<std::size_t>(e);
                counts[static_cast<std::size_t>(table.columns[at])] = table.counts[at];
            }
        });
        return counts;
    };
    const auto total = [](const std::vector<double>& counts) {
        double sum = 0.0;
        for (const double count : counts) {
            sum += count;
        }
        return sum;
    };
    const std::vector<double> a = counts_of(i);
    const std::vector<double> b = counts_of(j);
    const double n = total(a);
    const double m = total(b);
    Term term{.known = n > 0 && m > 0};
    for (std::size_t c = 0; term.known && c < a.size(); ++c) {
        const double p = a[c] / n;
        const double q = b[c] / m;
        term.value +=
            weights[c] * ((p - q) * (p - q) - p * (1 - p) / (n - 1) - q * (1 - q) / (m - 1));
    }
    return term;
}

}  // namespace

TEST_CASE("f2 of blocks, their means and variances are those of plain loops") {
    const int models = 23;
    const int genes = 7;
    const AlleleTable table = drawn(models, genes, 6, 3);
    std::vector<double> weights(static_cast<std::size_t>(table.n_columns()));
    for (std::size_t c = 0; c < weights.size(); ++c) {
        weights[c] = 0.5 + static_cast<double>(c % 5);
    }
    const std::vector<std::int64_t> ends{1, 3, 6, 7};
    const F2Terms terms{.weights = weights, .block_ends = ends};
    const std::size_t pairs = models * (models - 1) / 2;
    for (const int threads : {1, 3}) {
        std::vector<double> sums(pairs * ends.size());
        std::vector<double> means(pairs);
        std::vector<double> variances(pairs);
        std::vector<std::int32_t> common(pairs);
        std::vector<std::int32_t> used(pairs);
        f2_blocks(table, terms, threads, sums);
        f2_moments(table, terms, threads,
                   {.estimates = means, .variances = variances, .genes = common, .blocks = used});
        std::size_t pair = 0;
        for (std::int64_t i = 0; i < models; ++i) {
            for (std::int64_t j = i + 1; j < models; ++j, ++pair) {
                double total = 0.0;
                double n = 0.0;
                std::vector<double> sum(ends.size(), 0.0);
                std::vector<double> size(ends.size(), 0.0);
                for (std::size_t b = 0; b < ends.size(); ++b) {
                    for (std::int64_t g = b == 0 ? 0 : ends[b - 1]; g < ends[b]; ++g) {
                        const Term term = term_of(table, weights, g, i, j);
                        sum[b] += term.value;
                        size[b] += term.known ? 1 : 0;
                    }
                    CHECK(sums[pair * ends.size() + b] == doctest::Approx(sum[b]).epsilon(1e-11));
                    total += sum[b];
                    n += size[b];
                }
                double variance = 0.0;
                double blocks = 0.0;
                for (std::size_t b = 0; b < ends.size(); ++b) {
                    if (size[b] > 0) {
                        const double apart = sum[b] / size[b] - total / n;
                        variance += size[b] / (n - size[b]) * apart * apart;
                        blocks += 1;
                    }
                }
                REQUIRE(n > 0);
                CHECK(common[pair] == n);
                CHECK(used[pair] == blocks);
                CHECK(means[pair] == doctest::Approx(total / n).epsilon(1e-11));
                if (blocks >= 2) {
                    CHECK(variances[pair] == doctest::Approx(variance / blocks).epsilon(1e-10));
                } else {
                    CHECK(std::isnan(variances[pair]));
                }
            }
        }
    }
}

TEST_CASE("f2 of more models than a tile holds") {
    const std::int64_t models = 1100;
    const AlleleTable table = drawn(static_cast<int>(models), 2, 3, 5);
    const std::vector<double> weights(static_cast<std::size_t>(table.n_columns()), 1.0);
    const std::vector<std::int64_t> ends{2};
    std::vector<double> sums(static_cast<std::size_t>(models) * (models - 1) / 2);
    f2_blocks(table, {.weights = weights, .block_ends = ends}, 2, sums);
    for (const std::int64_t i : {0, 500, 1030}) {
        for (const std::int64_t j : {1023, 1024, 1099}) {
            if (i < j) {
                double expected = 0.0;
                for (const std::int64_t gene : {0, 1}) {
                    expected += term_of(table, weights, gene, i, j).value;
                }
                const auto place =
                    static_cast<std::size_t>(i * (2 * models - i - 1) / 2 - i - 1 + j);
                CHECK(sums[place] == doctest::Approx(expected).epsilon(1e-11));
            }
        }
    }
}
