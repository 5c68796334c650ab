#include "kernel/archive/archiver.h"

#include <algorithm>

namespace heptane::archive {

namespace {

constexpr uint64_t kStepBytes = uint64_t{4} << 20;
constexpr int64_t kRetryNs = 60'000'000'000;
constexpr int64_t kNsPerMs = 1'000'000;

}  // namespace

void Archiver::start(const LogId& log_id, ShardId shard, uint64_t segment_bytes) {
  log_id_ = log_id;
  shard_ = shard;
  segments_at_once_ = std::max<size_t>(1, options_.target_bytes / segment_bytes);
  count_bytes();
}

void Archiver::count_bytes() {
  uint64_t bytes = 0;
  for (const auto& segment : *store_.catalog()) bytes += segment->footer.file_bytes;
  counters_.bytes.store(bytes, std::memory_order_relaxed);
}

bool Archiver::commands_expired(LogTime last_time) const {
  return options_.retain_commands_ns >= 0 && now_ms_ * kNsPerMs - last_time > options_.retain_commands_ns;
}

// The mailbox.

void Archiver::post(const std::function<void(Mail&)>& write) {
  {
    const std::lock_guard lock(mutex_);
    write(mail_);
  }
  wants_shard_.store(true, std::memory_order_release);
  if (wake_shard_) wake_shard_();
}

void Archiver::serve(Shard& shard, streams::StreamsMachine& streams) {
  wants_shard_.store(false, std::memory_order_relaxed);
  {
    const std::lock_guard lock(mutex_);
    if (!mail_.starts.empty()) {
      Buffer payload = streams::encode(streams::SetLogStart{mail_.starts});
      // A full queue only means that the next look proposes it again.
      (void)shard.submit_internal(
          streams::make_command(machine_ids::kStreams, streams::kSetLogStart, std::move(payload)));
      mail_.starts.clear();
    }
    if (mail_.forget_upto != 0) {
      streams.forget_segments(mail_.forget_upto);
      mail_.forget_upto = 0;
      mail_.forget_done = true;
    }
    if (mail_.look_wanted) {
      mail_.look_wanted = false;
      mail_.look_done = true;
      // Log time does not follow a clock that jumps: what it would have made too old stays.
      mail_.now_ms = std::min(clock_.utc_ns(), shard.now()) / kNsPerMs;
      mail_.liveness.log_starts = streams.log_starts();
      mail_.retained = streams.retained(mail_.now_ms);
    }
  }
  if (wake_helper_) wake_helper_();
}

// True when something came.
bool Archiver::take_answers() {
  const std::lock_guard lock(mutex_);
  const bool came = mail_.look_done || mail_.forget_done;
  if (mail_.look_done) {
    mail_.look_done = false;
    liveness_ = std::move(mail_.liveness);
    retained_ = std::move(mail_.retained);
    now_ms_ = mail_.now_ms;
    looked_ = true;
    clean_due_ = true;
    clean_next_ = 0;
    asked_ = false;
  }
  return came;
}

// Retention.

Result<std::optional<Offset>> Archiver::retained_start(const streams::StreamsMachine::Retained& row) {
  Offset start = row.log_start;
  if (row.config.retention_ms >= 0) {
    Offset by_time = row.time_start;
    if (by_time <= row.indexed && row.log_start < row.indexed) {
      const Result<std::optional<Offset>> archived =
          reader_.offset_for_time(row.partition, row.log_start, now_ms_ - row.config.retention_ms);
      if (!archived) return archived.error();
      by_time = archived->value_or(row.indexed);
    }
    start = std::max(start, by_time);
  }
  if (row.config.retention_bytes >= 0) {
    const auto wanted = static_cast<uint64_t>(row.config.retention_bytes);
    std::optional<Offset> by_bytes;
    if (row.indexed_bytes >= wanted) {
      by_bytes = row.bytes_start;
    } else if (row.log_start < row.indexed) {
      Result<std::optional<Offset>> archived = reader_.offset_for_bytes(row.partition, wanted - row.indexed_bytes);
      if (!archived) return archived.error();
      by_bytes = *archived;
    }
    start = std::max(start, by_bytes.value_or(start));
  }
  return start > row.log_start ? std::optional<Offset>(start) : std::nullopt;
}

// A partition whose start cannot be found (a damaged archive segment) keeps all; the others go on.
void Archiver::apply_retention() {
  std::vector<streams::LogStart> starts;
  std::string problem;
  for (const auto& row : retained_) {
    if (starts.size() == streams::kLogStartsLimit) break;  // the others at the next look
    const Result<std::optional<Offset>> start = retained_start(row);
    if (!start)
      problem = start.error().message;
    else if (*start)
      starts.push_back({row.partition, **start});
  }
  retained_.clear();
  if (!starts.empty()) post([&](Mail& mail) { mail.starts = std::move(starts); });
  if (problem == retention_problem_) return;
  retention_problem_ = std::move(problem);
  if (report_ && !retention_problem_.empty()) report_("retention keeps what it cannot judge: " + retention_problem_);
}

// Dead archive segments.

// What lives of an archive segment, as if the records of a partition were of equal size.
Result<Archiver::Life> Archiver::life_of(const ArchiveSegment& segment, bool keep_commands) {
  Life life{keep_commands ? segment.footer.command_bytes : 0, keep_commands, false};
  life.any = life.bytes > 0;
  HEPTANE_TRY(reader_.for_each_row(segment, [&](const Row& row) -> Result<void> {
    if (row.partition != kCommandsGroup && row.runs > 0 && liveness_.lives(row.partition, row.end)) {
      life.any = true;  // its share in bytes may round to none
      const Offset kept_from = row.partition < liveness_.log_starts.size()
                                   ? std::clamp(liveness_.log_starts[row.partition], row.first, row.end)
                                   : row.first;
      const double share = static_cast<double>(row.end - kept_from) / static_cast<double>(row.end - row.first);
      life.bytes += static_cast<uint64_t>(static_cast<double>(row.end_at - row.begin_at) * share);
    }
    return {};
  }));
  return life;
}

// Less than half of it lives, and of a rewritten one less than half of what lived then: batches go as a whole, so what is
// left of them may be little for good.
bool Archiver::worth_rewriting(const ArchiveSegment& segment, const Life& life) const {
  const uint64_t all = segment.footer.rows_at - kBlockBytes;
  if (all == 0 || life.bytes * 2 >= all) return false;
  const auto before = rewritten_.find(segment.header.first_sequence);
  return before == rewritten_.end() || before->second.keep_commands != life.keep_commands ||
         life.bytes * 2 < before->second.bytes;
}

// One archive segment a step; true when it began or dropped one.
Result<bool> Archiver::clean() {
  const std::shared_ptr<const Catalog> catalog = store_.catalog();
  while (clean_next_ < catalog->size()) {
    const std::shared_ptr<const ArchiveSegment> segment = (*catalog)[clean_next_];
    ++clean_next_;
    if (!segment->damage.empty()) continue;
    const bool keep_commands = !commands_expired(segment->footer.last_time) && !urgent_;
    const Result<Life> life = life_of(*segment, keep_commands);
    if (!life) return life.error();
    // The newest says where partitions without new records go on; it stays until a newer one says so.
    if (!life->any && clean_next_ < catalog->size()) {
      HEPTANE_TRY(store_.drop(*segment));
      rewritten_.erase(segment->header.first_sequence);
      --clean_next_;
      counters_.dropped_total.fetch_add(1, std::memory_order_relaxed);
      count_bytes();
      return true;
    }
    if (!worth_rewriting(*segment, *life)) continue;
    rewritten_[segment->header.first_sequence] = *life;
    build_begin_ns_ = clock_.monotonic_ns();
    build_bytes_ = 0;
    builder_.begin_rewrite(segment, liveness_, keep_commands);
    return true;
  }
  clean_due_ = false;
  return false;
}

// The log.

bool Archiver::begin_archiving(Sequence needed_from, bool urgent) {
  const uint32_t archived = store_.last_log_segment();
  const uint32_t first = std::max(archived + 1, log_.oldest_segment());
  const uint32_t upto = log_.last_segment_below(needed_from);
  if (upto < first || (!urgent && upto - first + 1 < segments_at_once_)) return false;
  ArchiveHeader header;
  header.log_id = log_id_;
  header.shard = shard_;
  header.first_segment = first;
  header.last_segment = static_cast<uint32_t>(std::min<uint64_t>(upto, first + segments_at_once_ - 1));
  header.first_sequence = log_.first_sequence_of(first);
  header.last_sequence = log_.first_sequence_of(header.last_segment + 1) - 1;
  build_begin_ns_ = clock_.monotonic_ns();
  build_bytes_ = 0;
  builder_.begin_log(header, liveness_, !urgent);
  return true;
}

Result<bool> Archiver::build() {
  if (options_.bytes_per_second > 0 && !urgent_) {
    const double seconds = static_cast<double>(clock_.monotonic_ns() - build_begin_ns_) / 1e9;
    if (seconds * static_cast<double>(options_.bytes_per_second) + kStepBytes < static_cast<double>(build_bytes_))
      return false;
  }
  const bool rewriting = builder_.header().generation > 0;
  const Result<ArchiveBuilder::Progress> progress = builder_.step(kStepBytes);
  build_bytes_ += kStepBytes;
  if (!progress) {
    give_up(progress.error().message);
    // A full disk is met by admission; the log itself is not in danger.
    return false;
  }
  if (*progress == ArchiveBuilder::Progress::more) return true;
  HEPTANE_TRY(store_.publish(builder_.header(), builder_.footer()));
  builder_.abandon();
  count_bytes();
  (rewriting ? counters_.rewritten_total : counters_.archived_total).fetch_add(1, std::memory_order_relaxed);
  return true;
}

void Archiver::give_up(const std::string& why) {
  counters_.failed_total.fetch_add(1, std::memory_order_relaxed);
  builder_.abandon();
  (void)store_.disk().unlink(store_.temporary_path()).ok();
  retry_ns_ = clock_.monotonic_ns() + kRetryNs;
  if (report_) report_("no archive segment was made: " + why);
}

// Log segments whose archive segment has its name.
Result<void> Archiver::forget_and_trim() {
  const uint32_t archived = store_.last_log_segment();
  if (archived == 0 || log_.oldest_segment() == 0 || log_.oldest_segment() > archived) return {};
  if (!forgetting_) {
    forgetting_ = true;
    forgetting_upto_ = archived;
    post([&](Mail& mail) {
      mail.forget_upto = archived;
      mail.forget_done = false;
    });
    return {};
  }
  {
    const std::lock_guard lock(mutex_);
    if (!mail_.forget_done) return {};
    mail_.forget_done = false;
  }
  forgetting_ = false;
  // Not what was archived since: the shard still names those segments.
  return log_.trim(log_.first_sequence_of(forgetting_upto_ + 1));
}

Result<bool> Archiver::run_once(Sequence needed_from, bool urgent) {
  urgent_ = urgent;
  (void)take_answers();
  const int64_t now_ns = clock_.monotonic_ns();
  if (!asked_ && now_ns >= next_look_ns_) {
    next_look_ns_ = now_ns + options_.look_interval_ns;
    asked_ = true;
    post([](Mail& mail) { mail.look_wanted = true; });
  }
  HEPTANE_TRY(forget_and_trim());
  if (builder_.active()) return build();
  if (!looked_ || now_ns < retry_ns_) return false;
  if (!retained_.empty()) apply_retention();
  if (begin_archiving(needed_from, urgent)) return true;
  if (!clean_due_) return false;
  Result<bool> cleaned = clean();
  if (!cleaned) {
    give_up(cleaned.error().message);
    return false;
  }
  return cleaned;
}

}  // namespace heptane::archive
