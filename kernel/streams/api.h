// Commands and queries of the streams machine (machine_ids::kStreams): the machine behind Kafka and every other way to
// append. Payloads are little-endian; encoders and decoders live beside the structs, so that gateways never see bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/ids.h"
#include "kernel/base/result.h"
#include "kernel/shard/messages.h"

namespace heptane::streams {

constexpr size_t kNameLimitBytes = 249;
constexpr uint32_t kPartitionsLimit = 1024;   // of one stream
constexpr uint32_t kLogStartsLimit = 10'000;  // of one command

enum StreamCommand : CommandType {
  kCreateStream = 1,  // payload CreateStream; reply numbers: first PartitionId, partition count. Refused: exists,
                      // invalid_argument (name, count), overloaded (limit of streams)
  kAppend = 2,  // record_command; reply numbers: base offset, log append time in ms. `repeated` for a duplicate of
                // the producer's last five batches. Refused with AppendRefusal in detail
  kInitProducer = 3,  // payload InitProducer; reply numbers: producer id, producer epoch
  kDeleteStream = 4,  // payload DeleteStream. Refused: not_found, refused (a view)
  kAppendEvents = 5,  // payload AppendEvents; reply numbers: first offset, count. Refused: not_found, too_large, stale
                      // (the stream goes on elsewhere than expected). With no records it is a guard
  kAlterStream = 6,   // payload AlterStream. Refused: not_found, invalid_argument, refused (a kept view)
  kSetLogStart = 7,   // payload SetLogStart: retention, or a client that deletes records. A start never moves back and
                      // never past the end; partitions that are gone are passed over. Refused: unsupported (in a scope)
  kGrowStream = 8,    // payload GrowStream; reply numbers: partitions before and now. Refused: not_found,
                      // invalid_argument (detail 1: not more than there are, or more than a stream has)
};

// Reply::detail of a refused append.
enum class AppendRefusal : uint32_t {
  none = 0,
  unknown_partition = 1,      // deleted or never there (Errc::not_found)
  out_of_order_sequence = 2,  // neither the next sequence nor one of the last five batches (Errc::stale)
  duplicate_sequence = 3,     // older than the last five batches: was executed, its offset is forgotten (Errc::stale)
  fenced_producer = 4,        // an older producer epoch (Errc::stale)
  unknown_producer = 5,       // not issued here (Errc::not_found)
  view = 6,                   // the stream is a view (Errc::refused)
};

// How long records are kept; the kernel moves log starts by kSetLogStart. -1 = for ever.
struct StreamConfig {
  int64_t retention_ms = -1;     // by the records' own timestamps; a batch goes when its newest record is older
  int64_t retention_bytes = -1;  // of one partition
  bool operator==(const StreamConfig&) const = default;
  bool is_default() const { return *this == StreamConfig{}; }
};

// Logged configuration: the retention of a stream that is made without one (-1), a decimal number.
constexpr std::string_view kDefaultRetentionMs = "streams.retention_ms";
constexpr std::string_view kDefaultRetentionBytes = "streams.retention_bytes";

struct CreateStream {
  std::string_view name;
  uint32_t partitions = 1;
  StreamConfig config{};
};
struct AlterStream {
  std::string_view name;
  StreamConfig config;  // replaces the one in force
};
// Partitions are only ever added: what is in the others stays where it is.
struct GrowStream {
  std::string_view name;
  uint32_t partitions = 0;  // as many as there will be
};
struct LogStart {
  PartitionId partition = kNoPartition;
  Offset offset = 0;
};
struct SetLogStart {
  std::vector<LogStart> starts;  // at most kLogStartsLimit
};
struct InitProducer {
  int64_t producer_id = -1;  // -1: a new one; else bump its epoch
  int16_t producer_epoch = -1;
};
struct DeleteStream {
  std::string_view name;
};

struct EventRecord {
  bool has_key = false;
  Bytes key;
  Bytes value;
};
// Records without a producer's batch around them: the kernel packs them.
struct AppendEvents {
  std::string_view stream;
  Offset expected_offset = -1;  // of the partition's end, from logic version 2 on as this command has left it; -1 = any
  std::vector<EventRecord> records;
  uint32_t partition = 0;  // index in the stream
};

Buffer encode(const AppendEvents& command);
Result<AppendEvents> decode_append_events(Bytes payload);
Buffer encode(const CreateStream& command);
Buffer encode(const AlterStream& command);
Buffer encode(const GrowStream& command);
Buffer encode(const SetLogStart& command);
Buffer encode(const InitProducer& command);
Buffer encode(const DeleteStream& command);
Result<CreateStream> decode_create_stream(Bytes payload);
Result<AlterStream> decode_alter_stream(Bytes payload);
Result<GrowStream> decode_grow_stream(Bytes payload);
Result<SetLogStart> decode_set_log_start(Bytes payload);
Result<InitProducer> decode_init_producer(Bytes payload);
Result<DeleteStream> decode_delete_stream(Bytes payload);

// [a-zA-Z0-9._-]{1,249}, and not `.` or `..`.
bool valid_name(std::string_view name);

enum StreamQuery : uint16_t {
  kDescribe = 1,  // payload DescribeQuery; reply payload: StreamInfo of each that exists, in order of name; numbers: 1
                  // when there are more behind the last one (`all`: a page holds 10,000 streams and 1 MiB at most)
  kEpochEnd =
      2,        // payload EpochEndQuery; reply numbers: the largest epoch <= the asked one that wrote to the partition,
                // and the offset behind its last record (KIP-101); -1 and -1 when that is not known
  kLocate = 3,  // payload LocateQuery; reply numbers: the log's segment and a byte of the batch in it that holds the
                // record; -1 and -1 when the archive does. not_found: there is no such record, or it is not synced yet
};

struct DescribeQuery {
  bool all = false;
  std::vector<std::string> names;  // at most 10,000; ignored when `all`
  std::string after{};             // `all`: of what comes behind this name
};
struct PartitionInfo {
  PartitionId id = kNoPartition;
  Offset log_start = 0;
  Offset durable_end = 0;  // one past the last synced record
};
struct EpochEndQuery {
  PartitionId partition = kNoPartition;
  Epoch epoch = 0;
};
struct LocateQuery {
  PartitionId partition = kNoPartition;
  Offset offset = 0;
};
struct StreamInfo {
  std::string name;
  StreamConfig config{};
  std::array<std::byte, 16> uuid{};
  std::vector<PartitionInfo> partitions;
  bool view = false;  // a module makes its records; nobody appends
  bool kept = false;  // for ever: it has no retention, and nobody deletes records of it
};
Buffer encode(const DescribeQuery& query);
Result<DescribeQuery> decode_describe_query(Bytes payload);
Buffer encode(const EpochEndQuery& query);
Result<EpochEndQuery> decode_epoch_end_query(Bytes payload);
Buffer encode(const LocateQuery& query);
Result<LocateQuery> decode_locate_query(Bytes payload);
Buffer encode(const std::vector<StreamInfo>& streams);
Result<std::vector<StreamInfo>> decode_stream_infos(Bytes payload);

// Makes a submission that appends `record_batch` (checked: see record_batch.h) to `partition`.
Submission make_append(PartitionId partition, Buffer record_batch, uint32_t batch_crc);
Submission make_command(MachineId machine, CommandType type, Buffer payload);

}  // namespace heptane::streams
