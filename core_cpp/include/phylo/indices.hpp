#pragma once

#include <cstdint>
#include <span>

#include "phylo/allele_table.hpp"
#include "phylo/parallel.hpp"
#include "phylo/similarity.hpp"

namespace phylo {

/// A genetic distance that is taken gene by gene; p and q are two models' frequencies.
enum class Index {
    da,      ///< sum (sqrt p - sqrt q)^2 / 2 = 1 - sum sqrt(p q) (Nei, Tajima & Tateno 1983)
    chord,   ///< 2 / pi sqrt(sum (sqrt p - sqrt q)^2) (Cavalli-Sforza & Edwards 1967)
    rogers,  ///< sqrt(sum (p - q)^2 / 2) (Rogers 1972)
    jsd,     ///< Jensen-Shannon divergence in bits (Lin 1991)
};

/// The mean of an index over the genes that both models of a pair have; NaN where there is none.
///
/// `out` is row-major, `pairs.rows()` x `pairs.columns()`, with a diagonal of 0 where the call is
/// symmetric; or, `condensed`, the upper triangle of a symmetric call by rows. Every sum runs
/// over listed alleles alone, so the mass that was pruned from an exact cell adds nothing and
/// cells with the same frequencies add exactly 0.
///
/// A gene's term is right to 512 (k + 8) 2^-53 relative for the frequencies as doubles, k the
/// alleles of a cell: terms that cancel are taken again, allele by allele. A pair's bits depend on
/// its two models and the order of genes alone: not on other models, which of the pair comes first,
/// threads, blocks or instruction set. O(pairs x genes + sum over columns of rows-having-it x
/// columns-having-it) time; at most 16 bytes a cell, 16 a column and 32 an entry of memory beside
/// `out`, and 1 MiB a thread. `Out` is float or double. Throws Interrupted when asked to stop.
template <class Out>
void genetic_distance(const AlleleTable& table, const Pairs& pairs, Index index, bool condensed,
                      int threads, std::span<Out> out, const StopRequest& stop = {});

}  // namespace phylo
