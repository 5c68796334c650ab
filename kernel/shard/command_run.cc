#include "kernel/shard/command_run.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace heptane {

namespace {

// Events are short and were just put together out of words: taken word by word they come from where they are on their way
// to the cache, and a wider load would wait for them to arrive.
void copy_words(std::byte* to, Bytes bytes) {
  constexpr size_t kShortBytes = 128;
  size_t done = 0;
  if (bytes.size() <= kShortBytes)
    for (; done + 8 <= bytes.size(); done += 8) store_le<uint64_t>(to + done, load_le<uint64_t>(bytes.data() + done));
  if (done < bytes.size()) std::memcpy(to + done, bytes.data() + done, bytes.size() - done);
}

}  // namespace

void CommandRun::begin(Sequence sequence, LogTime time) {
  sequence_ = sequence;
  time_ = time;
  outcome_ = CommandOutcome::kept;
  reset_reply();
  events_.clear();
  emitted_.clear();
  views_.clear();
  view_records_ = 0;
  results_.clear();
  arena_bytes_ = 0;
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
  running_ = command.machine;
  watch_.begin();
  machine.apply(command, effects_);
  if (watch_.maybe_long()) watch_.count_long(machines_.place_of(command.machine), machine.apply_budget_ns());
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
  marks_.push_back(
      {events_.size(), arena_bytes_, armed_.size(), cancelled_.size(), views_.size(), results_.size(), next_timer_});
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
  take_back_offsets(mark);
  events_.resize(mark.events);
  views_.resize(mark.views);
  results_.resize(mark.results);
  arena_bytes_ = mark.arena;
  armed_.resize(mark.armed);
  cancelled_.resize(mark.cancelled);
  next_timer_ = mark.next_timer;
  reset_reply();
}

void CommandRun::take_back_offsets(const Mark& mark) {
  for (size_t i = mark.events; i < events_.size(); ++i) --staged_count(events_[i].partition);
  for (size_t i = mark.views; i < views_.size(); ++i) {
    staged_count(views_[i].first) -= views_[i].second;
    view_records_ -= views_[i].second;
  }
}

// How many records of the partition are staged.
uint32_t& CommandRun::staged_count(PartitionId partition) {
  const auto found =
      std::find_if(emitted_.begin(), emitted_.end(), [&](const auto& entry) { return entry.first == partition; });
  return found != emitted_.end() ? found->second : emitted_.emplace_back(partition, 0).second;
}

bool CommandRun::room_for(uint64_t records, uint64_t bytes) const {
  return events_.size() + view_records_ + records <= kEventsLimit &&
         arena_bytes_ + results_.size() + bytes <= kEventBytesLimit;
}

// Where they begin in the arena.
uint32_t CommandRun::store(Bytes bytes) {
  const size_t begin = arena_bytes_;
  arena_bytes_ += bytes.size();
  if (arena_bytes_ > arena_.size()) arena_.resize(std::max(arena_bytes_, 2 * arena_.size()));
  copy_words(arena_.data() + begin, bytes);
  return static_cast<uint32_t>(begin);
}

const PartitionHead* CommandRun::head_of(PartitionId partition) const {
  return streams_ == nullptr ? nullptr : std::as_const(*streams_).head(partition);
}

Offset CommandRun::emit(const Event& event) {
  const PartitionHead* head = head_of(event.partition);
  HEPTANE_ASSERT(head != nullptr, "an event for no partition");
  HEPTANE_ASSERT(!head->view.is_view(), "the records of a view are only counted");
  HEPTANE_ASSERT(room_for(1, event.key.size() + event.value.size()), "a command emits more than one entry may hold");
  const uint32_t key_begin = store(event.key);
  const uint32_t value_begin = store(event.value);
  events_.push_back({event.partition, event.has_key, key_begin, static_cast<uint32_t>(event.key.size()), value_begin,
                     static_cast<uint32_t>(event.value.size())});
  return head->next_offset + staged_count(event.partition)++;
}

Offset CommandRun::emit_view(PartitionId partition, uint32_t count) {
  const PartitionHead* head = head_of(partition);
  HEPTANE_ASSERT(head != nullptr && head->view.is_view(), "records of a view for what is none");
  HEPTANE_ASSERT(room_for(count, 0), "a command emits more than one entry may hold");
  uint32_t& staged = staged_count(partition);
  const Offset first = head->next_offset + staged;
  if (count == 0) return first;
  views_.emplace_back(partition, count);
  view_records_ += count;
  staged += count;
  return first;
}

