#include "kernel/server/records_reader.h"

#include "kernel/streams/record_batch.h"

namespace heptane::server {

net::RecordsRead LogRecordsReader::read(const ReadReply& where) {
  net::RecordsRead out;
  out.error = where.error;
  out.partition = where.partition;
  out.offset = where.offset;
  out.log_start = where.log_start;
  out.durable_end = where.durable_end;
  if (!reader_ && !where.extents.empty()) reader_ = log_.reader();
  uint64_t bytes = 0;
  for (const Extent& extent : where.extents) {
    const Result<bool> more = read_extent(extent, where, out, bytes);
    if (!more) {
      // What was read before stays good; with nothing read the error is the answer.
      // A segment that is gone is no missing stream: the stream was deleted meanwhile, or the disk lost it.
      if (out.batches.empty()) out.error = more.error().code == Errc::not_found ? Errc::io : more.error().code;
      break;
    }
    if (!*more) break;
  }
  return out;
}

// False when enough was read.
Result<bool> LogRecordsReader::read_extent(const Extent& extent, const ReadReply& where, net::RecordsRead& out,
                                           uint64_t& bytes) {
  std::vector<std::byte> memory(extent.end - extent.begin);
  HEPTANE_TRY(reader_->read(extent.segment, extent.begin, memory));
  const Buffer buffer = Buffer::take(std::move(memory));
  for (size_t at = 0; at < buffer.size();) {
    const Result<log::EntryView> entry = log::decode_entry(buffer.view().subspan(at));
    if (!entry) return Error{Errc::corrupt, entry.error().message};
    const size_t payload_at = at + log::kEntryHeaderBytes + entry->header.extension_bytes;
    at += entry->header.stored_bytes();
    if (!entry->header.is_record_batch() || entry->header.partition != where.partition) continue;
    const Result<streams::RecordBatchInfo> batch = streams::decode_record_batch_header(entry->payload);
    if (!batch) return batch.error();
    if (batch->base_offset + batch->record_count <= where.offset) continue;
    if (!out.batches.empty() && bytes + entry->payload.size() > where.max_bytes) return false;
    out.batches.push_back(buffer.slice(payload_at, entry->payload.size()));
    bytes += entry->payload.size();
  }
  return bytes < where.max_bytes;
}

}  // namespace heptane::server
