#include "kernel/backup/backup.h"

#include <algorithm>
#include <memory>

#include "kernel/log/log_tool.h"
#include "kernel/log/log_tool_scan.h"
#include "kernel/log/quarantine.h"
#include "kernel/log/segment.h"

namespace heptane::backup {

namespace {

constexpr size_t kStepBytes = size_t{1} << 20;
constexpr size_t kBlockBytes = log::kBlockBytes;
constexpr std::string_view kHome = "shard-0";
constexpr const char* kSeries = "series";  // a projection: MANIFEST names the files that count
constexpr int kManifestTriesMax = 100;

struct Source {
  std::string path;  // below the data directory
  std::unique_ptr<File> file;
  uint64_t bytes = 0;
  bool backwards = false;
};

class Counter {
 public:
  Counter(const Progress& progress, uint64_t total) : progress_(progress), total_(total) {}
  void add(uint64_t bytes) {
    done_ += bytes;
    if (progress_) progress_(done_, total_);
  }

 private:
  const Progress& progress_;
  uint64_t done_ = 0;
  uint64_t total_;
};

// The names in a directory; none when it is not there.
Result<std::vector<std::string>> names_in(Disk& disk, const std::string& directory) {
  Result<std::vector<std::string>> names = disk.list(directory);
  if (!names && names.error().code == Errc::not_found) return std::vector<std::string>();
  return names;
}

Result<void> check_empty(Disk& disk, const std::string& directory) {
  const Result<std::vector<std::string>> names = names_in(disk, directory);
  if (!names) return names.error();
  if (names->empty()) return {};
  return Error{Errc::exists, directory + " is not empty: name a directory that is new or empty"};
}

std::string parent_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Result<Hash128> hash_of_file(File& file, uint64_t bytes, const std::string& path, Counter* counter) {
  StreamingHash128 hash;
  std::vector<std::byte> step(kStepBytes);
  for (uint64_t at = 0; at < bytes;) {
    const auto wanted = static_cast<size_t>(std::min<uint64_t>(step.size(), bytes - at));
    const Result<size_t> count = file.read_at(at, MutableBytes(step.data(), wanted));
    if (!count) return count.error();
    if (*count != wanted) return Error{Errc::corrupt, path + " is shorter than it should be"};
    hash.add(Bytes(step.data(), wanted));
    at += wanted;
    if (counter != nullptr) counter->add(wanted);
  }
  return hash.value();
}

// Blocks of zeros are left out: they read the same.
Result<void> copy_range(File& from, File& to, uint64_t at, MutableBytes step) {
  const Result<size_t> count = from.read_at(at, step);
  if (!count) return count.error();
  size_t begin = 0;
  const auto write_upto = [&](size_t end) -> Result<void> {
    return begin < end ? to.write_at(at + begin, Bytes(step).subspan(begin, end - begin)) : Result<void>();
  };
  for (size_t block = 0; block < *count; block += kBlockBytes) {
    const size_t bytes = std::min(kBlockBytes, *count - block);
    if (!log::is_zero(Bytes(step).subspan(block, bytes))) continue;
    HEPTANE_TRY(write_upto(block));
    begin = block + bytes;
  }
  return write_upto(*count);
}

// Whole, synced and read back; its name is the caller's to sync.
Result<Hash128> copy(Disk& disk, const Source& source, const std::string& to_path, Counter& counter) {
  HEPTANE_TRY(log::make_durable_directory(disk, parent_of(to_path)));
  Result<std::unique_ptr<File>> to = disk.open(to_path, OpenMode::create);
  if (!to) return std::move(to.error());
  HEPTANE_TRY((*to)->truncate(source.bytes));
  std::vector<std::byte> step(source.backwards ? kBlockBytes : kStepBytes);
  uint64_t uncounted = 0;
  for (uint64_t done = 0; done < source.bytes;) {
    const uint64_t left = source.bytes - done;
    // From the end, the first step takes what is no whole block.
    const uint64_t odd = left % step.size();
    const uint64_t bytes = source.backwards ? (odd != 0 ? odd : step.size()) : std::min<uint64_t>(step.size(), left);
    const uint64_t at = source.backwards ? left - bytes : done;
    HEPTANE_TRY(copy_range(*source.file, **to, at, MutableBytes(step.data(), static_cast<size_t>(bytes))));
    done += bytes;
    uncounted += bytes;
    if (uncounted >= kStepBytes || done == source.bytes) counter.add(std::exchange(uncounted, 0));
  }
  HEPTANE_TRY((*to)->sync());
  return hash_of_file(**to, source.bytes, to_path, nullptr);
}

class Backup {
 public:
  Backup(Disk& disk, const std::string& data) : disk_(disk), data_(data) {}

