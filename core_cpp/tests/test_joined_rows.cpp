#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "phylo/buffer.hpp"
#include "phylo/joined_rows.hpp"
#include "phylo/kernels.hpp"

using namespace phylo;

namespace {

std::size_t index(std::int64_t value) { return static_cast<std::size_t>(value); }

/// The distance that the tests give two nodes: each pair its own, exact in float.
double between(std::int64_t i, std::int64_t j) {
    return static_cast<double>(std::max(i, j) * 4096 + std::min(i, j)) / 16.0;
}

template <class T>
void check_keep(std::int64_t (*keep)(T*, std::int64_t, const std::uint64_t*)) {
    std::mt19937 random(7);
    for (const std::int64_t n : {0, 1, 7, 8, 15, 16, 17, 63, 64, 65, 200, 1000}) {
        for (const unsigned share : {0U, 1U, 5U, 10U}) {  // of ten
            const std::int64_t whole = (n + 15) / 16 * 16;
            Buffer<T> row(whole + 16);
            std::vector<std::uint64_t> marks(index(n / 64 + 1), 0);
            std::vector<T> expected;
            for (std::int64_t k = 0; k < whole + 16; ++k) {
                row[k] = static_cast<T>(k + 1);
            }
            for (std::int64_t k = 0; k < n; ++k) {
                if (random() % 10 < share) {
                    marks[index(k / 64)] |= std::uint64_t{1} << (k % 64);
                    expected.push_back(static_cast<T>(k + 1));
                }
            }
            const std::int64_t kept = keep(row.data(), n, marks.data());
            REQUIRE(kept == static_cast<std::int64_t>(expected.size()));
            for (std::int64_t k = 0; k < kept; ++k) {
                CHECK(row[k] == expected[index(k)]);
            }
            T beyond = static_cast<T>(whole);
            for (const T value : std::span(row.data(), index(whole + 16)).last(16)) {
                CHECK(value == ++beyond);  // nothing beyond was written to
            }
        }
    }
}

template <class Given, class T>
void check_fill(std::int64_t n) {
    const std::int64_t columns = (n + 15) / 16 * 16;
    std::vector<Given> condensed;
    std::vector<Given> square(index(n * n), std::numeric_limits<Given>::quiet_NaN());
    double largest = 0.0;
    for (std::int64_t i = 0; i < n; ++i) {
        for (std::int64_t j = 0; j < n; ++j) {
            const double value = (i + j) % 3 == 0 ? -between(i, j) : between(i, j);
            if (i != j) {
                square[index(i * n + j)] = static_cast<Given>(value);
                largest = std::max(largest, std::abs(value));
            }
            if (i < j) {
                condensed.push_back(static_cast<Given>(value));
            }
        }
    }
    for (std::int64_t i = 0; i < n; ++i) {
        square[index(i * n + i)] = Given{5};  // must not matter
    }
    for (const bool from_square : {false, true}) {
        Buffer<T> work(n * columns);
        const DistanceRows<T> rows{.values = work.data(), .columns = columns};
        double size = 0.0;
        for (const auto& [first, last] : {std::pair{n / 3, n}, std::pair{std::int64_t{0}, n / 3}}) {
            const double part =
                from_square
                    ? fill_from_square(std::span<const Given>(square), rows, n, first, last)
                    : fill_from_condensed(std::span<const Given>(condensed), rows, n, first, last);
            size = std::max(size, part);
        }
        CHECK(size == (from_square ? std::max(largest, n > 0 ? 5.0 : 0.0) : largest));
        for (std::int64_t i = 0; i < n; ++i) {
            for (std::int64_t j = 0; j < n; ++j) {
                const double value = (i + j) % 3 == 0 ? -between(i, j) : between(i, j);
                REQUIRE(rows.row(i)[j] == (i == j ? T{0} : static_cast<T>(value)));
            }
        }
    }
}

template <class T>
void check_close(std::int64_t m, std::int64_t closed, unsigned share) {
    std::mt19937 random(static_cast<unsigned>(m + closed));
    const std::int64_t columns = (m + 15) / 16 * 16;
    Buffer<T> work(m * columns);
    const DistanceRows<T> rows{.values = work.data(), .columns = columns};
    std::vector<std::int64_t> place(index(m));
    std::iota(place.begin(), place.end(), 0);
    std::shuffle(place.begin(), place.end(), random);
    std::vector<std::int64_t> kept;
    std::vector<std::int64_t> at;
    for (std::int64_t k = 0; k < m; ++k) {
        for (std::int64_t j = 0; j < columns; ++j) {
            const bool known = j < k || (j < closed && k < closed);
            rows.row(place[index(k)])[j] =
                known ? static_cast<T>(between(k, j)) : std::numeric_limits<T>::quiet_NaN();
        }
        if (random() % 10 < share) {
            kept.push_back(k);
            at.push_back(place[index(k)]);
        }
    }
    close_gaps(rows, at, kept, closed);
    for (std::size_t i = 0; i < kept.size(); ++i) {
        for (std::size_t j = 0; j < kept.size(); ++j) {
            REQUIRE(rows.row(at[i])[j] ==
                    (i == j ? T{0} : static_cast<T>(between(kept[i], kept[j]))));
        }
    }
}

}  // namespace

TEST_CASE("marked values come to the front, in every instruction set") {
    for (const KernelSet* set : usable_kernels()) {
        CAPTURE(set->name);
        check_keep<float>(set->keep_f32);
        check_keep<double>(set->keep_f64);
    }
}

TEST_CASE("a square is filled from either layout, in parts") {
    for (const std::int64_t n : {0, 1, 2, 5, 63, 64, 65, 150}) {
        CAPTURE(n);
        check_fill<float, float>(n);
        check_fill<float, double>(n);
        check_fill<double, float>(n);
        check_fill<double, double>(n);
    }
}

TEST_CASE("what overflows float is told as infinity") {
    const std::vector<double> condensed{1e300};
    Buffer<float> work(32);
    const DistanceRows<float> rows{.values = work.data(), .columns = 16};
    CHECK(std::isinf(fill_from_condensed(std::span<const double>(condensed), rows, 2, 0, 2)));
}

TEST_CASE("gaps are closed and distances stand both ways") {
    for (const std::int64_t m : {1, 4, 16, 63, 64, 65, 130, 200}) {
        for (const std::int64_t closed : {std::int64_t{0}, m / 2, m - 1, m}) {
            for (const unsigned share : {0U, 3U, 8U, 10U}) {
                CAPTURE(m);
                CAPTURE(closed);
                CAPTURE(share);
                check_close<float>(m, closed, share);
                check_close<double>(m, closed, share);
            }
        }
    }
}
