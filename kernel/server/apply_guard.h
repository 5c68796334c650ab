// Remembers, in a mapped page of the data directory, which command was being applied when the process died in apply(). The
// page cache outlives the process, so the word does too; after a power cut it may be lost, and the command with it: it had
// not reached the log. Opened by the holder of the LOCK; written by the shard thread.
#pragma once

#include <memory>
#include <string>

#include "kernel/base/result.h"
#include "kernel/shard/shard.h"

namespace heptane::server {

class ApplyGuardFile {
 public:
  static constexpr size_t kDeniedLimit = 256;

  // DATA/applying; created when missing. What a dead process left in the word joins the denied commands.
  static Result<std::unique_ptr<ApplyGuardFile>> open(const std::string& data_directory);
  ~ApplyGuardFile();
  ApplyGuardFile(const ApplyGuardFile&) = delete;
  ApplyGuardFile& operator=(const ApplyGuardFile&) = delete;

  ApplyGuard guard() const;
  // The last process died in apply(): one more command is denied.
  bool found_crash() const { return found_crash_; }

 private:
  struct Page;
  explicit ApplyGuardFile(Page* page);

  Page* page_;
  bool found_crash_ = false;
};

}  // namespace heptane::server
