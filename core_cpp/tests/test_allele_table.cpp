#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include "make_table.hpp"
#include "phylo/allele_table.hpp"
#include "phylo/errors.hpp"

using namespace phylo;
using namespace phylo::testing;

TEST_CASE("rows add, columns are ordered by gene and bytes") {
    const AlleleTable table =
        make_table(2, 2, {{1, 1, "b", 2}, {0, 0, "z"}, {1, 1, ""}, {1, 1, "b"}, {0, 0, "y", 0}});
    CHECK(table.n_columns() == 3);
    CHECK(table.alleles[0] == "z");
    CHECK(table.alleles[1] == "");
    CHECK(table.alleles[2] == "b");
    CHECK(table.gene_offsets == std::vector<std::int64_t>{0, 1, 3});
    CHECK(table.indptr == std::vector<std::int64_t>{0, 1, 3});
    CHECK(table.counts == std::vector<std::int32_t>{1, 1, 3});
    check_invariants(table);
}

TEST_CASE("any order and any batches give the same table") {
    std::vector<Row> rows = random_rows(9, 5, 7, 1);
    const AlleleTable whole = make_table(9, 5, rows);
    std::ranges::reverse(rows);
    TableBuilder builder;
    builder.add_models(names("m", 9));
    builder.add_genes(names("g", 5));
    for (std::size_t start = 0; start < rows.size(); start += 11) {
        const std::size_t stop = std::min(rows.size(), start + 11);
        const Batch batch(std::vector<Row>(rows.begin() + static_cast<std::ptrdiff_t>(start),
                                           rows.begin() + static_cast<std::ptrdiff_t>(stop)));
        builder.add_counts(batch.view(), {});
    }
    CHECK(builder.finish() == whole);
}

TEST_CASE("a bad row refuses its whole batch") {
    TableBuilder builder;
    builder.add_models(names("m", 1));
    builder.add_genes(names("g", 1));
    const Batch bad({{0, 0, "x"}, {0, 7, "x"}});
    CHECK_THROWS_AS(builder.add_counts(bad.view(), {}), InputError);
    const Batch negative(std::vector<Row>{{0, 0, "x", -1}});
    CHECK_THROWS_AS(builder.add_counts(negative.view(), negative.counts), InputError);
    CHECK(builder.finish().nnz() == 0);
}

TEST_CASE("cells are runs of entries") {
    const AlleleTable table = make_table(1, 3, {{0, 0, "a", 2}, {0, 0, "b"}, {0, 2, "c", 5}});
    std::vector<std::int64_t> genes;
    std::vector<std::int64_t> probes;
    for_each_cell(table, 0, [&](const Cell& cell) {
        genes.push_back(cell.gene);
        probes.push_back(probes_in(table, cell));
    });
    CHECK(genes == std::vector<std::int64_t>{0, 2});
    CHECK(probes == std::vector<std::int64_t>{3, 5});
    const TableSummary summary = summarise(table);
    CHECK(summary.probes == std::vector<std::int64_t>{-1});
    CHECK(summary.missing_cells == 1);
    CHECK(summary.numerator_bound == 9 + 25);
}

TEST_CASE("concatenating, then selecting, gives both back") {
    const AlleleTable a = make_table(6, 4, random_rows(6, 4, 5, 2));
    AlleleTable b = make_table(5, 6, random_rows(5, 6, 3, 3));
    b.models = names("other", 5);
    const AlleleTable both = concatenate(a, b);
    check_invariants(both);
    CHECK(both.n_models() == 11);
    CHECK(both.n_genes() == 6);
    std::vector<std::int64_t> models(6);
    std::iota(models.begin(), models.end(), 0);
    std::vector<std::int64_t> genes(4);
    std::iota(genes.begin(), genes.end(), 0);
    CHECK(select(both, models, genes) == a);
    models.resize(5);
    std::iota(models.begin(), models.end(), 6);
    genes.resize(6);
    std::iota(genes.begin(), genes.end(), 0);
    CHECK(select(both, models, genes) == b);
}

TEST_CASE("single-probe cells can be dropped") {
    const AlleleTable table = make_table(2, 2, {{0, 0, "a"}, {0, 1, "b", 2}, {1, 0, "c", 3}});
    const AlleleTable kept = drop_single_probe_cells(table);
    check_invariants(kept);
    CHECK(kept.nnz() == 2);
    CHECK(kept.n_columns() == 2);
}

TEST_CASE("UTF-8") {
    CHECK(is_utf8(""));
    CHECK(is_utf8("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"));
    for (const char* bad : {"\x80", "\xC3", "\xC0\xAF", "\xE0\x80\x80", "\xED\xA0\x80",
                            "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "a\xE2\x82"}) {
        CHECK_FALSE(is_utf8(bad));
    }
}
