#include "bindings.hpp"
#include "phylo/errors.hpp"

namespace phylo::bindings {

StringList string_list(const std::vector<std::string>& strings) {
    StringList list;
    for (const std::string& text : strings) {
        list.push_back(text);
    }
    return list;
}

py::list python_strings(const StringList& strings) {
    py::list list(strings.size());
    for (std::size_t i = 0; i < strings.size(); ++i) {
        const std::string_view text = strings[i];
        list[i] = py::str(text.data(), text.size());
    }
    return list;
}

StopRequest stop_on_signal() {
    return [] {
        const py::gil_scoped_acquire gil;
        return PyErr_CheckSignals() != 0;
    };
}

Claim claim_from(const py::function& told) {
    return [&told](std::int64_t bytes) {
        const py::gil_scoped_acquire gil;
        told(bytes);
    };
}

/// The classes live in pyphylo.errors, so that Python code can raise and catch them
/// without the extension.
void register_errors() {
    py::register_exception_translator([](std::exception_ptr pointer) {
        const auto raise = [](const char* name, const char* text) {
            const py::object type = py::module_::import("pyphylo.errors").attr(name);
            PyErr_SetString(type.ptr(), text);
        };
        try {
            std::rethrow_exception(std::move(pointer));
        } catch (const InputError& error) {
            raise("InputError", error.what());
        } catch (const FormatError& error) {
            raise("FileFormatError", error.what());
        } catch (const Interrupted&) {
            // PyErr_CheckSignals has set the handler's exception already.
            if (PyErr_Occurred() == nullptr) {
                PyErr_SetNone(PyExc_KeyboardInterrupt);
            }
        } catch (const std::system_error& error) {
            errno = error.code().value();
            PyErr_SetFromErrno(PyExc_OSError);
        }
    });
}

}  // namespace phylo::bindings
