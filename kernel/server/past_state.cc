#include "kernel/server/past_state.h"

#include <algorithm>

#include "kernel/archive/archive_store.h"
#include "kernel/log/log_tool_scan.h"
#include "kernel/shard/machine_files.h"
#include "kernel/snapshot/snapshot_file.h"

namespace heptane::server {

namespace {

// The sequence of the last command in the batch that is within the moment; nullopt: none.
std::optional<Sequence> last_within(const log::BatchView& batch, const PastMoment& moment) {
  std::optional<Sequence> last;
  (void)batch.for_each_entry([&](const log::EntryView& entry, Sequence sequence) -> Result<void> {
    if (!entry.header.is_command() || sequence > moment.sequence) return {};
    if (batch.header().base_time + entry.header.detail <= moment.time) last = sequence;
    return {};
  });
  return last;
}

}  // namespace

PastState::PastState(Disk& disk, std::string data_directory, Modules modules)
    : disk_(disk),
      home_(std::move(data_directory) + "/shard-0"),
      modules_(std::move(modules)),
      committer_(log_, [](const Error&) {}),
      shard_(ShardOptions{}, clock_, committer_) {
  shard_.add_machine(streams_);
  shard_.add_machine(auth_);
  shard_.add_machine(blobs_);
  shard_.set_streams(streams_);
  for (const std::unique_ptr<Module>& module : modules_)
    for (StateMachine* machine : module->machines()) {
      shard_.add_machine(*machine);
      if (const auto* source = dynamic_cast<const PrincipalSource*>(machine)) auth_.know(*source);
    }
  for (MachineFiles* files : shard_.machine_files())
    files->open({&disk_, home_ + "/rows", false, [this](const Error& error) { unreadable_ = error; }});
}

// What a command needed and could not be read: the state is not what it was.
Result<void> PastState::readable() const { return unreadable_ ? Result<void>(*unreadable_) : Result<void>(); }

Result<void> PastState::go_to(const PastMoment& moment) {
  Result<log::SegmentListing> listing = log::list_segments(disk_, home_ + "/log");
  if (!listing) return std::move(listing.error());
  const std::vector<log::SegmentFile>& segments = listing->segments;
  const std::optional<LogId> id = log::log_id_of(segments);
  if (!id) return Error{Errc::not_found, home_ + "/log holds no log: --data names a server's data directory"};
  const snapshot::SnapshotStore snapshots(disk_, {home_ + "/snapshots", home_ + "/quarantine"});
  snapshot::RestoreLimit limit{moment.sequence, moment.time};
  if (moment.snapshot_below != UINT64_MAX) limit.sequence = std::min(limit.sequence, moment.snapshot_below - 1);
  Result<snapshot::RestoredSnapshot> restored = snapshots.look(shard_, streams_, *id, limit);
  if (!restored) return std::move(restored.error());
  restored_ = std::move(*restored);
  time_ = restored_.header.time;
  log::ScanPosition from;
  if (restored_.any && restored_.from.place.segment >= segments.front().number) {
    from.segment = restored_.from.place.segment;
    from.offset = restored_.from.place.offset;
    from.next_sequence = restored_.from.next_sequence;
    from.chain = restored_.from.previous_chain;
  } else {
    const Result<log::ScanPosition> log_start = log::scan_start(disk_, segments);
    if (!log_start) return log_start.error();
    from = *log_start;
    const Result<bool> reached = replay_archive(*id, from.next_sequence, moment);
    if (!reached) return reached.error();
    if (*reached) return {};
  }
  log::BatchScanner scanner(disk_, *id, 0, segments, from);
  return replay(scanner, moment);
}

// Up to the moment, or to where the log begins.
Result<bool> PastState::replay_archive(const LogId& id, Sequence log_first, const PastMoment& moment) {
  archive::ArchiveStore store(disk_, {home_ + "/archive", 0});
  HEPTANE_TRY(store.look(id));
  archive::ArchiveReader reader(disk_, store);
  bool reached = sequence() == moment.sequence;
  for (const auto& segment : *store.catalog()) {
    if (reached || sequence() + 1 >= log_first) break;
    if (segment->header.last_sequence <= sequence()) continue;
    HEPTANE_TRY(reader.for_each_command(*segment, sequence() + 1, [&](const archive::Item& item) -> Result<bool> {
      if (item.frame.sequence >= log_first) return false;
      const Result<bool> more = replay_archived(item, moment);
      if (!more) return more.error();
      reached = !*more;
      return more;
    }));
  }
  if (reached) return true;
  if (sequence() + 1 < log_first) return not_kept(sequence() + 1);
  return false;
}

// False: it is behind the moment.
Result<bool> PastState::replay_archived(const archive::Item& item, const PastMoment& moment) {
  if (sequence() == moment.sequence) return false;
  if (item.frame.sequence != sequence() + 1) return not_kept(sequence() + 1);
  if (item.frame.time > moment.time) return false;
  HEPTANE_TRY(shard_.replay_command(item.entry, item.frame.sequence, item.frame.time));
  HEPTANE_TRY(readable());
  time_ = std::max(time_, item.frame.time);
  return true;
}

Error PastState::not_kept(Sequence missing) const {
  const snapshot::SnapshotStore snapshots(disk_, {home_ + "/snapshots", home_ + "/quarantine"});
  const Result<std::vector<snapshot::SnapshotName>> names = snapshots.list();
  std::string message = "command " + position_text(0, missing) + " has become history and is not kept any more";
  if (!names || names->empty()) return Error{Errc::not_found, message};
  constexpr size_t kNamed = 5;
  const size_t floor = std::min<size_t>(1, names->size() - 1);
  message += ": the oldest state from which on every one can be made again is the one at " +
             position_text(0, (*names)[floor].sequence);
  for (size_t i = floor + 1; i < names->size() && i <= floor + kNamed; ++i)
    message += (i == floor + 1 ? "; before it there are the ones at " : ", ") + position_text(0, (*names)[i].sequence);
  if (names->size() > floor + 1 + kNamed) message += " and older ones";
  return Error{Errc::not_found, message};
}

Result<void> PastState::replay(log::BatchScanner& scanner, const PastMoment& moment) {
  for (;;) {
    const Result<std::optional<log::BatchScanner::Scanned>> batch = scanner.next();
    if (!batch) return batch.error();
    if (!*batch) break;
    const log::BatchView& view = (*batch)->view;
    if (view.header().is_seal()) {
      if (view.header().first_sequence > moment.sequence || view.header().base_time > moment.time) return {};
      HEPTANE_TRY(shard_.replay(view, (*batch)->place));
      continue;
    }
    const std::optional<Sequence> last = last_within(view, moment);
    if (!last) return {};
    time_ = std::max(time_, view.header().base_time);
    HEPTANE_TRY(shard_.replay(view, (*batch)->place, *last));
    HEPTANE_TRY(readable());
    if (*last < view.header().last_sequence()) return {};
  }
  if (moment.sequence == UINT64_MAX || sequence() >= moment.sequence) return {};
  return Error{Errc::not_found, position_text(0, moment.sequence) + " is not reached yet: the log ends at " +
                                    position_text(0, sequence())};
}

Result<std::vector<streams::StreamInfo>> PastState::streams() const {
  std::vector<streams::StreamInfo> infos;
  for (bool more = true; more;) {
    const Buffer query = streams::encode(streams::DescribeQuery{true, {}, infos.empty() ? "" : infos.back().name});
    Reply reply;
    streams_.query(Query{streams::kDescribe, query.view(), Principal{}}, reply);
    if (!reply.ok()) return Error{*reply.error, reply.message};
    Result<std::vector<streams::StreamInfo>> page = streams::decode_stream_infos(reply.payload.view());
    if (!page) return page;
    infos.insert(infos.end(), std::make_move_iterator(page->begin()), std::make_move_iterator(page->end()));
    more = reply.numbers[0] != 0;
  }
  // Events of the batch that was cut are in the state and not in the index.
  for (streams::StreamInfo& info : infos)
    for (streams::PartitionInfo& partition : info.partitions)
      partition.durable_end = streams_.next_offset(partition.id);
  return infos;
}

Result<std::optional<SnapshotComparison>> compare_snapshots(Disk& disk, const std::string& data_directory,
                                                            Modules modules) {
  const std::string home = data_directory + "/shard-0";
  const snapshot::SnapshotStore snapshots(disk, {home + "/snapshots", home + "/quarantine"});
  const Result<std::vector<snapshot::SnapshotName>> names = snapshots.list();
  if (!names && names.error().code != Errc::not_found) return names.error();
  if (!names || names->size() < 2) return std::optional<SnapshotComparison>();
  const snapshot::SnapshotName& newer = names->front();
  const Result<std::unique_ptr<snapshot::SnapshotFileReader>> file =
      snapshot::SnapshotFileReader::open(disk, newer.path, OpenHint::none);
  if (!file) return Error{file.error().code, newer.path + ": " + file.error().message};
  PastState past(disk, data_directory, std::move(modules));
  PastMoment moment;
  moment.sequence = moment.snapshot_below = newer.sequence;
  if (const Result<void> reached = past.go_to(moment); !reached) {
    // Beside a running server both may have gone meanwhile, and the log below them.
    const Result<std::vector<snapshot::SnapshotName>> now = snapshots.list();
    if (now && now->size() >= 2 && (*now)[1].sequence == (*names)[1].sequence) return reached.error();
    return Error{Errc::not_found, "there are newer snapshots by now: compare again"};
  }
  const SnapshotComparison found{(*names)[1].sequence, newer.sequence, past.state_hash()};
  if (found.hash == (*file)->footer().state_hash) return std::optional(found);
  return Error{Errc::corrupt, newer.path + " is not what replay makes: from the snapshot at " +
                                  position_text(0, found.older) + " on, the log leads to state " + to_hex(found.hash) +
                                  ", the snapshot holds " + to_hex((*file)->footer().state_hash)};
}

}  // namespace heptane::server
