#include "kernel/archive/archive_store.h"

#include <algorithm>
#include <cstdio>

#include "kernel/log/quarantine.h"

namespace heptane::archive {

namespace {

constexpr std::string_view kSuffix = ".archive";
constexpr std::string_view kTemporarySuffix = ".tmp";

Result<std::vector<std::byte>> read_block(File& file, uint64_t at) {
  std::vector<std::byte> block(kBlockBytes);
  const Result<size_t> count = file.read_at(at, block);
  if (!count) return count.error();
  block.resize(*count);
  return block;
}

}  // namespace

std::string ArchiveStore::final_path(const ArchiveHeader& header) const {
  char name[80];
  std::snprintf(name, sizeof name, "%020llu-%020llu-%010u", static_cast<unsigned long long>(header.first_sequence),
                static_cast<unsigned long long>(header.last_sequence), header.generation);
  return options_.directory + "/" + name + std::string(kSuffix);
}

// What the name says, for a file whose header does not.
ArchiveHeader ArchiveStore::header_of_name(const std::string& path) const {
  unsigned long long first = 0;
  unsigned long long last = 0;
  unsigned generation = 0;
  ArchiveHeader header;
  header.shard = options_.shard;
  if (std::sscanf(path.c_str() + options_.directory.size() + 1, "%20llu-%20llu-%10u", &first, &last, &generation) ==
      3) {
    header.first_sequence = first;
    header.last_sequence = last;
    header.generation = generation;
  }
  return header;
}

Result<std::shared_ptr<ArchiveSegment>> ArchiveStore::load(const std::string& path,
                                                           const std::optional<LogId>& log_id) {
  Result<std::unique_ptr<File>> file = disk_.open(path, OpenMode::read);
  if (!file) return std::move(file.error());
  const Result<uint64_t> size = (*file)->size();
  if (!size) return size.error();
  const Result<std::vector<std::byte>> first = read_block(**file, 0);
  if (!first) return first.error();
  const Result<ArchiveHeader> header = decode_header(*first);
  if (!header && header.error().code == Errc::unsupported)
    return Error{Errc::unsupported, path + ": " + header.error().message};
  if (!header) {
    auto damaged = std::make_shared<ArchiveSegment>();
    damaged->path = path;
    damaged->header = header_of_name(path);
    damaged->damage = "at offset 0: " + header.error().message;
    return damaged;
  }
  if ((log_id && header->log_id != *log_id) || header->shard != options_.shard)
    return Error{Errc::refused, path + " is of log " + log_id_text(header->log_id) +
                                    " and not of this one: " + "move the file out of this data directory"};
  auto segment = std::make_shared<ArchiveSegment>();
  segment->path = path;
  segment->header = *header;
  const uint64_t footer_at = *size < kBlockBytes ? 0 : *size - kBlockBytes;
  const Result<std::vector<std::byte>> last = read_block(**file, footer_at);
  if (!last) return last.error();
  const Result<ArchiveFooter> footer = decode_footer(*last);
  if (!footer && footer.error().code == Errc::unsupported) return footer.error();
  if (!footer)
    segment->damage = "at offset " + std::to_string(footer_at) + ": " + footer.error().message;
  else if (footer->file_bytes != *size)
    segment->damage = "the file has another size than its footer says";
  else
    segment->footer = *footer;
  return segment;
}

// `surplus`: paths of what an interrupted run left.
Result<Catalog> ArchiveStore::find(const std::optional<LogId>& log_id, std::vector<std::string>& surplus) {
  const Result<std::vector<std::string>> names = disk_.list(options_.directory);
  if (!names) return names.error();
  Catalog found;
  for (const std::string& name : *names) {
    const std::string path = options_.directory + "/" + name;
    if (name.ends_with(kTemporarySuffix)) surplus.push_back(path);
    if (!name.ends_with(kSuffix)) continue;
    Result<std::shared_ptr<ArchiveSegment>> segment = load(path, log_id);
    if (!segment) return std::move(segment.error());
    if (!(*segment)->damage.empty())
      reports_.push_back(path + ": " + (*segment)->damage + "; its records cannot be read");
    // Names sort as their numbers. Of two that cover the same, a rewriting was interrupted: the later one was whole.
    if (!found.empty() && found.back()->header.first_sequence == (*segment)->header.first_sequence) {
      if (!(*segment)->damage.empty() && found.back()->damage.empty()) continue;  // damaged since: the other one serves
      surplus.push_back(found.back()->path);
      found.pop_back();
    }
    found.push_back(std::move(*segment));
  }
  return found;
}

Result<void> ArchiveStore::open(const std::optional<LogId>& log_id) {
  HEPTANE_TRY(log::make_durable_directory(disk_, options_.directory));
  std::vector<std::string> surplus;
  Result<Catalog> found = find(log_id, surplus);
  if (!found) return std::move(found.error());
  for (const std::string& path : surplus) HEPTANE_TRY(disk_.unlink(path));
  replace(std::move(*found));
  // Names that are seen may not be on the device yet; before log segments go, they are.
  return disk_.sync_directory(options_.directory);
}

Result<void> ArchiveStore::look(const std::optional<LogId>& log_id) {
  std::vector<std::string> surplus;
  Result<Catalog> found = find(log_id, surplus);
  if (!found && found.error().code == Errc::not_found) return {};
  if (!found) return std::move(found.error());
  replace(std::move(*found));
  return {};
}

void ArchiveStore::replace(Catalog next) {
  auto shared = std::make_shared<const Catalog>(std::move(next));
  const std::lock_guard lock(mutex_);
  catalog_ = std::move(shared);
}

std::shared_ptr<const Catalog> ArchiveStore::catalog() const {
  const std::lock_guard lock(mutex_);
  return catalog_;
}

uint32_t ArchiveStore::last_log_segment() const {
  const std::shared_ptr<const Catalog> now = catalog();
  uint32_t last = 0;
  for (const auto& segment : *now) last = std::max(last, segment->header.last_segment);
  return last;
}

Result<void> ArchiveStore::publish(const ArchiveHeader& header, const ArchiveFooter& footer) {
  const std::string path = final_path(header);
  HEPTANE_TRY(disk_.rename(temporary_path(), path));
  HEPTANE_TRY(disk_.sync_directory(options_.directory));
  auto segment = std::make_shared<ArchiveSegment>();
  segment->path = path;
  segment->header = header;
  segment->footer = footer;
  Catalog next = *catalog();
  const auto at = std::find_if(next.begin(), next.end(), [&](const auto& other) {
    return other->header.first_sequence >= header.first_sequence;
  });
  std::string replaced;
  if (at != next.end() && (*at)->header.first_sequence == header.first_sequence) {
    replaced = (*at)->path;
    *at = std::move(segment);
  } else {
    next.insert(at, std::move(segment));
  }
  replace(std::move(next));
  if (replaced.empty()) return {};
  HEPTANE_TRY(disk_.unlink(replaced));
  return disk_.sync_directory(options_.directory);
}

Result<void> ArchiveStore::drop(const ArchiveSegment& segment) {
  Catalog next = *catalog();
  std::erase_if(next, [&](const auto& other) { return other->path == segment.path; });
  replace(std::move(next));
  HEPTANE_TRY(disk_.unlink(segment.path));
  return disk_.sync_directory(options_.directory);
}

}  // namespace heptane::archive
