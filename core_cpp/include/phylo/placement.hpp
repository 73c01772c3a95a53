#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "phylo/parallel.hpp"

namespace phylo {

/// A tree by the parent of every node, -1 at the root, and the length of the branch above it.
/// Nodes 0.. are the tips, children have smaller numbers than their parents, the root is the last.
struct TreeView {
    std::span<const std::int32_t> parent;
    std::span<const double> length;
};

/// A new tip attached to the branch above each node by least squares.
struct EdgeFits {
    std::vector<double> above;     ///< the attachment's distance from the node
    std::vector<double> pendant;   ///< the new tip's distance from the attachment
    std::vector<double> residual;  ///< weighted sum of squares; inf where one side of the branch
                                   ///< has no weight, and at the root
    std::int64_t best = -1;        ///< least residual, of equals the lowest number; -1: all inf
};

/// Attaches a tip to every branch of a tree, minimising sum_i w_i (d_i - path_i)^2 over the point
/// on the branch and the tip's own length, which is at least 0. `distance`, `weight`: of the tips;
/// those of weight 0 do not count. On a branch of negative length the tip hangs at its lower end.
/// Residuals that differ by rounding alone are equal. O(nodes) time and memory.
[[nodiscard]] EdgeFits fit_edges(const TreeView& tree, std::span<const double> distance,
                                 std::span<const double> weight);

/// The best branch of many replicates, as fit_edges has it: `distances` and `weights` are
/// replicates x tips, `best` holds one node a replicate.
void best_edges(const TreeView& tree, std::span<const double> distances,
                std::span<const double> weights, std::span<std::int64_t> best, int threads,
                const StopRequest& stop = {});

}  // namespace phylo
