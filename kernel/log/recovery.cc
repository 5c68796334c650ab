#include "kernel/log/recovery.h"

#include <algorithm>

#include "kernel/base/read_ahead.h"
#include "kernel/log/quarantine.h"

namespace heptane::log {

namespace {

// A batch of which no later batch said that it was synced.
struct Unproven {
  BatchPlace place;
  uint32_t header_crc = 0;
  Sequence last_sequence = 0;
  bool seal = false;

  // A seal holds no command: only the sync of a later one speaks for it.
  bool proven_by(Sequence durable) const { return seal ? last_sequence < durable : last_sequence <= durable; }
};

// A jump stands for the gap that it leaves.
Sequence begin_of(const BatchHeader& header) {
  return (header.flags & kJumpFlag) != 0 ? header.durable_upto + 1 : header.first_sequence;
}

class Recovery {
 public:
  Recovery(Disk& disk, const RecoveryOptions& options, const RecoverFrom& from, const BatchVisitor& visit)
      : disk_(disk), options_(options), from_(from), visit_(visit) {}

  Result<Recovered> run() {
    Result<SegmentListing> listing = list_segments(disk_, options_.directory);
    if (!listing) return std::move(listing.error());
    if (listing->segments.empty())
      HEPTANE_TRY(check_may_be_new());
    else
      HEPTANE_TRY(recover_from(without_trimmed(std::move(listing->segments))));
    for (const std::string& leftover : listing->leftovers) HEPTANE_TRY(disk_.unlink(leftover));
    // A name that a failed sync left in memory only must be on the device before anything is acknowledged behind it.
    HEPTANE_TRY(disk_.sync_directory(options_.directory));
    return std::move(out_);
  }

 private:
  Result<void> check_may_be_new() {
    if (from_.durable_evidence == 0 && from_.place.segment == 0) return {};
    return Error{Errc::corrupt, options_.directory +
                                    " holds no segment, but a snapshot says that the log was synced up to " +
                                    position_text(options_.shard, from_.durable_evidence) +
                                    repair_hint(options_.data_directory, from_.next_sequence)};
  }

  Result<void> recover_from(const std::vector<SegmentFile>& segments) {
    HEPTANE_TRY(check_segments(segments));
    out_.log_id = segments.front().header->log_id;
    HEPTANE_TRY(index_older(segments));
    BatchScanner scanner(disk_, *out_.log_id, options_.shard, segments, start(segments));
    HEPTANE_TRY(scan(scanner));
    HEPTANE_TRY(refuse_corruption(scanner));
    out_.end = scanner.end();
    HEPTANE_TRY(clear_torn_tail());
    HEPTANE_TRY(complete_segments(scanner));
    HEPTANE_TRY(rewrite_unproven(scanner));
    finish_report();
    return {};
  }

  // A trimmed segment whose unlinking never reached the device: it stands below a hole, and both below the start.
  std::vector<SegmentFile> without_trimmed(std::vector<SegmentFile> segments) const {
    size_t oldest = 0;
    for (size_t i = 1; i < segments.size() && segments[i].number <= from_.place.segment; ++i)
      if (segments[i].number != segments[i - 1].number + 1) oldest = i;
    segments.erase(segments.begin(), segments.begin() + static_cast<ptrdiff_t>(oldest));
    return segments;
  }

  ScanPosition start(const std::vector<SegmentFile>& segments) const {
    ScanPosition position;
    // The segment that ended exactly there may have been trimmed; the chain tells whether the next one continues it.
    const bool there = from_.place.segment >= segments.front().number;
    position.segment = there ? from_.place.segment : segments.front().number;
    position.offset = there ? from_.place.offset : kBlockBytes;
    position.next_sequence = from_.next_sequence;
    position.chain = from_.previous_chain;
    return position;
  }

  Result<void> check_segments(const std::vector<SegmentFile>& segments) {
    if (from_.place.segment > segments.back().number)
      return Error{Errc::corrupt, "segment " + segment_name(from_.place.segment) + " is missing from " +
                                      options_.directory + ": the snapshot continues in it" +
                                      repair_hint(options_.data_directory, from_.next_sequence)};
    const LogId& id = segments.front().header ? segments.front().header->log_id : LogId{};
    for (size_t i = 0; i < segments.size(); ++i) {
      Result<void> sound = check_segment(segments[i], id, options_.shard);
      if (sound && i > 0) sound = check_no_hole({segments[i - 1], segments[i]});
      if (!sound) return refuse_segment(segments, i, std::move(sound.error()));
    }
    return {};
  }