void CommandRun::log_result(Bytes bytes) {
  HEPTANE_ASSERT(room_for(0, bytes.size()), "a command notes more than one entry may hold");
  log::add_result(results_, running_, bytes);
}

void CommandRun::find_view_runs() {
  for (const auto& [partition, count] : views_) {
    const auto found = std::find_if(view_runs_.begin(), view_runs_.end(),
                                    [id = partition](const log::ViewRun& run) { return run.partition == id; });
    if (found != view_runs_.end()) {
      found->count += count;
      continue;
    }
    const PartitionHead& head = *head_of(partition);
    view_runs_.push_back({head.next_offset, count, partition, kernel_.version_of(head.view.machine), head.view.machine,
                          head.view.number});
  }
}

void CommandRun::append_additions(ByteWriter& extensions, ShardId shard, Epoch epoch) {
  if (!views_.empty()) log::append_views(extensions, {sequence_, time_, epoch, shard, view_runs()});
  if (!results_.empty()) log::append_results(extensions, results_);
}

Offset CommandRun::next_offset(PartitionId partition) const {
  const auto count =
      std::find_if(emitted_.begin(), emitted_.end(), [&](const auto& entry) { return entry.first == partition; });
  return head_of(partition)->next_offset + (count == emitted_.end() ? 0 : count->second);
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
  const Bytes arena(arena_.data(), arena_bytes_);
  return Event{event.partition, arena.subspan(event.key_begin, event.key_bytes), event.has_key,
               arena.subspan(event.value_begin, event.value_bytes)};
}

void CommandRun::keep_events(uint32_t command_delta, bool replaying, DigestAccumulator& digest) {
  Ordinal ordinal = 0;
  for (const StagedEvent& staged_event : events_) {
    const Event event = staged(staged_event);
    PartitionHead& head = *streams_->head(event.partition);
    digest.add(event.partition, static_cast<uint64_t>(head.next_offset));
    if (event.has_key) digest.add(event.key);
    const Hash128 value_hash = hash128(event.value);
    digest.add(value_hash.low, value_hash.high);
    ++ordinal;
    if (replaying) {  // its bytes are in the log already
      replayed_.push_back({sequence_, ordinal, event.partition, head.next_offset, value_hash});
      ++head.next_offset;
    } else {
      streams_->pack(event, time_, command_delta, ordinal);
    }
  }
}

void CommandRun::keep(const Command& command, uint32_t command_delta, bool replaying, DigestAccumulator& digest) {
  digest.add(command.sequence, (uint64_t{command.machine} << 16) | command.type);
  digest.add(static_cast<uint64_t>(reply_.numbers[0]), static_cast<uint64_t>(reply_.numbers[1]));
  if (!reply_.payload.empty()) digest.add(reply_.payload.view());
  keep_events(command_delta, replaying, digest);
  for (const log::ViewRun& run : view_runs()) {
    digest.add(run.partition, static_cast<uint64_t>(run.first));
    digest.add(run.count, run.version);
    streams_->head(run.partition)->next_offset += run.count;
  }
  if (!results_.empty()) digest.add(results_);
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

bool Effects::room_for(uint64_t events, uint64_t bytes) const { return run_.room_for(events, bytes); }
Offset Effects::emit_view(PartitionId partition, uint32_t count) { return run_.emit_view(partition, count); }
void Effects::log_result(Bytes bytes) { run_.log_result(bytes); }

TimerId Effects::arm(LogTime due, CommandType type, Bytes payload) { return run_.arm(due, type, payload); }
bool Effects::cancel(TimerId timer) { return run_.cancel(timer); }
StateMachine& Effects::enlist(MachineId machine) { return run_.enlist(machine); }
Effects::Turn::Turn(Effects& effects, MachineId machine)
    : effects_(effects), before_(std::exchange(effects.run_.running_, machine)) {}
Effects::Turn::~Turn() { effects_.run_.running_ = before_; }
void Effects::open_scope() { run_.open_scope(); }
void Effects::close_scope(ScopeOutcome outcome) { run_.close_scope(outcome); }
uint32_t Effects::version() const { return run_.kernel_.version_of(run_.running_); }

std::string_view Effects::config(std::string_view key) const {
  const auto found = run_.kernel_.config.find(key);
  return found == run_.kernel_.config.end() ? std::string_view{} : std::string_view{found->second};
}

}  // namespace heptane
