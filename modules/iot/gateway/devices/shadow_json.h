// What clients write to a shadow's topics, read into requests: JSON by the one reader, judged with AWS IoT's codes. Nothing is read
// that is longer than kShadowBytesMax. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "modules/iot/domain/devices/shadow.h"

namespace heptane::iot::devices {

// A fault is the request's (ShadowRequest::fault), with the client token where it could be read.
ShadowRequest read_shadow_request(const ShadowTopic& topic, std::string_view payload);

// One that has this fault whatever it says: of what it says only the client token is read, where it can be.
ShadowRequest refused_shadow_request(const ShadowTopic& topic, std::string_view payload, ShadowFault fault);

}  // namespace heptane::iot::devices
