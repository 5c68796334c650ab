// What the server and a process that runs a rule's Lua say to each other: frames of a length (u32, little-endian), a kind and bytes.
// To each that the server sends there is one answer, in their order. Bounds: kFrameBytesMax each; what is larger, or of no kind, is
// corrupt, and the reader stays so. Pure; any thread.
//
//   load    the text of a chunk that gives a function            → done, or fault: why there is none
//   call    length u32 and a row, as JSON; then the message      → nothing, row: JSON, or fault: what went wrong
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "kernel/base/bytes.h"

namespace heptane::iot::rules {

constexpr size_t kFrameBytesMax = size_t{256} << 10;

enum class FrameKind : uint8_t { load = 1, call = 2, done = 3, nothing = 4, row = 5, fault = 6 };

struct Frame {
  FrameKind kind = FrameKind::fault;
  std::string text;
};

void append_frame(std::string& out, FrameKind kind, std::string_view text);
void append_call(std::string& out, std::string_view row, std::string_view message);

struct FrameCall {
  std::string_view row;
  std::string_view message;
};
// nullopt: the text of the frame is no call.
std::optional<FrameCall> read_call(std::string_view text);

class FrameReader {
 public:
  void add(std::string_view bytes) { bytes_.append(bytes); }
  // nullopt: it has not come whole yet, or is corrupt.
  std::optional<Frame> next();
  bool corrupt() const { return corrupt_; }

 private:
  std::string bytes_;
  size_t at_ = 0;
  bool corrupt_ = false;
};

}  // namespace heptane::iot::rules
