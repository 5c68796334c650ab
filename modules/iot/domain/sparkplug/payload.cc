#include "modules/iot/domain/sparkplug/payload.h"

#include <array>
#include <bit>
#include <charconv>
#include <cmath>

namespace heptane::iot::sparkplug {

namespace {

enum class Wire : uint8_t { variable = 0, eight_bytes = 1, bytes = 2, four_bytes = 5 };

// Numbers of fields.
enum PayloadField : uint32_t { kTimestamp = 1, kMetric = 2, kSeq = 3, kUuid = 4 };
enum MetricField : uint32_t {
  kName = 1,
  kAlias = 2,
  kMetricTimestamp = 3,
  kType = 4,
  kHistorical = 5,
  kNull = 7,
  kInt = 10,
  kLong = 11,
  kFloat = 12,
  kDouble = 13,
  kBoolean = 14,
  kString = 15,
  kBytes = 16,
  kDataSet = 17,
  kTemplate = 18,
  kExtension = 19,
};

constexpr std::string_view kCompressed = "SPBV1.0_COMPRESSED";  // as Eclipse Tahu marks them

struct Field {
  uint32_t number = 0;
  Wire wire = Wire::variable;
  uint64_t bits = 0;       // of a number
  std::string_view bytes;  // of the others
  std::string_view whole;  // as it was read, its tag among it
};

// The fields of one message, one after the other (Protocol Buffers, "Encoding").
class FieldReader {
 public:
  explicit FieldReader(std::string_view rest) : rest_(rest) {}

  // False: there is none, or it cannot be read.
  bool next(Field& field) {
    if (rest_.empty() || failed_) return false;
    const std::string_view begin = rest_;
    const uint64_t tag = variable();
    constexpr uint64_t kNumberMax = (1U << 29) - 1;
    field = {};
    field.number = static_cast<uint32_t>(tag >> 3);
    if ((tag >> 3) == 0 || (tag >> 3) > kNumberMax) return fail();
    take(field, tag & 7);
    field.whole = begin.substr(0, begin.size() - rest_.size());
    return !failed_;
  }
  bool failed() const { return failed_; }

 private:
  bool fail() {
    failed_ = true;
    return false;
  }

  void take(Field& field, uint64_t wire) {
    field.wire = static_cast<Wire>(wire);
    switch (field.wire) {
      case Wire::variable: field.bits = variable(); return;
      case Wire::eight_bytes: field.bits = fixed(sizeof(uint64_t)); return;
      case Wire::four_bytes: field.bits = fixed(sizeof(uint32_t)); return;
      case Wire::bytes: {
        const uint64_t size = variable();
        if (size > rest_.size()) return void(fail());
        field.bytes = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return;
      }
    }
    fail();
  }

  uint64_t variable() {
    uint64_t value = 0;
    for (uint32_t shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) break;
      const auto byte = static_cast<uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    fail();
    return 0;
  }

  uint64_t fixed(size_t size) {
    if (rest_.size() < size) return fail(), 0;
    uint64_t value = 0;
    for (size_t i = 0; i < size; ++i) value |= static_cast<uint64_t>(static_cast<uint8_t>(rest_[i])) << (8 * i);
    rest_.remove_prefix(size);
    return value;
  }

  std::string_view rest_;
  bool failed_ = false;
};

// What a field's number wants on the wire.
Wire wire_of(uint32_t number) {
  switch (number) {
    case kName:
    case kString:
    case kBytes:
    case kDataSet:
    case kTemplate:
    case kExtension: return Wire::bytes;
    case kFloat: return Wire::four_bytes;
    case kDouble: return Wire::eight_bytes;
    default: return Wire::variable;
  }
}

bool is_known(uint32_t number) {
  return (number >= kName && number <= kHistorical) || number == kNull || (number >= kInt && number <= kExtension);
}

void take_value(Metric& metric, const Field& field) {
  switch (field.number) {
    case kInt: metric.value = static_cast<uint32_t>(field.bits); return;
    case kLong: metric.value = field.bits; return;
    // deterministic: bits as they came
    case kFloat: metric.value = std::bit_cast<float>(static_cast<uint32_t>(field.bits)); return;
    case kDouble: metric.value = std::bit_cast<double>(field.bits); return;  // deterministic: likewise
    case kBoolean: metric.value = field.bits != 0; return;
    case kString: metric.value = field.bytes; return;
    default: metric.value = Compound{};
  }
}

void take_field(Metric& metric, const Field& field) {
  switch (field.number) {
    case kName: metric.name = field.bytes; return;
    case kAlias: metric.alias = field.bits; return;
    case kMetricTimestamp: metric.timestamp_ms = field.bits; return;
    case kType: metric.type = static_cast<uint32_t>(field.bits); return;
    case kHistorical: metric.historical = field.bits != 0; return;
    case kNull: metric.null = field.bits != 0; return;
    default: take_value(metric, field);
  }
}

std::optional<Metric> read_metric(std::string_view bytes) {
  Metric metric;
  FieldReader in(bytes);
  Field field;
  while (in.next(field)) {
    if (!is_known(field.number)) continue;
    if (field.wire != wire_of(field.number)) return std::nullopt;
    take_field(metric, field);
  }
  if (in.failed() || metric.name.size() > kMetricNameBytesMax) return std::nullopt;
  if (metric.null) metric.value = std::monostate();
  return metric;
}

void put_variable(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(0x80 | (value & 0x7F));
  out += static_cast<char>(value);
}

void put_number(std::string& out, uint32_t field, uint64_t value) {
  put_variable(out, field << 3 | static_cast<uint32_t>(Wire::variable));
  put_variable(out, value);
}

void put_bytes(std::string& out, uint32_t field, std::string_view bytes) {
  put_variable(out, field << 3 | static_cast<uint32_t>(Wire::bytes));
  put_variable(out, bytes.size());
  out += bytes;
}

template <class Number, class... Form>
std::string digits_of(Number number, Form... form) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number, form...).ptr;
  return {text.data(), end};
}

