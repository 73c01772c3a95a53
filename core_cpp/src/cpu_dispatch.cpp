#include "phylo/cpu_dispatch.hpp"

namespace phylo {

std::vector<std::string> detected_instruction_sets() {
    std::vector<std::string> found;
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") != 0) {
        found.emplace_back("avx2");
    }
    if (__builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0) {
        found.emplace_back("avx512");
    }
    if (__builtin_cpu_supports("avx512vnni") != 0) {
        found.emplace_back("avx512-vnni");
    }
#elif defined(__aarch64__)
    found.emplace_back("neon");
#endif
    return found;
}

std::string_view kernel_instruction_set() { return "portable"; }

}  // namespace phylo
