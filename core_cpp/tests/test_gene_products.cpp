#include <doctest/doctest.h>

#include <cmath>

#include "make_table.hpp"
#include "phylo/errors.hpp"
#include "phylo/gene_products.hpp"

using namespace phylo;
using namespace phylo::testing;

TEST_CASE("products of one model with all, gene by gene") {
    // Model 0 lacks gene 1, model 2 lacks gene 0.
    const AlleleTable table = make_table(3, 2,
                                         {{.model = 0, .gene = 0, .allele = "a", .count = 3},
                                          {.model = 0, .gene = 0, .allele = "b", .count = 1},
                                          {.model = 1, .gene = 0, .allele = "b", .count = 2},
                                          {.model = 1, .gene = 0, .allele = "c", .count = 2},
                                          {.model = 1, .gene = 1, .allele = "a", .count = 4},
                                          {.model = 2, .gene = 1, .allele = "a", .count = 1},
                                          {.model = 2, .gene = 1, .allele = "d", .count = 3}});
    for (const int threads : {1, 2}) {
        const GeneProducts of_1 = gene_products(table, 1, Estimator::plugin, threads);
        CHECK(of_1.numerators == std::vector<double>{2, 0, 8, 16, 0, 4});
        CHECK(of_1.terms == std::vector<double>{10, 0, 8, 16, 0, 10});
        CHECK(of_1.present == std::vector<std::uint8_t>{1, 0, 1, 1, 0, 1});
        CHECK(of_1.scales == std::vector<double>{1, 1, 1});
    }
    const GeneProducts unbiased = gene_products(table, 0, Estimator::unbiased, 1);
    CHECK(unbiased.numerators == std::vector<double>{10, 0, 2, 0, 0, 0});
    CHECK(unbiased.terms == std::vector<double>{6, 0, 4, 12, 0, 6});
    CHECK(unbiased.scales == std::vector<double>(3, 4.0 / 3.0));
}

TEST_CASE("products of a table whose numbers of probes vary are of frequencies") {
    const AlleleTable table = make_table(2, 2,
                                         {{.model = 0, .gene = 0, .allele = "a", .count = 1},
                                          {.model = 0, .gene = 0, .allele = "b", .count = 3},
                                          {.model = 0, .gene = 1, .allele = "a", .count = 2},
                                          {.model = 1, .gene = 0, .allele = "b", .count = 2}});
    const GeneProducts of_1 = gene_products(table, 1, Estimator::plugin, 1);
    CHECK(of_1.numerators == std::vector<double>{0.75, 0, 1, 0});
    CHECK(of_1.terms == std::vector<double>{0.625, 1, 1, 0});
}

TEST_CASE("products that would not be exact are refused") {
    const AlleleTable table =
        make_table(1, 1, {{.model = 0, .gene = 0, .allele = "a", .count = 100'000'000}});
    CHECK_THROWS_AS(static_cast<void>(gene_products(table, 0, Estimator::plugin, 1)), InputError);
}
