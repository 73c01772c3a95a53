#include <algorithm>
#include <limits>

#include "fetch_line.hpp"
#include "phylo/similarity_plan.hpp"

namespace phylo {

namespace {

std::size_t index(std::int64_t value) noexcept { return static_cast<std::size_t>(value); }

/// More runs than this would cost more memory than they save time.
constexpr int kMostRuns = 8;

/// Bytes that a block of genes may touch: about a second cache.
constexpr std::int64_t kBlockBytes = std::int64_t{2} << 20U;
/// Fewer entries of a model in a block are not worth coming back to it.
constexpr std::int64_t kLeastBlockEntries = 512;

/// Cuts models into runs of whole panels.
void cut(std::vector<TableScan::Run>& runs, std::int64_t begin, std::int64_t end, bool rows,
         bool columns, int threads) {
    const std::int64_t panels = (end - begin + kTileColumns - 1) / kTileColumns;
    const std::int64_t parts = std::min(threads_for(panels, threads), kMostRuns);
    for (std::int64_t part = 0; part < parts; ++part) {
        runs.push_back({.begin = begin + panels * part / parts * kTileColumns,
                        .end = std::min(end, begin + panels * (part + 1) / parts * kTileColumns),
                        .rows = rows,
                        .columns = columns,
                        .holders = {}});
    }
}

/// What a thread finds in its run.
struct Findings {
    std::vector<std::int64_t> gene_probes;  ///< the largest n of each gene
    std::int64_t largest_count = 0;
    std::int64_t largest_bound = 0;
    std::int64_t cells = 0;
    bool integer = true;
};

std::int64_t saturating_add(std::int64_t a, std::int64_t b) noexcept {
    return a > std::numeric_limits<std::int64_t>::max() - b
               ? std::numeric_limits<std::int64_t>::max()
               : a + b;
}

/// n^2 of a cell; n itself may exceed 32 bits.
std::int64_t saturating_square(std::int64_t n) noexcept {
    return n > std::int64_t{3037000499} ? std::numeric_limits<std::int64_t>::max() : n * n;
}

/// Scans a run of models, some genes at a time for all of them, so that the holders counted in
/// stay in a cache.
class RunScanner {
   public:
    RunScanner(const AlleleTable& table, TableScan::Run& run, TableScan& scan)
        : table_(table),
          run_(run),
          scan_(scan),
          next_(table.indptr.begin() + run.begin, table.indptr.begin() + run.end),
          bounds_(index(run.end - run.begin), 0) {
        found_.gene_probes.assign(index(table.n_genes()), 0);
        run_.holders = Buffer<std::int32_t>(table.n_columns());
    }

    Findings scan() {
        const std::vector<std::int64_t> blocks =
            cut_genes(table_, table_.n_columns() * std::int64_t{sizeof(std::int32_t)});
        for (std::size_t b = 0; b + 1 < blocks.size(); ++b) {
            const std::int64_t first = table_.gene_offsets[index(blocks[b])];
            const std::int64_t end = table_.gene_offsets[index(blocks[b + 1])];
            std::fill_n(run_.holders.data() + first, end - first, 0);
            for (std::int64_t m = run_.begin; m < run_.end; ++m) {
                fetch_model(m + kModelsAhead);
                scan_model(m, blocks[b], end);
            }
        }
        for (std::int64_t m = run_.begin; m < run_.end; ++m) {
            found_.integer = found_.integer && scan_.probes[index(m)] >= 0;
            found_.largest_bound = std::max(found_.largest_bound, bounds_[index(m - run_.begin)]);
        }
        return std::move(found_);
    }

   private:
    /// Asks for a model's next entries, which lie far from those of the model before.
    void fetch_model(std::int64_t m) const noexcept {
        if (m < run_.end) {
            const std::int64_t e = next_[index(m - run_.begin)];
            fetch_line(table_.columns.data() + e);
            fetch_line(table_.columns.data() + e, 1);
            fetch_line(table_.counts.data() + e);
            fetch_line(table_.counts.data() + e, 1);
        }
    }

