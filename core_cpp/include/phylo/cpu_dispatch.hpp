#pragma once

#include <string>
#include <vector>

namespace phylo {

/// Instruction sets that this build has kernels for and this processor runs, slowest first.
[[nodiscard]] std::vector<std::string> detected_instruction_sets();

/// The instruction set of the kernels in use. Throws InputError when the environment variable
/// PYPHYLO_ISA names one that is not usable.
[[nodiscard]] std::string kernel_instruction_set();

}  // namespace phylo
