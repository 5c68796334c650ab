// WebSocket frames (RFC 6455 §5): headers read and written, close codes. What a client may send: masked, no extension. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "kernel/base/bytes.h"

namespace heptane::http {

enum class Opcode : uint8_t { continuation = 0, text = 1, binary = 2, close = 8, ping = 9, pong = 10 };
constexpr bool is_control(Opcode opcode) { return (static_cast<uint8_t>(opcode) & 8) != 0; }

// RFC 6455 §7.4.1 and the registry that it founded; 4000 to 4999 are an application's own.
enum CloseCode : uint16_t {
  kCloseNormal = 1000,
  kCloseGoingAway = 1001,
  kCloseProtocolError = 1002,
  kCloseUnsupportedData = 1003,
  kCloseInvalidPayload = 1007,
  kClosePolicy = 1008,
  kCloseTooLarge = 1009,
  kCloseInternal = 1011,
  kCloseTryAgainLater = 1013,
};
// What a peer may send in a close frame.
bool may_close_with(uint16_t code);

constexpr size_t kControlPayloadLimitBytes = 125;
constexpr size_t kCloseReasonLimitBytes = kControlPayloadLimitBytes - 2;

struct FrameHeader {
  Opcode opcode = Opcode::text;
  bool fin = false;
  uint64_t payload_bytes = 0;
  std::array<uint8_t, 4> mask{};
  size_t header_bytes = 0;
};

struct FrameFault {
  uint16_t code = kCloseProtocolError;
  std::string_view reason;
};

enum class FrameStep : uint8_t { need_more, complete, fault };
// Looks at the header of a client's frame; nothing is consumed.
FrameStep read_frame_header(Bytes input, FrameHeader& header, FrameFault& fault);

// Appends the payload, `at` bytes of which came before, without its mask.
void append_unmasked(std::string& out, Bytes masked, const std::array<uint8_t, 4>& mask, uint64_t at);

// Appends a server's frame: whole, not masked.
void append_frame(std::string& out, Opcode opcode, Bytes payload);
// The payload of a close frame; a reason that is too long is cut at a character.
std::string close_payload(uint16_t code, std::string_view reason);

}  // namespace heptane::http
