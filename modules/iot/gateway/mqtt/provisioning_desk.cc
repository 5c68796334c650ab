#include "modules/iot/gateway/mqtt/provisioning_desk.h"

namespace heptane::iot::mqtt {

bool ProvisioningDesk::may_ask(uint32_t claim, int64_t now_ns) {
  if (asked_.size() >= kClaimsKnown)
    std::erase_if(asked_, [now_ns](const auto& one) { return now_ns - one.second.minute_began_ns >= kMinuteNs; });
  Asked& asked = asked_[claim];
  if (asked.count == 0 || now_ns - asked.minute_began_ns >= kMinuteNs) asked = {now_ns, 0};
  if (asked.count >= options_.claims_per_minute) return false;
  ++asked.count;
  return true;
}

std::shared_ptr<void> ProvisioningDesk::begin_signing() {
  if (*signing_ >= kSigningMax) return nullptr;
  ++*signing_;
  return {signing_.get(), [count = signing_](void*) { --*count; }};
}

}  // namespace heptane::iot::mqtt
