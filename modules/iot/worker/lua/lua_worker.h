// The process that runs one rule's Lua (`heptane lua-worker`, begun by the server alone): answers frames (lua_frames.h) on descriptor
// kChildFd until that ends. It has no other file, and cannot open one, make a socket or begin a process: what the kernel does for it
// is a list of calls that need none (seccomp), under limits of memory, files and processes. A call that outlives the server that asked
// for it ends by an alarm.
#pragma once

#include "modules/iot/domain/rules/lua_frames.h"
#include "modules/iot/worker/lua/lua_state.h"

namespace heptane::iot::rules {

// What it says to a frame.
Frame answer_lua(const Frame& asked, LuaState& state);
// The process's exit code.
int run_lua_worker();

}  // namespace heptane::iot::rules
