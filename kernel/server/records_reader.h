// Turns the place of a read into record batches: out of the log's segments, or out of the archive where the log no longer
// reaches. Checks every entry's CRCs and hands out slices of one buffer. Nothing is returned with a bad CRC. One thread's.
#pragma once

#include <memory>

#include "kernel/archive/archive_store.h"
#include "kernel/log/log.h"
#include "kernel/net/records_reader.h"

namespace heptane::server {

class LogRecordsReader final : public net::RecordsReader {
 public:
  LogRecordsReader(log::Log& log, Disk& disk, const archive::ArchiveStore& archive)
      : log_(log), archive_(disk, archive) {}
  net::RecordsRead read(const ReadReply& where) override;

 private:
  Result<bool> read_extent(const Extent& extent, const ReadReply& where, net::RecordsRead& out, uint64_t& bytes);
  Result<void> read_log(const ReadReply& where, net::RecordsRead& out);
  Result<void> read_archive(const ReadReply& where, net::RecordsRead& out);

  log::Log& log_;
  archive::ArchiveReader archive_;
  std::unique_ptr<log::LogReader> reader_;
};

}  // namespace heptane::server