    /// A model's entries from where it was left up to a column; `gene` is the first of theirs.
    void scan_model(std::int64_t m, std::int64_t gene, std::int64_t end_column) {
        const std::int32_t* columns = table_.columns.data();
        const std::int32_t* counts = table_.counts.data();
        std::int32_t* holders = run_.holders.data();
        std::int64_t& one_n = scan_.probes[index(m)];
        std::int64_t& bound = bounds_[index(m - run_.begin)];
        std::uint64_t squares = 0;  // wraps only where the bound refuses the table
        std::int32_t largest = 0;
        std::int64_t e = next_[index(m - run_.begin)];
        const std::int64_t row_end = table_.indptr[index(m) + 1];
        while (e < row_end && columns[e] < end_column) {
            while (table_.gene_offsets[index(gene) + 1] <= columns[e]) {
                ++gene;
            }
            const std::int64_t gene_end = table_.gene_offsets[index(gene) + 1];
            std::int64_t n = 0;
            for (; e < row_end && columns[e] < gene_end; ++e) {
                const std::int32_t count = counts[e];
                n += count;
                squares += static_cast<std::uint64_t>(std::int64_t{count} * count);
                largest = std::max(largest, count);
                ++holders[columns[e]];
            }
            // An exact cell has no probes: its model is not of one n.
            one_n = n == 0 || (one_n != 0 && one_n != n) ? -1 : n;
            bound = saturating_add(bound, saturating_square(n));
            std::int64_t& most = found_.gene_probes[index(gene)];
            most = std::max(most, n);
            ++found_.cells;
        }
        next_[index(m - run_.begin)] = e;
        std::int64_t& sum = scan_.squares[index(m)];
        sum = static_cast<std::int64_t>(static_cast<std::uint64_t>(sum) + squares);
        found_.largest_count = std::max<std::int64_t>(found_.largest_count, largest);
    }

    const AlleleTable& table_;
    TableScan::Run& run_;
    TableScan& scan_;
    std::vector<std::int64_t> next_;    ///< first entry of each model that is not yet scanned
    std::vector<std::int64_t> bounds_;  ///< of each model's numerators
    Findings found_;
};

}  // namespace

std::vector<std::int64_t> cut_genes(const AlleleTable& table, std::int64_t bytes) {
    const std::int64_t entries = table.nnz() / std::max<std::int64_t>(1, table.n_models());
    const std::int64_t blocks =
        std::clamp<std::int64_t>(std::min(bytes / kBlockBytes, entries / kLeastBlockEntries), 1,
                                 std::max<std::int64_t>(1, table.n_genes()));
    std::vector<std::int64_t> begins;
    for (std::int64_t b = 0; b <= blocks; ++b) {
        begins.push_back(table.n_genes() * b / blocks);
    }
    return begins;
}

TableScan scan(const AlleleTable& table, const Pairs& pairs, int threads, const StopRequest& stop) {
    TableScan result;
    result.probes.assign(index(table.n_models()), 0);
    result.squares.assign(index(table.n_models()), 0);
    cut(result.runs, pairs.row_begin, pairs.row_end, true, pairs.one_side(), threads);
    if (!pairs.one_side()) {
        cut(result.runs, pairs.column_begin, pairs.column_end, false, true, threads);
    }
    std::vector<Findings> findings(result.runs.size());
    parallel_for(
        static_cast<std::int64_t>(result.runs.size()), threads,
        [&](std::int64_t run, int) {
            findings[index(run)] = RunScanner(table, result.runs[index(run)], result).scan();
        },
        stop);

    std::vector<std::int64_t> most_of_rows(index(table.n_genes()), 0);
    std::vector<std::int64_t> most_of_columns(index(table.n_genes()), 0);
    std::int64_t cells = 0;
    for (std::size_t r = 0; r < result.runs.size(); ++r) {
        const Findings& found = findings[r];
        result.integer = result.integer && found.integer;
        result.numerator_bound = std::max(result.numerator_bound, found.largest_bound);
        cells += found.cells;
        const auto raise = [&](std::vector<std::int64_t>& most, std::int64_t& largest) {
            largest = std::max(largest, found.largest_count);
            for (std::size_t g = 0; g < most.size(); ++g) {
                most[g] = std::max(most[g], found.gene_probes[g]);
            }
        };
        if (result.runs[r].rows) {
            raise(most_of_rows, result.largest_row_count);
        }
        if (result.runs[r].columns) {
            raise(most_of_columns, result.largest_column_count);
        }
    }
    const std::int64_t models = pairs.rows() + (pairs.one_side() ? 0 : pairs.columns());
    result.ragged = cells != models * table.n_genes();
    for (std::size_t g = 0; g < most_of_rows.size(); ++g) {
        const std::int64_t a = most_of_rows[g];
        const std::int64_t b = most_of_columns[g];
        const bool fits = a == 0 || b <= std::numeric_limits<std::int64_t>::max() / a;
        result.gene_bounds.push_back(fits ? a * b : std::numeric_limits<std::int64_t>::max());
    }
    return result;
}

}  // namespace phylo