  // Names the sequence at which the log can be cut: the one after the last batch before this segment.
  Error refuse_segment(const std::vector<SegmentFile>& segments, size_t bad, Error error) {
    if (error.code == Errc::unsupported) return error;
    Sequence cut = from_.next_sequence;
    const std::vector<SegmentFile> before(segments.begin(), segments.begin() + static_cast<ptrdiff_t>(bad));
    if (bad > 0 && start(segments).segment <= before.back().number) {
      BatchScanner scanner(disk_, before.front().header->log_id, options_.shard, before, start(segments));
      for (;;) {
        Result<std::optional<BatchScanner::Scanned>> batch = scanner.next();
        if (!batch || !*batch) break;
      }
      cut = scanner.position().next_sequence;
    }
    error.message += repair_hint(options_.data_directory, cut);
    return error;
  }

  // Segments below the start are not read through; their first batch says where they begin.
  Result<void> index_older(const std::vector<SegmentFile>& segments) {
    const ScanPosition first = start(segments);
    Sequence previous = 0;
    for (const SegmentFile& segment : segments) {
      if (segment.number > first.segment || (segment.number == first.segment && first.offset <= kBlockBytes)) break;
      Result<std::unique_ptr<File>> file = disk_.open(segment.path, OpenMode::read);
      if (!file) return std::move(file.error());
      WindowReader window(std::move(*file), segment.file_bytes, kBlockBytes);
      Result<Bytes> bytes = window.view(kBlockBytes, kBatchHeaderBytes);
      if (!bytes) return std::move(bytes.error());
      const Result<BatchHeader> header = decode_batch_header(*bytes);
      // A damaged one below the snapshot hurts only those who read there; they are told.
      previous = std::max(previous, header ? begin_of(*header) : previous);
      out_.used.push_back({segment.number, previous});
    }
    return {};
  }

  Result<void> scan(BatchScanner& scanner) {
    out_.report.durable_evidence = from_.durable_evidence;
    if (options_.read_ahead > 0) return scan_ahead(scanner);
    for (;;) {
      Result<std::optional<BatchScanner::Scanned>> batch = scanner.next();
      if (!batch) return std::move(batch.error());
      if (!*batch) {
        look_behind(scanner);
        return {};
      }
      note((*batch)->view.header(), (*batch)->place);
      HEPTANE_TRY(visit_((*batch)->view, (*batch)->place));
    }
  }

  // Another thread reads and checks what this one is about to visit.
  struct ReadBatch {
    std::vector<std::byte> memory;
    std::optional<BatchView> view;
    BatchPlace place;
    std::optional<Error> error;
  };
  Result<void> scan_ahead(BatchScanner& scanner) {
    bool failed = false;
    ReadAhead<ReadBatch> batches(options_.read_ahead, [&](ReadBatch& into) {
      if (failed) return false;
      Result<std::optional<BatchScanner::Scanned>> batch = scanner.next();
      if (batch && !*batch) {
        look_behind(scanner);
        return false;
      }
      if (batch) {
        const Bytes bytes = (*batch)->view.bytes();
        into.memory.assign(bytes.begin(), bytes.end());
        into.place = (*batch)->place;
        into.view = (*batch)->view.moved_to(into.memory);
        const Result<void> checked = into.view->check_entries();
        if (!checked) into.error = checked.error();
      } else {
        into.error = std::move(batch.error());
      }
      failed = into.error.has_value();
      return true;
    });
    while (ReadBatch* batch = batches.next()) {
      if (batch->error) return *batch->error;
      note(batch->view->header(), batch->place);
      HEPTANE_TRY(visit_(*batch->view, batch->place));
    }
    return {};
  }

  // What lies behind the last batch: up to a segment, mostly zeros. Read while the last batches are still being visited.
  void look_behind(BatchScanner& scanner) {
    evidence_ = scanner.find_evidence();
    if (evidence_ && !*evidence_) remains_ = scanner.find_remains();
  }

  void note(const BatchHeader& header, const BatchPlace& place) {
    if (out_.used.empty() || out_.used.back().number != place.segment)
      out_.used.push_back({place.segment, begin_of(header)});
    RecoveryReport& report = out_.report;
    ++report.batches;
    report.bytes += header.padded_bytes();
    report.end.last_time = std::max(report.end.last_time, header.base_time);
    report.durable_evidence = std::max(report.durable_evidence, header.durable_upto);
    while (!unproven_.empty() && unproven_.front().proven_by(report.durable_evidence))
      unproven_.erase(unproven_.begin());
    unproven_.push_back({place, header.header_crc, header.last_sequence(), header.is_seal()});
  }

  Result<void> refuse_corruption(BatchScanner& scanner) {
    const Sequence bad = scanner.position().next_sequence;
    const std::string where = scanner.path() + " offset " + std::to_string(scanner.position().offset);
    if (!evidence_) return std::move(evidence_.error());
    if (*evidence_) {
      const Evidence& found = **evidence_;
      return Error{Errc::corrupt,
                   where + ": acknowledged data is corrupt from " + position_text(options_.shard, bad) + " on (" +
                       scanner.why_ended() + "); " + segment_name(found.place.segment) + " offset " +
                       std::to_string(found.place.offset) + " holds a later batch that begins at " +
                       position_text(options_.shard, found.header.first_sequence) + " and names everything up to " +
                       position_text(options_.shard, found.header.durable_upto) + " as synced" +
                       repair_hint(options_.data_directory, bad)};
    }
    if (from_.durable_evidence >= bad)
      return Error{Errc::corrupt, where + ": the log ends at " + position_text(options_.shard, bad - 1) + " (" +
                                      scanner.why_ended() + "), but a snapshot says that it was synced up to " +
                                      position_text(options_.shard, from_.durable_evidence) +
                                      repair_hint(options_.data_directory, bad)};
    return {};
  }

