#include "modules/fintech/gateway/tigerbeetle/message.h"

#include <algorithm>

#include "kernel/base/aegis128l.h"

namespace heptane::fintech::tigerbeetle {

namespace {

// Where fields lie. From 128 on they depend on the command.
namespace at {
constexpr size_t kChecksum = 0;
constexpr size_t kChecksumBody = 32;
constexpr size_t kCluster = 80;
constexpr size_t kSize = 96;
constexpr size_t kEpoch = 100;
constexpr size_t kView = 104;
constexpr size_t kRelease = 108;
constexpr size_t kProtocol = 112;
constexpr size_t kCommand = 114;
constexpr size_t kReplica = 115;
constexpr size_t kReservedFrame = 116;

constexpr size_t kRequestParent = 128;
constexpr size_t kRequestClient = 160;
constexpr size_t kRequestSession = 176;
constexpr size_t kRequestNumber = 192;
constexpr size_t kRequestOperation = 196;
constexpr size_t kRequestLatency = 200;
constexpr size_t kRequestReserved = 204;

constexpr size_t kPingClient = 128;
constexpr size_t kPingTimestamp = 144;
constexpr size_t kPingReserved = 160;
constexpr size_t kPongTimestamp = 128;

constexpr size_t kReplyRequestChecksum = 128;
constexpr size_t kReplyContext = 160;
constexpr size_t kReplyClient = 192;
constexpr size_t kReplyOp = 208;
constexpr size_t kReplyCommit = 216;
constexpr size_t kReplyTimestamp = 224;
constexpr size_t kReplyRequest = 232;
constexpr size_t kReplyOperation = 236;

constexpr size_t kEvictionClient = 128;
constexpr size_t kEvictionReason = 255;
}  // namespace at

Uint128 load_u128(const std::byte* from) { return load_le<Uint128>(from); }

Uint128 checksum(Bytes bytes) {
  const Aegis128lTag tag = aegis128l_checksum(bytes);
  return load_u128(tag.data());
}

bool zero(Bytes bytes, size_t begin, size_t end) {
  const Bytes piece = bytes.subspan(begin, end - begin);
  return std::all_of(piece.begin(), piece.end(), [](std::byte b) { return b == std::byte{0}; });
}

// A message of zeros with its body and what all have; `seal` ends it.
std::vector<std::byte> begin(Uint128 cluster, WireCommand command, uint32_t release, Bytes body) {
  std::vector<std::byte> message(kHeaderBytes + body.size());
  std::byte* header = message.data();
  if (!body.empty()) std::memcpy(header + kHeaderBytes, body.data(), body.size());
  store_le(header + at::kChecksumBody, checksum(body));
  store_le(header + at::kCluster, cluster);
  store_le(header + at::kSize, static_cast<uint32_t>(message.size()));
  store_le(header + at::kRelease, release);
  header[at::kCommand] = static_cast<std::byte>(command);
  return message;
}

Uint128 header_checksum(const std::vector<std::byte>& message) {
  return checksum(Bytes(message).subspan(16, kHeaderBytes - 16));
}

Buffer seal(std::vector<std::byte>&& message) {
  store_le(message.data() + at::kChecksum, header_checksum(message));
  return Buffer::take(std::move(message));
}

}  // namespace

const char* read_frame(Bytes header, Frame& frame) {
  const std::byte* from = header.data();
  frame.checksum = load_u128(from + at::kChecksum);
  if (frame.checksum != checksum(header.subspan(16, kHeaderBytes - 16))) return "wrong header checksum";
  frame.checksum_body = load_u128(from + at::kChecksumBody);
  frame.cluster = load_u128(from + at::kCluster);
  frame.size = load_le<uint32_t>(from + at::kSize);
  frame.release = load_le<uint32_t>(from + at::kRelease);
  frame.command = static_cast<WireCommand>(from[at::kCommand]);
  if (frame.size < kHeaderBytes || frame.size > kMessageBytesMax) return "wrong size";
  if (load_le<uint16_t>(from + at::kProtocol) != 0) return "another protocol version";
  if (load_le<uint32_t>(from + at::kEpoch) != 0) return "another epoch";
  const bool reserved = zero(header, 16, 32) && zero(header, 48, 80) && zero(header, at::kReservedFrame, 128);
  if (!reserved) return "a reserved field is not 0";
  if (frame.release == 0) return "no release";
  return nullptr;
}

bool body_is_whole(const Frame& frame, Bytes body) { return frame.checksum_body == checksum(body); }

const char* read_request(Bytes header, const Frame& frame, Request& request) {
  const std::byte* from = header.data();
  request.checksum = frame.checksum;
  request.client = load_u128(from + at::kRequestClient);
  request.session = load_le<uint64_t>(from + at::kRequestSession);
  request.request = load_le<uint32_t>(from + at::kRequestNumber);
  request.release = frame.release;
  request.operation = static_cast<uint8_t>(from[at::kRequestOperation]);
  if (request.client == 0) return "a request without a client";
  if (from[at::kReplica] != std::byte{0}) return "a request of a replica";
  if (load_le<uint32_t>(from + at::kView) != 0) return "a view that never was";
  if (!zero(header, at::kRequestParent + 16, at::kRequestClient) ||
      !zero(header, at::kRequestOperation + 1, at::kRequestLatency) ||
      !zero(header, at::kRequestReserved, kHeaderBytes))
    return "a reserved field of a request is not 0";
  if (request.operation == kRegisterOperation) {
    if (request.session != 0 || request.request != 0 || !zero(header, at::kRequestParent, at::kRequestClient))
      return "a registration within a session";
  } else if (request.session == 0 || request.request == 0) {
    return "a request outside of a session";
  }
  return nullptr;
}

const char* read_ping(Bytes header, const Frame& frame, Ping& ping) {
  const std::byte* from = header.data();
  ping.client = load_u128(from + at::kPingClient);
  ping.timestamp_monotonic = load_le<uint64_t>(from + at::kPingTimestamp);
  if (frame.size != kHeaderBytes) return "a ping with a body";
  if (ping.client == 0) return "a ping without a client";
  if (from[at::kReplica] != std::byte{0} || load_le<uint32_t>(from + at::kView) != 0) return "a ping of a replica";
  if (!zero(header, at::kPingReserved, kHeaderBytes)) return "a reserved field of a ping is not 0";
  return nullptr;
}

Buffer write_reply(Uint128 cluster, const Request& request, ReplyFields fields, Bytes body) {
  std::vector<std::byte> message = begin(cluster, WireCommand::reply, request.release, body);
  std::byte* header = message.data();
  store_le(header + at::kReplyRequestChecksum, request.checksum);
  store_le(header + at::kReplyClient, request.client);
  store_le(header + at::kReplyOp, fields.commit);
  store_le(header + at::kReplyCommit, fields.commit);
  store_le(header + at::kReplyTimestamp, fields.timestamp);
  store_le(header + at::kReplyRequest, request.request);
  header[at::kReplyOperation] = static_cast<std::byte>(request.operation);
  // The parent of the client's next request. There are no views: the header as it is.
  store_le(header + at::kReplyContext, header_checksum(message));
  return seal(std::move(message));
}

Buffer write_pong(Uint128 cluster, const Ping& ping) {
  std::vector<std::byte> message = begin(cluster, WireCommand::pong_client, kRelease, {});
  store_le(message.data() + at::kPongTimestamp, ping.timestamp_monotonic);
  return seal(std::move(message));
}

Buffer write_eviction(Uint128 cluster, Uint128 client, EvictionReason reason) {
  std::vector<std::byte> message = begin(cluster, WireCommand::eviction, kRelease, {});
  store_le(message.data() + at::kEvictionClient, client);
  message[at::kEvictionReason] = static_cast<std::byte>(reason);
  return seal(std::move(message));
}

}  // namespace heptane::fintech::tigerbeetle
