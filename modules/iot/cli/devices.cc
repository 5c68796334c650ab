#include "modules/iot/cli/devices.h"

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>

#include "kernel/cli/http_client.h"
#include "kernel/cli/server_commands.h"
#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"
#include "modules/iot/cli/credentials.h"
#include "modules/iot/domain/devices/csv.h"

namespace heptane::iot {

namespace {

using cli::failed;
using cli::HttpClient;
using http::JsonValue;
using http::JsonWriter;

const std::string kRoot = "/api/v1/devices";
const std::string kFleets = "/api/v1/fleets";
constexpr size_t kLinesMax = 1'000;  // as the server takes them
constexpr size_t kLinesBytesMax = size_t{400} << 10;

struct DevicesArguments {
  std::string server = cli::kDefaultServer;
  bool json = false;
  std::string name;
  std::string type;
  std::vector<std::string> attributes;  // NAME=VALUE; NAME alone where one is asked for or taken away
  std::vector<std::string> tags;
  std::vector<std::string> groups;
  std::string tag;
  std::string group;
  std::string attribute;
  std::string query;
  bool connected = false;
  bool away = false;
  bool no_tags = false;
  bool no_groups = false;
  bool no_type = false;
  std::vector<std::string> removed;
  std::string file;
  std::string shadow;
  std::string method;
  std::string payload;
  int timeout_s = 30;
  int connect_timeout_s = 0;
};
using Run = int (*)(const DevicesArguments&);

std::string text_of(const JsonValue& object, std::string_view name) {
  const auto value = object.find(name);
  if (!value) return "";
  return std::string(value->type() == http::JsonType::text ? value->text() : value->raw());
}

std::string joined(const JsonValue& object, std::string_view name) {
  const auto list = object.find(name);
  std::string all;
  for (auto one = list ? list->first() : std::nullopt; one; one = one->next())
    all += (all.empty() ? "" : ";") + std::string(one->text());
  return all;
}

void print_row(const JsonValue& row) {
  std::printf("%-40s %-20s %-9s %8s %-24s %s\n", text_of(row, "name").c_str(), text_of(row, "type").c_str(),
              text_of(row, "connected") == "true" ? "connected" : "away", text_of(row, "version").c_str(),
              joined(row, "groups").c_str(), joined(row, "tags").c_str());
}

std::string list_path(const DevicesArguments& arguments) {
  std::string path = kRoot + "?limit=1000";
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) path += std::string("&") + name + "=" + HttpClient::escaped(value);
  };
  add("type", arguments.type);
  add("tag", arguments.tag);
  add("group", arguments.group);
  const size_t equals = arguments.attribute.find('=');
  add("attribute", arguments.attribute.substr(0, equals));
  if (equals != std::string::npos) path += "&value=" + HttpClient::escaped(arguments.attribute.substr(equals + 1));
  add("query", arguments.query);
  if (arguments.connected) path += "&connected=true";
  if (arguments.away) path += "&connected=false";
  return path;
}

int list(const DevicesArguments& arguments) {
  HttpClient client(arguments.server);
  if (!arguments.json)
    std::printf("%-40s %-20s %-9s %8s %-24s %s\n", "name", "type", "state", "version", "groups", "tags");
  const std::string path = list_path(arguments);
  for (std::string after;;) {
    Result<std::string> answer = client.call("GET", after.empty() ? path : path + "&after=" + after);
    if (!answer) return failed(answer.error());
    const auto document = http::JsonDocument::parse(std::move(*answer));
    if (!document) return failed(document.error());
    const auto rows = (*document)->root().find("devices");
    for (auto one = rows ? rows->first() : std::nullopt; one; one = one->next()) {
      if (arguments.json)
        std::cout << one->raw() << '\n';
      else
        print_row(*one);
    }
    std::fflush(stdout);
    std::cout.flush();
    after = text_of((*document)->root(), "next");
    if (after.empty() || !std::cout.good()) return cli::kOk;
  }
}

std::string path_of(const DevicesArguments& arguments) { return kRoot + "/" + HttpClient::escaped(arguments.name); }

