// Anything as SQL of a rule, and its tail as a message: what compiles runs within its bounds, gives JSON that the one reader reads,
// and the same every time.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kernel/base/assert.h"
#include "kernel/net/http/json.h"
#include "modules/iot/domain/rules/sql.h"
#include "modules/iot/domain/rules/windows.h"
#include "modules/iot/gateway/devices/tree_json.h"

using namespace heptane;
using namespace heptane::iot::rules;

namespace {
std::optional<iot::devices::JsonTree> read_tree(std::string_view text) {
  const auto document = http::JsonDocument::parse(std::string(text));
  if (!document) return std::nullopt;
  return iot::devices::tree_of((*document)->root());
}

// The row of a window with this message alone, or why there is none; the same of one that is begun anew.
std::string alone(const std::shared_ptr<const Select>& query, const Message& message) {
  message.made_bytes = 0;
  Windows windows(query, {});
  const auto taken = windows.offer(message);
  if (!taken) return taken.error().message;
  Windows again(query, windows.place(message.offset + 1));
  message.made_bytes = 0;
  again.rebuild(message);
  std::string rows[2];
  for (Windows* one : {&windows, &again}) {
    one->raise(INT64_MAX);
    std::string& out = rows[one == &again ? 1 : 0];
    for (auto row = one->take_row(); row; row = one->take_row())
      out += !row->row ? row->row.error().message : *row->row ? json_of(**row->row) : "no";
  }
  HEPTANE_ASSERT(rows[0] == rows[1], "windows that are begun anew are the same");
  return rows[0];
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t cut = input.find('\n');
  const std::string_view sql = input.substr(0, cut);
  const std::string payload(cut == std::string_view::npos ? std::string_view() : input.substr(cut + 1));
  auto compiled = Select::compile(sql);
  if (!compiled) {
    HEPTANE_ASSERT(!compiled.error().message.empty(), "what is wrong is said");
    return 0;
  }
  const auto document = http::JsonDocument::parse(payload);
  iot::devices::JsonTree tree;
  if (document) tree = iot::devices::tree_of((*document)->root());
  const Message message{"a/b/c", payload, document ? &tree : nullptr, 1, 2, read_tree};
  if (compiled->windowing() != nullptr) {
    const auto query = std::make_shared<const Select>(std::move(*compiled));
    HEPTANE_ASSERT(alone(query, message) == alone(query, message), "a rule is a function");
    return 0;
  }
  const auto row = compiled->run(message);
  if (!row || !*row) return 0;
  const std::string json = json_of(**row);
  const auto again = compiled->run(message);
  HEPTANE_ASSERT(again.ok() && *again && json_of(**again) == json, "a rule is a function");
  if (json.size() < (size_t{1} << 20)) {
    const auto read = http::JsonDocument::parse(json);
    // Numbers beyond 64 bits are more than that reader takes.
    HEPTANE_ASSERT(read.ok() || read.error().message.find("number") != std::string::npos ||
                       read.error().message.find("64 bits") != std::string::npos,
                   "a row is JSON");
  }
  return 0;
}
