#include "phylo/f_statistics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "index_cells.hpp"
#include "index_kernels.hpp"
#include "index_lines.hpp"
#include "index_tile.hpp"

namespace phylo {

namespace {

std::size_t index_of(std::int64_t value) noexcept { return static_cast<std::size_t>(value); }

/// As for the indices: a block's sums take 1 MiB, a gene's entries stay in cache.
constexpr std::int64_t kTileModels = 1024;
constexpr std::int64_t kMinBlockRows = 8;
constexpr std::int64_t kBlocksAThread = 4;

/// Place of the pair (i, i + 1) among the pairs i < j by rows, less i + 1: add j for (i, j).
std::int64_t pairs_before(std::int64_t models, std::int64_t i) noexcept {
    return i * (2 * models - i - 1) / 2 - i - 1;
}

/// Cells as f2 reads them: the values are sqrt(w) p, or sqrt p; the halves unbiased sums of w p^2.
class ReadF2 {
   public:
    ReadF2(const AlleleTable& table, const F2Terms& terms) : table_(table), terms_(terms) {}

    double operator()(const Cell& cell, std::vector<double>& to) const {
        if (terms_.roots) {
            return read_roots(cell, to);
        }
        const auto n = static_cast<double>(probes_in(table_, cell));
        const auto m = static_cast<double>(draws_in(table_, cell));
        double sum = 0.0;
        for (std::int64_t e = cell.begin; e < cell.end; ++e) {
            const std::size_t at = index_of(e);
            const double weight = terms_.weights[index_of(table_.columns[at])];
            const double p = n > 0 ? table_.counts[at] / n : table_.probabilities[at];
            to[at] = std::sqrt(weight) * p;
            sum += weight * square(cell, at, n, m, p);
        }
        return sum;
    }

   private:
    double read_roots(const Cell& cell, std::vector<double>& to) const {
        double sum = 0.0;
        for (std::int64_t e = cell.begin; e < cell.end; ++e) {
            const double p = table_.probabilities[index_of(e)];
            to[index_of(e)] = std::sqrt(p);
            sum += p;
        }
        return sum;
    }

    /// Unbiased for the square of an allele's frequency; nothing cancels.
    [[nodiscard]] double square(const Cell& cell, std::size_t at, double n, double m,
                                double p) const noexcept {
        if (n > 0) {
            const double count = table_.counts[at];
            return count / n * ((count - 1) / (n - 1));
        }
        if (cell.undecided == 0.0) {
            return p * p;
        }
        const double decided = table_.decided[at];
        const double draws = table_.draws[at];
        const double f = m > 0 ? draws / m : 0.0;
        const double repeated = draws > 0 ? f * ((draws - 1) / (m - 1)) : 0.0;
        return decided * (decided + 2 * cell.undecided * f) +
               cell.undecided * cell.undecided * repeated;
    }

    const AlleleTable& table_;
    const F2Terms& terms_;
};

/// All that a run over a table needs, and does not change.
struct Run {
    const AlleleTable& table;
    const IndexCells& cells;
    const Products<false>& kernel;
    const F2Terms& terms;
    const LineKernels& lines;
};

using Columns = Tile<Products<false>>;

/// Rows against a tile's models before them: pairs (tile.begin + j, row), j below limit(row).
struct Rows {
    std::int64_t begin = 0;
    std::int64_t end = 0;
    std::vector<double> sums;  ///< of the genes of the block at hand
    std::vector<double> shared;

    [[nodiscard]] static std::int32_t limit(const Columns& tile, std::int64_t row) noexcept {
        return static_cast<std::int32_t>(
            std::max<std::int64_t>(0, std::min(row, tile.end) - tile.begin));
    }
    [[nodiscard]] std::size_t at(const Columns& tile, std::int64_t row) const noexcept {
        return index_of((row - begin) * tile.width());
    }
};

/// Adds a row's terms of one gene. A pair's products run over columns in order, its terms over
/// genes in order, so its bits depend on the two models alone.
void add_gene(const Run& run, const Columns& tile, std::int64_t gene, std::int64_t row,
              double* shared, double* sums) {
    const std::int32_t limit = Rows::limit(tile, row);
    if (run.cells.missing(gene, row) || limit == 0) {
        return;
    }
    std::fill_n(shared, limit, 0.0);
    const std::int64_t gene_end = run.table.gene_offsets[index_of(gene) + 1];
    const std::int64_t row_end = run.table.indptr[index_of(row) + 1];
    for (std::int64_t e = run.cells.starts[run.cells.at(gene, row)];
         e < row_end && run.table.columns[index_of(e)] < gene_end; ++e) {
        tile.add_shared(run.table, run.kernel, run.lines, e, limit, shared);
    }
    run.lines.add_squares(sums, shared, run.cells.halves.data() + run.cells.at(gene, tile.begin),
                          run.cells.halves[run.cells.at(gene, row)], limit);
}

/// Writes the sums of each block where they belong.
class BlockSink {
   public:
    static constexpr std::int64_t kMaxRows = 128;
    BlockSink(const Run& run, std::span<double> out) : run_(run), out_(out) {}

