#include <memory>

#include "bindings.hpp"
#include "phylo/resampling.hpp"

namespace phylo::bindings {

namespace {

std::unique_ptr<Resampling> make_resampling(const AlleleTable& table, Estimator estimator,
                                            const Array<std::int64_t>& weights,
                                            const py::function& claim) {
    if (weights.ndim() != 2 || weights.shape(1) != table.n_genes()) {
        throw py::value_error("weights must be replicates x genes");
    }
    const auto values = span_of(weights);
    const auto replicates = static_cast<std::int64_t>(weights.shape(0));
    const py::gil_scoped_release release;  // the table is immutable, the caller holds the array
    return std::make_unique<Resampling>(table, estimator, values, replicates, claim_from(claim));
}

template <class Real>
py::array_t<Real> replicates(const Resampling& self, std::int64_t first, std::int64_t last,
                             double floor, int threads) {
    if (first < 0 || last < first || last > self.n_replicates()) {
        throw py::index_error("no such replicates");
    }
    py::array_t<Real> out({last - first, self.n_pairs()});
    const std::span<Real> values(out.mutable_data(), static_cast<std::size_t>(out.size()));
    {
        const py::gil_scoped_release release;  // `out` is not yet visible to Python
        self.replicates(first, floor, threads, values, stop_on_signal());
    }
    return out;
}

/// Rows: S, its bias, its error; D, its bias, its error.
py::array_t<double> errors(const Resampling& self, bool jackknife, double floor, int threads) {
    py::array_t<double> out({std::int64_t{6}, self.n_pairs()});
    const auto n = static_cast<std::size_t>(self.n_pairs());
    const auto row = [&](std::size_t k) { return std::span(out.mutable_data() + k * n, n); };
    const ErrorArrays arrays = {.similarity = row(0),
                                .similarity_bias = row(1),
                                .similarity_error = row(2),
                                .distance = row(3),
                                .distance_bias = row(4),
                                .distance_error = row(5)};
    {
        const py::gil_scoped_release release;  // `out` is not yet visible to Python
        self.errors(jackknife ? ErrorMethod::jackknife : ErrorMethod::bootstrap, floor, threads,
                    arrays, stop_on_signal());
    }
    return out;
}

}  // namespace

void register_resampling(const py::module_& module) {
    py::class_<Resampling>(module, "Resampling")
        .def(py::init(&make_resampling), py::arg("table"), py::arg("estimator"),
             py::arg("weights").noconvert(), py::arg("claim"), py::keep_alive<1, 2>())
        .def_property_readonly("n_pairs", &Resampling::n_pairs)
        .def_property_readonly("n_replicates", &Resampling::n_replicates)
        .def("replicates_f32", &replicates<float>, py::arg("first"), py::arg("last"),
             py::arg("floor"), py::arg("threads"))
        .def("replicates_f64", &replicates<double>, py::arg("first"), py::arg("last"),
             py::arg("floor"), py::arg("threads"))
        .def("errors", &errors, py::arg("jackknife"), py::arg("floor"), py::arg("threads"));
}

}  // namespace phylo::bindings
