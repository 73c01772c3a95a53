#pragma once

#include <cstddef>
#include <cstdint>

namespace phylo {

inline constexpr std::size_t kLineBytes = 64;

/// Asks for the cache line `lines` behind `at`. It may lie outside what `at` points into: an
/// address says so, a pointer must not.
inline void fetch_line(const void* at, std::size_t lines = 0) noexcept {
    const std::uintptr_t address = reinterpret_cast<std::uintptr_t>(at) + lines * kLineBytes;
    __builtin_prefetch(
        reinterpret_cast<const void*>(address));  // NOLINT(performance-no-int-to-ptr)
}

}  // namespace phylo
