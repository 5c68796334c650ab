// The operations that a transaction over HTTP may hold, by name: how each is read from JSON and how its two numbers are
// shown in the answer. Modules add their own at start-up (`kv.put`); read-only afterwards.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"
#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"
#include "kernel/net/http/router.h"
#include "kernel/shard/transact.h"

namespace heptane::admin {

// An operation that owns its payload.
struct BuiltOperation {
  MachineId machine = 0;
  CommandType type = 0;
  PartitionId partition = kNoPartition;
  Buffer payload;
};

// A right that an operation may use and need not: the command's type says for ever who had it when he was let in.
struct OptionalRight {
  http::Needs right;
  CommandType with = 0;
  CommandType without = 0;
  uint32_t denied = 0;  // bit of Reply::detail by which the machine says that somebody may not do that
};

struct OperationSpec {
  // `path` names the value in error messages: `operations[2].append`.
  std::function<Result<BuiltOperation>(http::JsonValue value, const std::string& path)> build;
  // Names of the reply's numbers; an empty one is left out.
  std::array<std::string, 2> result_names;
  bool guard = false;  // changes nothing: stands among `guards`, has no result
  // What it needs of a module; absent: permissions.cc knows by its machine and type.
  std::optional<http::Needs> needs = std::nullopt;
  std::optional<OptionalRight> optional_right = std::nullopt;
};

class OperationTable {
 public:
  // With `append`, `create_stream` and the guard `stream_at`.
  OperationTable();

  void add(std::string_view name, OperationSpec spec);
  const OperationSpec* find(std::string_view name) const;
  std::string names(bool guards) const;  // for messages: `append, create_stream`

 private:
  std::map<std::string, OperationSpec, std::less<>> specs_;
};

}  // namespace heptane::admin
