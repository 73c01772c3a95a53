#include <limits>
#include <memory>

#include "bindings.hpp"
#include "phylo/buffer.hpp"
#include "phylo/joined_rows.hpp"
#include "phylo/kernels.hpp"

namespace phylo::bindings {

namespace {

/// What numbers of a row are rounded up to.
constexpr std::int64_t kLine = 64;

template <class T>
DistanceRows<T> rows_of(Array<T>& work) {
    if (work.ndim() != 2 || !work.writeable() ||
        work.shape(1) * std::int64_t{sizeof(T)} % kLine != 0) {
        throw py::value_error("work must be a writeable square whose rows are whole lines");
    }
    return {.values = work.mutable_data(), .columns = work.shape(1)};
}

void check_span(std::int64_t n, std::int64_t first, std::int64_t last) {
    if (first < 0 || last < first || last > n) {
        throw py::value_error("first and last must be a span of the rows");
    }
}

template <class Given, class T>
double fill(const Array<Given>& given, Array<T>& work, std::int64_t n, std::int64_t first,
            std::int64_t last) {
    const DistanceRows<T> rows = rows_of(work);
    check_span(n, first, last);
    if (n < 0 || work.shape(0) < n || work.shape(1) < n ||
        given.size() != (given.ndim() == 1 ? n * (n - 1) / 2 : n * n)) {
        throw py::value_error("distances and work must be of n nodes");
    }
    const std::span<const Given> values = span_of(given);
    const bool condensed = given.ndim() == 1;
    const py::gil_scoped_release release;  // the caller holds the arrays, and gives other rows away
    return condensed ? fill_from_condensed(values, rows, n, first, last)
                     : fill_from_square(values, rows, n, first, last);
}

template <class T>
void close(Array<T>& work, const Array<std::int64_t>& at, const Array<std::int64_t>& kept,
           std::int64_t closed) {
    const DistanceRows<T> rows = rows_of(work);
    const auto nodes = span_of(kept);
    const auto places = span_of(at);
    if (places.size() != nodes.size()) {
        throw py::value_error("at and kept must have the same length");
    }
    std::int64_t before = -1;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        if (nodes[i] <= before || nodes[i] >= rows.columns || places[i] < 0 ||
            places[i] >= work.shape(0)) {
            throw py::value_error("kept must ascend below the columns, at name rows");
        }
        before = nodes[i];
    }
    const py::gil_scoped_release release;
    close_gaps(rows, places, nodes, closed);
}

/// Memory that is not initialised, begins a cache line and is kept for the next call.
template <class T>
py::array_t<T> matrix(std::int64_t rows, std::int64_t columns) {
    if (rows < 0 || columns < 0 ||
        (columns > 0 &&
         rows > std::numeric_limits<std::int64_t>::max() / std::int64_t{sizeof(T)} / columns)) {
        throw py::value_error("a matrix needs numbers of rows and columns");
    }
    auto buffer = std::make_unique<Buffer<T>>(rows * columns);
    const T* values = buffer->data();
    const py::capsule owner(buffer.release(),
                            [](void* held) { delete static_cast<Buffer<T>*>(held); });
    return py::array_t<T>({rows, columns}, values, owner);
}

template <class T>
void define(py::module_& module, const char* matrix_name) {
    module.def(matrix_name, &matrix<T>, py::arg("rows"), py::arg("columns"));
    module.def("fill_distances", &fill<float, T>, py::arg("given").noconvert(),
               py::arg("work").noconvert(), py::arg("n"), py::arg("first"), py::arg("last"));
    module.def("fill_distances", &fill<double, T>, py::arg("given").noconvert(),
               py::arg("work").noconvert(), py::arg("n"), py::arg("first"), py::arg("last"));
    module.def("close_gaps", &close<T>, py::arg("work").noconvert(), py::arg("at").noconvert(),
               py::arg("kept").noconvert(), py::arg("closed"));
}

}  // namespace

void register_joined_rows(py::module_& module) {
    define<float>(module, "matrix_float32");
    define<double>(module, "matrix_float64");
}

}  // namespace phylo::bindings
