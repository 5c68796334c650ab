#include "kernel/streams/api.h"

#include <limits>

#include "kernel/base/assert.h"
#include "kernel/base/crc32c.h"
#include "kernel/shard/state_machine.h"

namespace heptane::streams {

namespace {

constexpr uint32_t kDescribeNamesLimit = 10'000;
constexpr size_t kPartitionInfoBytes = 4 + 8 + 8;
constexpr size_t kStreamInfoBytesMin = 2 + 16 + 16 + 1 + 4;
constexpr size_t kLogStartBytes = 4 + 8;
// Of a described stream.
constexpr uint8_t kViewKind = 1;
constexpr uint8_t kKeptKind = 2;

Error malformed(const char* what) { return Error{Errc::invalid_argument, std::string("malformed ") + what}; }

void put_name(ByteWriter& out, std::string_view name) {
  HEPTANE_ASSERT(name.size() <= std::numeric_limits<uint16_t>::max(), "a name is checked before it becomes a command");
  out.le(static_cast<uint16_t>(name.size()));
  out.append(name);
}

std::string_view get_name(ByteReader& reader) { return as_text(reader.take(reader.le<uint16_t>())); }

void put_config(ByteWriter& out, const StreamConfig& config) {
  out.le(config.retention_ms);
  out.le(config.retention_bytes);
}

StreamConfig get_config(ByteReader& reader) {
  StreamConfig config;
  config.retention_ms = reader.le<int64_t>();
  config.retention_bytes = reader.le<int64_t>();
  return config;
}

void put_stream(ByteWriter& out, const StreamInfo& stream) {
  put_name(out, stream.name);
  put_config(out, stream.config);
  out.append(stream.uuid);
  out.u8(static_cast<uint8_t>((stream.view ? kViewKind : 0) | (stream.kept ? kKeptKind : 0)));
  out.le(static_cast<uint32_t>(stream.partitions.size()));
  for (const PartitionInfo& partition : stream.partitions) {
    out.le(partition.id);
    out.le(partition.log_start);
    out.le(partition.durable_end);
  }
}

bool get_stream(ByteReader& reader, StreamInfo& stream) {
  stream.name = get_name(reader);
  stream.config = get_config(reader);
  const Bytes uuid = reader.take(stream.uuid.size());
  const uint8_t kind = reader.u8();
  stream.view = (kind & kViewKind) != 0;
  stream.kept = (kind & kKeptKind) != 0;
  const auto count = reader.le<uint32_t>();
  if (reader.failed() || !reader.fits(count, kPartitionInfoBytes)) return false;
  std::memcpy(stream.uuid.data(), uuid.data(), uuid.size());
  stream.partitions.resize(count);
  for (PartitionInfo& partition : stream.partitions) {
    partition.id = reader.le<PartitionId>();
    partition.log_start = reader.le<Offset>();
    partition.durable_end = reader.le<Offset>();
  }
  return true;
}

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

}  // namespace

Buffer encode(const CreateStream& command) {
  ByteWriter out;
  put_name(out, command.name);
  out.le(command.partitions);
  if (!command.config.is_default()) put_config(out, command.config);
  return Buffer::take(out.release());
}

Buffer encode(const AlterStream& command) {
  ByteWriter out;
  put_name(out, command.name);
  put_config(out, command.config);
  return Buffer::take(out.release());
}

Buffer encode(const GrowStream& command) {
  ByteWriter out;
  put_name(out, command.name);
  out.le(command.partitions);
  return Buffer::take(out.release());
}

Buffer encode(const SetLogStart& command) {
  HEPTANE_ASSERT(command.starts.size() <= kLogStartsLimit, "a command moves too many log starts");
  ByteWriter out;
  out.le(static_cast<uint32_t>(command.starts.size()));
  for (const LogStart& start : command.starts) {
    out.le(start.partition);
    out.le(start.offset);
  }
  return Buffer::take(out.release());
}

Result<AlterStream> decode_alter_stream(Bytes payload) {
  ByteReader reader(payload);
  AlterStream command;
  command.name = get_name(reader);
  command.config = get_config(reader);
  if (!reader.complete()) return malformed("AlterStream");
  return command;
}

Result<GrowStream> decode_grow_stream(Bytes payload) {
  ByteReader reader(payload);
  GrowStream command;
  command.name = get_name(reader);
  command.partitions = reader.le<uint32_t>();
  if (!reader.complete()) return malformed("GrowStream");
  return command;
}

Result<SetLogStart> decode_set_log_start(Bytes payload) {
  ByteReader reader(payload);
  SetLogStart command;
  const auto count = reader.le<uint32_t>();
  if (reader.failed() || count > kLogStartsLimit || !reader.fits(count, kLogStartBytes))
    return malformed("SetLogStart");
  command.starts.resize(count);
  for (LogStart& start : command.starts) {
    start.partition = reader.le<PartitionId>();
    start.offset = reader.le<Offset>();
  }
  if (!reader.complete()) return malformed("SetLogStart");
  return command;
}

Buffer encode(const InitProducer& command) {
  ByteWriter out;
  out.le(command.producer_id);
  out.le(command.producer_epoch);
  return Buffer::take(out.release());
}

Buffer encode(const DeleteStream& command) {
  ByteWriter out;
  put_name(out, command.name);
  return Buffer::take(out.release());
}

Result<CreateStream> decode_create_stream(Bytes payload) {
  ByteReader reader(payload);
  CreateStream command;
  command.name = get_name(reader);
  command.partitions = reader.le<uint32_t>();
  // The first logs have none.
  if (!reader.failed() && reader.remaining() > 0) command.config = get_config(reader);
  if (!reader.complete()) return malformed("CreateStream");
  return command;
}

Result<InitProducer> decode_init_producer(Bytes payload) {
  ByteReader reader(payload);
  InitProducer command;
  command.producer_id = reader.le<int64_t>();
  command.producer_epoch = reader.le<int16_t>();
  if (!reader.complete()) return malformed("InitProducer");
  return command;
}

Result<DeleteStream> decode_delete_stream(Bytes payload) {
  ByteReader reader(payload);
  DeleteStream command;
  command.name = get_name(reader);
  if (!reader.complete()) return malformed("DeleteStream");
  return command;
}

bool valid_name(std::string_view name) {
  if (name.empty() || name.size() > kNameLimitBytes || name == "." || name == "..") return false;
  for (const char c : name)
    if (!is_name_character(c)) return false;
  return true;
}

Buffer encode(const DescribeQuery& query) {
  HEPTANE_ASSERT(query.all || query.names.size() <= kDescribeNamesLimit, "a describe query names too many streams");
  ByteWriter out;
  out.u8(query.all ? 1 : 0);
  out.le(static_cast<uint32_t>(query.all ? 0 : query.names.size()));
  if (query.all)
    put_name(out, query.after);
  else
    for (const std::string& name : query.names) put_name(out, name);
  return Buffer::take(out.release());
}

Result<DescribeQuery> decode_describe_query(Bytes payload) {
  ByteReader reader(payload);
  DescribeQuery query;
  const uint8_t all = reader.u8();
  const auto count = reader.le<uint32_t>();
  if (reader.failed() || all > 1 || count > kDescribeNamesLimit || !reader.fits(count, 2) || (all == 1 && count != 0))
    return malformed("DescribeQuery");
  query.all = all == 1;
  query.names.reserve(count);
  for (uint32_t i = 0; i < count; ++i) query.names.emplace_back(get_name(reader));
  if (query.all) query.after = get_name(reader);
  if (!reader.complete()) return malformed("DescribeQuery");
  return query;
}

Buffer encode(const EpochEndQuery& query) {
  ByteWriter out;
  out.le(query.partition);
  out.le(query.epoch);
  return Buffer::take(out.release());
}

Result<EpochEndQuery> decode_epoch_end_query(Bytes payload) {
  ByteReader reader(payload);
  EpochEndQuery query;
  query.partition = reader.le<PartitionId>();
  query.epoch = reader.le<Epoch>();
  if (!reader.complete()) return malformed("EpochEndQuery");
  return query;
}

Buffer encode(const LocateQuery& query) {
  ByteWriter out;
  out.le(query.partition);
  out.le(query.offset);
  return Buffer::take(out.release());
}

Result<LocateQuery> decode_locate_query(Bytes payload) {
  ByteReader reader(payload);
  LocateQuery query;
  query.partition = reader.le<PartitionId>();
  query.offset = reader.le<Offset>();
  if (!reader.complete()) return malformed("LocateQuery");
  return query;
}

Buffer encode(const std::vector<StreamInfo>& streams) {
  ByteWriter out;
  out.le(static_cast<uint32_t>(streams.size()));
  for (const StreamInfo& stream : streams) put_stream(out, stream);
  return Buffer::take(out.release());
}

Result<std::vector<StreamInfo>> decode_stream_infos(Bytes payload) {
  ByteReader reader(payload);
  const auto count = reader.le<uint32_t>();
  if (reader.failed() || !reader.fits(count, kStreamInfoBytesMin)) return malformed("stream descriptions");
  std::vector<StreamInfo> streams(count);
  for (StreamInfo& stream : streams)
    if (!get_stream(reader, stream)) return malformed("stream descriptions");
  if (!reader.complete()) return malformed("stream descriptions");
  return streams;
}

Submission make_append(PartitionId partition, Buffer record_batch, uint32_t batch_crc) {
  Submission submission;
  submission.machine = machine_ids::kStreams;
  submission.type = kAppend;
  submission.kind = log::EntryKind::record_command;
  submission.partition = partition;
  submission.payload_crc = batch_crc;
  submission.payload = std::move(record_batch);
  return submission;
}

Submission make_command(MachineId machine, CommandType type, Buffer payload) {
  Submission submission;
  submission.machine = machine;
  submission.type = type;
  submission.payload_crc = crc32c(payload.view());
  submission.payload = std::move(payload);
  return submission;
}

}  // namespace heptane::streams
