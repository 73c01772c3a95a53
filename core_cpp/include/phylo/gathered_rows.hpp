#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace phylo {

/// Rows (model, key, value) on their way into order: equal (model, key) add up.
///
/// Rows wait until they outnumber twice the merged ones, so memory stays proportional to
/// the distinct rows and every row is merged O(1) times on average. A merge is stable: values
/// are added in the order they came. 16 bytes a waiting row, and as many while a merge runs.
template <class Value>
class GatheredRows {
   public:
    struct Row {
        std::int32_t model;
        std::int32_t key;
        Value value;
    };

    /// Makes room for `more` rows.
    void reserve(std::size_t more);
    /// Requires room.
    void push(std::int32_t model, std::int32_t key, Value value) {
        rows_.push_back({.model = model, .key = key, .value = value});
    }
    /// Merges when enough rows wait; models are below `models`.
    void merge_if_due(std::size_t models);
    /// Forgets the rows from `size` on, which were not merged since.
    void truncate(std::size_t size) { rows_.resize(size, Row{}); }

    /// Sorts by model and key, adding up what is equal. O(rows).
    void merge(std::size_t models);
    [[nodiscard]] std::vector<Row>& rows() noexcept { return rows_; }
    [[nodiscard]] std::size_t size() const noexcept { return rows_.size(); }

    /// Bytes held while `more` further rows are taken and merged, at most.
    [[nodiscard]] std::size_t peak_bytes(std::size_t more) const noexcept;
    [[nodiscard]] std::size_t held_bytes() const noexcept { return rows_.capacity() * sizeof(Row); }

   private:
    [[nodiscard]] std::size_t merge_at() const noexcept;

    std::vector<Row> rows_;
    std::size_t merged_ = 0;
};

extern template class GatheredRows<std::int64_t>;
extern template class GatheredRows<double>;

}  // namespace phylo
