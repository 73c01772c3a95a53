#include "phylo/similarity.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <type_traits>

#include "phylo/errors.hpp"

namespace phylo {

namespace {

std::size_t index(std::int64_t value) noexcept { return static_cast<std::size_t>(value); }

/// Bytes of accumulators that a worker keeps; half of a common L2 cache.
constexpr std::int64_t kAccumulatorBytes = std::int64_t{512} * 1024;
constexpr std::int64_t kMaxBlockRows = 64;
constexpr std::int64_t kMinBlockRows = 8;

/// Entries by column: which of the wanted column-models have an allele, and how often.
template <class Value>
struct Postings {
    std::vector<std::int64_t> offsets;
    std::vector<std::int32_t> models;  ///< relative to pairs.column_begin, ascending in a column
    std::vector<Value> values;
};

template <class Value>
Value value_of(const AlleleTable& table, std::int64_t entry) noexcept {
    if constexpr (std::is_floating_point_v<Value>) {
        if (table.has_exact() && table.counts[index(entry)] == 0) {
            return table.probabilities[index(entry)];
        }
    }
    return static_cast<Value>(table.counts[index(entry)]);
}

template <class Value>
Postings<Value> gather_postings(const AlleleTable& table, const Pairs& pairs) {
    Postings<Value> postings;
    postings.offsets.assign(index(table.n_columns()) + 1, 0);
    const std::int64_t begin = table.indptr[index(pairs.column_begin)];
    const std::int64_t end = table.indptr[index(pairs.column_end)];
    for (std::int64_t e = begin; e < end; ++e) {
        ++postings.offsets[index(table.columns[index(e)]) + 1];
    }
    for (std::size_t c = 1; c < postings.offsets.size(); ++c) {
        postings.offsets[c] += postings.offsets[c - 1];
    }
    postings.models.resize(index(end - begin));
    postings.values.resize(index(end - begin));
    std::vector<std::int64_t> cursor(postings.offsets.begin(), postings.offsets.end() - 1);
    for (std::int64_t m = pairs.column_begin; m < pairs.column_end; ++m) {
        for (std::int64_t e = table.indptr[index(m)]; e < table.indptr[index(m) + 1]; ++e) {
            const std::int64_t slot = cursor[index(table.columns[index(e)])]++;
            postings.models[index(slot)] = static_cast<std::int32_t>(m - pairs.column_begin);
            postings.values[index(slot)] = value_of<Value>(table, e);
        }
    }
    return postings;
}

/// Adds value x posting for every posting of a column whose model is below `limit`.
template <class Value, class Sum>
void add_postings(const Postings<Value>& postings, std::int64_t column, Value value,
                  std::int32_t limit, Sum* sums) noexcept {
    const std::int64_t end = postings.offsets[index(column) + 1];
    for (std::int64_t s = postings.offsets[index(column)]; s < end; ++s) {
        const std::int32_t model = postings.models[index(s)];
        if (model >= limit) {
            return;
        }
        sums[model] += static_cast<Sum>(value) * static_cast<Sum>(postings.values[index(s)]);
    }
}

/// A block of rows and the sums of products that belong to it: sums[r * stride + j].
template <class Sum>
struct Block {
    std::int64_t row_begin;
    std::int64_t row_end;
    std::int64_t stride;
    std::vector<Sum> sums;
    std::vector<std::int64_t> cursor;  ///< next entry of each row
    std::vector<Sum> gene_sums;        ///< one row's sums inside one gene (float tables)

