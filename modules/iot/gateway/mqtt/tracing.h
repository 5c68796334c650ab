// What operators watch: the packets of one client as they come and go, without their payload, and what last went wrong with
// whom. Bounds: kTracesMax traces, of kRowsMax packets and kBytesMax that nobody has taken yet (what comes then is counted), no
// text longer than a topic may be; kErrorsMax clients with an error, the oldest forgotten. The I/O thread's.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/ids.h"
#include "kernel/shard/messages.h"
#include "modules/iot/domain/mqtt/packets.h"

namespace heptane::iot::mqtt {

// What can be said of a packet by its beginning.
struct PacketFacts {
  static constexpr size_t kTopicsMax = 16;

  PacketType type = PacketType::reserved;
  uint8_t flags = 0;
  size_t bytes = 0;  // of all of it
  PacketId id = 0;
  std::optional<uint8_t> reason;
  std::vector<std::string> topics;  // of a PUBLISH its topic, empty where it is an alias; filters, the first of them
  bool cut = false;                 // one of them is longer than kTopicLimitBytes
  std::optional<size_t> payload_bytes;
};
// `input` begins with a packet; its payload may be missing. nullopt: it does not.
std::optional<PacketFacts> look_at(Bytes input, Version version);
std::string_view name_of(PacketType type);

class Trace {
 public:
  static constexpr size_t kRowsMax = 1'000;
  static constexpr size_t kBytesMax = size_t{1} << 20;

  struct Row {
    int64_t utc_ns = 0;
    bool out = false;
    PacketFacts packet;
    std::string closed;  // not a packet: the connection ended, and why
  };

  explicit Trace(std::string client) : client_(std::move(client)) {}
  const std::string& client() const { return client_; }
  // What came since; `missed`: how many found no room.
  std::vector<Row> take(uint64_t& missed);

 private:
  friend class Traces;
  static constexpr size_t kConnectingMax = 4;

  void add(Row row);
  bool watches(SessionId session) const;

  const std::string client_;
  SessionId entered_ = 0;              // who is this client; 0: nobody is
  std::vector<SessionId> connecting_;  // who says so and has not proved it, the oldest first
  std::vector<Row> rows_;
  size_t bytes_ = 0;  // of them
  uint64_t missed_ = 0;
};

class Traces {
 public:
  static constexpr size_t kTracesMax = 16;

  // Until the last one who has it lets go. Null: there are as many as there may be. `session` 0: it is not connected.
  std::shared_ptr<Trace> begin(std::string client, SessionId session);
  // Nothing costs anything while nobody watches.
  bool active() const { return !traces_.empty(); }
  // It says that it is this client. Of those the newest are watched.
  void connecting(std::string_view client, SessionId session);
  // It is: nobody takes its place who is not.
  void entered(std::string_view client, SessionId session);
  // Packets, one behind the other; the last one's payload may be missing.
  void packets(SessionId session, bool out, Bytes bytes, Version version, int64_t utc_ns);
  void closed(SessionId session, std::string_view why, int64_t utc_ns);

 private:
  void forget_done();

  std::vector<std::weak_ptr<Trace>> traces_;
};

// What last went wrong with a client, also when it is gone.
class LastErrors {
 public:
  static constexpr size_t kErrorsMax = 1'000;

  struct Entry {
    int64_t utc_ns = 0;
    std::string text;
  };
  void note(std::string_view client, std::string_view text, int64_t utc_ns);
  const Entry* find(std::string_view client) const;

 private:
  std::map<std::string, Entry, std::less<>> entries_;
  std::deque<std::string> order_;  // clients as they came in
};

}  // namespace heptane::iot::mqtt
