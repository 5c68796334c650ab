// What runs rules' Lua in a simulation: the program's own evaluator (lua_worker.h), on this thread, behind the link of a process that is
// slow, ends or hangs in the midst of any call, and at times cannot be begun. A tick that is poisoned ends it each time, until the rule
// was paused for that. One owner.
#pragma once

#include <cstdint>
#include <map>
#include <string_view>

#include "kernel/base/random.h"
#include "modules/iot/gateway/rules/lua_link.h"

namespace heptane::sim {

class SimLua {
 public:
  static constexpr uint32_t kPoisonedEach = 9;  // of the ticks

  explicit SimLua(uint64_t seed) : random_(seed) {}

  // Gives links that live as long as this.
  iot::rules::LuaStarter starter();
  // The rule is paused because of its Lua, or is not; after each turn of the shard.
  void see(bool is_paused);
  bool is_paused() const { return is_paused_; }
  // Of links that were gone while they owed an answer: each that the server took for killed is one.
  uint64_t lost() const { return lost_; }

 private:
  class Link;
  enum class Fate : uint8_t { answers, ends, hangs };

  Fate fate_of(std::string_view call);

  SeededRandom random_;
  bool is_paused_ = false;
  uint64_t pauses_ = 0;
  uint64_t lost_ = 0;
  std::map<uint64_t, uint64_t> poisoned_;  // ticks, by how many pauses there were when one ended it first
};

}  // namespace heptane::sim
