// When clients were last here, for operators: told by the gateway once a minute in commands of up to kSeenMax, which nothing waits
// for. No other part of the broker reads it. At most kSeenClientsMax are known, those that were here last; of two at the same
// time the one whose identifier is lower is forgotten first. Little-endian; texts: length u16 and bytes. The machine's.
//
// Command: count u16, then for each: UTC in milliseconds i64, client, user.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/shard/snapshot_io.h"
#include "modules/iot/machine/api.h"

namespace heptane::iot {

// Not in transactions. Reply numbers: clients that are known.
constexpr CommandType kSeen = 51;
// A client identifier. Reply numbers: UTC in milliseconds, 1 when it is known; payload: its user.
constexpr uint16_t kQuerySeen = 50;

constexpr size_t kSeenMax = 256;  // in one command
constexpr size_t kSeenUserBytes = 256;
constexpr size_t kSeenClientsMax = 100'000;

struct SeenClient {
  int64_t utc_ms = 0;
  std::string_view client;
  std::string_view user;
};
void append_seen(ByteWriter& out, const SeenClient& seen);
// nullopt: malformed, or more than kSeenMax.
std::optional<std::vector<SeenClient>> decode_seen(Bytes payload);

class SeenClients {
 public:
  void put(const SeenClient& seen);
  // nullopt: not known.
  std::optional<SeenClient> find(std::string_view client) const;
  size_t size() const { return clients_.size(); }
  bool empty() const { return clients_.empty(); }
  uint64_t bytes() const { return bytes_; }

  void save(SnapshotWriter& writer) const;
  Result<void> restore(SnapshotReader& reader);

 private:
  struct Row {
    int64_t utc_ms = 0;
    std::string user;
  };
  using Clients = std::map<std::string, Row, std::less<>>;
  void forget(Clients::iterator client);

  Clients clients_;
  std::set<std::pair<int64_t, std::string>> order_;  // who is forgotten first
  uint64_t bytes_ = 0;
};

}  // namespace heptane::iot
