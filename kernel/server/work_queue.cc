#include "kernel/server/work_queue.h"

namespace heptane::server {

bool WorkQueue::submit(net::WorkJob job) {
  {
    const std::lock_guard lock(mutex_);
    if (outstanding_ == kJobsMax) return false;
    ++outstanding_;
    jobs_.push_back(std::move(job));
  }
  if (wake_worker_) wake_worker_();
  return true;
}

std::optional<net::WorkDone> WorkQueue::take_done() {
  const std::lock_guard lock(mutex_);
  if (!handed_back_.empty()) {
    const net::WorkDone done = handed_back_.front();
    handed_back_.pop_front();
    return done;
  }
  if (done_.empty()) return std::nullopt;
  const net::WorkDone done = done_.front();
  done_.pop_front();
  --outstanding_;
  return done;
}

void WorkQueue::hand_back(net::WorkDone done) {
  {
    const std::lock_guard lock(mutex_);
    done.counted = false;
    handed_back_.push_back(done);
  }
  if (wake_io_) wake_io_();
}

bool WorkQueue::run_once() {
  net::WorkJob job;
  {
    const std::lock_guard lock(mutex_);
    if (jobs_.empty()) return false;
    job = std::move(jobs_.front());
    jobs_.pop_front();
  }
  job.run();
  job.run = nullptr;  // what it keeps ends here, before anybody hears that it is done
  {
    const std::lock_guard lock(mutex_);
    done_.push_back({job.session, job.request});
  }
  if (wake_io_) wake_io_();
  return true;
}

size_t WorkQueue::outstanding() const {
  const std::lock_guard lock(mutex_);
  return outstanding_;
}

}  // namespace heptane::server
