#include "kernel/shard/kernel_state.h"

namespace heptane {

namespace {
// What apply() has let in reads back: a timer's payload is shorter, a configuration's texts fit one command.
constexpr size_t kTextLimitBytes = log::kPayloadLimitBytes;
constexpr uint64_t kBytesPerTimer = 224;  // with its places in both maps
}  // namespace

void KernelState::arm(TimerId id, Timer timer) {
  due.emplace(std::make_pair(timer.due, id), timer.machine);
  timer_payload_bytes += timer.payload.size();
  timers.emplace(id, std::move(timer));
}

bool KernelState::disarm(TimerId id) {
  const auto found = timers.find(id);
  if (found == timers.end()) return false;
  due.erase({found->second.due, id});
  timer_payload_bytes -= found->second.payload.size();
  timers.erase(found);
  return true;
}

TimerId KernelState::first_due(LogTime& due_at) const {
  if (due.empty()) return 0;
  due_at = due.begin()->first.first;
  return due.begin()->first.second;
}

uint64_t KernelState::memory_bytes() const {
  return timers.size() * kBytesPerTimer + timer_payload_bytes + idempotency.memory_bytes();
}

uint32_t KernelState::version_of(MachineId machine) const {
  const auto found = versions.find(machine);
  return found == versions.end() ? 1 : found->second;
}

void KernelState::save(SnapshotWriter& writer) const {
  writer.le<uint64_t>(next_timer);
  writer.le<uint64_t>(timers.size());
  for (const auto& [id, timer] : timers) {
    writer.le<uint64_t>(id);
    writer.le<int64_t>(timer.due);
    writer.le<uint16_t>(timer.machine);
    writer.le<uint16_t>(timer.type);
    writer.le<uint64_t>(timer.armed_by);
    writer.text(timer.payload);
  }
  writer.le<uint64_t>(config.size());
  for (const auto& [key, value] : config) {
    writer.text(key);
    writer.text(value);
  }
  writer.le<uint64_t>(versions.size());
  for (const auto& [machine, version] : versions) {
    writer.le<uint16_t>(machine);
    writer.le<uint32_t>(version);
  }
  idempotency.save(writer);
}

Result<void> KernelState::restore(SnapshotReader& reader) {
  *this = KernelState();
  next_timer = reader.le<uint64_t>();
  for (auto count = reader.le<uint64_t>(); count > 0 && !reader.failed(); --count) {
    const auto id = reader.le<uint64_t>();
    Timer timer;
    timer.due = reader.le<int64_t>();
    timer.machine = reader.le<uint16_t>();
    timer.type = reader.le<uint16_t>();
    timer.armed_by = reader.le<uint64_t>();
    timer.payload = reader.text(kTextLimitBytes);
    arm(id, std::move(timer));
  }
  for (auto count = reader.le<uint64_t>(); count > 0 && !reader.failed(); --count) {
    std::string key = reader.text(kTextLimitBytes);
    config[std::move(key)] = reader.text(kTextLimitBytes);
  }
  for (auto count = reader.le<uint64_t>(); count > 0 && !reader.failed(); --count) {
    const auto machine = reader.le<uint16_t>();
    versions[machine] = reader.le<uint32_t>();
  }
  if (reader.failed()) return Error{Errc::corrupt, "the snapshot's kernel state does not read back"};
  return idempotency.restore(reader);
}

}  // namespace heptane
