// Messages of TigerBeetle's client protocol (0.17, src/vsr/message_header.zig): a header of 256 bytes, little-endian, and a
// body. The first checksum covers the rest of the header, the second the body.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "kernel/base/bytes.h"
#include "modules/fintech/domain/ledger/types.h"

namespace heptane::fintech::tigerbeetle {

constexpr size_t kHeaderBytes = 256;
constexpr size_t kMessageBytesMax = size_t{1} << 20;
constexpr uint8_t kRegisterOperation = 2;
constexpr size_t kRegisterRequestBytes = 256;
constexpr size_t kRegisterResultBytes = 64;

enum class WireCommand : uint8_t { ping_client = 3, pong_client = 4, request = 5, reply = 8, eviction = 18 };

enum class EvictionReason : uint8_t {
  no_session = 1,
  client_release_too_low = 2,
  client_release_too_high = 3,
  invalid_request_operation = 4,
  invalid_request_body = 5,
  invalid_request_body_size = 6,
  session_too_low = 7,
  session_release_mismatch = 8,
};

constexpr uint32_t release(uint32_t major, uint32_t minor, uint32_t patch) { return major << 16 | minor << 8 | patch; }
constexpr uint32_t kRelease = release(0, 17, 9);       // that this server speaks
constexpr uint32_t kReleaseMin = release(0, 17, 0);    // older ones send other operations
constexpr uint32_t kReleaseMax = release(0, 17, 255);  // nothing is known of newer ones

// What every header holds.
struct Frame {
  Uint128 checksum = 0;
  Uint128 checksum_body = 0;
  Uint128 cluster = 0;
  uint32_t size = 0;
  uint32_t release = 0;
  WireCommand command{};
};

// The header's own checks. Not null: why it is not one.
const char* read_frame(Bytes header, Frame& frame);
bool body_is_whole(const Frame& frame, Bytes body);

struct Request {
  Uint128 checksum = 0;
  Uint128 client = 0;
  uint64_t session = 0;
  uint32_t request = 0;
  uint32_t release = 0;
  uint8_t operation = 0;
};
// Not null: why the header is none of a request.
const char* read_request(Bytes header, const Frame& frame, Request& request);

struct Ping {
  Uint128 client = 0;
  uint64_t timestamp_monotonic = 0;
};
const char* read_ping(Bytes header, const Frame& frame, Ping& ping);

struct ReplyFields {
  uint64_t commit = 0;
  uint64_t timestamp = 0;
};
Buffer write_reply(Uint128 cluster, const Request& request, ReplyFields fields, Bytes body);
Buffer write_pong(Uint128 cluster, const Ping& ping);
Buffer write_eviction(Uint128 cluster, Uint128 client, EvictionReason reason);

}  // namespace heptane::fintech::tigerbeetle