  // Opens everything; from then on nothing that the server deletes is lost.
  Result<void> open() {
    HEPTANE_TRY(add_directory(home("snapshots"), ".snap"));
    HEPTANE_TRY(add_directory(home("rows"), ".rows"));  // those that a snapshot names are there before it
    HEPTANE_TRY(add_directory(home("archive"), ".archive"));
    HEPTANE_TRY(add_projection(kSeries, ".chunks"));  // never ahead of the log
    HEPTANE_TRY(add_log());
    HEPTANE_TRY(add_directory(home("archive"), ".archive"));
    return add_directory("blobs", ".blob");  // a blob is there before the command that names it
  }

  Result<Manifest> copy_to(const std::string& directory, const Progress& progress) {
    uint64_t total = 0;
    for (const Source& source : sources_) total += source.bytes;
    Counter counter(progress, total);
    // The log is there from its newest segment to its oldest, for the same reason as inside each.
    for (const Source& source : sources_) {
      const Result<Hash128> hash = copy(disk_, source, directory + "/" + source.path, counter);
      if (!hash) return hash.error();
      manifest_.files.push_back({source.path, source.bytes, *hash});
    }
    HEPTANE_TRY(find_last_sequence(directory));
    return manifest_;
  }

 private:
  Result<void> add(const std::string& path, bool backwards) {
    Result<std::unique_ptr<File>> file = disk_.open(data_ + "/" + path, OpenMode::read);
    if (!file && file.error().code == Errc::not_found) return {};  // it went meanwhile
    if (!file) return std::move(file.error());
    const Result<uint64_t> bytes = (*file)->size();
    if (!bytes) return bytes.error();
    sources_.push_back({path, std::move(*file), *bytes, backwards});
    return {};
  }

  static std::string home(const std::string& name) { return std::string(kHome) + "/" + name; }

  Result<void> add_directory(const std::string& directory, std::string_view suffix) {
    const Result<std::vector<std::string>> names = names_in(disk_, data_ + "/" + directory);
    if (!names) return names.error();
    for (const std::string& file : *names) {
      const std::string path = directory + "/" + file;
      const bool known = std::any_of(sources_.begin(), sources_.end(), [&](const Source& s) { return s.path == path; });
      if (file.ends_with(suffix) && !known) HEPTANE_TRY(add(path, false));
    }
    return {};
  }

  // A manifest with all files that it names: none of them goes before another manifest takes its place, so when the same one is there
  // after they were opened, it was all the time. Files that are being written go along and are deleted by who finds them.
  Result<void> add_projection(const std::string& directory, std::string_view suffix) {
    const std::string manifest = directory + "/MANIFEST";
    const size_t begin = sources_.size();
    for (int tries = 0; tries < kManifestTriesMax; ++tries) {
      HEPTANE_TRY(add(manifest, false));
      if (sources_.size() == begin) return {};
      const Result<std::vector<std::byte>> before = bytes_of(*sources_.back().file);
      if (!before) return before.error();
      HEPTANE_TRY(add_directory(directory, suffix));
      const Result<std::unique_ptr<File>> file = disk_.open(data_ + "/" + manifest, OpenMode::read);
      if (!file) return file.error();
      const Result<std::vector<std::byte>> after = bytes_of(**file);
      if (!after) return after.error();
      if (*before == *after) return {};
      sources_.resize(begin);
    }
    return Error{Errc::overloaded, data_ + "/" + manifest + " changes all the time: try again"};
  }

  static Result<std::vector<std::byte>> bytes_of(File& file) {
    const Result<uint64_t> size = file.size();
    if (!size) return size.error();
    std::vector<std::byte> bytes(*size);
    const Result<size_t> count = file.read_at(0, bytes);
    if (!count) return count.error();
    bytes.resize(*count);
    return bytes;
  }

