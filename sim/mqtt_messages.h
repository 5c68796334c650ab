// What MQTT publishers of the simulator publish: topic, payload and flags of a message follow from its publisher and its number, so
// that whoever gets one knows which it is and which comes next of those that its filter matches. Families of topics:
//   sim/P/T  ordinary; durable sessions and groups are subscribed to them
//   keep/K   retained, of all publishers together; some remove what is there
//   tap/P/T  for streams that come and go alone: what of a dropped stream sessions did not get is lost to them
//   app/T    what is appended over HTTP to a stream that publishes
//   will/X   the wills of client X, numbered by its connections
// Filters are matched here naively, not by the broker's tree. Pure; any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace heptane::sim {

struct SimMessage {
  std::string topic;
  std::string payload;
  bool retain = false;
};

struct MessageName {
  uint32_t from = 0;  // the publisher; of a will its client
  uint32_t number = 0;
  friend auto operator<=>(const MessageName&, const MessageName&) = default;
};

// Numbers begin at 1. `appended`: over HTTP.
SimMessage message_of(MessageName name, bool appended);
SimMessage will_of(MessageName name);
// A removal of what is retained has no payload and no name.
std::optional<MessageName> name_of(std::string_view payload);

bool filter_matches(std::string_view filter, std::string_view topic);
// The first number above this one whose topic the filter matches.
uint32_t next_number(uint32_t publisher, bool appended, uint32_t above, std::string_view filter);

}  // namespace heptane::sim
