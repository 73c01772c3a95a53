#include "phylo/large_memory.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace phylo {

namespace {

/// A block's end is given in small pages: what is stated of memory counts them.
constexpr std::size_t kPage = 4096;
/// Blocks that are kept; more are not worth looking through.
constexpr std::size_t kPlaces = 32;

/// The kept blocks: the first `count` places, the one that was given last behind.
struct Kept {
    std::array<LargeBlock, kPlaces> blocks{};
    std::size_t count = 0;
    std::size_t bytes = 0;

    LargeBlock remove(std::size_t place) noexcept {
        const LargeBlock block = blocks[place];
        std::copy(blocks.begin() + static_cast<std::ptrdiff_t>(place) + 1,
                  blocks.begin() + static_cast<std::ptrdiff_t>(count),
                  blocks.begin() + static_cast<std::ptrdiff_t>(place));
        --count;
        bytes -= block.bytes;
        return block;
    }
};

Kept kept;
std::atomic_flag in_use = ATOMIC_FLAG_INIT;

/// Holds `kept`, or does not: nobody waits for it. So a process that was forked while another
/// thread held it goes on without.
class Hold {
   public:
    Hold() noexcept : held_(!in_use.test_and_set(std::memory_order_acquire)) {}
    ~Hold() {
        if (held_) {
            in_use.clear(std::memory_order_release);
        }
    }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
    explicit operator bool() const noexcept { return held_; }

   private:
    bool held_;
};

void free_block(LargeBlock block) noexcept {
    ::operator delete(block.address, std::align_val_t{kLargePage});
}

}  // namespace

LargeBlock take_large(std::size_t bytes) {
    const std::size_t whole = (bytes + kPage - 1) / kPage * kPage;
    if (const Hold hold; hold) {
        std::size_t best = kept.count;
        for (std::size_t k = 0; k < kept.count; ++k) {
            const std::size_t size = kept.blocks[k].bytes;
            if (size >= whole && size <= whole + whole / 2 &&
                (best == kept.count || size < kept.blocks[best].bytes)) {
                best = k;
            }
        }
        if (best < kept.count) {
            return kept.remove(best);
        }
    }
    const LargeBlock block{.address = ::operator new(whole, std::align_val_t{kLargePage}),
                           .bytes = whole};
#ifdef __linux__
    madvise(block.address, whole, MADV_HUGEPAGE);
#endif
    return block;
}

void give_large(LargeBlock block) noexcept {
    const Hold hold;
    if (!hold || block.bytes > kMostKept) {
        free_block(block);
        return;
    }
    while (kept.count == kPlaces || kept.bytes + block.bytes > kMostKept) {
        free_block(kept.remove(0));
    }
    kept.blocks[kept.count++] = block;
    kept.bytes += block.bytes;
}

std::size_t free_kept() noexcept {
    std::size_t freed = 0;
    if (const Hold hold; hold) {
        freed = kept.bytes;
        while (kept.count > 0) {
            free_block(kept.remove(kept.count - 1));
        }
    }
    return freed;
}

}  // namespace phylo
