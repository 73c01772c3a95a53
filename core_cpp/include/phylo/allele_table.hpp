#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "phylo/string_list.hpp"

namespace phylo {

/// A cell of which part was decided and part was drawn, and the mass left to the draws.
struct HybridCell {
    std::int32_t model = 0;
    std::int32_t gene = 0;
    double undecided = 0.0;  ///< r, in (0, 1]
    [[nodiscard]] bool operator==(const HybridCell&) const = default;
};

/// Allele frequencies of models over genes, in compressed sparse rows.
///
/// A column is one (gene, allele); columns are ordered by gene, then by the allele's
/// bytes, and each occurs in at least one model. A row is one model, its columns
/// ascending. A cell (model, gene) with no entry is missing; an empty allele is an
/// entry like any other. So the same data give the same table, however they came in.
///
/// A cell is of one kind:
/// - sampled: every count > 0, every probability 0;
/// - exact: every count 0, every probability > 0;
/// - hybrid, listed in `hybrid_cells` with its undecided mass r: every count 0. Of each allele
///   `decided` holds the probability q that is certain and `draws` how often it came up in the
///   m draws (their sum in the cell, 0 where nothing was drawn) made inside the undecided mass;
///   q or draws are above 0, and `probabilities` holds p = q + r draws / m. A cell that is all
///   draws (r = 1, no q) is a sampled one.
/// The probabilities of an exact cell, and q and r of a hybrid one, add up to at most 1.
///
/// `probabilities` is empty when every cell is sampled; `draws` and `decided` are empty when no
/// cell is hybrid. So whoever wants frequencies need not know of hybrid cells; only their
/// unbiased self term differs.
struct AlleleTable {
    StringList models;
    StringList genes;
    StringList alleles;  ///< of each column
    std::vector<std::int64_t>
        gene_offsets;                  ///< first column of each gene, and the number of columns
    std::vector<std::int64_t> indptr;  ///< first entry of each model, and the number of entries
    std::vector<std::int32_t> columns;
    std::vector<std::int32_t> counts;
    std::vector<double> probabilities;
    std::vector<std::int32_t> draws;
    std::vector<double> decided;
    std::vector<HybridCell> hybrid_cells;  ///< ordered by model, then gene

