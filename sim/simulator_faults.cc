// What goes wrong in a simulation, and how a process ends.
#include "sim/simulator.h"

namespace heptane::sim {

namespace {

constexpr int64_t kHourNs = 3'600'000'000'000;
constexpr const char* kModeNames[] = {"all lost", "all kept", "a prefix kept", "random sectors kept", "hostile"};

}  // namespace

void Simulation::maybe_fault() {
  if (random_.one_in(fault_every_)) fault();
}

void Simulation::fault() {
  switch (random_.below(20)) {
    case 0:
    case 1:
    case 2:
    case 3:
      if (server_) power_cut("power cut");
      return;
    case 4:
    case 5:
    case 6:
      if (server_) kill("kill -9");
      return;
    case 7:
      if (!server_) power_cut("power cut while the process is down");
      return;
    case 8:
    case 9:
    case 10: return arm_disk_fault();
    case 11:
    case 12: return disk_.crash_after_operations(random_.below(40));
    case 13: return squeeze_disk();
    case 14:
    case 15: {
      const Role role = static_cast<Role>(random_.below(kClient));
      paused_until_[role] = step_ + 20 + random_.below(200);
      return trace("role " + std::to_string(role) + " pauses until step " + std::to_string(paused_until_[role]));
    }
    case 16: return clients_[random_.below(clients_.size())]->disconnect();
    case 17: return change_time();
    case 18:
      if (!server_ || stopping_) return;
      trace("clean stop");
      stopping_ = true;
      return server_->request_stop();
    case 19:
      if (server_ && random_.one_in(20)) damage_while_running();
      return;
    default: return;
  }
}

void Simulation::power_cut(const char* why) {
  const auto mode = static_cast<CrashMode>(random_.below(5));
  trace(std::string(why) + ": " + kModeNames[static_cast<size_t>(mode)]);
  ++counts_.power_cuts;
  disk_.crash(mode);
  end_of_process();
}

void Simulation::kill(const char* why) {
  trace(why);
  ++counts_.kills;
  disk_.process_kill();
  end_of_process();
}

// Everything in memory is gone. After a fatal error the other threads may have had a last turn; after one of the commit
// nothing more may become visible in it.
void Simulation::end_of_process() {
  if (fatal_) {
    trace("fatal: " + fatal_->message);
    ++counts_.fatal_errors;
    const bool commit_failed = server_ && server_->committer().failed();
    const Sequence watermark = server_ ? server_->committer().watermark() : 0;
    for (uint64_t turns = random_.below(4); turns > 0 && server_; --turns) {
      server_->io_turn(0);
      (void)server_->shard_turn();
      (void)server_->commit_turn();
    }
    if (commit_failed && server_->committer().watermark() != watermark)
      checker_.fail("the watermark moved after a fatal error");
    fatal_.reset();
    disk_.process_kill();
  }
  count_archived();
  planted_.set_process_dead(true);
  server_.reset();
  planted_.set_process_dead(false);
  stopping_ = false;
  if (disk_.lost_names()) {
    trace("the file system lost names and is mounted anew");
    disk_.crash(static_cast<CrashMode>(random_.below(5)));
  }
  // Armed faults were the old machine's or the old process's; some meet the next start. Not the failed sync of a
  // directory: names that are gone from memory and for ever on the device are more than a file system does.
  if (random_.one_in(2) || names_may_fail_) clear_faults();
}

void Simulation::arm_disk_fault() {
  static constexpr SimFault kFaults[] = {
      SimFault::sync_error,           SimFault::sync_error,          SimFault::sync_error_partial,
      SimFault::write_error,          SimFault::write_error_partial, SimFault::no_space,
      SimFault::directory_sync_error, SimFault::metadata_error,      SimFault::read_error};
  const SimFault kind = kFaults[random_.below(std::size(kFaults))];
  const uint64_t skip = random_.below(20);
  trace("disk fault " + std::to_string(static_cast<int>(kind)) + " after " + std::to_string(skip) + " operations");
  if (kind == SimFault::directory_sync_error) {
    if (!server_) return;
    names_may_fail_ = true;
  }
  disk_.inject(kind, skip);
}

void Simulation::squeeze_disk() {
  const uint64_t left = random_.below(400'000);
  trace("the disk has " + std::to_string(left) + " bytes left");
  disk_.set_capacity(disk_.used_bytes() + left);
  was_squeezed_ = true;
  squeezed_until_ = step_ + 50 + random_.below(400);
}

void Simulation::change_time() {
  switch (random_.below(3)) {
    case 0: return clock_.step_utc(static_cast<int64_t>(random_.below(4 * kHourNs)) - 2 * kHourNs);
    case 1: return clock_.advance(static_cast<int64_t>(random_.below(kHourNs / 30)));
    default: return clock_.set_drift_ppb(static_cast<int64_t>(random_.below(400'000)) - 200'000);
  }
}

// A bit of what is there already, or a write that the device takes and drops, or puts elsewhere. The last batches may be
// hit before anything says that they were synced.
void Simulation::damage_while_running() {
  if (damage_random_.one_in(3)) return damage("while running");
  const bool elsewhere = damage_random_.one_in(2);
  const uint64_t skip = damage_random_.below(20);
  trace(std::string("a write is ") + (elsewhere ? "misdirected" : "lost") + " after " + std::to_string(skip) +
        " operations");
  disk_.inject(elsewhere ? SimFault::misdirected_write : SimFault::lost_write, skip);
  damaged_ = true;
  ++counts_.device_lies;
  checker_.allow_lost_tail();
}

// One bit of a file at rest, of a segment most often.
void Simulation::damage(const char* when) {
  const bool segments_only = !random_.one_in(4);
  std::vector<std::string> files;
  for (const std::string& path : disk_.files())
    if (path.ends_with(".seg") || !segments_only) files.push_back(path);
  if (files.empty()) return;
  const std::string& path = files[random_.below(files.size())];
  const Result<uint64_t> offset = disk_.flip_bit(path);
  if (!offset) return;
  trace(std::string("a bit of ") + path + " flips " + when + ", at offset " + std::to_string(*offset));
  damaged_ = true;
  // While it runs, the last batches may be damaged before anything says that they were synced.
  if (server_ != nullptr) checker_.allow_lost_tail();
}

void Simulation::clear_faults() {
  disk_.clear_faults();
  names_may_fail_ = false;
}

void Simulation::forget_faults() {
  clear_faults();
  disk_.set_capacity(uint64_t{1} << 40);
  squeezed_until_ = 0;
}

}  // namespace heptane::sim
