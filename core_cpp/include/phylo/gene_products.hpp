#pragma once

#include <cstdint>
#include <vector>

#include "phylo/allele_table.hpp"
#include "phylo/parallel.hpp"
#include "phylo/similarity.hpp"

namespace phylo {

/// What the identities of one model with all others are sums of, gene by gene.
///
/// With weights w of the genes, sums running over those that both models have,
/// S_j = sum_g w_g N_jg / sqrt(scale_i sum_g w_g J_ig x scale_j sum_g w_g J_jg). Of an integer
/// table (one n a model) N and J are whole numbers.
struct GeneProducts {
    std::vector<double> numerators;     ///< N: models x genes
    std::vector<double> terms;          ///< J: models x genes; 0 where the cell is missing
    std::vector<std::uint8_t> present;  ///< models x genes
    std::vector<double> scales;         ///< of each model
};

/// Products of model `model` with every model of the table, itself included.
/// Requires that under `unbiased` no sampled cell has a single probe. Throws InputError when a
/// numerator of an integer table might exceed kExactLimit. O(nnz + models x genes) time; beside the
/// result 8 bytes a column and as much again as the result.
[[nodiscard]] GeneProducts gene_products(const AlleleTable& table, std::int64_t model,
                                         Estimator estimator, int threads,
                                         const StopRequest& stop = {});

}  // namespace phylo
