#include "kernel/shard/running_queries.h"

#include <algorithm>
#include <utility>

namespace heptane {

namespace {

Reply refusal(Errc code, const char* message) {
  Reply reply;
  reply.error = code;
  reply.message = message;
  return reply;
}

Reply too_late() {
  return refusal(Errc::deadline, "the query took longer than 30 seconds: ask for less, for a narrower range of time");
}

}  // namespace

void RunningQueries::take(Asked asked, std::unique_ptr<QueryInSlices> query) {
  if (unfinished_ >= kUnfinishedMost) return wait(std::move(asked));
  Reply reply;
  const QueryInSlices::Step step = query->step(reply);
  if (step == QueryInSlices::Step::done) return answer_(asked, std::move(reply));
  ++unfinished_;
  if (running_.size() >= kRunningMost) return wait(std::move(asked));
  run(std::move(asked), std::move(query), step, clock_.monotonic_ns() + kDeadlineNs);
}

void RunningQueries::run(Asked asked, std::unique_ptr<QueryInSlices> query, QueryInSlices::Step step,
                         int64_t deadline_ns) {
  const int64_t not_before_ns = step == QueryInSlices::Step::waits ? clock_.monotonic_ns() + kDiskEveryNs : 0;
  running_.push_back({std::move(asked), std::move(query), deadline_ns, not_before_ns});
}

void RunningQueries::wait(Asked asked) {
  const size_t bytes = asked.query.payload.size();
  if (waiting_.size() >= kWaitingMost || waiting_bytes_ + bytes > kWaitingBytesMost)
    return answer_(asked, refusal(Errc::overloaded, "too many queries that look at much: ask again later"));
  waiting_bytes_ += bytes;
  waiting_.push_back({std::move(asked), clock_.monotonic_ns() + kDeadlineNs});
}

bool RunningQueries::run_once(bool stopping) {
  unfinished_ = 0;
  if (empty()) return false;
  if (stopping) refuse_all();
  const int64_t now_ns = clock_.monotonic_ns();
  refuse_late(now_ns);
  begin_waiting();
  bool stepped = false;
  for (size_t left = running_.size(); left > 0 && !stepped; --left) {
    Running next = std::move(running_.front());
    running_.pop_front();
    if (next.not_before_ns > now_ns) {
      running_.push_back(std::move(next));
      continue;
    }
    Reply reply;
    const QueryInSlices::Step step = next.query->step(reply);
    stepped = step != QueryInSlices::Step::waits;
    if (step == QueryInSlices::Step::done)
      answer_(next.asked, std::move(reply));
    else
      run(std::move(next.asked), std::move(next.query), step, next.deadline_ns);
  }
  return stepped && !empty();
}

int64_t RunningQueries::next_deadline_ns() const {
  int64_t due_ns = INT64_MAX;
  for (const Running& running : running_) due_ns = std::min(due_ns, running.not_before_ns);
  return due_ns;
}

void RunningQueries::begin_waiting() {
  while (running_.size() < kRunningMost && !waiting_.empty()) {
    Waiting next = std::move(waiting_.front());
    waiting_.pop_front();
    waiting_bytes_ -= next.asked.query.payload.size();
    std::unique_ptr<QueryInSlices> query = begin_(next.asked.query);
    if (query == nullptr)
      answer_(next.asked, refusal(Errc::internal, "the query cannot be begun any more: ask again"));
    else
      run(std::move(next.asked), std::move(query), QueryInSlices::Step::more, next.deadline_ns);
  }
}

void RunningQueries::refuse_all() {
  const auto refuse = [this](const Asked& asked) { answer_(asked, refusal(Errc::closed, "the server is stopping")); };
  for (const Running& running : running_) refuse(running.asked);
  for (const Waiting& waiting : waiting_) refuse(waiting.asked);
  running_.clear();
  waiting_.clear();
  waiting_bytes_ = 0;
}

void RunningQueries::refuse_late(int64_t now_ns) {
  std::erase_if(running_, [&](const Running& running) {
    if (running.deadline_ns > now_ns) return false;
    answer_(running.asked, too_late());
    return true;
  });
  std::erase_if(waiting_, [&](const Waiting& waiting) {
    if (waiting.deadline_ns > now_ns) return false;
    waiting_bytes_ -= waiting.asked.query.payload.size();
    answer_(waiting.asked, too_late());
    return true;
  });
}

}  // namespace heptane
