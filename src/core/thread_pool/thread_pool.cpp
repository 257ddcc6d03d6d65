// A thread pool whose threads take tasks from a counter (hartonomous/thread_pool.hpp).
#include "hartonomous/thread_pool.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <system_error>
#include <utility>

#include "thread_pool/blas_threads.hpp"

namespace hartonomous {
namespace {

// Threads inherit the signal mask of the thread that creates them. With all signals blocked, no signal handler runs on
// a thread of the pool; PostgreSQL's handlers assume that they run on its only thread.
class signals_blocked {
 public:
  signals_blocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &previous_);
  }
  signals_blocked(const signals_blocked&) = delete;
  signals_blocked& operator=(const signals_blocked&) = delete;
  ~signals_blocked() { pthread_sigmask(SIG_SETMASK, &previous_, nullptr); }

 private:
  sigset_t previous_{};
};

// How many objects this thread has created, and OpenMP's setting before the first of them.
thread_local int objects = 0;
thread_local int openmp_threads = 1;

}  // namespace

thread_pool::thread_pool(unsigned threads) : threads_(threads == 0 ? 1 : threads) {
  if (objects++ > 0) return;
  openmp_threads = omp_get_max_threads();
  omp_set_num_threads(1);
}

thread_pool::~thread_pool() {
  if (--objects == 0) omp_set_num_threads(openmp_threads);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ending_ = true;
  }
  work_.notify_all();
  for (std::thread& thread : pool_) thread.join();
}

void thread_pool::start_threads() {
  const signals_blocked blocked;
  pool_.reserve(threads_ - 1);
  try {
    while (pool_.size() + 1 < threads_) pool_.emplace_back([this] { serve(); });
  } catch (const std::system_error&) {
    threads_ = static_cast<unsigned>(pool_.size()) + 1;  // fewer threads give the same result
  }
}

void thread_pool::serve() {
  omp_set_num_threads(1);
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    work_.wait(lock, [this] { return ending_ || next_ < count_; });
    if (ending_) return;
    ++running_;
    lock.unlock();
    while (do_one_task()) {
    }
    lock.lock();
    if (--running_ == 0) done_.notify_one();
  }
}

bool thread_pool::do_one_task() {
  std::size_t i = 0;
  const std::function<void(std::size_t)>* task = nullptr;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (next_ >= count_) return false;
    i = next_++;
    task = task_;
  }
  try {
    (*task)(i);
  } catch (...) {
    fail(std::current_exception());
  }
  return true;
}

void thread_pool::fail(std::exception_ptr reason) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!failure_) failure_ = std::move(reason);
  next_ = count_;
}

void thread_pool::run(std::size_t count, interrupt_checker& interrupts, const std::function<void(std::size_t)>& task) {
  interrupts.check();
  if (threads_ == 1 || count < 2) {
    for (std::size_t i = 0; i < count; ++i) {
      task(i);
      interrupts.check();
    }
    return;
  }
  if (pool_.size() + 1 < threads_) start_threads();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    task_ = &task;
    next_ = 0;
    count_ = count;
    failure_ = nullptr;
  }
  work_.notify_all();
  try {
    while (do_one_task()) interrupts.check();
  } catch (...) {
    fail(std::current_exception());
  }
  wait_for_others(interrupts);
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

// Tasks that have begun use the caller's memory, so this must not return before they end, whatever happens.
void thread_pool::wait_for_others(interrupt_checker& interrupts) {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!done_.wait_for(lock, std::chrono::milliseconds(5), [this] { return running_ == 0; })) {
    lock.unlock();
    try {
      interrupts.check();
    } catch (...) {
      fail(std::current_exception());
    }
    lock.lock();
  }
  next_ = count_ = 0;
  task_ = nullptr;
}

}  // namespace hartonomous