int call(const DevicesArguments& arguments, std::string_view method, const std::string& path, std::string body = {}) {
  return cli::print_answer(arguments.server, method, path, std::move(body));
}

int show(const DevicesArguments& arguments) { return call(arguments, "GET", path_of(arguments)); }

int remove(const DevicesArguments& arguments) { return call(arguments, "DELETE", path_of(arguments)); }

int shadow(const DevicesArguments& arguments) {
  const std::string name = arguments.shadow.empty() ? "" : "?name=" + HttpClient::escaped(arguments.shadow);
  return call(arguments, "GET", path_of(arguments) + "/shadow" + name);
}

constexpr int kSecondsMax = 60;         // as the server takes them
constexpr int kAnswerSeconds = 30;      // that it has besides
constexpr int64_t kFirstFailure = 400;  // of what devices say, as HTTP has it

// What is no JSON the server says.
std::string call_body(const DevicesArguments& arguments) {
  std::string body = "{";
  if (!arguments.payload.empty()) body += "\"payload\":" + arguments.payload + ",";
  body += "\"timeout_seconds\":" + std::to_string(arguments.timeout_s);
  return body + ",\"connect_timeout_seconds\":" + std::to_string(arguments.connect_timeout_s) + "}";
}

int call_method(const DevicesArguments& arguments) {
  HttpClient client(arguments.server);
  cli::HttpRequestOptions options;
  options.body = call_body(arguments);
  options.timeout_seconds = arguments.timeout_s + arguments.connect_timeout_s + kAnswerSeconds;
  Result<std::string> answer =
      client.call("POST", path_of(arguments) + "/methods/" + HttpClient::escaped(arguments.method), options);
  if (!answer) return failed(answer.error());
  std::cout << *answer << (answer->ends_with('\n') ? "" : "\n");
  const auto document = http::JsonDocument::parse(std::move(*answer));
  if (!document) return failed(document.error());
  const auto status = (*document)->root().find("status");
  return status && status->integer().value_or(kFirstFailure) < kFirstFailure ? cli::kOk : cli::kFailed;
}

int list_fleets(const DevicesArguments& arguments) { return call(arguments, "GET", kFleets); }

int drop_fleet(const DevicesArguments& arguments) {
  return call(arguments, "DELETE", kFleets + "/" + HttpClient::escaped(arguments.name));
}

int create_fleet(const DevicesArguments& arguments) {
  JsonWriter out;
  out.begin_object().key("name").text(arguments.name).key("query").text(arguments.query).end_object();
  return call(arguments, "POST", kFleets, out.take());
}

int wrong_usage(const std::string& why) {
  std::cerr << "heptane: " << why << "\n";
  return cli::kUsage;
}

void write_list(JsonWriter& out, std::string_view name, const std::vector<std::string>& texts) {
  out.key(name).begin_array();
  for (const std::string& text : texts) out.text(text);
  out.end_array();
}

// False: one is not NAME=VALUE.
bool write_attributes(JsonWriter& out, const DevicesArguments& arguments) {
  if (arguments.attributes.empty() && arguments.removed.empty()) return true;
  out.key("attributes").begin_object();
  for (const std::string& text : arguments.attributes) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos) return false;
    out.key(text.substr(0, equals)).text(text.substr(equals + 1));
  }
  for (const std::string& name : arguments.removed) out.key(name).null();
  out.end_object();
  return true;
}

int create(const DevicesArguments& arguments) {
  JsonWriter out;
  out.begin_object().key("name").text(arguments.name);
  if (!arguments.type.empty()) out.key("type").text(arguments.type);
  if (!write_attributes(out, arguments)) return wrong_usage("--attribute is NAME=VALUE");
  write_list(out, "tags", arguments.tags);
  write_list(out, "groups", arguments.groups);
  out.end_object();
  return call(arguments, "POST", kRoot, out.take());
}

