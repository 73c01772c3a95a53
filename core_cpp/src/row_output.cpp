#include "row_output.hpp"

#include <algorithm>
#include <type_traits>

#include "system_files.hpp"

namespace phylo {

namespace {

std::size_t index(std::int64_t value) noexcept { return static_cast<std::size_t>(value); }

/// Columns mirrored at once: a cache line of floats.
constexpr std::int64_t kMirrorColumns = 16;

/// Self terms of an integer table whose models all have every gene: no other sum is needed.
/// n^2 J = sum c^2, or n (sum c^2 - n) / (n - 1) over the genes, the one division last.
std::vector<double> whole_terms(const AlleleTable& table, Estimator estimator,
                                const TableScan& scan) {
    std::vector<double> terms;
    terms.reserve(scan.squares.size());
    for (std::size_t m = 0; m < scan.squares.size(); ++m) {
        const std::int64_t n = scan.probes[m];
        const auto probes = static_cast<double>(n);
        if (estimator == Estimator::plugin || n == 0) {
            terms.push_back(static_cast<double>(scan.squares[m]));
        } else {
            terms.push_back(static_cast<double>(scan.squares[m] - n * table.n_genes()) *
                            (probes / (probes - 1.0)));
        }
    }
    return terms;
}

}  // namespace

RowTerms::RowTerms(const AlleleTable& table, const Pairs& pairs, Estimator estimator,
                   const TableScan& scan, bool integer, const KernelSet& kernels) {
    if (integer && !scan.ragged) {
        of_models = whole_terms(table, estimator, scan);
        // A run that has no pair (one model) has no NaN either.
        found_nan = pairs.count() > 0 &&
                    std::ranges::any_of(of_models, [](double term) { return !(term > 0.0); });
    } else {
        of_pairs = std::make_unique<PairTerms>(table, pairs, estimator, kernels);
    }
}

RowOutput::RowOutput(const Pairs& pairs, const TableScan& scan, const RowTerms* terms,
                     const KernelSet& kernels, const Output& output, std::int64_t begin)
    : pairs_(pairs),
      scan_(scan),
      kernels_(kernels),
      output_(output),
      terms_(terms),
      found_nan_(terms != nullptr && terms->found_nan) {
    begin_ = offset(begin);
}

std::int64_t RowOutput::position(std::int64_t row) const noexcept {
    return offset(row) + (output_.layout == Output::Layout::condensed ? 0 : first(row));
}

std::int64_t RowOutput::offset(std::int64_t row) const noexcept {
    const bool condensed = output_.layout == Output::Layout::condensed;
    return (condensed ? condensed_items(pairs_, row) : row * pairs_.columns()) - begin_;
}

template <class Item>
Item* RowOutput::place(std::int64_t row, Scratch& scratch) const noexcept {
    if (output_.file < 0) {
        return static_cast<Item*>(output_.values) + position(row);
    }
    const std::int64_t strip = row / kStripRows * kStripRows;
    return reinterpret_cast<Item*>(scratch.file_rows.data()) + position(row) - offset(strip);
}

void RowOutput::begin_strip(std::int64_t row_begin, std::int64_t row_end, Scratch& scratch) const {
    if (scratch.selves.size() == 0) {
        scratch.selves = Buffer<double>(pairs_.columns() + 1);
        scratch.values = Buffer<double>(pairs_.columns() + 1);
        if (output_.file >= 0) {
            scratch.file_rows = Buffer<char>(kStripRows * pairs_.columns() * output_.item_bytes());
        }
    }
    if (terms_ != nullptr && terms_->of_pairs) {
        terms_->of_pairs->begin_strip(row_begin, row_end, scratch.terms);
    }
}

template <class Sum>
void RowOutput::find_values(std::int64_t row, const Sum* numerators, Scratch& scratch,
                            double* values) const {
    const std::int64_t begin = first(row);
    const std::int64_t count = pairs_.columns() - begin;
    const std::int64_t model = pairs_.row_begin + row;
    double self = 1.0;
    const double* selves = scratch.selves.data();
    if (terms_->of_pairs) {
        terms_->of_pairs->products(row, begin, scratch.terms, scratch.selves.data());
        if (std::any_of(selves, selves + count, [](double product) { return !(product > 0.0); })) {
            // The diagonal of a square call is 1 whatever the product.
            const std::int64_t own = pairs_.one_side() ? row - begin : -1;
            for (std::int64_t j = 0; j < count; ++j) {
                if (j != own && !(selves[j] > 0.0)) {
                    found_nan_.store(true);
                }
            }
        }
    } else {
        self = terms_->of_models[index(model)];
        selves = terms_->of_models.data() + pairs_.column_begin + begin;
    }
    if constexpr (std::is_same_v<Sum, std::int32_t>) {
        kernels_.identities_i32(numerators + begin, count, self, selves, values);
    } else if constexpr (std::is_same_v<Sum, std::int64_t>) {
        kernels_.identities_i64(numerators + begin, count, self, selves, values);
    } else {
        kernels_.identities_f64(numerators + begin, count, self, selves, values);
    }
    if (output_.quantity == Quantity::distance) {
        kernels_.distances(values, count, output_.floor);
    }
}

template <class Item>
void RowOutput::set_diagonal(std::int64_t row, Scratch& scratch) const noexcept {
    if (output_.layout == Output::Layout::condensed || !pairs_.one_side()) {
        return;
    }
    Item* diagonal = place<Item>(row, scratch) + row - first(row);
    if (output_.quantity == Quantity::numerator) {
        *diagonal = static_cast<Item>(scan_.squares[index(pairs_.row_begin + row)]);
    } else {
        *diagonal = output_.quantity == Quantity::similarity ? Item{1} : Item{0};
    }
}

template <class Sum>
void RowOutput::write(std::int64_t row, const Sum* numerators, Scratch& scratch) const {
    const std::int64_t count = pairs_.columns() - first(row);
    switch (output_.type) {
        case Output::Type::int64:
            std::transform(numerators + first(row), numerators + pairs_.columns(),
                           place<std::int64_t>(row, scratch),
                           [](Sum sum) { return static_cast<std::int64_t>(sum); });
            set_diagonal<std::int64_t>(row, scratch);
            break;
        case Output::Type::float64:
            find_values(row, numerators, scratch, place<double>(row, scratch));
            set_diagonal<double>(row, scratch);
            break;
        case Output::Type::float32:
            find_values(row, numerators, scratch, scratch.values.data());
            if (output_.file < 0 && output_.layout == Output::Layout::condensed) {
                kernels_.stream(scratch.values.data(), count, place<float>(row, scratch));
            } else {
                kernels_.narrow(scratch.values.data(), count, place<float>(row, scratch));
            }
            set_diagonal<float>(row, scratch);
            break;
    }
}

/// Copies what is right of the diagonal in the strip's rows to below it. Rows go innermost, so that
/// the copy is written in runs.
template <class Item>
void RowOutput::mirror(std::int64_t row_begin, std::int64_t row_end) const noexcept {
    auto* values = static_cast<Item*>(output_.values);
    const std::int64_t n = pairs_.columns();
    for (std::int64_t block = row_begin; block < n; block += kMirrorColumns) {
        const std::int64_t block_end = std::min(block + kMirrorColumns, n);
        for (std::int64_t j = block; j < block_end; ++j) {
            const std::int64_t end = std::min(row_end, j);
            for (std::int64_t i = row_begin; i < end; ++i) {
                values[j * n + i] = values[i * n + j];
            }
        }
    }
}

void RowOutput::end_strip(std::int64_t row_begin, std::int64_t row_end, Scratch& scratch) const {
    if (output_.file >= 0) {
        const std::int64_t begin = offset(row_begin);
        const std::int64_t items = offset(row_end) - begin;
        write_at(output_.file, scratch.file_rows.data(), items * output_.item_bytes(),
                 output_.file_begin + begin * output_.item_bytes());
        return;
    }
    if (!pairs_.symmetric || output_.layout == Output::Layout::condensed) {
        return;
    }
    switch (output_.type) {
        case Output::Type::int64:
            mirror<std::int64_t>(row_begin, row_end);
            break;
        case Output::Type::float64:
            mirror<double>(row_begin, row_end);
            break;
        case Output::Type::float32:
            mirror<float>(row_begin, row_end);
            break;
    }
}

template void RowOutput::write(std::int64_t, const std::int32_t*, Scratch&) const;
template void RowOutput::write(std::int64_t, const std::int64_t*, Scratch&) const;
template void RowOutput::write(std::int64_t, const double*, Scratch&) const;

}  // namespace phylo
