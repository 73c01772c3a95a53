#include "bindings.hpp"
#include "phylo/indices.hpp"

namespace phylo::bindings {

namespace {

template <class Out>
py::array filled(const AlleleTable& table, const Pairs& pairs, Index index, bool condensed,
                 int threads) {
    const std::int64_t n = pairs.rows();
    py::array_t<Out> out(condensed ? std::vector<std::int64_t>{n * (n - 1) / 2}
                                   : std::vector<std::int64_t>{n, pairs.columns()});
    const std::span<Out> values(out.mutable_data(), static_cast<std::size_t>(out.size()));
    {
        const py::gil_scoped_release release;  // `out` is not yet visible to Python
        genetic_distance(table, pairs, index, condensed, threads, values, stop_on_signal());
    }
    return out;
}

}  // namespace

void register_indices(py::module_& module) {
    py::enum_<Index>(module, "Index")
        .value("da", Index::da)
        .value("chord", Index::chord)
        .value("rogers", Index::rogers)
        .value("jsd", Index::jsd);
    // The first `split` models against the others; all against all where split is negative.
    module.def(
        "genetic_distance",
        [](const AlleleTable& table, Index index, std::int64_t split, bool condensed,
           bool single_precision, int threads) {
            const Pairs pairs = split < 0 ? Pairs::square(table) : Pairs::between(table, split);
            return single_precision ? filled<float>(table, pairs, index, condensed, threads)
                                    : filled<double>(table, pairs, index, condensed, threads);
        },
        py::arg("table"), py::arg("index"), py::arg("split"), py::arg("condensed"),
        py::arg("single_precision"), py::arg("threads"));
}

}  // namespace phylo::bindings
