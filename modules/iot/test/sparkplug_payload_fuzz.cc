// What a client calls a payload of Sparkplug B: read, named, shown as JSON, stamped. Whatever it is, JSON is JSON that the one reader
// reads, and a payload that was stamped is one with that time and all its metrics.
#include <cstddef>
#include <cstdint>

#include "kernel/base/assert.h"
#include "kernel/net/http/json.h"
#include "modules/iot/domain/sparkplug/nodes.h"

namespace {

using namespace heptane;
using namespace heptane::iot::sparkplug;

void check_json(const Nodes::Outcome& outcome) {
  for (const Nodes::Named& named : outcome.metrics)
    if (const auto json = json_of(named.metric->value, named.type))
      HEPTANE_ASSERT(*json == "null" || http::JsonDocument::parse("[" + *json + "]").ok(), "a scalar is JSON");
}

}  // namespace

// The first byte says whose message it is.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto payload = read_payload(bytes);
  const auto stamped = with_timestamp(bytes, 1'700'000'000'000);
  if (!payload) return 0;
  HEPTANE_ASSERT(stamped.has_value(), "what can be read can be stamped");
  const auto again = read_payload(*stamped);
  HEPTANE_ASSERT(again && again->timestamp_ms == 1'700'000'000'000U && again->seq == payload->seq &&
                     again->metrics.size() == payload->metrics.size(),
                 "a stamp changes the time alone");
  const auto type = static_cast<MessageType>(data[0] % 8);
  const Topic topic{"g", type, "n", data[0] % 8 < 4 ? "" : "d"};
  Nodes nodes(1, {2, 2, 4'096});
  const Topic birth{"g", is_birth(type) ? type : MessageType::nbirth, "n", is_birth(type) ? topic.device : ""};
  check_json(nodes.take(birth, *payload, 1));
  check_json(nodes.take(topic, *payload, 2));
  HEPTANE_ASSERT(nodes.bytes() <= 4'096, "what is known is within its bounds");
  return 0;
}
