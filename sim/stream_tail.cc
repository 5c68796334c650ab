#include "sim/stream_tail.h"

#include "kernel/server/records_reader.h"
#include "kernel/streams/record_batch.h"

namespace heptane::sim {

namespace {

constexpr uint32_t kReadBytes = 64 << 10;

}  // namespace

Result<void> StreamTail::read(server::Server& server, Disk& disk, const Each& each) {
  const std::optional<PartitionId> partition = server.streams().find_partition(stream_, 0);
  const Offset end = partition ? server.streams().durable_end(*partition) : 0;
  const std::string which = "the stream " + stream_;
  if (end < next_)
    return Error{Errc::not_found,
                 which + " was read up to " + std::to_string(next_) + " and ends at " + std::to_string(end)};
  server::LogRecordsReader reader(server.log(), disk, server.archive(), server.renderers());
  while (next_ < end) {
    const net::RecordsRead read = reader.read(server.streams().locate({*partition, next_, kReadBytes, {}}));
    if (read.error || read.batches.empty())
      return Error{read.error.value_or(Errc::not_found), which + " cannot be read at offset " + std::to_string(next_)};
    for (const Buffer& batch : read.batches)
      HEPTANE_TRY(streams::for_each_record(batch.view(), [&](const streams::RecordView& record) {
        if (record.offset < next_ || record.offset >= end) return;
        each(record.offset, as_text(record.key), as_text(record.value));
        next_ = record.offset + 1;
      }));
  }
  return {};
}

}  // namespace heptane::sim
