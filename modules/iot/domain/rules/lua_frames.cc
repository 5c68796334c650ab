#include "modules/iot/domain/rules/lua_frames.h"

namespace heptane::iot::rules {

namespace {

constexpr size_t kHeadBytes = sizeof(uint32_t);

void append_size(std::string& out, size_t size) {
  for (size_t shift = 0; shift < 32; shift += 8) out += static_cast<char>(size >> shift & 255);
}

size_t size_at(std::string_view bytes) { return load_le<uint32_t>(as_bytes(bytes).data()); }

}  // namespace

void append_frame(std::string& out, FrameKind kind, std::string_view text) {
  append_size(out, text.size() + 1);
  out += static_cast<char>(kind);
  out += text;
}

void append_call(std::string& out, std::string_view row, std::string_view message) {
  append_size(out, kHeadBytes + row.size() + message.size() + 1);
  out += static_cast<char>(FrameKind::call);
  append_size(out, row.size());
  out += row;
  out += message;
}

std::optional<FrameCall> read_call(std::string_view text) {
  if (text.size() < kHeadBytes || size_at(text) > text.size() - kHeadBytes) return std::nullopt;
  const size_t size = size_at(text);
  return FrameCall{text.substr(kHeadBytes, size), text.substr(kHeadBytes + size)};
}

std::optional<Frame> FrameReader::next() {
  const std::string_view rest = std::string_view(bytes_).substr(at_);
  if (corrupt_ || rest.size() < kHeadBytes) return std::nullopt;
  const size_t size = size_at(rest);
  corrupt_ = size == 0 || size > kFrameBytesMax;
  if (corrupt_ || rest.size() < kHeadBytes + size) return std::nullopt;
  const auto kind = static_cast<uint8_t>(rest[kHeadBytes]);
  corrupt_ = kind < static_cast<uint8_t>(FrameKind::load) || kind > static_cast<uint8_t>(FrameKind::fault);
  if (corrupt_) return std::nullopt;
  Frame frame{static_cast<FrameKind>(kind), std::string(rest.substr(kHeadBytes + 1, size - 1))};
  at_ += kHeadBytes + size;
  if (at_ == bytes_.size() || at_ > kFrameBytesMax) {
    bytes_.erase(0, at_);
    at_ = 0;
  }
  return frame;
}

}  // namespace heptane::iot::rules
