#include "phylo/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

#include "phylo/errors.hpp"

namespace phylo {

int available_threads() noexcept {
#ifdef __linux__
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        return std::max(1, CPU_COUNT(&set));
    }
#endif
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int threads_for(std::int64_t tasks, int threads) noexcept {
    const int wanted = threads > 0 ? threads : available_threads();
    return static_cast<int>(std::clamp<std::int64_t>(tasks, 1, wanted));
}

void parallel_for(std::int64_t tasks, int threads,
                  const std::function<void(std::int64_t, int)>& work, const StopRequest& stop) {
    std::atomic<std::int64_t> next{0};
    std::atomic<bool> stopped{false};
    std::exception_ptr failure;
    std::mutex failure_lock;

    const auto fail = [&](std::exception_ptr error) {
        const std::scoped_lock lock(failure_lock);
        if (!failure) {
            failure = std::move(error);
        }
        stopped.store(true);
    };
    const auto run = [&](int worker, const StopRequest& ask) {
        try {
            for (;;) {
                const std::int64_t task = next.fetch_add(1);
                if (task >= tasks || stopped.load()) {
                    return;
                }
                if (ask && ask()) {
                    throw Interrupted();
                }
                work(task, worker);
            }
        } catch (...) {
            fail(std::current_exception());
        }
    };

    std::vector<std::thread> pool;
    const int used = threads_for(tasks, threads);
    try {
        for (int worker = 1; worker < used; ++worker) {
            pool.emplace_back(run, worker, StopRequest{});
        }
    } catch (...) {
        fail(std::current_exception());  // the system gave no more threads
    }
    run(0, stop);
    for (std::thread& thread : pool) {
        thread.join();
    }
    if (failure) {
        std::rethrow_exception(failure);
    }
}

}  // namespace phylo
