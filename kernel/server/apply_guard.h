// Remembers, in a mapped page of the data directory, which command was being applied when the process died in apply(). The
// page cache outlives the process, so the word does too; after a power cut it may be lost, and the command with it: it had
// not reached the log. A command is denied when a fault of this very thread ended the process while it was applied, or
// when three processes in a row ended otherwise in the middle of it (out of memory): kill -9 alone says nothing about it.
// Opened by the holder of the LOCK, one at a time in a process, on the thread that applies; written by that thread, and by
// the handler of its faults.
#pragma once

#include <signal.h>

#include <memory>
#include <string>
#include <vector>

#include "kernel/base/result.h"
#include "kernel/shard/shard.h"

namespace heptane::server {

class ApplyGuardFile {
 public:
  static constexpr size_t kDeniedLimit = 256;
  static constexpr uint64_t kDeathsMax = 3;  // in a row, in the middle of one command, without a fault

  // DATA/applying; created when missing. What a dead process left in the word joins the denied commands.
  static Result<std::unique_ptr<ApplyGuardFile>> open(const std::string& data_directory);
  ~ApplyGuardFile();
  ApplyGuardFile(const ApplyGuardFile&) = delete;
  ApplyGuardFile& operator=(const ApplyGuardFile&) = delete;

  ApplyGuard guard() const;
  // The last process died in apply(): one more command is denied, the one with this digest; 0: none.
  uint64_t found_crash() const { return found_crash_; }

 private:
  struct Page;
  struct Watched;
  explicit ApplyGuardFile(Page* page);
  static void on_fault(int number, siginfo_t* info, void* context);
  void deny_what_ended_the_last_one();
  void watch_faults();

  Page* page_;
  std::vector<std::byte> stack_;  // of the handler: a fault may be the end of the thread's own
  uint64_t found_crash_ = 0;
};

}  // namespace heptane::server
