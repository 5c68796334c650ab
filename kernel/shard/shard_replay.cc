// Replay, snapshots and hashes: the parts of the shard that run outside traffic.
#include <algorithm>
#include <array>

#include "kernel/shard/shard.h"

namespace heptane {

namespace {

constexpr size_t kLookAhead = 16;  // commands: enough for the memory's latency, few enough for the first cache

struct ReplayItem {
  log::EntryView entry;
  Sequence sequence = 0;
};

std::optional<IdempotencyKey> logged_key(Bytes extensions, Principal& principal) {
  std::optional<IdempotencyKey> key;
  log::for_each_extension(extensions, [&](log::ExtensionType type, Bytes bytes) {
    if (type == log::ExtensionType::idempotency && bytes.size() == 24) {
      key.emplace();
      std::copy(bytes.begin(), bytes.begin() + 16, key->id.begin());
      key->request_hash = load_le<uint64_t>(bytes.data() + 16);
    } else if (type == log::ExtensionType::principal && bytes.size() == 8) {
      principal = {load_le<uint32_t>(bytes.data()), load_le<uint32_t>(bytes.data() + 4)};
    }
  });
  return key;
}

bool is_setting(const Command& command) {
  return command.machine == machine_ids::kKernel && (command.type == kSetConfig || command.type == kActivate);
}

}  // namespace

Result<void> Shard::replay(const log::BatchView& batch, const log::BatchPlace& place, Sequence upto) {
  const log::BatchHeader& header = batch.header();
  if ((header.flags & log::kJumpFlag) != 0) {
    last_applied_ = header.first_sequence - 1;
    settings_only_ = false;  // what lay in the gap is not known
  }
  if (header.first_sequence != last_applied_ + 1)
    return Error{Errc::corrupt, "the log goes on at " + position_text(options_.id, header.first_sequence) + " after " +
                                    position_text(options_.id, last_applied_)};
  digest_.reset();
  run_.replayed().clear();
  last_time_ = std::max(last_time_, header.base_time);
  view_difference_.clear();
  // One pass over the batch: an entry is decoded, what it will touch is sent for, and a few entries later it is replayed.
  std::array<ReplayItem, kLookAhead> ahead;
  size_t decoded = 0;
  size_t replayed = 0;
  const auto replay_oldest = [&] {
    const ReplayItem& item = ahead[replayed++ % kLookAhead];
    return replay_entry(item.entry, item.sequence, batch, place);
  };
  // Events that the left out commands made are packed with those of the others.
  const bool cut = upto < header.last_sequence();
  HEPTANE_TRY(batch.for_each_entry([&](const log::EntryView& entry, Sequence sequence) -> Result<void> {
    if (entry.header.is_command() ? sequence > upto : cut) return {};
    if (decoded - replayed == kLookAhead) HEPTANE_TRY(replay_oldest());
    ahead[decoded++ % kLookAhead] = {entry, sequence};
    expect(entry, sequence);
    return {};
  }));
  while (replayed < decoded) HEPTANE_TRY(replay_oldest());
  streams_->settle(std::min(upto, header.last_sequence()));
  if (cut) return {};
  if (header.is_seal() || digest_.value() == header.effects_digest) return {};
  if (header.last_sequence() <= accepted_divergence_) {
    diverged_ = true;
    return {};
  }
  return Error{Errc::corrupt,
               "replay of commands " + position_text(options_.id, header.first_sequence) + " to " +
                   position_text(options_.id, header.last_sequence()) +
                   " had other effects than the log says: " + first_difference(batch) +
                   ". The log is intact; this program computes something else than "
                   "the one that wrote it. Use that program, or go on with: heptane serve --accept-divergence " +
                   std::to_string(header.last_sequence())};
}

// What a newer program has activated, this one cannot compute.
Result<void> Shard::check_known(MachineId machine, uint32_t version) const {
  const MachineTable::Slot* slot = machines_.find(machine);
  if (slot == nullptr)
    return Error{Errc::unsupported, "logic version " + std::to_string(version) + " of machine " +
                                        std::to_string(machine) +
                                        " is active, which is switched off or unknown to this program: switch its "
                                        "module on"};
  if (version <= slot->machine->newest_version()) return {};
  return Error{Errc::unsupported,
               "logic version " + std::to_string(version) + " of " + std::string(slot->machine->name()) +
                   " is active, this program knows versions up to " + std::to_string(slot->machine->newest_version()) +
                   ": use the program that activated it, or a newer one"};
}

void Shard::expect(const log::EntryView& entry, Sequence sequence) const {
  if (!entry.header.is_command()) return;
  const MachineTable::Slot* slot = machines_.find(entry.header.machine);
  if (slot == nullptr) return;
  slot->machine->expect(Command{sequence, 0, entry.header.machine, entry.header.type, entry.header.kind,
                                entry.header.partition, entry.payload, Principal{}});
}

// Names the first event that differs; when all are the same, a reply or a timer did.
std::string Shard::first_difference(const log::BatchView& batch) {
  std::vector<ReplayedEvent>& replayed = run_.replayed();
  std::map<std::pair<PartitionId, Offset>, Hash128> logged;
  (void)batch
      .for_each_entry([&](const log::EntryView& entry, Sequence) -> Result<void> {
        if (entry.header.kind == log::EntryKind::records)
          streams_->for_each_packed(entry.payload, [&](Offset offset, Bytes value) {
            logged[{entry.header.partition, offset}] = hash128(value);
          });
        return {};
      })
      .ok();
  for (const ReplayedEvent& event : replayed) {
    const auto found = logged.find({event.partition, event.offset});
    const std::string name = "event " + position_text(options_.id, event.sequence, event.ordinal);
    if (found == logged.end()) return name + " is not in the log";
    if (!(found->second == event.value_hash)) return name + " has another value";
    logged.erase(found);
  }
  if (!logged.empty())
    return "the log has an event more, offset " + std::to_string(logged.begin()->first.second) + " of partition " +
           std::to_string(logged.begin()->first.first);
  if (!view_difference_.empty()) return view_difference_;
  return "the events are the same, a reply or a timer differs";
}

// What was applied once, with what came of it then as far as its own entry tells.
Result<void> Shard::run_again(const Command& command, const log::EntryView& entry) {
  const auto name = [&] { return "command " + position_text(options_.id, command.sequence); };
  if (command.machine != machine_ids::kKernel && machines_.find(command.machine) == nullptr)
    return Error{Errc::unsupported, name() + " is for machine " + std::to_string(command.machine) +
                                        ", which is switched off or unknown to this program: switch its module on"};
  if (command.machine == machine_ids::kKernel && command.type == kActivate) {
    ByteReader reader(command.payload);
    const auto machine = reader.le<MachineId>();
    const Result<void> known = check_known(machine, reader.le<uint32_t>());
    if (!known) return Error{known.error().code, name() + ": " + known.error().message};
  }
  run_.begin(command.sequence, command.time);
  run_command(command);
  if (run_.outcome() != CommandOutcome::kept)
    return Error{Errc::corrupt, name() + " of " +
                                    std::string(machines_.find(command.machine) != nullptr
                                                    ? machines_.find(command.machine)->machine->name()
                                                    : "kernel") +
                                    " was kept when it was logged and is refused in replay: " + run_.reply().message};
  if (!entry.header.is_record_batch()) return {};
  const Offset logged = streams_->read_run(command.partition, entry.payload, 0, 0).first;
  if (logged == run_.reply().numbers[0]) return {};
  return Error{Errc::corrupt, name() + " has offset " + std::to_string(logged) + " in the log and " +
                                  std::to_string(run_.reply().numbers[0]) + " in replay"};
}

// Before keep(). The digest finds a difference; this names it.
void Shard::replay_views(const log::EntryView& entry, const Command& command, Epoch epoch,
                         const log::BatchPlace& place) {
  if (entry.extensions.empty() && !run_.adds_to_entry()) return;
  const auto finish = static_cast<uint32_t>(entry.offset + entry.header.stored_bytes());
  for (const log::ViewRun& run : run_.view_runs()) {
    EntryRun placed = place_of_view(run, command.time, epoch);
    placed.begin = entry.offset;
    placed.finish = finish;
    streams_->add_durable(placed, place);
  }
  const Bytes logged = log::additions_of(entry.extensions);
  if (logged.empty() && !run_.adds_to_entry()) return;
  extensions_.clear();
  run_.append_additions(extensions_, options_.id, epoch);
  if (view_difference_.empty() &&
      !std::equal(logged.begin(), logged.end(), extensions_.view().begin(), extensions_.view().end()))
    view_difference_ = "records of views, or results beside them, of command " +
                       position_text(options_.id, command.sequence) + " differ";
}

Result<void> Shard::replay_entry(const log::EntryView& entry, Sequence sequence, const log::BatchView& batch,
                                 const log::BatchPlace& place) {
  const auto finish = static_cast<uint32_t>(entry.offset + entry.header.stored_bytes());
  if (!entry.header.is_command()) {
    streams_->add_durable(streams_->read_run(entry.header.partition, entry.payload, entry.offset, finish), place);
    return {};
  }
  Command command{sequence,
                  batch.header().base_time + entry.header.detail,
                  entry.header.machine,
                  entry.header.type,
                  entry.header.kind,
                  entry.header.partition,
                  entry.payload,
                  Principal{}};
  const std::optional<IdempotencyKey> key = logged_key(entry.extensions, command.principal);
  HEPTANE_TRY(run_again(command, entry));
  settings_only_ = settings_only_ && is_setting(command);
  if (entry.header.is_record_batch())
    streams_->add_durable(streams_->read_run(command.partition, entry.payload, entry.offset, finish), place);
  replay_views(entry, command, batch.header().epoch, place);
  keep(command, 0, key, true);
  return {};
}

Result<void> Shard::replay_command(const log::EntryView& entry, Sequence sequence, LogTime time) {
  HEPTANE_ASSERT(sequence == last_applied_ + 1, "commands are replayed in order");
  run_.replayed().clear();
  Command command{
      sequence,      time,       entry.header.machine, entry.header.type, entry.header.kind, entry.header.partition,
      entry.payload, Principal{}};
  const std::optional<IdempotencyKey> key = logged_key(entry.extensions, command.principal);
  HEPTANE_TRY(run_again(command, entry));
  keep(command, 0, key, true);
  streams_->settle(sequence);
  return {};
}

std::vector<MachineFiles*> Shard::machine_files() const {
  std::vector<MachineFiles*> all;
  for (const MachineTable::Slot& slot : machines_.all())
    if (MachineFiles* files = slot.machine->files()) all.push_back(files);
  return all;
}

void Shard::save(SnapshotWriter& writer) const {
  kernel_.save(writer);
  std::vector<const StateMachine*> ordered;
  for (const MachineTable::Slot& slot : machines_.all())
    if (!slot.machine->fresh()) ordered.push_back(slot.machine);
  std::sort(ordered.begin(), ordered.end(),
            [](const StateMachine* a, const StateMachine* b) { return a->id() < b->id(); });
  writer.le<uint32_t>(static_cast<uint32_t>(ordered.size()));
  for (const StateMachine* machine : ordered) {
    writer.le<uint16_t>(machine->id());
    machine->save(writer);
  }
}

Result<void> Shard::restore(SnapshotReader& reader, Sequence sequence, LogTime time) {
  HEPTANE_TRY(kernel_.restore(reader));
  for (const auto& [machine, version] : kernel_.versions) HEPTANE_TRY(check_known(machine, version));
  for (const MachineTable::Slot& slot : machines_.all()) slot.machine->make_fresh();
  const auto count = reader.le<uint32_t>();
  for (uint32_t i = 0; i < count && !reader.failed(); ++i) {
    const auto id = reader.le<uint16_t>();
    MachineTable::Slot* slot = machines_.find(id);
    if (slot == nullptr)
      return Error{Errc::unsupported, "the snapshot holds state of machine " + std::to_string(id) +
                                          ", which is switched off or unknown to this program: switch its module on"};
    HEPTANE_TRY(slot->machine->restore(reader));
  }
  if (reader.failed()) return Error{Errc::corrupt, "the snapshot ends too early"};
  last_applied_ = sequence;
  last_time_ = time;
  settings_only_ = sequence == 0;
  return {};
}

Hash128 Shard::state_hash() const {
  HashingSnapshotWriter writer;
  save(writer);
  return writer.value();
}

}  // namespace heptane
