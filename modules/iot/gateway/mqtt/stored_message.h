// Messages out of the records of iot.messages, as they were published (machine/view_render.cc says how they are written). Pure.
#pragma once

#include <functional>

#include "modules/iot/gateway/mqtt/broker.h"

namespace heptane::iot::mqtt {

// Every message of a record batch that is wanted, in order; what is no message of the broker's is left out. Times are now's: what a message
// waited counts against its expiry.
void for_each_stored(const Buffer& batch, int64_t monotonic_ns, int64_t utc_ns,
                     const std::function<bool(Offset)>& wanted,
                     const std::function<void(Offset, const MessagePtr&)>& each);

}  // namespace heptane::iot::mqtt
