#include "kernel/archive/archive_builder.h"

#include <algorithm>

#include "kernel/streams/view_batches.h"

namespace heptane::archive {

void ArchiveBuilder::begin(const ArchiveHeader& header, Liveness liveness, bool keep_commands) {
  abandon();
  header_ = header;
  footer_ = ArchiveFooter{};
  liveness_ = std::move(liveness);
  keep_commands_ = keep_commands;
  archive_reader_ = std::make_unique<ArchiveReader>(store_.disk(), store_);
  phase_ = Phase::collecting;
}

void ArchiveBuilder::begin_log(const ArchiveHeader& header, Liveness liveness, bool keep_commands) {
  begin(header, std::move(liveness), keep_commands);
  log_reader_ = log_.reader();
  next_segment_ = header.first_segment;
}

void ArchiveBuilder::begin_rewrite(std::shared_ptr<const ArchiveSegment> segment, Liveness liveness,
                                   bool keep_commands) {
  ArchiveHeader header = segment->header;
  ++header.generation;
  begin(header, std::move(liveness), keep_commands);
  rewritten_ = std::move(segment);
}

void ArchiveBuilder::abandon() {
  phase_ = Phase::idle;
  rewritten_.reset();
  any_batch_ = false;
  sources_ = {};
  next_ = 0;
  carried_ = {};
  next_carried_ = 0;
  writer_.reset();
  file_.reset();
  log_reader_.reset();
  rewritten_file_.reset();
  begun_ = kCommandsGroup;
}

// `bytes` begins with the entry.
Result<void> ArchiveBuilder::collect(const log::EntryView& entry, Bytes bytes, const Frame& frame, uint32_t segment,
                                     uint64_t at) {
  Source source;
  source.item.frame = frame;
  source.segment = segment;
  source.at = at;
  source.bytes = static_cast<uint32_t>(entry.header.stored_bytes());
  // What is written again has them as records already.
  if (!rewritten_ && entry.header.is_command()) HEPTANE_TRY(collect_views(entry, source));
  if (!entry.header.is_record_batch()) {
    if (!keep_commands_) return {};
    source.item.first = static_cast<Offset>(frame.sequence);
    source.item.end = source.item.first + 1;
    writer_->add(source.item, bytes.first(source.bytes), entry);
    return writer_->result();
  }
  const Result<streams::RecordBatchInfo> batch = streams::decode_record_batch_header(entry.payload);
  if (!batch) return batch.error();
  source.item.group = entry.header.partition;
  source.item.first = batch->base_offset;
  source.item.end = batch->base_offset + batch->record_count;
  source.item.max_timestamp_ms = batch->max_timestamp_ms;
  if (liveness_.lives(source.item.group, source.item.end)) sources_.push_back(source);
  return {};
}

Result<void> ArchiveBuilder::collect_views(const log::EntryView& entry, Source source) {
  const Result<std::optional<log::EntryViews>> views = log::views_of(entry.extensions);
  if (!views) return views.error();
  if (!*views) return {};
  constexpr LogTime kNsPerMs = 1'000'000;
  source.item.max_timestamp_ms = (*views)->time / kNsPerMs;
  for (const log::ViewRun& run : (*views)->runs) {
    ++source.view_run;
    source.item.group = run.partition;
    source.item.first = run.first;
    source.item.end = run.end();
    if (liveness_.lives(run.partition, run.end())) sources_.push_back(source);
  }
  return {};
}

Result<void> ArchiveBuilder::collect_segment() {
  const Sequence first = log_.first_sequence_of(next_segment_);
  const Sequence last = log_.first_sequence_of(next_segment_ + 1) - 1;
  ++next_segment_;
  return log_.read(first, last, [&](const log::BatchView& batch, const log::BatchPlace& place) -> Result<void> {
    const log::BatchHeader& head = batch.header();
    if (!any_batch_) footer_.chain_before = head.previous_chain;
    any_batch_ = true;
    footer_.chain_after = log::chain_value(head.header_crc);
    footer_.last_time = std::max(footer_.last_time, head.base_time);
    return batch.for_each_entry([&](const log::EntryView& entry, Sequence sequence) -> Result<void> {
      const bool records = entry.header.kind == log::EntryKind::records;
      const Frame frame =
          records ? Frame{head.first_sequence, head.base_time} : Frame{sequence, head.base_time + entry.header.detail};
      return collect(entry, batch.bytes().subspan(entry.offset), frame, place.segment,
                     uint64_t{place.offset} + entry.offset);
    });
  });
}

Result<void> ArchiveBuilder::collect_archive() {
  footer_.chain_before = rewritten_->footer.chain_before;
  footer_.chain_after = rewritten_->footer.chain_after;
  footer_.last_time = rewritten_->footer.last_time;
  Result<std::unique_ptr<File>> file = store_.disk().open(rewritten_->path, OpenMode::read);
  if (!file) return std::move(file.error());
  rewritten_file_ = std::move(*file);
  uint64_t at = kBlockBytes;
  HEPTANE_TRY(archive_reader_->verify(*rewritten_, [&](PartitionId, const Item& item, Bytes bytes) -> Result<void> {
    HEPTANE_TRY(collect(item.entry, bytes.subspan(kFrameBytes), item.frame, 0, at + kFrameBytes));
    at += item.bytes;
    return {};
  }));
  return carry_rows_of(*rewritten_);
}

// Every partition that exists has a row, so that a search over archive segments knows which way to go.
Result<void> ArchiveBuilder::carry_rows() {
  const std::shared_ptr<const Catalog> catalog = store_.catalog();
  for (size_t i = catalog->size(); i-- > 0;) {
    const ArchiveSegment& before = *(*catalog)[i];
    if (!before.damage.empty() || before.header.first_sequence >= header_.first_sequence) continue;
    carried_.clear();
    const Result<void> read = carry_rows_of(before);
    // Damage found only now: an older one knows less, and reads between the two say that something is damaged.
    if (!read && read.error().code == Errc::corrupt) continue;
    return read;
  }
  carried_.clear();
  return {};
}

Result<void> ArchiveBuilder::carry_rows_of(const ArchiveSegment& segment) {
  return archive_reader_->for_each_row(segment, [&](const Row& row) -> Result<void> {
    if (row.partition != kCommandsGroup && !liveness_.gone(row.partition))
      carried_.emplace_back(row.partition, row.end);
    return {};
  });
}

Result<void> ArchiveBuilder::open_file() {
  const std::string path = store_.temporary_path();
  const Result<bool> leftover = store_.disk().exists(path);
  if (!leftover) return leftover.error();
  if (*leftover) HEPTANE_TRY(store_.disk().unlink(path));
  Result<std::unique_ptr<File>> file = store_.disk().open(path, OpenMode::create, OpenHint::direct);
  if (!file) return std::move(file.error());
  file_ = std::move(*file);
  writer_ = std::make_unique<ArchiveWriter>(*file_, header_);
  return {};
}

// Rows of partitions up to this one that have nothing here, then its own.
Result<void> ArchiveBuilder::begin_partitions_upto(PartitionId partition) {
  for (; next_carried_ < carried_.size() && carried_[next_carried_].first <= partition; ++next_carried_) {
    const auto& [carried, end] = carried_[next_carried_];
    writer_->begin_partition(carried, end);
    begun_ = carried;
  }
  if (begun_ < partition) {
    writer_->begin_partition(partition, 0);
    begun_ = partition;
  }
  return {};
}

Result<void> ArchiveBuilder::write_one(const Source& source) {
  entry_.resize(source.bytes);
  if (rewritten_) {
    const Result<size_t> count = rewritten_file_->read_at(source.at, entry_);
    if (!count) return count.error();
    if (*count != entry_.size()) return Error{Errc::corrupt, rewritten_->path + " ends too early"};
  } else {
    HEPTANE_TRY(log_reader_->read(source.segment, source.at, entry_));
  }
  const Result<log::EntryView> view = log::decode_entry(entry_);
  if (!view) return view.error();
  if (source.view_run >= 0) return write_views(source, *view);
  writer_->add(source.item, entry_, *view);
  return writer_->result();
}

// As batches that the kernel packed: the writer merges those of many commands.
Result<void> ArchiveBuilder::write_views(const Source& source, const log::EntryView& entry) {
  constexpr size_t kBatchBytes = kRunTargetBytes / 2;
  static const ViewRenderers kNone;
  const Result<std::optional<log::EntryViews>> views = log::views_of(entry.extensions);
  if (!views) return views.error();
  const log::ViewRun& run = (*views)->runs[static_cast<size_t>(source.view_run)];
  streams::ViewBatches rendered(renderers_ == nullptr ? kNone : *renderers_, {UINT64_MAX, kBatchBytes});
  const Result<bool> all = rendered.add(entry, **views, run, run.first);
  if (!all) return all.error();
  ArchiveItem item = source.item;
  item.end = item.first;
  for (const Buffer& batch : rendered.take()) {
    const Result<streams::RecordBatchInfo> info = streams::decode_record_batch_header(batch.view());
    if (!info) return info.error();
    item.first = item.end;
    item.end += info->record_count;
    ByteWriter causes;
    for (Offset offset = item.first; offset < item.end; ++offset) {
      causes.varint(0);
      causes.varint(static_cast<uint64_t>(offset - run.first + 1));
    }
    ByteWriter extensions;
    log::append_extension(extensions, log::ExtensionType::causes, causes.view());
    log::EntryView packed;
    packed.header.kind = log::EntryKind::records;
    packed.header.partition = run.partition;
    packed.extensions = extensions.view();
    packed.payload = batch.view();
    writer_->add(item, {}, packed);
  }
  return writer_->result();
}

// True when everything is written.
Result<bool> ArchiveBuilder::write_some(uint64_t bytes) {
  const uint64_t until = writer_->written_bytes() + bytes;
  for (; next_ < sources_.size() && writer_->written_bytes() < until; ++next_) {
    const Source& source = sources_[next_];
    if (source.item.group != begun_) HEPTANE_TRY(begin_partitions_upto(source.item.group));
    HEPTANE_TRY(write_one(source));
  }
  if (next_ < sources_.size()) return false;
  HEPTANE_TRY(begin_partitions_upto(carried_.empty() ? begun_ : std::max(begun_, carried_.back().first)));
  const Result<ArchiveFooter> footer = writer_->finish(footer_);
  if (!footer) return footer.error();
  footer_ = *footer;
  return true;
}

// Past the page cache: what is read here is what the device has. All of it: the log goes when this says yes.
Result<void> ArchiveBuilder::verify() {
  const Result<std::shared_ptr<ArchiveSegment>> written = store_.load(store_.temporary_path(), header_.log_id);
  if (!written) return written.error();
  if (!(*written)->damage.empty()) return Error{Errc::corrupt, (*written)->damage};
  if (!((*written)->header == header_) || !((*written)->footer == footer_))
    return Error{Errc::corrupt, "header or footer read back differently"};
  ArchiveReader reader(store_.disk(), store_);
  return reader.verify(**written, [](PartitionId, const Item&, Bytes) -> Result<void> { return {}; });
}

Result<ArchiveBuilder::Progress> ArchiveBuilder::step(uint64_t bytes) {
  switch (phase_) {
    case Phase::idle: return Progress::done;
    case Phase::collecting: {
      if (!writer_) HEPTANE_TRY(open_file());
      if (rewritten_) {
        HEPTANE_TRY(collect_archive());
      } else {
        HEPTANE_TRY(collect_segment());
        if (next_segment_ <= header_.last_segment) return Progress::more;
        HEPTANE_TRY(carry_rows());
      }
      std::sort(sources_.begin(), sources_.end(), [](const Source& a, const Source& b) {
        if (a.item.group != b.item.group) return a.item.group < b.item.group;
        return a.item.first < b.item.first;  // unique within a group
      });
      phase_ = Phase::writing;
      return Progress::more;
    }
    case Phase::writing: {
      const Result<bool> written = write_some(bytes);
      if (!written) return written.error();
      if (*written) phase_ = Phase::verifying;
      return Progress::more;
    }
    case Phase::verifying: {
      const Result<void> sound = verify();
      if (!sound) return sound.error();
      writer_.reset();
      file_.reset();
      sources_ = {};
      phase_ = Phase::idle;
      return Progress::done;
    }
  }
  return Progress::done;
}

}  // namespace heptane::archive
