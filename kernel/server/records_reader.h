// Turns the place of a read into record batches: out of the log's segments, or out of the archive where the log no longer
// reaches. Checks every entry's CRCs and hands out slices of one buffer. Nothing is returned with a bad CRC. One thread's.
//
// A view's records are rendered here, out of the commands' entries (kernel/shard/views.h): work for the readers' threads, but for a few
// kilobytes that are in memory, as whoever follows a stream reads them.
//
// A file that is read is not lost under the reader: it stays open, and one that the archive has replaced meanwhile is looked
// up again.
#pragma once

#include <memory>
#include <optional>

#include "kernel/archive/archive_store.h"
#include "kernel/log/log.h"
#include "kernel/net/records_reader.h"
#include "kernel/shard/views.h"

namespace heptane::server {

class LogRecordsReader final : public net::RecordsReader {
 public:
  // `renderers` outlives this and is filled before the first read.
  LogRecordsReader(log::Log& log, Disk& disk, const archive::ArchiveStore& archive, const ViewRenderers& renderers)
      : reader_(log.reader()), archive_(disk, archive), renderers_(renderers) {}
  net::RecordsRead read(const ReadReply& where) override;
  // Only out of segments of the log that are known and in memory.
  std::optional<net::RecordsRead> try_read(const ReadReply& where) override;
  // Another thread has read of this segment of the log.
  void know(uint32_t segment) { reader_->know(segment); }
  // Closes files that log and archive have dropped, so that their space is free.
  void close_gone() {
    reader_->close_gone();
    archive_.close_gone();
  }

 private:
  Result<void> read_log(const ReadReply& where, net::RecordsRead& out);
  Result<void> read_archive(const ReadReply& where, net::RecordsRead& out);

  std::unique_ptr<log::LogReader> reader_;
  archive::ArchiveReader archive_;
  const ViewRenderers& renderers_;
};

}  // namespace heptane::server
