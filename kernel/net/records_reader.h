// Turns the extents of a read's reply into records: reads the log's files, checks every CRC and returns whole record
// batches. The implementation stands above the log; the I/O loop knows only this, and calls it on its thread. What would
// wait for the disk is handed over and comes back later, in any order; the owner wakes the loop for it.
#pragma once

#include <optional>

#include "kernel/net/session.h"

namespace heptane::net {

struct ReadJob {
  SessionId session = 0;
  RequestId request = 0;
  ReadReply where;
};
struct ReadDone {
  SessionId session = 0;
  RequestId request = 0;
  RecordsRead records;
  uint32_t segment = 0;  // of the log that was read; 0: none
};

class RecordsReader {
 public:
  virtual ~RecordsReader() = default;
  // `reply.error` is not set: the loop passes refusals on by itself. May wait for the disk.
  virtual RecordsRead read(const ReadReply& reply) = 0;

  // A reader that never waits leaves these as they are.
  // nullopt: it would wait for the disk.
  virtual std::optional<RecordsRead> try_read(const ReadReply& reply) { return read(reply); }
  // False: no room now; the job is untouched and is offered again after the next take_done().
  virtual bool submit(ReadJob& job) {
    (void)job;
    return false;
  }
  virtual std::optional<ReadDone> take_done() { return std::nullopt; }
};

}  // namespace heptane::net
