#include <algorithm>
#include <ostream>

#include "kernel/log/log_tool_scan.h"

namespace heptane::log {

namespace {

constexpr uint64_t kPrintedProblemsMax = 100;
constexpr int kLooksAtMovingTail = 1000;  // of a running server, before the rest is left to it

class Verifier {
 public:
  Verifier(Disk& disk, const LogTarget& target, std::ostream& out) : disk_(disk), target_(target), out_(out) {}

  Result<VerifyReport> run() {
    const std::string directory = segment_log_options(target_.data_directory, target_.shard).directory;
    Result<SegmentListing> listing = list_segments(disk_, directory);
    if (!listing) return std::move(listing.error());
    std::vector<SegmentFile> left = std::move(listing->segments);
    const std::optional<LogId> id = log_id_of(left);
    if (!id && !left.empty()) problem("no segment's header in " + directory + " can be read");
    bool from_beginning = true;
    while (id && !left.empty()) {
      Error why;
      const size_t sound = sound_prefix(left, *id, target_.shard, why);
      if (sound > 0)
        HEPTANE_TRY(verify_run(*id, {left.begin(), left.begin() + static_cast<ptrdiff_t>(sound)}, from_beginning));
      from_beginning = false;
      if (sound < left.size()) {
        problem(why.message);
        report_.start_would_refuse = true;
      }
      // What is wrong is either with the segment itself, or it only stands behind a hole.
      const bool only_hole = sound > 0 && sound < left.size() && check_segment(left[sound], *id, target_.shard).ok();
      left.erase(left.begin(),
                 left.begin() + static_cast<ptrdiff_t>(std::min(sound + (only_hole ? 0 : 1), left.size())));
    }
    return report_;
  }

 private:
  void problem(const std::string& text) {
    if (++report_.problems <= kPrintedProblemsMax) out_ << text << '\n';
    if (report_.problems == kPrintedProblemsMax + 1) out_ << "more problems are counted, not printed\n";
  }

  Result<void> verify_run(const LogId& id, const std::vector<SegmentFile>& segments, bool from_beginning) {
    for (const SegmentFile& segment : segments)
      if (segment.file_bytes != segment.header->segment_bytes)
        problem(segment.path + " has " + std::to_string(segment.file_bytes) + " bytes; its header says " +
                std::to_string(segment.header->segment_bytes));
    Result<ScanPosition> start = from_beginning && segments.front().number == 1 ? Result<ScanPosition>(first_ever())
                                                                                : scan_start(disk_, segments);
    if (!start) {
      if (start.error().code == Errc::io) return std::move(start.error());
      if (start.error().code != Errc::not_found) problem(start.error().message);
      return {};
    }
    ScanPosition position = *start;
    while (position.segment != 0) {
      BatchScanner scanner(disk_, id, target_.shard, segments, position);
      HEPTANE_TRY(verify_batches(scanner));
      Result<ScanPosition> next = verify_end(scanner, segments);
      if (!next) return std::move(next.error());
      position = *next;
    }
    return {};
  }

  static ScanPosition first_ever() { return {1, kBlockBytes, 1, {}, 0}; }

  Result<void> verify_batches(BatchScanner& scanner) {
    for (;;) {
      const ScanPosition before = scanner.end();
      Result<std::optional<BatchScanner::Scanned>> batch = scanner.next();
      if (!batch) return std::move(batch.error());
      if (!*batch) return {};
      HEPTANE_TRY(verify_batch(scanner, **batch));
      if ((*batch)->place.segment != before.segment) HEPTANE_TRY(verify_unused(scanner, before));
    }
  }

  Result<void> verify_batch(BatchScanner& scanner, const BatchScanner::Scanned& batch) {
    const BatchHeader& header = batch.view.header();
    const std::string where = scanner.path() + " offset " + std::to_string(batch.place.offset);
    ++report_.batches;
    report_.bytes += header.padded_bytes();
    if (report_.first_sequence == 0) report_.first_sequence = header.first_sequence;
    report_.last_sequence = header.last_sequence();
    report_.epoch = header.epoch;
    if (counted_segment_ != batch.place.segment) ++report_.segments;
    counted_segment_ = batch.place.segment;
    const Result<void> entries = batch.view.for_each_entry([this](const EntryView&, Sequence) -> Result<void> {
      ++report_.entries;
      return {};
    });
    if (!entries) problem(where + ": " + entries.error().message);
    // The scanner has just read the whole batch: this moves nothing.
    Result<WindowReader*> window = scanner.window(batch.place.segment);
    if (!window) return std::move(window.error());
    const size_t padding = static_cast<size_t>(header.padded_bytes()) - batch.place.bytes;
    Result<Bytes> bytes = (*window)->view(batch.place.offset + uint64_t{batch.place.bytes}, padding);
    if (!bytes) return std::move(bytes.error());
    if (!is_zero(*bytes)) problem(where + ": the padding behind the batch is not zero");
    return {};
  }

