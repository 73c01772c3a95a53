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

/// Probabilities of one cell may exceed 1 by rounding alone.
constexpr double kMassTolerance = 1e-6;

std::size_t index(std::int64_t value) noexcept { return static_cast<std::size_t>(value); }

std::string place(const AlleleTable& table, const Cell& cell) {
    return "model " + quoted(table.models[index(cell.model)]) + ", gene " +
           quoted(table.genes[index(cell.gene)]);
}

/// Copies a table's rows into `out`, columns renumbered by `column_of` (-1 drops the entry).
/// The renumbering need not keep order, so each row is sorted.
class RowCopier {
   public:
    explicit RowCopier(AlleleTable& out, bool with_probabilities)
        : out_(out), with_probabilities_(with_probabilities) {
        out_.indptr.assign(1, 0);
    }

    void copy(const AlleleTable& from, std::int64_t model,
              const std::vector<std::int32_t>& column_of) {
        entries_.clear();
        for (std::int64_t e = from.indptr[index(model)]; e < from.indptr[index(model) + 1]; ++e) {
            const std::int32_t column = column_of[index(from.columns[index(e)])];
            if (column >= 0) {
                entries_.push_back(
                    {.column = column,
                     .count = from.counts[index(e)],
                     .probability = from.has_exact() ? from.probabilities[index(e)] : 0.0});
            }
        }
        std::ranges::sort(entries_,
                          [](const Entry& a, const Entry& b) { return a.column < b.column; });
        for (const Entry& entry : entries_) {
            out_.columns.push_back(entry.column);
            out_.counts.push_back(entry.count);
            if (with_probabilities_) {
                out_.probabilities.push_back(entry.probability);
            }
        }
        out_.indptr.push_back(static_cast<std::int64_t>(out_.columns.size()));
    }

   private:
    struct Entry {
        std::int32_t column;
        std::int32_t count;
        double probability;
    };
    AlleleTable& out_;
    bool with_probabilities_;
    std::vector<Entry> entries_;
};

/// An exact cell need not stay in a selection; a table without one holds no probabilities.
void drop_unused_probabilities(AlleleTable& table) {
    const bool used = std::ranges::any_of(table.probabilities, [](double p) { return p > 0.0; });
    if (!used) {
        table.probabilities.clear();
    }
}

void require(bool holds, const char* what) {
    if (!holds) {
        throw FormatError(std::string("the allele table is damaged: ") + what);
    }
}

void check_names(const StringList& names, const char* what) {
    std::unordered_set<std::string_view> seen;
    for (std::size_t i = 0; i < names.size(); ++i) {
        require(is_utf8(names[i]), what);
        require(seen.insert(names[i]).second, what);
    }
}

void check_offsets(const std::vector<std::int64_t>& offsets, std::size_t groups, std::int64_t total,
                   const char* what) {
    require(offsets.size() == groups + 1 && offsets.front() == 0 && offsets.back() == total &&
                std::ranges::is_sorted(offsets),
            what);
}

void check_columns(const AlleleTable& table) {
    for (std::int64_t g = 0; g < table.n_genes(); ++g) {
        for (std::int64_t c = table.gene_offsets[index(g)]; c < table.gene_offsets[index(g) + 1];
             ++c) {
            require(is_utf8(table.alleles[index(c)]), "an allele is not UTF-8");
            require(c == table.gene_offsets[index(g)] ||
                        table.alleles[index(c) - 1] < table.alleles[index(c)],
                    "alleles out of order");
        }
    }
}

void check_entries(const AlleleTable& table) {
    std::vector<bool> used(index(table.n_columns()), false);
    for (std::int64_t m = 0; m < table.n_models(); ++m) {
        std::int64_t last = -1;
        for (std::int64_t e = table.indptr[index(m)]; e < table.indptr[index(m) + 1]; ++e) {
            const std::int64_t column = table.columns[index(e)];
            require(column > last && column < table.n_columns(), "columns out of order");
            const double probability = table.has_exact() ? table.probabilities[index(e)] : 0.0;
            require(table.counts[index(e)] >= 0 && probability >= 0.0 && probability <= 1.0 &&
                        (table.counts[index(e)] > 0) != (probability > 0.0),
                    "an entry is neither a count nor a probability");
            used[index(column)] = true;
            last = column;
        }
    }
    require(std::ranges::find(used, false) == used.end(), "an allele no model has");
}

}  // namespace

