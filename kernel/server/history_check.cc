#include "kernel/server/history_check.h"

#include <algorithm>
#include <ostream>

#include "kernel/archive/archive_store.h"
#include "kernel/log/log_tool_scan.h"
#include "kernel/log/segment_reader.h"
#include "kernel/snapshot/snapshot_store.h"

namespace heptane::server {

namespace {

using archive::ArchiveSegment;

class HistoryCheck {
 public:
  HistoryCheck(Disk& disk, const std::string& data_directory, std::ostream& out)
      : disk_(disk), home_(data_directory + "/shard-0"), out_(out) {}

  Result<HistoryReport> run() {
    // The log before the archive: a segment goes from the one only when it is in the other.
    Result<log::SegmentListing> listing = log::list_segments(disk_, home_ + "/log");
    if (!listing) return std::move(listing.error());
    segments_ = std::move(listing->segments);
    id_ = log::log_id_of(segments_);
    HEPTANE_TRY(check_archive());
    HEPTANE_TRY(check_snapshots());
    return report_;
  }

 private:
  void problem(const std::string& text) {
    ++report_.problems;
    out_ << text << '\n';
  }

  Result<void> check_archive() {
    archive::ArchiveStore store(disk_, {home_ + "/archive", 0});
    const Result<void> looked = store.look(id_);
    if (!looked && looked.error().code == Errc::io) return looked;
    if (!looked) problem(looked.error().message);
    for (const std::string& damage : store.reports()) problem(damage);
    archive::ArchiveReader reader(disk_, store);
    const std::shared_ptr<const archive::Catalog> catalog = store.catalog();
    for (size_t i = 0; i < catalog->size(); ++i) {
      const ArchiveSegment& segment = *(*catalog)[i];
      ++report_.archive_segments;
      if (segment.damage.empty()) check_content(reader, segment);
      if (i > 0) check_follows(*(*catalog)[i - 1], segment);
    }
    if (!catalog->empty()) check_log_follows(*catalog->back());
    return {};
  }

  void check_content(archive::ArchiveReader& reader, const ArchiveSegment& segment) {
    Result<void> sound =
        reader.verify(segment, [](PartitionId, const archive::Item&, Bytes) -> Result<void> { return {}; });
    if (sound) sound = check_covered(reader, segment);
    if (!sound && gone(segment.path)) return;
    if (!sound) problem(segment.path + " " + sound.error().message);
    report_.archive_bytes += segment.footer.file_bytes;
  }

  // Rows lead to items: between two of them, and before and behind all, nothing may lie that none leads to.
  static Result<void> check_covered(archive::ArchiveReader& reader, const ArchiveSegment& segment) {
    uint64_t at = archive::kBlockBytes;
    const auto nobodys = [&] {
      return Error{Errc::corrupt, "offset " + std::to_string(at) + ": items to which the index does not lead"};
    };
    HEPTANE_TRY(reader.for_each_row(segment, [&](const archive::Row& row) -> Result<void> {
      if (row.begin_at != at) return nobodys();
      at = row.end_at;
      return {};
    }));
    return at == segment.footer.rows_at ? Result<void>() : nobodys();
  }

  void check_follows(const ArchiveSegment& before, const ArchiveSegment& segment) {
    if (!before.damage.empty() || !segment.damage.empty()) return;  // told already
    if (segment.header.first_segment <= before.header.last_segment) {
      problem(segment.path + " offset 0: it takes the place of log segments that " + before.path + " holds too");
    } else if (segment.header.first_segment > before.header.last_segment + 1) {
      ++report_.gaps;
    } else if (!goes_on(before.header.last_sequence, segment.header.first_sequence)) {
      problem(segment.path + " offset 0: it does not go on where " + before.path + " ends");
    }
  }

  // The next number, or behind a jump. Their chains cannot be compared: the log's runs through its seals, which are not history.
  static bool goes_on(Sequence last, Sequence first) {
    return first == last + 1 || first > last + log::kJumpSequences / 2;
  }

  // What is wrong in the log itself is told by those who read it.
  void check_log_follows(const ArchiveSegment& last) {
    if (!last.damage.empty() || segments_.empty()) return;
    const uint32_t next = last.header.last_segment + 1;
    if (segments_.front().number > next) ++report_.gaps;
    const auto segment =
        std::find_if(segments_.begin(), segments_.end(), [next](const auto& file) { return file.number == next; });
    if (segment == segments_.end()) return;
    const Result<log::BatchHeader> first = log::first_batch_header(disk_, *segment);
    if (first && !goes_on(last.header.last_sequence, first->first_sequence))
      problem(segment->path + " offset " + std::to_string(log::kBlockBytes) + ": the log does not go on where " +
              last.path + " ends");
  }

  Result<void> check_snapshots() {
    const snapshot::SnapshotStore store(disk_, {home_ + "/snapshots", home_ + "/quarantine"});
    const Result<std::vector<snapshot::SnapshotName>> names = store.list();
    if (!names && names.error().code == Errc::not_found) return {};
    if (!names) return names.error();
    for (const snapshot::SnapshotName& name : *names) check_snapshot(name);
    return {};
  }

  void check_snapshot(const snapshot::SnapshotName& name) {
    const auto file = snapshot::SnapshotFileReader::open(disk_, name.path, OpenHint::none);
    Result<void> sound = file ? (*file)->verify() : Result<void>(file.error());
    if (!sound && gone(name.path)) return;
    ++report_.snapshots;
    if (sound) sound = check_owner(name, (*file)->header());
    if (!sound) problem(name.path + ": " + sound.error().message);
    if (file) report_.snapshot_bytes += (*file)->footer().file_bytes;
  }

  Result<void> check_owner(const snapshot::SnapshotName& name, const snapshot::SnapshotHeader& header) const {
    if (id_ && header.log_id != *id_)
      return Error{Errc::corrupt, "at offset 0: it is a snapshot of log " + log_id_text(header.log_id)};
    if (header.sequence != name.sequence || header.shard != 0)
      return Error{Errc::corrupt, "at offset 0: it is the snapshot " + position_text(header.shard, header.sequence)};
    return {};
  }

  // Retention, a rewriting or a newer snapshot took it.
  bool gone(const std::string& path) {
    const Result<bool> there = disk_.exists(path);
    return there && !*there;
  }

  Disk& disk_;
  const std::string home_;
  std::ostream& out_;
  std::vector<log::SegmentFile> segments_;
  std::optional<LogId> id_;
  HistoryReport report_;
};

}  // namespace

Result<HistoryReport> check_history(Disk& disk, const std::string& data_directory, std::ostream& out) {
  return HistoryCheck(disk, data_directory, out).run();
}

}  // namespace heptane::server
