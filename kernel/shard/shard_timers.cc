// Timers of the shard: those that are due become commands, and what those do.
#include <algorithm>
#include <utility>

#include "kernel/base/crc32c.h"
#include "kernel/shard/command_digest.h"
#include "kernel/shard/shard.h"

namespace heptane {

namespace {

constexpr uint32_t kTimersPerTurn = 1024;
constexpr LogTime kPutOffNs = 3'600'000'000'000;  // a timer whose firing ended the server

}  // namespace

bool Shard::fire_due_timers() {
  if (kernel_.due.empty() || stopping_) return false;
  const LogTime now = last_time_ = std::max(last_time_, log_clock_.now());
  LogTime due_at = 0;
  for (uint32_t fired = 0; fired < kTimersPerTurn; ++fired) {
    const TimerId id = kernel_.first_due(due_at);
    if (id == 0 || due_at > now) return false;
    ByteWriter payload;
    payload.le<uint64_t>(id);
    Submission submission;
    submission.machine = machine_ids::kKernel;
    submission.type = kFireTimer;
    submission.payload = Buffer::take(payload.release());
    submission.payload_crc = crc32c(submission.payload.view());
    submission.cause = kernel_.timers.find(id)->second.armed_by;
    const bool off = denied(submission);
    const uint64_t digest = off ? command_digest(submission) : 0;
    if (off) put_off(submission, id);
    if (take_submission(nullptr, 0, 0, submission) == Taken::stalled) return false;
    if (!off) continue;
    std::erase(guard_.denied, digest);
    denied_count_ = guard_.denied.size();
    if (guard_.forgive) guard_.forgive(digest);
  }
  return true;
}

// Refusing it alone would leave it first in line, for ever; dropping it would leave its machine waiting for it, for ever. Later
// there may be another program.
void Shard::put_off(Submission& submission, TimerId id) {
  ByteWriter payload;
  payload.le<uint64_t>(id);
  payload.le<int64_t>(last_time_ + kPutOffNs);
  submission.type = kPutOffTimer;
  submission.payload = Buffer::take(payload.release());
  submission.payload_crc = crc32c(submission.payload.view());
}

void Shard::fire_timer(const Command& command) {
  ByteReader reader(command.payload);
  const auto id = reader.le<uint64_t>();
  const auto found = kernel_.timers.find(id);
  MachineTable::Slot* slot = found == kernel_.timers.end() ? nullptr : machines_.find(found->second.machine);
  if (!reader.complete() || slot == nullptr) return run_.effects().refuse(Errc::not_found, 0, "no such timer");
  run_.consume_timer(id);
  Command fired = command;
  fired.machine = found->second.machine;
  fired.type = found->second.type;
  fired.payload = as_bytes(found->second.payload);
  run_.apply(*slot->machine, fired);
  // A timer is over once it has fired, whatever its machine says to it.
  run_.set_outcome(CommandOutcome::kept);
}

void Shard::drop_timer(const Command& command) {
  ByteReader reader(command.payload);
  const auto id = reader.le<uint64_t>();
  if (!reader.complete() || !kernel_.timers.contains(id))
    return run_.effects().refuse(Errc::not_found, 0, "no such timer");
  run_.consume_timer(id);
}

// The same timer, later: its machine knows it by its number.
void Shard::put_off_timer(const Command& command) {
  ByteReader reader(command.payload);
  const auto id = reader.le<uint64_t>();
  const auto due = reader.le<int64_t>();
  const auto found = kernel_.timers.find(id);
  if (!reader.complete() || found == kernel_.timers.end() || due <= found->second.due)
    return run_.effects().refuse(Errc::not_found, 0, "no such timer");
  Timer timer = found->second;
  timer.due = due;
  kernel_.disarm(id);
  kernel_.arm(id, std::move(timer));
}

}  // namespace heptane
