#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <stdexcept>
#include <system_error>

#include "kernels_of.hpp"
#include "make_table.hpp"
#include "pair_terms.hpp"
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

/// The numerator of two models, column by column.
std::int64_t slow_numerator(const AlleleTable& table, std::size_t i, std::size_t j) {
    std::int64_t sum = 0;
    auto y = static_cast<std::size_t>(table.indptr[j]);
    const auto end = static_cast<std::size_t>(table.indptr[j + 1]);
    const auto last = static_cast<std::size_t>(table.indptr[i + 1]);
    for (auto x = static_cast<std::size_t>(table.indptr[i]); x < last; ++x) {
        while (y < end && table.columns[y] < table.columns[x]) {
            ++y;
        }
        if (y < end && table.columns[y] == table.columns[x]) {
            sum += std::int64_t{table.counts[x]} * table.counts[y];
        }
    }
    return sum;
}

std::vector<std::int64_t> numerators(const AlleleTable& table, const Pairs& pairs, int threads) {
    std::vector<std::int64_t> out(static_cast<std::size_t>(pairs.rows() * pairs.columns()), -1);
    compare(table, pairs, Estimator::plugin, threads,
            {.quantity = Quantity::numerator, .type = Output::Type::int64, .values = out.data()});
    return out;
}

/// `kinds` alleles a cell, of up to `alleles`, the first ones more often; counts add up to n.
/// Cells have another n each where `varying`, and one in `missing` is missing.
AlleleTable random_table(int models, int genes, int alleles, int kinds, std::int64_t n,
                         bool varying = false, std::uint32_t missing = 0) {
    std::mt19937 random(static_cast<unsigned>(models + genes + alleles + kinds));
    std::vector<Row> rows;
    for (int m = 0; m < models; ++m) {
        for (int g = 0; g < genes; ++g) {
            if (missing > 0 && random() % missing == 0) {
                continue;
            }
            std::int64_t left =
                varying ? 2 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(n))
                        : n;
            for (int k = 0; k < kinds && left > 0; ++k) {
                const auto below = 1 + random() % static_cast<unsigned>(alleles);
                const std::int64_t count = k + 1 == kinds ? left : std::min(left, 1 + n / kinds);
                rows.push_back({m, g, std::to_string(random() % below), count});
                left -= count;
            }
        }
    }
    return make_table(models, genes, rows);
}

/// A table for each way of multiplying.
struct Case {
    const char* name;
    AlleleTable table;
    Arithmetic arithmetic;
    bool long_sums;
};

