// A view beside the topics: accounts of the ledger, created by commands of the server's own, and read back after every start
// as `fintech.accounts`. Three seeds of four have none, so that their runs are what they were.
//
// The record at offset o tells of account o + 1: what of the last commands is lost in a power cut is created again. Rules:
// what was synced once is there after every restart; every record has the bytes that follow from its offset; a command's
// accounts are there together. One owner.
#pragma once

#include "kernel/base/disk.h"
#include "kernel/server/server.h"
#include "sim/checker.h"

namespace heptane::sim {

class ViewWatch {
 public:
  // `may_be_on`: nobody else opens accounts.
  ViewWatch(uint64_t seed, bool may_be_on) : on_(may_be_on && seed % 4 == 0), random_(seed) {}

  // Before a turn of the shard: sometimes creates accounts.
  void turn(server::Server& server);
  // After a turn: what is synced now is promised.
  void note(server::Server& server);
  // After a start. `damaged`: bytes at rest were changed.
  void audit(server::Server& server, Disk& disk, Checker& checker, bool damaged);
  uint64_t audited_total() const { return audited_total_; }

 private:
  bool on_;
  SeededRandom random_;
  Offset promised_end_ = 0;
  uint64_t audited_total_ = 0;
};

}  // namespace heptane::sim
