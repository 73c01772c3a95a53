#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "pair_terms.hpp"
#include "phylo/buffer.hpp"
#include "phylo/similarity.hpp"

namespace phylo {

/// Self terms of a call.
struct RowTerms {
    /// `integer`: whether the table is; numerators of counts are wanted of float tables too.
    RowTerms(const AlleleTable& table, const Pairs& pairs, Estimator estimator,
             const TableScan& scan, bool integer, const KernelSet& kernels);

    std::vector<double> of_models;  ///< of models that all have the same genes; else
    std::unique_ptr<PairTerms> of_pairs;
    bool found_nan = false;  ///< whether some pair is NaN, as far as models' terms tell
};

/// Items of the condensed triangle that lie before a row's.
[[nodiscard]] inline std::int64_t condensed_items(const Pairs& pairs, std::int64_t row) noexcept {
    return row * (2 * pairs.rows() - row - 1) / 2;
}

/// Turns rows of numerators into what is wanted of them, and writes that.
class RowOutput {
   public:
    /// `terms` may be null where numerators are wanted. `begin` is the first row that is written.
    RowOutput(const Pairs& pairs, const TableScan& scan, const RowTerms* terms,
              const KernelSet& kernels, const Output& output, std::int64_t begin);

    /// What a worker needs beside.
    struct Scratch {
        Buffer<double> selves;   ///< of one row's columns
        Buffer<double> values;   ///< of one row
        Buffer<char> file_rows;  ///< a strip that goes to a file
        PairTerms::Strip terms;
    };

    void begin_strip(std::int64_t row_begin, std::int64_t row_end, Scratch& scratch) const;
    /// numerators[j] is of column j; in a symmetric call only of columns after the row.
    template <class Sum>
    void write(std::int64_t row, const Sum* numerators, Scratch& scratch) const;
    /// Mirrors the strip below the diagonal, or sends it to the file.
    void end_strip(std::int64_t row_begin, std::int64_t row_end, Scratch& scratch) const;

    /// Whether some pair is NaN, once all rows are written.
    [[nodiscard]] bool found_nan() const noexcept { return found_nan_.load(); }

   private:
    /// First column that is computed in a row.
    [[nodiscard]] std::int64_t first(std::int64_t row) const noexcept {
        return pairs_.symmetric ? row + 1 : 0;
    }
    /// Items before a row's first column in what is written.
    [[nodiscard]] std::int64_t position(std::int64_t row) const noexcept;
    /// And before the row.
    [[nodiscard]] std::int64_t offset(std::int64_t row) const noexcept;
    /// Where a row's first column goes.
    template <class Item>
    Item* place(std::int64_t row, Scratch& scratch) const noexcept;
    template <class Sum>
    void find_values(std::int64_t row, const Sum* numerators, Scratch& scratch,
                     double* values) const;
    template <class Item>
    void set_diagonal(std::int64_t row, Scratch& scratch) const noexcept;
    template <class Item>
    void mirror(std::int64_t row_begin, std::int64_t row_end) const noexcept;

    const Pairs& pairs_;
    const TableScan& scan_;
    const KernelSet& kernels_;
    const Output& output_;
    const RowTerms* terms_;
    std::int64_t begin_ = 0;  ///< items of the call that come before what is written
    mutable std::atomic<bool> found_nan_{false};
};

}  // namespace phylo