    [[nodiscard]] std::int64_t n_models() const noexcept {
        return static_cast<std::int64_t>(models.size());
    }
    [[nodiscard]] std::int64_t n_genes() const noexcept {
        return static_cast<std::int64_t>(genes.size());
    }
    [[nodiscard]] std::int64_t n_columns() const noexcept {
        return static_cast<std::int64_t>(alleles.size());
    }
    [[nodiscard]] std::int64_t nnz() const noexcept {
        return static_cast<std::int64_t>(columns.size());
    }
    [[nodiscard]] bool has_exact() const noexcept { return !probabilities.empty(); }
    [[nodiscard]] bool has_hybrid() const noexcept { return !hybrid_cells.empty(); }
    /// The hybrid cells of a model, genes ascending. O(log hybrid cells).
    [[nodiscard]] std::span<const HybridCell> hybrid_cells_of(std::int64_t model) const noexcept;
    [[nodiscard]] bool operator==(const AlleleTable&) const = default;
};

/// The run of entries that one model has in one gene.
struct Cell {
    std::int64_t model;
    std::int64_t gene;
    std::int64_t begin;
    std::int64_t end;
    double undecided = 0.0;  ///< mass left to draws; above 0 in a hybrid cell alone
};

/// Calls visit(Cell) for every cell of a model that is not missing, genes ascending.
template <class Visit>
void for_each_cell(const AlleleTable& table, std::int64_t model, Visit&& visit) {
    const auto row = static_cast<std::size_t>(model);
    std::int64_t entry = table.indptr[row];
    const std::int64_t row_end = table.indptr[row + 1];
    std::int64_t gene = 0;
    const std::span<const HybridCell> hybrid = table.hybrid_cells_of(model);
    auto next_hybrid = hybrid.begin();
    while (entry < row_end) {
        const std::int64_t column = table.columns[static_cast<std::size_t>(entry)];
        while (table.gene_offsets[static_cast<std::size_t>(gene) + 1] <= column) {
            ++gene;
        }
        const std::int64_t gene_end = table.gene_offsets[static_cast<std::size_t>(gene) + 1];
        std::int64_t end = entry + 1;
        while (end < row_end && table.columns[static_cast<std::size_t>(end)] < gene_end) {
            ++end;
        }
        double undecided = 0.0;
        if (next_hybrid != hybrid.end() && next_hybrid->gene == gene) {
            undecided = (next_hybrid++)->undecided;
        }
        visit(
            Cell{.model = model, .gene = gene, .begin = entry, .end = end, .undecided = undecided});
        entry = end;
    }
}

/// Number of probes in a sampled cell; 0 where the cell is exact or hybrid.
[[nodiscard]] std::int64_t probes_in(const AlleleTable& table, const Cell& cell) noexcept;

/// Number of draws inside a hybrid cell's undecided mass; 0 in other cells.
[[nodiscard]] std::int64_t draws_in(const AlleleTable& table, const Cell& cell) noexcept;

/// p = q + r draws / m of an allele in a hybrid cell; what rounding puts above 1 is 1.
[[nodiscard]] inline double hybrid_frequency(double decided, double undecided, std::int64_t draws,
                                             std::int64_t draws_in_cell) noexcept {
    const double drawn =
        draws == 0 ? 0.0
                   : undecided * static_cast<double>(draws) / static_cast<double>(draws_in_cell);
    return std::min(decided + drawn, 1.0);
}

/// Whether a cell has an unbiased self term: exact cells have, a sampled one of two probes, a
/// hybrid one of two draws.
[[nodiscard]] bool has_unbiased_term(const AlleleTable& table, const Cell& cell) noexcept;

/// A value of each entry that, times its cell's scale, is the allele's frequency: the count in
/// a sampled cell (scale 1 / n), the probability in an exact or hybrid one (scale 1). O(nnz).
[[nodiscard]] std::vector<double> entry_values(const AlleleTable& table);

/// What the values of a cell's entries are multiplied by.
[[nodiscard]] double cell_scale(const AlleleTable& table, const Cell& cell) noexcept;

/// What a similarity needs to know of a table before it starts. O(nnz).
struct TableSummary {
    std::vector<std::int64_t> probes;  ///< a model's n where it has one n, -1 where n varies or a
                                       ///< cell is not sampled, 0 where every cell is missing
    std::int64_t missing_cells = 0;
    std::int64_t numerator_bound = 0;  ///< no numerator exceeds it: max over models of sum_g n^2
};
[[nodiscard]] TableSummary summarise(const AlleleTable& table);

/// The given models and genes, in the given order, without the columns left empty. O(nnz).
[[nodiscard]] AlleleTable select(const AlleleTable& table, std::span<const std::int64_t> models,
                                 std::span<const std::int64_t> genes);

/// The rows of `a`, then those of `b`; genes of `a`, then those only `b` has. Model names
/// may repeat: whoever needs them unique checks. O(nnz + columns).
[[nodiscard]] AlleleTable concatenate(const AlleleTable& a, const AlleleTable& b);

/// The table without its sampled cells of one probe and hybrid cells of fewer than two draws,
/// which have no unbiased self term. O(nnz).
[[nodiscard]] AlleleTable drop_single_probe_cells(const AlleleTable& table);

/// Throws InputError, naming model and gene, when a cell that is not hybrid holds both counts and
/// probabilities, or a cell's mass adds up to more than 1. O(nnz).
void check_cells(const AlleleTable& table);

/// Throws FormatError unless every invariant above holds. O(nnz + columns).
void check_invariants(const AlleleTable& table);

}  // namespace phylo
