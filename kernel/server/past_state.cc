#include "kernel/server/past_state.h"

#include <algorithm>

#include "kernel/log/log_tool_scan.h"
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
    for (StateMachine* machine : module->machines()) shard_.add_machine(*machine);
}

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
  const Result<log::ScanPosition> from = start(segments);
  if (!from) return from.error();
  log::BatchScanner scanner(disk_, *id, 0, segments, *from);
  return replay(scanner, moment);
}

// Behind the snapshot; without one, at the log's first command.
Result<log::ScanPosition> PastState::start(const std::vector<log::SegmentFile>& segments) const {
  log::ScanPosition position;
  if (restored_.any) {
    const bool there = restored_.from.place.segment >= segments.front().number;
    position.segment = there ? restored_.from.place.segment : segments.front().number;
    position.offset = there ? restored_.from.place.offset : log::kBlockBytes;
    position.next_sequence = restored_.from.next_sequence;
    position.chain = restored_.from.previous_chain;
    return position;
  }
  if (segments.front().number != 1) return too_old(0);
  return log::scan_start(disk_, segments);
}

Error PastState::too_old(Sequence oldest) const {
  const snapshot::SnapshotStore snapshots(disk_, {home_ + "/snapshots", home_ + "/quarantine"});
  if (const Result<std::vector<snapshot::SnapshotName>> names = snapshots.list(); names && !names->empty())
    oldest = names->back().sequence;
  return Error{Errc::not_found, "the oldest state that can be made again is the one at " + position_text(0, oldest) +
                                    ": the log below it has become history"};
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
    if (*last < view.header().last_sequence()) return {};
  }
  if (moment.sequence == UINT64_MAX || sequence() >= moment.sequence) return {};
  return Error{Errc::not_found, position_text(0, moment.sequence) + " is not reached yet: the log ends at " +
                                    position_text(0, sequence())};
}

Result<std::vector<streams::StreamInfo>> PastState::streams() const {
  const Buffer all = streams::encode(streams::DescribeQuery{true, {}});
  Reply reply;
  streams_.query(Query{streams::kDescribe, all.view(), Principal{}}, reply);
  if (!reply.ok()) return Error{*reply.error, reply.message};
  Result<std::vector<streams::StreamInfo>> infos = streams::decode_stream_infos(reply.payload.view());
  if (!infos) return infos;
  // Events of the batch that was cut are in the state and not in the index.
  for (streams::StreamInfo& info : *infos)
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
  HEPTANE_TRY(past.go_to(moment));
  const SnapshotComparison found{(*names)[1].sequence, newer.sequence, past.state_hash()};
  if (found.hash == (*file)->footer().state_hash) return std::optional(found);
  return Error{Errc::corrupt, newer.path + " is not what replay makes: from the snapshot at " +
                                  position_text(0, found.older) + " on, the log leads to state " + to_hex(found.hash) +
                                  ", the snapshot holds " + to_hex((*file)->footer().state_hash)};
}

}  // namespace heptane::server
