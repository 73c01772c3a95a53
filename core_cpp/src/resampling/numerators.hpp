#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "alleles.hpp"
#include "panels.hpp"
#include "phylo/allele_table.hpp"
#include "phylo/kernels.hpp"
#include "terms.hpp"

namespace phylo::resampling {

/// Rows against 48 columns, of which pairs with a column beyond the row are wanted.
struct Task {
    std::int64_t column_begin;  ///< of a block of 48
    std::int64_t row_begin;
    std::int64_t row_end;
};

/// The numerators of a strip of rows against 48 columns, gene by gene; one a worker.
///
/// A row's numerators lie in panels: the 48 pairs are the rows of a matrix, genes its columns.
template <class Count, class Partial>
class GeneNumerators {
   public:
    GeneNumerators(const AlleleTable& table, const GeneTerms& terms,
                   const Alleles<Count, Partial>& alleles, const KernelSet& kernels,
                   std::int64_t strip_rows)
        : table_(table),
          terms_(terms),
          alleles_(alleles),
          kernels_(kernels),
          strip_rows_(strip_rows),
          numerators_(strip_rows * kTileColumns, PanelsOfPairs::groups_for(table.n_genes())),
          products_(kGenes * strip_rows * kTileColumns) {}

    /// Products of rare alleles of all strips of a task, to be added strip by strip.
    void gather_rare(const Task& task) {
        first_row_ = task.row_begin;
        const auto buckets =
            static_cast<std::size_t>((task.row_end - task.row_begin) / kTileRows + 1);
        rare_.resize(std::max(rare_.size(), buckets));
        for (std::vector<Product>& bucket : rare_) {
            bucket.clear();
        }
        const std::int64_t end = std::min(task.column_begin + kTileColumns, table_.n_models());
        for (std::int64_t model = task.column_begin; model < end; ++model) {
            const auto limit = static_cast<std::int32_t>(std::min(model, task.row_end));
            const auto last = static_cast<std::size_t>(
                alleles_.rare_offsets[static_cast<std::size_t>(model) + 1]);
            for (auto e = static_cast<std::size_t>(
                     alleles_.rare_offsets[static_cast<std::size_t>(model)]);
                 e < last; ++e) {
                gather(alleles_.rare[e], model - task.column_begin, limit);
            }
        }
    }

    /// Forms the numerators of the strip from `row_begin` on.
    void form(std::int64_t row_begin, std::int64_t column_begin) {
        for (std::int64_t gene = 0; gene < table_.n_genes(); gene += kGenes) {
            for (std::int64_t k = 0; k < kGenes; ++k) {
                multiply_gene(row_begin, column_begin, gene + k,
                              products_.data() + k * strip_rows_ * kTileColumns);
            }
            store(gene / kGenes);
        }
        for (std::int64_t r = 0; r < strip_rows_; r += kTileRows) {
            add_rare((row_begin + r - first_row_) / kTileRows, row(r));
        }
    }

    /// Panels of a row of the strip, `groups()` groups each.
    [[nodiscard]] Partial* row(std::int64_t r) noexcept {
        return numerators_.at(r * kTileColumns, 0);
    }

   private:
    using PanelsOfPairs = Panels<Partial>;
    using Sum = SumOf<Count>;
    static constexpr std::int64_t kGenes = PanelsOfPairs::kColumns;

    struct Product {
        std::int32_t place;  ///< in the numerators of eight rows
        Partial value;
    };

    void gather(const RareEntry<Partial>& entry, std::int64_t lane, std::int32_t limit) {
        const std::int64_t* range = alleles_.columns.offsets.data() + entry.list;
        const auto* posting = alleles_.postings.data() + range[0];
        const auto* end = alleles_.postings.data() + range[1];
        if (first_row_ > 0) {
            posting = std::lower_bound(
                posting, end, first_row_,
                [](const auto& candidate, std::int64_t row) { return candidate.model < row; });
        }
        const std::int64_t row_stride = 3 * numerators_.stride();
        const std::int64_t place = numerators_.place(lane, entry.gene);
        for (; posting != end && posting->model < limit; ++posting) {
            const std::int64_t r = posting->model - first_row_;
            rare_[static_cast<std::size_t>(r / kTileRows)].push_back(
                {.place = static_cast<std::int32_t>(r % kTileRows * row_stride + place),
                 .value = static_cast<Partial>(entry.value * posting->value)});
        }
    }

    void multiply_gene(std::int64_t row_begin, std::int64_t column_begin, std::int64_t gene,
                       Sum* products) {
        const auto& first = alleles_.columns.gene_groups;
        const std::int64_t begin =
            gene < table_.n_genes() ? first[static_cast<std::size_t>(gene)] : 0;
        const std::int64_t end =
            gene < table_.n_genes() ? first[static_cast<std::size_t>(gene) + 1] : 0;
        const std::int64_t column = begin * Panels<Count>::kColumns;
        const Count* columns = alleles_.common.at(column_begin, column);
        for (std::int64_t r = 0; r < strip_rows_; r += kTileRows) {
            multiply(kernels_, alleles_.common.at(row_begin + r, column), columns,
                     alleles_.common.stride(), end - begin, terms_.largest_count,
                     products + r * kTileColumns);
        }
    }

    /// Puts the products of one group of genes into the numerators' panels.
    void store(std::int64_t group) {
        for (std::int64_t pair = 0; pair < strip_rows_ * kTileColumns; pair += kPanelModels) {
            Partial* to = numerators_.at(pair, group * kGenes);
            const Sum* from = products_.data() + pair;
            if constexpr (kGenes == 1) {
                std::copy_n(from, kPanelModels, to);
            } else {
                // Two genes beside each other, whole words at once.
                const Sum* second = from + strip_rows_ * kTileColumns;
                std::uint32_t both[kPanelModels];
                for (std::int64_t lane = 0; lane < kPanelModels; ++lane) {
                    both[lane] = static_cast<std::uint32_t>(from[lane]) |
                                 static_cast<std::uint32_t>(second[lane]) << 16U;
                }
                std::memcpy(to, both, sizeof both);
            }
        }
    }

    void add_rare(std::int64_t bucket, Partial* numerators) {
        if (static_cast<std::size_t>(bucket) >= rare_.size()) {
            return;  // rows beyond the task, which pad the strip
        }
        for (const Product& product : rare_[static_cast<std::size_t>(bucket)]) {
            Partial& numerator = numerators[product.place];
            numerator = static_cast<Partial>(numerator + product.value);
        }
    }

    const AlleleTable& table_;
    const GeneTerms& terms_;
    const Alleles<Count, Partial>& alleles_;
    const KernelSet& kernels_;
    std::int64_t strip_rows_;
    PanelsOfPairs numerators_;
    Buffer<Sum> products_;  ///< of as many genes as make a group
    std::vector<std::vector<Product>> rare_;
    std::int64_t first_row_ = 0;
};

}  // namespace phylo::resampling
