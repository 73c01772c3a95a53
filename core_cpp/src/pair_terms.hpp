#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "operands.hpp"
#include "phylo/allele_table.hpp"
#include "phylo/buffer.hpp"
#include "phylo/kernels.hpp"
#include "phylo/self_terms.hpp"
#include "phylo/similarity_plan.hpp"

namespace phylo {

/// Products J_i J_j of the self terms of pairs, over the genes that both models have.
///
/// Models that have the same genes share a pattern. Up to kMostPatterns of them, each model's
/// term over each pattern is kept. Beyond, a strip of terms is a matrix product of the models'
/// terms by gene with the other models' 0 and 1 by gene: O(genes) a pair. Both sum over genes in
/// order, so they have the same bits.
class PairTerms {
   public:
    static constexpr std::size_t kMostPatterns = 256;

    PairTerms(const AlleleTable& table, const Pairs& pairs, Estimator estimator,
              const KernelSet& kernels, std::size_t most_patterns = kMostPatterns);

    /// What a worker needs beside: terms of a strip's rows over the genes of columns, and of
    /// columns over those of rows.
    struct Strip {
        std::int64_t row_begin = 0;
        Buffer<double> of_rows;
        Buffer<double> of_columns;
    };
    void begin_strip(std::int64_t row_begin, std::int64_t row_end, Strip& strip) const;
    /// J_i J_j of a row of the strip and columns from `first` on.
    void products(std::int64_t row, std::int64_t first, const Strip& strip, double* out) const;

   private:
    /// Terms, or ones, of some models by gene.
    struct Side {
        Panels terms;
        Panels present;
        std::vector<double> scales;
    };
    [[nodiscard]] std::int64_t width() const noexcept {
        return (pairs_.columns() + kTileColumns - 1) / kTileColumns * kTileColumns;
    }
    [[nodiscard]] const Side& rows() const noexcept { return pairs_.one_side() ? columns_ : rows_; }
    void multiply(const Panels& left, const Panels& right, std::int64_t row_begin,
                  std::int64_t row_end, Buffer<double>& sums) const;

    const Pairs& pairs_;
    const KernelSet& kernels_;
    std::int64_t genes_;
    std::unique_ptr<SelfTerms> by_pattern_;  ///< else
    Side rows_;                              ///< empty where rows and columns are the same models
    Side columns_;
};

}  // namespace phylo
