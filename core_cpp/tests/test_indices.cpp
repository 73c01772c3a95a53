#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <numbers>
#include <random>

#include "index_lines.hpp"
#include "make_table.hpp"
#include "phylo/errors.hpp"
#include "phylo/indices.hpp"

using namespace phylo;
using namespace phylo::testing;

namespace {

constexpr std::array kAll{Index::da, Index::chord, Index::rogers, Index::jsd};

std::vector<double> distance(const AlleleTable& table, const Pairs& pairs, Index index,
                             int threads) {
    std::vector<double> out(static_cast<std::size_t>(pairs.rows() * pairs.columns()));
    genetic_distance<double>(table, pairs, index, false, threads, out);
    return out;
}

bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

/// A model's frequencies: [gene][column].
std::map<std::int64_t, std::map<std::int32_t, double>> frequencies(const AlleleTable& table,
                                                                   std::int64_t model) {
    std::map<std::int64_t, std::map<std::int32_t, double>> found;
    for_each_cell(table, model, [&](const Cell& cell) {
        const auto n = static_cast<double>(probes_in(table, cell));
        const auto end = static_cast<std::size_t>(cell.end);
        for (auto e = static_cast<std::size_t>(cell.begin); e < end; ++e) {
            found[cell.gene][table.columns[e]] = table.counts[e] / n;
        }
    });
    return found;
}

double slow_term(Index index, double p, double q) {
    const auto part = [](double x, double m) { return x > 0.0 ? x * std::log2(x / m) / 2 : 0.0; };
    switch (index) {
        case Index::rogers:
            return (p - q) * (p - q) / 2;
        case Index::jsd:
            return part(p, (p + q) / 2) + part(q, (p + q) / 2);
        default:
            return std::pow(std::sqrt(p) - std::sqrt(q), 2) / 2;
    }
}

double slow_distance(const AlleleTable& table, Index index, std::int64_t i, std::int64_t j) {
    auto a = frequencies(table, i);
    auto b = frequencies(table, j);
    double total = 0.0;
    int genes = 0;
    for (auto& [gene, p] : a) {
        if (!b.contains(gene)) {
            continue;
        }
        ++genes;
        double sum = 0.0;
        for (const auto& [column, frequency] : p) {
            sum += slow_term(index, frequency, b[gene][column]);
        }
        for (const auto& [column, frequency] : b[gene]) {
            sum += p.contains(column) ? 0.0 : slow_term(index, 0.0, frequency);
        }
        total += index == Index::chord    ? 2 / std::numbers::pi * std::sqrt(2 * sum)
                 : index == Index::rogers ? std::sqrt(sum)
                                          : sum;
    }
    return total / genes;
}

}  // namespace

TEST_CASE("indices equal the slow sums") {
    const int n = 60;
    const AlleleTable table = make_table(n, 6, random_rows(n, 6, 9, 4));
    for (const Index index : kAll) {
        const auto found = distance(table, Pairs::square(table), index, 2);
        double worst = 0.0;
        for (int i = 0; i < n; ++i) {
            for (int j = 0; j < n; ++j) {
                const double slow = i == j ? 0.0 : slow_distance(table, index, i, j);
                const auto at = static_cast<std::size_t>(std::int64_t{i} * n + j);
                worst = std::max(worst, std::abs(found[at] - slow));
            }
        }
        CHECK(worst < 1e-12);
    }
}

TEST_CASE("threads and the kind of call do not change an index's bits") {
    const AlleleTable table = make_table(90, 6, random_rows(90, 6, 9, 5));
    for (const Index index : kAll) {
        const auto square = distance(table, Pairs::square(table), index, 1);
        CHECK(same_bits(square, distance(table, Pairs::square(table), index, 4)));
        const auto corner = distance(table, Pairs::between(table, 15), index, 2);
        std::vector<double> half(90 * 89 / 2);
        genetic_distance<double>(table, Pairs::square(table), index, true, 3, half);
        bool equal = true;
        std::size_t at = 0;
        for (std::size_t i = 0; i < 90; ++i) {
            for (std::size_t j = i + 1; j < 90; ++j) {
                equal = equal && half[at++] == square[i * 90 + j] &&
                        square[j * 90 + i] == square[i * 90 + j] &&
                        (i >= 15 || j < 15 || corner[i * 75 + j - 15] == square[i * 90 + j]);
            }
        }
        CHECK(equal);
    }
}

TEST_CASE("no gene in common is NaN, and a model is at 0 of itself") {
    const AlleleTable table = make_table(2, 2, {{0, 0, "a", 2}, {1, 1, "a", 2}});
    for (const Index index : kAll) {
        const auto found = distance(table, Pairs::square(table), index, 1);
        CHECK(std::isnan(found[1]));
        CHECK(found[0] == 0.0);
    }
}

TEST_CASE("an index stops when asked") {
    const AlleleTable table = make_table(20, 2, random_rows(20, 2, 4, 6));
    std::vector<double> out(400);
    CHECK_THROWS_AS(genetic_distance<double>(table, Pairs::square(table), Index::da, false, 1, out,
                                             [] { return true; }),
                    Interrupted);
}

TEST_CASE("every instruction set gives the bits of the portable one") {
    std::mt19937_64 random(1);
    std::uniform_real_distribution<double> uniform(0.0, 1.0);
    for (const std::int32_t n : {0, 1, 3, 8, 31, 200}) {
        const auto draw = [&] {
            std::vector<double> values(static_cast<std::size_t>(n));
            std::ranges::generate(values, [&] { return uniform(random); });
            return values;
        };
        const auto sums = draw();
        const auto shared = draw();
        auto half = draw();
        if (n > 2) {
            half[1] = std::numeric_limits<double>::quiet_NaN();
        }
        const auto all = [&](const LineKernels& kernels) {
            auto found = sums;
            kernels.add_products(found.data(), shared.data(), 0.3, n);
            const bool terms = kernels.add_terms(found.data(), shared.data(), half.data(), 0.7, n);
            const bool roots = kernels.add_roots(found.data(), shared.data(), half.data(), 0.1, n);
            found.push_back(terms ? 1.0 : 0.0);
            found.push_back(roots ? 1.0 : 0.0);
            return found;
        };
        const auto portable = all(line_kernels().front());
        for (const LineKernels& kernels : line_kernels()) {
            CAPTURE(kernels.instruction_set);
            CHECK(same_bits(all(kernels), portable));
        }
    }
}
