#include "kernel/server/runner.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <chrono>

namespace heptane::server {

namespace {

constexpr int64_t kHelperPeriodNs = 100'000'000;
constexpr int64_t kReaderPeriodNs = 1'000'000'000;  // looks for files that are gone

// Signals belong to the main thread, whose handler wakes the loop; but for the profiler's, which is to hit whoever runs.
void block_signals() {
  sigset_t all;
  sigfillset(&all);
  sigdelset(&all, SIGPROF);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

}  // namespace

void Wakeup::notify() {
  {
    const std::lock_guard lock(mutex_);
    pending_ = true;
  }
  changed_.notify_one();
}

void Wakeup::wait(int64_t limit_ns) {
  std::unique_lock lock(mutex_);
  const auto woken = [this] { return pending_; };
  if (limit_ns < 0)
    changed_.wait(lock, woken);
  else
    changed_.wait_for(lock, std::chrono::nanoseconds(limit_ns), woken);
  pending_ = false;
}

Runner::Runner(Server& server) : server_(server) {
  server_.set_wake_commit([this] { commit_wakeup_.notify(); });
  server_.set_wake_helper([this] { helper_wakeup_.notify(); });
  server_.set_wake_worker([this] { worker_wakeup_.notify(); });
  for (size_t i = 0; i < server_.readers(); ++i) reader_wakeups_.push_back(std::make_unique<Wakeup>());
  server_.set_wake_readers([this] {
    for (const auto& wakeup : reader_wakeups_) wakeup->notify();
  });
}

Runner::~Runner() {
  ended_.store(true);
  commit_wakeup_.notify();
  helper_wakeup_.notify();
  worker_wakeup_.notify();
  for (const auto& wakeup : reader_wakeups_) wakeup->notify();
  for (std::thread& reader : reader_threads_) reader.join();
  if (commit_thread_.joinable()) commit_thread_.join();
  if (helper_thread_.joinable()) helper_thread_.join();
  if (worker_thread_.joinable()) worker_thread_.join();
}

void Runner::start_threads() {
  commit_thread_ = std::thread([this] {
    block_signals();
    commit_loop();
  });
  helper_thread_ = std::thread([this] {
    block_signals();
    helper_loop();
  });
  worker_thread_ = std::thread([this] {
    block_signals();
    worker_loop();
  });
  for (size_t i = 0; i < server_.readers(); ++i)
    reader_threads_.emplace_back([this, i] {
      block_signals();
      reader_loop(i);
    });
}

void Runner::commit_loop() {
  while (!ended_.load())
    if (!server_.commit_turn()) commit_wakeup_.wait(-1);
}

void Runner::helper_loop() {
  while (!ended_.load())
    if (!server_.helper_turn()) helper_wakeup_.wait(std::min(kHelperPeriodNs, server_.helper_wait_ns()));
}

void Runner::reader_loop(size_t reader) {
  while (!ended_.load())
    if (!server_.reader_turn(reader)) reader_wakeups_[reader]->wait(kReaderPeriodNs);
}

void Runner::worker_loop() {
  while (!ended_.load())
    if (!server_.worker_turn()) worker_wakeup_.wait(-1);
}

void Runner::run(const std::atomic<bool>& stop) {
  bool stopping = false;
  bool more = false;
  while (!stopping || !server_.drained()) {
    server_.io_turn(more ? 0 : server_.wait_limit_ns());
    more = server_.shard_turn();
    if (!stopping && reload_wanted_ != nullptr && reload_wanted_->load() && reload_wanted_->exchange(false)) reload_();
    if (stop.load() && !stopping) {
      stopping = true;
      server_.request_stop();
    }
  }
}

}  // namespace heptane::server
