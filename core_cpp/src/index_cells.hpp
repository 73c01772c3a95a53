#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "phylo/allele_table.hpp"
#include "phylo/indices.hpp"

namespace phylo {

/// A table as an index reads it. Gene by gene, every index is a function of a rest
/// half_i + half_j - shared, where `shared` is a sum over the alleles that both cells have:
///
///     index        half           shared                                  distance
///     da           sum p / 2      sum sqrt p sqrt q                       rest
///     chord        sum p / 2      sum sqrt p sqrt q                       2 sqrt(2) / pi root
///     rogers       sum p^2 / 2    sum p q                                 root
///     jsd          sum p / 2      sum (e(p) + e(q) - e(p + q)) / 2        rest
///
/// with e(p) = -p log2 p. Other sums over pairs of cells, f2 above all, are read the same way, with
/// values and halves of their own.
class IndexCells {
   public:
    /// Writes the values of a cell's entries into `frequencies` and returns its half.
    using ReadCell = std::function<double(const Cell& cell, std::vector<double>& frequencies)>;

    IndexCells(const AlleleTable& table, Index index, int threads, const StopRequest& stop);
    IndexCells(const AlleleTable& table, const ReadCell& read, int threads,
               const StopRequest& stop);

    [[nodiscard]] std::size_t at(std::int64_t gene, std::int64_t model) const noexcept {
        return static_cast<std::size_t>(gene * n_models_ + model);
    }
    [[nodiscard]] bool missing(std::int64_t gene, std::int64_t model) const noexcept {
        return starts[at(gene, model)] < 0;
    }
    /// Genes that both models have.
    [[nodiscard]] std::int64_t common_genes(std::int64_t i, std::int64_t j) const noexcept;

    std::vector<double> frequencies;   ///< of each entry
    std::vector<double> halves;        ///< of each (gene, model), gene-major; NaN where missing
    std::vector<std::int64_t> starts;  ///< first entry of each (gene, model); -1 where missing

   private:
    std::int64_t n_models_;
    std::size_t words_;                   ///< of a model in `present_`
    std::vector<std::uint64_t> present_;  ///< a bit for each gene that a model has
};

}  // namespace phylo
