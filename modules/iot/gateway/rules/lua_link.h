// What runs a rule's Lua, as bytes in and out (lua_frames.h): a process of its own (`heptane lua-worker`), or what stands for one where
// the whole server is simulated. Neither side of it waits here. It is gone with its owner, in the midst of whatever it does. One
// thread's.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"

namespace heptane::iot::rules {

constexpr const char* kLuaCommand = "lua-worker";

class LuaLink {
 public:
  virtual ~LuaLink() = default;

  // How much was taken, or came; 0: there is no room, or nothing, now. nullopt: it has ended.
  virtual std::optional<size_t> write(Bytes bytes) = 0;
  virtual std::optional<size_t> read(MutableBytes into) = 0;
  // -1: it is no process.
  virtual pid_t pid() const { return -1; }
};

// Begins one. Error: there is none now; ask again later.
using LuaStarter = std::function<Result<std::unique_ptr<LuaLink>>()>;

Result<std::unique_ptr<LuaLink>> start_lua_process();

}  // namespace heptane::iot::rules
