#pragma once

#include <cstdint>
#include <span>

#include "phylo/allele_table.hpp"
#include "phylo/parallel.hpp"

namespace phylo {

/// What f2 is summed over, and how its genes are laid into blocks.
///
/// A gene's term for models of frequencies p and q is sum_a w_a (p_a - q_a)^2, of which what
/// sampling adds has been taken out: an unbiased sum_a w_a (p_a^2 + q_a^2 - 2 p_a q_a), where
/// p^2 of a sampled cell is c (c - 1) / (n (n - 1)), of a hybrid one q (q + 2 r f) +
/// r^2 d (d - 1) / (m (m - 1)), and of an exact one p^2. With `roots` the frequencies
/// are replaced by their roots, which only exact cells allow.
struct F2Terms {
    std::span<const double> weights;           ///< of each column
    std::span<const std::int64_t> block_ends;  ///< last gene + 1 of each block, ascending
    bool roots = false;
};

/// Sums of f2 over the genes of each block, for all pairs of models.
///
/// `out` is pairs x blocks, pairs i < j by rows; a gene that a model of the pair lacks adds
/// nothing. Every sampled cell must have two probes and every hybrid one two draws. A pair's bits
/// depend on its two models, the weights, and the order of genes alone. O(pairs x genes + sum over
/// columns of models-having-it squared) time; at most 16 bytes a cell, 16 a column and 32 an entry
/// of memory beside `out`, and 1 MiB a thread. Throws Interrupted when asked to stop.
void f2_blocks(const AlleleTable& table, const F2Terms& terms, int threads, std::span<double> out,
               const StopRequest& stop = {});

/// f2 of all pairs, condensed as the pairs of f2_blocks.
struct F2Moments {
    std::span<double> estimates;
    std::span<double> variances;
    std::span<std::int32_t> genes;   ///< that both models have
    std::span<std::int32_t> blocks;  ///< that have any of them
};

/// Means of f2 over genes and their variances by the jackknife over blocks, for all pairs.
///
/// With s_b the sum over the n_b genes of block b that both models have, n their sum and g
/// the blocks that have any: f2 = sum_b s_b / n and, the delete-one-block jackknife for blocks of
/// unequal sizes (Busing, Meijer & van der Leeden 1999), var = 1/g sum_b n_b / (n - n_b)
/// (s_b / n_b - f2)^2. NaN without a gene in common; a variance is NaN where fewer than two blocks
/// have one. Time as f2_blocks, memory 5 MiB a thread. Throws Interrupted when asked to stop.
void f2_moments(const AlleleTable& table, const F2Terms& terms, int threads, const F2Moments& out,
                const StopRequest& stop = {});

}  // namespace phylo
