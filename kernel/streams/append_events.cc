#include "kernel/streams/api.h"

namespace heptane::streams {

namespace {
constexpr size_t kRecordHeaderBytes = 9;
}

Buffer encode(const AppendEvents& command) {
  ByteWriter out;
  out.le<uint16_t>(static_cast<uint16_t>(command.stream.size()));
  out.append(command.stream);
  out.le<int64_t>(command.expected_offset);
  out.le<uint32_t>(static_cast<uint32_t>(command.records.size()));
  for (const EventRecord& record : command.records) {
    out.u8(record.has_key ? 1 : 0);
    out.le<uint32_t>(static_cast<uint32_t>(record.key.size()));
    out.le<uint32_t>(static_cast<uint32_t>(record.value.size()));
    out.append(record.key);
    out.append(record.value);
  }
  if (command.partition != 0) out.le<uint32_t>(command.partition);
  return Buffer::take(out.release());
}

Result<AppendEvents> decode_append_events(Bytes payload) {
  ByteReader reader(payload);
  AppendEvents command;
  command.stream = as_text(reader.take(reader.le<uint16_t>()));
  command.expected_offset = reader.le<int64_t>();
  const auto count = reader.le<uint32_t>();
  if (reader.failed() || !reader.fits(count, kRecordHeaderBytes))
    return Error{Errc::invalid_argument, "an append of events counts more than it holds"};
  command.records.resize(count);
  for (EventRecord& record : command.records) {
    record.has_key = reader.u8() != 0;
    const auto key_bytes = reader.le<uint32_t>();
    const auto value_bytes = reader.le<uint32_t>();
    record.key = reader.take(key_bytes);
    record.value = reader.take(value_bytes);
  }
  if (!reader.failed() && reader.remaining() > 0) command.partition = reader.le<uint32_t>();
  if (!reader.complete()) return Error{Errc::invalid_argument, "an append of events does not add up"};
  return command;
}

}  // namespace heptane::streams
