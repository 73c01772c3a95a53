#include "pair_terms.hpp"

#include <algorithm>
#include <cstring>

#include "resampling/terms.hpp"

namespace phylo {

namespace {

std::size_t index(std::int64_t value) noexcept { return static_cast<std::size_t>(value); }

void put(Panels& panels, std::int64_t model, std::int64_t gene, double value) noexcept {
    std::memcpy(panels.of(model) + gene * 2 * kGroupBytes, &value, sizeof value);
}

}  // namespace

PairTerms::PairTerms(const AlleleTable& table, const Pairs& pairs, Estimator estimator,
                     const KernelSet& kernels, std::size_t most_patterns)
    : pairs_(pairs), kernels_(kernels), genes_(table.n_genes()) {
    const resampling::GeneTerms found = resampling::gene_terms(table, estimator);
    const std::size_t patterns = found.patterns.empty() ? 0 : std::ranges::max(found.patterns) + 1;
    if (patterns <= most_patterns) {
        by_pattern_ = std::make_unique<SelfTerms>(table, estimator, summarise(table));
        return;
    }
    const auto fill = [&](Side& side, std::int64_t begin, std::int64_t end) {
        side.terms = Panels(end - begin, genes_, Arithmetic::frequency);
        side.present = Panels(end - begin, genes_, Arithmetic::frequency);
        const std::int64_t padded = (end - begin + kTileColumns - 1) / kTileColumns * kTileColumns;
        for (std::int64_t m = 0; m < padded; m += kPanelModels) {
            side.terms.clear(m, 0, genes_);
            side.present.clear(m, 0, genes_);
        }
        for (std::int64_t m = begin; m < end; ++m) {
            side.scales.push_back(found.scales[index(m)]);
            for (std::int64_t g = 0; g < genes_; ++g) {
                put(side.terms, m - begin, g, found.terms[index(m * genes_ + g)]);
                put(side.present, m - begin, g, found.present[index(m * genes_ + g)]);
            }
        }
    };
    fill(columns_, pairs.column_begin, pairs.column_end);
    if (!pairs.one_side()) {
        fill(rows_, pairs.row_begin, pairs.row_end);
    }
}

void PairTerms::multiply(const Panels& left, const Panels& right, std::int64_t row_begin,
                         std::int64_t row_end, Buffer<double>& sums) const {
    std::fill_n(sums.data(), sums.size(), 0.0);
    const std::int64_t first =
        pairs_.symmetric ? row_begin / kTileColumns * kTileColumns : std::int64_t{0};
    for (std::int64_t j = first; j < width(); j += kTileColumns) {
        for (std::int64_t row = row_begin; row < row_end; row += kTileRows) {
            kernels_.multiply_f64({.rows = reinterpret_cast<const double*>(left.of(row)),
                                   .columns = reinterpret_cast<const double*>(right.of(j)),
                                   .panel_doubles = right.panel_bytes() / 8,
                                   .groups = genes_,
                                   .sums = sums.data() + (row - row_begin) * width() + j,
                                   .stride = width()});
        }
    }
}

void PairTerms::begin_strip(std::int64_t row_begin, std::int64_t row_end, Strip& strip) const {
    if (by_pattern_) {
        return;
    }
    if (strip.of_rows.size() == 0) {
        strip.of_rows = Buffer<double>(kStripRows * width());
        strip.of_columns = Buffer<double>(kStripRows * width());
    }
    strip.row_begin = row_begin;
    multiply(rows().terms, columns_.present, row_begin, row_end, strip.of_rows);
    multiply(rows().present, columns_.terms, row_begin, row_end, strip.of_columns);
}

void PairTerms::products(std::int64_t row, std::int64_t first, const Strip& strip,
                         double* out) const {
    const std::int64_t count = pairs_.columns() - first;
    if (by_pattern_) {
        const std::int64_t i = pairs_.row_begin + row;
        for (std::int64_t j = 0; j < count; ++j) {
            const std::int64_t other = pairs_.column_begin + first + j;
            out[j] = (*by_pattern_)(i, other) * (*by_pattern_)(other, i);
        }
        return;
    }
    const std::int64_t at = (row - strip.row_begin) * width() + first;
    const double* own = strip.of_rows.data() + at;
    const double* others = strip.of_columns.data() + at;
    const double scale = rows().scales[index(row)];
    const double* scales = columns_.scales.data() + first;
    for (std::int64_t j = 0; j < count; ++j) {
        out[j] = (own[j] * scale) * (others[j] * scales[j]);
    }
}

}  // namespace phylo
