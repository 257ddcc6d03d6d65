// A thread pool for arithmetic.
//
// Threads of the pool block all signals, own no memory of the caller's and do not check for interrupts. The calling
// thread does that: it takes tasks like the others, checks between them, and waits for the rest with a timeout. Results
// must not depend on the number of threads: divide work by its size, never by their number.
//
// While an object lives, OpenBLAS (and anything else that uses OpenMP) creates no threads of its own, neither on the
// thread that created the object nor on those of the pool. The object must be destroyed on the thread that created it.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "hartonomous/interrupt.hpp"

namespace hartonomous {

class thread_pool {
 public:
  // With `threads` 0 or 1 everything runs on the calling thread. Further threads are created by the first run() that
  // needs them and end with the object.
  explicit thread_pool(unsigned threads = 1);
  ~thread_pool();
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;

  unsigned threads() const noexcept { return threads_; }

  // Calls task(i) once for every i < count, in any order and on any thread. A task should take a few milliseconds at
  // most, so that interrupts are checked often enough. The first error of a task or a check ends the run: no further
  // task begins, those that have begun are waited for, and the error is rethrown here.
  void run(std::size_t count, interrupt_checker& interrupts, const std::function<void(std::size_t)>& task);

 private:
  void start_threads();
  void serve();
  bool do_one_task();
  void fail(std::exception_ptr reason);
  void wait_for_others(interrupt_checker& interrupts);

  unsigned threads_;
  std::vector<std::thread> pool_;
  std::mutex mutex_;
  std::condition_variable work_;  // there are tasks, or the pool is shutting down
  std::condition_variable done_;  // no task is running any more
  const std::function<void(std::size_t)>* task_ = nullptr;
  std::size_t next_ = 0, count_ = 0, running_ = 0;
  std::exception_ptr failure_;
  bool ending_ = false;
};

}  // namespace hartonomous
