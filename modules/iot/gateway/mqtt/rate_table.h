// What clients that are away owe of their rates, so that whoever connects again does not begin with a full bucket. By user and
// client identifier; a user's client that was not here owes what another one of his owes, who goes on to owe it, so that a new
// identifier is no new bucket. An entry is dropped only when its bucket is full again. Bound: kEntriesMax; who leaves while there are as many is not
// remembered. The I/O thread's.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "modules/iot/gateway/mqtt/rate_limit.h"

namespace heptane::iot::mqtt {

class RateTable {
 public:
  static constexpr size_t kEntriesMax = 100'000;

  // The client's connection ended.
  void put(std::string_view user, std::string_view client, RateLimit rate, int64_t now_ns) {
    forget_full(now_ns);
    if (rate.full_at_ns() <= now_ns) return;
    Key key = key_of(user, client);
    if (entries_.size() >= kEntriesMax && !entries_.contains(key)) return;
    rate.timer = 0;
    (void)take(user, client, now_ns);
    full_.emplace(rate.full_at_ns(), key);
    entries_.emplace(std::move(key), rate);
  }
  // It is back. nullopt: nothing is known of it.
  std::optional<RateLimit> take(std::string_view user, std::string_view client, int64_t now_ns) {
    forget_full(now_ns);
    const auto found = entries_.find(key_of(user, client));
    if (found == entries_.end()) return std::nullopt;
    const RateLimit rate = found->second;
    full_.erase({rate.full_at_ns(), found->first});
    entries_.erase(found);
    return rate;
  }
  // Likewise; where it is not known, a copy of another client's of the user.
  std::optional<RateLimit> take_of_user(std::string_view user, std::string_view client, int64_t now_ns) {
    if (const std::optional<RateLimit> own = take(user, client, now_ns)) return own;
    const auto first = entries_.lower_bound(key_of(user, ""));
    if (first == entries_.end() || first->first.first != user) return std::nullopt;
    return first->second;
  }
  size_t size() const { return entries_.size(); }

 private:
  using Key = std::pair<std::string, std::string>;

  static Key key_of(std::string_view user, std::string_view client) { return {std::string(user), std::string(client)}; }
  void forget_full(int64_t now_ns) {
    for (auto first = full_.begin(); first != full_.end() && first->first <= now_ns; first = full_.begin()) {
      entries_.erase(first->second);
      full_.erase(first);
    }
  }

  std::map<Key, RateLimit> entries_;
  std::set<std::pair<int64_t, Key>> full_;  // when their buckets are
};

}  // namespace heptane::iot::mqtt
