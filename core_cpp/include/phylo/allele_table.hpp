#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "phylo/string_list.hpp"

namespace phylo {

/// Allele frequencies of models over genes, in compressed sparse rows.
///
/// A column is one (gene, allele); columns are ordered by gene, then by the allele's
/// bytes, and each occurs in at least one model. A row is one model, its columns
/// ascending. A cell (model, gene) with no entry is missing; an empty allele is an
/// entry like any other. So the same data give the same table, however they came in.
///
/// A cell is sampled (every count > 0, every probability 0) or exact (every count 0,
/// every probability > 0), never both. `probabilities` is empty when no cell is exact.
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
    [[nodiscard]] bool operator==(const AlleleTable&) const = default;
};

/// The run of entries that one model has in one gene.
struct Cell {
    std::int64_t model;
    std::int64_t gene;
    std::int64_t begin;
    std::int64_t end;
};

/// Calls visit(Cell) for every cell of a model that is not missing, genes ascending.
template <class Visit>
void for_each_cell(const AlleleTable& table, std::int64_t model, Visit&& visit) {
    const auto row = static_cast<std::size_t>(model);
    std::int64_t entry = table.indptr[row];
    const std::int64_t row_end = table.indptr[row + 1];
    std::int64_t gene = 0;
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
        visit(Cell{.model = model, .gene = gene, .begin = entry, .end = end});
        entry = end;
    }
}

/// Number of probes in a cell; 0 where the cell is exact.
[[nodiscard]] std::int64_t probes_in(const AlleleTable& table, const Cell& cell) noexcept;

/// What a similarity needs to know of a table before it starts. O(nnz).
struct TableSummary {
    std::vector<std::int64_t> probes;  ///< a model's n where it has one n, -1 where n varies or a
                                       ///< cell is exact, 0 where every cell is missing
    std::int64_t missing_cells = 0;
    std::int64_t numerator_bound = 0;  ///< no numerator exceeds it: max over models of sum_g n^2
};
[[nodiscard]] TableSummary summarise(const AlleleTable& table);

/// The given models and genes, in the given order, without the columns left empty. O(nnz).
[[nodiscard]] AlleleTable select(const AlleleTable& table, std::span<const std::int64_t> models,
                                 std::span<const std::int64_t> genes);

/// The rows of `a`, then those of `b`; genes of `a`, then those only `b` has. Model names
/// may repeat: whoever needs them unique checks. O(nnz + columns log columns).
[[nodiscard]] AlleleTable concatenate(const AlleleTable& a, const AlleleTable& b);

/// The table without its sampled cells of one probe, which have no unbiased self term. O(nnz).
[[nodiscard]] AlleleTable drop_single_probe_cells(const AlleleTable& table);

/// Throws InputError, naming model and gene, when a cell holds both counts and probabilities
/// or its probabilities add up to more than 1. O(nnz).
void check_cells(const AlleleTable& table);

/// Throws FormatError unless every invariant above holds. O(nnz + columns).
void check_invariants(const AlleleTable& table);

}  // namespace phylo