int update(const DevicesArguments& arguments) {
  JsonWriter out;
  out.begin_object();
  if (!arguments.type.empty() || arguments.no_type) out.key("type").text(arguments.type);
  if (!write_attributes(out, arguments)) return wrong_usage("--attribute is NAME=VALUE");
  if (!arguments.tags.empty() || arguments.no_tags) write_list(out, "tags", arguments.tags);
  if (!arguments.groups.empty() || arguments.no_groups) write_list(out, "groups", arguments.groups);
  out.end_object();
  return call(arguments, "PATCH", path_of(arguments), out.take());
}

// Import: lines of the file that are things go to the server, many at once; what is wrong with the others is told.

class Import {
 public:
  Import(const DevicesArguments& arguments) : file_(arguments.file), client_(arguments.server) {}

  int run(std::string_view text) {
    devices::CsvReader reader(text);
    const Result<devices::CsvRecord> head = reader.next();
    if (!head) return refuse(head.error(), 1);
    const auto columns = devices::csv_columns(*head);
    if (!columns) return refuse(columns.error(), 1);
    while (!reader.done()) {
      const size_t line = reader.line();
      const Result<devices::CsvRecord> record = reader.next();
      if (record && record->cells.size() == 1 && record->cells.front().empty()) continue;  // an empty line
      const Result<devices::Thing> thing =
          record ? devices::csv_thing(*columns, *record) : Result<devices::Thing>(record.error());
      if (!thing) {
        wrong(line, thing.error().message);
        continue;
      }
      add(*thing, line);
      if (lines_.size() < kLinesMax && body_.size() < kLinesBytesMax) continue;
      if (const int code = send(); code != cli::kOk) return code;
    }
    if (const int code = send(); code != cli::kOk) return code;
    std::cout << created_ << " devices created, " << wrong_ << " lines refused\n";
    return wrong_ == 0 ? cli::kOk : cli::kFailed;
  }

 private:
  int refuse(const Error& error, size_t line) {
    wrong(line, error.message);
    return cli::kFailed;
  }

  void wrong(size_t line, std::string_view why) {
    ++wrong_;
    std::cerr << file_ << ":" << line << ": " << why << "\n";
  }

  void add(const devices::Thing& thing, size_t line) {
    JsonWriter out;
    out.begin_object().key("name").text(thing.name);
    if (!thing.type.empty()) out.key("type").text(thing.type);
    out.key("attributes").begin_object();
    for (const auto& [name, value] : thing.attributes) out.key(name).text(value);
    out.end_object();
    write_list(out, "tags", {thing.tags.begin(), thing.tags.end()});
    write_list(out, "groups", {thing.groups.begin(), thing.groups.end()});
    out.end_object();
    const std::string one = out.take();  // ends with a newline
    if (body_.size() + one.size() > kLinesBytesMax && !lines_.empty()) pending_code_ = send();
    body_ += one;
    lines_.push_back(line);
  }

  int send() {
    if (pending_code_ != cli::kOk) return pending_code_;
    if (lines_.empty()) return cli::kOk;
    cli::HttpRequestOptions options;
    options.content_type = "application/x-ndjson";
    options.body = std::exchange(body_, {});
    const std::vector<size_t> lines = std::exchange(lines_, {});
    Result<std::string> answer = client_.call("POST", kRoot, options);
    if (!answer) {
      std::cerr << "heptane: lines " << lines.front() << " to " << lines.back() << " of " << file_
                << " were not acknowledged: " << answer.error().message << "\n";
      return answer.error().code == Errc::closed ? cli::kRefused : cli::kFailed;
    }
    const auto document = http::JsonDocument::parse(std::move(*answer));
    if (!document) return failed(document.error());
    const auto created = (*document)->root().find("created");
    created_ += created ? created->integer().value_or(0) : 0;
    const auto errors = (*document)->root().find("errors");
    for (auto one = errors ? errors->first() : std::nullopt; one; one = one->next()) {
      const auto at = one->find("line");
      const int64_t number = at ? at->integer().value_or(0) : 0;
      if (number < 1 || number > static_cast<int64_t>(lines.size())) continue;
      wrong(lines[static_cast<size_t>(number - 1)], text_of(*one, "message"));
    }
    return cli::kOk;
  }

