#include "phylo/placement.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace phylo {

namespace {

/// Residuals that differ by less are equal: relative to the least, and to the sum of squares.
constexpr double kRelative = 1e-10;
constexpr double kAbsolute = 1e-24;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::size_t index(std::int64_t value) noexcept { return static_cast<std::size_t>(value); }

/// One side of a branch: the total weight of its tips, the weighted mean of what is left of their
/// distances to the new tip when the path to a node is taken off, and the weighted sum of squares
/// about that mean.
///
/// Walking over a branch takes its length off the mean and leaves the rest; two sides are put
/// together by adding weights, squares, and the squares between their means. Nothing is subtracted
/// from a sum of squares, so no digits cancel however deep the tree. After Balaban et al. (2020),
/// Syst. Biol. 69:566 (APPLES), whose sums are of raw squares.
struct Side {
    double weight = 0.0;
    double mean = 0.0;
    double scatter = 0.0;

    void add(const Side& other) noexcept {
        if (other.weight == 0.0) {
            return;
        }
        const double together = weight + other.weight;
        const double share = other.weight / together;
        const double apart = other.mean - mean;
        scatter += other.scatter + weight * share * apart * apart;
        mean += share * apart;
        weight = together;
    }
    /// The same tips, seen from the other end of a branch.
    [[nodiscard]] Side beyond(double length) const noexcept {
        return {.weight = weight, .mean = mean - length, .scatter = scatter};
    }
};

struct Attachment {
    double above = 0.0;
    double pendant = 0.0;
    double excess = 0.0;  ///< what is added to the scatter of both sides
};

/// Minimises wa (ma - x - y)^2 + wb (mb - length + x - y)^2 over 0 <= x <= length and y >= 0, for
/// sides seen from the ends of the branch. It is convex: a minimum outside lies on a border.
Attachment attach(const Side& below, const Side& outside, double length) noexcept {
    const double near = below.mean;
    const double far = outside.mean - length;
    const double longest = std::max(length, 0.0);
    const double x = (near - far) / 2.0;
    const double y = (near + far) / 2.0;
    if (x >= 0.0 && x <= longest && y >= 0.0) {
        return {.above = x, .pendant = y, .excess = 0.0};
    }
    const auto at = [&](double above, double pendant) {
        const double a = near - above - pendant;
        const double b = far + above - pendant;
        return Attachment{.above = above,
                          .pendant = pendant,
                          .excess = below.weight * a * a + outside.weight * b * b};
    };
    const double total = below.weight + outside.weight;
    const double level = (below.weight * near - outside.weight * far) / total;
    Attachment best = at(std::clamp(level, 0.0, longest), 0.0);
    for (const double end : {0.0, longest}) {
        const double height = (below.weight * (near - end) + outside.weight * (far + end)) / total;
        const Attachment other = at(end, std::max(height, 0.0));
        if (other.excess < best.excess) {
            best = other;
        }
    }
    return best;
}

/// What one replicate needs; kept from one to the next.
class Walk {
   public:
    explicit Walk(const TreeView& tree)
        : tree_(tree),
          below_(tree.parent.size()),
          outside_(tree.parent.size()),
          later_(tree.parent.size()) {}

    /// Sums up both sides of every branch, then calls visit(node, attachment, residual) for those
    /// with weight on both, nodes ascending.
    template <class Visit>
    void run(std::span<const double> distance, std::span<const double> weight, Visit&& visit) {
        sum_sides(distance, weight);
        for (std::size_t v = 0; v + 1 < below_.size(); ++v) {
            if (below_[v].weight > 0.0 && outside_[v].weight > 0.0) {
                const Attachment found = attach(below_[v], outside_[v], tree_.length[v]);
                visit(v, found, below_[v].scatter + outside_[v].scatter + found.excess);
            }
        }
    }

   private:
    void sum_sides(std::span<const double> distance, std::span<const double> weight) {
        std::ranges::fill(below_, Side{});
        std::ranges::fill(later_, Side{});
        for (std::size_t tip = 0; tip < distance.size(); ++tip) {
            below_[tip] = {.weight = weight[tip], .mean = distance[tip], .scatter = 0.0};
        }
        const std::size_t root = below_.size() - 1;
        // Upwards: below_[p] holds the children of p so far, which are the siblings before v.
        for (std::size_t v = 0; v < root; ++v) {
            Side& above = below_[index(tree_.parent[v])];
            outside_[v] = above;
            above.add(below_[v].beyond(tree_.length[v]));
        }
        // Downwards: later_[p] holds the children of p so far, the siblings after v.
        for (std::size_t v = root; v-- > 0;) {
            const std::size_t p = index(tree_.parent[v]);
            outside_[v].add(later_[p]);
            if (p != root) {
                outside_[v].add(outside_[p].beyond(tree_.length[p]));
            }
            later_[p].add(below_[v].beyond(tree_.length[v]));
        }
    }

    TreeView tree_;
    std::vector<Side> below_;    ///< the tips below a node, seen from it
    std::vector<Side> outside_;  ///< all others, seen from its parent
    std::vector<Side> later_;
};

/// The first node whose residual is the least but for rounding; -1 where all are inf.
std::int64_t first_best(std::span<const double> residual, std::span<const double> distance,
                        std::span<const double> weight) noexcept {
    const double least = std::ranges::min(residual);
    if (!std::isfinite(least)) {
        return -1;
    }
    double squares = 0.0;
    for (std::size_t tip = 0; tip < distance.size(); ++tip) {
        squares += weight[tip] * distance[tip] * distance[tip];
    }
    const double limit = least + kRelative * least + kAbsolute * squares;
    return std::ranges::find_if(residual, [&](double value) { return value <= limit; }) -
           residual.begin();
}

}  // namespace

EdgeFits fit_edges(const TreeView& tree, std::span<const double> distance,
                   std::span<const double> weight) {
    const std::size_t nodes = tree.parent.size();
    EdgeFits fits;
    fits.above.assign(nodes, 0.0);
    fits.pendant.assign(nodes, 0.0);
    fits.residual.assign(nodes, kInfinity);
    Walk(tree).run(distance, weight, [&](std::size_t v, const Attachment& found, double residual) {
        fits.above[v] = found.above;
        fits.pendant[v] = found.pendant;
        fits.residual[v] = residual;
    });
    fits.best = first_best(fits.residual, distance, weight);
    return fits;
}

void best_edges(const TreeView& tree, std::span<const double> distances,
                std::span<const double> weights, std::span<std::int64_t> best, int threads,
                const StopRequest& stop) {
    struct Worker {
        Walk walk;
        std::vector<double> residual;
    };
    const auto tasks = static_cast<std::int64_t>(best.size());
    const std::size_t tips = best.empty() ? 0 : distances.size() / best.size();
    std::vector<Worker> workers(
        index(threads_for(tasks, threads)),
        Worker{.walk = Walk(tree), .residual = std::vector<double>(tree.parent.size())});
    const auto work = [&](std::int64_t replicate, int at) {
        Worker& worker = workers[index(at)];
        const auto distance = distances.subspan(index(replicate) * tips, tips);
        const auto weight = weights.subspan(index(replicate) * tips, tips);
        std::ranges::fill(worker.residual, kInfinity);
        worker.walk.run(distance, weight, [&](std::size_t v, const Attachment&, double residual) {
            worker.residual[v] = residual;
        });
        best[index(replicate)] = first_best(worker.residual, distance, weight);
    };
    parallel_for(tasks, threads, work, stop);
}

}  // namespace phylo
