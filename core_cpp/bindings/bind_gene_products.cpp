#include <memory>

#include "bindings.hpp"
#include "phylo/gene_products.hpp"

namespace phylo::bindings {

namespace {

/// (numerators, self terms, presence: models x genes; scale of each model): views, which keep
/// the products alive.
py::tuple products_tuple(const AlleleTable& table, std::int64_t model, Estimator estimator,
                         int threads) {
    if (model < 0 || model >= table.n_models()) {
        throw py::index_error("no such model");
    }
    std::unique_ptr<const GeneProducts> found;
    {
        const py::gil_scoped_release release;  // the table is immutable
        found = std::make_unique<const GeneProducts>(
            gene_products(table, model, estimator, threads, stop_on_signal()));
    }
    const GeneProducts& kept = *found;
    const py::capsule owner(found.release(),
                            [](void* held) { delete static_cast<const GeneProducts*>(held); });
    const auto matrix = [&](const auto& values) {
        return view(values, owner).reshape({table.n_models(), table.n_genes()});
    };
    return py::make_tuple(matrix(kept.numerators), matrix(kept.terms), matrix(kept.present),
                          view(kept.scales, owner));
}

}  // namespace

void register_gene_products(py::module_& module) {
    module.def("gene_products", &products_tuple, py::arg("table"), py::arg("model"),
               py::arg("estimator"), py::arg("threads"));
}

}  // namespace phylo::bindings
