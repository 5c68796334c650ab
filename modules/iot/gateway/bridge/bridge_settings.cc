#include "modules/iot/gateway/bridge/bridge_settings.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <string_view>
#include <tuple>

#include "kernel/config/units.h"
#include "modules/iot/domain/topics/topics.h"

namespace heptane::iot::bridge {

namespace {

constexpr uint16_t kPort = 1883;
constexpr uint16_t kTlsPort = 8883;
constexpr int64_t kNsPerMs = 1'000'000;
constexpr size_t kNameBytesMax = 64;
constexpr const char* kKeys =
    "name, address, tls, ca_file, cert_file, key_file, server_name, client_id, user, password_file, protocol, "
    "keep_alive_seconds, messages_per_second, bytes_per_second, max_bytes, max_age, max_messages; and of a "
    "mapping direction, filter, local_prefix, remote_prefix, qos";

// One table.
struct Table {
  WantedBridge bridge;
  Mapping mapping;
  bool begins = false;
  bool has_mapping = false;
  bool has_own = false;  // keys of a bridge, beside its name
};

std::optional<int64_t> whole(std::string_view text, int64_t least, int64_t most) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool good = error == std::errc() && end == text.data() + text.size() && number >= least && number <= most;
  return good ? std::optional(number) : std::nullopt;
}

template <class Into>
std::string put(std::string_view text, int64_t least, int64_t most, Into& into) {
  const auto number = whole(text, least, most);
  if (number) into = static_cast<Into>(*number);
  return number ? std::string() : "say a number from " + std::to_string(least) + " to " + std::to_string(most);
}

std::string put_size(std::string_view text, int64_t& into) {
  auto size = whole(text, 0, INT64_MAX);
  if (!size) size = config::parse_size(text);
  if (size) into = *size;
  return size ? std::string() : "say bytes or a size such as \"1GiB\"";
}

bool good_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameBytesMax && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

std::string take_address(std::string_view value, WantedBridge& bridge) {
  if (value.find(':') == std::string_view::npos && !value.empty()) {
    bridge.host = value;
    return {};
  }
  const auto address = config::parse_host_port(value);
  if (!address || address->port == 0) return "say HOST or HOST:PORT";
  bridge.host = address->host;
  bridge.port = address->port;
  return {};
}

std::string take_protocol(std::string_view value, Terms& terms) {
  terms.version = value == "5" ? mqtt::Version::v5 : mqtt::Version::v311;
  terms.private_bit = value == "3.1.1-bridge";
  return value == "5" || value == "3.1.1" || terms.private_bit ? "" : "say \"5\", \"3.1.1\" or \"3.1.1-bridge\"";
}

std::string take_age(std::string_view value, int64_t& into) {
  const auto ns = config::parse_duration(value);
  if (ns) into = *ns / kNsPerMs;
  return ns ? std::string() : "say a duration such as \"7d\"";
}

// What is wrong with the value; empty: nothing. nullopt: no key of a mapping.
std::optional<std::string> take_of_mapping(std::string_view key, std::string_view value, Table& table) {
  if (key == "direction") {
    table.mapping.direction = value == "in" ? Direction::in : Direction::out;
    return value == "in" || value == "out" ? "" : "say \"out\" (from here to the remote) or \"in\"";
  }
  if (key == "filter") return table.mapping.filter = value, table.has_mapping = true, "";
  if (key == "local_prefix") return table.mapping.local_prefix = value, "";
  if (key == "remote_prefix") return table.mapping.remote_prefix = value, "";
  if (key == "qos") return put(value, 0, 2, table.mapping.qos);
  return std::nullopt;
}

std::string take_of_bridge(std::string_view key, std::string_view value, WantedBridge& bridge) {
  Terms& terms = bridge.terms;
  if (key == "tls") return bridge.tls = value == "true", value == "true" || value == "false" ? "" : "say true or false";
  if (key == "ca_file") return bridge.ca_file = value, "";
  if (key == "cert_file") return bridge.cert_file = value, "";
  if (key == "key_file") return bridge.key_file = value, "";
  if (key == "server_name") return bridge.server_name = value, "";
  if (key == "client_id") return terms.client_id = value, value.empty() ? "say an identifier" : "";
  if (key == "user") return terms.user = std::string(value), "";
  if (key == "password_file") return bridge.password_file = value, "";
  if (key == "protocol") return take_protocol(value, terms);
  if (key == "keep_alive_seconds") return put(value, 5, 65'535, terms.keep_alive_s);
  if (key == "messages_per_second") return put(value, 0, 1'000'000'000, terms.messages_per_second);
  if (key == "bytes_per_second") return put_size(value, terms.bytes_per_second);
  if (key == "max_bytes") return put_size(value, bridge.max_bytes);
  if (key == "max_age") return take_age(value, bridge.max_age_ms);
  if (key == "max_messages") return put(value, 1, kCaptureLimit, bridge.max_messages);
  return std::string("there is no such key: the keys of a bridge are ") + kKeys;
}

std::string take(std::string_view key, std::string_view value, Table& table) {
  if (key == "name") {
    table.bridge.terms.name = value;
    return good_name(value) ? "" : "a bridge's name is [a-zA-Z0-9_-]{1,64}";
  }
  if (key == "address") return table.begins = true, take_address(value, table.bridge);
  if (auto wrong = take_of_mapping(key, value, table)) return *wrong;
  table.has_own = true;
  return take_of_bridge(key, value, table.bridge);
}

Error wrong(const Table& table, const std::string& what) {
  const std::string& name = table.bridge.terms.name;
  return {Errc::invalid_argument, (name.empty() ? "a bridge" : "bridge " + name) + ": " + what};
}

std::string wrong_whole(const Table& table) {
  const WantedBridge& bridge = table.bridge;
  if (bridge.terms.name.empty()) return "it has no name";
  if (!table.begins && table.has_own) return "its first table, the one with its address, says that";
  if (!table.begins && !table.has_mapping) return "a table has an address or a filter";
  if (bridge.cert_file.empty() != bridge.key_file.empty()) return "cert_file and key_file go together";
  if (!bridge.tls && !(bridge.ca_file.empty() && bridge.cert_file.empty() && bridge.server_name.empty()))
    return "ca_file, cert_file and server_name need tls = true";
  if (!bridge.password_file.empty() && !bridge.terms.user) return "a password needs a user";
  return table.has_mapping ? wrong_mapping(table.mapping) : std::string();
}

Result<Table> read_table(const std::string& text) {
  Table table;
  std::string first_wrong;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    const size_t equals = line.find('=');
    const std::string_view key = line.substr(0, equals);
    const std::string why = take(key, line.substr(std::min(equals + 1, line.size())), table);
    if (!why.empty() && first_wrong.empty()) first_wrong = std::string(key) + ": " + why;
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
  }
  if (!first_wrong.empty()) return wrong(table, first_wrong);
  if (const std::string why = wrong_whole(table); !why.empty()) return wrong(table, why);
  if (table.bridge.port == 0) table.bridge.port = table.bridge.tls ? kTlsPort : kPort;
  return table;
}

std::string wrong_bridge(const WantedBridge& bridge) {
  const Terms& terms = bridge.terms;
  if (terms.mappings.empty()) return "it carries nothing: say a filter";
  if (terms.mappings.size() > kMappingsMax) return "more than 64 mappings";
  const Meeting meeting = meeting_of(terms.mappings, terms.mappings);
  if (terms.version == mqtt::Version::v5 || terms.private_bit || meeting.out == nullptr) return {};
  return "the out filter " + meeting.out->remote_filter() + " and the in filter " + meeting.in->remote_filter() +
         " meet at the remote broker, and in MQTT 3.1.1 what went out would come back: say protocol = \"5\" (or "
         "\"3.1.1-bridge\" where the remote takes that), or other prefixes";
}

// The remote sends to one what the other published; only in MQTT 5 does the message say that it came from here.
std::string wrong_pair(const WantedBridge& out, const WantedBridge& in) {
  const bool five = out.terms.version == mqtt::Version::v5 && in.terms.version == mqtt::Version::v5;
  if (five || out.host != in.host || out.port != in.port) return {};
  const Meeting meeting = meeting_of(out.terms.mappings, in.terms.mappings);
  if (meeting.out == nullptr) return {};
  return "bridges " + out.terms.name + " and " + in.terms.name + ": the out filter " + meeting.out->remote_filter() +
         " and the in filter " + meeting.in->remote_filter() + " meet at " + out.host + ":" + std::to_string(out.port) +
         ", and in MQTT 3.1.1 what went out would come back: say protocol = \"5\" in both, or other prefixes";
}

std::string wrong_pairs(const std::vector<WantedBridge>& bridges) {
  for (const WantedBridge& out : bridges)
    for (const WantedBridge& in : bridges)
      if (std::string why = &out == &in ? std::string() : wrong_pair(out, in); !why.empty()) return why;
  return {};
}

// References that the bridge's queue holds at most, of `bridges` of them. An older program knows no more than kQueueDefault, and all of them
// together are to stay below what is kept of all: there nothing old would make room.
uint32_t queue_max_of(const WantedBridge& bridge, size_t bridges) {
  if (bridge.max_messages > 0) return bridge.max_messages;
  constexpr uint64_t kDoneMost = 65'536;  // of each, besides those that wait
  const uint64_t share = kCapturedMax / std::max<size_t>(bridges, 1) - kDoneMost;
  return static_cast<uint32_t>(std::min<uint64_t>(kQueueDefault, share));
}

}  // namespace

bool operator==(const WantedBridge& one, const WantedBridge& other) {
  const auto all = [](const WantedBridge& of) {
    const Terms& terms = of.terms;
    return std::tie(terms.name, terms.client_id, terms.user, terms.version, terms.private_bit, terms.keep_alive_s,
                    terms.mappings, terms.messages_per_second, terms.bytes_per_second, of.host, of.port, of.tls,
                    of.ca_file, of.cert_file, of.key_file, of.server_name, of.password_file, of.max_bytes,
                    of.max_age_ms, of.max_messages);
  };
  return all(one) == all(other);
}

std::string wrong_bridge_table(const std::string& table) {
  const auto read = read_table(table);
  return read ? std::string() : read.error().message;
}

std::vector<WantedBridge> bridges_of_tables(const std::vector<std::string>& tables) {
  std::vector<WantedBridge> bridges;
  std::map<std::string, std::vector<Mapping>> mappings;
  for (const std::string& text : tables) {
    const auto table = read_table(text);
    if (!table) continue;
    if (table->begins) bridges.push_back(table->bridge);
    if (table->has_mapping) mappings[table->bridge.terms.name].push_back(table->mapping);
  }
  for (WantedBridge& bridge : bridges) {
    bridge.terms.mappings = mappings[bridge.terms.name];
    bridge.queue_max = queue_max_of(bridge, bridges.size());
  }
  return bridges;
}

std::string wrong_bridge_tables(const std::vector<std::string>& tables) {
  const std::vector<WantedBridge> bridges = bridges_of_tables(tables);
  std::map<std::string, size_t> names;
  for (const WantedBridge& bridge : bridges) {
    const std::string& name = bridge.terms.name;
    if (++names[name] > 1) return "bridge " + name + " has two tables with an address";
    if (const std::string why = wrong_bridge(bridge); !why.empty()) return "bridge " + name + ": " + why;
  }
  for (const std::string& text : tables)
    if (const auto table = read_table(text); table && !names.contains(table->bridge.terms.name))
      return "bridge " + table->bridge.terms.name + ": no table says its address";
  return bridges.size() > kBridgesMax ? "more than 64 bridges" : wrong_pairs(bridges);
}

std::vector<StreamDeclaration> streams_of_bridges(const std::vector<WantedBridge>& bridges) {
  std::vector<StreamDeclaration> streams;
  for (const WantedBridge& bridge : bridges) {
    size_t number = 0;
    for (const Mapping& mapping : bridge.terms.mappings) {
      if (mapping.direction != Direction::out) continue;
      ++number;
      if (mapping.qos == 0) continue;
      StreamDeclaration stream;
      stream.name = "bridge." + bridge.terms.name + "." + std::to_string(number);
      stream.filter = mapping.local_filter();
      stream.retention_ms = bridge.max_age_ms;
      stream.retention_bytes = bridge.max_bytes;
      stream.qos0 = true;
      streams.push_back(std::move(stream));
    }
  }
  return streams;
}

}  // namespace heptane::iot::bridge
