#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_set>

#include "phylo/allele_table.hpp"
#include "phylo/errors.hpp"

namespace phylo {

namespace {

/// The mass of one cell may exceed 1 by rounding alone.
constexpr double kMassTolerance = 1e-6;

std::size_t index(std::int64_t value) noexcept { return static_cast<std::size_t>(value); }

std::string place(const AlleleTable& table, const Cell& cell) {
    return "model " + quoted(table.models[index(cell.model)]) + ", gene " +
           quoted(table.genes[index(cell.gene)]);
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

void check_sizes(const AlleleTable& table) {
    const std::size_t entries = table.columns.size();
    require(table.counts.size() == entries, "as many counts as columns");
    require(!table.has_exact() || table.probabilities.size() == entries,
            "as many probabilities as columns");
    const std::size_t hybrid = table.has_hybrid() ? entries : 0;
    require(table.draws.size() == hybrid && table.decided.size() == hybrid,
            "as many draws as columns");
    require(!table.has_hybrid() || table.has_exact(), "hybrid cells have probabilities");
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

void check_rows(const AlleleTable& table) {
    std::vector<bool> used(index(table.n_columns()), false);
    for (std::int64_t m = 0; m < table.n_models(); ++m) {
        std::int64_t last = -1;
        for (std::int64_t e = table.indptr[index(m)]; e < table.indptr[index(m) + 1]; ++e) {
            const std::int64_t column = table.columns[index(e)];
            require(column > last && column < table.n_columns(), "columns out of order");
            used[index(column)] = true;
            last = column;
        }
    }
    require(std::ranges::find(used, false) == used.end(), "an allele no model has");
}

void check_hybrid_list(const AlleleTable& table) {
    const HybridCell* last = nullptr;
    for (const HybridCell& cell : table.hybrid_cells) {
        require(cell.model >= 0 && cell.model < table.n_models() && cell.gene >= 0 &&
                    cell.gene < table.n_genes(),
                "a hybrid cell outside the table");
        require(cell.undecided > 0.0 && cell.undecided <= 1.0, "an undecided mass not in 0..1");
        require(last == nullptr || last->model < cell.model ||
                    (last->model == cell.model && last->gene < cell.gene),
                "hybrid cells out of order");
        last = &cell;
    }
}

/// An entry of a cell that is not hybrid is a count or a probability.
void check_plain_entry(const AlleleTable& table, std::size_t e) {
    const double probability = table.has_exact() ? table.probabilities[e] : 0.0;
    require(table.counts[e] >= 0 && probability >= 0.0 && probability <= 1.0 &&
                (table.counts[e] > 0) != (probability > 0.0),
            "an entry is neither a count nor a probability");
    require(!table.has_hybrid() || (table.draws[e] == 0 && table.decided[e] == 0.0),
            "draws outside a hybrid cell");
}

void check_hybrid_cell(const AlleleTable& table, const Cell& cell) {
    const std::int64_t m = draws_in(table, cell);
    bool any_decided = false;
    for (std::int64_t i = cell.begin; i < cell.end; ++i) {
        const std::size_t e = index(i);
        const double decided = table.decided[e];
        const std::int32_t draws = table.draws[e];
        require(table.counts[e] == 0 && decided >= 0.0 && decided <= 1.0 && draws >= 0 &&
                    (draws > 0 || decided > 0.0),
                "an entry of a hybrid cell is neither decided nor drawn");
        require(table.probabilities[e] == hybrid_frequency(decided, cell.undecided, draws, m),
                "a hybrid cell's probability is not that of its draws");
        any_decided = any_decided || decided > 0.0;
    }
    require(any_decided || cell.undecided < 1.0, "a sampled cell among the hybrid ones");
}

void check_entries(const AlleleTable& table) {
    std::size_t hybrid = 0;
    for (std::int64_t m = 0; m < table.n_models(); ++m) {
        for_each_cell(table, m, [&](const Cell& cell) {
            if (cell.undecided > 0.0) {
                check_hybrid_cell(table, cell);
                ++hybrid;
                return;
            }
            for (std::int64_t e = cell.begin; e < cell.end; ++e) {
                check_plain_entry(table, index(e));
            }
        });
    }
    require(hybrid == table.hybrid_cells.size(), "a hybrid cell without entries");
}

}  // namespace

void check_cells(const AlleleTable& table) {
    for (std::int64_t m = 0; table.has_exact() && m < table.n_models(); ++m) {
        for_each_cell(table, m, [&](const Cell& cell) {
            const bool hybrid = cell.undecided > 0.0;
            double mass = cell.undecided;
            bool counted = false;
            bool exact = false;
            for (std::int64_t e = cell.begin; e < cell.end; ++e) {
                mass += hybrid ? table.decided[index(e)] : table.probabilities[index(e)];
                counted = counted || table.counts[index(e)] > 0;
                exact = exact || table.probabilities[index(e)] > 0.0;
            }
            if (counted && exact) {
                throw InputError(place(table, cell) +
                                 ": counts and probabilities in one cell; give one kind a cell, "
                                 "or the mass that the counts share");
            }
            if (mass > 1.0 + kMassTolerance) {
                throw InputError(place(table, cell) +
                                 (hybrid ? ": decided and undecided mass add up to "
                                         : ": probabilities add up to ") +
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
    check_sizes(table);
    check_columns(table);
    check_rows(table);
    check_hybrid_list(table);
    check_entries(table);
    try {
        check_cells(table);
    } catch (const InputError& error) {
        throw FormatError(std::string("the allele table is damaged: ") + error.what());
    }
}

}  // namespace phylo
