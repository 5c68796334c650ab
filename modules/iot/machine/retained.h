// Retained messages by topic, with their payload: what a SUBSCRIBE gets first. In order of the topics, so that a filter visits
// what lies under its literal prefix alone. The machine's.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/shard/effects.h"
#include "kernel/shard/snapshot_io.h"
#include "modules/iot/machine/api.h"

namespace heptane::iot {

struct RetainedMessage {
  uint8_t qos = 0;
  bool expires = false;
  uint32_t expiry_s = 0;
  LogTime stored = 0;
  TimerId timer = 0;  // of its expiry; 0 = none
  std::string client;
  std::string properties;
  std::string payload;

  LogTime expires_at() const { return stored + static_cast<LogTime>(expiry_s) * 1'000'000'000; }
  size_t bytes() const { return kOverheadBytes + client.size() + properties.size() + payload.size(); }
  static constexpr size_t kOverheadBytes = 256;  // of the entry, the map's node and the topic's string
};

class RetainedMessages {
 public:
  using Map = std::map<std::string, RetainedMessage, std::less<>>;

  const RetainedMessage* find(std::string_view topic) const;
  // With what stands there already taken away.
  bool room_for(std::string_view topic, const RetainedMessage& message) const;
  void put(std::string_view topic, RetainedMessage message);
  void remove(std::string_view topic);

  size_t size() const { return messages_.size(); }
  size_t bytes() const { return bytes_; }
  // Topics that the filter matches, in order, at most `most`, behind the query's; `last` was looked at last.
  struct Found {
    std::vector<std::string> topics;
    std::string last;
    bool more = false;
  };
  Found find_all(const RetainedQuery& query, size_t most) const;
  // Fills the reply of a kQueryRetained.
  void page(const RetainedQuery& query, Reply& reply) const;

  // `marks` stand in the count beside it.
  void save(SnapshotWriter& writer, uint64_t marks) const;
  Result<void> restore(SnapshotReader& reader, uint64_t count);

 private:
  Map messages_;
  size_t bytes_ = 0;
};

}  // namespace heptane::iot
