#include <memory>
#include <string>

#include "bindings.hpp"
#include "phylo/similarity.hpp"

namespace phylo::bindings {

namespace {

/// The first `split` models against the others; all against all where split is negative.
Pairs pairs_of(const AlleleTable& table, std::int64_t split) {
    return split < 0 ? Pairs::square(table) : Pairs::between(table, split);
}

Output output_to(const py::array& out, const Pairs& pairs, Quantity quantity, double floor) {
    Output output{.quantity = quantity, .floor = floor};
    if (py::isinstance<py::array_t<double>>(out)) {
        output.type = Output::Type::float64;
    } else if (py::isinstance<py::array_t<float>>(out)) {
        output.type = Output::Type::float32;
    } else if (py::isinstance<py::array_t<std::int64_t>>(out)) {
        output.type = Output::Type::int64;
    } else {
        throw py::type_error("out must be float64, float32 or int64");
    }
    if ((output.type == Output::Type::int64) != (quantity == Quantity::numerator)) {
        throw py::type_error("numerators are int64, similarities and distances floats");
    }
    const bool condensed = out.ndim() == 1 && pairs.symmetric;
    const bool fits = condensed ? out.shape(0) == pairs.count()
                                : out.ndim() == 2 && out.shape(0) == pairs.rows() &&
                                      out.shape(1) == pairs.columns();
    if (!fits || (out.flags() & py::array::c_style) == 0 || !out.writeable()) {
        throw py::value_error("out must be writeable, C-ordered and of the result's shape");
    }
    output.layout = condensed ? Output::Layout::condensed : Output::Layout::matrix;
    return output;
}

bool compare_into(const AlleleTable& table, Estimator estimator, std::int64_t split, int threads,
                  Quantity quantity, double floor, py::array out, const py::function& claim) {
    const Pairs pairs = pairs_of(table, split);
    Output output = output_to(out, pairs, quantity, floor);
    output.values = out.mutable_data();
    const py::gil_scoped_release release;
    return compare(table, pairs, estimator, threads, output, stop_on_signal(), claim_from(claim));
}

bool compare_to_file(const AlleleTable& table, Estimator estimator, std::int64_t split, int threads,
                     Quantity quantity, double floor, int file, std::int64_t begin, bool single,
                     bool condensed, const py::function& claim) {
    Pairs pairs = pairs_of(table, split);
    // Rows of a whole matrix go out one after the other, so each pair is computed twice.
    pairs.symmetric = pairs.symmetric && condensed;
    const Output output{
        .quantity = quantity,
        .type = single ? Output::Type::float32 : Output::Type::float64,
        .layout = condensed ? Output::Layout::condensed : Output::Layout::matrix,
        .floor = floor,
        .file = file,
        .file_begin = begin,
    };
    const py::gil_scoped_release release;
    return compare(table, pairs, estimator, threads, output, stop_on_signal(), claim_from(claim));
}

std::unique_ptr<PackedComparison> make_packed(const AlleleTable& table, Estimator estimator,
                                              std::int64_t split, bool twice, int threads,
                                              Quantity quantity, double floor, bool single,
                                              const py::function& claim) {
    if (quantity == Quantity::numerator) {
        throw py::type_error("rows are computed of similarities and distances");
    }
    Pairs pairs = pairs_of(table, split);
    pairs.symmetric = pairs.symmetric && !twice;
    const Output output{
        .quantity = quantity,
        .type = single ? Output::Type::float32 : Output::Type::float64,
        .layout = pairs.symmetric ? Output::Layout::condensed : Output::Layout::matrix,
        .floor = floor,
    };
    const py::gil_scoped_release release;  // the table is immutable
    return std::make_unique<PackedComparison>(table, pairs, estimator, threads, output,
                                              stop_on_signal(), claim_from(claim));
}

/// Fills `out`, which has room for these rows and no more.
bool compute_rows(const PackedComparison& self, std::int64_t begin, std::int64_t end, int threads,
                  py::array out) {
    const bool single = self.output().type == Output::Type::float32;
    const bool typed =
        single ? py::isinstance<py::array_t<float>>(out) : py::isinstance<py::array_t<double>>(out);
    const RowRange rows{.begin = begin, .end = end};
    if (!typed || out.size() != self.items(rows) || (out.flags() & py::array::c_style) == 0 ||
        !out.writeable()) {
        throw py::value_error("out must be writeable, C-ordered and of the rows' type and size");
    }
    void* values = out.mutable_data();
    const py::gil_scoped_release release;  // the caller holds the array
    return self.compute(rows, values, threads, stop_on_signal());
}

py::dict plan_dict(const AlleleTable& table, std::int64_t split, int threads, bool twice) {
    Pairs pairs = pairs_of(table, split);
    pairs.symmetric = pairs.symmetric && !twice;
    SimilarityPlan plan;
    {
        const py::gil_scoped_release release;
        plan = plan_similarity(table, pairs, scan(table, pairs, threads, stop_on_signal()), threads,
                               stop_on_signal());
    }
    const std::int64_t strips = (pairs.rows() + kStripRows - 1) / kStripRows;
    py::dict entries;
    entries["isa"] = plan.kernels->name;
    entries["arithmetic"] = name_of(plan.arithmetic);
    entries["sum_bits"] = plan.arithmetic == Arithmetic::frequency || plan.long_sums ? 64 : 32;
    entries["dense_columns"] = plan.dense_columns;
    entries["rare_columns"] = plan.rare_columns;
    entries["private_columns"] = plan.private_columns;
    entries["least_holders"] =
        plan.least_holders > 0 ? py::object(py::int_(plan.least_holders)) : py::none();
    entries["rare_entries"] = plan.rare_entries;
    entries["rare_steps"] = plan.rare_steps;
    entries["dense_multiply_adds"] = plan.dense_columns * pairs.count();
    entries["dense_seconds"] = plan.dense_seconds;
    entries["rare_seconds"] = plan.rare_seconds;
    entries["bytes"] = plan.bytes(table, pairs, threads_for(strips, threads));
    return entries;
}

/// -log(min(max(S, floor), 1)) in place, as `compare` takes it.
void take_distances(py::array_t<double, py::array::c_style> values, double floor) {
    double* data = values.mutable_data();
    const auto size = static_cast<std::int64_t>(values.size());
    const py::gil_scoped_release release;
    kernels().distances(data, size, floor);
}

}  // namespace

void register_similarity(py::module_& module) {
    py::enum_<Estimator>(module, "Estimator")
        .value("plugin", Estimator::plugin)
        .value("unbiased", Estimator::unbiased);
    py::enum_<Quantity>(module, "Quantity")
        .value("numerator", Quantity::numerator)
        .value("similarity", Quantity::similarity)
        .value("distance", Quantity::distance);
    module.def("compare", &compare_into, py::arg("table"), py::arg("estimator"), py::arg("split"),
               py::arg("threads"), py::arg("quantity"), py::arg("floor"),
               py::arg("out").noconvert(), py::arg("claim"));
    module.def("compare_to_file", &compare_to_file, py::arg("table"), py::arg("estimator"),
               py::arg("split"), py::arg("threads"), py::arg("quantity"), py::arg("floor"),
               py::arg("file"), py::arg("begin"), py::arg("single"), py::arg("condensed"),
               py::arg("claim"));
    py::class_<PackedComparison>(module, "PackedComparison")
        .def(py::init(&make_packed), py::arg("table"), py::arg("estimator"), py::arg("split"),
             py::arg("twice"), py::arg("threads"), py::arg("quantity"), py::arg("floor"),
             py::arg("single"), py::arg("claim"), py::keep_alive<1, 2>())
        .def("compute", &compute_rows, py::arg("begin"), py::arg("end"), py::arg("threads"),
             py::arg("out").noconvert());
    module.attr("STRIP_ROWS") = kStripRows;
    module.def("plan_similarity", &plan_dict, py::arg("table"), py::arg("split"),
               py::arg("threads"), py::arg("twice"));
    module.def("take_distances", &take_distances, py::arg("values").noconvert(), py::arg("floor"));
    module.def("integer_peak", &measure_integer_peak, py::arg("threads"),
               py::call_guard<py::gil_scoped_release>());
    module.def("available_threads", &available_threads);
}

}  // namespace phylo::bindings
