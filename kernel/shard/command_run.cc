#include "kernel/shard/command_run.h"

#include <algorithm>

namespace heptane {

MachineTable::Slot* MachineTable::find(MachineId id) {
  for (Slot& slot : machines_)
    if (slot.id == id) return &slot;
  return nullptr;
}

void CommandRun::begin(Sequence sequence, LogTime time) {
  sequence_ = sequence;
  time_ = time;
  outcome_ = CommandOutcome::kept;
  reset_reply();
  events_.clear();
  emitted_.clear();
  arena_.clear();
  armed_.clear();
  cancelled_.clear();
  next_timer_ = kernel_.next_timer;
  HEPTANE_ASSERT(marks_.empty(), "a command ended with an open scope");
}

// Field by field: most replies are numbers, and this runs for every command.
void CommandRun::reset_reply() {
  static_assert(sizeof(Reply) == 112, "a new field of Reply is reset here as well");
  reply_.error.reset();
  reply_.detail = 0;
  reply_.sequence = 0;
  reply_.time = 0;
  reply_.numbers = {};
  if (!reply_.payload.empty()) reply_.payload = Buffer();
  reply_.message.clear();
  reply_.repeated = false;
}

void CommandRun::apply(StateMachine& machine, const Command& command) {
  const MachineId before = running_;
  running_ = machine.id();
  machine.apply(command, effects_);
  running_ = before;
}

StateMachine& CommandRun::enlist(MachineId id) {
  MachineTable::Slot* slot = machines_.find(id);
  HEPTANE_ASSERT(slot != nullptr, "a port to a machine that is not here");
  open_missing_scopes(*slot);
  return *slot->machine;
}

void CommandRun::open_missing_scopes(MachineTable::Slot& slot) {
  while (slot.open_scopes < marks_.size()) {
    slot.machine->open_scope();
    ++slot.open_scopes;
  }
}

void CommandRun::open_scope() {
  marks_.push_back({events_.size(), arena_.size(), armed_.size(), cancelled_.size(), next_timer_});
  // The machine that runs takes part at once; others at their first call.
  if (MachineTable::Slot* slot = machines_.find(running_)) open_missing_scopes(*slot);
}

void CommandRun::close_scope(ScopeOutcome outcome) {
  HEPTANE_ASSERT(!marks_.empty(), "a scope closed that was never opened");
  const Mark mark = marks_.back();
  marks_.pop_back();
  for (MachineTable::Slot& slot : machines_.all()) {
    if (slot.open_scopes <= marks_.size()) continue;
    slot.machine->close_scope(outcome);
    --slot.open_scopes;
  }
  if (outcome == ScopeOutcome::keep) return;
  for (size_t i = mark.events; i < events_.size(); ++i)
    for (auto& [partition, count] : emitted_)
      if (partition == events_[i].partition) --count;
  events_.resize(mark.events);
  arena_.resize(mark.arena);
  armed_.resize(mark.armed);
  cancelled_.resize(mark.cancelled);
  next_timer_ = mark.next_timer;
  reset_reply();
}

Offset CommandRun::emit(const Event& event) {
  HEPTANE_ASSERT(streams_ != nullptr && streams_->has_partition(event.partition), "an event for no partition");
  const uint64_t bytes = event.key.size() + event.value.size();
  HEPTANE_ASSERT(events_.size() < kEventsLimit && arena_.size() + bytes <= kEventBytesLimit,
                 "a command emits more than one entry may hold");
  auto count =
      std::find_if(emitted_.begin(), emitted_.end(), [&](const auto& entry) { return entry.first == event.partition; });
  if (count == emitted_.end()) {
    emitted_.emplace_back(event.partition, 0);
    count = emitted_.end() - 1;
  }
  StagedEvent staged_event{event.partition, event.has_key, 0, 0, 0, 0};
  const auto store = [&](Bytes from, uint32_t& begin, uint32_t& size) {
    begin = static_cast<uint32_t>(arena_.size());
    size = static_cast<uint32_t>(from.size());
    arena_.insert(arena_.end(), from.begin(), from.end());
  };
  store(event.key, staged_event.key_begin, staged_event.key_bytes);
  store(event.value, staged_event.value_begin, staged_event.value_bytes);
  events_.push_back(staged_event);
  return streams_->next_offset(event.partition) + count->second++;
}

Offset CommandRun::next_offset(PartitionId partition) const {
  const auto count =
      std::find_if(emitted_.begin(), emitted_.end(), [&](const auto& entry) { return entry.first == partition; });
  return streams_->next_offset(partition) + (count == emitted_.end() ? 0 : count->second);
}

TimerId CommandRun::arm(LogTime due, CommandType type, Bytes payload) {
  HEPTANE_ASSERT(payload.size() <= kTimerPayloadLimitBytes, "a timer's payload is too long");
  const TimerId id = next_timer_++;
  armed_.emplace_back(id, Timer{std::max(due, time_), running_, type, sequence_, std::string(as_text(payload))});
  return id;
}

bool CommandRun::cancel(TimerId timer) {
  if (std::find(cancelled_.begin(), cancelled_.end(), timer) != cancelled_.end()) return false;
  const bool known = kernel_.timers.contains(timer) ||
                     std::any_of(armed_.begin(), armed_.end(), [&](const auto& armed) { return armed.first == timer; });
  if (known) cancelled_.push_back(timer);
  return known;
}

Event CommandRun::staged(const StagedEvent& event) const {
  const Bytes arena = arena_;
  return Event{event.partition, arena.subspan(event.key_begin, event.key_bytes), event.has_key,
               arena.subspan(event.value_begin, event.value_bytes)};
}

void CommandRun::keep(const Command& command, uint32_t command_delta, bool replaying, DigestAccumulator& digest) {
  digest.add(command.sequence, (uint64_t{command.machine} << 16) | command.type);
  digest.add(static_cast<uint64_t>(reply_.numbers[0]), static_cast<uint64_t>(reply_.numbers[1]));
  if (!reply_.payload.empty()) digest.add(reply_.payload.view());
  Ordinal ordinal = 0;
  for (const StagedEvent& staged_event : events_) {
    const Event event = staged(staged_event);
    digest.add(event.partition, static_cast<uint64_t>(streams_->next_offset(event.partition)));
    if (event.has_key) digest.add(event.key);
    const Hash128 value_hash = hash128(event.value);
    digest.add(value_hash.low, value_hash.high);
    ++ordinal;
    if (replaying) {
      replayed_.push_back({sequence_, ordinal, event.partition, streams_->next_offset(event.partition), value_hash});
      streams_->skip(event.partition);
    } else {
      streams_->pack(event, time_, command_delta, ordinal);
    }
  }
  for (auto& [id, timer] : armed_) {
    digest.add(id, static_cast<uint64_t>(timer.due));
    kernel_.arm(id, std::move(timer));
  }
  for (const TimerId id : cancelled_) {
    digest.add(id, 0);
    kernel_.disarm(id);
  }
  kernel_.next_timer = next_timer_;
}

// Effects: what machines see of it.

void Effects::reply(int64_t number0, int64_t number1) { run_.reply_.numbers = {number0, number1}; }

void Effects::reply(Bytes payload, int64_t number0, int64_t number1) {
  run_.reply_.numbers = {number0, number1};
  run_.reply_.payload = Buffer::copy_of(payload);
}

void Effects::refuse(Errc code, uint32_t detail, std::string message) {
  run_.outcome_ = CommandOutcome::refused;
  run_.reply_.error = code;
  run_.reply_.detail = detail;
  run_.reply_.message = std::move(message);
}

bool Effects::refused() const { return run_.outcome_ == CommandOutcome::refused; }

void Effects::unchanged(int64_t number0, int64_t number1) {
  run_.outcome_ = CommandOutcome::unchanged;
  run_.reply_.numbers = {number0, number1};
  run_.reply_.repeated = true;
}

Offset Effects::emit(const Event& event) { return run_.emit(event); }
Offset Effects::next_offset(PartitionId partition) const { return run_.next_offset(partition); }

bool Effects::room_for(uint64_t events, uint64_t bytes) const {
  return run_.events_.size() + events <= kEventsLimit && run_.arena_.size() + bytes <= kEventBytesLimit;
}

TimerId Effects::arm(LogTime due, CommandType type, Bytes payload) { return run_.arm(due, type, payload); }
bool Effects::cancel(TimerId timer) { return run_.cancel(timer); }
StateMachine& Effects::enlist(MachineId machine) { return run_.enlist(machine); }
void Effects::open_scope() { run_.open_scope(); }
void Effects::close_scope(ScopeOutcome outcome) { run_.close_scope(outcome); }
uint32_t Effects::version() const { return run_.kernel_.version_of(run_.running_); }

std::string_view Effects::config(std::string_view key) const {
  const auto found = run_.kernel_.config.find(key);
  return found == run_.kernel_.config.end() ? std::string_view{} : std::string_view{found->second};
}

}  // namespace heptane
