#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "phylo/allele_table.hpp"
#include "phylo/buffer.hpp"
#include "phylo/kernels.hpp"
#include "phylo/parallel.hpp"

namespace phylo {

/// Rows that a worker takes at once: whole tiles, and what they share of the columns stays in
/// cache.
inline constexpr std::int64_t kStripRows = 96;

/// Numerators above this lose bits in a double.
inline constexpr std::int64_t kExactLimit = std::int64_t{1} << 53;

/// Which pairs of a table's models are wanted.
struct Pairs {
    std::int64_t row_begin = 0;
    std::int64_t row_end = 0;
    std::int64_t column_begin = 0;
    std::int64_t column_end = 0;
    bool symmetric = false;  ///< rows and columns are the same models: each pair once

    [[nodiscard]] std::int64_t rows() const noexcept { return row_end - row_begin; }
    [[nodiscard]] std::int64_t columns() const noexcept { return column_end - column_begin; }
    [[nodiscard]] bool one_side() const noexcept {
        return row_begin == column_begin && row_end == column_end;
    }
    [[nodiscard]] std::int64_t count() const noexcept {
        return symmetric ? rows() * (rows() - 1) / 2 : rows() * columns();
    }

    /// All models against all.
    [[nodiscard]] static Pairs square(const AlleleTable& table) noexcept {
        return {.row_begin = 0,
                .row_end = table.n_models(),
                .column_begin = 0,
                .column_end = table.n_models(),
                .symmetric = true};
    }
    /// The first `split` models against the others.
    [[nodiscard]] static Pairs between(const AlleleTable& table, std::int64_t split) noexcept {
        return {.row_begin = 0,
                .row_end = split,
                .column_begin = split,
                .column_end = table.n_models(),
                .symmetric = false};
    }
};

/// What one pass over a table's entries tells. Rows and columns are those of the wanted pairs.
struct TableScan {
    std::vector<std::int64_t> probes;       ///< as TableSummary has it
    std::vector<std::int64_t> squares;      ///< a model's sum of squared counts
    std::vector<std::int64_t> gene_bounds;  ///< largest n of a row times that of a column
    std::int64_t numerator_bound = 0;       ///< no numerator of counts exceeds it
    std::int64_t largest_row_count = 0;
    std::int64_t largest_column_count = 0;
    bool integer = true;  ///< every model has one n, or no cell at all
    bool ragged = false;  ///< some model lacks a gene that another has
    /// How many models of a run have each column. Runs are what preparing threads take;
    /// rows and columns are runs of their own where they are different models.
    struct Run {
        std::int64_t begin;
        std::int64_t end;
        bool rows;
        bool columns;
        Buffer<std::int32_t> holders;
    };
    std::vector<Run> runs;
};

/// Models that are asked for before their turn, where genes are taken in blocks.
inline constexpr std::int64_t kModelsAhead = 4;

/// Cuts genes into blocks that touch about as many bytes as a cache holds, of `bytes` for all of
/// them: the first gene of each block, and the number of genes. A model's entries lie all over
/// the columns; taking some genes at a time for all models keeps what is touched in a cache.
[[nodiscard]] std::vector<std::int64_t> cut_genes(const AlleleTable& table, std::int64_t bytes);

/// O(nnz) time; 4 bytes a column and run.
[[nodiscard]] TableScan scan(const AlleleTable& table, const Pairs& pairs, int threads,
                             const StopRequest& stop);

/// How the products of counts or frequencies are taken.
enum class Arithmetic {
    u8,         ///< panels of bytes: counts up to 127
    i16,        ///< panels of 16 bits: counts up to 32,767
    wide,       ///< no panels
    frequency,  ///< panels of doubles
};
[[nodiscard]] std::string_view name_of(Arithmetic arithmetic);
/// Columns in a group of the panels.
[[nodiscard]] std::int64_t columns_a_group(Arithmetic arithmetic) noexcept;

/// Where each column of a table goes, and what the work will cost.
///
/// Common columns are multiplied densely, in panels; each costs one multiply-add for every pair of
/// models. Rarer ones are walked as lists: each costs a step for every pair of models that
/// have it. The border between them is where the two estimates meet. Columns of a single
/// model are in the self terms only.
struct SimilarityPlan {
    const KernelSet* kernels = nullptr;
    Arithmetic arithmetic = Arithmetic::u8;
    bool long_sums = false;  ///< numerators in 64 bits, the panels' in 32-bit parts
    bool ragged = false;     ///< some model lacks a gene that another has
    std::int64_t dense_columns = 0;
    std::int64_t rare_columns = 0;
    std::int64_t private_columns = 0;
    std::int64_t least_holders = 0;  ///< of a dense column; square calls only, else 0
    std::int64_t rare_entries = 0;
    std::int64_t rare_steps = 0;  ///< pairs of models that share a rare column, summed
    double dense_seconds = 0.0;   ///< estimates of one thread's time
    double rare_seconds = 0.0;
    /// Of each gene and, last, of all: what the rare columns of the genes before it take.
    struct Rare {
        std::int64_t columns = 0;
        std::int64_t listed = 0;  ///< holders among the columns' models
        std::int64_t turns = 0;   ///< holders among the rows' models
    };
    std::vector<Rare> rare_before;

    Buffer<std::int32_t> slots;  ///< of each column: >= 0 place in the panels, <= -2 rare
                                 ///< column -2 - slot, kAbsent: no two models share it
    std::vector<std::int64_t>
        chunks;  ///< first group of each chunk of the panels, and their number

    static constexpr std::int32_t kAbsent = -1;

    [[nodiscard]] std::int64_t groups() const noexcept { return chunks.back(); }
    /// Memory of panels and lists, and of `threads` workers. The result comes on top.
    [[nodiscard]] std::int64_t bytes(const AlleleTable& table, const Pairs& pairs,
                                     int threads) const noexcept;
};

/// Genes cut into pieces whose columns are worth a thread's attention: the first gene of each
/// piece, and the number of genes.
[[nodiscard]] std::vector<std::int64_t> cut_for_threads(const AlleleTable& table);

/// O(columns + genes), in parallel over genes; the same for any number of threads. Throws
/// InputError when a numerator might exceed kExactLimit.
[[nodiscard]] SimilarityPlan plan_similarity(const AlleleTable& table, const Pairs& pairs,
                                             const TableScan& scan, int threads,
                                             const StopRequest& stop);

}  // namespace phylo
