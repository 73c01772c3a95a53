#include <doctest/doctest.h>

#include <functional>
#include <vector>

#include "make_table.hpp"
#include "phylo/errors.hpp"
#include "phylo/similarity.hpp"

using namespace phylo;
using namespace phylo::testing;

namespace {

/// Model 0: a hybrid cell of gene 0 ("a" decided and drawn, "b" drawn) and an exact one of gene 1;
/// model 1: a sampled cell of gene 0.
AlleleTable mixed_table() {
    TableBuilder builder;
    builder.add_models(names("m", 2));
    builder.add_genes(names("g", 2));
    const Batch hybrid({{0, 0, "a", 3}, {0, 0, "b", 1}, {0, 1, "c", 0}});
    builder.add_hybrid(hybrid.view(), std::vector<double>{0.5, 0.0, 0.75}, hybrid.counts,
                       std::vector<double>{0.25, 0.25, 0.0});
    const Batch sampled({{1, 0, "a", 2}, {1, 0, "b", 2}});
    builder.add_counts(sampled.view(), sampled.counts);
    return builder.finish();
}

}  // namespace

TEST_CASE("a hybrid cell holds its frequencies and what they are made of") {
    const AlleleTable table = mixed_table();
    check_invariants(table);
    CHECK(table.counts == std::vector<std::int32_t>{0, 0, 0, 2, 2});
    CHECK(table.probabilities == std::vector<double>{0.6875, 0.0625, 0.75, 0.0, 0.0});
    CHECK(table.draws == std::vector<std::int32_t>{3, 1, 0, 0, 0});
    CHECK(table.decided == std::vector<double>{0.5, 0.0, 0.0, 0.0, 0.0});
    CHECK(table.hybrid_cells ==
          std::vector<HybridCell>{{.model = 0, .gene = 0, .undecided = 0.25}});
    std::vector<double> scales;
    std::vector<std::int64_t> draws;
    for (std::int64_t m = 0; m < 2; ++m) {
        for_each_cell(table, m, [&](const Cell& cell) {
            scales.push_back(cell_scale(table, cell));
            draws.push_back(draws_in(table, cell));
        });
    }
    CHECK(scales == std::vector<double>{1.0, 1.0, 0.25});
    CHECK(draws == std::vector<std::int64_t>{4, 0, 0});
    CHECK(entry_values(table) == std::vector<double>{0.6875, 0.0625, 0.75, 2.0, 2.0});
    CHECK(summarise(table).probes == std::vector<std::int64_t>{-1, 4});
}

TEST_CASE("self terms of all kinds of cells") {
    const AlleleTable table = mixed_table();
    const TableSummary summary = summarise(table);
    const SelfTerms plugin(table, Estimator::plugin, summary);
    const SelfTerms unbiased(table, Estimator::unbiased, summary);
    // Over gene 0, the one that both models have; sum f^2 = 10/16.
    const double square = 0.6875 * 0.6875 + 0.0625 * 0.0625;
    CHECK(plugin(0, 1) == doctest::Approx(square).epsilon(1e-15));
    CHECK(unbiased(0, 1) == doctest::Approx(square - 0.0625 * (6.0 / 16.0) / 3.0).epsilon(1e-15));
    CHECK(unbiased(0, 0) == doctest::Approx(unbiased(0, 1) + 0.5625).epsilon(1e-15));
}

TEST_CASE("every broken invariant of a hybrid table is found") {
    const std::vector<std::function<void(AlleleTable&)>> breaks = {
        [](AlleleTable& t) { t.draws.pop_back(); },
        [](AlleleTable& t) { t.decided.clear(); },
        [](AlleleTable& t) { t.probabilities.clear(); },
        [](AlleleTable& t) { t.draws[0] = -3; },
        [](AlleleTable& t) { t.draws[1] = 2; },
        [](AlleleTable& t) { t.draws[2] = 1; },
        [](AlleleTable& t) { t.decided[1] = 0.125; },
        [](AlleleTable& t) { t.decided[2] = 0.75; },
        [](AlleleTable& t) { t.decided[0] = -0.5; },
        [](AlleleTable& t) { t.counts[0] = 1; },
        [](AlleleTable& t) { t.probabilities[0] = 0.5; },
        [](AlleleTable& t) { t.hybrid_cells.clear(); },
        [](AlleleTable& t) { t.hybrid_cells[0].undecided = 0.0; },
        [](AlleleTable& t) { t.hybrid_cells[0].undecided = 0.75; },
        [](AlleleTable& t) { t.hybrid_cells[0].model = 1; },
        [](AlleleTable& t) { t.hybrid_cells[0].model = -1; },
        [](AlleleTable& t) { t.hybrid_cells[0].gene = 2; },
        [](AlleleTable& t) { t.hybrid_cells.push_back(t.hybrid_cells[0]); },
        [](AlleleTable& t) { t.hybrid_cells.push_back({.model = 1, .gene = 1, .undecided = 0.5}); },
    };
    for (const auto& damage : breaks) {
        AlleleTable table = mixed_table();
        damage(table);
        CHECK_THROWS_AS(check_invariants(table), FormatError);
    }
}

TEST_CASE("a refused hybrid batch leaves no trace") {
    TableBuilder builder;
    builder.add_models(names("m", 1));
    builder.add_genes(names("g", 1));
    const Batch bad({{0, 0, "a", 1}, {0, 0, "\xFF", 1}});
    CHECK_THROWS_AS(builder.add_hybrid(bad.view(), std::vector<double>{0.5, 0.0}, bad.counts,
                                       std::vector<double>{0.25, 0.25}),
                    InputError);
    const Batch good({{0, 0, "a", 1}});
    builder.add_counts(good.view(), good.counts);
    CHECK(builder.finish() == make_table(1, 1, {{0, 0, "a", 1}}));
}
