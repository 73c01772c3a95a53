#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "phylo/placement.hpp"

using namespace phylo;

namespace {

/// ((0:1,1:2)4:3,2:4,3:5)5
struct Example {
    std::vector<std::int32_t> parent = {4, 4, 5, 5, 5, -1};
    std::vector<double> length = {1, 2, 4, 5, 3, 0};
    TreeView tree = {.parent = parent, .length = length};
    std::vector<double> ones = std::vector<double>(4, 1.0);
};

}  // namespace

TEST_CASE_FIXTURE(Example, "a tip is put back where its path lengths come from") {
    // On the inner branch, 1 above node 4, on a branch of 0.5.
    const std::vector<double> distance = {2.5, 3.5, 6.5, 7.5};
    for (const std::vector<double>& weight : {ones, std::vector<double>{4, 1, 3, 0.5}}) {
        const EdgeFits fits = fit_edges(tree, distance, weight);
        CHECK(fits.best == 4);
        CHECK(std::abs(fits.above[4] - 1.0) < 1e-14);
        CHECK(std::abs(fits.pendant[4] - 0.5) < 1e-14);
        CHECK(fits.residual[4] < 1e-28);
        CHECK(fits.residual[0] > 0.1);
        CHECK(std::isinf(fits.residual[5]));
    }
}

TEST_CASE_FIXTURE(Example, "of branches that meet where a tip hangs the lowest node's is taken") {
    // On the root, on a branch of 2: the ends of branches 2, 3 and 4.
    const EdgeFits fits = fit_edges(tree, std::vector<double>{6, 7, 6, 7}, ones);
    CHECK(fits.best == 2);
    CHECK(std::abs(fits.above[2] - 4.0) < 1e-14);
    CHECK(std::abs(fits.residual[4] - fits.residual[2]) < 1e-24);
}

TEST_CASE_FIXTURE(Example, "no branch is fitted with weight on one side alone") {
    const std::vector<double> distance = {1, 1, 1, 1};
    const EdgeFits one = fit_edges(tree, distance, std::vector<double>{0, 1, 0, 0});
    CHECK(one.best == -1);
    // Their path is 8 long: the tip hangs in its middle, the root, on a branch of no length.
    const EdgeFits two = fit_edges(tree, distance, std::vector<double>{1, 0, 1, 0});
    CHECK(two.best == 2);
    CHECK(std::isinf(two.residual[1]));
    CHECK(std::isfinite(two.residual[4]));
}

TEST_CASE_FIXTURE(Example,
                  "replicates have the best branches of single fits, on any number of threads") {
    std::vector<double> distances;
    std::vector<double> weights;
    for (int b = 0; b < 20; ++b) {
        for (int tip = 0; tip < 4; ++tip) {
            distances.push_back(3.0 + std::fmod(1.7 * b * (tip + 1), 4.0));
            weights.push_back(b == 7 ? 0.0 : 1.0 / distances.back());
        }
    }
    for (const int threads : {1, 3}) {
        std::vector<std::int64_t> best(20, -7);
        best_edges(tree, distances, weights, best, threads);
        for (std::size_t b = 0; b < 20; ++b) {
            const auto row = [&](const std::vector<double>& all) {
                return std::span(all).subspan(4 * b, 4);
            };
            CHECK(best[b] == fit_edges(tree, row(distances), row(weights)).best);
        }
        CHECK(best[7] == -1);
    }
}