// Digits without a point or an exponent are a whole number for who reads them, which must fit into 64 bits.
template <class Real>
std::string real_of(Real number) {
  constexpr Real kWholeMax = 1e18;
  if (!std::isfinite(number)) return "null";
  return std::abs(number) < kWholeMax ? digits_of(number) : digits_of(number, std::chars_format::scientific);
}

// What 32 bits are as a whole number of this type.
std::string whole_of(uint32_t bits, DataType type) {
  switch (type) {
    case DataType::int8: return digits_of(static_cast<int32_t>(static_cast<int8_t>(bits)));
    case DataType::int16: return digits_of(static_cast<int32_t>(static_cast<int16_t>(bits)));
    case DataType::int32: return digits_of(static_cast<int32_t>(bits));
    default: return digits_of(bits);
  }
}

constexpr std::array<std::string_view, 16> kNames{"",       "Int8",     "Int16",  "Int32", "Int64",  "UInt8",
                                                  "UInt16", "UInt32",   "UInt64", "Float", "Double", "Boolean",
                                                  "String", "DateTime", "Text",   "UUID"};

bool is_scalar(uint32_t type) { return type < kNames.size(); }

}  // namespace

std::optional<Payload> read_payload(std::string_view bytes) {
  Payload payload;
  FieldReader in(bytes);
  Field field;
  while (in.next(field)) {
    if (field.number > kUuid) continue;
    const bool bytes_wanted = field.number == kMetric || field.number == kUuid;
    if (field.wire != (bytes_wanted ? Wire::bytes : Wire::variable)) return std::nullopt;
    if (field.number == kUuid) payload.compressed = field.bytes == kCompressed;
    if (field.number == kTimestamp) payload.timestamp_ms = field.bits;
    if (field.number == kSeq) payload.seq = field.bits;
    if (field.number != kMetric) continue;
    auto metric = payload.metrics.size() < kMetricsMax ? read_metric(field.bytes) : std::nullopt;
    if (!metric) return std::nullopt;
    payload.metrics.push_back(*metric);
  }
  if (in.failed()) return std::nullopt;
  return payload;
}

std::optional<std::string> with_timestamp(std::string_view bytes, uint64_t timestamp_ms) {
  std::string out;
  put_number(out, kTimestamp, timestamp_ms);
  FieldReader in(bytes);
  Field field;
  while (in.next(field))
    if (field.number != kTimestamp) out += field.whole;
  if (in.failed()) return std::nullopt;
  return out;
}

std::string rebirth_command(uint64_t timestamp_ms) {
  std::string metric;
  put_bytes(metric, kName, "Node Control/Rebirth");
  put_number(metric, kMetricTimestamp, timestamp_ms);
  put_number(metric, kType, static_cast<uint32_t>(DataType::boolean));
  put_number(metric, kBoolean, 1);
  std::string out;
  put_number(out, kTimestamp, timestamp_ms);
  put_bytes(out, kMetric, metric);
  return out;
}

std::optional<std::string> json_of(const Value& value, uint32_t type) {
  if (!is_scalar(type)) return std::nullopt;
  if (std::holds_alternative<std::monostate>(value)) return "null";
  const auto kind = static_cast<DataType>(type);
  if (const auto* bits = std::get_if<uint32_t>(&value)) return whole_of(*bits, kind);
  if (const auto* bits = std::get_if<uint64_t>(&value))
    return kind == DataType::int64 ? digits_of(static_cast<int64_t>(*bits)) : digits_of(*bits);
  // deterministic: the shortest digits that are this number
  if (const auto* real = std::get_if<float>(&value)) return real_of(*real);
  if (const auto* real = std::get_if<double>(&value)) return real_of(*real);  // deterministic: likewise
  if (const auto* truth = std::get_if<bool>(&value)) return *truth ? "true" : "false";
  return std::nullopt;
}

std::string_view type_name(uint32_t type) { return is_scalar(type) ? kNames[type] : std::string_view(); }

}  // namespace heptane::iot::sparkplug
