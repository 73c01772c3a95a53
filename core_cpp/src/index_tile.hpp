#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "index_cells.hpp"
#include "phylo/allele_table.hpp"
#include "phylo/parallel.hpp"

namespace phylo {

/// The entries of a run of models, by column.
template <class Kernel>
class Tile {
   public:
    using Payload = typename Kernel::Payload;

    Tile(const AlleleTable& table, const IndexCells& cells, const Kernel& kernel,
         std::int64_t begin_model, std::int64_t end_model, int threads, const StopRequest& stop)
        : begin(begin_model),
          end(end_model),
          columns_(static_cast<std::size_t>(table.n_columns())) {
        for_each_gene_entry(table, cells, threads, stop, [&](std::int64_t, std::int64_t entry) {
            ++column(table, entry).count;
        });
        place_columns();
        const auto place = [&](std::int64_t model, std::int64_t entry) {
            Column& to = column(table, entry);
            if (to.count == kCommon) {
                common_[static_cast<std::size_t>(to.begin + model)] = kernel.payload(entry);
            } else {
                const auto slot = static_cast<std::size_t>(to.begin + to.count++);
                models_[slot] = static_cast<std::int32_t>(model);
                payloads_[slot] = kernel.payload(entry);
            }
        };
        for_each_gene_entry(table, cells, threads, stop, place);
    }

    /// Adds an entry's shared part to sums[j] for every model j that has its allele, of those
    /// below `limit`; models are relative to `begin`.
    void add_shared(const AlleleTable& table, const Kernel& kernel, const LineKernels& lines,
                    std::int64_t entry, std::int32_t limit, double* sums) const noexcept {
        const Payload own = kernel.payload(entry);
        const Column& from =
            columns_[static_cast<std::size_t>(table.columns[static_cast<std::size_t>(entry)])];
        if constexpr (Kernel::kHasCommon) {
            if (from.count == kCommon) {
                kernel.add_common(lines, sums, common_.data() + from.begin, own, limit);
                return;
            }
        }
        const auto last = static_cast<std::size_t>(from.begin + from.count);
        for (auto s = static_cast<std::size_t>(from.begin); s < last; ++s) {
            const std::int32_t model = models_[s];
            if (model >= limit) {
                return;
            }
            sums[model] += kernel.shared(own, payloads_[s]);
        }
    }

    [[nodiscard]] std::int64_t width() const noexcept { return end - begin; }

    const std::int64_t begin;
    const std::int64_t end;

   private:
    /// An allele is common where at least one in so many models has it: then a pass over all
    /// models, side by side, is faster than one over those that have it.
    static constexpr std::int64_t kCommonShare = 3;
    static constexpr std::int32_t kCommon = -1;

    /// Entries begin .. begin + count of `models_` and `payloads_`; or, where count is kCommon,
    /// as many of `common_` as the tile has models.
    struct Column {
        std::int64_t begin = 0;
        std::int32_t count = 0;
    };

    Column& column(const AlleleTable& table, std::int64_t entry) noexcept {
        return columns_[static_cast<std::size_t>(table.columns[static_cast<std::size_t>(entry)])];
    }

    /// Calls visit(model, entry) for every entry; genes in parallel, models ascending in a gene.
    template <class Visit>
    void for_each_gene_entry(const AlleleTable& table, const IndexCells& cells, int threads,
                             const StopRequest& stop, const Visit& visit) const {
        const auto work = [&](std::int64_t gene, int) {
            const std::int64_t gene_end = table.gene_offsets[static_cast<std::size_t>(gene) + 1];
            for (std::int64_t m = begin; m < end; ++m) {
                if (cells.missing(gene, m)) {
                    continue;
                }
                const std::int64_t row_end = table.indptr[static_cast<std::size_t>(m) + 1];
                for (std::int64_t e = cells.starts[cells.at(gene, m)];
                     e < row_end && table.columns[static_cast<std::size_t>(e)] < gene_end; ++e) {
                    visit(m - begin, e);
                }
            }
        };
        parallel_for(table.n_genes(), threads, work, stop);
    }

    /// Gives each column its place, once its entries are counted.
    void place_columns() {
        std::int64_t postings = 0;
        std::int64_t common = 0;
        for (Column& each : columns_) {
            if (Kernel::kHasCommon && each.count * kCommonShare >= width()) {
                each = {.begin = std::exchange(common, common + width()), .count = kCommon};
            } else {
                each.begin = std::exchange(postings, postings + each.count);
                each.count = 0;
            }
        }
        models_.resize(static_cast<std::size_t>(postings));
        payloads_.resize(static_cast<std::size_t>(postings));
        common_.resize(static_cast<std::size_t>(common));
    }

    std::vector<Column> columns_;
    std::vector<std::int32_t> models_;  ///< ascending in a column
    std::vector<Payload> payloads_;
    std::vector<Payload> common_;
};

}  // namespace phylo
