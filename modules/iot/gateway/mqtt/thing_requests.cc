#include "modules/iot/gateway/mqtt/thing_requests.h"

#include <utility>

#include "kernel/base/crc32c.h"
#include "modules/iot/gateway/mqtt/broker.h"

namespace heptane::iot::mqtt {

namespace {

constexpr int64_t kRetryNs = 1'000'000;  // when the shard's ring is full

Reason reason_of(Errc error) {
  const bool for_now = error == Errc::overloaded || error == Errc::no_space;
  if (for_now) return Reason::quota_exceeded;
  return error == Errc::unauthorised || error == Errc::stale ? Reason::not_authorised : Reason::unspecified;
}

}  // namespace

void ThingRequests::detach() {
  context_ = nullptr;
  queued_.clear();
  first_request_ += under_way_.size();
  under_way_.clear();
  things_.clear();
  held_ = 0;
  bytes_ = 0;
  timer_ = 0;
}

bool ThingRequests::request(std::string_view thing, const Make& make, SessionId from, uint64_t ticket,
                            const Principal& principal) {
  if (context_ == nullptr || waiting() >= kWaitingMax || bytes_ >= kWaitingBytesMax) return false;
  Waiting waiting{from, ticket, principal, std::string(thing), false, {}};
  OfThing& of_thing = things_[waiting.thing];
  const bool room = of_thing.requests < kind_.in_flight;
  waiting.rejected = !room && of_thing.rejections < kRejectionsMax;
  const bool may_be_held = ticket != 0 && of_thing.held.size() < kHeldMax;
  if (!room && !waiting.rejected && !may_be_held) return false;
  waiting.payload = make(waiting.rejected);
  if (!room && !waiting.rejected) return hold(of_thing, std::move(waiting));
  ++(room ? of_thing.requests : of_thing.rejections);
  bytes_ += waiting.payload.size();
  queued_.push_back(std::move(waiting));
  if (timer_ == 0) send();
  return true;
}

// One of a publisher: it is not read until it was answered.
bool ThingRequests::hold(OfThing& of_thing, Waiting waiting) {
  Subscriber* publisher = broker_.find(waiting.session);
  if (publisher == nullptr || !publisher->hold()) return false;
  bytes_ += waiting.payload.size();
  ++held_;
  of_thing.held.push_back(std::move(waiting));
  return true;
}

// Who is gone sends it again itself.
void ThingRequests::take_held(const std::string& thing) {
  const auto found = things_.find(thing);
  if (found == things_.end()) return;
  OfThing& of_thing = found->second;
  while (!of_thing.held.empty() && of_thing.requests < kind_.in_flight) {
    Waiting next = std::move(of_thing.held.front());
    of_thing.held.pop_front();
    --held_;
    if (broker_.find(next.session) == nullptr) {
      bytes_ -= next.payload.size();
      continue;
    }
    ++of_thing.requests;
    queued_.push_back(std::move(next));
  }
  if (of_thing.requests == 0 && of_thing.rejections == 0) things_.erase(found);
  if (timer_ == 0) send();
}

void ThingRequests::send() {
  while (!queued_.empty() && may_send()) {
    Waiting& waiting = queued_.front();
    Submission submission;
    submission.machine = kind_.machine;
    submission.type = kind_.command;
    submission.payload = waiting.payload;
    submission.payload_crc = crc32c(submission.payload.view());
    submission.principal = waiting.principal;
    if (!context_->submit(first_request_ + under_way_.size(), std::move(submission))) {
      if (timer_ == 0) timer_ = context_->arm(kRetryNs);
      return;
    }
    under_way_.push_back(std::move(waiting));
    queued_.pop_front();
  }
}

bool ThingRequests::on_timer(net::SessionTimerId timer) {
  if (timer_ == 0 || timer != timer_) return false;
  timer_ = 0;
  send();
  return true;
}

bool ThingRequests::on_reply(RequestId request, const Reply& reply) {
  if (request < kind_.requests || request >= 2 * kind_.requests) return false;
  if (under_way_.empty() || request != first_request_) return true;
  const Waiting waiting = std::move(under_way_.front());
  under_way_.pop_front();
  ++first_request_;
  bytes_ -= waiting.payload.size();
  if (const auto of_thing = things_.find(waiting.thing); of_thing != things_.end())
    --(waiting.rejected ? of_thing->second.rejections : of_thing->second.requests);
  take_held(waiting.thing);
  finish(waiting, reply.ok() ? Reason::success : reason_of(*reply.error));
  return true;
}

void ThingRequests::finish(const Waiting& waiting, Reason reason) {
  if (static_cast<uint8_t>(reason) >= 0x80) broker_.counters().refused.add();
  if (waiting.ticket == 0) return;
  if (Subscriber* publisher = broker_.find(waiting.session)) publisher->published(waiting.ticket, reason);
}

}  // namespace heptane::iot::mqtt
