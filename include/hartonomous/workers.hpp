// Arithmetic on several threads.
//
// Threads of the core see no signal of the process (all are blocked in them), own no memory of the caller's and check
// for no interrupts: the calling thread does, which takes tasks like the others, checks between them, and waits for the
// rest with a timed wait. What is computed must not depend on how many threads there are: cut work by its size, never
// by their number.
//
// While an object lives, OpenBLAS (and whatever else uses OpenMP) makes no threads of its own on the thread that made
// it, nor on those that work for it. It ends on the thread that made it.
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

class workers {
 public:
  // With `threads` 0 or 1 everything runs on the calling thread. Others are made by the first run() that needs them
  // and end with the object.
  explicit workers(unsigned threads = 1);
  ~workers();
  workers(const workers&) = delete;
  workers& operator=(const workers&) = delete;

  unsigned threads() const noexcept { return threads_; }

  // Calls task(i) once for every i < count, in any order and on any thread. A task should take a few milliseconds at
  // most, for the sake of `interrupts`. The first error of a task or of a check ends the run: tasks that have begun are
  // waited for, no other begins, and it is thrown again here.
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
  std::condition_variable work_;  // there are tasks, or the end has come
  std::condition_variable done_;  // no task is being done any more
  const std::function<void(std::size_t)>* task_ = nullptr;
  std::size_t next_ = 0, count_ = 0, running_ = 0;
  std::exception_ptr failure_;
  bool ending_ = false;
};

}  // namespace hartonomous
