#include "kernel/log/segment_reader.h"

#include <algorithm>

namespace heptane::log {

File* SegmentReader::find(uint32_t segment) {
  const auto found =
      std::find_if(open_.begin(), open_.end(), [segment](const OpenFile& file) { return file.segment == segment; });
  if (found == open_.end()) return nullptr;
  std::rotate(open_.begin(), found, found + 1);
  return open_.front().file.get();
}

Result<File*> SegmentReader::open(uint32_t segment) {
  if (File* known = find(segment)) return known;
  Result<std::unique_ptr<File>> file = disk_.open(segment_path(directory_, segment), OpenMode::read);
  if (!file) return std::move(file.error());
  if (open_.size() == kOpenFilesMax) {
    disk_.leave(std::move(open_.back().file));
    open_.pop_back();
  }
  open_.insert(open_.begin(), OpenFile{segment, std::move(*file)});
  return open_.front().file.get();
}

Result<void> SegmentReader::read(uint32_t segment, uint64_t offset, MutableBytes into) {
  if (recent_.read(segment, offset, into)) return {};
  Result<File*> file = open(segment);
  if (!file) return std::move(file.error());
  Result<size_t> count = (*file)->read_at(offset, into);
  if (!count) return std::move(count.error());
  if (*count != into.size()) return too_short(segment, offset + into.size());
  return {};
}

Result<bool> SegmentReader::try_read(uint32_t segment, uint64_t offset, MutableBytes into) {
  if (recent_.read(segment, offset, into)) return true;
  File* file = find(segment);
  if (file == nullptr) return false;
  const Result<std::optional<size_t>> count = file->try_read_at(offset, into);
  if (!count) return count.error();
  if (!*count) return false;
  if (**count != into.size()) return too_short(segment, offset + into.size());
  return true;
}

void SegmentReader::close_gone() {
  const uint32_t oldest = oldest_();
  const auto kept = [oldest](const OpenFile& file) { return file.segment >= oldest; };
  const auto gone = std::stable_partition(open_.begin(), open_.end(), kept);
  for (auto file = gone; file != open_.end(); ++file) disk_.leave(std::move(file->file));
  open_.erase(gone, open_.end());
}

void SegmentReader::expect(uint32_t segment, uint64_t offset, uint64_t bytes) {
  if (const Result<File*> file = open(segment)) (*file)->expect(offset, bytes);
}

Error SegmentReader::too_short(uint32_t segment, uint64_t end) const {
  return {Errc::corrupt, segment_path(directory_, segment) + " ends before offset " + std::to_string(end)};
}

Result<BatchHeader> first_batch_header(Disk& disk, const SegmentFile& segment) {
  Result<std::unique_ptr<File>> file = disk.open(segment.path, OpenMode::read);
  if (!file) return std::move(file.error());
  std::byte bytes[kBatchHeaderBytes] = {};
  Result<size_t> count = (*file)->read_at(kBlockBytes, bytes);
  if (!count) return std::move(count.error());
  if (*count < sizeof bytes || is_zero(bytes)) return Error{Errc::not_found, segment.path + " holds no batch"};
  Result<BatchHeader> header = decode_batch_header(bytes);
  if (!header) return Error{header.error().code, segment.path + " offset 4096: " + header.error().message};
  return header;
}

}  // namespace heptane::log
