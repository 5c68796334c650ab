#include "modules/iot/gateway/rules/lua_function.h"

#include <array>
#include <utility>

namespace heptane::iot::rules {

namespace {
constexpr size_t kReadBytes = size_t{64} << 10;
constexpr size_t kReadsMax = 8;  // of a look: a process that says more than it was asked holds nobody up
}  // namespace

void LuaFunction::drop() {
  child_.reset();
  busy_ = false;
  answers_.clear();
}

Result<void> LuaFunction::ask(std::string calls, size_t count, int64_t now_ns) {
  out_.clear();
  written_ = 0;
  loading_ = !child_;
  if (!child_) {
    auto child = start_();
    if (!child) return child.error();
    child_ = std::move(*child);
    frames_ = {};
    append_frame(out_, FrameKind::load, text_);
  }
  out_ += calls;
  wanted_ = count;
  answers_.clear();
  since_ns_ = now_ns;
  busy_ = true;
  return {};
}

// False: the process has ended.
bool LuaFunction::move_bytes() {
  while (written_ < out_.size()) {
    const auto count = child_->write(as_bytes(std::string_view(out_).substr(written_)));
    if (!count) return false;
    if (*count == 0) break;
    written_ += *count;
  }
  std::array<std::byte, kReadBytes> bytes;
  for (size_t reads = 0; reads < kReadsMax; ++reads) {
    const auto count = child_->read(bytes);
    if (!count) return false;
    if (*count == 0) return true;
    frames_.add(as_text(Bytes(bytes).first(*count)));
  }
  return true;
}

LuaFunction::State LuaFunction::end(State state) {
  if (state == State::killed) child_.reset();
  busy_ = false;
  return state;
}

LuaFunction::State LuaFunction::look(int64_t now_ns) {
  const bool runs = move_bytes();
  while (const auto frame = frames_.next()) {
    since_ns_ = now_ns;
    if (!std::exchange(loading_, false)) {
      if (answers_.size() == wanted_) return end(State::killed);  // more than was asked
      answers_.push_back(*frame);
      continue;
    }
    wrong_ = frame->kind == FrameKind::done ? std::string() : frame->text;
    if (!wrong_.empty()) return end(State::answered);
  }
  if (answers_.size() == wanted_) return end(State::answered);
  if (!runs || frames_.corrupt() || now_ns - since_ns_ >= kDeadlineNs) return end(State::killed);
  return State::waiting;
}

std::vector<Frame> LuaFunction::take_answers() { return std::exchange(answers_, {}); }

}  // namespace heptane::iot::rules
