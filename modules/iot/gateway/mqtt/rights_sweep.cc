#include "modules/iot/gateway/mqtt/rights_sweep.h"

#include <vector>

#include "modules/iot/gateway/mqtt/broker.h"

namespace heptane::iot::mqtt {

void RightsSweep::watch() {
  if (timer_ == 0 && context_ != nullptr && broker_.options().rules != nullptr) timer_ = context_->arm(kEachNs);
}

bool RightsSweep::on_timer(net::SessionTimerId timer) {
  if (timer_ == 0 || timer != timer_) return false;
  timer_ = 0;
  look();
  return true;
}

void RightsSweep::look() {
  if (!looking_) {
    const uint64_t now = broker_.options().rules->generation();
    looking_ = now != generation_;
    generation_ = now;
    after_.clear();
  }
  if (looking_ && look_at_some()) {
    timer_ = context_->arm(0);
    return;
  }
  looking_ = false;
  if (!broker_.clients().empty()) watch();
}

// True: there are more. One that leaves may have others leave, so they are found again.
bool RightsSweep::look_at_some() {
  std::vector<SessionId> some;
  const auto& clients = broker_.clients();
  auto at = after_.empty() ? clients.begin() : clients.upper_bound(std::string_view(after_));
  for (; at != clients.end() && some.size() < kAtOnce; ++at) {
    some.push_back((*at)->session_id());
    after_ = (*at)->client_id();
  }
  const bool more = at != clients.end();
  for (const SessionId session : some)
    if (Subscriber* client = broker_.find(session)) client->is_still_allowed();
  return more;
}

}  // namespace heptane::iot::mqtt
