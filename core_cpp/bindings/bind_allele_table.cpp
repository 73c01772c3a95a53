#include <algorithm>
#include <type_traits>

#include "bindings.hpp"
#include "phylo/allele_table.hpp"
#include "phylo/table_file.hpp"

namespace phylo::bindings {

namespace {

/// Read-only views of the CSR arrays, which live as long as the table.
void add_views(py::class_<AlleleTable>& type) {
    const auto add = [&type](const char* name, auto member) {
        type.def_property_readonly(name, [member](const py::object& self) {
            return view(self.cast<const AlleleTable&>().*member, self);
        });
    };
    add("gene_offsets", &AlleleTable::gene_offsets);
    add("indptr", &AlleleTable::indptr);
    add("columns", &AlleleTable::columns);
    add("counts", &AlleleTable::counts);
    add("probabilities", &AlleleTable::probabilities);
    add("draws", &AlleleTable::draws);
    add("decided", &AlleleTable::decided);
    type.def_property_readonly("allele_offsets", [](const py::object& self) {
        return view(self.cast<const AlleleTable&>().alleles.offsets(), self);
    });
    type.def_property_readonly(
        "allele_bytes", [](const AlleleTable& self) { return py::bytes(self.alleles.bytes()); });
}

/// (models, genes, undecided masses) of the hybrid cells
py::tuple hybrid_arrays(const AlleleTable& table) {
    const auto array = [&](auto member) {
        using T = std::decay_t<decltype(table.hybrid_cells.front().*member)>;
        py::array_t<T> values(static_cast<py::ssize_t>(table.hybrid_cells.size()));
        std::ranges::transform(table.hybrid_cells, values.mutable_data(),
                               [&](const HybridCell& cell) { return cell.*member; });
        return values;
    };
    return py::make_tuple(array(&HybridCell::model), array(&HybridCell::gene),
                          array(&HybridCell::undecided));
}

/// (probes of each model, number of missing cells, bound of the numerators)
py::tuple summary_tuple(const AlleleTable& table) {
    const TableSummary summary = [&] {
        const py::gil_scoped_release release;  // the table is immutable
        return summarise(table);
    }();
    return py::make_tuple(
        Array<std::int64_t>(static_cast<py::ssize_t>(summary.probes.size()), summary.probes.data()),
        summary.missing_cells, summary.numerator_bound);
}

}  // namespace

void register_allele_table(py::module_& module) {
    py::class_<AlleleTable> type(module, "AlleleTable");
    type.def_property_readonly("models",
                               [](const AlleleTable& self) { return python_strings(self.models); })
        .def_property_readonly("genes",
                               [](const AlleleTable& self) { return python_strings(self.genes); })
        .def_property_readonly("n_models", &AlleleTable::n_models)
        .def_property_readonly("n_genes", &AlleleTable::n_genes)
        .def_property_readonly("n_columns", &AlleleTable::n_columns)
        .def_property_readonly("nnz", &AlleleTable::nnz)
        .def_property_readonly("hybrid_cells", &hybrid_arrays)
        .def("entry_values",
             [](const AlleleTable& self) {
                 const std::vector<double> values = entry_values(self);
                 return Array<double>(static_cast<py::ssize_t>(values.size()), values.data());
             })
        .def("summary", &summary_tuple)
        .def(
            "select",
            [](const AlleleTable& self, const Array<std::int64_t>& models,
               const Array<std::int64_t>& genes) {
                const auto m = span_of(models);
                const auto g = span_of(genes);
                const py::gil_scoped_release release;  // the arrays are the caller's, held by it
                return select(self, m, g);
            },
            py::arg("models").noconvert(), py::arg("genes").noconvert())
        .def("concatenate", &concatenate, py::arg("other"),
             py::call_guard<py::gil_scoped_release>())
        .def("drop_single_probe_cells", &drop_single_probe_cells,
             py::call_guard<py::gil_scoped_release>())
        .def(
            "write",
            [](const AlleleTable& self, const std::string& note, const std::string& path) {
                write_table(self, note, path);
            },
            py::arg("note"), py::arg("path"), py::call_guard<py::gil_scoped_release>())
        .def(
            "__eq__", [](const AlleleTable& a, const AlleleTable& b) { return a == b; },
            py::is_operator())
        .attr("__hash__") = py::none();
    add_views(type);
    module.def(
        "read_table",
        [](const std::string& path) {
            TableFile file = [&] {
                const py::gil_scoped_release release;  // only the new table is touched
                return read_table(path);
            }();
            return py::make_tuple(std::move(file.table), std::move(file.note));
        },
        py::arg("path"));
}

}  // namespace phylo::bindings