std::vector<Case> cases() {
    std::vector<Case> all;
    all.push_back({"bytes", random_table(205, 4, 400, 12, 12), Arithmetic::u8, false});
    all.push_back({"ragged", random_table(150, 4, 200, 9, 9, false, 4), Arithmetic::u8, false});
    all.push_back({"one", random_table(1, 4, 200, 9, 9), Arithmetic::u8, false});
    // Columns for several threads to plan and to lay out.
    all.push_back({"many columns", random_table(40, 60, 4000, 60, 60), Arithmetic::u8, false});
    all.push_back({"shorts", random_table(150, 3, 400, 20, 4000), Arithmetic::i16, false});
    all.push_back({"wide", random_table(60, 1, 5, 1, 40000), Arithmetic::wide, false});
    all.push_back({"long shorts", random_table(150, 3, 400, 30, 40000), Arithmetic::i16, true});
    all.push_back({"long genes", random_table(60, 2, 90, 30, 60000), Arithmetic::i16, true});
    all.push_back({"long wide", random_table(60, 3, 5, 2, 90000), Arithmetic::wide, true});
    all.push_back(
        {"floats", random_table(150, 4, 400, 9, 40, true, 9), Arithmetic::frequency, false});
    // Every allele 62 times in every cell: n is 4,030, and n^2 summed over 140 genes above 2^31.
    std::vector<Row> even;
    for (int m = 0; m < 50; ++m) {
        for (int g = 0; g < 140; ++g) {
            for (int k = 0; k < 65; ++k) {
                even.push_back({m, g, std::to_string(k), 62 + (m + k) % 2 - (m + k + 1) % 2});
            }
            even.push_back({m, g, "b", m % 2 == 0 ? 63 : 61});
        }
    }
    all.push_back({"long bytes", make_table(50, 140, even), Arithmetic::u8, true});
    // So many columns that genes are taken in blocks.
    std::vector<Row> many;
    for (int g = 0; g < 4; ++g) {
        for (int k = 0; k < 70000; ++k) {
            many.push_back({(7 * k + g) % 160, g, std::to_string(k)});
            many.push_back({(11 * k + 3) % 160, g, std::to_string(k)});
        }
        for (int m = 0; m < 160; ++m) {
            many.push_back({m, g, "common"});
        }
    }
    all.push_back({"blocks", make_table(160, 4, many), Arithmetic::frequency, false});
    return all;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() &&
           (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

/// What is right of the diagonal of a square.
template <class T>
std::vector<T> upper(const std::vector<T>& square, std::size_t n) {
    std::vector<T> triangle;
    for (std::size_t i = 0; i < n; ++i) {
        triangle.insert(triangle.end(), square.begin() + static_cast<std::ptrdiff_t>(i * n + i + 1),
                        square.begin() + static_cast<std::ptrdiff_t>((i + 1) * n));
    }
    return triangle;
}

/// Results as a file, of which `begin` bytes are not theirs.
template <class T>
std::vector<T> through_file(const AlleleTable& table, Pairs pairs, int threads, Output output) {
    constexpr std::int64_t begin = 128;
    const bool condensed = output.layout == Output::Layout::condensed;
    pairs.symmetric = pairs.symmetric && condensed;
    std::FILE* file = std::tmpfile();
    REQUIRE(file != nullptr);
    output.file = fileno(file);
    output.file_begin = begin;
    compare(table, pairs, Estimator::plugin, threads, output);
    std::vector<T> values(
        static_cast<std::size_t>(condensed ? pairs.count() : pairs.rows() * pairs.columns()));
    REQUIRE(std::fseek(file, 0, SEEK_END) == 0);
    const auto bytes = static_cast<std::int64_t>(values.size() * sizeof(T));
    CHECK(std::ftell(file) == (bytes == 0 ? 0 : begin + bytes));
    REQUIRE(std::fseek(file, begin, SEEK_SET) == 0);
    CHECK(std::fread(values.data(), sizeof(T), values.size(), file) == values.size());
    CHECK(std::fclose(file) == 0);
    return values;
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

TEST_CASE("numerators of every path, in every instruction set") {
    for (const Case& each : cases()) {
        CAPTURE(each.name);
        const std::int64_t n = each.table.n_models();
        const Pairs square = Pairs::square(each.table);
        const SimilarityPlan plan =
            plan_similarity(each.table, square, scan(each.table, square, 1, {}), 1, {});
        CHECK(plan.arithmetic == each.arithmetic);
        CHECK(plan.long_sums == each.long_sums);
        std::vector<std::int64_t> expected(static_cast<std::size_t>(n * n));
        const auto models = static_cast<std::size_t>(n);
        for (std::size_t i = 0; i < models; ++i) {
            for (std::size_t j = 0; j < models; ++j) {
                expected[i * models + j] = slow_numerator(each.table, i, j);
            }
        }
        const std::int64_t split = n / 3;
        std::vector<std::int64_t> corner;
        for (std::int64_t i = 0; i < split; ++i) {
            corner.insert(corner.end(), expected.begin() + i * n + split,
                          expected.begin() + (i + 1) * n);
        }
        for (const KernelSet* set : usable_kernels()) {
            CAPTURE(set->name);
            const KernelsOf isa(set->name);
            CHECK(numerators(each.table, square, 1) == expected);
            CHECK(numerators(each.table, square, 3) == expected);
            CHECK(numerators(each.table, Pairs::between(each.table, split), 2) == corner);
        }
    }
}

TEST_CASE("layouts, types, files, threads and instruction sets give the same bits") {
    for (const Case& each : cases()) {
        CAPTURE(each.name);
        const auto n = static_cast<std::size_t>(each.table.n_models());
        const Pairs square = Pairs::square(each.table);
        for (const Quantity quantity : {Quantity::similarity, Quantity::distance}) {
            const auto output = [&](Output::Type type, Output::Layout layout, void* values) {
                return Output{.quantity = quantity,
                              .type = type,
                              .layout = layout,
                              .floor = 1e-10,
                              .values = values};
            };
            using Layout = Output::Layout;
            std::vector<double> one(n * n);
            compare(each.table, square, Estimator::plugin, 1,
                    output(Output::Type::float64, Layout::matrix, one.data()));
            std::vector<float> rounded(one.size());
            std::ranges::transform(one, rounded.begin(),
                                   [](double value) { return static_cast<float>(value); });
            for (const KernelSet* set : usable_kernels()) {
                CAPTURE(set->name);
                const KernelsOf isa(set->name);
                std::vector<double> flat(n * (n - 1) / 2);
                compare(each.table, square, Estimator::plugin, 2,
                        output(Output::Type::float64, Layout::condensed, flat.data()));
                CHECK(same_bits(flat, upper(one, n)));
                std::vector<float> narrow(n * n);
                compare(each.table, square, Estimator::plugin, 3,
                        output(Output::Type::float32, Layout::matrix, narrow.data()));
                CHECK(same_bits(narrow, rounded));
                std::vector<float> narrow_flat(flat.size());
                compare(each.table, square, Estimator::plugin, 1,
                        output(Output::Type::float32, Layout::condensed, narrow_flat.data()));
                CHECK(same_bits(narrow_flat, upper(rounded, n)));
            }
            const auto to_file = [&](Output::Type type, Layout layout) {
                return output(type, layout, nullptr);
            };
            CHECK(same_bits(through_file<double>(each.table, square, 3,
                                                 to_file(Output::Type::float64, Layout::condensed)),
                            upper(one, n)));
            CHECK(same_bits(through_file<float>(each.table, square, 3,
                                                to_file(Output::Type::float32, Layout::condensed)),
                            upper(rounded, n)));
            // A whole square is computed row by row, each pair twice.
            if (each.arithmetic != Arithmetic::frequency) {
                CHECK(
                    same_bits(through_file<double>(each.table, square, 2,
                                                   to_file(Output::Type::float64, Layout::matrix)),
                              one));
                CHECK(same_bits(through_file<float>(each.table, square, 2,
                                                    to_file(Output::Type::float32, Layout::matrix)),
                                rounded));
            }
        }
    }
}

TEST_CASE("ranges of rows together have the bits of the whole call") {
    for (const Case& each : cases()) {
        CAPTURE(each.name);
        const Pairs square = Pairs::square(each.table);
        Pairs twice = square;
        twice.symmetric = false;
        const Pairs corner = Pairs::between(each.table, each.table.n_models() - 1);
        for (const Pairs& pairs : {square, twice, corner}) {
            const Output output{
                .quantity = Quantity::distance,
                .layout = pairs.symmetric ? Output::Layout::condensed : Output::Layout::matrix,
                .floor = 1e-10};
            std::vector<double> whole(static_cast<std::size_t>(pairs.count()));
            Output to_whole = output;
            to_whole.values = whole.data();
            const bool nan = compare(each.table, pairs, Estimator::unbiased, 2, to_whole);
            std::vector<double> joined;
            bool some_nan = false;
            // Each range is packed anew, as another machine does it; the last ones by one.
            for (std::int64_t begin = 0; begin < pairs.rows(); begin += kStripRows) {
                const RowRange range{.begin = begin,
                                     .end = std::min(begin + kStripRows, pairs.rows())};
                const PackedComparison packed(each.table, pairs, Estimator::unbiased, 1, output);
                std::vector<double> part(static_cast<std::size_t>(packed.items(range)) + 1, -7.0);
                some_nan = packed.compute(range, part.data(), 1) || some_nan;
                CHECK(part.back() == -7.0);
                joined.insert(joined.end(), part.begin(), part.end() - 1);
            }
            CHECK(same_bits(joined, whole));
            CHECK(some_nan == nan);
        }
    }
}

TEST_CASE("a packed call computes ranges again and in any order") {
    const AlleleTable table = random_table(300, 4, 400, 9, 40, true, 9);
    const Pairs pairs = Pairs::square(table);
    const Output output{.type = Output::Type::float32, .layout = Output::Layout::condensed};
    const PackedComparison packed(table, pairs, Estimator::plugin, 3, output);
    std::vector<float> whole(static_cast<std::size_t>(pairs.count()));
    Output to_whole = output;
    to_whole.values = whole.data();
    compare(table, pairs, Estimator::plugin, 1, to_whole);
    for (const RowRange range : {RowRange{192, 300}, RowRange{0, 192}, RowRange{96, 192},
                                 RowRange{0, 300}, RowRange{96, 96}}) {
        std::vector<float> part(static_cast<std::size_t>(packed.items(range)));
        packed.compute(range, part.data(), 2);
        const auto before = packed.items({.begin = 0, .end = range.begin});
        CHECK((part.empty() ||
               std::memcmp(part.data(), whole.data() + before, part.size() * sizeof(float)) == 0));
    }
    for (const RowRange range :
         {RowRange{0, 95}, RowRange{1, 96}, RowRange{96, 0}, RowRange{-96, 0}, RowRange{0, 384}}) {
        CHECK_THROWS_AS(static_cast<void>(packed.items(range)), std::invalid_argument);
    }
    const PackedComparison square(table, pairs, Estimator::plugin, 1, {});
    CHECK_THROWS_AS(square.compute({0, 96}, nullptr, 1), std::invalid_argument);
}

TEST_CASE("an unusable instruction set is refused") {
    const KernelsOf isa("mmx");
    CHECK_THROWS_WITH_AS(static_cast<void>(kernels()), doctest::Contains("'mmx'"), InputError);
}

#ifdef _WIN32
constexpr const char* kNowhere = "NUL";
#else
constexpr const char* kNowhere = "/dev/null";
#endif

TEST_CASE("a file that cannot be written is an error of the system") {
    const AlleleTable table = random_table(5, 2, 9, 3, 9);
    std::FILE* file = std::fopen(kNowhere, "r");
    REQUIRE(file != nullptr);
    Pairs pairs = Pairs::square(table);
    pairs.symmetric = false;
    CHECK_THROWS_AS(compare(table, pairs, Estimator::plugin, 2, {.file = fileno(file)}),
                    std::system_error);
    CHECK(std::fclose(file) == 0);
}

TEST_CASE("a request to stop stops the work") {
    const AlleleTable table = random_table(300, 2, 9, 3, 9);
    std::vector<double> out(std::size_t{300} * 300);
    for (const int allowed : {0, 1, 3}) {
        // Only the calling thread asks; with another one it may get no task to ask before.
        const int threads = 1;
        int asked = 0;
        CHECK_THROWS_AS(compare(table, Pairs::square(table), Estimator::plugin, threads,
                                {.values = out.data()}, [&] { return asked++ >= allowed; }),
                        Interrupted);
    }
}

TEST_CASE("counts so large that their squares overflow are refused") {
    constexpr std::int64_t most = 2147483647;
    const AlleleTable table =
        make_table(2, 1, {{0, 0, "a", most}, {0, 0, "b", most}, {0, 0, "c", most}, {1, 0, "a", 1}});
    std::vector<double> out(4);
    CHECK_THROWS_AS(
        compare(table, Pairs::square(table), Estimator::plugin, 1, {.values = out.data()}),
        InputError);
}

TEST_CASE("self terms by gene and by pattern have the same bits") {
    const int n = 130;
    const AlleleTable table = make_table(n, 7, random_rows(n, 7, 9, 8));
    for (const Estimator estimator : {Estimator::plugin, Estimator::unbiased}) {
        for (const Pairs& pairs : {Pairs::square(table), Pairs::between(table, 21)}) {
            const PairTerms by_pattern(table, pairs, estimator, kernels());
            const PairTerms by_gene(table, pairs, estimator, kernels(), 0);
            PairTerms::Strip strip;
            int wrong = 0;
            for (std::int64_t begin = 0; begin < pairs.rows(); begin += kStripRows) {
                const std::int64_t end = std::min(begin + kStripRows, pairs.rows());
                by_gene.begin_strip(begin, end, strip);
                for (std::int64_t row = begin; row < end; ++row) {
                    const std::int64_t first = pairs.symmetric ? row + 1 : 0;
                    const auto count = static_cast<std::size_t>(pairs.columns() - first);
                    std::vector<double> a(count);
                    std::vector<double> b(count);
                    by_pattern.products(row, first, strip, a.data());
                    by_gene.products(row, first, strip, b.data());
                    wrong += a == b ? 0 : 1;
                }
            }
            CHECK(wrong == 0);
        }
    }
}
