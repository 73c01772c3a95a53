#include "phylo/gathered_rows.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>
#include <span>

namespace phylo {

namespace {

/// Rows that wait before the first merge.
constexpr std::size_t kMergeAt = std::size_t{1} << 21;
/// Runs up to this length are sorted by insertion.
constexpr std::size_t kInsertion = 48;
/// A long run is worth a wide digit, whose histogram takes as long to clear as many rows to sort.
constexpr std::size_t kLongRun = 1024;
constexpr int kWideDigit = 11;
constexpr int kNarrowDigit = 6;

template <class Row>
void insertion_sort(std::span<Row> rows) noexcept {
    for (std::size_t i = 1; i < rows.size(); ++i) {
        const Row row = rows[i];
        std::size_t at = i;
        for (; at > 0 && rows[at - 1].key > row.key; --at) {
            rows[at] = rows[at - 1];
        }
        rows[at] = row;
    }
}

/// Stable sort by key, digit by digit from the lowest (LSD radix).
template <int Digit, class Row>
void radix_sort(std::span<Row> rows, std::span<Row> scratch, int key_bits) noexcept {
    std::span<Row> from = rows;
    std::span<Row> to = scratch;
    for (int shift = 0; shift < key_bits; shift += Digit) {
        std::array<std::uint32_t, std::size_t{1} << Digit> starts{};
        const auto digit = [shift](const Row& row) {
            return (static_cast<std::uint32_t>(row.key) >> shift) & ((1U << Digit) - 1);
        };
        for (const Row& row : from) {
            ++starts[digit(row)];
        }
        std::exclusive_scan(starts.begin(), starts.end(), starts.begin(), 0U);
        for (const Row& row : from) {
            to[starts[digit(row)]++] = row;
        }
        std::swap(from, to);
    }
    if (from.data() != rows.data()) {
        std::ranges::copy(from, rows.begin());
    }
}

/// Stable sort by key of one model's rows.
template <class Row>
void sort_run(std::span<Row> rows, std::vector<Row>& scratch) {
    if (std::ranges::is_sorted(rows, {}, &Row::key)) {
        return;
    }
    if (rows.size() <= kInsertion) {
        insertion_sort(rows);
        return;
    }
    if (rows.size() > INT32_MAX) {
        std::ranges::stable_sort(rows, {}, &Row::key);
        return;
    }
    scratch.resize(std::max(scratch.size(), rows.size()));
    const std::int32_t largest = std::ranges::max_element(rows, {}, &Row::key)->key;
    const auto key_bits = static_cast<int>(std::bit_width(static_cast<std::uint32_t>(largest)));
    const std::span<Row> space = std::span(scratch).first(rows.size());
    if (rows.size() > kLongRun) {
        radix_sort<kWideDigit>(rows, space, key_bits);
    } else {
        radix_sort<kNarrowDigit>(rows, space, key_bits);
    }
}

/// Stable sort by model (counting sort); each model's first row, and the number of rows.
template <class Row>
std::vector<std::size_t> sort_by_model(std::vector<Row>& rows, std::size_t models) {
    std::vector<std::size_t> starts(models + 1, 0);
    std::int32_t last = 0;
    bool sorted = true;
    for (const Row& row : rows) {
        ++starts[static_cast<std::size_t>(row.model) + 1];
        sorted = sorted && last <= row.model;
        last = row.model;
    }
    std::partial_sum(starts.begin(), starts.end(), starts.begin());
    if (!sorted) {
        std::vector<Row> ordered(rows.size());
        std::vector<std::size_t> next(starts.begin(), starts.end() - 1);
        for (const Row& row : rows) {
            ordered[next[static_cast<std::size_t>(row.model)]++] = row;
        }
        rows = std::move(ordered);
    }
    return starts;
}

}  // namespace

template <class Value>
std::size_t GatheredRows<Value>::merge_at() const noexcept {
    return std::max(kMergeAt, 2 * merged_);
}

template <class Value>
void GatheredRows<Value>::reserve(std::size_t more) {
    const std::size_t needed = rows_.size() + more;
    if (needed > rows_.capacity()) {
        rows_.reserve(std::max(needed, std::min(2 * rows_.capacity(), merge_at() + more)));
    }
}

template <class Value>
void GatheredRows<Value>::merge_if_due(std::size_t models) {
    if (rows_.size() > merge_at()) {
        merge(models);
    }
}

template <class Value>
void GatheredRows<Value>::merge(std::size_t models) {
    const std::vector<std::size_t> starts = sort_by_model(rows_, models);
    std::vector<Row> scratch;
    std::size_t kept = 0;
    for (std::size_t m = 0; m < models; ++m) {
        const std::span<Row> run = std::span(rows_).subspan(starts[m], starts[m + 1] - starts[m]);
        sort_run(run, scratch);
        const std::size_t first = kept;
        for (const Row& row : run) {
            if (kept > first && rows_[kept - 1].key == row.key) {
                rows_[kept - 1].value += row.value;
            } else {
                rows_[kept++] = row;
            }
        }
    }
    rows_.resize(kept, Row{});
    merged_ = kept;
}

template <class Value>
std::size_t GatheredRows<Value>::peak_bytes(std::size_t more) const noexcept {
    return 2 * sizeof(Row) * std::max(rows_.size() + more, rows_.capacity());
}

template class GatheredRows<std::int64_t>;
template class GatheredRows<double>;

}  // namespace phylo
