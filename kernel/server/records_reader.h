// Turns the extents of a read into record batches: reads the log, checks every entry's CRCs and hands out slices of one
// buffer. Nothing is returned with a bad CRC. The I/O thread's.
#pragma once

#include <memory>

#include "kernel/log/log.h"
#include "kernel/net/records_reader.h"

namespace heptane::server {

class LogRecordsReader final : public net::RecordsReader {
 public:
  explicit LogRecordsReader(log::Log& log) : log_(log) {}
  net::RecordsRead read(const ReadReply& where) override;

 private:
  Result<bool> read_extent(const Extent& extent, const ReadReply& where, net::RecordsRead& out, uint64_t& bytes);

  log::Log& log_;
  std::unique_ptr<log::LogReader> reader_;
};

}  // namespace heptane::server
