#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <span>
#include <vector>

#include "phylo/buffer.hpp"
#include "phylo/parallel.hpp"
#include "phylo/string_list.hpp"

namespace phylo::bindings {

namespace py = pybind11;

/// Arrays that arrive contiguous and of the right type, or are refused: conversion is
/// Python's, where it shows.
template <class T>
using Array = py::array_t<T, py::array::c_style>;

template <class T>
std::span<const T> span_of(const Array<T>& array) {
    return {array.data(), static_cast<std::size_t>(array.size())};
}

/// A read-only view of memory that `owner` keeps alive.
template <class T>
py::array view(const std::vector<T>& values, const py::object& owner) {
    py::array_t<T> array({values.size()}, {sizeof(T)}, values.data(), owner);
    array.attr("setflags")(py::arg("write") = false);
    return array;
}

/// A StringList from Python strings; they must be UTF-8 encodable.
StringList string_list(const std::vector<std::string>& strings);
py::list python_strings(const StringList& strings);

/// Answers whether a signal handler raised; takes the GIL, so call it without.
StopRequest stop_on_signal();

/// Tells Python the bytes; takes the GIL, so call it without. `told` must outlive it.
Claim claim_from(const py::function& told);

void register_errors();
void register_allele_table(py::module_& module);
void register_f_statistics(py::module_& module);
void register_gene_products(py::module_& module);
void register_indices(py::module_& module);
void register_table_builder(const py::module_& module);
void register_similarity(py::module_& module);
void register_joined_rows(py::module_& module);
void register_placement(py::module_& module);
void register_resampling(const py::module_& module);
void register_self_terms(py::module_& module);

}  // namespace phylo::bindings