  const std::string file_;
  HttpClient client_;
  std::string body_;
  std::vector<size_t> lines_;
  int64_t created_ = 0;
  size_t wrong_ = 0;
  int pending_code_ = cli::kOk;
};

int import(const DevicesArguments& arguments) {
  std::ifstream file(arguments.file, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) return wrong_usage(arguments.file + " cannot be read");
  const std::string all = text.str();
  return Import(arguments).run(all);
}

}  // namespace

void add_devices(CLI::App& app, cli::Context& context) {
  auto arguments = std::make_shared<DevicesArguments>();
  CLI::App* devices = app.add_subcommand("devices", "The registry of devices of a running server.");
  devices->require_subcommand(1);
  const auto part = cli::server_commands(*devices, arguments, context);
  const auto named = [&](const char* name, const char* help, Run run) {
    CLI::App* command = part(name, help, run);
    command->add_option("NAME", arguments->name, "The device")->required();
    return command;
  };
  CLI::App* listed = part("list", "Devices, all or those that all of the options say.", list);
  listed->add_flag("--json", arguments->json, "A JSON object a line");
  listed->add_option("--type", arguments->type, "Of this type");
  listed->add_option("--attribute", arguments->attribute, "NAME, or NAME=VALUE");
  listed->add_option("--tag", arguments->tag, "With this tag");
  listed->add_option("--group", arguments->group, "In this group");
  listed->add_option("--query", arguments->query, "That it wants: attributes.site:north AND NOT tags:old");
  CLI::Option* connected = listed->add_flag("--connected", arguments->connected, "That are connected");
  listed->add_flag("--away", arguments->away, "That are not")->excludes(connected);
  named("show", "One device.", show);
  named("shadow", "A device's shadow.", shadow)
      ->add_option("--name", arguments->shadow, "Of a named shadow; absent: the classic one");
  CLI::App* called =
      named("call", "Call a method of a connected device; exit code 1 where it says 400 or more.", call_method);
  called->add_option("METHOD", arguments->method, "The method")->required();
  called->add_option("--payload", arguments->payload, "What it is given: JSON; absent: null");
  called->add_option("--timeout", arguments->timeout_s, "Seconds until it must have answered")
      ->check(CLI::Range(1, kSecondsMax))
      ->capture_default_str();
  called->add_option("--connect-timeout", arguments->connect_timeout_s, "Seconds to wait for it to be connected")
      ->check(CLI::Range(0, kSecondsMax))
      ->capture_default_str();
  named("delete", "Take a device out of the registry.", remove);
  CLI::App* created = named("create", "Register a device.", create);
  CLI::App* updated = named("update", "Change a device; what is not said stays.", update);
  for (CLI::App* command : {created, updated}) {
    command->add_option("--type", arguments->type, "Its type");
    command->add_option("--attribute", arguments->attributes, "NAME=VALUE");
    command->add_option("--tag", arguments->tags, "Its tags");
    command->add_option("--group", arguments->groups, "The groups that it is in");
  }
  updated->add_option("--remove-attribute", arguments->removed, "Attributes that go");
  updated->add_flag("--no-type", arguments->no_type, "It has no type");
  updated->add_flag("--no-tags", arguments->no_tags, "It has no tags");
  updated->add_flag("--no-groups", arguments->no_groups, "It is in no group");
  CLI::App* imported = part("import", "Register the devices of a CSV file; the first line names the columns.", import);
  imported->add_option("FILE", arguments->file, "name, type, tags, groups (with ;), others are attributes")->required();
  part("fleets", "Fleets: groups of devices by a query.", list_fleets);
  named("create-fleet", "Name a query, so that jobs can be for those that it wants.", create_fleet)
      ->add_option("--query", arguments->query, "attributes.site:north AND NOT tags:old")
      ->required();
  named("drop-fleet", "Drop a fleet; jobs that were made for it stay.", drop_fleet);
  add_credentials(*devices, context);
}

}  // namespace heptane::iot
