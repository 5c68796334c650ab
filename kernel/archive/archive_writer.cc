#include "kernel/archive/archive_writer.h"

#include <algorithm>

#include "kernel/base/crc32c.h"

namespace heptane::archive {

namespace {

constexpr size_t kIndexStepRows = 1024;

// Of a batch packed by the kernel: each record's command, counted from the frame's sequence, and ordinal.
Bytes causes_of(Bytes extensions) {
  Bytes causes;
  log::for_each_extension(extensions, [&](log::ExtensionType type, Bytes bytes) {
    if (type == log::ExtensionType::causes) causes = bytes;
  });
  return causes;
}

}  // namespace

ArchiveWriter::ArchiveWriter(File& file, const ArchiveHeader& header) : file_(file) {
  encode(header, buffer_.data());
  filled_ = kBlockBytes;
  begin_partition(kCommandsGroup, static_cast<Offset>(header.first_sequence));
}

void ArchiveWriter::flush() {
  if (result_ && filled_ > 0) result_ = file_.write_at(written_, {buffer_.data(), filled_});
  written_ += filled_;
  filled_ = 0;
}

void ArchiveWriter::append(Bytes bytes) {
  while (!bytes.empty()) {
    const size_t take = std::min(bytes.size(), buffer_.size() - filled_);
    std::copy_n(bytes.begin(), take, buffer_.data() + filled_);
    filled_ += take;
    bytes = bytes.subspan(take);
    if (filled_ == buffer_.size()) flush();
  }
}

void ArchiveWriter::close_row() {
  if (!row_) return;
  write_pack();
  row_->end_at = written_bytes();
  if (row_->partition == kCommandsGroup) command_bytes_ = row_->end_at - row_->begin_at;
  rows_.push_back(*row_);
  row_.reset();
}

void ArchiveWriter::begin_partition(PartitionId partition, Offset end) {
  HEPTANE_ASSERT(!row_ || row_->partition < partition, "partitions of an archive segment come in order");
  close_row();
  row_.emplace();
  row_->partition = partition;
  row_->first_run = static_cast<uint32_t>(runs_.size());
  row_->first = row_->end = end;
  row_->begin_at = written_bytes();
}

void ArchiveWriter::add(const ArchiveItem& item, Bytes entry, const log::EntryView& view) {
  HEPTANE_ASSERT(row_ && row_->partition == item.group, "the partition of an item was not begun");
  if (view.header.kind == log::EntryKind::records && merge(item, view)) return;
  write_pack();
  if (view.header.kind == log::EntryKind::record_command) places_.push_back({item.frame.sequence, written_bytes()});
  write_item(item, entry);
}

void ArchiveWriter::write_item(const ArchiveItem& item, Bytes entry) {
  const bool empty = row_->runs == 0;
  const uint64_t at = written_bytes();
  if (empty) row_->first = item.first;
  row_->end = item.end;
  if (empty || at - runs_.back().at >= kRunTargetBytes) {
    runs_.push_back({item.first, row_->max_timestamp_ms, at});
    ++row_->runs;
  }
  row_->max_timestamp_ms = std::max(row_->max_timestamp_ms, item.max_timestamp_ms);
  runs_.back().max_timestamp_ms = row_->max_timestamp_ms;
  std::byte frame[kFrameBytes];
  encode(item.frame, frame);
  append(frame);
  append(entry);
}

// False: the batch is written as it is.
bool ArchiveWriter::merge(const ArchiveItem& item, const log::EntryView& view) {
  const Result<streams::RecordBatchInfo> batch = streams::decode_record_batch_header(view.payload);
  if (!batch || batch->compressed()) return false;
  const bool follows = pack_ && pack_->item.end == item.first && pack_->leader_epoch == batch->leader_epoch &&
                       pack_->records.size_bytes() + view.payload.size() <= kRunTargetBytes;
  if (!follows) {
    write_pack();
    pack_ = Pack{};
    pack_->item = item;
    pack_->leader_epoch = batch->leader_epoch;
    pack_->records.begin(batch->base_timestamp_ms);
  }
  ByteReader causes(causes_of(view.extensions));
  const Result<void> walked = streams::for_each_record(view.payload, [&](const streams::RecordView& record) {
    pack_->records.add(record.timestamp_ms, record.has_key, record.key, record.has_value, record.value, record.headers,
                       record.header_count);
    const uint64_t delta = causes.varint();
    pack_->causes.varint(item.frame.sequence + delta - pack_->item.frame.sequence);
    pack_->causes.varint(causes.varint());
  });
  HEPTANE_ASSERT(walked, "a batch that the kernel packed and the CRC vouches for cannot be walked");
  pack_->item.end = item.end;
  pack_->item.max_timestamp_ms = std::max(pack_->item.max_timestamp_ms, item.max_timestamp_ms);
  return true;
}

void ArchiveWriter::write_pack() {
  if (!pack_) return;
  const Bytes batch = pack_->records.finish(pack_->item.first, pack_->leader_epoch, true);
  ByteWriter extensions;
  log::append_extension(extensions, log::ExtensionType::causes, pack_->causes.view());
  log::EntryHeader header;
  header.kind = log::EntryKind::records;
  header.partition = pack_->item.group;
  header.detail = pack_->records.count();
  header.payload_bytes = static_cast<uint32_t>(batch.size());
  header.extension_bytes = static_cast<uint32_t>(extensions.size());
  std::vector<std::byte> entry(header.stored_bytes());
  log::encode(header, entry.data());
  std::copy(extensions.view().begin(), extensions.view().end(), entry.begin() + log::kEntryHeaderBytes);
  std::copy(batch.begin(), batch.end(), entry.begin() + log::kEntryHeaderBytes + header.extension_bytes);
  const Result<void> sealed = log::seal_records(entry.data(), entry.size());
  HEPTANE_ASSERT(sealed, "a merged batch is within its limits");
  const ArchiveItem item = pack_->item;
  pack_.reset();
  write_item(item, entry);
}

Result<ArchiveFooter> ArchiveWriter::finish(ArchiveFooter footer) {
  close_row();
  std::sort(places_.begin(), places_.end(), [](const Place& a, const Place& b) { return a.sequence < b.sequence; });
  footer.rows_at = written_bytes();
  footer.rows = static_cast<uint32_t>(rows_.size());
  footer.runs_at = footer.rows_at + rows_.size() * kRowBytes;
  footer.runs = static_cast<uint32_t>(runs_.size());
  footer.places_at = footer.runs_at + runs_.size() * kRunBytes;
  footer.places = places_.size();
  footer.command_bytes = command_bytes_;
  uint32_t crc = 0;
  const auto write_all = [&](const auto& items, size_t bytes_each) {
    std::vector<std::byte> step;
    for (size_t i = 0; i < items.size(); i += kIndexStepRows) {
      const size_t count = std::min(kIndexStepRows, items.size() - i);
      step.resize(count * bytes_each);
      for (size_t k = 0; k < count; ++k) encode(items[i + k], step.data() + k * bytes_each);
      crc = crc32c(step, crc);
      append(step);
    }
  };
  write_all(rows_, kRowBytes);
  write_all(runs_, kRunBytes);
  write_all(places_, kPlaceBytes);
  const std::vector<std::byte> padding((kBlockBytes - written_bytes() % kBlockBytes) % kBlockBytes);
  append(padding);
  footer.index_crc = crc32c(padding, crc);
  footer.file_bytes = written_bytes() + kBlockBytes;
  std::vector<std::byte> block(kBlockBytes);
  encode(footer, block.data());
  append(block);
  flush();
  if (result_) result_ = file_.sync();
  if (!result_) return result_.error();
  return footer;
}

}  // namespace heptane::archive
