#include <doctest/doctest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

#include "phylo/errors.hpp"
#include "phylo/parallel.hpp"

using namespace phylo;

TEST_CASE("every task runs once, on a worker of its own") {
    for (const int threads : {0, 1, 2, 7}) {
        std::vector<std::atomic<int>> runs(100);
        std::vector<std::atomic<int>> busy(static_cast<std::size_t>(threads_for(100, threads)));
        std::atomic<bool> shared{false};
        parallel_for(100, threads, [&](std::int64_t task, int worker) {
            if (busy[static_cast<std::size_t>(worker)].fetch_add(1) != 0) {
                shared = true;
            }
            ++runs[static_cast<std::size_t>(task)];
            busy[static_cast<std::size_t>(worker)].fetch_sub(1);
        });
        CHECK_FALSE(shared.load());
        for (const auto& count : runs) {
            CHECK(count.load() == 1);
        }
    }
}

TEST_CASE("no tasks is no work") {
    parallel_for(0, 4, [](std::int64_t, int) { FAIL("called"); });
}

TEST_CASE("an exception in a task reaches the caller") {
    const auto work = [](std::int64_t task, int) {
        if (task == 5) {
            throw std::runtime_error("five");
        }
    };
    CHECK_THROWS_WITH(parallel_for(50, 3, work), "five");
}

TEST_CASE("a stop request ends the work") {
    std::atomic<int> runs{0};
    const auto work = [&](std::int64_t, int) { ++runs; };
    CHECK_THROWS_AS(parallel_for(1000, 1, work, [&] { return runs.load() >= 3; }), Interrupted);
    CHECK(runs.load() == 3);
}
