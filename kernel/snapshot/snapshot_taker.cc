#include "kernel/snapshot/snapshot_taker.h"

#include <algorithm>

namespace heptane::snapshot {

namespace {

constexpr size_t kHugePagesAStep = 4;
constexpr uint64_t kVerifyStepBytes = kBufferBytes;  // one read
constexpr uint64_t kPaceOverGrowth = 4;
constexpr int64_t kSecondNs = 1'000'000'000;

// What the child and the shard in place both do.
Result<void> write_snapshot(SnapshotFileWriter& writer, const Shard& shard, const StreamStore& streams) {
  writer.begin(Section::state);
  shard.save(writer);
  writer.begin(Section::index);
  streams.save_index(writer);
  return writer.finish();
}

SnapshotHeader header_at(const LogId& log_id, ShardId shard, const RestPoint& rest) {
  SnapshotHeader header;
  header.log_id = log_id;
  header.shard = shard;
  header.epoch = rest.epoch;
  header.sequence = rest.sequence;
  header.time = rest.time;
  header.segment = rest.last_batch.segment;
  const uint64_t end = uint64_t{rest.last_batch.offset} + rest.last_batch.bytes;
  header.offset = static_cast<uint32_t>((end + kBlockBytes - 1) / kBlockBytes * kBlockBytes);
  header.previous_chain = rest.chain;
  return header;
}

}  // namespace

void SnapshotTaker::start(const LogId& log_id, ShardId shard, const RestoredSnapshot& restored, uint64_t log_bytes) {
  log_id_ = log_id;
  shard_ = shard;
  log_bytes_before_ = log_bytes;
  paced_from_ns_ = clock_.monotonic_ns();
  if (restored.any) {
    counters_.last_sequence = restored.header.sequence;
    counters_.last_bytes = restored.file_bytes;
  }
  due_log_bytes_ = std::max<uint64_t>(options_.log_bytes_min, counters_.last_bytes / 2);
}

bool SnapshotTaker::due(uint64_t log_bytes_total) const {
  return requested_.load(std::memory_order_acquire) || log_bytes_before_ + log_bytes_total >= due_log_bytes_;
}

bool SnapshotTaker::run_once(uint64_t log_bytes_total, Sequence durable) {
  switch (phase_.load(std::memory_order_acquire)) {
    case Phase::idle: return due(log_bytes_total) && prepare(log_bytes_total);
    case Phase::preparing: return gather();
    case Phase::prepared: return false;
    case Phase::taken: return finish_writing();
    case Phase::verifying: return verify(durable);
  }
  return false;
}

bool SnapshotTaker::prepare(uint64_t log_bytes_total) {
  phase_.store(Phase::preparing, std::memory_order_release);
  requested_.store(false, std::memory_order_release);  // what is requested from here on may want a later state
  answers_ = requests_.load();
  log_bytes_seen_ = log_bytes_before_ + log_bytes_total;
  find_pace(log_bytes_total);
  std::string why = no_room();
  if (why.empty() && !in_place()) why = no_memory_for_fork();
  if (why.empty())
    if (const Result<void> opened = open_temporary(); !opened) why = opened.error().message;
  if (!why.empty()) {
    give_up(why);
    return false;
  }
  if (!in_place() && file_->descriptor() >= 0) huge_pages_.begin();
  return true;
}

// The fork is to be short.
bool SnapshotTaker::gather() {
  if (!in_place() && huge_pages_.step(kHugePagesAStep)) return true;
  phase_.store(Phase::prepared, std::memory_order_release);
  if (wake_shard_) wake_shard_();
  return false;
}

void SnapshotTaker::find_pace(uint64_t log_bytes_total) {
  const int64_t now_ns = clock_.monotonic_ns();
  const double seconds = static_cast<double>(now_ns - paced_from_ns_) / 1e9;
  const auto grown = static_cast<double>(log_bytes_total - paced_from_bytes_);
  pace_ = options_.bytes_per_second;
  if (pace_ > 0 && seconds > 0) pace_ = std::max(pace_, kPaceOverGrowth * static_cast<uint64_t>(grown / seconds));
  paced_from_ns_ = now_ns;
  paced_from_bytes_ = log_bytes_total;
}

std::string SnapshotTaker::no_room() {
  const std::string path = store_.temporary_path();
  const Result<uint64_t> free = store_.disk().free_bytes(path.substr(0, path.rfind('/')));
  if (!free) return free.error().message;
  const uint64_t last = counters_.last_bytes;
  const uint64_t needed = last + last / 2 + options_.free_bytes_reserve;
  if (*free >= needed) return {};
  return "the disk has " + std::to_string(*free >> 20) + " MiB left and a snapshot waits for " +
         std::to_string(needed >> 20) + " MiB";
}

Result<void> SnapshotTaker::open_temporary() {
  const std::string path = store_.temporary_path();
  const Result<bool> leftover = store_.disk().exists(path);
  if (!leftover) return leftover.error();
  if (*leftover) HEPTANE_TRY(store_.disk().unlink(path));
  Result<std::unique_ptr<File>> file = store_.disk().open(path, OpenMode::create, OpenHint::direct);
  if (!file) return file.error();
  file_ = std::move(*file);
  return {};
}

void SnapshotTaker::take(const Shard& shard, const StreamStore& streams, const RestPoint& rest) {
  HEPTANE_ASSERT(wants_state(), "nobody prepared a snapshot");
  const int64_t begin_ns = clock_.monotonic_ns();
  header_ = header_at(log_id_, shard_, rest);
  written_ = {};
  named_files_.clear();
  for (MachineFiles* files : shard.machine_files()) named_files_.push_back({files, files->named()});
  if (rest.sequence == counters_.last_sequence.load(std::memory_order_relaxed)) {
    taken_ = Taken::needless;
  } else {
    SnapshotFileWriter writer(*file_, header_);
    header_.crc = writer.key();
    // A disk without descriptors is the simulator's: what a child wrote to it would be lost with the child.
    taken_ = in_place() || file_->descriptor() < 0 ? Taken::in_place : Taken::by_child;
    if (taken_ == Taken::in_place) {
      written_ = write_snapshot(writer, shard, streams);
    } else {
      writer.set_pace(
          [begin_ns = clock_.monotonic_ns(), rate = pace_](uint64_t written) { pace(begin_ns, written, rate); });
      const Result<int64_t> forked =
          child_.start(file_->descriptor(), [&] { return write_snapshot(writer, shard, streams).ok(); });
      if (!forked) written_ = forked.error();
      child_bytes_ = 0;
      child_progress_ns_ = clock_.monotonic_ns();
      child_stuck_ = false;
    }
    counters_.last_pause_ns.store(clock_.monotonic_ns() - begin_ns, std::memory_order_relaxed);
  }
  phase_.store(Phase::taken, std::memory_order_release);
  if (wake_helper_) wake_helper_();
}

bool SnapshotTaker::finish_writing() {
  if (taken_ == Taken::needless) {
    end(false);
    (void)store_.disk().unlink(store_.temporary_path()).ok();
    return false;
  }
  if (child_.pid() >= 0 && !child_ended()) return false;
  file_.reset();
  // Written past the page cache, read back through it: the bytes come from the device all the same, and stay where a restart
  // after a crash of the process alone finds them.
  Result<std::unique_ptr<SnapshotFileReader>> reader =
      written_ ? SnapshotFileReader::open(store_.disk(), store_.temporary_path(), OpenHint::no_read_ahead)
               : Result<std::unique_ptr<SnapshotFileReader>>(written_.error());
  if (!reader) {
    give_up(reader.error().message);
    return last_.load(std::memory_order_acquire);
  }
  reader_ = std::move(*reader);
  verify_begin_ns_ = clock_.monotonic_ns();
  phase_.store(Phase::verifying, std::memory_order_release);
  return true;
}

bool SnapshotTaker::child_ended() {
  if (last_.load(std::memory_order_acquire)) {
    child_.kill();
    written_ = Error{Errc::closed, "the server is stopping"};
    return true;
  }
  std::optional<Result<void>> ended = child_.poll();
  if (!ended) {
    end_stuck_child();
    return false;
  }
  written_ = child_stuck_
                 ? Result<void>(Error{Errc::deadline, "the writing process wrote nothing for " +
                                                          std::to_string(options_.child_deadline_ns / kSecondNs) +
                                                          " s and was ended"})
                 : std::move(*ended);
  return true;
}

// Its file is this process's too: a child that gets on lets it grow.
void SnapshotTaker::end_stuck_child() {
  const int64_t now_ns = clock_.monotonic_ns();
  const Result<uint64_t> bytes = file_->size();
  if (bytes && *bytes != child_bytes_) {
    child_bytes_ = *bytes;
    child_progress_ns_ = now_ns;
  }
  if (child_stuck_ || now_ns - child_progress_ns_ < options_.child_deadline_ns) return;
  child_stuck_ = true;
  counters_.stuck_total.fetch_add(1, std::memory_order_relaxed);
  child_.interrupt();
}

// What was read so far took no less time than its pace has it.
bool SnapshotTaker::reading_is_due() {
  next_step_ns_ = INT64_MAX;
  if (pace_ == 0 || last_.load(std::memory_order_acquire)) return true;
  const double passed_ns = static_cast<double>(reader_->position()) / static_cast<double>(pace_) * 1e9;
  const int64_t due_ns = verify_begin_ns_ + static_cast<int64_t>(passed_ns);
  if (due_ns <= clock_.monotonic_ns()) return true;
  next_step_ns_ = due_ns;
  return false;
}

bool SnapshotTaker::verify(Sequence durable) {
  if (!files_durable()) {
    if (no_room_for_files_) give_up("the disk has no room for the row files that it names");
    return false;
  }
  if (!reading_is_due()) return false;
  if (!(reader_->header() == header_)) {
    give_up("its header reads back differently");
    return false;
  }
  const Result<bool> done = reader_->verify_some(kVerifyStepBytes);
  if (!done) {
    give_up("it does not read back: " + done.error().message);
    return last_.load(std::memory_order_acquire);
  }
  if (!*done) return true;
  // It was taken at rest, so this holds already; the rule is kept here all the same.
  if (durable < header_.sequence) return false;
  publish();
  return false;
}

// What a snapshot names is there before it has its own name.
bool SnapshotTaker::files_durable() const {
  return std::all_of(named_files_.begin(), named_files_.end(), [](const NamedFiles& of) {
    const std::vector<uint32_t> durable = of.files->durable();
    return std::equal(durable.begin(), durable.end(), of.named.begin(), of.named.end(), std::greater_equal<>());
  });
}

void SnapshotTaker::publish() {
  const uint64_t bytes = reader_->footer().file_bytes;
  if (const Result<void> published = store_.publish(header_.sequence); !published) {
    give_up(published.error().message);
    return;
  }
  counters_.last_bytes.store(bytes, std::memory_order_relaxed);
  counters_.last_sequence.store(header_.sequence, std::memory_order_relaxed);
  counters_.taken_total.fetch_add(1, std::memory_order_relaxed);
  due_log_bytes_ = log_bytes_seen_ + std::max(options_.log_bytes_min, bytes / 2);
  end(false);
}

void SnapshotTaker::give_up(const std::string& why) {
  counters_.failed_total.fetch_add(1, std::memory_order_relaxed);
  // Not at once again: what stands against it may pass.
  due_log_bytes_ = log_bytes_seen_ + std::max<uint64_t>(options_.log_bytes_min / 8, 1);
  const bool interrupted = taken_ == Taken::by_child && last_.load(std::memory_order_acquire);
  (void)store_.disk().unlink(store_.temporary_path()).ok();
  if (report_ && !interrupted) report_("no snapshot was taken: " + why);
  taken_ = Taken::needless;
  end(true);
}

void SnapshotTaker::end(bool failed) {
  next_step_ns_ = INT64_MAX;
  file_.reset();
  reader_.reset();
  counters_.last_failed.store(failed, std::memory_order_relaxed);
  counters_.answered.store(answers_, std::memory_order_release);
  phase_.store(Phase::idle, std::memory_order_release);
  if (wake_shard_) wake_shard_();
}

}  // namespace heptane::snapshot
