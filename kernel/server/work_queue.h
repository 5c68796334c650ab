// Jobs that would block the I/O thread, between it and the worker: bounded, run in the order in which they came.
// Threads: submit() and take_done() the I/O thread's, run_once() a worker's, hand_back() anybody's; one mutex between them.
#pragma once

#include <deque>
#include <mutex>

#include "kernel/net/workers.h"

namespace heptane::server {

class WorkQueue final : public net::Workers {
 public:
  static constexpr size_t kJobsMax = 256;  // queued, under way, or done and not taken

  // Before the first job.
  void set_wake_worker(std::function<void()> wake) { wake_worker_ = std::move(wake); }
  void set_wake_io(std::function<void()> wake) { wake_io_ = std::move(wake); }

  bool submit(net::WorkJob job) override;
  std::optional<net::WorkDone> take_done() override;
  void hand_back(net::WorkDone done) override;
  // One job; true when it did one.
  bool run_once();
  size_t outstanding() const;

 private:
  mutable std::mutex mutex_;
  std::deque<net::WorkJob> jobs_;
  std::deque<net::WorkDone> done_;
  std::deque<net::WorkDone> handed_back_;  // not counted here: whoever did it counts what is under way
  size_t outstanding_ = 0;
  std::function<void()> wake_worker_;
  std::function<void()> wake_io_;
};

}  // namespace heptane::server
