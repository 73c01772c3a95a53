#pragma once

#include <cstdint>
#include <functional>

namespace phylo {

/// Asked now and then by the thread that called, while work goes on; true stops the work.
using StopRequest = std::function<bool()>;

/// Threads that this process may run at once: what the scheduler's affinity mask allows.
[[nodiscard]] int available_threads() noexcept;

/// Calls work(task, worker) once for each task in 0..tasks, on `threads` threads (0: all
/// available), the calling thread among them. `worker` is in 0..threads and is never shared by two
/// tasks at once. Tasks are handed out in ascending order, so put the longest first. The first
/// exception is rethrown here once all threads have stopped; Interrupted is thrown when `stop`
/// answered true.
void parallel_for(std::int64_t tasks, int threads,
                  const std::function<void(std::int64_t task, int worker)>& work,
                  const StopRequest& stop = {});

/// The number of threads parallel_for would use.
[[nodiscard]] int threads_for(std::int64_t tasks, int threads) noexcept;

}  // namespace phylo
