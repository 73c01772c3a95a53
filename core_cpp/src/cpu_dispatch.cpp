#include "phylo/cpu_dispatch.hpp"

#include <cstdlib>
#include <string>
#include <vector>

#include "cpu_features.hpp"
#include "kernels/kernel_sets.hpp"
#include "phylo/errors.hpp"
#include "phylo/kernels.hpp"

namespace phylo {

namespace {

std::vector<const KernelSet*> find_kernels() {
    std::vector<const KernelSet*> found = {&kPortableKernels};
#if defined(PYPHYLO_NEON_KERNELS)
    found.push_back(&kNeonKernels);
#endif
#if defined(__x86_64__)
    [[maybe_unused]] const CpuFeatures has = cpu_features();
#endif
#if defined(PYPHYLO_AVX2_KERNELS)
    if (has.avx2) {
        found.push_back(&kAvx2Kernels);
    }
#endif
#if defined(PYPHYLO_AVX_VNNI_KERNELS)
    if (has.avx_vnni) {
        found.push_back(&kAvxVnniKernels);
    }
#endif
#if defined(PYPHYLO_AVX512_VNNI_KERNELS)
    if (has.avx512_vnni) {
        found.push_back(&kAvx512VnniKernels);
    }
#endif
    return found;
}

}  // namespace

const std::vector<const KernelSet*>& usable_kernels() {
    static const std::vector<const KernelSet*> found = find_kernels();
    return found;
}

const KernelSet& kernels() {
    const char* wanted = std::getenv("PYPHYLO_ISA");  // NOLINT(concurrency-mt-unsafe): read only
    if (wanted == nullptr || *wanted == '\0') {
        return *usable_kernels().back();
    }
    std::string known;
    for (const KernelSet* set : usable_kernels()) {
        if (std::string(wanted) == set->name) {
            return *set;
        }
        known += (known.empty() ? "" : ", ") + std::string(set->name);
    }
    throw InputError("the environment variable PYPHYLO_ISA asks for the instruction set '" +
                     std::string(wanted) + "'; usable here: " + known);
}

std::vector<std::string> detected_instruction_sets() {
    std::vector<std::string> names;
    for (const KernelSet* set : usable_kernels()) {
        names.emplace_back(set->name);
    }
    return names;
}

std::string kernel_instruction_set() { return kernels().name; }

}  // namespace phylo
