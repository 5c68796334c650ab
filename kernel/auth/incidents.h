// What was refused, on its way to the audit trail: counted per principal, source and rule, and handed over at most once a
// second as one command, however many packets an attacker sends. What finds no room is counted together.
// note() is the I/O threads', take() the shard's.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <tuple>

#include "kernel/auth/api.h"

namespace heptane::auth {

class Incidents {
 public:
  static constexpr int64_t kIntervalNs = 1'000'000'000;

  void note(Incident incident, std::string_view who, std::string_view from, std::string_view what);
  // The command's payload, when there is something and the last one is a second old. `now_ns` is monotonic.
  std::optional<Buffer> take(int64_t now_ns);
  // When take() has something, as far as is known; INT64_MAX: nothing waits.
  int64_t due_ns() const;

  uint64_t failed_total() const;
  uint64_t denied_total() const;

 private:
  using Key = std::tuple<Incident, std::string, std::string, std::string>;

  mutable std::mutex mutex_;
  std::map<Key, uint64_t> rows_;
  uint64_t others_ = 0;
  uint64_t failed_total_ = 0;
  uint64_t denied_total_ = 0;
  int64_t next_ns_ = 0;
};

}  // namespace heptane::auth
