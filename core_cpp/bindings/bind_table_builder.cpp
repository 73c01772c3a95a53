#include "bindings.hpp"
#include "phylo/table_builder.hpp"

namespace phylo::bindings {

namespace {

RowBatch batch_of(const Array<std::int32_t>& models, const Array<std::int32_t>& genes,
                  const Array<std::int64_t>& offsets, const py::buffer_info& bytes) {
    return RowBatch{span_of(models), span_of(genes), span_of(offsets),
                    std::string_view(static_cast<const char*>(bytes.ptr),
                                     static_cast<std::size_t>(bytes.size * bytes.itemsize))};
}

}  // namespace

void register_table_builder(py::module_& module) {
    py::class_<TableBuilder>(module, "TableBuilder")
        .def(py::init<>())
        .def(
            "add_models",
            [](TableBuilder& self, const std::vector<std::string>& names) {
                self.add_models(string_list(names));
            },
            py::arg("names"))
        .def(
            "add_genes",
            [](TableBuilder& self, const std::vector<std::string>& names) {
                self.add_genes(string_list(names));
            },
            py::arg("names"))
        .def(
            "add_counts",
            [](TableBuilder& self, const Array<std::int32_t>& models,
               const Array<std::int32_t>& genes, const Array<std::int64_t>& offsets,
               const py::buffer& bytes, const Array<std::int64_t>& counts) {
                const py::buffer_info info = bytes.request();
                const RowBatch batch = batch_of(models, genes, offsets, info);
                const py::gil_scoped_release release;  // the arguments are held by the caller
                self.add_counts(batch, span_of(counts));
            },
            py::arg("models").noconvert(), py::arg("genes").noconvert(),
            py::arg("allele_offsets").noconvert(), py::arg("allele_bytes"),
            py::arg("counts").noconvert())
        .def(
            "add_probabilities",
            [](TableBuilder& self, const Array<std::int32_t>& models,
               const Array<std::int32_t>& genes, const Array<std::int64_t>& offsets,
               const py::buffer& bytes, const Array<double>& probabilities) {
                const py::buffer_info info = bytes.request();
                const RowBatch batch = batch_of(models, genes, offsets, info);
                const py::gil_scoped_release release;  // the arguments are held by the caller
                self.add_probabilities(batch, span_of(probabilities));
            },
            py::arg("models").noconvert(), py::arg("genes").noconvert(),
            py::arg("allele_offsets").noconvert(), py::arg("allele_bytes"),
            py::arg("probabilities").noconvert())
        .def("finish", &TableBuilder::finish, py::call_guard<py::gil_scoped_release>());
}

}  // namespace phylo::bindings
