#include "modules/iot/machine/devices/shadow_changes.h"

#include <algorithm>

#include "modules/iot/machine/api.h"

namespace heptane::iot::devices {

ShadowOutcome ShadowChanges::judge(const ShadowRequest& request, int64_t now_s) const {
  if (request.fault != ShadowFault::none) return reject(request, request.fault, now_s);
  if (!registry_.has(request.thing)) return reject(request, ShadowFault::no_thing, now_s);
  const auto before = changed_.find({request.thing, request.name});
  if (before != changed_.end()) return answer_request(request, before->second, now_s);
  const auto is_new = [&](const auto& change) {
    return change.first.first == request.thing && !shadows_.has(request.thing, change.first.second);
  };
  if (request.operation == ShadowOperation::update && !shadows_.has(request.thing, request.name)) {
    const auto made = static_cast<size_t>(std::count_if(changed_.begin(), changed_.end(), is_new));
    if (shadows_.count(request.thing) + made >= kShadowsOfThing)
      return reject(request, ShadowFault::too_many_shadows, now_s);
  }
  return answer_request(request, shadows_.find(request.thing, request.name), now_s);
}

void ShadowChanges::take(const ShadowRequest& request, const ShadowOutcome& outcome) {
  if (outcome.changed) changed_.insert_or_assign(Key{request.thing, request.name}, outcome.shadow);
  for (const ShadowAnswer& answer : outcome.answers) {
    MessageView message;
    message.qos = 1;
    message.topic = answer.topic;
    message.payload = answer.payload;
    append_message(messages_, message);
    ++answers_;
  }
}

}  // namespace heptane::iot::devices
