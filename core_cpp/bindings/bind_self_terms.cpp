#include <memory>

#include "bindings.hpp"
#include "phylo/similarity.hpp"

namespace phylo::bindings {

namespace {

/// (terms, models x patterns; pattern of each model): views, which keep the terms alive.
py::tuple self_terms_tuple(const AlleleTable& table, Estimator estimator) {
    std::unique_ptr<const SelfTerms> terms;
    {
        const py::gil_scoped_release release;  // the table is immutable
        terms = std::make_unique<const SelfTerms>(table, estimator, summarise(table));
    }
    const SelfTerms& kept = *terms;
    const py::capsule owner(terms.release(),
                            [](void* held) { delete static_cast<const SelfTerms*>(held); });
    const auto patterns = static_cast<py::ssize_t>(kept.patterns());
    return py::make_tuple(view(kept.terms(), owner).reshape({table.n_models(), patterns}),
                          view(kept.pattern_of(), owner));
}

}  // namespace

void register_self_terms(py::module_& module) {
    module.def("self_terms", &self_terms_tuple, py::arg("table"), py::arg("estimator"));
}

}  // namespace phylo::bindings
