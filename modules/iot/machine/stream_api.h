// Commands and queries of streams over topic filters: a message whose topic a declared stream's filter matches is a record of
// that stream (of each such stream), and not of `iot.messages`. Little-endian; texts: length u16 and bytes. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"
#include "modules/iot/machine/api.h"

namespace heptane::iot {

constexpr size_t kDeclaredMax = 256;             // streams
constexpr uint32_t kDeclaredPartitionsMax = 64;  // of one
constexpr uint32_t kAllPartitionsMax = 512;      // of all: what one command may make records of, and an entry can say

constexpr int64_t kForEver = -2;  // as a retention

// What a user says of one.
struct StreamDeclaration {
  std::string name;
  std::string filter;
  int64_t retention_ms = -1;  // -1: as other streams that are made without; or kForEver
  int64_t retention_bytes = -1;
  uint32_t partitions = 1;  // a topic is in one of them: partition_of(). Fixed while the stream is there
  bool qos0 = false;        // messages at QoS 0 as well
  bool publish = false;     // what Kafka and HTTP clients append becomes messages (publish_records.h)
  bool relaxed =
      false;  // with qos0: those reach subscribers before they are synced, and a crash may forget their records
  friend bool operator==(const StreamDeclaration&, const StreamDeclaration&) = default;
};

// What is wrong with it; empty: nothing. Limits of all together are the machine's.
std::string wrong_declaration(const StreamDeclaration& declaration);

// kDeclareStream. Payload: the declaration, then a byte 1 where it may not change a stream that is declared. Reply numbers: 1 made,
// 2 changed (the command's answer is `repeated` when nothing is new); payload: all streams, always. Refused: invalid_argument,
// exists (a stream of that name is something else), refused (limits), unauthorised (it may not change this one), unsupported (in a
// transaction).
struct DeclareStream {
  StreamDeclaration stream;
  bool may_change = true;
};
Buffer encode(const StreamDeclaration& declaration, bool may_change = true);
std::optional<DeclareStream> decode_declare(Bytes payload);

// kDropStream: the stream is gone with its records. Payload: the name. Reply payload: all streams. Refused: not_found,
// unsupported (in a transaction).

// kQueryDeclared. Reply payload: all streams, in the order of their names.
void append_declaration(ByteWriter& out, const StreamDeclaration& declaration);
Result<std::vector<StreamDeclaration>> decode_declarations(Bytes payload);

// As Kafka's own clients place a record with this key (murmur2), so that the two agree.
uint32_t partition_of(std::string_view topic, uint32_t partitions);

// Where messages of a kPublish became records that are in declared streams: behind the statuses and the partition in its
// reply. The others that became records are in `iot.messages`, one behind the other.
struct DeclaredPlace {
  uint16_t message = 0;  // its index
  PartitionId partition = kNoPartition;
  Offset offset = 0;
};
void append_place(ByteWriter& out, const DeclaredPlace& place);
// One after the other, in the order of the messages.
class DeclaredPlaces {
 public:
  explicit DeclaredPlaces(Bytes behind) : in_(behind) { next(); }
  // Asked for rising indexes.
  std::optional<DeclaredPlace> of(size_t message);

 private:
  void next();
  ByteReader in_;
  std::optional<DeclaredPlace> next_;
};

}  // namespace heptane::iot