    struct Held {};
    void begin(const Columns& /*tile*/, const Rows& /*rows*/, Held& /*held*/) const {}
    void end(const Columns& /*tile*/, const Rows& /*rows*/, Held& /*held*/) const {}
    void take(const Columns& tile, const Rows& rows, std::int64_t block, Held& /*held*/) const {
        const std::int64_t models = run_.table.n_models();
        const auto blocks = static_cast<std::int64_t>(run_.terms.block_ends.size());
        for (std::int64_t row = rows.begin; row < rows.end; ++row) {
            const double* sums = rows.sums.data() + rows.at(tile, row);
            for (std::int32_t j = 0; j < Rows::limit(tile, row); ++j) {
                const std::int64_t pair = pairs_before(models, tile.begin + j) + row;
                out_[index_of(pair * blocks + block)] = sums[j];
            }
        }
    }

   private:
    const Run& run_;
    std::span<double> out_;
};

/// Keeps of each pair what its mean and variance need. With x = s_b / n_b, less the first block's
/// so that nothing cancels, and v = n_b / (n - n_b): the sums of v, v x and v x^2.
class MomentSink {
   public:
    static constexpr std::int64_t kMaxRows = 64;  ///< fewer, because a pair takes more
    MomentSink(const Run& run, const F2Moments& out) : run_(run), out_(out) {}

    struct Pair {
        double genes = 0.0;   ///< n, known ahead
        double total = 0.0;   ///< of s_b
        double origin = 0.0;  ///< x of the first block
        double v = 0.0;
        double v_x = 0.0;
        double v_x_x = 0.0;
        std::int32_t blocks = 0;
    };
    struct Held {
        std::vector<Pair> pairs;
    };

    void begin(const Columns& tile, const Rows& rows, Held& held) const {
        held.pairs.assign(index_of((rows.end - rows.begin) * tile.width()), Pair{});
        for_each(tile, rows, [&](std::size_t at, std::int64_t row, std::int64_t column) {
            held.pairs[at].genes = static_cast<double>(run_.cells.common_genes(row, column));
        });
    }

    void take(const Columns& tile, const Rows& rows, std::int64_t block, Held& held) const {
        const std::int64_t first = block == 0 ? 0 : run_.terms.block_ends[index_of(block) - 1];
        const std::int64_t last = run_.terms.block_ends[index_of(block)];
        const auto genes = static_cast<double>(run_.table.n_genes());
        const auto size = static_cast<double>(last - first);
        const double v = size / (genes - size);
        for_each(tile, rows, [&](std::size_t at, std::int64_t row, std::int64_t column) {
            Pair& pair = held.pairs[at];
            if (pair.genes == genes) {
                add(pair, rows.sums[at], size, v);
                return;
            }
            double n = 0.0;
            for (std::int64_t g = first; g < last; ++g) {
                n += run_.cells.missing(g, row) || run_.cells.missing(g, column) ? 0.0 : 1.0;
            }
            if (n > 0) {
                add(pair, rows.sums[at], n, n / (pair.genes - n));
            }
        });
    }

    void end(const Columns& tile, const Rows& rows, Held& held) const {
        const std::int64_t models = run_.table.n_models();
        for_each(tile, rows, [&](std::size_t at, std::int64_t row, std::int64_t column) {
            const Pair& pair = held.pairs[at];
            const std::size_t place = index_of(pairs_before(models, column) + row);
            const double nan = std::numeric_limits<double>::quiet_NaN();
            const double mean = pair.total / pair.genes;  // 0 / 0 is NaN
            const double shift = mean - pair.origin;
            const double sum = pair.v_x_x - 2 * shift * pair.v_x + shift * shift * pair.v;
            out_.estimates[place] = mean;
            out_.variances[place] = pair.blocks < 2 ? nan : std::max(0.0, sum) / pair.blocks;
            out_.genes[place] = static_cast<std::int32_t>(pair.genes);
            out_.blocks[place] = pair.blocks;
        });
    }

