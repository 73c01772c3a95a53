#include "phylo/allele_table.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "phylo/errors.hpp"

namespace phylo {

namespace {

std::size_t index(std::int64_t value) noexcept { return static_cast<std::size_t>(value); }

/// Copies cells of a table's rows into `out`, genes and columns renumbered (-1: not in `out`).
/// The renumbering need not keep order, so each row is sorted.
class RowCopier {
   public:
    RowCopier(AlleleTable& out, std::int64_t entries) : out_(out) {
        out_.indptr.assign(1, 0);
        out_.columns.reserve(index(entries));
        out_.counts.reserve(index(entries));
    }

    template <class Keep>
    void copy(const AlleleTable& from, std::int64_t model, const std::vector<std::int32_t>& gene_of,
              const std::vector<std::int32_t>& column_of, Keep&& keep) {
        entries_.clear();
        const std::size_t first_hybrid = out_.hybrid_cells.size();
        for_each_cell(from, model, [&](const Cell& cell) {
            const std::int32_t gene = gene_of[index(cell.gene)];
            if (gene < 0 || !keep(cell)) {
                return;
            }
            if (cell.undecided > 0.0) {
                out_.hybrid_cells.push_back(
                    {.model = static_cast<std::int32_t>(out_.indptr.size()) - 1,
                     .gene = gene,
                     .undecided = cell.undecided});
            }
            for (std::int64_t e = cell.begin; e < cell.end; ++e) {
                entries_.push_back(
                    {.column = column_of[index(from.columns[index(e)])],
                     .count = from.counts[index(e)],
                     .draws = from.has_hybrid() ? from.draws[index(e)] : 0,
                     .probability = from.has_exact() ? from.probabilities[index(e)] : 0.0,
                     .decided = from.has_hybrid() ? from.decided[index(e)] : 0.0});
            }
        });
        std::ranges::sort(out_.hybrid_cells.begin() + static_cast<std::ptrdiff_t>(first_hybrid),
                          out_.hybrid_cells.end(), {}, &HybridCell::gene);
        if (!std::ranges::is_sorted(entries_, {}, &Entry::column)) {
            std::ranges::sort(entries_, {}, &Entry::column);
        }
        append();
    }

   private:
    struct Entry {
        std::int32_t column;
        std::int32_t count;
        std::int32_t draws;
        double probability;
        double decided;
    };

    void append() {
        const bool exact =
            std::ranges::any_of(entries_, [](const Entry& e) { return e.count == 0; });
        // An array begins, with zeros, when the first cell needs it.
        if (exact || out_.has_exact()) {
            out_.probabilities.resize(out_.columns.size());
        }
        if (out_.has_hybrid()) {
            out_.draws.resize(out_.columns.size());
            out_.decided.resize(out_.columns.size());
        }
        for (const Entry& entry : entries_) {
            out_.columns.push_back(entry.column);
            out_.counts.push_back(entry.count);
            if (exact || out_.has_exact()) {
                out_.probabilities.push_back(entry.probability);
            }
            if (out_.has_hybrid()) {
                out_.draws.push_back(entry.draws);
                out_.decided.push_back(entry.decided);
            }
        }
        out_.indptr.push_back(out_.nnz());
    }