  // The segments with batches; those made ahead hold nothing.
  Result<void> add_log() {
    const std::string directory = home("log");
    Result<log::SegmentListing> listing = log::list_segments(disk_, data_ + "/" + directory);
    if (!listing && listing.error().code == Errc::not_found)
      return Error{Errc::not_found, data_ + " holds no log: name a server's data directory"};
    if (!listing) return std::move(listing.error());
    bool written = false;
    for (auto segment = listing->segments.rbegin(); segment != listing->segments.rend(); ++segment) {
      if (!segment->header) return Error{segment->header.error().code, segment->path + ": its header is damaged"};
      manifest_.log_id = segment->header->log_id;
      manifest_.shard = segment->header->shard;
      if (!written) {
        const Result<bool> holds = holds_batches(*segment);
        if (!holds) return holds.error();
        written = *holds;
        // The first one goes along in any case: it says which log this is.
        if (!written && segment + 1 != listing->segments.rend()) continue;
      }
      HEPTANE_TRY(add(directory + segment->path.substr(segment->path.rfind('/')), true));
      if (newest_.empty()) newest_ = sources_.back().path;
    }
    return {};
  }

  Result<bool> holds_batches(const log::SegmentFile& segment) {
    const Result<std::unique_ptr<File>> file = disk_.open(segment.path, OpenMode::read);
    if (!file) return file.error();
    std::vector<std::byte> block(kBlockBytes);
    const Result<size_t> count = (*file)->read_at(kBlockBytes, block);
    if (!count) return count.error();
    return !log::is_zero(Bytes(block).first(*count));
  }

  // Of the last whole batch: one that was being written meanwhile may be there in part.
  Result<void> find_last_sequence(const std::string& directory) {
    Result<log::SegmentListing> listing = log::list_segments(disk_, parent_of(directory + "/" + newest_));
    if (!listing) return std::move(listing.error());
    const std::vector<log::SegmentFile> last{listing->segments.back()};
    const Result<log::ScanPosition> start = log::scan_start(disk_, last);
    if (!start && start.error().code == Errc::not_found) return {};
    if (!start) return start.error();
    log::BatchScanner scanner(disk_, manifest_.log_id, manifest_.shard, last, *start);
    for (;;) {
      const Result<std::optional<log::BatchScanner::Scanned>> batch = scanner.next();
      if (!batch) return batch.error();
      if (!*batch) break;
    }
    manifest_.last_sequence = scanner.end().next_sequence - 1;
    return {};
  }

