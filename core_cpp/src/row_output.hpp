#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "pair_terms.hpp"
#include "phylo/buffer.hpp"
#include "phylo/similarity.hpp"

namespace phylo {

/// Turns rows of numerators into what is wanted of them, and writes that.
class RowOutput {
   public:
    /// `integer`: whether the table is; numerators of counts are wanted of float tables too.
    RowOutput(const AlleleTable& table, const Pairs& pairs, Estimator estimator,
              const TableScan& scan, bool integer, const KernelSet& kernels, const Output& output);

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
    /// Items before a row's first column in the result.
    [[nodiscard]] std::int64_t position(std::int64_t row) const noexcept;
    [[nodiscard]] std::int64_t strip_begin(std::int64_t row) const noexcept;
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
    std::vector<double> terms_;  ///< of models that all have the same genes; else
    std::unique_ptr<PairTerms> pair_terms_;
    mutable std::atomic<bool> found_nan_{false};
};

}  // namespace phylo
