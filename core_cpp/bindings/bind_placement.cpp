#include <memory>

#include "bindings.hpp"
#include "phylo/placement.hpp"

namespace phylo::bindings {

namespace {

/// Checks what would otherwise be read or written out of bounds.
TreeView tree_of(const Array<std::int32_t>& parent, const Array<double>& length, py::ssize_t tips) {
    const auto up = span_of(parent);
    if (up.empty() || up.size() != span_of(length).size() || tips < 1 || tips > parent.size()) {
        throw py::value_error("a tree needs a parent and a length a node, and tips");
    }
    const auto nodes = static_cast<std::int64_t>(up.size());
    for (std::int64_t v = 0; v + 1 < nodes; ++v) {
        const std::int64_t above = up[static_cast<std::size_t>(v)];
        if (above <= v || above >= nodes) {
            throw py::value_error("children must have smaller numbers than their parents");
        }
    }
    return {.parent = up, .length = span_of(length)};
}

/// (best node; above, pendant, residual of each node)
py::tuple fits_tuple(const Array<std::int32_t>& parent, const Array<double>& length,
                     const Array<double>& distance, const Array<double>& weight) {
    if (distance.ndim() != 1 || weight.size() != distance.size()) {
        throw py::value_error("distances and weights must be one a tip");
    }
    const TreeView tree = tree_of(parent, length, distance.size());
    const auto d = span_of(distance);
    const auto w = span_of(weight);
    std::unique_ptr<const EdgeFits> found;
    {
        const py::gil_scoped_release release;  // the caller holds the arrays
        found = std::make_unique<const EdgeFits>(fit_edges(tree, d, w));
    }
    const EdgeFits& kept = *found;
    const py::capsule owner(found.release(),
                            [](void* held) { delete static_cast<const EdgeFits*>(held); });
    return py::make_tuple(kept.best, view(kept.above, owner), view(kept.pendant, owner),
                          view(kept.residual, owner));
}

py::array_t<std::int64_t> best_array(const Array<std::int32_t>& parent, const Array<double>& length,
                                     const Array<double>& distances, const Array<double>& weights,
                                     int threads) {
    if (distances.ndim() != 2 || weights.size() != distances.size()) {
        throw py::value_error("distances and weights must be replicates x tips");
    }
    const TreeView tree = tree_of(parent, length, distances.shape(1));
    py::array_t<std::int64_t> best(distances.shape(0));
    const auto d = span_of(distances);
    const auto w = span_of(weights);
    const std::span<std::int64_t> out(best.mutable_data(), static_cast<std::size_t>(best.size()));
    {
        const py::gil_scoped_release release;  // `best` is not yet visible to Python
        best_edges(tree, d, w, out, threads, stop_on_signal());
    }
    return best;
}

}  // namespace

void register_placement(py::module_& module) {
    module.def("fit_edges", &fits_tuple, py::arg("parent").noconvert(),
               py::arg("length").noconvert(), py::arg("distance").noconvert(),
               py::arg("weight").noconvert());
    module.def("best_edges", &best_array, py::arg("parent").noconvert(),
               py::arg("length").noconvert(), py::arg("distances").noconvert(),
               py::arg("weights").noconvert(), py::arg("threads"));
}

}  // namespace phylo::bindings
