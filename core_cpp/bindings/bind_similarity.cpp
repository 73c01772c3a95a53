#include "bindings.hpp"
#include "phylo/similarity.hpp"

namespace phylo::bindings {

namespace {

/// The first `split` models against the others; all against all where split is negative.
Pairs pairs_of(const AlleleTable& table, std::int64_t split) {
    return split < 0 ? Pairs::square(table) : Pairs::between(table, split);
}

template <class T, class Compute>
py::array_t<T> filled(const Pairs& pairs, Compute&& compute) {
    py::array_t<T> out({pairs.rows(), pairs.columns()});
    const std::span<T> values(out.mutable_data(), static_cast<std::size_t>(out.size()));
    {
        const py::gil_scoped_release release;  // `out` is not yet visible to Python
        compute(values);
    }
    return out;
}

}  // namespace

void register_similarity(py::module_& module) {
    py::enum_<Estimator>(module, "Estimator")
        .value("plugin", Estimator::plugin)
        .value("unbiased", Estimator::unbiased);
    module.def(
        "nei_similarity",
        [](const AlleleTable& table, Estimator estimator, std::int64_t split, int threads) {
            const Pairs pairs = pairs_of(table, split);
            return filled<double>(pairs, [&](std::span<double> values) {
                nei_similarity(table, pairs, estimator, threads, values, stop_on_signal());
            });
        },
        py::arg("table"), py::arg("estimator"), py::arg("split"), py::arg("threads"));
    module.def(
        "count_numerators",
        [](const AlleleTable& table, std::int64_t split, int threads) {
            const Pairs pairs = pairs_of(table, split);
            return filled<std::int64_t>(pairs, [&](std::span<std::int64_t> values) {
                count_numerators(table, pairs, threads, values, stop_on_signal());
            });
        },
        py::arg("table"), py::arg("split"), py::arg("threads"));
    module.def("available_threads", &available_threads);
}

}  // namespace phylo::bindings
