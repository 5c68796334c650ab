#include "kernel/log/batch_scanner.h"

#include <algorithm>

namespace heptane::log {

Result<Bytes> WindowReader::view(uint64_t offset, size_t length) {
  if (offset >= begin_ && offset + length <= end_) return Bytes(buffer_.get() + (offset - begin_), length);
  const size_t want = std::max(length, chunk_bytes_);
  if (capacity_ < want) {
    auto larger = std::make_unique_for_overwrite<std::byte[]>(want);
    if (buffer_) std::memcpy(larger.get(), buffer_.get(), static_cast<size_t>(end_ - begin_));
    buffer_ = std::move(larger);
    capacity_ = want;
  }
  size_t kept = 0;
  if (offset >= begin_ && offset < end_) {
    kept = static_cast<size_t>(end_ - offset);
    std::memmove(buffer_.get(), buffer_.get() + (offset - begin_), kept);
  }
  begin_ = end_ = offset;
  size_t filled = kept;
  if (offset + kept < file_bytes_) {
    Result<size_t> read = file_->read_at(offset + kept, {buffer_.get() + kept, want - kept});
    if (!read) return std::move(read.error());
    filled += *read;
  }
  if (filled < length) std::memset(buffer_.get() + filled, 0, length - filled);
  end_ = offset + std::max(filled, length);
  return Bytes(buffer_.get(), length);
}

BatchScanner::BatchScanner(Disk& disk, const LogId& log_id, ShardId shard, std::vector<SegmentFile> segments,
                           ScanPosition start, size_t chunk_bytes)
    : disk_(disk),
      log_id_(log_id),
      shard_(shard),
      segments_(std::move(segments)),
      position_(start),
      end_(start),
      chunk_bytes_(chunk_bytes) {}

std::string BatchScanner::path() const { return segment_file(position_.segment).path; }

Result<WindowReader*> BatchScanner::window(uint32_t segment) {
  if (!window_ || window_segment_ != segment) {
    const SegmentFile& wanted = segment_file(segment);
    Result<std::unique_ptr<File>> file = disk_.open(wanted.path, OpenMode::read);
    if (!file) return std::move(file.error());
    const auto chunk = static_cast<size_t>(std::min<uint64_t>(chunk_bytes_, wanted.header->segment_bytes));
    window_ = std::make_unique<WindowReader>(std::move(*file), wanted.file_bytes, chunk);
    window_segment_ = segment;
  }
  return window_.get();
}

// The header there, when it is valid and says that it is there.
Result<std::optional<BatchHeader>> BatchScanner::header_at(uint32_t segment, uint64_t offset, std::string* why) {
  Result<WindowReader*> reader = window(segment);
  if (!reader) return std::move(reader.error());
  Result<Bytes> bytes = (*reader)->view(offset, kBatchHeaderBytes);
  if (!bytes) return std::move(bytes.error());
  Result<BatchHeader> header = decode_batch_header(*bytes);
  if (!header) {
    // Only where a batch must begin may a foreign version stop everything; elsewhere those are just bytes.
    if (why != nullptr && header.error().code == Errc::unsupported)
      return Error{Errc::unsupported,
                   segment_file(segment).path + " offset " + std::to_string(offset) + ": " + header.error().message};
    if (why != nullptr) *why = header.error().message;
    return std::optional<BatchHeader>();
  }
  if (header->log_id != log_id_ || header->shard != shard_ || header->segment != segment || header->offset != offset ||
      offset + header->padded_bytes() > segment_bytes(segment)) {
    if (why != nullptr) *why = "a batch header that belongs somewhere else";
    return std::optional<BatchHeader>();
  }
  return std::optional(*header);
}

bool BatchScanner::follows(const BatchHeader& header) const {
  if (header.previous_chain != position_.chain || header.epoch < position_.epoch) return false;
  if ((header.flags & kJumpFlag) != 0)
    return header.durable_upto == position_.next_sequence - 1 && header.first_sequence > position_.next_sequence;
  return header.first_sequence == position_.next_sequence;
}

Result<std::optional<BatchScanner::Scanned>> BatchScanner::take(uint32_t segment, uint64_t offset,
                                                                const BatchHeader& header) {
  Result<WindowReader*> reader = window(segment);
  if (!reader) return std::move(reader.error());
  const auto bytes = static_cast<uint32_t>(kBatchHeaderBytes + header.body_bytes);
  Result<Bytes> whole = (*reader)->view(offset, static_cast<size_t>(header.padded_bytes()));
  if (!whole) return std::move(whole.error());
  Result<BatchView> view = BatchView::decode(whole->first(bytes));
  if (!view || view->header().header_crc != header.header_crc) {
    why_ended_ = view ? "a batch that changed while it was read" : view.error().message;
    return std::optional<Scanned>();
  }
  position_.offset = offset + header.padded_bytes();
  position_.next_sequence = header.last_sequence() + 1;
  position_.chain = chain_value(header.header_crc);
  position_.epoch = header.epoch;
  end_ = position_;
  return std::optional(Scanned{std::move(*view), {segment, static_cast<uint32_t>(offset), bytes}});
}

// A batch that did not fit went to the next segment; its chain proves that nothing stood between.
Result<bool> BatchScanner::try_roll() {
  const uint32_t next = position_.segment + 1;
  if (!has_segment(next)) return false;
  Result<std::optional<BatchHeader>> header = header_at(next, kBlockBytes, nullptr);
  if (!header) return std::move(header.error());
  if (!*header || !follows(**header)) return false;
  position_.segment = next;
  position_.offset = kBlockBytes;
  return true;
}

Result<std::optional<BatchScanner::Scanned>> BatchScanner::next() {
  why_ended_.clear();
  if (position_.offset + kBlockBytes <= segment_bytes(position_.segment)) {
    Result<std::optional<BatchHeader>> header = header_at(position_.segment, position_.offset, &why_ended_);
    if (!header) return std::move(header.error());
    if (*header && follows(**header)) return take(position_.segment, position_.offset, **header);
    if (*header) why_ended_ = "a batch that does not continue the one before it";
  } else {
    why_ended_ = "the end of the segment";
  }
  Result<bool> rolled = try_roll();
  if (!rolled) return std::move(rolled.error());
  if (!*rolled) return std::optional<Scanned>();
  Result<std::optional<BatchHeader>> header = header_at(position_.segment, position_.offset, &why_ended_);
  if (!header) return std::move(header.error());
  if (!*header) return std::optional<Scanned>();
  return take(position_.segment, position_.offset, **header);
}

// Calls each(place, header, torn_here) for the valid headers at position() and behind it, until it returns false. When the
// batch at position() has a sound header and only its body is torn, its own bytes are payload and are not searched.
template <class Each>
Result<void> BatchScanner::each_header_behind(Each&& each) {
  look_again();
  for (uint32_t segment = position_.segment; has_segment(segment); ++segment) {
    uint64_t offset = segment == position_.segment ? position_.offset : kBlockBytes;
    const uint64_t end = std::min(segment_bytes(segment), segment_file(segment).file_bytes);
    while (offset + kBlockBytes <= end) {
      Result<std::optional<BatchHeader>> header = header_at(segment, offset, nullptr);
      if (!header) return std::move(header.error());
      if (!*header) {
        offset += kBlockBytes;
        continue;
      }
      const bool torn_here = segment == position_.segment && offset == position_.offset && follows(**header);
      const BatchPlace place{segment, static_cast<uint32_t>(offset),
                             static_cast<uint32_t>(kBatchHeaderBytes + (*header)->body_bytes)};
      if (!each(place, **header, torn_here)) return {};
      offset += torn_here ? (*header)->padded_bytes() : kBlockBytes;
    }
  }
  return {};
}

Result<std::optional<Evidence>> BatchScanner::find_evidence() {
  std::optional<Evidence> found;
  const Sequence bad = position_.next_sequence;
  HEPTANE_TRY(each_header_behind([&](const BatchPlace& place, const BatchHeader& header, bool torn_here) {
    // Only one batch is ever in flight: a header that begins at or above the bad sequence was written after the bad
    // place had been synced, even where a seal's header cannot say so by durable_upto.
    if (torn_here || (header.durable_upto < bad && header.first_sequence < bad)) return true;
    found = Evidence{place, header};
    return false;
  }));
  return found;
}

Result<BatchScanner::Highest> BatchScanner::highest_behind() {
  Highest highest;
  HEPTANE_TRY(each_header_behind([&](const BatchPlace&, const BatchHeader& header, bool) {
    highest.sequence = std::max(highest.sequence, header.last_sequence());
    highest.epoch = std::max(highest.epoch, header.epoch);
    return true;
  }));
  return highest;
}

Result<std::vector<BatchScanner::Remains>> BatchScanner::find_remains() {
  look_again();
  std::vector<Remains> found;
  for (uint32_t segment = end_.segment; has_segment(segment); ++segment) {
    const uint64_t begin = segment == end_.segment ? end_.offset : kBlockBytes;
    const uint64_t end = segment_file(segment).file_bytes;
    Remains remains{segment, 0, 0};
    for (uint64_t offset = begin; offset < end;) {
      const auto length = static_cast<size_t>(std::min<uint64_t>(kBlockBytes, end - offset));
      Result<WindowReader*> reader = window(segment);
      if (!reader) return std::move(reader.error());
      Result<Bytes> block = (*reader)->view(offset, length);
      if (!block) return std::move(block.error());
      if (!is_zero(*block)) {
        if (remains.bytes == 0) remains.offset = offset;
        remains.bytes = offset + length - remains.offset;
      }
      offset += length;
    }
    if (remains.bytes != 0) found.push_back(remains);
  }
  return found;
}

}  // namespace heptane::log
