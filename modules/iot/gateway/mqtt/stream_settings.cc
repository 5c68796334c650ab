#include "modules/iot/gateway/mqtt/stream_settings.h"

#include <charconv>
#include <optional>
#include <string_view>

#include "kernel/config/units.h"
#include "modules/iot/domain/topics/topics.h"

namespace heptane::iot::mqtt {

namespace {

constexpr int64_t kNsPerMs = 1'000'000;
constexpr const char* kKeys = "name, filter, retention_ms, retention_bytes, partitions, qos0, publish, relaxed";

std::optional<int64_t> whole(std::string_view text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

std::optional<int64_t> milliseconds(std::string_view text) {
  if (text == "forever") return kForEver;
  if (const auto number = whole(text)) return number;
  const auto ns = config::parse_duration(text);
  return ns ? std::optional(*ns / kNsPerMs) : std::nullopt;
}

std::optional<int64_t> size(std::string_view text) {
  if (text == "forever") return kForEver;
  if (const auto number = whole(text)) return number;
  return config::parse_size(text);
}

std::optional<bool> flag(std::string_view text) {
  if (text == "true" || text == "false") return text == "true";
  return std::nullopt;
}

template <class Value, class Into>
bool put(const std::optional<Value>& value, Into& into) {
  if (value) into = static_cast<Into>(*value);
  return value.has_value();
}

// What is wrong with the value; empty: nothing.
std::string take(std::string_view key, std::string_view value, StreamDeclaration& out) {
  if (key == "name") return out.name = value, std::string();
  if (key == "filter") return out.filter = value, std::string();
  if (key == "retention_ms")
    return put(milliseconds(value), out.retention_ms) ? std::string() : "say milliseconds or a duration such as \"7d\"";
  if (key == "retention_bytes")
    return put(size(value), out.retention_bytes) ? std::string() : "say bytes or a size such as \"4GiB\"";
  if (key == "partitions") {
    const auto number = whole(value);
    const bool good = number && *number >= 1 && *number <= kDeclaredPartitionsMax;
    if (good) out.partitions = static_cast<uint32_t>(*number);
    return good ? std::string() : "say an integer from 1 to 64";
  }
  if (key == "qos0") return put(flag(value), out.qos0) ? std::string() : "say true or false";
  if (key == "publish") return put(flag(value), out.publish) ? std::string() : "say true or false";
  if (key == "relaxed") return put(flag(value), out.relaxed) ? std::string() : "say true or false";
  return std::string("there is no such key: the keys of a stream are ") + kKeys;
}

Error wrong(const StreamDeclaration& stream, const std::string& what) {
  const std::string which = stream.name.empty() ? "a stream" : "stream " + stream.name;
  return {Errc::invalid_argument, which + ": " + what};
}

}  // namespace

Result<StreamDeclaration> stream_of_table(const std::string& table) {
  StreamDeclaration stream;
  std::string first_wrong;
  for (std::string_view rest = table; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    const size_t equals = line.find('=');
    const std::string_view key = line.substr(0, equals);
    const std::string why = take(key, line.substr(std::min(equals + 1, line.size())), stream);
    if (!why.empty() && first_wrong.empty()) first_wrong = std::string(key) + ": " + why;
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
  }
  if (!first_wrong.empty()) return wrong(stream, first_wrong);
  const std::string why = wrong_declaration(stream);
  if (!why.empty()) return wrong(stream, why);
  return stream;
}

std::string wrong_stream_table(const std::string& table) {
  const auto stream = stream_of_table(table);
  return stream ? std::string() : stream.error().message;
}

std::vector<StreamDeclaration> streams_of_tables(const std::vector<std::string>& tables) {
  std::vector<StreamDeclaration> streams;
  for (const std::string& table : tables)
    if (auto stream = stream_of_table(table)) streams.push_back(std::move(*stream));
  return streams;
}

std::string wrong_stream_tables(const std::vector<std::string>& tables) {
  const std::vector<StreamDeclaration> streams = streams_of_tables(tables);
  uint32_t partitions = 0;
  for (size_t i = 0; i < streams.size(); ++i) {
    partitions += streams[i].partitions;
    for (size_t j = 0; j < i; ++j)
      if (streams[i].name == streams[j].name) return "stream " + streams[i].name + " is there twice";
  }
  if (streams.size() > kDeclaredMax || partitions > kAllPartitionsMax)
    return "more than 256 streams or 512 partitions: that is what can be declared";
  return {};
}

std::vector<std::string> overlapping_streams(const std::vector<std::string>& tables) {
  constexpr size_t kTold = 20;
  const std::vector<StreamDeclaration> streams = streams_of_tables(tables);
  std::vector<std::string> told;
  for (size_t i = 0; i < streams.size(); ++i)
    for (size_t j = 0; j < i && told.size() < kTold; ++j)
      if (overlap(streams[i].filter, streams[j].filter))
        told.push_back("the filters of " + streams[j].name + " (" + streams[j].filter + ") and " + streams[i].name +
                       " (" + streams[i].filter + ") overlap: the archive keeps a copy for each of what both match");
  return told;
}

}  // namespace heptane::iot::mqtt
