#pragma once

#include "phylo/kernels.hpp"

namespace phylo {

// One file each, compiled for its instruction set; PYPHYLO_* macros say which the build has.
extern const KernelSet kPortableKernels;
extern const KernelSet kNeonKernels;
extern const KernelSet kAvx2Kernels;
extern const KernelSet kAvxVnniKernels;
extern const KernelSet kAvx512VnniKernels;

}  // namespace phylo