  Result<void> clear_torn_tail() {
    if (!remains_) return std::move(remains_.error());
    for (const BatchScanner::Remains& part : *remains_) {
      const std::string path = segment_path(options_.directory, part.segment);
      Result<std::string> kept = quarantine_copy(
          disk_, options_.quarantine_directory, remains_name(part.segment, part.offset), path, part.offset, part.bytes);
      if (!kept) return std::move(kept.error());
      if (out_.report.quarantined.empty()) out_.report.quarantined = *kept;
      out_.report.torn_bytes += part.bytes;
    }
    for (const BatchScanner::Remains& part : *remains_)
      HEPTANE_TRY(zero_range(disk_, segment_path(options_.directory, part.segment), part.offset, part.bytes, 0));
    return {};
  }

  Result<void> complete_segments(BatchScanner& scanner) {
    for (const SegmentFile& segment : scanner.segments())
      if (segment.number >= out_.end.segment && segment.file_bytes < segment.header->segment_bytes)
        HEPTANE_TRY(zero_range(disk_, segment.path, 0, 0, segment.header->segment_bytes));
    return {};
  }

  // The page cache may show bytes whose sync failed and that the device never got: write them again before anything is
  // built upon them.
  Result<void> rewrite_unproven(BatchScanner& scanner) {
    scanner.look_again();
    std::unique_ptr<File> file;
    uint32_t file_segment = 0;
    for (const Unproven& batch : unproven_) {
      if (file_segment != batch.place.segment) {
        if (file) HEPTANE_TRY(file->sync());
        Result<std::unique_ptr<File>> opened =
            disk_.open(segment_path(options_.directory, batch.place.segment), OpenMode::read_write);
        if (!opened) return std::move(opened.error());
        file = std::move(*opened);
        file_segment = batch.place.segment;
      }
      Result<uint64_t> written = rewrite(scanner, batch, *file);
      if (!written) return std::move(written.error());
      out_.report.rewritten_bytes += *written;
    }
    if (file) HEPTANE_TRY(file->sync());
    return {};
  }

  Result<uint64_t> rewrite(BatchScanner& scanner, const Unproven& batch, File& file) {
    Result<WindowReader*> window = scanner.window(batch.place.segment);
    if (!window) return std::move(window.error());
    const uint64_t padded = (uint64_t{batch.place.bytes} + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
    Result<Bytes> bytes = (*window)->view(batch.place.offset, static_cast<size_t>(padded));
    if (!bytes) return std::move(bytes.error());
    const Result<BatchView> view = BatchView::decode(bytes->first(batch.place.bytes));
    if (!view || view->header().header_crc != batch.header_crc)
      return Error{Errc::io, segment_path(options_.directory, batch.place.segment) + " offset " +
                                 std::to_string(batch.place.offset) + " read differently a second time"};
    // Padding is zeros by definition, whatever was found there.
    std::vector<std::byte> last(static_cast<size_t>(padded - batch.place.bytes));
    HEPTANE_TRY(file.write_at(batch.place.offset, bytes->first(batch.place.bytes)));
    if (!last.empty()) HEPTANE_TRY(file.write_at(batch.place.offset + uint64_t{batch.place.bytes}, last));
    return padded;
  }

  void finish_report() {
    out_.report.end.last_sequence = out_.end.next_sequence - 1;
    out_.report.end.epoch = out_.end.epoch;
    if (out_.used.empty() || out_.used.back().number != out_.end.segment)
      out_.used.push_back({out_.end.segment, out_.end.next_sequence});
  }

  Disk& disk_;
  const RecoveryOptions& options_;
  const RecoverFrom& from_;
  const BatchVisitor& visit_;
  Recovered out_;
  std::vector<Unproven> unproven_;
  Result<std::optional<Evidence>> evidence_{std::optional<Evidence>()};
  Result<std::vector<BatchScanner::Remains>> remains_{std::vector<BatchScanner::Remains>()};
};

}  // namespace

std::string repair_hint(const std::string& data_directory, Sequence sequence) {
  return ". Nothing was changed. To go on without everything from there on (it is kept in quarantine/): heptane log "
         "repair --data " +
         data_directory + " --cut-at " + std::to_string(sequence);
}

Result<Recovered> recover_segments(Disk& disk, const RecoveryOptions& options, const RecoverFrom& from,
                                   const BatchVisitor& visit) {
  return Recovery(disk, options, from, visit).run();
}

}  // namespace heptane::log
