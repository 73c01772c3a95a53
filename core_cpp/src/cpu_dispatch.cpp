#include "phylo/cpu_dispatch.hpp"

#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/kernel_sets.hpp"
#include "phylo/errors.hpp"
#include "phylo/kernels.hpp"

#if defined(PYPHYLO_AVX_VNNI_KERNELS)
#include <cpuid.h>
#endif

namespace phylo {

namespace {

#if defined(PYPHYLO_AVX_VNNI_KERNELS)
/// CPUID leaf 7.1, EAX bit 4. Compilers older than the bit do not know its name.
bool has_avx_vnni() {
    unsigned eax = 0;
    unsigned ebx = 0;
    unsigned ecx = 0;
    unsigned edx = 0;
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0 || eax < 1) {
        return false;
    }
    return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & (1U << 4U)) != 0;
}
#endif

std::vector<const KernelSet*> find_kernels() {
    std::vector<const KernelSet*> found = {&kPortableKernels};
#if defined(PYPHYLO_NEON_KERNELS)
    found.push_back(&kNeonKernels);
#endif
#if defined(PYPHYLO_AVX2_KERNELS)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") != 0) {
        found.push_back(&kAvx2Kernels);
#if defined(PYPHYLO_AVX_VNNI_KERNELS)
        if (has_avx_vnni()) {
            found.push_back(&kAvxVnniKernels);
        }
#endif
    }
#endif
#if defined(PYPHYLO_AVX512_VNNI_KERNELS)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
        __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
        __builtin_cpu_supports("avx512vnni") != 0) {
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