std::int64_t probes_in(const AlleleTable& table, const Cell& cell) noexcept {
    std::int64_t n = 0;
    for (std::int64_t e = cell.begin; e < cell.end; ++e) {
        n += table.counts[index(e)];
    }
    return n;
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
    std::vector<bool> gene_kept(index(table.n_genes()), false);
    for (const std::int64_t g : genes) {
        gene_kept[index(g)] = true;
    }
    std::vector<bool> used(index(table.n_columns()), false);
    for (const std::int64_t m : models) {
        for_each_cell(table, m, [&](const Cell& cell) {
            for (std::int64_t e = cell.begin; gene_kept[index(cell.gene)] && e < cell.end; ++e) {
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
    RowCopier copier(out, table.has_exact());
    for (const std::int64_t m : models) {
        out.models.push_back(table.models[index(m)]);
        copier.copy(table, m, column_of);
    }
    drop_unused_probabilities(out);
    return out;
}

AlleleTable drop_single_probe_cells(const AlleleTable& table) {
    AlleleTable kept = table;
    kept.indptr.assign(1, 0);
    kept.columns.clear();
    kept.counts.clear();
    kept.probabilities.clear();
    for (std::int64_t m = 0; m < table.n_models(); ++m) {
        for_each_cell(table, m, [&](const Cell& cell) {
            if (probes_in(table, cell) == 1) {
                return;
            }
            const auto append = [&](auto& to, const auto& from) {
                to.insert(to.end(), from.begin() + cell.begin, from.begin() + cell.end);
            };
            append(kept.columns, table.columns);
            append(kept.counts, table.counts);
            if (table.has_exact()) {
                append(kept.probabilities, table.probabilities);
            }
        });
        kept.indptr.push_back(kept.nnz());
    }
    // Without the alleles that only those cells had.
    std::vector<std::int64_t> models(index(table.n_models()));
    std::iota(models.begin(), models.end(), 0);
    std::vector<std::int64_t> genes(index(table.n_genes()));
    std::iota(genes.begin(), genes.end(), 0);
    return select(kept, models, genes);
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

    RowCopier copier(out, a.has_exact() || b.has_exact());
    for (std::int64_t m = 0; m < a.n_models(); ++m) {
        out.models.push_back(a.models[index(m)]);
        copier.copy(a, m, column_of_a);
    }
    for (std::int64_t m = 0; m < b.n_models(); ++m) {
        out.models.push_back(b.models[index(m)]);
        copier.copy(b, m, column_of_b);
    }
    return out;
}

void check_cells(const AlleleTable& table) {
    if (!table.has_exact()) {
        return;
    }
    for (std::int64_t m = 0; m < table.n_models(); ++m) {
        for_each_cell(table, m, [&](const Cell& cell) {
            double mass = 0.0;
            std::int64_t counted = 0;
            for (std::int64_t e = cell.begin; e < cell.end; ++e) {
                mass += table.probabilities[index(e)];
                counted += table.counts[index(e)] > 0 ? 1 : 0;
            }
            if (counted != 0 && counted != cell.end - cell.begin) {
                throw InputError(place(table, cell) +
                                 ": counts and probabilities in one cell; give one kind a cell");
            }
            if (mass > 1.0 + kMassTolerance) {
                throw InputError(place(table, cell) + ": probabilities add up to " +
                                 std::to_string(mass) + ", more than 1");
            }
        });
    }
}

void check_invariants(const AlleleTable& table) {
    check_names(table.models, "model names");
    check_names(table.genes, "gene names");
    check_offsets(table.gene_offsets, table.genes.size(), table.n_columns(), "gene offsets");
    check_offsets(table.indptr, table.models.size(), table.nnz(), "row offsets");
    require(table.counts.size() == table.columns.size(), "as many counts as columns");
    require(!table.has_exact() || table.probabilities.size() == table.columns.size(),
            "as many probabilities as columns");
    check_columns(table);
    check_entries(table);
    try {
        check_cells(table);
    } catch (const InputError& error) {
        throw FormatError(std::string("the allele table is damaged: ") + error.what());
    }
}

}  // namespace phylo
