// What the I/O threads know of users, tokens and roles: an immutable copy, never ahead of the disk (invariant 1: a password
// that is not synced proves nothing). The machine stages a copy with the sequence of the command that made it; it is in
// force once that sequence is synced. An acknowledgement leaves only then as well, so what was acknowledged is in force.
// stage() is the shard thread's, view() any thread's; a short mutex between them.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>

#include "kernel/auth/directory.h"

namespace heptane::auth {

class AuthStore {
 public:
  using View = std::shared_ptr<const Directory>;

  // After recovery: what was replayed is synced. `watermark` says the highest sequence known synced; any thread.
  void start(View recovered, std::function<Sequence()> watermark) {
    const std::lock_guard lock(mutex_);
    current_ = std::move(recovered);
    watermark_ = std::move(watermark);
  }

  // Replaces what was staged at or above `sequence`: a scope that was rolled back left no trace.
  void stage(Sequence sequence, View view) {
    const std::lock_guard lock(mutex_);
    while (!staged_.empty() && staged_.back().sequence >= sequence) staged_.pop_back();
    staged_.push_back({sequence, std::move(view)});
  }

  View view() const {
    const std::lock_guard lock(mutex_);
    if (staged_.empty()) return current_;
    const Sequence synced = watermark_();
    for (; !staged_.empty() && staged_.front().sequence <= synced; staged_.pop_front())
      current_ = std::move(staged_.front().view);
    return current_;
  }

 private:
  struct Staged {
    Sequence sequence = 0;
    View view;
  };

  mutable std::mutex mutex_;
  mutable View current_ = std::make_shared<const Directory>();
  mutable std::deque<Staged> staged_;  // at most one for each command between apply and sync
  std::function<Sequence()> watermark_;
};

}  // namespace heptane::auth