  // The blocks that a batch too long for them left behind.
  Result<void> verify_unused(BatchScanner& scanner, const ScanPosition& from) {
    const SegmentFile& segment = scanner.segments()[from.segment - scanner.segments().front().number];
    Result<std::unique_ptr<File>> file = disk_.open(segment.path, OpenMode::read);
    if (!file) return std::move(file.error());
    WindowReader window(std::move(*file), segment.file_bytes, size_t{1} << 20);
    for (uint64_t offset = from.offset; offset < segment.file_bytes; offset += kBlockBytes) {
      const auto length = static_cast<size_t>(std::min<uint64_t>(kBlockBytes, segment.file_bytes - offset));
      Result<Bytes> block = window.view(offset, length);
      if (!block) return std::move(block.error());
      if (is_zero(*block)) continue;
      problem(segment.path + " offset " + std::to_string(offset) + ": the unused rest of the segment is not zero");
      return {};
    }
    return {};
  }

  // What stands behind the last valid batch. Returns where to go on, segment 0: nowhere.
  Result<ScanPosition> verify_end(BatchScanner& scanner, const std::vector<SegmentFile>& segments) {
    const std::string where = scanner.path() + " offset " + std::to_string(scanner.position().offset);
    const std::string why = scanner.why_ended();
    const Sequence bad = scanner.position().next_sequence;
    Result<std::optional<Evidence>> evidence = scanner.find_evidence();
    if (!evidence) return std::move(evidence.error());
    Result<std::vector<BatchScanner::Remains>> remains = scanner.find_remains();
    if (!remains) return std::move(remains.error());
    if ((*evidence || !remains->empty()) && looks_left_ > 0) {
      --looks_left_;
      BatchScanner again(disk_, scanner_id(segments), target_.shard, segments, scanner.end());
      Result<std::optional<BatchScanner::Scanned>> batch = again.next();
      if (!batch) return std::move(batch.error());
      if (*batch) return scanner.end();  // a server wrote it meanwhile
    }
    if (*evidence) {
      const BatchHeader& later = (*evidence)->header;
      problem(where + ": acknowledged data is corrupt from " + position_text(target_.shard, bad) + " on (" + why +
              "); " + segment_name((*evidence)->place.segment) + " offset " +
              std::to_string((*evidence)->place.offset) + " holds a later batch that begins at " +
              position_text(target_.shard, later.first_sequence));
      report_.start_would_refuse = true;
      const bool jump = (later.flags & kJumpFlag) != 0;
      return ScanPosition{(*evidence)->place.segment, (*evidence)->place.offset,
                          jump ? later.durable_upto + 1 : later.first_sequence, later.previous_chain, later.epoch};
    }
    for (const BatchScanner::Remains& part : *remains) report_.torn_bytes += part.bytes;
    if (!remains->empty())
      out_ << where << ": " << report_.torn_bytes << " bytes behind the last batch are not part of the log (" << why
           << "): a torn tail that the next start moves to quarantine/, or a write in progress\n";
    report_.prepared_segments += segments.back().number - scanner.end().segment;
    return ScanPosition{};
  }

  static LogId scanner_id(const std::vector<SegmentFile>& segments) { return segments.front().header->log_id; }

  Disk& disk_;
  const LogTarget& target_;
  std::ostream& out_;
  VerifyReport report_;
  uint32_t counted_segment_ = 0;
  int looks_left_ = kLooksAtMovingTail;
};

}  // namespace

Result<VerifyReport> verify_log(Disk& disk, const LogTarget& target, std::ostream& out) {
  return Verifier(disk, target, out).run();
}

}  // namespace heptane::log
