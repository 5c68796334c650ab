// Gives the roles of a Server their threads: I/O and shard merged on the calling thread, commit, housekeeping and readers
// apart, and a worker for jobs of the I/O side. Nothing spins; every thread sleeps until it is woken or its deadline comes.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "kernel/server/server.h"

namespace heptane::server {

// Wakes one sleeping thread; a wake that comes first is not lost. notify() from any thread.
class Wakeup {
 public:
  void notify();
  // Returns at a notify (also an earlier one) or after `limit_ns`; < 0 = no limit.
  void wait(int64_t limit_ns);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool pending_ = false;
};

class Runner {
 public:
  explicit Runner(Server& server);
  ~Runner();
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  // Starts commit, housekeeping, readers and the worker; server.start() must have succeeded.
  void start_threads();
  // `reload` runs between two turns after somebody set `wanted` and woke the server. Before run().
  void set_reload(std::atomic<bool>& wanted, std::function<void()> reload) {
    reload_wanted_ = &wanted;
    reload_ = std::move(reload);
  }
  // Runs I/O and shard until `stop` is set (a signal handler sets it and wakes the server) and everything is drained.
  void run(const std::atomic<bool>& stop);

 private:
  void commit_loop();
  void helper_loop();
  void reader_loop(size_t reader);
  void worker_loop();

  Server& server_;
  Wakeup commit_wakeup_;
  Wakeup helper_wakeup_;
  Wakeup worker_wakeup_;
  std::atomic<bool> ended_{false};
  std::atomic<bool>* reload_wanted_ = nullptr;
  std::function<void()> reload_;
  std::thread commit_thread_;
  std::thread helper_thread_;
  std::thread worker_thread_;
  std::vector<std::unique_ptr<Wakeup>> reader_wakeups_;
  std::vector<std::thread> reader_threads_;
};

}  // namespace heptane::server
