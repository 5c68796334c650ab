// The sessions of clients and the last reply to a command of each: what makes a repeat harmless. Bounded; the one that was
// used longest ago makes room. State of the ledger machine; the shard thread's.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/shard/snapshot_io.h"
#include "modules/fintech/machine/ledger/api.h"

namespace heptane::fintech {

struct ClientSession {
  uint64_t number = 0;   // of the command that registered it
  uint64_t used = 0;     // number of its last command that has an answer
  uint64_t touched = 0;  // likewise, of the last that said it reads
  Uint128 checksum = 0;  // of the request that `reply` answers
  uint64_t timestamp = 0;
  uint32_t request = 0;
  uint32_t release = 0;
  Buffer reply;
};

class ClientSessions {
 public:
  const ClientSession* find(Uint128 client) const;
  // A new one, of at most `most`.
  void add(Uint128 client, ClientSession session, size_t most);
  void put(Uint128 client, ClientSession session);
  size_t size() const { return sessions_.size(); }

  void open_scope() { marks_.push_back(undo_.size()); }
  void close_scope(bool keep);

  uint64_t memory_bytes() const;
  void save(SnapshotWriter& writer) const;
  bool restore(SnapshotReader& reader);
  // What a log from before sessions were touched has not.
  bool touched() const;
  void save_touches(SnapshotWriter& writer) const;
  bool restore_touches(SnapshotReader& reader);

 private:
  void remember(Uint128 client);

  std::map<Uint128, ClientSession> sessions_;
  std::vector<std::function<void()>> undo_;
  std::vector<size_t> marks_;
};

}  // namespace heptane::fintech
