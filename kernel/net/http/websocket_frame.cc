#include "kernel/net/http/websocket_frame.h"

namespace heptane::http {

namespace {

constexpr uint8_t kFin = 0x80;
constexpr uint8_t kReserved = 0x70;
constexpr uint8_t kMasked = 0x80;
constexpr uint8_t kTwoByteLength = 126;
constexpr uint8_t kEightByteLength = 127;

bool known(uint8_t opcode) { return opcode <= 2 || (opcode >= 8 && opcode <= 10); }

FrameStep fail(FrameFault& fault, std::string_view reason) {
  fault = {kCloseProtocolError, reason};
  return FrameStep::fault;
}

}  // namespace

bool may_close_with(uint16_t code) {
  if (code >= 3000) return code <= 4999;
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}

FrameStep read_frame_header(Bytes input, FrameHeader& header, FrameFault& fault) {
  if (input.size() < 2) return FrameStep::need_more;
  const auto first = static_cast<uint8_t>(input[0]);
  const auto second = static_cast<uint8_t>(input[1]);
  const auto opcode = static_cast<uint8_t>(first & 0x0F);
  if ((first & kReserved) != 0) return fail(fault, "a reserved bit is set: no extension was agreed on");
  if (!known(opcode)) return fail(fault, "unknown opcode");
  if ((second & kMasked) == 0) return fail(fault, "a client's frames are masked");
  header.opcode = static_cast<Opcode>(opcode);
  header.fin = (first & kFin) != 0;
  const auto length = static_cast<uint8_t>(second & ~kMasked);
  if (is_control(header.opcode) && (!header.fin || length > kControlPayloadLimitBytes))
    return fail(fault, "a control frame is whole and at most 125 bytes");
  const size_t length_bytes = length == kTwoByteLength ? 2 : length == kEightByteLength ? 8 : 0;
  header.header_bytes = 2 + length_bytes + header.mask.size();
  if (input.size() < header.header_bytes) return FrameStep::need_more;
  header.payload_bytes = length;
  if (length_bytes == 2) header.payload_bytes = load_be<uint16_t>(input.data() + 2);
  if (length_bytes == 8) header.payload_bytes = load_be<uint64_t>(input.data() + 2);
  const bool shortest =
      length_bytes == 0 || header.payload_bytes >= (length_bytes == 2 ? uint64_t{kTwoByteLength} : uint64_t{1} << 16);
  if (!shortest || (header.payload_bytes >> 63) != 0) return fail(fault, "a length is written in its shortest form");
  for (size_t i = 0; i < header.mask.size(); ++i) header.mask[i] = static_cast<uint8_t>(input[2 + length_bytes + i]);
  return FrameStep::complete;
}

void append_unmasked(std::string& out, Bytes masked, const std::array<uint8_t, 4>& mask, uint64_t at) {
  const size_t begin = out.size();
  out.append(as_text(masked));
  for (size_t i = 0; i < masked.size(); ++i)
    out[begin + i] = static_cast<char>(static_cast<uint8_t>(out[begin + i]) ^ mask[(at + i) % mask.size()]);
}

void append_frame(std::string& out, Opcode opcode, Bytes payload) {
  out += static_cast<char>(kFin | static_cast<uint8_t>(opcode));
  const uint64_t length = payload.size();
  std::array<std::byte, 8> bytes;
  store_be<uint64_t>(bytes.data(), length);
  if (length < kTwoByteLength) {
    out += static_cast<char>(length);
  } else if (length < (uint64_t{1} << 16)) {
    out += static_cast<char>(kTwoByteLength);
    out.append(as_text(Bytes(bytes).subspan(6)));
  } else {
    out += static_cast<char>(kEightByteLength);
    out.append(as_text(bytes));
  }
  out.append(as_text(payload));
}

std::string close_payload(uint16_t code, std::string_view reason) {
  size_t length = std::min(reason.size(), kCloseReasonLimitBytes);
  const auto continues = [&](size_t at) { return (static_cast<uint8_t>(reason[at]) & 0xC0) == 0x80; };
  while (length < reason.size() && length > 0 && continues(length)) --length;
  std::string payload;
  payload += static_cast<char>(code >> 8);
  payload += static_cast<char>(code & 0xFF);
  payload.append(reason.substr(0, length));
  return payload;
}

}  // namespace heptane::http
