#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace phylo {

/// Vector instruction sets of this processor that the core knows, best last; empty where
/// they cannot be asked for.
[[nodiscard]] std::vector<std::string> detected_instruction_sets();

/// The instruction set that the kernels in use were compiled for.
[[nodiscard]] std::string_view kernel_instruction_set();

}  // namespace phylo
