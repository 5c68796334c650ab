// Payloads of Sparkplug B (Eclipse Sparkplug 3.0.0 §6.4): the protocol buffer `org.eclipse.tahu.protobuf.Payload`, as far as a server
// that is no host application looks at it: time, sequence, metrics with their scalars. What it does not know is passed over, groups
// (wire types 3 and 4) are no payload. Bounds: kMetricsMax metrics, kMetricNameBytesMax of a name. Views point into the payload. Pure;
// any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace heptane::iot::sparkplug {

constexpr size_t kMetricsMax = 4'096;
constexpr size_t kMetricNameBytesMax = 512;

// The numbers are the specification's (§6.4.16); those above are arrays and of properties.
enum class DataType : uint32_t {
  unknown = 0,
  int8 = 1,
  int16 = 2,
  int32 = 3,
  int64 = 4,
  uint8 = 5,
  uint16 = 6,
  uint32 = 7,
  uint64 = 8,
  real = 9,
  double_real = 10,
  boolean = 11,
  string = 12,
  date_time = 13,
  text = 14,
  uuid = 15,
  data_set = 16,
  bytes = 17,
  file = 18,
  templates = 19,
};

// Of a metric that is no scalar: a data set, a template, bytes, an extension.
struct Compound {
  bool operator==(const Compound&) const = default;
};
// deterministic: as it stands on the wire, never reckoned with. Nothing: it has none, or is null.
using Value = std::variant<std::monostate, uint32_t, uint64_t, float, double, bool, std::string_view, Compound>;

struct Metric {
  std::string_view name;  // empty: it is named by its alias
  std::optional<uint64_t> alias{};
  std::optional<uint64_t> timestamp_ms{};
  uint32_t type = 0;  // a DataType, or a number above; 0: it does not say
  bool historical = false;
  bool null = false;
  Value value{};
};

struct Payload {
  std::optional<uint64_t> timestamp_ms{};
  std::optional<uint64_t> seq{};
  bool compressed = false;  // what it says is in its body, which is not looked at
  std::vector<Metric> metrics;
};

// nullopt: it is none, or beyond the bounds.
std::optional<Payload> read_payload(std::string_view bytes);

// The same payload with this time; nullopt: it is none.
std::optional<std::string> with_timestamp(std::string_view bytes, uint64_t timestamp_ms);

// That a node is born again: `Node Control/Rebirth` (§5.6).
std::string rebirth_command(uint64_t timestamp_ms);

// What is no text, as JSON: numbers exact, real ones as short as they can be; null: there is none, or no finite number. nullopt: it
// is a text, no scalar, or its type is none.
std::optional<std::string> json_of(const Value& value, uint32_t type);
// `Int32`; of one that is no scalar: empty.
std::string_view type_name(uint32_t type);

}  // namespace heptane::iot::sparkplug
