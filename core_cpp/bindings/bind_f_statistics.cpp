#include "bindings.hpp"
#include "phylo/f_statistics.hpp"

namespace phylo::bindings {

namespace {

template <class T>
std::span<T> writable(py::array_t<T>& array) {
    return {array.mutable_data(), static_cast<std::size_t>(array.size())};
}

std::int64_t pairs_in(const AlleleTable& table) {
    return table.n_models() * (table.n_models() - 1) / 2;
}

/// What the kernels trust: weights for all columns, blocks that end with the last gene.
F2Terms checked(const AlleleTable& table, const Array<double>& weights,
                const Array<std::int64_t>& block_ends, bool roots) {
    const F2Terms terms{
        .weights = span_of(weights), .block_ends = span_of(block_ends), .roots = roots};
    if (weights.size() != table.n_columns()) {
        throw py::value_error("a weight for each column is needed");
    }
    std::int64_t last = 0;
    for (const std::int64_t end : terms.block_ends) {
        if (end <= last) {
            throw py::value_error("block ends must ascend");
        }
        last = end;
    }
    if (last != table.n_genes()) {
        throw py::value_error("the blocks must hold all genes");
    }
    if (roots && table.probabilities.empty() && table.nnz() > 0) {
        throw py::value_error("roots need exact cells");
    }
    return terms;
}

}  // namespace

void register_f_statistics(py::module_& module) {
    module.def(
        "f2_blocks",
        [](const AlleleTable& table, const Array<double>& weights,
           const Array<std::int64_t>& block_ends, bool roots, int threads) {
            const F2Terms terms = checked(table, weights, block_ends, roots);
            py::array_t<double> out(std::vector<std::int64_t>{
                pairs_in(table), static_cast<std::int64_t>(block_ends.size())});
            const std::span<double> values = writable(out);
            {
                const py::gil_scoped_release release;  // `out` is not yet visible to Python
                f2_blocks(table, terms, threads, values, stop_on_signal());
            }
            return out;
        },
        py::arg("table"), py::arg("weights").noconvert(), py::arg("block_ends").noconvert(),
        py::arg("roots"), py::arg("threads"));
    module.def(
        "f2_moments",
        [](const AlleleTable& table, const Array<double>& weights,
           const Array<std::int64_t>& block_ends, bool roots, int threads) {
            const F2Terms terms = checked(table, weights, block_ends, roots);
            py::array_t<double> estimates(pairs_in(table));
            py::array_t<double> variances(pairs_in(table));
            py::array_t<std::int32_t> genes(pairs_in(table));
            py::array_t<std::int32_t> blocks(pairs_in(table));
            const F2Moments out{.estimates = writable(estimates),
                                .variances = writable(variances),
                                .genes = writable(genes),
                                .blocks = writable(blocks)};
            {
                const py::gil_scoped_release release;  // the arrays are not yet visible to Python
                f2_moments(table, terms, threads, out, stop_on_signal());
            }
            return py::make_tuple(estimates, variances, genes, blocks);
        },
        py::arg("table"), py::arg("weights").noconvert(), py::arg("block_ends").noconvert(),
        py::arg("roots"), py::arg("threads"));
}

}  // namespace phylo::bindings
