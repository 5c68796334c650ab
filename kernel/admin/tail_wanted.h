// What a tail is asked for, whatever carries it: a WebSocket (tail_route.cc) or Server-Sent Events (tail_events.cc). The I/O thread's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "kernel/base/result.h"
#include "kernel/net/http/exchange.h"
#include "kernel/streams/api.h"

namespace heptane::admin {

constexpr std::string_view kEventsType = "text/event-stream";

struct TailWanted {
  std::string name;
  uint32_t partition = 0;
  std::optional<Offset> offset;
  std::optional<int64_t> from_time_ms;
  bool from_start = false;
  int64_t limit = INT64_MAX;
};

// Answers with records as Server-Sent Events from `next` on, until the limit, or until the client goes.
void send_events(http::HttpExchange& exchange, const TailWanted& wanted, PartitionId partition, Offset next);
// The offset behind the one in Last-Event-ID, which a client sends when it comes back; nothing where there is none.
Result<std::optional<Offset>> resumed_at(const http::HttpRequest& request);

}  // namespace heptane::admin
