// Retained messages by topic, with their payload: what a SUBSCRIBE gets first. In order of the topics, so that a filter visits
// what lies under its literal prefix alone. The machine's.
#pragma once

#include <map>
#include <string>
#include <string_view>

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
  // Fills the reply of a kQueryRetained.
  void page(const RetainedQuery& query, Reply& reply) const;

  void save(SnapshotWriter& writer) const;
  Result<void> restore(SnapshotReader& reader);

 private:
  Map messages_;
  size_t bytes_ = 0;
};

}  // namespace heptane::iot
