// A rule's Lua as the server sees it: a process of its own (`heptane lua-worker`) that is begun when it is needed, asked and looked at
// without waiting. One batch of calls at a time; what has not answered within kDeadlineNs is killed, and the calls behind it are not
// made. One lane's at a time; the I/O thread's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "modules/iot/domain/rules/lua_frames.h"
#include "modules/iot/gateway/rules/lua_link.h"

namespace heptane::iot::rules {

class LuaFunction {
 public:
  static constexpr int64_t kDeadlineNs = 1'000'000'000;

  explicit LuaFunction(std::string text, LuaStarter start = start_lua_process)
      : text_(std::move(text)), start_(std::move(start)) {}

  bool busy() const { return busy_; }
  // What belongs to nobody any more is not answered.
  void drop();
  // `calls`: frames one behind the other, `count` of them. Error: there is no process; ask again later.
  Result<void> ask(std::string calls, size_t count, int64_t now_ns);
  enum class State : uint8_t { waiting, answered, killed };
  // killed: answers() are those before the call during which it was.
  State look(int64_t now_ns);
  std::vector<Frame> take_answers();
  // Why the text gives no function; empty: it does.
  const std::string& wrong() const { return wrong_; }
  // -1: there is none.
  pid_t pid() const { return child_ ? child_->pid() : -1; }

 private:
  bool move_bytes();
  State end(State state);

  std::string text_;
  LuaStarter start_;
  std::unique_ptr<LuaLink> child_;
  FrameReader frames_;
  std::string out_;
  size_t written_ = 0;
  bool busy_ = false;
  bool loading_ = false;
  size_t wanted_ = 0;
  int64_t since_ns_ = 0;  // the last answer, or the asking
  std::vector<Frame> answers_;
  std::string wrong_;
};

}  // namespace heptane::iot::rules
