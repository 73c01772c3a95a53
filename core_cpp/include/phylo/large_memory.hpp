#pragma once

#include <cstddef>

namespace phylo {

/// Memory of at least this many bytes comes in large pages where the system has them.
inline constexpr std::size_t kLargePage = std::size_t{2} << 20U;
/// Bytes of freed memory that are kept for the next call: a system may take longer to hand out
/// fresh pages than a call takes to work in them.
inline constexpr std::size_t kMostKept = std::size_t{256} << 20U;

/// A block of large pages.
struct LargeBlock {
    void* address = nullptr;
    std::size_t bytes = 0;  ///< of the block, which may be more than were asked for
};

/// Takes a kept block that is not much larger, or a new one; its bytes are not initialised. Any
/// thread may take and give. Throws std::bad_alloc.
LargeBlock take_large(std::size_t bytes);
/// Keeps a block for a later call, up to kMostKept bytes in all, or frees it.
void give_large(LargeBlock block) noexcept;
/// Frees what is kept; the number of bytes.
std::size_t free_kept() noexcept;

}  // namespace phylo
