#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <string>
#include <tuple>

#include "make_table.hpp"
#include "phylo/errors.hpp"

using namespace phylo;
using namespace phylo::testing;

namespace {

/// Texts whose first bytes, lengths and ends all occur with each other.
std::vector<std::string> awkward_texts() {
    std::vector<std::string> texts = {""};
    for (const std::size_t length : {1U, 7U, 8U, 9U, 14U, 15U, 16U, 17U, 40U}) {
        for (const char last : {'\0', 'a', 'b'}) {
            texts.push_back(std::string(length - 1, 'a') + last);
        }
        texts.emplace_back(length, '\0');
        texts.push_back(std::string(length - 1, 'a') + "\xC3\xA9");
    }
    return texts;
}

/// The table by sorting strings.
AlleleTable slow_table(int models, int genes, const std::vector<Row>& rows) {
    std::map<std::tuple<int, std::string>, std::int32_t> columns;
    std::map<std::tuple<int, int, std::string>, std::int64_t> entries;
    for (const Row& row : rows) {
        columns[{row.gene, row.allele}] = 0;
        entries[{row.model, row.gene, row.allele}] += row.count;
    }
    AlleleTable table;
    table.models = names("m", models);
    table.genes = names("g", genes);
    table.gene_offsets.assign(static_cast<std::size_t>(genes) + 1, 0);
    for (auto& [key, column] : columns) {
        column = static_cast<std::int32_t>(table.n_columns());
        table.alleles.push_back(std::get<1>(key));
        for (auto g = static_cast<std::size_t>(std::get<0>(key)); g < table.genes.size(); ++g) {
            ++table.gene_offsets[g + 1];
        }
    }
    table.indptr.assign(static_cast<std::size_t>(models) + 1, 0);
    for (const auto& [key, count] : entries) {
        table.columns.push_back(columns.at({std::get<1>(key), std::get<2>(key)}));
        table.counts.push_back(static_cast<std::int32_t>(count));
        for (auto m = static_cast<std::size_t>(std::get<0>(key)); m < table.models.size(); ++m) {
            ++table.indptr[m + 1];
        }
    }
    return table;
}

std::vector<Row> awkward_rows(int models, int genes, int count, std::uint32_t seed) {
    const std::vector<std::string> texts = awkward_texts();
    std::vector<Row> rows;
    for (int i = 0; i < count; ++i) {
        seed = seed * 1664525U + 1013904223U;
        const auto draw = [&](int shift, std::size_t below) { return (seed >> shift) % below; };
        rows.push_back({.model = static_cast<std::int32_t>(draw(3, static_cast<unsigned>(models))),
                        .gene = static_cast<std::int32_t>(draw(9, static_cast<unsigned>(genes))),
                        .allele = texts[draw(15, texts.size())],
                        .count = static_cast<std::int64_t>(1 + draw(25, 3))});
    }
    return rows;
}

}  // namespace

TEST_CASE("packed texts are ordered as the texts are") {
    const std::vector<std::string> texts = awkward_texts();
    for (const std::string& a : texts) {
        const PackedText x = pack(a, a.data() + a.size());
        for (const std::string& b : texts) {
            const PackedText y = pack(b, b.data() + b.size());
            if (x.is_whole() || y.is_whole()) {
                CHECK((x < y) == (a < b));
                CHECK((x == y) == (a == b));
            }
        }
        // Whatever lies behind the text changes nothing.
        const std::string longer = a + "0123456789abcdef";
        CHECK(pack(std::string_view(longer).substr(0, a.size()), longer.data() + longer.size()) ==
              x);
    }
}

TEST_CASE("the table is that of sorted strings") {
    for (const int models : {1, 3, 200}) {
        for (const int count : {0, 1, 40, 700, 9000}) {
            const std::vector<Row> rows = awkward_rows(models, 5, count, 77);
            const AlleleTable table = make_table(models, 5, rows);
            CHECK(table == slow_table(models, 5, rows));
            check_invariants(table);
        }
    }
}

TEST_CASE("all forms of text give the same table") {
    const std::vector<Row> rows = {
        {0, 0, "b"}, {1, 1, ""}, {0, 1, "abc"}, {1, 0, "b"}, {0, 0, "b"}};
    const AlleleTable expected = make_table(2, 2, rows);
    const Batch batch(rows);
    const std::vector<std::int32_t> narrow(batch.offsets.begin(), batch.offsets.end());
    const std::vector<std::uint32_t> wide = {'b', 0,   0, 0, 0,   0, 'a', 'b',
                                             'c', 'b', 0, 0, 'b', 0, 0};
    const std::vector<std::int32_t> codes = {1, 0, 2, 3, 1};  // "b" twice in the dictionary
    const std::vector<std::int64_t> offsets = {0, 0, 1, 4, 5};
    const std::array<AlleleColumn, 3> columns = {
        Utf8Column<std::int32_t>{.offsets = narrow, .bytes = batch.bytes},
        Ucs4Column{.characters = wide, .width = 3},
        DictionaryColumn{.codes = codes, .values = {.offsets = offsets, .bytes = "babcb"}}};
    for (const AlleleColumn& column : columns) {
        TableBuilder builder;
        builder.add_models(names("m", 2));
        builder.add_genes(names("g", 2));
        builder.add_counts({.models = batch.models, .genes = batch.genes, .alleles = column},
                           batch.counts);
        CHECK(builder.finish() == expected);
    }
}

TEST_CASE("what is no UTF-8 refuses its batch and leaves no trace") {
    const std::vector<Row> good = awkward_rows(3, 2, 500, 5);
    for (const std::string& bad : {std::string("\xC3"), std::string(30, 'x') + "\xFF"}) {
        TableBuilder builder;
        builder.add_models(names("m", 3));
        builder.add_genes(names("g", 2));
        const Batch first(good);
        builder.add_counts(first.view(), first.counts);
        std::vector<Row> rows = awkward_rows(3, 2, 300, 6);
        rows.push_back({0, 0, "new"});
        rows.push_back({0, 0, "new and longer than a slot"});
        rows.push_back({1, 1, bad});
        const Batch second(rows);
        CHECK_THROWS_AS(builder.add_counts(second.view(), second.counts), InputError);
        CHECK(builder.finish() == make_table(3, 2, good));
    }
    for (const std::uint32_t point : {0xD800U, 0xDFFFU, 0x110000U, 0xFFFFFFFFU}) {
        TableBuilder builder;
        builder.add_models(names("m", 1));
        builder.add_genes(names("g", 1));
        const std::vector<std::int32_t> zero = {0};
        const std::vector<std::uint32_t> characters = {'a', point};
        const AlleleColumn column = Ucs4Column{.characters = characters, .width = 2};
        CHECK_THROWS_AS(builder.add_counts({.models = zero, .genes = zero, .alleles = column}, {}),
                        InputError);
    }
}

TEST_CASE("memory is told before it is taken") {
    TableBuilder builder;
    builder.add_models(names("m", 1));
    builder.add_genes(names("g", 1));
    CHECK(builder.peak_bytes(1000) >= 32 * 1000);
    const Batch batch(awkward_rows(1, 1, 1000, 9));
    builder.add_counts(batch.view(), batch.counts);
    CHECK(builder.peak_bytes(0) < builder.peak_bytes(1000));
}