  Disk& disk_;
  const std::string data_;
  std::vector<Source> sources_;
  std::string newest_;
  Manifest manifest_;
};

Result<void> sync_directories(Disk& disk, const std::string& top, const Manifest& manifest) {
  std::vector<std::string> directories{top};
  for (const BackupFile& file : manifest.files)
    for (std::string at = parent_of(top + "/" + file.path); at.size() > top.size(); at = parent_of(at))
      directories.push_back(at);
  std::sort(directories.begin(), directories.end());
  directories.erase(std::unique(directories.begin(), directories.end()), directories.end());
  for (const std::string& directory : directories) HEPTANE_TRY(disk.sync_directory(directory));
  return {};
}

Result<void> remove_tree(Disk& disk, const std::string& top) {
  for (const char* part : {"shard-0/log", "shard-0/snapshots", "shard-0/archive", "shard-0/rows", "blobs", kSeries}) {
    const std::string directory = top + "/" + part;
    const Result<std::vector<std::string>> names = names_in(disk, directory);
    if (!names) return names.error();
    for (const std::string& name : *names) HEPTANE_TRY(disk.unlink(directory + "/" + name));
  }
  return {};
}

}  // namespace

Result<Manifest> make_backup(Disk& disk, const std::string& data, const std::string& backup, const Progress& progress) {
  HEPTANE_TRY(check_empty(disk, backup));
  Backup work(disk, data);
  HEPTANE_TRY(work.open());
  HEPTANE_TRY(log::make_durable_directory(disk, backup));
  const std::string copy = backup + "/data";
  Result<Manifest> manifest = work.copy_to(copy, progress);
  if (!manifest) return manifest;
  HEPTANE_TRY(sync_directories(disk, copy, *manifest));
  const std::string path = backup + "/" + std::string(kManifestName);
  Result<std::unique_ptr<File>> file = disk.open(path + ".tmp", OpenMode::create);
  if (!file) return std::move(file.error());
  HEPTANE_TRY((*file)->write_at(0, as_bytes(encode(*manifest))));
  HEPTANE_TRY((*file)->sync());
  HEPTANE_TRY(disk.rename(path + ".tmp", path));
  HEPTANE_TRY(disk.sync_directory(backup));
  return manifest;
}

namespace {

Result<Manifest> read_manifest(Disk& disk, const std::string& backup) {
  const std::string path = backup + "/" + std::string(kManifestName);
  Result<std::unique_ptr<File>> file = disk.open(path, OpenMode::read);
  if (!file && file.error().code == Errc::not_found)
    return Error{Errc::not_found,
                 backup + " is no backup, or one that was not finished: it has no " + std::string(kManifestName)};
  if (!file) return std::move(file.error());
  const Result<uint64_t> bytes = (*file)->size();
  if (!bytes) return bytes.error();
  constexpr uint64_t kManifestLimitBytes = uint64_t{64} << 20;
  if (*bytes > kManifestLimitBytes) return Error{Errc::corrupt, path + " is longer than any manifest"};
  std::string text(static_cast<size_t>(*bytes), '\0');
  const Result<size_t> count = (*file)->read_at(0, {reinterpret_cast<std::byte*>(text.data()), text.size()});
  if (!count) return count.error();
  Result<Manifest> manifest = decode_manifest(std::string_view(text).substr(0, *count));
  if (!manifest) return Error{manifest.error().code, path + ": " + manifest.error().message};
  return manifest;
}

Result<Source> open_source(Disk& disk, const std::string& backup, const BackupFile& file) {
  const std::string path = backup + "/data/" + file.path;
  Result<std::unique_ptr<File>> opened = disk.open(path, OpenMode::read);
  if (!opened && opened.error().code == Errc::not_found) return Error{Errc::corrupt, path + " is missing"};
  if (!opened) return std::move(opened.error());
  const Result<uint64_t> bytes = (*opened)->size();
  if (!bytes) return bytes.error();
  if (*bytes != file.bytes) return Error{Errc::corrupt, path + " has another size than the manifest says"};
  return Source{file.path, std::move(*opened), file.bytes, false};
}

Result<Manifest> check(Disk& disk, const std::string& backup, uint64_t passes, const Progress& progress) {
  Result<Manifest> manifest = read_manifest(disk, backup);
  if (!manifest) return manifest;
  Counter counter(progress, passes * manifest->bytes());
  for (const BackupFile& file : manifest->files) {
    const Result<Source> source = open_source(disk, backup, file);
    if (!source) return source.error();
    const Result<Hash128> hash = hash_of_file(*source->file, file.bytes, file.path, &counter);
    if (!hash) return hash.error();
    if (!(*hash == file.hash))
      return Error{Errc::corrupt, backup + "/data/" + file.path + " is damaged: its hash is not the manifest's"};
  }
  return manifest;
}

}  // namespace

Result<Manifest> check_backup(Disk& disk, const std::string& backup, const Progress& progress) {
  return check(disk, backup, 1, progress);
}

namespace {

// Positions never come back: what the original gave out after the backup is below everything the restored log will.
Result<void> leave_jump(Disk& disk, const std::string& data, const Manifest& manifest) {
  log::RepairOptions options;
  options.cut_at = manifest.last_sequence + 1;
  const Result<log::RepairReport> jumped = log::repair_log(disk, {data, manifest.shard}, options);
  return jumped ? Result<void>() : jumped.error();
}

}  // namespace

Result<Manifest> restore_backup(Disk& disk, const std::string& backup, const std::string& data,
                                const Progress& progress) {
  HEPTANE_TRY(check_empty(disk, data));
  Result<Manifest> manifest = check(disk, backup, 2, progress);
  if (!manifest) return manifest;
  const uint64_t checked = manifest->bytes();
  const std::string working = data + ".restoring";
  HEPTANE_TRY(remove_tree(disk, working));
  HEPTANE_TRY(log::make_durable_directory(disk, working));
  const Progress second = [&](uint64_t done, uint64_t) {
    if (progress) progress(checked + done, 2 * checked);
  };
  Counter counter(second, checked);
  for (const BackupFile& file : manifest->files) {
    const Result<Source> source = open_source(disk, backup, file);
    if (!source) return source.error();
    const Result<Hash128> hash = copy(disk, *source, working + "/" + file.path, counter);
    if (!hash) return hash.error();
    if (!(*hash == file.hash)) return Error{Errc::corrupt, file.path + " was not copied as it is in the backup"};
  }
  HEPTANE_TRY(sync_directories(disk, working, *manifest));
  HEPTANE_TRY(leave_jump(disk, working, *manifest));
  HEPTANE_TRY(disk.rename(working, data));
  HEPTANE_TRY(disk.sync_directory(parent_of(data)));
  return manifest;
}

}  // namespace heptane::backup
