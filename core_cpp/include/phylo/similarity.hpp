#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "phylo/allele_table.hpp"
#include "phylo/buffer.hpp"
#include "phylo/parallel.hpp"
#include "phylo/self_terms.hpp"
#include "phylo/similarity_plan.hpp"

namespace phylo {

/// What is written of each pair.
enum class Quantity {
    numerator,   ///< sum over genes and alleles of n_ia n_ja; exact cells add nothing
    similarity,  ///< Nei's identity S
    distance,    ///< -log(min(max(S, floor), 1))
};

/// Where results go, and in which order.
struct Output {
    enum class Type { int64, float64, float32 };
    enum class Layout {
        matrix,     ///< rows x columns, row-major
        condensed,  ///< of a square call: the upper triangle by rows
    };
    Quantity quantity = Quantity::similarity;
    Type type =
        Type::float64;  ///< int64 for numerators, else a float; float32 is rounded from float64
    Layout layout = Layout::matrix;
    double floor = 0.0;      ///< of distances
    void* values = nullptr;  ///< where in memory; or
    int file = -1;           ///< a file open for writing, from the offset `file_begin` on
    std::int64_t file_begin = 0;

    [[nodiscard]] std::int64_t item_bytes() const noexcept { return type == Type::float32 ? 4 : 8; }
};

/// Compares models, as the plan and the output say.
///
/// S_ij = sum p_i p_j / sqrt(J_i J_j), all three sums over the genes that both have; NaN where
/// a self term is zero or no gene is shared. In a square call the diagonal is 1 (numerators:
/// the sum of squared counts). On an integer table the sums are exact integers, so S is the same
/// bits for any thread number, instruction set and order of models. On a float table common alleles
/// are summed in short chunks, then added, then rare alleles in the order of columns: a pair's
/// relative error stays below 2^-53 (3 + 256 + common / 256 + 4096 + rare / 4096), and bits do not
/// depend on threads, instruction set or order either. O(pairs x dense columns + shared rare
/// alleles of all pairs + nnz) time. Throws InputError when a numerator might exceed kExactLimit,
/// Interrupted when asked to stop, std::system_error when the file cannot be written.
/// Returns whether some pair is NaN. `claim` is told the bytes of panels, lists and workers before
/// they are taken; it throws where they are too many.
bool compare(const AlleleTable& table, const Pairs& pairs, Estimator estimator, int threads,
             const Output& output, const StopRequest& stop = {}, const Claim& claim = {});

/// Rows of a call, counted from its first: whole strips of kStripRows, the last one of the call
/// being what is left.
struct RowRange {
    std::int64_t begin;
    std::int64_t end;
};

struct RowTerms;

/// A call of `compare` whose table is scanned, planned and packed, so that any of its rows can
/// be computed, by whoever else too: all ranges together have the bits of the whole call, also
/// those of a float table, whose order of sums is the plan's.
class PackedComparison {
   public:
    /// As `compare`, with the bytes that `claim` is told. Where results go in memory is told later.
    /// The table must live as long.
    PackedComparison(const AlleleTable& table, const Pairs& pairs, Estimator estimator, int threads,
                     const Output& output, const StopRequest& stop = {}, const Claim& claim = {});
    ~PackedComparison();
    PackedComparison(const PackedComparison&) = delete;
    PackedComparison& operator=(const PackedComparison&) = delete;

    [[nodiscard]] const Pairs& pairs() const noexcept { return pairs_; }
    [[nodiscard]] const Output& output() const noexcept { return output_; }
    /// Results of some rows. Throws std::invalid_argument for what is no range of whole strips.
    [[nodiscard]] std::int64_t items(RowRange range) const;
    /// Writes the results of some rows, and nothing else, to `values` or the file, from their
    /// beginning on: items(range) of them. Of a symmetric call that are the rows' parts of the
    /// condensed triangle. Returns whether some pair is NaN, or may be. Any number of threads may
    /// call it at once.
    bool compute(RowRange range, void* values, int threads, const StopRequest& stop = {}) const;

    class Strips;

   private:
    template <class P, class Sum>
    void pack_for(const AlleleTable& table, std::span<const double> values, int threads,
                  const StopRequest& stop);

    Pairs pairs_;
    Output output_;
    TableScan scan_;
    SimilarityPlan plan_;
    std::unique_ptr<RowTerms> terms_;  ///< but of numerators
    std::unique_ptr<Strips> strips_;
};

/// Multiply-adds of bytes that `threads` threads of this processor do a second, measured for
/// some 20 ms on operands that stay in the first cache: the ceiling of dense columns.
[[nodiscard]] double measure_integer_peak(int threads);

}  // namespace phylo
