// Lua 5.4 as a rule has it: one function of a row and its message, in a state of its own without anything that reaches out of it:
// of base what follows, string (without dump), table, math, utf8; no load, coroutine, debug, io, os, package; no `__gc`; text alone
// is compiled. Memory and instructions have a limit, and what goes over it ends the call, whatever the function would catch.
//
// A call may still take any time: hooks do not fire within string.rep, table.move and patterns. Whoever calls has a clock of his own
// and ends the process (lua_worker.h). One thread's.
//
// JSON to Lua and back: members that are null are absent, items are `null`; whole numbers are Lua's integers, others its floats; a
// table whose keys are 1 to n is an array, one that is empty an object; texts are UTF-8.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "kernel/base/result.h"
#include "modules/iot/domain/rules/lua_frames.h"

struct lua_State;

namespace heptane::iot::rules {

struct LuaLimits {
  size_t memory_bytes = size_t{32} << 20;
  uint64_t instructions = 50'000'000;  // of one call
};

class LuaState {
 public:
  static constexpr size_t kFaultBytesMax = 400;
  static constexpr size_t kRowBytesMax = size_t{64} << 10;
  static constexpr int kDepthMax = 30;

  explicit LuaState(const LuaLimits& limits);
  ~LuaState();
  LuaState(const LuaState&) = delete;
  LuaState& operator=(const LuaState&) = delete;

  // The chunk is run, and gives the function. Error: what is wrong with it.
  Result<void> load(std::string_view text);
  // nothing, row or fault. Both are JSON objects.
  Frame call(std::string_view row, std::string_view message);

  size_t memory_bytes() const;

 private:
  struct Budget;

  void open();
  Result<void> run_chunk();
  Error fault(int status) const;

  LuaLimits limits_;
  std::unique_ptr<Budget> budget_;
  lua_State* lua_ = nullptr;
  std::string text_;
};

}  // namespace heptane::iot::rules
