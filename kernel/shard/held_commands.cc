#include "kernel/shard/held_commands.h"

#include <algorithm>
#include <utility>

#include "kernel/base/telemetry.h"

namespace heptane {

namespace {

constexpr uint64_t kBytesOfWork = 64;  // of a payload that is looked at again, for one of Prefetch::kWork
constexpr const char* kTooMany = "too many commands wait for the disk: send it again";
constexpr const char* kTooLate = "the disk did not give what the command needs within 10 seconds: send it again";

uint64_t payload_bytes(const ShardRequest& request) {
  if (const auto* submission = std::get_if<Submission>(&request.body)) return submission->payload.size();
  if (const auto* query = std::get_if<QueryRequest>(&request.body)) return query->payload.size();
  return 0;
}

bool keeps_its_order(const ShardRequest& request) {
  return std::holds_alternative<Submission>(request.body) || std::holds_alternative<QueryRequest>(request.body);
}

}  // namespace

void HeldCommands::hold(ShardLink& link, ShardRequest request, std::unique_ptr<Prefetch> lacking) {
  Lane& lane = lanes_.emplace_back();
  lane.link = &link;
  lane.session = request.session;
  if (!add(lane, std::move(request), std::move(lacking)) || advance(lane, false) == Went::over) lanes_.pop_back();
}

bool HeldCommands::follow(ShardLink& link, ShardRequest& request) {
  if (lanes_.empty() || !keeps_its_order(request)) return false;
  const auto lane = std::find_if(lanes_.begin(), lanes_.end(), [&](const Lane& waiting) {
    return waiting.link == &link && waiting.session == request.session;
  });
  if (lane == lanes_.end()) return false;
  add(*lane, std::move(request), nullptr);
  return true;
}

// False: there is no room, and it is refused.
bool HeldCommands::add(Lane& lane, ShardRequest request, std::unique_ptr<Prefetch> lacking) {
  const uint64_t bytes = payload_bytes(request);
  if (held() >= kHeldMost || held_bytes_ + bytes > kHeldBytesMost) {
    count_alone(refused_total_);
    refuse_(*lane.link, request, kTooMany);
    return false;
  }
  held_.store(held() + 1, std::memory_order_relaxed);
  held_bytes_ += bytes;
  lane.requests.push_back({std::move(request), std::move(lacking), {}, bytes, clock_.monotonic_ns() + kDeadlineNs});
  return true;
}

// Takes what can be taken, in its order.
HeldCommands::Went HeldCommands::advance(Lane& lane, bool stopping) {
  while (!lane.requests.empty()) {
    Held& first = lane.requests.front();
    if (first.lacking != nullptr && !stopping) {
      const Prefetch::Step step = first.lacking->step(work_);
      if (step == Prefetch::Step::more) return Went::more;
      if (step == Prefetch::Step::waits) {
        if (lane.not_before_ns == 0) count_alone(waited_total_);
        lane.not_before_ns = clock_.monotonic_ns() + kDiskEveryNs;
        return Went::waits;
      }
      first.fetched.push_back(std::move(first.lacking));
    }
    work_ -= static_cast<int64_t>(first.bytes / kBytesOfWork);
    const Taken taken = take_(*lane.link, first.request, first.lacking);
    stalled_ = taken == Taken::stalled;
    if (stalled_) return Went::stalled;
    if (taken == Taken::yes) pop(lane);
  }
  return Went::over;
}

void HeldCommands::pop(Lane& lane) {
  held_bytes_ -= lane.requests.front().bytes;
  lane.requests.pop_front();
  lane.not_before_ns = 0;
  held_.store(held() - 1, std::memory_order_relaxed);
  if (lane.link->wake_io) lane.link->wake_io();
}

bool HeldCommands::run_once(bool stopping) {
  work_ = Prefetch::kWork;
  stalled_ = false;
  if (lanes_.empty()) return false;
  const int64_t now_ns = clock_.monotonic_ns();
  bool more = refuse_late(now_ns);
  size_t looked = 0;
  for (auto lane = lanes_.begin(); lane != lanes_.end() && (stopping || looked < kFetching); ++looked) {
    if (!stopping && lane->not_before_ns > now_ns) {
      ++lane;
      continue;
    }
    const Went went = advance(*lane, stopping);
    if (went == Went::stalled) return false;
    if (went == Went::more) {
      lanes_.splice(lanes_.end(), lanes_, lane);  // the others have their turn before it
      return true;
    }
    more = more || went == Went::over;  // another one comes to its place
    lane = went == Went::over ? lanes_.erase(lane) : std::next(lane);
  }
  return more && !lanes_.empty();
}

// True: some were.
bool HeldCommands::refuse_late(int64_t now_ns) {
  bool refused = false;
  for (Lane& lane : lanes_)
    while (!lane.requests.empty() && lane.requests.front().deadline_ns <= now_ns) {
      count_alone(refused_total_);
      refuse_(*lane.link, lane.requests.front().request, kTooLate);
      pop(lane);
      refused = true;
    }
  return refused;
}

int64_t HeldCommands::next_deadline_ns() const {
  int64_t due_ns = INT64_MAX;
  if (stalled_) return due_ns;
  size_t looked = 0;
  for (auto lane = lanes_.begin(); lane != lanes_.end() && looked < kFetching; ++lane, ++looked)
    due_ns = std::min(due_ns, lane->not_before_ns);
  return due_ns;
}

}  // namespace heptane
