#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "make_table.hpp"
#include "phylo/errors.hpp"
#include "phylo/similarity.hpp"

using namespace phylo;
using namespace phylo::testing;

namespace {

std::vector<double> similarity(const AlleleTable& table, const Pairs& pairs, Estimator estimator,
                               int threads) {
    std::vector<double> out(static_cast<std::size_t>(pairs.rows() * pairs.columns()));
    compare(table, pairs, estimator, threads, {.values = out.data()});
    return out;
}

/// The numerator of two models, entry by entry.
std::int64_t slow_numerator(const AlleleTable& table, std::size_t i, std::size_t j) {
    std::int64_t sum = 0;
    for (auto x = static_cast<std::size_t>(table.indptr[i]);
         x < static_cast<std::size_t>(table.indptr[i + 1]); ++x) {
        for (auto y = static_cast<std::size_t>(table.indptr[j]);
             y < static_cast<std::size_t>(table.indptr[j + 1]); ++y) {
            if (table.columns[x] == table.columns[y]) {
                sum += std::int64_t{table.counts[x]} * table.counts[y];
            }
        }
    }
    return sum;
}

}  // namespace

TEST_CASE("numerators equal the slow sum") {
    const int n = 150;
    const AlleleTable table = make_table(n, 6, random_rows(n, 6, 9, 4));
    std::vector<std::int64_t> out(static_cast<std::size_t>(n) * n);
    CHECK_FALSE(compare(
        table, Pairs::square(table), Estimator::plugin, 3,
        {.quantity = Quantity::numerator, .type = Output::Type::int64, .values = out.data()}));
    bool equal = true;
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) {
            equal = equal && out[i * n + j] == slow_numerator(table, i, j);
        }
    }
    CHECK(equal);
}

TEST_CASE("threads do not change bits") {
    const AlleleTable table = make_table(150, 6, random_rows(150, 6, 9, 5));
    for (const Estimator estimator : {Estimator::plugin, Estimator::unbiased}) {
        const auto one = similarity(table, Pairs::square(table), estimator, 1);
        const auto four = similarity(table, Pairs::square(table), estimator, 4);
        CHECK(std::memcmp(one.data(), four.data(), one.size() * sizeof(double)) == 0);
    }
}

TEST_CASE("a rectangular call is a corner of the square one") {
    const AlleleTable table = make_table(40, 6, random_rows(40, 6, 9, 6));
    const auto square = similarity(table, Pairs::square(table), Estimator::plugin, 1);
    const auto corner = similarity(table, Pairs::between(table, 15), Estimator::plugin, 2);
    for (std::size_t i = 0; i < 15; ++i) {
        for (std::size_t j = 0; j < 25; ++j) {
            CHECK(corner[i * 25 + j] == square[i * 40 + 15 + j]);
        }
    }
}

TEST_CASE("nothing in common is NaN") {
    const AlleleTable table = make_table(2, 2, {{0, 0, "a", 2}, {1, 1, "a", 2}});
    const auto S = similarity(table, Pairs::square(table), Estimator::plugin, 1);
    CHECK(std::isnan(S[1]));
    CHECK(S[0] == 1.0);
}

TEST_CASE("numerators above 2^53 are refused") {
    const AlleleTable table = make_table(1, 1, {{0, 0, "a", 2147483647}});
    std::vector<double> out(1);
    CHECK_THROWS_AS(
        compare(table, Pairs::square(table), Estimator::plugin, 1, {.values = out.data()}),
        InputError);
}
