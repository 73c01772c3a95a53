#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <vector>

#include "phylo/buffer.hpp"
#include "phylo/large_memory.hpp"
#include "phylo/parallel.hpp"

using namespace phylo;

namespace {
constexpr std::size_t kMiB = std::size_t{1} << 20U;
}

TEST_CASE("a large block is kept for the next that it fits") {
    free_kept();
    const LargeBlock first = take_large(5 * kMiB);
    CHECK(first.bytes == 5 * kMiB);
    CHECK(reinterpret_cast<std::uintptr_t>(first.address) % kLargePage == 0);
    give_large(first);
    const LargeBlock small = take_large(2 * kMiB);  // not worth three times its size
    CHECK(small.address != first.address);
    const LargeBlock again = take_large(4 * kMiB);
    CHECK(again.address == first.address);
    CHECK(again.bytes == first.bytes);
    give_large(small);
    give_large(again);
    CHECK(free_kept() == 7 * kMiB);
    CHECK(free_kept() == 0);
}

TEST_CASE("no more is kept than stated, the last given first") {
    free_kept();
    std::vector<LargeBlock> blocks;
    blocks.reserve(6);
    for (int k = 0; k < 6; ++k) {
        blocks.push_back(take_large(kMostKept / 4));
    }
    const LargeBlock huge = take_large(kMostKept + 1);
    for (const LargeBlock& block : blocks) {
        give_large(block);
    }
    give_large(huge);
    const LargeBlock oldest_kept = take_large(kMostKept / 4);
    CHECK(oldest_kept.address == blocks[2].address);
    give_large(oldest_kept);
    CHECK(free_kept() == kMostKept);
}

TEST_CASE("many small blocks do not fill the places for ever") {
    free_kept();
    std::vector<LargeBlock> blocks;
    blocks.reserve(100);
    for (int k = 0; k < 100; ++k) {
        blocks.push_back(take_large(kLargePage));
    }
    for (const LargeBlock& block : blocks) {
        give_large(block);
    }
    CHECK(free_kept() == 32 * kLargePage);
}

TEST_CASE("threads that take and give at once never share a block") {
    free_kept();
    std::atomic<int> wrong{0};
    parallel_for(64, 4,
                 [&](std::int64_t task, int) {
                     for (int round = 0; round < 20; ++round) {
                         Buffer<std::int64_t> buffer(std::int64_t{300'000} + task * 1000);
                         for (std::int64_t k = 0; k < buffer.size(); k += 512) {
                             buffer[k] = task * 100 + round;
                         }
                         for (std::int64_t k = 0; k < buffer.size(); k += 512) {
                             wrong += buffer[k] == task * 100 + round ? 0 : 1;
                         }
                     }
                 },
                 {});
    CHECK(wrong == 0);
    free_kept();
}
