// What this processor and its operating system let a program use. Asked of CPUID itself: the
// compilers' own way (__builtin_cpu_supports) needs a library that not every linker finds.
#pragma once

#if defined(__x86_64__)

#include <cpuid.h>

#include <cstdint>

namespace phylo {

/// Sets of instructions that a kernel may be of.
struct CpuFeatures {
    bool avx2 = false;
    bool avx_vnni = false;
    bool avx512_dq_vl = false;  ///< with F: enough for vectors of doubles
    bool avx512_vnni = false;   ///< with F, BW, DQ and VL
};

namespace cpuid {

struct Registers {
    unsigned eax = 0;
    unsigned ebx = 0;
    unsigned ecx = 0;
    unsigned edx = 0;
};

/// A leaf of CPUID; zeros where the processor has no such leaf.
inline Registers leaf(unsigned number, unsigned sub) noexcept {
    Registers found;
    if (__get_cpuid_count(number, sub, &found.eax, &found.ebx, &found.ecx, &found.edx) == 0) {
        return {};
    }
    return found;
}

constexpr bool bit(unsigned value, unsigned position) noexcept {
    return (value >> position & 1U) != 0;
}

/// XCR0: the registers that the operating system saves when it switches threads.
inline unsigned saved_registers() noexcept {
    unsigned low = 0;
    unsigned high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

}  // namespace cpuid

/// Asked of the processor at each call.
inline CpuFeatures cpu_features() noexcept {
    constexpr unsigned kVectors256 = 0x06;  // the halves of YMM
    constexpr unsigned kVectors512 = 0xE6;  // and masks, halves of ZMM, ZMM16 to 31
    constexpr unsigned kOsxsave = 27;
    CpuFeatures found;
    if (!cpuid::bit(cpuid::leaf(1, 0).ecx, kOsxsave)) {
        return found;
    }
    const unsigned saved = cpuid::saved_registers();
    const cpuid::Registers seven = cpuid::leaf(7, 0);
    if ((saved & kVectors256) == kVectors256) {
        found.avx2 = cpuid::bit(seven.ebx, 5);
        found.avx_vnni = found.avx2 && seven.eax >= 1 && cpuid::bit(cpuid::leaf(7, 1).eax, 4);
    }
    if ((saved & kVectors512) == kVectors512) {
        const bool f = cpuid::bit(seven.ebx, 16);
        found.avx512_dq_vl = f && cpuid::bit(seven.ebx, 17) && cpuid::bit(seven.ebx, 31);
        found.avx512_vnni =
            found.avx512_dq_vl && cpuid::bit(seven.ebx, 30) && cpuid::bit(seven.ecx, 11);
    }
    return found;
}

}  // namespace phylo

#endif
