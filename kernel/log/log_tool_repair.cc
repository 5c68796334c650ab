#include <algorithm>

#include "kernel/log/log_tool_scan.h"
#include "kernel/log/quarantine.h"

namespace heptane::log {

namespace {

// The jump is the moment of truth: before it everything given up has been copied, and nothing is changed; with it on disk
// every batch behind it is older than what the log expects, so that even a start would clear the rest.
class Repair {
 public:
  Repair(Disk& disk, const LogTarget& target, const RepairOptions& options)
      : disk_(disk),
        target_(target),
        options_(options),
        log_(segment_log_options(target.data_directory, target.shard)) {}

  Result<RepairReport> run() {
    if (options_.cut_at == 0 || options_.jump < 2)
      return Error{Errc::invalid_argument,
                   "--cut-at must name a sequence (the first to give up), a jump must be 2 or more"};
    Result<std::unique_ptr<DirectoryLock>> lock = disk_.lock(target_.data_directory + "/LOCK");
    if (!lock) return std::move(lock.error());
    Result<SegmentListing> listing = list_segments(disk_, log_.directory);
    if (!listing) return std::move(listing.error());
    segments_ = std::move(listing->segments);
    const std::optional<LogId> id = log_id_of(segments_);
    if (!id) return Error{Errc::corrupt, "no segment in " + log_.directory + " can be read: there is nothing to keep"};
    id_ = *id;
    for (const SegmentFile& segment : segments_)
      if (segment.header) log_.segment_bytes = segment.header->segment_bytes;
    HEPTANE_TRY(find_cut());
    HEPTANE_TRY(find_highest());
    HEPTANE_TRY(write_jump());
    HEPTANE_TRY(clear_rest());
    return std::move(report_);
  }

 private:
  // The end of the last batch that holds nothing from cut_at on.
  Result<void> find_cut() {
    Error why;
    sound_ = sound_prefix(segments_, id_, target_.shard, why);
    if (why.code == Errc::unsupported) return why;
    if (sound_ == 0) {
      cut_ = {segments_.front().number, kBlockBytes, 1, {}, 0};
      return check_reaches();
    }
    Result<ScanPosition> start = scan_start(disk_, prefix());
    if (!start) return std::move(start.error());
    BatchScanner scanner(disk_, id_, target_.shard, prefix(), *start);
    for (;;) {
      cut_ = scanner.end();
      Result<std::optional<BatchScanner::Scanned>> batch = scanner.next();
      if (!batch) return std::move(batch.error());
      if (!*batch) return check_reaches();
      const BatchHeader& header = (*batch)->view.header();
      if (header.last_sequence() >= options_.cut_at) return {};
      last_time_ = header.base_time;
    }
  }

  Result<void> check_reaches() const {
    if (cut_.next_sequence >= options_.cut_at) return {};
    return Error{Errc::invalid_argument, "the log can be read up to " +
                                             position_text(target_.shard, cut_.next_sequence - 1) +
                                             " only: use --cut-at " + std::to_string(cut_.next_sequence)};
  }

  std::vector<SegmentFile> prefix() const {
    return {segments_.begin(), segments_.begin() + static_cast<ptrdiff_t>(sound_)};
  }

  // Over everything that goes, also behind holes and damaged segments.
  Result<void> find_highest() {
    BatchScanner::Highest highest{0, cut_.epoch};
    for (const SegmentFile& segment : segments_) {
      if (segment.number < cut_.segment || !check_segment(segment, id_, target_.shard)) continue;
      ScanPosition from = cut_;
      if (segment.number != cut_.segment) from = {segment.number, kBlockBytes, cut_.next_sequence, {}, 0};
      BatchScanner scanner(disk_, id_, target_.shard, {segment}, from);
      Result<BatchScanner::Highest> found = scanner.highest_behind();
      if (!found) return std::move(found.error());
      highest.sequence = std::max(highest.sequence, found->sequence);
      highest.epoch = std::max(highest.epoch, found->epoch);
    }
    report_.last_kept = cut_.next_sequence - 1;
    const Sequence base = report_.last_kept + options_.jump > highest.sequence ? report_.last_kept : highest.sequence;
    report_.next_sequence = base + options_.jump;
    report_.epoch = highest.epoch + 1;
    return {};
  }

  Result<void> write_jump() {
    const SegmentFile* tail = find(cut_.segment);
    const bool tail_sound = tail != nullptr && check_segment(*tail, id_, target_.shard).ok();
    const bool room = tail_sound && cut_.offset + kBlockBytes <= tail->header->segment_bytes;
    if (tail_sound) HEPTANE_TRY(keep_remains(*tail));
    if (room) return write_jump_in_place(*tail);
    return write_jump_in_new_segment(tail_sound ? cut_.segment + 1 : cut_.segment);
  }

