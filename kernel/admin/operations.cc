#include "kernel/admin/operations.h"

#include <limits>

#include "kernel/admin/record_json.h"
#include "kernel/base/assert.h"
#include "kernel/shard/state_machine.h"
#include "kernel/streams/api.h"

namespace heptane::admin {

namespace {

using http::JsonFields;
using http::JsonValue;

constexpr int64_t kOffsetMax = std::numeric_limits<int64_t>::max();

std::string_view stream_name(JsonFields& fields, std::string_view field) {
  const std::string_view name = fields.text(field);
  if (!streams::valid_name(name)) fields.fail(fields.path_of(field) + " must be 1 to 249 of a-z A-Z 0-9 . _ -");
  return name;
}

Result<BuiltOperation> build_append(JsonValue value, const std::string& path) {
  JsonFields fields(value, path);
  streams::AppendEvents command;
  command.stream = stream_name(fields, "stream");
  command.expected_offset = fields.integer_or("expected_offset", -1, 0, kOffsetMax);
  RecordReader reader;
  const std::optional<JsonValue> records = fields.array("records");
  if (!records || records->size() == 0)
    fields.fail(fields.path_of("records") + " must be an array of at least one record");
  HEPTANE_TRY(fields.finish());
  command.records.reserve(records->size());
  for (std::optional<JsonValue> record = records->first(); record; record = record->next()) {
    const std::string where = path + ".records[" + std::to_string(command.records.size()) + ']';
    HEPTANE_TRY(reader.read(*record, where, command.records.emplace_back()));
  }
  return BuiltOperation{machine_ids::kStreams, streams::kAppendEvents, kNoPartition, streams::encode(command)};
}

Result<BuiltOperation> build_create_stream(JsonValue value, const std::string& path) {
  JsonFields fields(value, path);
  streams::CreateStream command;
  command.name = stream_name(fields, "name");
  command.partitions = static_cast<uint32_t>(fields.integer_or("partitions", 1, 1, streams::kPartitionsLimit));
  HEPTANE_TRY(fields.finish());
  return BuiltOperation{machine_ids::kStreams, streams::kCreateStream, kNoPartition, streams::encode(command)};
}

Result<BuiltOperation> build_stream_at(JsonValue value, const std::string& path) {
  JsonFields fields(value, path);
  streams::AppendEvents command;
  command.stream = stream_name(fields, "stream");
  command.expected_offset = fields.integer("offset", 0, kOffsetMax);
  HEPTANE_TRY(fields.finish());
  return BuiltOperation{machine_ids::kStreams, streams::kAppendEvents, kNoPartition, streams::encode(command)};
}

}  // namespace

OperationTable::OperationTable() {
  add("append", {build_append, {"offset", "count"}, false});
  add("create_stream", {build_create_stream, {"partition", "partitions"}, false});
  add("stream_at", {build_stream_at, {}, true});
}

void OperationTable::add(std::string_view name, OperationSpec spec) {
  const bool added = specs_.emplace(name, std::move(spec)).second;
  HEPTANE_ASSERT(added, "an operation has one meaning");
}

const OperationSpec* OperationTable::find(std::string_view name) const {
  const auto found = specs_.find(name);
  return found == specs_.end() ? nullptr : &found->second;
}

std::string OperationTable::names(bool guards) const {
  std::string list;
  for (const auto& [name, spec] : specs_) {
    if (spec.guard != guards) continue;
    if (!list.empty()) list += ", ";
    list += name;
  }
  return list;
}

}  // namespace heptane::admin
