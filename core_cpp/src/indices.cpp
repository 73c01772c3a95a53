#include "phylo/indices.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "index_cells.hpp"
#include "index_kernels.hpp"
#include "index_lines.hpp"
#include "index_tile.hpp"

namespace phylo {

namespace {

std::size_t index_of(std::int64_t value) noexcept { return static_cast<std::size_t>(value); }

/// Models whose entries are gathered at once, and the most rows that pass over them together: a
/// block's sums take 1 MiB, and a gene's entries stay in cache while all of its rows pass.
constexpr std::int64_t kTileModels = 1024;
constexpr std::int64_t kMaxBlockRows = 128;
constexpr std::int64_t kMinBlockRows = 8;
constexpr std::int64_t kBlocksAThread = 4;

/// All that a run over a table needs, and does not change.
template <class Kernel>
struct Run {
    const AlleleTable& table;
    const IndexCells& cells;
    const Kernel& kernel;
    const Pairs& pairs;
    const LineKernels& lines;
    double scale;  ///< of every term
    bool condensed;
};

/// half_i + half_j - shared of a gene, allele by allele: right however small it is.
template <class Kernel>
double gap_between(const Run<Kernel>& run, std::int64_t gene, std::int64_t i,
                   std::int64_t j) noexcept {
    const AlleleTable& table = run.table;
    const std::int64_t gene_end = table.gene_offsets[index_of(gene) + 1];
    const auto column = [&](std::int64_t entry, std::int64_t model) {
        return entry < table.indptr[index_of(model) + 1]
                   ? std::min<std::int64_t>(table.columns[index_of(entry)], gene_end)
                   : gene_end;
    };
    std::int64_t e = run.cells.starts[run.cells.at(gene, i)];
    std::int64_t f = run.cells.starts[run.cells.at(gene, j)];
    double sum = 0.0;
    for (;;) {
        const std::int64_t c = column(e, i);
        const std::int64_t d = column(f, j);
        if (c == gene_end && d == gene_end) {
            return sum;
        }
        const double p = c <= d ? run.cells.frequencies[index_of(e++)] : 0.0;
        const double q = d <= c ? run.cells.frequencies[index_of(f++)] : 0.0;
        sum += p == q ? 0.0 : Kernel::gap(p, q);
    }
}

/// A block of rows against a tile: sums[r * tile width + j], and one row's shared parts.
struct Block {
    std::int64_t row_begin = 0;
    std::int64_t row_end = 0;
    std::vector<double> sums;
    std::vector<double> shared;
};

/// First model of a tile that `row` is not compared with, relative to the tile.
template <class Kernel>
std::int32_t limit_of(const Pairs& pairs, const Tile<Kernel>& tile, std::int64_t row) noexcept {
    const std::int64_t end = pairs.symmetric ? std::min(row, tile.end) : tile.end;
    return static_cast<std::int32_t>(std::max<std::int64_t>(0, end - tile.begin));
}

/// Adds a row's terms of one gene to its sums. A pair's shared part runs over columns in order,
/// and its sum over genes in order, so its bits depend on the two models alone.
template <bool kRoot, class Kernel>
void add_gene(const Run<Kernel>& run, const Tile<Kernel>& tile, std::int64_t gene, std::int64_t row,
              double* shared, double* sums) {
    const std::int32_t limit = limit_of(run.pairs, tile, row);
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
    const double own = run.cells.halves[run.cells.at(gene, row)];
    const double* half = run.cells.halves.data() + run.cells.at(gene, tile.begin);
    const auto add_terms = kRoot ? run.lines.add_roots : run.lines.add_terms;
    if (!add_terms(sums, shared, half, own, limit)) {
        return;
    }
    for (std::int32_t j = 0; j < limit; ++j) {
        if (is_cancelled(own + half[j], shared[j])) {
            const double gap = gap_between(run, gene, row, tile.begin + j);
            sums[j] += kRoot ? std::sqrt(gap) : gap;
        }
    }
}

/// Genes go outermost, so that a gene's entries stay in cache while all rows pass over them.
template <bool kRoot, class Kernel>
void accumulate(const Run<Kernel>& run, const Tile<Kernel>& tile, Block& block) {
    block.sums.assign(index_of((block.row_end - block.row_begin) * tile.width()), 0.0);
    block.shared.resize(index_of(tile.width()));
    for (std::int64_t gene = 0; gene < run.table.n_genes(); ++gene) {
        double* sums = block.sums.data();
        for (std::int64_t row = block.row_begin; row < block.row_end; ++row) {
            add_gene<kRoot>(run, tile, gene, row, block.shared.data(), sums);
            sums += tile.width();
        }
    }
}

/// Writes a block's means, and in a square the mirror image of a symmetric call.
template <class Kernel, class Out>
void store(const Run<Kernel>& run, const Tile<Kernel>& tile, const Block& block,
           std::span<Out> out) {
    const Pairs& pairs = run.pairs;
    const std::int64_t width = pairs.columns();
    const auto mean = [&](std::int64_t row, std::int64_t j) {
        const std::int64_t common = run.cells.common_genes(row, tile.begin + j);
        const double sum = block.sums[index_of((row - block.row_begin) * tile.width() + j)];
        return static_cast<Out>(common == 0 ? std::numeric_limits<double>::quiet_NaN()
                                            : run.scale * sum / static_cast<double>(common));
    };
    if (!pairs.symmetric) {
        for (std::int64_t row = block.row_begin; row < block.row_end; ++row) {
            const std::int64_t at =
                (row - pairs.row_begin) * width + tile.begin - pairs.column_begin;
            for (std::int64_t j = 0; j < tile.width(); ++j) {
                out[index_of(at + j)] = mean(row, j);
            }
        }
        return;
    }
    // Above the diagonal the values of one column model lie side by side.
    for (std::int64_t column = tile.begin; column < std::min(tile.end, block.row_end); ++column) {
        const std::int64_t upper =
            run.condensed ? column * (2 * width - column - 1) / 2 - column - 1 : column * width;
        for (std::int64_t row = std::max(block.row_begin, column + 1); row < block.row_end; ++row) {
            const Out value = mean(row, column - tile.begin);
            out[index_of(upper + row)] = value;
            if (!run.condensed) {
                out[index_of(row * width + column)] = value;
            }
        }
    }
}

template <bool kRoot, class Kernel, class Out>
void run_tiles(const Run<Kernel>& run, int threads, std::span<Out> out, const StopRequest& stop) {
    const Pairs& pairs = run.pairs;
    const std::int64_t shares =
        kBlocksAThread * threads_for(std::numeric_limits<std::int64_t>::max(), threads);
    for (std::int64_t begin = pairs.column_begin; begin < pairs.column_end; begin += kTileModels) {
        const std::int64_t end = std::min(begin + kTileModels, pairs.column_end);
        const Tile<Kernel> tile(run.table, run.cells, run.kernel, begin, end, threads, stop);
        const std::int64_t first = pairs.symmetric ? begin : pairs.row_begin;
        const std::int64_t rows = pairs.row_end - first;
        const std::int64_t block_rows =
            std::clamp((rows + shares - 1) / shares, kMinBlockRows, kMaxBlockRows);
        const std::int64_t blocks = (rows + block_rows - 1) / block_rows;
        std::vector<Block> workers(index_of(threads_for(blocks, threads)));
        const auto work = [&](std::int64_t task, int worker) {
            Block& block = workers[index_of(worker)];
            // The first rows of a symmetric call have the fewest columns: they go last.
            block.row_begin = first + (blocks - 1 - task) * block_rows;
            block.row_end = std::min(block.row_begin + block_rows, pairs.row_end);
            accumulate<kRoot>(run, tile, block);
            store(run, tile, block, out);
        };
        parallel_for(blocks, threads, work, stop);
    }
}

}  // namespace

template <class Out>
void genetic_distance(const AlleleTable& table, const Pairs& pairs, Index index, bool condensed,
                      int threads, std::span<Out> out, const StopRequest& stop) {
    const IndexCells cells(table, index, threads, stop);
    const auto run = [&]<bool kRoot, class Kernel>(const Kernel& kernel, double scale) {
        const Run<Kernel> all{.table = table,
                              .cells = cells,
                              .kernel = kernel,
                              .pairs = pairs,
                              .lines = chosen_line_kernels(),
                              .scale = scale,
                              .condensed = condensed};
        run_tiles<kRoot>(all, threads, out, stop);
    };
    if (index == Index::da) {
        run.template operator()<false>(Products<true>(cells), 1.0);
    } else if (index == Index::chord) {
        run.template operator()<true>(Products<true>(cells),
                                      2 * std::numbers::sqrt2 / std::numbers::pi);
    } else if (index == Index::rogers) {
        run.template operator()<true>(Products<false>(cells), 1.0);
    } else if (const auto lookup = LookedUpEntropies::find(cells)) {
        run.template operator()<false>(*lookup, 1.0);
    } else {
        run.template operator()<false>(Entropies(cells), 1.0);
    }
    for (std::int64_t i = 0; pairs.symmetric && !condensed && i < pairs.rows(); ++i) {
        out[index_of(i * pairs.columns() + i)] = 0;
    }
}

template void genetic_distance<float>(const AlleleTable&, const Pairs&, Index, bool, int,
                                      std::span<float>, const StopRequest&);
template void genetic_distance<double>(const AlleleTable&, const Pairs&, Index, bool, int,
                                       std::span<double>, const StopRequest&);

}  // namespace phylo
