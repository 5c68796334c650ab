// Turns the extents of a read's reply into records. Called on the I/O thread that got the reply; reads the log's files,
// checks every CRC and returns whole record batches. The implementation stands above the log; the I/O loop knows only this.
#pragma once

#include "kernel/net/session.h"

namespace heptane::net {

class RecordsReader {
 public:
  virtual ~RecordsReader() = default;
  // `reply.error` is not set: the loop passes refusals on by itself.
  virtual RecordsRead read(const ReadReply& reply) = 0;
};

}  // namespace heptane::net
