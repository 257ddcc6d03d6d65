// Tasks on several threads: each done once, errors and cancels come out, signals stay away.
#include "hartonomous/thread_pool.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <set>
#include <stdexcept>

#include "countdown.hpp"

namespace hartonomous {
namespace {

class ThreadPool : public testing::TestWithParam<unsigned> {
 protected:
  no_interrupts none;
  thread_pool pool{GetParam()};
};

TEST_P(ThreadPool, EveryTaskIsDoneOnce) {
  for (const std::size_t count : {0, 1, 2, 3, 1000}) {
    std::vector<std::atomic<int>> done(count);
    pool.run(count, none, [&](std::size_t i) { ++done[i]; });
    for (const std::atomic<int>& d : done) EXPECT_EQ(d, 1);
  }
}

TEST_P(ThreadPool, AnErrorOfATaskComesOutAndTheNextRunIsClean) {
  std::atomic<int> done{0};
  EXPECT_THROW(pool.run(1000, none,
                        [&](std::size_t i) {
                          if (i == 3) throw std::runtime_error("task 3");
                          ++done;
                        }),
               std::runtime_error);
  EXPECT_LT(done, 1000);
  done = 0;
  pool.run(10, none, [&](std::size_t) { ++done; });
  EXPECT_EQ(done, 10);
}

TEST_P(ThreadPool, ACancelEndsTheRun) {
  countdown interrupts(3);
  std::atomic<int> done{0};
  EXPECT_THROW(pool.run(1000, interrupts,
                        [&](std::size_t) {
                          std::this_thread::sleep_for(std::chrono::milliseconds(1));
                          ++done;
                        }),
               std::domain_error);
  EXPECT_LT(done, 100);
}

TEST_P(ThreadPool, ACancelIsSeenWhileOthersWork) {
  // The calling thread has nothing left to do and waits for a long task of another, or does it itself and checks for
  // interrupts after.
  countdown interrupts(3);
  const auto caller = std::this_thread::get_id();
  EXPECT_THROW(pool.run(2, interrupts,
                        [&](std::size_t) {
                          if (std::this_thread::get_id() != caller) {
                            std::this_thread::sleep_for(std::chrono::milliseconds(60));
                          }
                        }),
               std::domain_error);
}

TEST_P(ThreadPool, OtherThreadsHaveEverySignalBlocked) {
  const auto caller = std::this_thread::get_id();
  std::atomic<bool> open{false};
  pool.run(64, none, [&](std::size_t) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (std::this_thread::get_id() == caller) return;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGALRM}) {
      if (sigismember(&mask, signal) == 0) open = true;
    }
  });
  EXPECT_FALSE(open);
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  EXPECT_EQ(sigismember(&mask, SIGINT), 0) << "the caller's own mask is as before";
}

TEST_P(ThreadPool, AsManyThreadsAsAskedFor) {
  std::mutex mutex;
  std::set<std::thread::id> seen;
  pool.run(100, none, [&](std::size_t) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    const std::lock_guard<std::mutex> lock(mutex);
    seen.insert(std::this_thread::get_id());
  });
  EXPECT_EQ(seen.size(), GetParam());
}

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPool, testing::Values(1u, 2u, 5u),
                         [](const testing::TestParamInfo<unsigned>& info) { return std::to_string(info.param); });

}  // namespace
}  // namespace hartonomous
