#pragma once

#include <cstdlib>
#include <string>

namespace phylo::testing {

/// Calls use the named instruction set as long as it lives.
class KernelsOf {
   public:
#ifdef _WIN32
    explicit KernelsOf(const std::string& name) { _putenv_s("PYPHYLO_ISA", name.c_str()); }
    ~KernelsOf() { _putenv_s("PYPHYLO_ISA", ""); }
#else
    explicit KernelsOf(const std::string& name) { setenv("PYPHYLO_ISA", name.c_str(), 1); }
    ~KernelsOf() { unsetenv("PYPHYLO_ISA"); }
#endif
    KernelsOf(const KernelsOf&) = delete;
    KernelsOf& operator=(const KernelsOf&) = delete;
};

}  // namespace phylo::testing