    AlleleTable& out_;
    std::vector<Entry> entries_;
};

/// The given models and genes without the cells that keep(cell) refuses.
template <class Keep>
AlleleTable select_cells(const AlleleTable& table, std::span<const std::int64_t> models,
                         std::span<const std::int64_t> genes, Keep&& keep) {
    std::vector<std::int32_t> gene_of(index(table.n_genes()), -1);
    for (std::size_t g = 0; g < genes.size(); ++g) {
        gene_of[index(genes[g])] = static_cast<std::int32_t>(g);
    }
    std::vector<bool> used(index(table.n_columns()), false);
    std::int64_t entries = 0;
    for (const std::int64_t m : models) {
        for_each_cell(table, m, [&](const Cell& cell) {
            if (gene_of[index(cell.gene)] < 0 || !keep(cell)) {
                return;
            }
            entries += cell.end - cell.begin;
            for (std::int64_t e = cell.begin; e < cell.end; ++e) {
                used[index(table.columns[index(e)])] = true;
            }
        });
    }
    AlleleTable out;
    std::vector<std::int32_t> column_of(index(table.n_columns()), -1);
    out.gene_offsets.assign(1, 0);
    for (const std::int64_t g : genes) {
        out.genes.push_back(table.genes[index(g)]);
        for (std::int64_t c = table.gene_offsets[index(g)]; c < table.gene_offsets[index(g) + 1];
             ++c) {
            if (used[index(c)]) {
                column_of[index(c)] = static_cast<std::int32_t>(out.n_columns());
                out.alleles.push_back(table.alleles[index(c)]);
            }
        }
        out.gene_offsets.push_back(out.n_columns());
    }
    RowCopier copier(out, entries);
    for (const std::int64_t m : models) {
        out.models.push_back(table.models[index(m)]);
        copier.copy(table, m, gene_of, column_of, keep);
    }
    return out;
}

}  // namespace

std::span<const HybridCell> AlleleTable::hybrid_cells_of(std::int64_t model) const noexcept {
    const auto range = std::ranges::equal_range(
        hybrid_cells, model, {}, [](const HybridCell& cell) { return std::int64_t{cell.model}; });
    return {range.begin(), range.end()};
}

std::int64_t probes_in(const AlleleTable& table, const Cell& cell) noexcept {
    std::int64_t n = 0;
    for (std::int64_t e = cell.begin; e < cell.end; ++e) {
        n += table.counts[index(e)];
    }
    return n;
}

std::int64_t draws_in(const AlleleTable& table, const Cell& cell) noexcept {
    std::int64_t m = 0;
    for (std::int64_t e = cell.begin; cell.undecided > 0.0 && e < cell.end; ++e) {
        m += table.draws[index(e)];
    }
    return m;
}

bool has_unbiased_term(const AlleleTable& table, const Cell& cell) noexcept {
    return cell.undecided > 0.0 ? draws_in(table, cell) >= 2 : probes_in(table, cell) != 1;
}

std::vector<double> entry_values(const AlleleTable& table) {
    std::vector<double> values(table.counts.begin(), table.counts.end());
    for (std::size_t e = 0; e < table.probabilities.size(); ++e) {
        if (table.counts[e] == 0) {
            values[e] = table.probabilities[e];
        }
    }
    return values;
}

double cell_scale(const AlleleTable& table, const Cell& cell) noexcept {
    const std::int64_t n = probes_in(table, cell);
    return n == 0 ? 1.0 : 1.0 / static_cast<double>(n);
}

TableSummary summarise(const AlleleTable& table) {
    TableSummary summary;
    summary.probes.assign(index(table.n_models()), 0);
    for (std::int64_t m = 0; m < table.n_models(); ++m) {
        std::int64_t cells = 0;
        std::int64_t bound = 0;
        std::int64_t& probes = summary.probes[index(m)];
        for_each_cell(table, m, [&](const Cell& cell) {
            const std::int64_t n = probes_in(table, cell);
            probes = n == 0 || (probes != 0 && probes != n) ? -1 : n;
            std::int64_t square = 0;
            // Saturates: whoever reads the bound only asks whether it is too large.
            if (__builtin_mul_overflow(n, n, &square) ||
                __builtin_add_overflow(bound, square, &bound)) {
                bound = INT64_MAX;
            }
            ++cells;
        });
        summary.missing_cells += table.n_genes() - cells;
        summary.numerator_bound = std::max(summary.numerator_bound, bound);
    }
    return summary;
}

AlleleTable select(const AlleleTable& table, std::span<const std::int64_t> models,
                   std::span<const std::int64_t> genes) {
    return select_cells(table, models, genes, [](const Cell&) { return true; });
}

AlleleTable drop_single_probe_cells(const AlleleTable& table) {
    std::vector<std::int64_t> models(index(table.n_models()));
    std::iota(models.begin(), models.end(), 0);
    std::vector<std::int64_t> genes(index(table.n_genes()));
    std::iota(genes.begin(), genes.end(), 0);
    return select_cells(table, models, genes,
                        [&](const Cell& cell) { return has_unbiased_term(table, cell); });
}

AlleleTable concatenate(const AlleleTable& a, const AlleleTable& b) {
    AlleleTable out;
    out.genes = a.genes;
    std::unordered_map<std::string_view, std::int64_t> gene_in_b;
    for (std::int64_t g = 0; g < b.n_genes(); ++g) {
        gene_in_b.emplace(b.genes[index(g)], g);
    }
    std::vector<std::int64_t> partner;
    partner.reserve(index(a.n_genes()));
    for (std::int64_t g = 0; g < a.n_genes(); ++g) {
        const auto found = gene_in_b.find(a.genes[index(g)]);
        partner.push_back(found == gene_in_b.end() ? -1 : found->second);
        if (found != gene_in_b.end()) {
            gene_in_b.erase(found);
        }
    }
    for (std::int64_t g = 0; g < b.n_genes(); ++g) {
        if (gene_in_b.contains(b.genes[index(g)])) {
            out.genes.push_back(b.genes[index(g)]);
            partner.push_back(g);
        }
    }

    // Alleles of a gene ascend in both tables: merging the two runs keeps them so.
    std::vector<std::int32_t> column_of_a(index(a.n_columns()));
    std::vector<std::int32_t> column_of_b(index(b.n_columns()));
    out.gene_offsets.assign(1, 0);
    for (std::int64_t g = 0; g < out.n_genes(); ++g) {
        const bool in_a = g < a.n_genes();
        std::int64_t x = in_a ? a.gene_offsets[index(g)] : 0;
        const std::int64_t x_end = in_a ? a.gene_offsets[index(g) + 1] : 0;
        const std::int64_t h = partner[index(g)];
        std::int64_t y = h < 0 ? 0 : b.gene_offsets[index(h)];
        const std::int64_t y_end = h < 0 ? 0 : b.gene_offsets[index(h) + 1];
        while (x < x_end || y < y_end) {
            const bool take_a =
                y == y_end || (x < x_end && a.alleles[index(x)] <= b.alleles[index(y)]);
            const bool take_b =
                x == x_end || (y < y_end && b.alleles[index(y)] <= a.alleles[index(x)]);
            const auto column = static_cast<std::int32_t>(out.n_columns());
            out.alleles.push_back(take_a ? a.alleles[index(x)] : b.alleles[index(y)]);
            if (take_a) {
                column_of_a[index(x++)] = column;
            }
            if (take_b) {
                column_of_b[index(y++)] = column;
            }
        }
        out.gene_offsets.push_back(out.n_columns());
    }

    std::vector<std::int32_t> gene_of_a(index(a.n_genes()));
    std::iota(gene_of_a.begin(), gene_of_a.end(), 0);
    std::vector<std::int32_t> gene_of_b(index(b.n_genes()));
    for (std::int64_t g = 0; g < out.n_genes(); ++g) {
        if (partner[index(g)] >= 0) {
            gene_of_b[index(partner[index(g)])] = static_cast<std::int32_t>(g);
        }
    }
    const auto all = [](const Cell&) { return true; };
    RowCopier copier(out, a.nnz() + b.nnz());
    for (std::int64_t m = 0; m < a.n_models(); ++m) {
        out.models.push_back(a.models[index(m)]);
        copier.copy(a, m, gene_of_a, column_of_a, all);
    }
    for (std::int64_t m = 0; m < b.n_models(); ++m) {
        out.models.push_back(b.models[index(m)]);
        copier.copy(b, m, gene_of_b, column_of_b, all);
    }
    return out;
}

}  // namespace phylo
