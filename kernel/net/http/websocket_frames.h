// A client's frames, and what a server sent, in words. Test support.
#pragma once

#include <string>
#include <string_view>

#include "kernel/net/http/websocket_frame.h"

namespace heptane::http::test {

// A masked frame as a client sends it.
inline std::string client_frame(uint8_t first_byte, std::string_view payload) {
  constexpr std::string_view kMask = "\x37\xfa\x21\x3d";
  std::string whole;
  append_frame(whole, Opcode::text, as_bytes(payload));
  std::string frame(1, static_cast<char>(first_byte));
  const size_t header = whole.size() - payload.size();
  frame += static_cast<char>(static_cast<uint8_t>(whole[1]) | 0x80);
  frame += whole.substr(2, header - 2);
  frame += kMask;
  for (size_t i = 0; i < payload.size(); ++i) frame += static_cast<char>(payload[i] ^ kMask[i % kMask.size()]);
  return frame;
}
inline std::string client_frame(Opcode opcode, std::string_view payload, bool fin = true) {
  return client_frame(static_cast<uint8_t>(static_cast<uint8_t>(opcode) | (fin ? 0x80 : 0)), payload);
}

// Takes a server's frame off the front: its first byte and payload. False: there is no whole one.
inline bool take_server_frame(std::string_view& bytes, uint8_t& first_byte, std::string_view& payload) {
  if (bytes.size() < 2) return false;
  first_byte = static_cast<uint8_t>(bytes[0]);
  const auto length = static_cast<uint8_t>(bytes[1]);
  const size_t length_bytes = length == 126 ? 2 : length == 127 ? 8 : 0;
  if (bytes.size() < 2 + length_bytes) return false;
  uint64_t size = length_bytes == 0 ? length : 0;
  for (size_t i = 0; i < length_bytes; ++i) size = size << 8 | static_cast<uint8_t>(bytes[2 + i]);
  if (bytes.size() < 2 + length_bytes + size) return false;
  payload = bytes.substr(2 + length_bytes, static_cast<size_t>(size));
  bytes.remove_prefix(2 + length_bytes + static_cast<size_t>(size));
  return true;
}

// `text Hello`, `close 1002 why`.
inline std::string frame_in_words(uint8_t first_byte, std::string_view payload) {
  const auto opcode = static_cast<Opcode>(first_byte & 0x0F);
  const char* name = opcode == Opcode::text     ? "text"
                     : opcode == Opcode::binary ? "binary"
                     : opcode == Opcode::close  ? "close"
                     : opcode == Opcode::ping   ? "ping"
                                                : "pong";
  std::string words = name;
  if (opcode == Opcode::close && payload.size() >= 2) {
    words += ' ' + std::to_string(load_be<uint16_t>(as_bytes(payload).data()));
    payload.remove_prefix(2);
  }
  if (!payload.empty()) words += ' ' + std::string(payload);
  return words;
}

}  // namespace heptane::http::test
