// The immutable files of a machine that keeps its history out of memory (kernel/rows): its snapshots name them instead of
// holding what is in them. The helper writes them; a snapshot is published when every file that it names is synced.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernel/base/disk.h"
#include "kernel/base/result.h"

namespace heptane {

struct FilePlace {
  Disk* disk = nullptr;
  std::string directory;  // DATA/shard-N/rows; exists when writable
  bool writable = false;  // false: nothing is written, beside a running server
  // The process must end: apply() could not read what it needs.
  std::function<void(const Error&)> on_fatal{};
  size_t open_files = 64;  // held open at once, of each kind
  // Restoring a state reads files, too: how far it is, in bytes of them. False: it is to end, with Errc::closed.
  std::function<bool(uint64_t done, uint64_t total)> on_progress{};
};

struct Command;

// What apply() will read of files for one command, on its way into memory; it stays there as long as this lives.
class Prefetch {
 public:
  enum class Step : uint8_t {
    done,   // it is all there; what it led to may lack more: prefetch() again says so
    more,   // another slice
    waits,  // for the disk: another slice in a little while
  };
  virtual ~Prefetch() = default;
  // Takes from `work` what it does: a row looked at in memory is 1, all of kWork is less than a millisecond. Below 1 it does nothing.
  virtual Step step(int64_t& work) = 0;
  static constexpr int64_t kWork = 8192;
};

class MachineFiles {
 public:
  virtual ~MachineFiles() = default;
  // Before the state is restored.
  virtual void open(const FilePlace& place) = 0;
  // The shard's, between two commands: how many files of each kind a snapshot of this moment names. They will be written.
  virtual std::vector<uint32_t> named() = 0;
  // Any thread: how many of each kind are synced.
  virtual std::vector<uint32_t> durable() const = 0;
  // Helper: writes one. True: there may be more. Errc::no_space: later again; any other error ends the process.
  virtual Result<bool> write_next() = 0;
  // Reads in full every file that the state names; a line for each problem. How many files.
  virtual uint32_t verify(std::vector<std::string>& problems) const = 0;
  // The shard's: what idle_work() wants next is on its way from the disk. It is called again in a little while.
  virtual bool waits() const { return false; }
  // The shard's: what apply() would read of files if it were given this command now; null: nothing. Whoever has the time holds
  // the command back meanwhile (held_commands.h); apply() never depends on it. The payload may be malformed.
  virtual std::unique_ptr<Prefetch> prefetch(const Command& command) const {
    (void)command;
    return nullptr;
  }
};

}  // namespace heptane
