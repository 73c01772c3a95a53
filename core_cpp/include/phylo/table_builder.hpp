#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "phylo/allele_column.hpp"
#include "phylo/allele_index.hpp"
#include "phylo/allele_table.hpp"
#include "phylo/gathered_rows.hpp"

namespace phylo {

/// One batch of rows: row r says that model[r] has allele[r] in gene[r].
struct RowBatch {
    std::span<const std::int32_t> models;
    std::span<const std::int32_t> genes;
    AlleleColumn alleles;
    std::int64_t first_row = 0;  ///< what errors call the batch's first row
};

/// Undecided masses as rows give them, repeats dropped now and then.
class GatheredMasses {
   public:
    void push(const HybridCell& cell);
    /// Ordered by model, gene and mass, each once: a cell that comes twice was given two masses.
    [[nodiscard]] const std::vector<HybridCell>& sorted();
    [[nodiscard]] std::size_t held_bytes() const noexcept {
        return cells_.capacity() * sizeof(HybridCell);
    }
    [[nodiscard]] std::size_t peak_bytes(std::size_t more) const noexcept {
        // A vector that grows doubles, beside what it was.
        return 3 * (cells_.size() + more) * sizeof(HybridCell);
    }

   private:
    std::vector<HybridCell> cells_;
    std::size_t sorted_ = 0;
};

/// Gathers rows in batches of any size and order into a canonical AlleleTable.
///
/// Repeated (model, gene, allele) rows add. O(rows + columns log columns) time: alleles are
/// numbered by hashing, rows put in order by counting and radix sorts. See `peak_bytes` for
/// memory.
class TableBuilder {
   public:
    /// Names that rows may refer to from now on, by index, after those given before.
    void add_models(const StringList& names);
    void add_genes(const StringList& names);

    /// Adds `counts[r]` probes for each row (1 each where counts is empty). A batch is checked
    /// whole before any of it is taken: a throw leaves the builder as it was.
    void add_counts(const RowBatch& batch, std::span<const std::int64_t> counts);

    /// Adds exact probabilities.
    void add_probabilities(const RowBatch& batch, std::span<const double> probabilities);

    /// Adds rows of hybrid cells: `probabilities[r]` of the allele is decided, `counts[r]` draws
    /// inside the undecided mass gave it, and `undecided[r]` is that mass, the same in all rows
    /// of a cell. A cell without undecided mass is exact and has no draws; one that is all
    /// undecided mass, nothing decided, is sampled.
    void add_hybrid(const RowBatch& batch, std::span<const double> probabilities,
                    std::span<const std::int64_t> counts, std::span<const double> undecided);

    /// Bytes that the builder and its table could come to take, beyond what it holds now, if
    /// `more` rows were added and the table finished.
    [[nodiscard]] std::size_t peak_bytes(std::size_t more) const noexcept;

    /// The table; the builder is empty afterwards.
    [[nodiscard]] AlleleTable finish();

   private:
    void check(const RowBatch& batch) const;
    template <class Wanted, class Take>
    void take_rows(const RowBatch& batch, Wanted&& wanted, Take&& take);
    template <class Wanted, class Take>
    void number_alleles(const RowBatch& batch, Wanted&& wanted, Take&& take);

    StringList models_;
    StringList genes_;
    AlleleIndex alleles_;
    GatheredRows<std::int64_t> counts_;
    GatheredRows<double> probabilities_;
    GatheredMasses undecided_;
};

}  // namespace phylo
