#include "modules/iot/machine/stream_api.h"

#include "kernel/streams/api.h"
#include "modules/iot/domain/topics/topics.h"

namespace heptane::iot {

namespace {

constexpr uint8_t kQos0 = 1;
constexpr uint8_t kPublishes = 2;
constexpr uint8_t kRelaxed = 4;
constexpr int kPlaceBytes = 14;

void write_short(ByteWriter& out, std::string_view text) {
  out.le<uint16_t>(static_cast<uint16_t>(text.size()));
  out.append(text);
}

StreamDeclaration read_declaration(ByteReader& in) {
  StreamDeclaration read;
  read.name = as_text(in.take(in.le<uint16_t>()));
  read.filter = as_text(in.take(in.le<uint16_t>()));
  read.retention_ms = in.le<int64_t>();
  read.retention_bytes = in.le<int64_t>();
  read.partitions = in.le<uint32_t>();
  const uint8_t flags = in.u8();
  read.qos0 = (flags & kQos0) != 0;
  read.publish = (flags & kPublishes) != 0;
  read.relaxed = (flags & kRelaxed) != 0;
  return read;
}

// Names that the server's own streams have.
bool is_reserved(std::string_view name) {
  return name == "audit" || name.starts_with("iot.") || name.starts_with("fintech.") || name.starts_with("__");
}

}  // namespace

std::string wrong_declaration(const StreamDeclaration& declaration) {
  if (!streams::valid_name(declaration.name)) return "a stream's name is [a-zA-Z0-9._-]{1,249}";
  if (is_reserved(declaration.name))
    return "names that begin with iot., fintech. or __, and audit, are the server's own";
  const std::string_view filter = declaration.filter;
  const bool good = valid_text(filter) && valid_filter(filter) && within_limits(filter) && !is_shared(filter);
  if (!good) return "the filter must be a topic filter of at most 1,024 bytes and 32 levels, such as plant/+/temp";
  if (is_over_servers(filter)) return "topics under $SYS, $CONTROL and $share are the server's own";
  if (declaration.retention_ms < kForEver || declaration.retention_bytes < kForEver)
    return "retention_ms and retention_bytes are -1 (the server's default), -2 (for ever), 0 or more";
  if (declaration.partitions < 1 || declaration.partitions > kDeclaredPartitionsMax)
    return "a stream over a topic filter has 1 to " + std::to_string(kDeclaredPartitionsMax) + " partitions";
  if (declaration.relaxed && !declaration.qos0)
    return "relaxed is about messages at QoS 0, which a stream without qos0 = true does not have";
  return {};
}

void append_declaration(ByteWriter& out, const StreamDeclaration& declaration) {
  write_short(out, declaration.name);
  write_short(out, declaration.filter);
  out.le<int64_t>(declaration.retention_ms);
  out.le<int64_t>(declaration.retention_bytes);
  out.le<uint32_t>(declaration.partitions);
  const int flags =
      (declaration.qos0 ? kQos0 : 0) | (declaration.publish ? kPublishes : 0) | (declaration.relaxed ? kRelaxed : 0);
  out.u8(static_cast<uint8_t>(flags));
}

Buffer encode(const StreamDeclaration& declaration, bool may_change) {
  ByteWriter out;
  append_declaration(out, declaration);
  if (!may_change) out.u8(1);
  return Buffer::take(out.release());
}

std::optional<DeclareStream> decode_declare(Bytes payload) {
  ByteReader in(payload);
  DeclareStream read{read_declaration(in), true};
  if (in.remaining() > 0) read.may_change = in.u8() != 1;
  if (!in.complete()) return std::nullopt;
  return read;
}

Result<std::vector<StreamDeclaration>> decode_declarations(Bytes payload) {
  ByteReader in(payload);
  std::vector<StreamDeclaration> read;
  while (in.remaining() > 0 && !in.failed()) read.push_back(read_declaration(in));
  if (in.failed()) return Error{Errc::corrupt, "a list of declared streams is cut off"};
  return read;
}

// MurmurHash2, 32 bits, with the seed of Kafka's clients; its sign is cut off, as there.
uint32_t partition_of(std::string_view topic, uint32_t partitions) {
  constexpr uint32_t kMultiplier = 0x5bd1e995;
  constexpr uint32_t kSeed = 0x9747b28c;
  constexpr int kShift = 24;
  if (partitions <= 1) return 0;
  const Bytes bytes = as_bytes(topic);
  uint32_t hash = kSeed ^ static_cast<uint32_t>(bytes.size());
  size_t at = 0;
  for (; at + 4 <= bytes.size(); at += 4) {
    uint32_t part = load_le<uint32_t>(bytes.data() + at) * kMultiplier;
    part = (part ^ part >> kShift) * kMultiplier;
    hash = hash * kMultiplier ^ part;
  }
  uint32_t rest = 0;
  for (size_t i = bytes.size(); i > at; --i) rest = rest << 8 | std::to_integer<uint32_t>(bytes[i - 1]);
  if (at < bytes.size()) hash = (hash ^ rest) * kMultiplier;
  hash = (hash ^ hash >> 13) * kMultiplier;
  hash ^= hash >> 15;
  return (hash & 0x7fffffff) % partitions;
}

void append_place(ByteWriter& out, const DeclaredPlace& place) {
  out.le<uint16_t>(place.message);
  out.le<PartitionId>(place.partition);
  out.le<Offset>(place.offset);
}

void DeclaredPlaces::next() {
  next_.reset();
  if (in_.remaining() < kPlaceBytes) return;
  DeclaredPlace& place = next_.emplace();
  place.message = in_.le<uint16_t>();
  place.partition = in_.le<PartitionId>();
  place.offset = in_.le<Offset>();
}

std::optional<DeclaredPlace> DeclaredPlaces::of(size_t message) {
  if (!next_ || next_->message != message) return std::nullopt;
  const std::optional<DeclaredPlace> found = next_;
  next();
  return found;
}

}  // namespace heptane::iot
