// Replay, snapshots and hashes: the parts of the shard that run outside traffic.
#include <algorithm>

#include "kernel/shard/shard.h"

namespace heptane {

namespace {

constexpr size_t kLookAhead = 16;  // commands: enough for the memory's latency, few enough for the first cache

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

}  // namespace

Result<void> Shard::replay(const log::BatchView& batch, const log::BatchPlace& place, Sequence upto) {
  const log::BatchHeader& header = batch.header();
  if ((header.flags & log::kJumpFlag) != 0) last_applied_ = header.first_sequence - 1;
  if (header.first_sequence != last_applied_ + 1)
    return Error{Errc::corrupt, "the log goes on at " + position_text(options_.id, header.first_sequence) + " after " +
                                    position_text(options_.id, last_applied_)};
  digest_.reset();
  run_.replayed().clear();
  last_time_ = std::max(last_time_, header.base_time);
  replay_items_.clear();
  HEPTANE_TRY(batch.for_each_entry([&](const log::EntryView& entry, Sequence sequence) -> Result<void> {
    if (!entry.header.is_command() || sequence <= upto) replay_items_.push_back({entry, sequence});
    return {};
  }));
  // Events that the left out commands made are packed with those of the others.
  const bool cut = upto < header.last_sequence();
  if (cut) std::erase_if(replay_items_, [](const ReplayItem& item) { return !item.entry.header.is_command(); });
  for (size_t i = 0; i < replay_items_.size(); ++i) {
    if (i + kLookAhead < replay_items_.size())
      expect(replay_items_[i + kLookAhead].entry, replay_items_[i + kLookAhead].sequence);
    HEPTANE_TRY(replay_entry(replay_items_[i].entry, replay_items_[i].sequence, batch, place));
  }
  streams_->settle(std::min(upto, header.last_sequence()));
  if (cut) return {};
  if (header.is_seal() || digest_.value() == header.effects_digest) return {};
  if (accepted_divergence_ == header.last_sequence()) return {};
  return Error{Errc::corrupt,
               "replay of commands " + position_text(options_.id, header.first_sequence) + " to " +
                   position_text(options_.id, header.last_sequence()) +
                   " had other effects than the log says: " + first_difference(batch) +
                   ". The log is intact; this program computes something else than "
                   "the one that wrote it. Use that program, or go on with: heptane serve --accept-divergence " +
                   std::to_string(header.last_sequence())};
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
  return "the events are the same, a reply or a timer differs";
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
  if (command.machine != machine_ids::kKernel && machines_.find(command.machine) == nullptr)
    return Error{Errc::unsupported, "command " + position_text(options_.id, sequence) + " is for machine " +
                                        std::to_string(command.machine) +
                                        ", which is switched off or unknown to this program: switch its module on"};
  run_.begin(command.sequence, command.time);
  run_command(command);
  if (run_.outcome() != CommandOutcome::kept)
    return Error{Errc::corrupt, "command " + position_text(options_.id, sequence) + " of " +
                                    std::string(machines_.find(command.machine) != nullptr
                                                    ? machines_.find(command.machine)->machine->name()
                                                    : "kernel") +
                                    " was kept when it was logged and is refused in replay: " + run_.reply().message};
  if (entry.header.is_record_batch()) {
    const EntryRun run = streams_->read_run(command.partition, entry.payload, entry.offset, finish);
    if (run.first != run_.reply().numbers[0])
      return Error{Errc::corrupt, "command " + position_text(options_.id, sequence) + " has offset " +
                                      std::to_string(run.first) + " in the log and " +
                                      std::to_string(run_.reply().numbers[0]) + " in replay"};
    streams_->add_durable(run, place);
  }
  keep(command, 0, key, true);
  return {};
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
  return {};
}

Hash128 Shard::state_hash() const {
  HashingSnapshotWriter writer;
  save(writer);
  return writer.value();
}

}  // namespace heptane
