#include "kernel/snapshot/snapshot_store.h"

#include <algorithm>
#include <cstdio>

#include "kernel/log/quarantine.h"
#include "kernel/log/segment.h"
#include "kernel/shard/memory_snapshot.h"

namespace heptane::snapshot {

namespace {

constexpr size_t kDigits = 20;
constexpr std::string_view kSuffix = ".snap";
constexpr std::string_view kTemporarySuffix = ".tmp";

std::string file_name(Sequence sequence, std::string_view suffix) {
  char digits[kDigits + 1];
  std::snprintf(digits, sizeof digits, "%020llu", static_cast<unsigned long long>(sequence));
  return digits + std::string(suffix);
}

// False for a name that is no snapshot's.
bool parse_name(const std::string& name, Sequence& sequence) {
  if (name.size() != kDigits + kSuffix.size() || !name.ends_with(kSuffix)) return false;
  sequence = 0;
  for (size_t i = 0; i < kDigits; ++i) {
    if (name[i] < '0' || name[i] > '9') return false;
    if (__builtin_mul_overflow(sequence, Sequence{10}, &sequence) ||
        __builtin_add_overflow(sequence, static_cast<Sequence>(name[i] - '0'), &sequence))
      return false;
  }
  return true;
}

// The header alone: it still proves what was synced when the rest of its file is damaged.
std::optional<SnapshotHeader> header_of(Disk& disk, const std::string& path) {
  Result<std::unique_ptr<File>> file = disk.open(path, OpenMode::read);
  if (!file) return std::nullopt;
  std::vector<std::byte> block(kBlockBytes);
  const Result<size_t> count = (*file)->read_at(0, block);
  if (!count) return std::nullopt;
  const Result<SnapshotHeader> header = decode_header(Bytes(block).first(*count));
  return header ? std::optional(*header) : std::nullopt;
}

}  // namespace

Result<std::optional<LogId>> peek_log_id(Disk& disk, const std::string& log_directory) {
  const Result<log::SegmentListing> listing = log::list_segments(disk, log_directory);
  if (!listing && listing.error().code == Errc::not_found) return std::optional<LogId>();
  if (!listing) return listing.error();
  if (listing->segments.empty() || !listing->segments.front().header) return std::optional<LogId>();
  return std::optional(listing->segments.front().header->log_id);
}

std::string SnapshotStore::temporary_path() const {
  return options_.directory + "/next" + std::string(kTemporarySuffix);
}

std::string SnapshotStore::final_path(Sequence sequence) const {
  return options_.directory + "/" + file_name(sequence, kSuffix);
}

Result<void> SnapshotStore::open() {
  HEPTANE_TRY(log::make_durable_directory(disk_, options_.directory));
  const Result<std::vector<std::string>> names = disk_.list(options_.directory);
  if (!names) return names.error();
  for (const std::string& name : *names)
    if (name.ends_with(kTemporarySuffix)) HEPTANE_TRY(disk_.unlink(options_.directory + "/" + name));
  // A name that is seen may not be on the device yet; before the log is built upon it, it is.
  return disk_.sync_directory(options_.directory);
}

Result<std::vector<SnapshotName>> SnapshotStore::list() const {
  const Result<std::vector<std::string>> names = disk_.list(options_.directory);
  if (!names) return names.error();
  std::vector<SnapshotName> found;
  for (const std::string& name : *names) {
    Sequence sequence = 0;
    if (parse_name(name, sequence)) found.push_back({sequence, options_.directory + "/" + name});
  }
  std::reverse(found.begin(), found.end());  // names sort as their numbers
  return found;
}

Result<void> SnapshotStore::check_owner(const SnapshotName& name, const SnapshotHeader& header,
                                        const std::optional<LogId>& log_id) const {
  if (log_id && header.log_id != *log_id)
    return Error{Errc::refused, name.path + " is a snapshot of log " + log_id_text(header.log_id) + ", this is log " +
                                    log_id_text(*log_id) + ": move the file out of this data directory"};
  if (header.shard != options_.shard || header.sequence != name.sequence)
    return Error{Errc::refused, name.path + " holds the snapshot " + position_text(header.shard, header.sequence) +
                                    ": give it back its name or move it out of this data directory"};
  return {};
}

// `damage`: what is wrong with the file itself.
Result<void> SnapshotStore::load(const std::string& path, Shard& shard, StreamStore& streams, RestoredSnapshot& out,
                                 Result<void>& damage) const {
  const Result<std::unique_ptr<SnapshotFileReader>> file = SnapshotFileReader::open(disk_, path, OpenHint::none);
  if (!file) {
    damage = file.error();
    return damage;
  }
  const SnapshotHeader& header = (*file)->header();
  const SnapshotFooter& footer = (*file)->footer();
  const auto report_to = [&](SectionReader& reader, uint64_t before) {
    if (!options_.on_progress) return;
    reader.set_progress(
        [&, before](uint64_t bytes) { options_.on_progress(before + bytes, footer.state_bytes + footer.index_bytes); });
  };
  {
    SectionReader state(**file, Section::state, options_.read_ahead);
    report_to(state, 0);
    Result<void> restored = shard.restore(state, header.sequence, header.time);
    if (restored) restored = state.finish();
    damage = state.damage();
    if (!damage || !restored) return !damage ? damage : restored;
  }
  SectionReader index(**file, Section::index, options_.read_ahead);
  report_to(index, footer.state_bytes);
  Result<void> restored = streams.restore_index(index);
  if (restored) restored = index.finish();
  damage = index.damage();
  if (!damage || !restored) return !damage ? damage : restored;
  out.any = true;
  out.header = header;
  out.file_bytes = footer.file_bytes;
  out.from.place = {header.segment, header.offset, 0};
  out.from.next_sequence = header.sequence + 1;
  out.from.previous_chain = header.previous_chain;
  return {};
}

// One that is damaged, or whose files are not there (`lacking`), is told of and passed over; anything else ends the start.
Result<void> SnapshotStore::consider(const SnapshotName& name, const std::optional<LogId>& log_id, Shard& shard,
                                     StreamStore& streams, RestoredSnapshot& out, std::optional<Error>& lacking) {
  if (const std::optional<SnapshotHeader> header = header_of(disk_, name.path)) {
    HEPTANE_TRY(check_owner(name, *header, log_id));
    out.from.durable_evidence = std::max(out.from.durable_evidence, header->sequence);
  }
  Result<void> damage;
  Result<void> loaded = load(name.path, shard, streams, out, damage);
  if (loaded) return loaded;
  if (!damage && (damage.error().code == Errc::corrupt || damage.error().code == Errc::io))
    return pass_over(name, damage.error(), out);
  const Error error{loaded.error().code, name.path + ": " + loaded.error().message};
  if (error.code != Errc::refused) return error;
  out.reports.push_back("the snapshot before this one is used: " + error.message);
  if (!lacking) lacking = error;
  return {};
}

Result<void> SnapshotStore::pass_over(const SnapshotName& name, const Error& damage, RestoredSnapshot& out) {
  std::string report = name.path + ": " + damage.message + "; the one before it is used";
  if (damage.code == Errc::corrupt) {
    const Result<std::string> kept = log::quarantine_move(disk_, options_.quarantine_directory,
                                                          file_name(name.sequence, kSuffix), options_.directory);
    if (!kept) return kept.error();
    report += "; moved to " + *kept;
  }
  out.reports.push_back(std::move(report));
  return {};
}

Result<RestoredSnapshot> SnapshotStore::restore(Shard& shard, StreamStore& streams,
                                                const std::optional<LogId>& log_id) {
  const Result<std::vector<SnapshotName>> names = list();
  if (!names) return names.error();
  RestoredSnapshot out;
  if (names->empty()) return out;
  MemorySnapshot fresh_state;
  shard.save(fresh_state);
  MemorySnapshot fresh_index;
  streams.save_index(fresh_index);
  std::optional<Error> lacking;
  for (size_t i = 0; i < names->size(); ++i) {
    if (lacking && i >= options_.kept) break;  // the log need not reach back to those before
    HEPTANE_TRY(consider((*names)[i], log_id, shard, streams, out, lacking));
    if (out.any) return out;
    fresh_state.rewind();
    HEPTANE_TRY(shard.restore(fresh_state, 0, 0));
    fresh_index.rewind();
    HEPTANE_TRY(streams.restore_index(fresh_index));
  }
  if (lacking) return *lacking;  // nobody wants everything made again without having been asked
  return out;
}

Result<RestoredSnapshot> SnapshotStore::look(Shard& shard, StreamStore& streams, const LogId& log_id,
                                             const RestoreLimit& limit) const {
  RestoredSnapshot out;
  const Result<std::vector<SnapshotName>> names = list();
  if (!names && names.error().code == Errc::not_found) return out;
  if (!names) return names.error();
  for (const SnapshotName& name : *names) {
    if (name.sequence > limit.sequence) continue;
    const std::optional<SnapshotHeader> header = header_of(disk_, name.path);
    if (header) HEPTANE_TRY(check_owner(name, *header, log_id));
    if (header && header->time > limit.time) continue;
    Result<void> damage;
    const Result<void> loaded = load(name.path, shard, streams, out, damage);
    if (!loaded) return Error{loaded.error().code, name.path + ": " + loaded.error().message};
    return out;
  }
  return out;
}

Result<void> SnapshotStore::publish(Sequence sequence) {
  HEPTANE_TRY(disk_.rename(temporary_path(), final_path(sequence)));
  HEPTANE_TRY(disk_.sync_directory(options_.directory));
  return thin_out();
}

Result<void> SnapshotStore::thin_out() {
  const Result<std::vector<SnapshotName>> names = list();
  if (!names) return names.error();
  const std::vector<SnapshotName> surplus = surplus_history(*names);
  if (surplus.empty()) return {};
  for (const SnapshotName& name : surplus) HEPTANE_TRY(disk_.unlink(name.path));
  return disk_.sync_directory(options_.directory);
}

// A file that cannot be looked at is no history.
std::vector<SnapshotName> SnapshotStore::surplus_history(const std::vector<SnapshotName>& newest_first) {
  std::vector<SnapshotName> surplus;
  if (newest_first.size() <= options_.kept) return surplus;
  struct Kept {
    SnapshotName name;
    uint64_t bytes = 0;
  };
  std::vector<Kept> history;
  const std::optional<SnapshotHeader> newest = header_of(disk_, newest_first.front().path);
  uint64_t total = 0;
  for (size_t i = options_.kept; i < newest_first.size(); ++i) {
    const SnapshotName& name = newest_first[i];
    const std::optional<SnapshotHeader> header = header_of(disk_, name.path);
    const Result<std::unique_ptr<File>> file = disk_.open(name.path, OpenMode::read);
    const Result<uint64_t> bytes = file ? (*file)->size() : Result<uint64_t>(file.error());
    const bool old =
        options_.history.keep_ns >= 0 && newest && header && newest->time - header->time > options_.history.keep_ns;
    if (!header || !bytes || old || total + *bytes > options_.history.keep_bytes) {
      surplus.push_back(name);
      if (header && bytes) total = UINT64_MAX / 2;  // what is older still goes before it would
      continue;
    }
    total += *bytes;
    history.push_back({name, *bytes});
  }
  while (history.size() > kHistoryMax) {
    // Between its neighbours; the oldest one marks how far back history goes and stays.
    size_t best = 0;
    Sequence best_gap = UINT64_MAX;
    for (size_t i = 0; i + 1 < history.size(); ++i) {
      const Sequence above = i == 0 ? newest_first[options_.kept - 1].sequence : history[i - 1].name.sequence;
      const Sequence gap = above - history[i + 1].name.sequence;
      if (gap < best_gap) best = i, best_gap = gap;
    }
    surplus.push_back(history[best].name);
    history.erase(history.begin() + static_cast<ptrdiff_t>(best));
  }
  return surplus;
}

Result<bool> SnapshotStore::forget_history() {
  const Result<std::vector<SnapshotName>> names = list();
  if (!names) return names.error();
  if (names->size() <= options_.kept) return false;
  for (size_t i = options_.kept; i < names->size(); ++i) HEPTANE_TRY(disk_.unlink((*names)[i].path));
  HEPTANE_TRY(disk_.sync_directory(options_.directory));
  return true;
}

Result<Sequence> SnapshotStore::recovery_floor() const {
  const Result<std::vector<SnapshotName>> names = list();
  if (!names) return names.error();
  return names->size() < options_.kept ? Sequence{0} : (*names)[options_.kept - 1].sequence;
}

Result<std::vector<std::string>> SnapshotStore::quarantine_above(Sequence sequence) {
  const Result<std::vector<SnapshotName>> names = list();
  if (!names) return names.error();
  std::vector<std::string> moved;
  for (const SnapshotName& name : *names) {
    if (name.sequence <= sequence) continue;
    Result<std::string> path = log::quarantine_move(disk_, options_.quarantine_directory,
                                                    file_name(name.sequence, kSuffix), options_.directory);
    if (!path) return path.error();
    moved.push_back(std::move(*path));
  }
  return moved;
}

}  // namespace heptane::snapshot
