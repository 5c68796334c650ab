#include "kernel/server/records_reader.h"

#include <numeric>

#include "kernel/streams/record_batch.h"
#include "kernel/streams/view_batches.h"

namespace heptane::server {

namespace {

// What a view is rendered out of on the I/O thread, at the most: the newest few records, for which a thread's waking would cost more.
constexpr uint64_t kRenderedAtOnceMax = 16 << 10;

uint64_t bytes_of(const std::vector<Extent>& extents) {
  return std::accumulate(extents.begin(), extents.end(), uint64_t{0},
                         [](uint64_t sum, const Extent& extent) { return sum + extent.end - extent.begin; });
}

net::RecordsRead answer_to(const ReadReply& where) {
  net::RecordsRead out;
  out.error = where.error;
  out.partition = where.partition;
  out.offset = where.offset;
  out.log_start = where.log_start;
  out.durable_end = where.durable_end;
  return out;
}

// The partition's record batches in one extent. False when enough was read.
Result<bool> take_extent(const Buffer& buffer, const ReadReply& where, net::RecordsRead& out, uint64_t& bytes) {
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

// The view's records that commands in one extent made. False when enough was read.
Result<bool> render_extent(Bytes extent, const ReadReply& where, streams::ViewBatches& out) {
  for (size_t at = 0; at < extent.size();) {
    const Result<log::EntryView> entry = log::decode_entry(extent.subspan(at));
    if (!entry) return Error{Errc::corrupt, entry.error().message};
    at += entry->header.stored_bytes();
    if (!entry->header.is_command()) continue;
    const Result<std::optional<log::EntryViews>> views = log::views_of(entry->extensions);
    if (!views) return views.error();
    if (!*views) continue;
    for (const log::ViewRun& run : (*views)->runs) {
      if (run.partition != where.partition || run.end() <= where.offset) continue;
      const Result<bool> more = out.add(*entry, **views, run, where.offset);
      if (!more || !*more) return more;
    }
  }
  return true;
}

}  // namespace

net::RecordsRead LogRecordsReader::read(const ReadReply& where) {
  net::RecordsRead out = answer_to(where);
  if (out.error) return out;
  const bool older = where.log_start < where.indexed;
  Result<void> done;
  if (where.from_time_ms && older) {
    const Result<std::optional<Offset>> archived =
        archive_.offset_for_time(where.partition, where.log_start, *where.from_time_ms);
    if (!archived)
      done = archived.error();
    else if (*archived)
      out.offset = **archived;
  }
  if (done && out.offset < out.durable_end) {
    if (out.offset < where.indexed) {
      done = read_archive(where, out);
    } else {
      done = read_log(where, out);
      // Its segment became an archive segment after the shard had said where it lies.
      if (!done && done.error().code == Errc::not_found && out.batches.empty()) done = read_archive(where, out);
    }
  }
  // What was read before an error stays good. A segment that is nowhere is no missing stream: the stream was deleted
  // meanwhile, or the disk lost it.
  if (!done && out.batches.empty()) out.error = done.error().code == Errc::not_found ? Errc::io : done.error().code;
  return out;
}

std::optional<net::RecordsRead> LogRecordsReader::try_read(const ReadReply& where) {
  net::RecordsRead out = answer_to(where);
  if (out.error) return out;
  if (where.from_time_ms && where.log_start < where.indexed) return std::nullopt;
  if (out.offset >= out.durable_end) return out;
  if (out.offset < where.indexed) return std::nullopt;
  if (where.view && bytes_of(where.extents) > kRenderedAtOnceMax) return std::nullopt;
  uint64_t bytes = 0;
  std::optional<streams::ViewBatches> rendered;
  if (where.view) rendered.emplace(renderers_, streams::ViewLimits{where.max_bytes});
  for (const Extent& extent : where.extents) {
    std::vector<std::byte> memory(extent.end - extent.begin);
    const Result<bool> got = reader_->try_read(extent.segment, extent.begin, memory);
    // An error is read() to tell: the records may be in the archive by now.
    if (!got || !*got) return std::nullopt;
    const Result<bool> more = rendered ? render_extent(memory, where, *rendered)
                                       : take_extent(Buffer::take(std::move(memory)), where, out, bytes);
    if (!more) return std::nullopt;
    if (!*more) break;
  }
  if (rendered) out.batches = rendered->take();
  return out;
}

Result<void> LogRecordsReader::read_archive(const ReadReply& where, net::RecordsRead& out) {
  constexpr int kTries = 3;
  for (int tried = 1;; ++tried) {
    Result<std::vector<Buffer>> batches = archive_.read(where.partition, out.offset, where.max_bytes);
    if (batches) {
      out.batches = std::move(*batches);
      return {};
    }
    // An archive segment was written again, and its file is gone: the catalog knows the one in its place.
    if (batches.error().code != Errc::not_found || tried == kTries) return std::move(batches.error());
  }
}

Result<void> LogRecordsReader::read_log(const ReadReply& where, net::RecordsRead& out) {
  // Records among many others' lie far apart: the disk is told of all places at once.
  if (where.extents.size() > 1)
    for (const Extent& extent : where.extents) reader_->expect(extent.segment, extent.begin, extent.end - extent.begin);
  uint64_t bytes = 0;
  streams::ViewBatches rendered(renderers_, {where.max_bytes});
  for (const Extent& extent : where.extents) {
    std::vector<std::byte> memory(extent.end - extent.begin);
    HEPTANE_TRY(reader_->read(extent.segment, extent.begin, memory));
    if (where.view) {
      const Result<bool> more = render_extent(memory, where, rendered);
      if (!more) return more.error();
      if (!*more) break;
      continue;
    }
    const Result<bool> more = take_extent(Buffer::take(std::move(memory)), where, out, bytes);
    if (!more) return more.error();
    if (!*more) break;
  }
  if (where.view) out.batches = rendered.take();
  return {};
}

}  // namespace heptane::server