  Result<void> keep_remains(const SegmentFile& tail) {
    BatchScanner scanner(disk_, id_, target_.shard, {tail}, cut_);
    Result<std::vector<BatchScanner::Remains>> remains = scanner.find_remains();
    if (!remains) return std::move(remains.error());
    if (remains->empty()) return {};
    rest_ = remains->front();
    return keep(remains_name(rest_.segment, rest_.offset), tail.path, rest_.offset, rest_.bytes);
  }

  Result<void> keep(const std::string& name, const std::string& path, uint64_t offset, uint64_t bytes) {
    Result<std::string> kept = quarantine_copy(disk_, log_.quarantine_directory, name, path, offset, bytes);
    if (!kept) return std::move(kept.error());
    report_.quarantined.push_back(std::move(*kept));
    report_.dropped_bytes += bytes;
    return {};
  }

  std::vector<std::byte> jump_block(uint32_t segment, uint64_t offset) {
    BatchHeader jump;
    jump.flags = kSealFlag | kJumpFlag;
    jump.log_id = id_;
    jump.epoch = report_.epoch;
    jump.segment = segment;
    jump.offset = static_cast<uint32_t>(offset);
    jump.shard = target_.shard;
    jump.first_sequence = report_.next_sequence;
    jump.base_time = last_time_;
    jump.durable_upto = report_.last_kept;
    jump.previous_chain = cut_.chain;
    std::vector<std::byte> block(kBlockBytes);
    encode(jump, block.data());
    jump_segment_ = segment;
    jump_end_ = offset + kBlockBytes;
    return block;
  }

  Result<void> write_jump_in_place(const SegmentFile& tail) {
    Result<std::unique_ptr<File>> file = disk_.open(tail.path, OpenMode::read_write);
    if (!file) return std::move(file.error());
    if (tail.file_bytes < tail.header->segment_bytes) HEPTANE_TRY((*file)->allocate(tail.header->segment_bytes));
    HEPTANE_TRY((*file)->write_at(cut_.offset, jump_block(tail.number, cut_.offset)));
    return (*file)->sync();
  }

  Result<void> write_jump_in_new_segment(uint32_t number) {
    if (const SegmentFile* old = find(number); old != nullptr && old->file_bytes != 0)
      HEPTANE_TRY(keep(segment_name(number), old->path, 0, old->file_bytes));
    const SegmentHeader header{kFormatVersion, number, log_.segment_bytes, id_, target_.shard};
    Result<NewSegment> made = prepare_segment(disk_, log_.directory, header, ".jump");
    if (!made) return std::move(made.error());
    HEPTANE_TRY(made->file->write_at(kBlockBytes, jump_block(number, kBlockBytes)));
    HEPTANE_TRY(made->file->sync());
    HEPTANE_TRY(disk_.rename(made->temporary_path, segment_path(log_.directory, number)));
    return disk_.sync_directory(log_.directory);
  }

  Result<void> clear_rest() {
    const uint64_t rest_end = rest_.offset + rest_.bytes;
    if (rest_.segment == jump_segment_ && rest_end > jump_end_)
      HEPTANE_TRY(zero_range(disk_, segment_path(log_.directory, rest_.segment), jump_end_, rest_end - jump_end_, 0));
    if (rest_.bytes != 0 && rest_.segment != jump_segment_)
      HEPTANE_TRY(zero_range(disk_, segment_path(log_.directory, rest_.segment), rest_.offset, rest_.bytes, 0));
    for (auto segment = segments_.rbegin(); segment != segments_.rend() && segment->number > jump_segment_; ++segment) {
      Result<std::string> moved =
          quarantine_move(disk_, log_.quarantine_directory, segment_name(segment->number), log_.directory);
      if (!moved) return std::move(moved.error());
      report_.quarantined.push_back(std::move(*moved));
      report_.dropped_bytes += segment->file_bytes;
    }
    return {};
  }

  const SegmentFile* find(uint32_t number) const {
    const auto found = std::find_if(segments_.begin(), segments_.end(),
                                    [number](const SegmentFile& segment) { return segment.number == number; });
    return found == segments_.end() ? nullptr : &*found;
  }

  Disk& disk_;
  const LogTarget& target_;
  const RepairOptions& options_;
  SegmentLogOptions log_;
  std::vector<SegmentFile> segments_;
  size_t sound_ = 0;
  LogId id_{};
  ScanPosition cut_;
  LogTime last_time_ = 0;
  BatchScanner::Remains rest_;  // of the segment that holds the cut, from the cut on
  uint32_t jump_segment_ = 0;
  uint64_t jump_end_ = 0;
  RepairReport report_;
};

}  // namespace

Result<RepairReport> repair_log(Disk& disk, const LogTarget& target, const RepairOptions& options) {
  return Repair(disk, target, options).run();
}

}  // namespace heptane::log
