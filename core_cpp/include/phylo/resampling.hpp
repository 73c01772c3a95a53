#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "phylo/allele_table.hpp"
#include "phylo/buffer.hpp"
#include "phylo/parallel.hpp"
#include "phylo/similarity.hpp"

namespace phylo {

/// What spread of the replicates an error is taken from.
enum class ErrorMethod {
    bootstrap,  ///< Efron (1979): the standard deviation, divisor replicates - 1
    jackknife,  ///< Quenouille-Tukey; blocks of unequal size as Busing et al. (1999) have it
};

/// Where the errors of every pair go, each of n_pairs, pairs as in a condensed matrix. Of S and
/// of D: the estimate from all genes, its bias and its standard error.
struct ErrorArrays {
    std::span<double> similarity;
    std::span<double> similarity_bias;
    std::span<double> similarity_error;
    std::span<double> distance;
    std::span<double> distance_bias;
    std::span<double> distance_error;
};

class ResamplingPlan;

/// Nei's identities of all pairs of models, over and over with other weights of the genes.
///
/// S_b = sum_g w_bg N_g / sqrt(sum_g w_bg J_ig x sum_g w_bg J_jg), sums over the genes that both
/// models have; NaN where a self term is zero, so too where no common gene has a weight. The
/// numerators N_g of a tile of pairs are formed once, gene by gene, and then multiplied with the
/// weights as a matrix. Sums over an integer table are exact integers: weights of one give the
/// bits of nei_similarity, and no thread number, block of replicates or instruction set changes
/// any. Over a float table a sum's relative error is below 2^-53 x (4 + genes + alleles of a gene).
/// O(pairs x genes x replicates) time; memory beside the results: the common alleles as a dense
/// matrix, 8 bytes a replicate and model, and a few MiB a thread.
class Resampling {
   public:
    /// Keeps a reference to the table. `weights`: n_replicates x genes, row-major, none negative.
    /// Requires that under `unbiased` no sampled cell has a single probe. Throws InputError when a
    /// weighted numerator might exceed kExactLimit.
    Resampling(const AlleleTable& table, Estimator estimator, std::span<const std::int64_t> weights,
               std::int64_t n_replicates, const Claim& claim = {});
    ~Resampling();
    Resampling(const Resampling&) = delete;
    Resampling& operator=(const Resampling&) = delete;
    Resampling(Resampling&&) noexcept;
    Resampling& operator=(Resampling&&) noexcept;

    [[nodiscard]] std::int64_t n_pairs() const noexcept;
    [[nodiscard]] std::int64_t n_replicates() const noexcept;

    /// S of the replicates from `first` on, as many as `out` holds: replicates x n_pairs, pairs in
    /// the order of the upper triangle by rows. With a floor above 0, the distance
    /// -log(max(S, floor)).
    void replicates(std::int64_t first, double floor, int threads, std::span<float> out,
                    const StopRequest& stop = {}) const;
    void replicates(std::int64_t first, double floor, int threads, std::span<double> out,
                    const StopRequest& stop = {}) const;

    /// Errors of S and D from all replicates, of which none is stored. The first replicate must
    /// be the estimate itself: weights of one. A jackknife's weights are 0 or 1, and each gene is
    /// left out of one of the other replicates; blocks that a pair does not share do not count.
    /// Replicates of a bootstrap that are NaN are left out.
    void errors(ErrorMethod method, double floor, int threads, const ErrorArrays& out,
                const StopRequest& stop = {}) const;

   private:
    std::unique_ptr<const ResamplingPlan> plan_;
};

}  // namespace phylo
