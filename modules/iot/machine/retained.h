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

// Its texts lie in one piece of memory: there may be a million.
class RetainedMessage {
 public:
  uint8_t qos = 0;
  bool expires = false;
  uint32_t expiry_s = 0;
  LogTime stored = 0;
  TimerId timer = 0;  // of its expiry; 0 = none

  void set_texts(std::string_view client, std::string_view properties, std::string_view payload,
                 std::string_view source = {});
  std::string_view client() const { return std::string_view(texts_).substr(0, client_bytes_); }
  std::string_view properties() const { return std::string_view(texts_).substr(client_bytes_, properties_bytes_); }
  std::string_view payload() const {
    const size_t before = client_bytes_ + properties_bytes_;
    return std::string_view(texts_).substr(before, texts_.size() - before - source_bytes_);
  }
  // MessageView's.
  std::string_view source() const { return std::string_view(texts_).substr(texts_.size() - source_bytes_); }
  size_t text_bytes() const { return texts_.size(); }

  LogTime expires_at() const { return stored + static_cast<LogTime>(expiry_s) * 1'000'000'000; }

 private:
  uint16_t source_bytes_ = 0;
  uint32_t client_bytes_ = 0;
  uint32_t properties_bytes_ = 0;
  std::string texts_;
};

class RetainedMessages {
 public:
  using Map = std::map<std::string, RetainedMessage, std::less<>>;

  // A message's memory but for its topic and texts: the map's node, and what allocations round up. Earlier logic counted more.
  static constexpr size_t kOverheadBytes = 192;
  static constexpr size_t kEarlierOverheadBytes = 256;

  const RetainedMessage* find(std::string_view topic) const;
  // With what stands there already taken away.
  bool room_for(std::string_view topic, const RetainedMessage& message, size_t overhead) const;
  void put(std::string_view topic, RetainedMessage message);
  void remove(std::string_view topic);

  size_t size() const { return messages_.size(); }
  size_t bytes() const { return bytes_ + messages_.size() * kOverheadBytes; }
  // Of some it is known who published them.
  bool know_sources() const { return sourced_ > 0; }
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
  // `sources`: know_sources() when it was saved.
  Result<void> restore(SnapshotReader& reader, uint64_t count, bool sources);

 private:
  Map messages_;
  size_t sourced_ = 0;
  size_t bytes_ = 0;  // of topics and texts
};

}  // namespace heptane::iot
