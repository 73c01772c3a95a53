#include "phylo/table_builder.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "phylo/errors.hpp"

namespace phylo {

namespace {

constexpr std::size_t kTextBlock = std::size_t{1} << 16;
constexpr std::size_t kMergeAt = std::size_t{1} << 20;

}  // namespace

void TableBuilder::add_models(const StringList& names) {
    for (std::size_t i = 0; i < names.size(); ++i) {
        models_.push_back(names[i]);
    }
}

void TableBuilder::add_genes(const StringList& names) {
    for (std::size_t i = 0; i < names.size(); ++i) {
        genes_.push_back(names[i]);
    }
}

void TableBuilder::check(const RowBatch& batch) const {
    const std::size_t n = batch.models.size();
    if (batch.genes.size() != n || batch.allele_offsets.size() != n + 1) {
        throw std::logic_error("a batch's arrays differ in length");
    }
    const auto n_models = static_cast<std::int64_t>(models_.size());
    const auto n_genes = static_cast<std::int64_t>(genes_.size());
    const auto n_bytes = static_cast<std::int64_t>(batch.allele_bytes.size());
    if (batch.allele_offsets[0] < 0 || batch.allele_offsets[n] > n_bytes) {
        throw std::logic_error("allele offsets reach outside the bytes");
    }
    for (std::size_t r = 0; r < n; ++r) {
        if (batch.models[r] < 0 || batch.models[r] >= n_models) {
            throw InputError("row " + std::to_string(r) + ": model index " +
                             std::to_string(batch.models[r]) + " is not in 0.." +
                             std::to_string(n_models - 1));
        }
        if (batch.genes[r] < 0 || batch.genes[r] >= n_genes) {
            throw InputError("row " + std::to_string(r) + ": gene index " +
                             std::to_string(batch.genes[r]) + " is not in 0.." +
                             std::to_string(n_genes - 1));
        }
        if (batch.allele_offsets[r] > batch.allele_offsets[r + 1]) {
            throw std::logic_error("allele offsets descend");
        }
    }
}

std::int32_t TableBuilder::intern(std::int32_t gene, std::string_view text) {
    const auto found = interned_.find(AlleleKey{.gene = gene, .text = text});
    if (found != interned_.end()) {
        return found->second;
    }
    if (allele_texts_.size() >=
        static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
        throw InputError(
            "more than 2147483647 different alleles: use shorter alleles or fewer genes");
    }
    // A block never grows past its reserved capacity, so views into it stay valid.
    if (text_blocks_.empty() ||
        text_blocks_.back()->capacity() - text_blocks_.back()->size() < text.size()) {
        text_blocks_.push_back(std::make_unique<std::string>());
        text_blocks_.back()->reserve(std::max(kTextBlock, text.size()));
    }
    std::string& block = *text_blocks_.back();
    const std::size_t begin = block.size();
    block.append(text);
    const auto id = static_cast<std::int32_t>(allele_texts_.size());
    const std::string_view kept = std::string_view(block).substr(begin, text.size());
    allele_texts_.push_back(kept);
    allele_genes_.push_back(gene);
    interned_.emplace(AlleleKey{.gene = gene, .text = kept}, id);
    return id;
}

void TableBuilder::add_counts(const RowBatch& batch, std::span<const std::int64_t> counts) {
    check(batch);
    const std::size_t n = batch.models.size();
    if (!counts.empty() && counts.size() != n) {
        throw std::logic_error("a batch's arrays differ in length");
    }
    for (std::size_t r = 0; r < counts.size(); ++r) {
        if (counts[r] < 0 || counts[r] > std::numeric_limits<std::int32_t>::max()) {
            throw InputError("row " + std::to_string(r) + ": count " + std::to_string(counts[r]) +
                             " is not in 0..2147483647");
        }
    }
    for (std::size_t r = 0; r < n; ++r) {
        const std::int64_t count = counts.empty() ? 1 : counts[r];
        if (count == 0) {
            continue;
        }
        const auto begin = static_cast<std::size_t>(batch.allele_offsets[r]);
        const auto end = static_cast<std::size_t>(batch.allele_offsets[r + 1]);
        const std::int32_t allele =
            intern(batch.genes[r], batch.allele_bytes.substr(begin, end - begin));
        rows_.push_back(
            Row{.model = batch.models[r], .allele = allele, .count = count, .probability = 0.0});
    }
    if (rows_.size() > std::max(kMergeAt, 2 * merged_)) {
        merge_pending();
    }
}

void TableBuilder::add_probabilities(const RowBatch& batch, std::span<const double> probabilities) {
    check(batch);
    const std::size_t n = batch.models.size();
    if (probabilities.size() != n) {
        throw std::logic_error("a batch's arrays differ in length");
    }
    for (std::size_t r = 0; r < n; ++r) {
        if (!(probabilities[r] >= 0.0 && probabilities[r] <= 1.0)) {
            throw InputError("row " + std::to_string(r) + ": probability " +
                             std::to_string(probabilities[r]) + " is not in 0..1");
        }
    }
    for (std::size_t r = 0; r < n; ++r) {
        if (probabilities[r] == 0.0) {
            continue;
        }
        const auto begin = static_cast<std::size_t>(batch.allele_offsets[r]);
        const auto end = static_cast<std::size_t>(batch.allele_offsets[r + 1]);
        const std::int32_t allele =
            intern(batch.genes[r], batch.allele_bytes.substr(begin, end - begin));
        rows_.push_back(Row{.model = batch.models[r],
                            .allele = allele,
                            .count = 0,
                            .probability = probabilities[r]});
        any_exact_ = true;
    }
    if (rows_.size() > std::max(kMergeAt, 2 * merged_)) {
        merge_pending();
    }
}

void TableBuilder::merge_pending() {
    // Stable, so that repeated probabilities are added in the order they came.
    std::ranges::stable_sort(rows_, [](const Row& a, const Row& b) {
        return a.model != b.model ? a.model < b.model : a.allele < b.allele;
    });
    std::size_t kept = 0;
    for (const Row& row : rows_) {
        if (kept > 0 && rows_[kept - 1].model == row.model &&
            rows_[kept - 1].allele == row.allele) {
            rows_[kept - 1].count += row.count;
            rows_[kept - 1].probability += row.probability;
        } else {
            rows_[kept++] = row;
        }
    }
    rows_.resize(kept);
    merged_ = kept;
}

std::string TableBuilder::place(const Row& row) const {
    const auto allele = static_cast<std::size_t>(row.allele);
    return "model " + quoted(models_[static_cast<std::size_t>(row.model)]) + ", gene " +
           quoted(genes_[static_cast<std::size_t>(allele_genes_[allele])]);
}

std::vector<std::int32_t> TableBuilder::rank_alleles(AlleleTable& table) const {
    std::vector<std::int32_t> order(allele_texts_.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::sort(order, [&](std::int32_t a, std::int32_t b) {
        const auto x = static_cast<std::size_t>(a);
        const auto y = static_cast<std::size_t>(b);
        return allele_genes_[x] != allele_genes_[y] ? allele_genes_[x] < allele_genes_[y]
                                                    : allele_texts_[x] < allele_texts_[y];
    });
    std::vector<std::int32_t> column_of(order.size());
    table.gene_offsets.assign(genes_.size() + 1, 0);
    for (std::size_t column = 0; column < order.size(); ++column) {
        const auto allele = static_cast<std::size_t>(order[column]);
        column_of[allele] = static_cast<std::int32_t>(column);
        table.alleles.push_back(allele_texts_[allele]);
        ++table.gene_offsets[static_cast<std::size_t>(allele_genes_[allele]) + 1];
    }
    std::partial_sum(table.gene_offsets.begin(), table.gene_offsets.end(),
                     table.gene_offsets.begin());
    return column_of;
}

AlleleTable TableBuilder::finish() {
    merge_pending();
    AlleleTable table;
    const std::vector<std::int32_t> column_of = rank_alleles(table);
    for (Row& row : rows_) {
        if (row.count > std::numeric_limits<std::int32_t>::max()) {
            throw InputError(place(row) + ": an allele's count exceeds 2147483647");
        }
        if (row.count > 0 && row.probability > 0.0) {
            throw InputError(place(row) + ": counts and probabilities in one cell");
        }
        // Above 1 by rounding alone is 1.
        if (row.probability > 1.0 + 1e-9) {
            throw InputError(place(row) + ": an allele's probabilities add up to " +
                             std::to_string(row.probability));
        }
        row.probability = std::min(row.probability, 1.0);
        row.allele = column_of[static_cast<std::size_t>(row.allele)];
    }
    std::ranges::sort(rows_, [](const Row& a, const Row& b) {
        return a.model != b.model ? a.model < b.model : a.allele < b.allele;
    });
    table.indptr.assign(models_.size() + 1, 0);
    table.columns.reserve(rows_.size());
    table.counts.reserve(rows_.size());
    table.probabilities.reserve(any_exact_ ? rows_.size() : 0);
    for (const Row& row : rows_) {
        ++table.indptr[static_cast<std::size_t>(row.model) + 1];
        table.columns.push_back(row.allele);
        table.counts.push_back(static_cast<std::int32_t>(row.count));
        if (any_exact_) {
            table.probabilities.push_back(row.probability);
        }
    }
    std::partial_sum(table.indptr.begin(), table.indptr.end(), table.indptr.begin());
    table.models = std::move(models_);
    table.genes = std::move(genes_);
    rows_.clear();
    interned_.clear();
    check_cells(table);
    return table;
}

}  // namespace phylo