   private:
    static void add(Pair& pair, double sum, double n, double v) noexcept {
        const double x = n == 1 ? sum : sum / n;
        if (pair.blocks++ == 0) {
            pair.origin = x;
        }
        const double apart = x - pair.origin;
        pair.total += sum;
        pair.v += v;
        pair.v_x += v * apart;
        pair.v_x_x += v * apart * apart;
    }

    template <class Visit>
    static void for_each(const Columns& tile, const Rows& rows, const Visit& visit) {
        for (std::int64_t row = rows.begin; row < rows.end; ++row) {
            for (std::int32_t j = 0; j < Rows::limit(tile, row); ++j) {
                visit(rows.at(tile, row) + index_of(j), row, tile.begin + j);
            }
        }
    }

    const Run& run_;
    const F2Moments& out_;
};

/// Genes go outermost, so that a gene's entries stay in cache while all rows pass over them.
template <class Sink>
void accumulate(const Run& run, const Columns& tile, Rows& rows, const Sink& sink,
                typename Sink::Held& held) {
    rows.shared.resize(index_of(tile.width()));
    sink.begin(tile, rows, held);
    std::int64_t gene = 0;
    for (std::size_t block = 0; block < run.terms.block_ends.size(); ++block) {
        rows.sums.assign(index_of((rows.end - rows.begin) * tile.width()), 0.0);
        for (; gene < run.terms.block_ends[block]; ++gene) {
            for (std::int64_t row = rows.begin; row < rows.end; ++row) {
                add_gene(run, tile, gene, row, rows.shared.data(),
                         rows.sums.data() + rows.at(tile, row));
            }
        }
        sink.take(tile, rows, static_cast<std::int64_t>(block), held);
    }
    sink.end(tile, rows, held);
}

template <class MakeSink>
void for_all_pairs(const AlleleTable& table, const F2Terms& terms, int threads,
                   const StopRequest& stop, const MakeSink& make_sink) {
    const IndexCells cells(table, ReadF2(table, terms), threads, stop);
    const Products<false> kernel(cells);
    const Run run{.table = table,
                  .cells = cells,
                  .kernel = kernel,
                  .terms = terms,
                  .lines = chosen_line_kernels()};
    const auto sink = make_sink(run);
    using Sink = std::remove_const_t<decltype(sink)>;
    using Held = typename Sink::Held;
    const std::int64_t models = table.n_models();
    const std::int64_t shares =
        kBlocksAThread * threads_for(std::numeric_limits<std::int64_t>::max(), threads);
    for (std::int64_t begin = 0; begin < models; begin += kTileModels) {
        const Columns tile(table, cells, kernel, begin, std::min(begin + kTileModels, models),
                           threads, stop);
        const std::int64_t rows = models - begin;
        const std::int64_t block_rows =
            std::clamp((rows + shares - 1) / shares, kMinBlockRows, Sink::kMaxRows);
        const std::int64_t tasks = (rows + block_rows - 1) / block_rows;
        const std::size_t n_workers = index_of(threads_for(tasks, threads));
        std::vector<Rows> workers(n_workers);
        std::vector<Held> held(n_workers);
        const auto work = [&](std::int64_t task, int worker) {
            Rows& own = workers[index_of(worker)];
            // The first rows have the fewest columns: they go last.
            own.begin = begin + (tasks - 1 - task) * block_rows;
            own.end = std::min(own.begin + block_rows, models);
            accumulate(run, tile, own, sink, held[index_of(worker)]);
        };
        parallel_for(tasks, threads, work, stop);
    }
}

}  // namespace

void f2_blocks(const AlleleTable& table, const F2Terms& terms, int threads, std::span<double> out,
               const StopRequest& stop) {
    for_all_pairs(table, terms, threads, stop, [&](const Run& run) { return BlockSink(run, out); });
}

void f2_moments(const AlleleTable& table, const F2Terms& terms, int threads, const F2Moments& out,
                const StopRequest& stop) {
    for_all_pairs(table, terms, threads, stop,
                  [&](const Run& run) { return MomentSink(run, out); });
}

}  // namespace phylo
