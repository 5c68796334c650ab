#include "kernel/log/segment_log.h"

#include <algorithm>

#include "kernel/log/quarantine.h"
#include "kernel/log/seal.h"
#include "kernel/log/segment_reader.h"

namespace heptane::log {

SegmentLogOptions segment_log_options(const std::string& data_directory, ShardId shard) {
  const std::string home = data_directory + "/shard-" + std::to_string(shard);
  SegmentLogOptions options;
  options.directory = home + "/log";
  options.quarantine_directory = home + "/quarantine";
  options.data_directory = data_directory;
  options.shard = shard;
  return options;
}

SegmentLog::SegmentLog(Disk& disk, Random& random, SegmentLogOptions options)
    : disk_(disk), random_(random), options_(std::move(options)), recent_(options_.recent_bytes) {}

SegmentLog::~SegmentLog() = default;

Result<std::unique_ptr<SegmentLog>> SegmentLog::open(Disk& disk, Random& random, SegmentLogOptions options) {
  if (options.segment_bytes < kSegmentBytesMin || options.segment_bytes > kSegmentBytesMax ||
      options.segment_bytes % kBlockBytes != 0)
    return Error{Errc::invalid_argument, "segment_bytes must be a multiple of 4096 between " +
                                             std::to_string(kSegmentBytesMin) + " and " +
                                             std::to_string(kSegmentBytesMax)};
  const size_t slash = options.directory.find_last_of('/');
  if (slash != std::string::npos && slash != 0)
    HEPTANE_TRY(make_durable_directory(disk, options.directory.substr(0, slash)));
  HEPTANE_TRY(make_durable_directory(disk, options.directory));
  return std::unique_ptr<SegmentLog>(new SegmentLog(disk, random, std::move(options)));
}

Result<RecoveryReport> SegmentLog::recover(const RecoverFrom& from, const BatchVisitor& visit) {
  HEPTANE_ASSERT(!pool_, "a log recovers once");
  Result<Recovered> recovered =
      recover_segments(disk_,
                       {options_.directory, options_.quarantine_directory, options_.data_directory, options_.shard,
                        options_.recovery_read_ahead},
                       from, visit);
  if (!recovered) return std::move(recovered.error());
  if (recovered->log_id)
    HEPTANE_TRY(begin(*recovered));
  else
    HEPTANE_TRY(begin_new());
  return std::move(recovered->report);
}

Result<void> SegmentLog::begin(const Recovered& recovered) {
  id_ = *recovered.log_id;
  segment_ = recovered.end.segment;
  offset_ = recovered.end.offset;
  next_sequence_ = recovered.end.next_sequence;
  chain_ = recovered.end.chain;
  // A batch in a segment proves that the segment's name had been synced; without one it may be a name that a failed sync
  // left in memory only. So nothing but the last segment that holds batches is taken over: empty ones are made again.
  Result<std::unique_ptr<File>> file =
      offset_ == kBlockBytes ? make_segment(disk_, options_.directory,
                                            {kFormatVersion, segment_, options_.segment_bytes, id_, options_.shard})
                             : disk_.open(segment_path(options_.directory, segment_), OpenMode::read_write);
  if (!file) return std::move(file.error());
  file_ = std::move(*file);
  Result<uint64_t> size = file_->size();
  if (!size) return std::move(size.error());
  segment_bytes_ = *size;
  used_ = recovered.used;
  durable_ = next_sequence_ - 1;
  unused_bytes_ = segment_bytes_ - std::min(offset_, segment_bytes_);
  pool_ =
      std::make_unique<SegmentPool>(disk_,
                                    SegmentPoolOptions{options_.directory, id_, options_.shard, options_.segment_bytes,
                                                       options_.prepared_segments, options_.zero_ahead},
                                    segment_ + 1);
  return {};
}

Result<void> SegmentLog::begin_new() {
  Recovered fresh;
  fresh.log_id.emplace();
  random_.fill(*fresh.log_id);
  fresh.end.segment = 1;
  fresh.end.offset = kBlockBytes;
  fresh.used.push_back({1, 1});
  return begin(fresh);
}

void SegmentLog::append(PendingBatch& batch, AppendCompletion done) {
  HEPTANE_ASSERT(pool_ && !in_flight_, "one batch at a time, after recovery");
  if (failure_) {
    done(*failure_);
    return;
  }
  check_follows(batch.header, next_sequence_, options_.shard);
  if (Result<void> placed = place(batch); !placed) {
    fail(std::move(placed.error()), std::move(done));
    return;
  }
  const BatchHeader& header = batch.header;
  const auto bytes = static_cast<uint32_t>(kBatchHeaderBytes + header.body_bytes);
  const Result<File*> file = file_for(header.padded_bytes());
  if (!file) {
    fail(file.error(), std::move(done));
    return;
  }
  in_flight_ = InFlight{{segment_, header.offset, bytes},
                        header.last_sequence(),
                        header.header_crc,
                        header.padded_bytes(),
                        *file == direct_.get(),
                        &batch,
                        std::move(done)};
  appended_bytes_.fetch_add(header.padded_bytes(), std::memory_order_relaxed);
  (*file)->write_and_sync(offset_, {batch.memory, static_cast<size_t>(header.padded_bytes())},
                          [this](Result<void> synced) { on_synced(std::move(synced)); });
}

Result<File*> SegmentLog::file_for(uint64_t padded_bytes) {
  if (padded_bytes < options_.direct_from_bytes) return file_.get();
  if (!direct_) {
    Result<std::unique_ptr<File>> opened =
        disk_.open(segment_path(options_.directory, segment_), OpenMode::read_write, OpenHint::direct);
    if (!opened) return std::move(opened.error());
    direct_ = std::move(*opened);
  }
  return direct_.get();
}

Result<void> SegmentLog::place(PendingBatch& batch) {
  BatchHeader& header = batch.header;
  const uint64_t padded = header.padded_bytes();
  if (offset_ + padded > segment_bytes_) HEPTANE_TRY(roll(padded));
  header.log_id = id_;
  header.segment = segment_;
  header.offset = static_cast<uint32_t>(offset_);
  header.durable_upto = next_sequence_ - 1;
  header.previous_chain = chain_;
  return seal_batch(batch);
}

Result<void> SegmentLog::roll(uint64_t padded_bytes) {
  Result<TakenSegment> taken = pool_->take(padded_bytes);
  if (!taken) return std::move(taken.error());
  file_ = std::move(taken->file);
  direct_.reset();
  segment_ = taken->number;
  segment_bytes_ = taken->segment_bytes;
  offset_ = kBlockBytes;
  unused_bytes_ = segment_bytes_ - offset_;
  const std::lock_guard lock(index_mutex_);
  used_.push_back({segment_, next_sequence_});
  return {};
}

void SegmentLog::on_synced(Result<void> synced) {
  InFlight batch = std::move(*in_flight_);
  in_flight_.reset();
  if (!synced) {
    fail(std::move(synced.error()), std::move(batch.done));
    return;
  }
  offset_ += batch.padded_bytes;
  unused_bytes_.store(segment_bytes_ - offset_, std::memory_order_relaxed);
  next_sequence_ = batch.last_sequence + 1;
  chain_ = chain_value(batch.header_crc);
  if (batch.direct)
    recent_.add(batch.place, {batch.batch->memory, static_cast<size_t>(batch.padded_bytes)},
                std::move(batch.batch->owner));
  else if (batch.batch->header.is_seal())
    recent_.clear();
  durable_.store(batch.last_sequence, std::memory_order_release);
  batch.done(batch.place);
}

// For good: what a failed sync left behind is unknown until a restart has read and written it again.
void SegmentLog::fail(Error error, AppendCompletion done) {
  failure_ = error;
  done(std::move(error));
}

Result<bool> SegmentLog::maintain() {
  if (!pool_) return false;
  const uint64_t appended = appended_bytes_.load(std::memory_order_relaxed);
  const bool quiet = appended == appended_bytes_seen_;
  appended_bytes_seen_ = appended;
  return pool_->maintain(quiet);
}

bool SegmentLog::wants_maintenance() const { return pool_ && pool_->wants_maintenance(); }

uint64_t SegmentLog::prepared_bytes() const {
  return unused_bytes_.load(std::memory_order_relaxed) + (pool_ ? pool_->prepared_bytes() : 0);
}

uint64_t SegmentLog::segments_made_inline_total() const { return pool_ ? pool_->made_inline_total() : 0; }

// The used segments that may hold `from` and later, and where a scan of them begins: at the first batch of the first one,
// taken as it is, since the chain before it is not known here.
Result<std::vector<SegmentFile>> SegmentLog::segments_from(Sequence from, ScanPosition& start) {
  std::vector<UsedSegment> wanted;
  {
    const std::lock_guard lock(index_mutex_);
    for (size_t i = 0; i < used_.size(); ++i)
      if (i + 1 == used_.size() || used_[i + 1].first_sequence > from) wanted.push_back(used_[i]);
  }
  if (wanted.empty() || wanted.front().first_sequence > from)
    return Error{Errc::not_found, "the log does not reach back to " + position_text(options_.shard, from)};
  std::vector<SegmentFile> files;
  for (const UsedSegment& used : wanted) {
    Result<SegmentFile> file = open_segment(disk_, options_.directory, used.number);
    if (!file) return std::move(file.error());
    HEPTANE_TRY(check_segment(*file, id_, options_.shard));
    files.push_back(std::move(*file));
  }
  Result<BatchHeader> first = first_batch_header(disk_, files.front());
  if (!first) return std::move(first.error());
  start = {wanted.front().number, kBlockBytes, first->first_sequence, first->previous_chain, first->epoch};
  if ((first->flags & kJumpFlag) != 0) start.next_sequence = first->durable_upto + 1;
  return files;
}

Result<void> SegmentLog::read(Sequence from, Sequence upto, const BatchVisitor& visit) {
  upto = std::min(upto, durable_.load(std::memory_order_acquire));
  if (from > upto) return {};
  ScanPosition start;
  Result<std::vector<SegmentFile>> files = segments_from(from, start);
  if (!files) return std::move(files.error());
  BatchScanner scanner(disk_, id_, options_.shard, std::move(*files), start, kReadChunkBytes);
  while (scanner.position().next_sequence <= upto) {
    Result<std::optional<BatchScanner::Scanned>> batch = scanner.next();
    if (!batch) return std::move(batch.error());
    if (!*batch)
      return Error{Errc::corrupt, scanner.path() + " offset " + std::to_string(scanner.position().offset) + ": " +
                                      scanner.why_ended()};
    const BatchHeader& header = (*batch)->view.header();
    if (header.is_seal() || header.last_sequence() < from) continue;
    HEPTANE_TRY(visit((*batch)->view, (*batch)->place));
  }
  return {};
}

std::unique_ptr<LogReader> SegmentLog::reader() {
  return std::make_unique<SegmentReader>(disk_, options_.directory, recent_, [this] { return oldest_segment(); });
}

Sequence SegmentLog::first_sequence_of(uint32_t segment) const {
  const std::lock_guard lock(index_mutex_);
  for (const UsedSegment& used : used_)
    if (used.number >= segment) return used.first_sequence;
  return durable_.load(std::memory_order_acquire) + 1;
}

uint32_t SegmentLog::oldest_segment() const {
  const std::lock_guard lock(index_mutex_);
  return used_.empty() ? 0 : used_.front().number;
}

uint32_t SegmentLog::last_segment_below(Sequence below) const {
  const std::lock_guard lock(index_mutex_);
  uint32_t last = 0;
  for (size_t i = 0; i + 1 < used_.size() && used_[i + 1].first_sequence <= below; ++i) last = used_[i].number;
  return last;
}

Result<void> SegmentLog::trim(Sequence below) {
  for (;;) {
    uint32_t oldest = 0;
    {
      const std::lock_guard lock(index_mutex_);
      if (used_.size() < 2 || used_[1].first_sequence > below) return {};
      oldest = used_.front().number;
      used_.erase(used_.begin());
    }
    // One at a time: were two names lost in the wrong order, the log would have a hole.
    HEPTANE_TRY(disk_.unlink(segment_path(options_.directory, oldest)));
    HEPTANE_TRY(disk_.sync_directory(options_.directory));
  }
}

}  // namespace heptane::log