    [[nodiscard]] std::int64_t rows() const noexcept { return row_end - row_begin; }
    Sum* row(std::int64_t r) noexcept { return sums.data() + index(r * stride); }
};

/// First posting-model that row `r` of a block need not be compared with.
template <class Sum>
std::int32_t limit_of(const Block<Sum>& block, const Pairs& pairs, std::int64_t r) noexcept {
    return static_cast<std::int32_t>(pairs.symmetric ? block.row_begin + r - pairs.row_begin
                                                     : pairs.columns());
}

/// Integer sums of a block. Genes go outermost, so a gene's postings stay in cache while
/// all rows of the block pass over them.
template <class Sum>
void accumulate_counts(const AlleleTable& table, const Pairs& pairs,
                       const Postings<std::int32_t>& postings, Block<Sum>& block) {
    for (std::int64_t g = 0; g < table.n_genes(); ++g) {
        const std::int64_t gene_end = table.gene_offsets[index(g) + 1];
        for (std::int64_t r = 0; r < block.rows(); ++r) {
            const std::int64_t row_end = table.indptr[index(block.row_begin + r) + 1];
            const std::int32_t limit = limit_of(block, pairs, r);
            std::int64_t& e = block.cursor[index(r)];
            for (; e < row_end && table.columns[index(e)] < gene_end; ++e) {
                add_postings<std::int32_t, Sum>(postings, table.columns[index(e)],
                                                table.counts[index(e)], limit, block.row(r));
            }
        }
    }
}

/// Float sums of a block: inside a gene the products of counts are whole numbers, exact in a
/// double; they are scaled to frequencies once a gene, so a pair's sum has one rounding a gene.
void accumulate_frequencies(const AlleleTable& table, const Pairs& pairs,
                            const Postings<double>& postings, const std::vector<double>& scales,
                            Block<double>& block) {
    for (std::int64_t g = 0; g < table.n_genes(); ++g) {
        const std::int64_t gene_end = table.gene_offsets[index(g) + 1];
        const double* scale = scales.data() + index(g * table.n_models());
        for (std::int64_t r = 0; r < block.rows(); ++r) {
            const std::int64_t row_end = table.indptr[index(block.row_begin + r) + 1];
            const std::int32_t limit = limit_of(block, pairs, r);
            std::int64_t& e = block.cursor[index(r)];
            if (e == row_end || table.columns[index(e)] >= gene_end) {
                continue;
            }
            double* inside = block.gene_sums.data();
            std::fill_n(inside, limit, 0.0);
            for (; e < row_end && table.columns[index(e)] < gene_end; ++e) {
                add_postings<double, double>(postings, table.columns[index(e)],
                                             value_of<double>(table, e), limit, inside);
            }
            double* sums = block.row(r);
            const double own = scale[block.row_begin + r];
            for (std::int32_t j = 0; j < limit; ++j) {
                sums[j] += inside[j] * (own * scale[pairs.column_begin + j]);
            }
        }
    }
}

/// 1 / n of every sampled cell, 1 of every exact one, 0 of every missing one; gene-major.
std::vector<double> cell_scales(const AlleleTable& table) {
    std::vector<double> scales(index(table.n_genes() * table.n_models()), 0.0);
    for (std::int64_t m = 0; m < table.n_models(); ++m) {
        for_each_cell(table, m, [&](const Cell& cell) {
            const std::int64_t n = probes_in(table, cell);
            scales[index(cell.gene * table.n_models() + m)] =
                n == 0 ? 1.0 : 1.0 / static_cast<double>(n);
        });
    }
    return scales;
}

/// Runs accumulate(block) then finish(block) over all rows, blocks in parallel.
template <class Sum, class Accumulate, class Finish>
void for_each_block(const AlleleTable& table, const Pairs& pairs, int threads,
                    const StopRequest& stop, Accumulate&& accumulate, Finish&& finish) {
    const std::int64_t row_bytes = std::max<std::int64_t>(1, pairs.columns()) * sizeof(Sum);
    const std::int64_t rows_a_block =
        std::clamp(kAccumulatorBytes / row_bytes, kMinBlockRows, kMaxBlockRows);
    const std::int64_t blocks = (pairs.rows() + rows_a_block - 1) / rows_a_block;
    std::vector<Block<Sum>> workers(index(threads_for(blocks, threads)));
    const auto work = [&](std::int64_t task, int worker) {
        Block<Sum>& block = workers[index(worker)];
        // The last rows of a symmetric call have the most columns: they go first.
        block.row_begin = pairs.row_begin + (blocks - 1 - task) * rows_a_block;
        block.row_end = std::min(block.row_begin + rows_a_block, pairs.row_end);
        block.stride = pairs.columns();
        block.sums.assign(index(block.rows() * block.stride), Sum{0});
        block.gene_sums.resize(std::is_floating_point_v<Sum> ? index(block.stride) : 0);
        block.cursor.assign(table.indptr.begin() + block.row_begin,
                            table.indptr.begin() + block.row_end);
        accumulate(block);
        finish(block);
    };
    parallel_for(blocks, threads, work, stop);
}

template <class Finish>
void for_each_count_block(const AlleleTable& table, const Pairs& pairs, std::int64_t bound,
                          int threads, const StopRequest& stop, Finish&& finish) {
    const Postings<std::int32_t> postings = gather_postings<std::int32_t>(table, pairs);
    const auto run = [&]<class Sum>(Sum) {
        for_each_block<Sum>(
            table, pairs, threads, stop,
            [&](Block<Sum>& block) { accumulate_counts<Sum>(table, pairs, postings, block); },
            finish);
    };
    if (bound <= std::numeric_limits<std::int32_t>::max()) {
        run(std::int32_t{0});
    } else {
        run(std::int64_t{0});
    }
}

/// Writes a block's results, and in a symmetric call their mirror image. Rows go innermost
/// in the mirror, so that it is written in runs.
template <class Sum, class Out, class Convert>
void store_block(Block<Sum>& block, const Pairs& pairs, std::span<Out> out, Convert&& convert) {
    const std::int64_t width = pairs.columns();
    for (std::int64_t r = 0; r < block.rows(); ++r) {
        const std::int64_t row = block.row_begin - pairs.row_begin + r;
        Out* line = out.data() + index(row * width);
        const Sum* sums = block.row(r);
        const std::int32_t limit = limit_of(block, pairs, r);
        for (std::int32_t j = 0; j < limit; ++j) {
            line[j] = convert(block.row_begin + r, pairs.column_begin + j, sums[j]);
        }
    }
    if (!pairs.symmetric) {
        return;
    }
    const std::int64_t first = block.row_begin - pairs.row_begin;
    const std::int64_t last = block.row_end - pairs.row_begin;
    for (std::int64_t j = 0; j < last; ++j) {
        for (std::int64_t row = std::max(first, j + 1); row < last; ++row) {
            out[index(j * width + row)] = out[index(row * width + j)];
        }
    }
}

void refuse_inexact(std::int64_t bound) {
    if (bound > kExactLimit) {
        throw InputError("the numerators of this table may reach " +
                         (bound == INT64_MAX ? std::string("2^63") : std::to_string(bound)) +
                         ", above 2^53, and would not be exact: use fewer probes or genes");
    }
}

}  // namespace

bool is_integer(const TableSummary& summary) noexcept {
    return std::ranges::all_of(summary.probes, [](std::int64_t n) { return n >= 0; });
}

void nei_similarity(const AlleleTable& table, const Pairs& pairs, Estimator estimator, int threads,
                    std::span<double> out, const StopRequest& stop) {
    const TableSummary summary = summarise(table);
    refuse_inexact(summary.numerator_bound);
    const SelfTerms self_terms(table, estimator, summary);
    const auto identity = [&](std::int64_t i, std::int64_t j, auto numerator) {
        const double product = self_terms(i, j) * self_terms(j, i);
        return product > 0.0 ? static_cast<double>(numerator) / std::sqrt(product)
                             : std::numeric_limits<double>::quiet_NaN();
    };
    const auto finish = [&](auto& block) { store_block(block, pairs, out, identity); };
    if (is_integer(summary)) {
        for_each_count_block(table, pairs, summary.numerator_bound, threads, stop, finish);
    } else {
        const Postings<double> postings = gather_postings<double>(table, pairs);
        const std::vector<double> scales = cell_scales(table);
        for_each_block<double>(
            table, pairs, threads, stop,
            [&](Block<double>& block) {
                accumulate_frequencies(table, pairs, postings, scales, block);
            },
            finish);
    }
    for (std::int64_t i = 0; pairs.symmetric && i < pairs.rows(); ++i) {
        out[index(i * pairs.columns() + i)] = 1.0;
    }
}

void count_numerators(const AlleleTable& table, const Pairs& pairs, int threads,
                      std::span<std::int64_t> out, const StopRequest& stop) {
    const TableSummary summary = summarise(table);
    refuse_inexact(summary.numerator_bound);
    const auto whole = [](std::int64_t, std::int64_t, auto numerator) {
        return static_cast<std::int64_t>(numerator);
    };
    for_each_count_block(table, pairs, summary.numerator_bound, threads, stop,
                         [&](auto& block) { store_block(block, pairs, out, whole); });
    for (std::int64_t i = 0; pairs.symmetric && i < pairs.rows(); ++i) {
        std::int64_t square = 0;
        for (std::int64_t e = table.indptr[index(i)]; e < table.indptr[index(i) + 1]; ++e) {
            const std::int64_t count = table.counts[index(e)];
            square += count * count;
        }
        out[index(i * pairs.columns() + i)] = square;
    }
}

}  // namespace phylo
