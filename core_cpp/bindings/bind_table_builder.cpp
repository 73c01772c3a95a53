#include "bindings.hpp"
#include "phylo/table_builder.hpp"

namespace phylo::bindings {

namespace {

/// A column, and the Python objects whose memory it looks at.
struct BoundColumn {
    AlleleColumn column;
    std::vector<py::object> owners;
};

template <class Offset>
Utf8Column<Offset> utf8_column(const Array<Offset>& offsets, const Array<std::uint8_t>& bytes) {
    return {.offsets = span_of(offsets),
            .bytes = {reinterpret_cast<const char*>(bytes.data()),
                      static_cast<std::size_t>(bytes.size())}};
}

template <class Offset>
BoundColumn bind_utf8(const Array<Offset>& offsets, const Array<std::uint8_t>& bytes) {
    return {.column = utf8_column(offsets, bytes), .owners = {offsets, bytes}};
}

BoundColumn bind_ucs4(const Array<std::uint32_t>& characters, std::size_t width) {
    return {.column = Ucs4Column{.characters = span_of(characters), .width = width},
            .owners = {characters}};
}

BoundColumn bind_dictionary(const Array<std::int32_t>& codes, const Array<std::int64_t>& offsets,
                            const Array<std::uint8_t>& bytes) {
    return {
        .column = DictionaryColumn{.codes = span_of(codes), .values = utf8_column(offsets, bytes)},
        .owners = {codes, offsets, bytes}};
}

RowBatch batch_of(const Array<std::int32_t>& models, const Array<std::int32_t>& genes,
                  const BoundColumn& alleles, std::int64_t first_row) {
    return {.models = span_of(models),
            .genes = span_of(genes),
            .alleles = alleles.column,
            .first_row = first_row};
}

void register_columns(const py::module_& module) {
    py::class_<BoundColumn>(module, "AlleleColumn")
        .def_static("utf8", &bind_utf8<std::int32_t>, py::arg("offsets").noconvert(),
                    py::arg("data").noconvert())
        .def_static("utf8", &bind_utf8<std::int64_t>, py::arg("offsets").noconvert(),
                    py::arg("data").noconvert())
        .def_static("ucs4", &bind_ucs4, py::arg("characters").noconvert(), py::arg("width"))
        .def_static("dictionary", &bind_dictionary, py::arg("codes").noconvert(),
                    py::arg("offsets").noconvert(), py::arg("data").noconvert());
}

}  // namespace

void register_table_builder(const py::module_& module) {
    register_columns(module);
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
               const Array<std::int32_t>& genes, const BoundColumn& alleles,
               const Array<std::int64_t>& counts, std::int64_t first_row) {
                const RowBatch batch = batch_of(models, genes, alleles, first_row);
                const py::gil_scoped_release release;  // the arguments are held by the caller
                self.add_counts(batch, span_of(counts));
            },
            py::arg("models").noconvert(), py::arg("genes").noconvert(), py::arg("alleles"),
            py::arg("counts").noconvert(), py::arg("first_row") = 0)
        .def(
            "add_probabilities",
            [](TableBuilder& self, const Array<std::int32_t>& models,
               const Array<std::int32_t>& genes, const BoundColumn& alleles,
               const Array<double>& probabilities, std::int64_t first_row) {
                const RowBatch batch = batch_of(models, genes, alleles, first_row);
                const py::gil_scoped_release release;  // the arguments are held by the caller
                self.add_probabilities(batch, span_of(probabilities));
            },
            py::arg("models").noconvert(), py::arg("genes").noconvert(), py::arg("alleles"),
            py::arg("probabilities").noconvert(), py::arg("first_row") = 0)
        .def(
            "add_hybrid",
            [](TableBuilder& self, const Array<std::int32_t>& models,
               const Array<std::int32_t>& genes, const BoundColumn& alleles,
               const Array<double>& probabilities, const Array<std::int64_t>& counts,
               const Array<double>& undecided, std::int64_t first_row) {
                const RowBatch batch = batch_of(models, genes, alleles, first_row);
                const py::gil_scoped_release release;  // the arguments are held by the caller
                self.add_hybrid(batch, span_of(probabilities), span_of(counts), span_of(undecided));
            },
            py::arg("models").noconvert(), py::arg("genes").noconvert(), py::arg("alleles"),
            py::arg("probabilities").noconvert(), py::arg("counts").noconvert(),
            py::arg("undecided").noconvert(), py::arg("first_row") = 0)
        .def("peak_bytes", &TableBuilder::peak_bytes, py::arg("more"))
        .def("finish", &TableBuilder::finish, py::call_guard<py::gil_scoped_release>());
}

}  // namespace phylo::bindings
