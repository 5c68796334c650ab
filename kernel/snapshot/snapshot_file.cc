#include "kernel/snapshot/snapshot_file.h"

#include <algorithm>

#include "kernel/snapshot/bulk_reader.h"

namespace heptane::snapshot {

SnapshotFileWriter::SnapshotFileWriter(File& file, const SnapshotHeader& header) : file_(file), header_(header) {
  encode(header_, buffer_.data());
  filled_ = kBlockBytes;
}

void SnapshotFileWriter::begin(Section section) {
  HEPTANE_ASSERT(!section_ || *section_ < section, "the sections of a snapshot have an order");
  end_section();
  section_ = section;
}

void SnapshotFileWriter::write(Bytes bytes) {
  while (!bytes.empty() && result_) {
    const size_t take = std::min(bytes.size(), kChunkPayloadBytes - chunk_payload_);
    std::memcpy(chunk() + kChunkHeadBytes + chunk_payload_, bytes.data(), take);
    chunk_payload_ += take;
    bytes = bytes.subspan(take);
    if (chunk_payload_ == kChunkPayloadBytes) close_chunk();
  }
}

void SnapshotFileWriter::close_chunk() {
  if (*section_ == Section::state) {
    hash_.add({chunk() + kChunkHeadBytes, chunk_payload_});
    footer_.state_bytes += chunk_payload_;
  } else {
    footer_.index_bytes += chunk_payload_;
  }
  filled_ += seal_chunk({static_cast<uint32_t>(chunk_payload_), *section_, footer_.chunks++}, header_.crc, chunk());
  chunk_payload_ = 0;
  if (buffer_.size() - filled_ < kChunkBytes) flush();
}

void SnapshotFileWriter::end_section() {
  if (chunk_payload_ > 0) close_chunk();
}

void SnapshotFileWriter::flush() {
  if (!result_ || filled_ == 0) return;
  result_ = file_.write_at(written_, {buffer_.data(), filled_});
  written_ += filled_;
  filled_ = 0;
  if (result_ && pace_) pace_(written_);
}

Result<void> SnapshotFileWriter::finish() {
  end_section();
  footer_.state_hash = hash_.value();
  footer_.file_bytes = written_ + filled_ + kBlockBytes;
  encode(footer_, header_.crc, chunk());
  filled_ += kBlockBytes;
  flush();
  if (result_) result_ = file_.sync();
  return result_;
}

SnapshotFileReader::SnapshotFileReader(std::unique_ptr<File> file, const SnapshotHeader& header,
                                       const SnapshotFooter& footer)
    : file_(std::move(file)), header_(header), footer_(footer) {}

Result<std::unique_ptr<SnapshotFileReader>> SnapshotFileReader::open(Disk& disk, const std::string& path,
                                                                     OpenHint hint) {
  Result<std::unique_ptr<File>> file = disk.open(path, OpenMode::read, hint);
  if (!file) return std::move(file.error());
  const Result<uint64_t> size = (*file)->size();
  if (!size) return size.error();
  if (*size < 2 * kBlockBytes || *size % kBlockBytes != 0)
    return Error{Errc::corrupt, "the file's size is no snapshot's"};
  const AlignedBuffer block(kBlockBytes);
  const auto read_block = [&](uint64_t offset) -> Result<Bytes> {
    const Result<size_t> count = (*file)->read_at(offset, {block.data(), kBlockBytes});
    if (!count) return count.error();
    return Bytes(block.data(), *count);
  };
  const Result<Bytes> first = read_block(0);
  if (!first) return first.error();
  const auto at = [](uint64_t offset, const Error& error) {
    return Error{error.code, "at offset " + std::to_string(offset) + ": " + error.message};
  };
  const Result<SnapshotHeader> header = decode_header(*first);
  if (!header) return at(0, header.error());
  const Result<Bytes> last = read_block(*size - kBlockBytes);
  if (!last) return last.error();
  const Result<SnapshotFooter> footer = decode_footer(*last, header->crc);
  if (!footer) return at(*size - kBlockBytes, footer.error());
  if (footer->file_bytes != *size) return Error{Errc::corrupt, "the file has another size than its footer says"};
  return std::unique_ptr<SnapshotFileReader>(new SnapshotFileReader(std::move(*file), *header, *footer));
}

void SnapshotFileReader::rewind_to(uint64_t offset, uint32_t number) {
  position_ = offset;
  number_ = number;
}

void SnapshotFileReader::seek(Section section) {
  section_ = section;
  if (section == Section::state) {
    rewind_to(kBlockBytes, 0);
    section_left_ = footer_.state_bytes;
  } else {
    rewind_to(kBlockBytes + stored_section_bytes(footer_.state_bytes), section_chunks(footer_.state_bytes));
    section_left_ = footer_.index_bytes;
  }
}

// `bytes` from position_ on, out of the buffer; refilled in whole buffers, which suits direct reads.
Result<Bytes> SnapshotFileReader::view(size_t bytes) {
  if (position_ < buffer_offset_ || position_ + bytes > buffer_offset_ + buffered_) {
    const Result<size_t> count = file_->read_at(position_, {buffer_.data(), buffer_.size()});
    if (!count) return count.error();
    buffer_offset_ = position_;
    buffered_ = *count;
    if (buffered_ < bytes) return Error{Errc::corrupt, "the file ended while it was read"};
  }
  return Bytes(buffer_.data() + (position_ - buffer_offset_), bytes);
}

Result<Bytes> SnapshotFileReader::next_payload() {
  if (section_left_ == 0) return Bytes();
  const uint64_t payload = std::min<uint64_t>(section_left_, kChunkPayloadBytes);
  const Result<Bytes> stored = view(static_cast<size_t>(stored_chunk_bytes(payload)));
  if (!stored) return stored.error();
  const ChunkHead head{static_cast<uint32_t>(payload), section_, number_};
  HEPTANE_TRY(
      check_chunk(stored->first(kChunkHeadBytes), stored->subspan(kChunkHeadBytes), {position_, head, header_.crc}));
  position_ += stored->size();
  ++number_;
  section_left_ -= payload;
  return stored->subspan(kChunkHeadBytes, static_cast<size_t>(payload));
}

Result<size_t> SnapshotFileReader::read_payloads(MutableBytes into, size_t threads,
                                                 const std::function<void(Bytes)>& in_order) {
  const uint64_t chunks = std::min<uint64_t>(into.size(), section_left_) / kChunkPayloadBytes;
  const auto bytes = static_cast<size_t>(chunks * kChunkPayloadBytes);
  HEPTANE_TRY(read_bulk(*file_, {position_, number_, section_, header_.crc}, into.first(bytes), threads, in_order));
  position_ += chunks * kChunkBytes;
  number_ += static_cast<uint32_t>(chunks);
  section_left_ -= bytes;
  return bytes;
}

Result<bool> SnapshotFileReader::verify_some(uint64_t bytes) {
  if (number_ == 0) seek(Section::state);
  for (const uint64_t end = position_ + bytes; position_ < end;) {
    if (section_left_ == 0 && section_ == Section::state) seek(Section::index);
    if (section_left_ == 0) {
      if (hash_.value() == footer_.state_hash) return true;
      return Error{Errc::corrupt, "the state has another hash than the footer says"};
    }
    const Section section = section_;
    const Result<Bytes> payload = next_payload();
    if (!payload) return payload.error();
    if (section == Section::state) hash_.add(*payload);
  }
  return false;
}

Result<void> SnapshotFileReader::verify() {
  for (;;) {
    const Result<bool> done = verify_some(kBufferBytes);
    if (!done) return done.error();
    if (*done) return {};
  }
}

SectionReader::SectionReader(SnapshotFileReader& file, Section section, size_t ahead)
    : file_(file), section_(section), ahead_(ahead) {
  file_.seek(section);
  stretches_.emplace(ahead_, [this](Stretch& into) { return fill(into); });
}

// So much of it that something is left when what was read ahead is taken.
bool SectionReader::wants_bulk(size_t bytes) const {
  const SnapshotFooter& footer = file_.footer();
  const uint64_t section_bytes = section_ == Section::state ? footer.state_bytes : footer.index_bytes;
  const uint64_t left = std::min<uint64_t>(bytes, section_bytes - read_bytes_);
  return ahead_ > 0 && left >= kBulkBytes + (ahead_ + 1) * kBufferBytes;
}

void SectionReader::note_read(size_t bytes) {
  read_bytes_ += bytes;
  if (progress_) progress_(read_bytes_);
}

// Nobody reads ahead meanwhile; afterwards somebody does again.
size_t SectionReader::read_bulk(MutableBytes into) {
  const Result<size_t> read = file_.read_payloads(into, kBulkThreads, [this](Bytes piece) {
    if (section_ == Section::state) hash_.add(piece);
    note_read(piece.size());
  });
  if (!read) damage_ = read.error();
  halted_ = false;
  if (damage_) stretches_.emplace(ahead_, [this](Stretch& stretch) { return fill(stretch); });
  return read ? *read : 0;
}

bool SectionReader::fill(Stretch& stretch) {
  if (ended_) return false;
  if (!stretch.memory) stretch.memory = std::make_unique_for_overwrite<std::byte[]>(kBufferBytes);
  stretch.bytes = 0;
  while (stretch.bytes + kChunkPayloadBytes <= kBufferBytes) {
    const Result<Bytes> payload = file_.next_payload();
    if (!payload) stretch.error = payload.error();
    ended_ = !payload || payload->empty();
    if (ended_) break;
    std::memcpy(stretch.memory.get() + stretch.bytes, payload->data(), payload->size());
    stretch.bytes += payload->size();
  }
  if (section_ == Section::state) hash_.add({stretch.memory.get(), stretch.bytes});
  return stretch.bytes > 0 || stretch.error.has_value();
}

bool SectionReader::read(MutableBytes into) {
  while (!into.empty() && damage_) {
    if (payload_.empty()) {
      if (!halted_ && wants_bulk(into.size())) {
        stretches_->stop();
        halted_ = true;
      }
      const Stretch* next = stretches_->next();
      if (next == nullptr && halted_) {
        into = into.subspan(read_bulk(into));
        continue;
      }
      if (next == nullptr) return false;
      payload_ = {next->memory.get(), next->bytes};
      note_read(next->bytes);
      // What was right before the damage is of no use: the caller gives up all of it.
      if (next->error) damage_ = *next->error;
      continue;
    }
    const size_t take = std::min(into.size(), payload_.size());
    std::memcpy(into.data(), payload_.data(), take);
    into = into.subspan(take);
    payload_ = payload_.subspan(take);
  }
  return damage_.ok();
}

Result<void> SectionReader::finish() {
  if (!damage_) return damage_;
  if (failed()) return Error{Errc::corrupt, "the snapshot ends too early"};
  std::byte more;
  if (read({&more, 1})) return Error{Errc::corrupt, "the snapshot holds more than was read of it"};
  stretches_->stop();
  if (damage_ && section_ == Section::state && !(hash_.value() == file_.footer().state_hash))
    damage_ = Error{Errc::corrupt, "the state has another hash than the footer says"};
  return damage_;
}

}  // namespace heptane::snapshot
