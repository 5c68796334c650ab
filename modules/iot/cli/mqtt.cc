#include "modules/iot/cli/mqtt.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "kernel/cli/http_client.h"
#include "kernel/cli/server_commands.h"
#include "kernel/net/http/json.h"

namespace heptane::iot {

namespace {

using cli::HttpClient;
using http::JsonValue;

const std::string kRoot = "/api/v1/mqtt/";

struct MqttArguments {
  std::string server = cli::kDefaultServer;
  bool json = false;
  std::string client;
  std::string topic;
  std::string filter;
  bool payload = false;
  bool no_will = false;
  int64_t seconds = 60;
  int64_t limit = -1;
};
using Run = int (*)(const MqttArguments&);

int failed(const Error& error) {
  std::cerr << "heptane: " << error.message << "\n";
  return error.code == Errc::closed ? cli::kRefused : cli::kFailed;
}

std::string text_of(const JsonValue& object, std::string_view name) {
  const auto value = object.find(name);
  if (!value) return "";
  return std::string(value->type() == http::JsonType::text ? value->text() : value->raw());
}

// Whatever clients call themselves and their topics: nothing of it steers a terminal.
std::string shown(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  return text;
}

bool is(const JsonValue& object, std::string_view name) { return text_of(object, name) == "true"; }

using Row = void (*)(const JsonValue&);

// All pages of a list; `path` ends so that a parameter can follow.
int list(const MqttArguments& arguments, const std::string& path, std::string_view name, Row row) {
  HttpClient client(arguments.server);
  for (std::string after;;) {
    const std::string page = after.empty() ? path : path + "&after=" + HttpClient::escaped(after);
    Result<std::string> answer = client.call("GET", page.starts_with('/') ? page : kRoot + page);
    if (!answer) return failed(answer.error());
    const auto document = http::JsonDocument::parse(std::move(*answer));
    if (!document) return failed(document.error());
    const auto rows = (*document)->root().find(name);
    for (auto one = rows ? rows->first() : std::nullopt; one; one = one->next()) {
      if (arguments.json)
        std::cout << one->raw() << '\n';
      else
        row(*one);
    }
    std::cout.flush();
    after = text_of((*document)->root(), "next");
    if (after.empty() || !std::cout.good()) return cli::kOk;
  }
}

// Lists.

void print_client(const JsonValue& client) {
  std::printf("%-32s %-12s %-22s %-6s %8s %8s %8s %8s %10s %10s  %s\n", shown(text_of(client, "client")).c_str(),
              shown(text_of(client, "user")).c_str(), text_of(client, "address").c_str(),
              text_of(client, "version").c_str(), text_of(client, "queued").c_str(),
              text_of(client, "in_flight").c_str(), text_of(client, "dropped").c_str(), text_of(client, "lost").c_str(),
              text_of(client, "messages_in").c_str(), text_of(client, "messages_out").c_str(),
              shown(text_of(client, "last_error")).c_str());
}

void print_client_whole(const JsonValue& client) {
  for (const char* name :
       {"client",       "user",         "connected",     "last_seen_ms", "address",    "version",      "keep_alive_s",
        "connected_ms", "durable",      "subscriptions", "queued",       "in_flight",  "dropped",      "lost",
        "messages_in",  "messages_out", "bytes_in",      "bytes_out",    "last_error", "last_error_ms"})
    if (client.find(name)) std::printf("%-16s %s\n", name, shown(text_of(client, name)).c_str());
  const auto history = client.find("history");
  for (auto one = history ? history->first() : std::nullopt; one; one = one->next())
    std::printf("%-16s %-13s %-22s %s\n", text_of(*one, "at_ms").c_str(), text_of(*one, "event").c_str(),
                text_of(*one, "address").c_str(), shown(text_of(*one, "reason")).c_str());
}

int one_client(const MqttArguments& arguments) {
  HttpClient client(arguments.server);
  Result<std::string> answer = client.call("GET", kRoot + "clients/" + HttpClient::escaped(arguments.client));
  if (!answer) return failed(answer.error());
  const auto document = http::JsonDocument::parse(std::move(*answer));
  if (!document) return failed(document.error());
  if (arguments.json)
    std::cout << (*document)->root().raw() << '\n';
  else
    print_client_whole((*document)->root());
  return cli::kOk;
}

int clients(const MqttArguments& arguments) {
  if (!arguments.client.empty()) return one_client(arguments);
  if (!arguments.json)
    std::printf("%-32s %-12s %-22s %-6s %8s %8s %8s %8s %10s %10s  %s\n", "client", "user", "address", "mqtt", "queued",
                "flying", "dropped", "lost", "in", "out", "last error");
  return list(arguments, "clients?limit=1000", "clients", print_client);
}

void print_session(const JsonValue& session) {
  std::printf("%-32s %-12s %-10s %10s %8s %8s %8s  %s\n", shown(text_of(session, "client")).c_str(),
              shown(text_of(session, "user")).c_str(), is(session, "connected") ? "connected" : "away",
              text_of(session, "expiry_s").c_str(), text_of(session, "subscriptions").c_str(),
              text_of(session, "queued").c_str(), text_of(session, "lost").c_str(),
              is(session, "will") ? "has a will" : "");
}

int sessions(const MqttArguments& arguments) {
  if (!arguments.json)
    std::printf("%-32s %-12s %-10s %10s %8s %8s %8s\n", "client", "user", "state", "expiry s", "filters", "queued",
                "lost");
  return list(arguments, "sessions?limit=1000", "sessions", print_session);
}

void print_group(const JsonValue& group) {
  std::printf("%-24s %-40s %8s %9s %8s %8s\n", shown(text_of(group, "group")).c_str(),
              shown(text_of(group, "filter")).c_str(), text_of(group, "durable_members").c_str(),
              text_of(group, "connected").c_str(), text_of(group, "queued").c_str(), text_of(group, "lost").c_str());
}

int groups(const MqttArguments& arguments) {
  if (!arguments.json)
    std::printf("%-24s %-40s %8s %9s %8s %8s\n", "group", "filter", "durable", "connected", "queued", "lost");
  return list(arguments, "groups?limit=1000", "groups", print_group);
}

void print_bridge(const JsonValue& bridge) {
  std::printf("%-20s %-28s %-10s %9s %9s %9s %8s %8s  %s\n", text_of(bridge, "name").c_str(),
              shown(text_of(bridge, "address")).c_str(), text_of(bridge, "state").c_str(),
              text_of(bridge, "acknowledged").c_str(), text_of(bridge, "received").c_str(),
              text_of(bridge, "in_flight").c_str(), text_of(bridge, "refused").c_str(),
              text_of(bridge, "dead_letters").c_str(), shown(text_of(bridge, "last_error")).c_str());
}

int bridges(const MqttArguments& arguments) {
  if (!arguments.json)
    std::printf("%-20s %-28s %-10s %9s %9s %9s %8s %8s  %s\n", "bridge", "remote", "state", "out", "in", "flying",
                "refused", "letters", "last error");
  return list(arguments, "/api/v1/bridges?", "bridges", print_bridge);
}

void print_subscription(const JsonValue& subscription) {
  std::string more = is(subscription, "no_local") ? " no local" : "";
  if (is(subscription, "retain_as_published")) more += " retain as published";
  if (subscription.find("id")) more += " id " + text_of(subscription, "id");
  std::printf("%-32s %-48s %3s %s\n", shown(text_of(subscription, "client")).c_str(),
              shown(text_of(subscription, "filter")).c_str(), text_of(subscription, "qos").c_str(), more.c_str());
}

int subscriptions(const MqttArguments& arguments) {
  if (!arguments.json) std::printf("%-32s %-48s %3s\n", "client", "filter", "qos");
  std::string path = "subscriptions?limit=1000";
  if (!arguments.client.empty()) path = "subscriptions?client=" + HttpClient::escaped(arguments.client);
  if (!arguments.topic.empty()) path += "&topic=" + HttpClient::escaped(arguments.topic);
  return list(arguments, path, "subscriptions", print_subscription);
}

void print_retained(const JsonValue& message) {
  const std::string value =
      message.find("value_base64") ? "base64:" + text_of(message, "value_base64") : text_of(message, "value");
  std::printf("%-48s %3s %10s %-32s %s\n", shown(text_of(message, "topic")).c_str(), text_of(message, "qos").c_str(),
              text_of(message, "payload_bytes").c_str(), shown(text_of(message, "client")).c_str(),
              shown(value).c_str());
}

int retained(const MqttArguments& arguments) {
  if (!arguments.json) std::printf("%-48s %3s %10s %-32s\n", "topic", "qos", "bytes", "client");
  const std::string filter = arguments.filter.empty() ? "#" : arguments.filter;
  const std::string payload = arguments.payload ? "&payload=true" : "";
  return list(arguments, "retained?filter=" + HttpClient::escaped(filter) + payload, "retained", print_retained);
}

// Changes.

int change(const MqttArguments& arguments, const std::string& path) {
  HttpClient client(arguments.server);
  const Result<std::string> answer = client.call("DELETE", kRoot + path);
  if (!answer) return failed(answer.error());
  std::cout << *answer << (answer->ends_with('\n') ? "" : "\n");
  return cli::kOk;
}

std::string of_client(const MqttArguments& arguments, const char* what) {
  return what + HttpClient::escaped(arguments.client) + (arguments.no_will ? "?will=false" : "");
}

int kick(const MqttArguments& arguments) { return change(arguments, of_client(arguments, "clients/")); }

int purge(const MqttArguments& arguments) {
  if (!arguments.filter.empty() && arguments.client.empty())
    return change(arguments, "retained?filter=" + HttpClient::escaped(arguments.filter));
  if (!arguments.client.empty() && arguments.filter.empty())
    return change(arguments, of_client(arguments, "sessions/"));
  std::cerr << "heptane: name the CLIENT whose durable session is purged, or --retained FILTER\n";
  return cli::kUsage;
}

// Watching.

void print_packet(const MqttArguments& arguments, const std::string& line) {
  if (arguments.json) {
    std::cout << line << '\n';
    return;
  }
  const auto document = http::JsonDocument::parse(line);
  if (!document) return;
  const JsonValue row = (*document)->root();
  if (row.find("missed")) {
    std::printf("... %s packets more\n", text_of(row, "missed").c_str());
    return;
  }
  std::printf("%s ", text_of(row, "time_ms").c_str());
  if (row.find("closed")) {
    std::printf("closed: %s\n", text_of(row, "closed").c_str());
    return;
  }
  std::printf("%-3s %-11s %8s B", text_of(row, "direction").c_str(), text_of(row, "packet").c_str(),
              text_of(row, "bytes").c_str());
  for (const char* name : {"id", "qos", "reason", "payload_bytes", "topic", "filters"})
    if (row.find(name)) std::printf("  %s %s", name, shown(text_of(row, name)).c_str());
  for (const char* name : {"retain", "dup"})
    if (is(row, name)) std::printf("  %s", name);
  std::printf("\n");
}

int trace(const MqttArguments& arguments) {
  HttpClient client(arguments.server);
  cli::HttpRequestOptions options;
  std::string kept;
  options.take_answer = [&](std::string_view bytes) {
    kept += bytes;
    for (size_t end = kept.find('\n'); end != std::string::npos; end = kept.find('\n')) {
      if (end > 0) print_packet(arguments, kept.substr(0, end));
      kept.erase(0, end + 1);
    }
    std::fflush(stdout);
    std::cout.flush();
    return std::cout.good();
  };
  std::string path = "clients/" + HttpClient::escaped(arguments.client) +
                     "/trace?wait=true&seconds=" + std::to_string(arguments.seconds);
  if (arguments.limit >= 0) path += "&limit=" + std::to_string(arguments.limit);
  const Result<std::string> answer = client.call("GET", kRoot + path, options);
  return answer ? static_cast<int>(cli::kOk) : failed(answer.error());
}

}  // namespace

void add_mqtt(CLI::App& app, cli::Context& context) {
  auto arguments = std::make_shared<MqttArguments>();
  CLI::App* mqtt = app.add_subcommand("mqtt", "The MQTT broker of a running server.");
  mqtt->require_subcommand(1);
  const auto part = cli::server_commands(*mqtt, arguments, context);
  const auto lists = [&](const char* name, const char* help, Run run) {
    CLI::App* command = part(name, help, run);
    command->add_flag("--json", arguments->json, "A JSON object a line");
    return command;
  };
  lists("clients", "Clients that are connected; one, connected or not, with its last connections.", clients)
      ->add_option("CLIENT", arguments->client, "Its identifier; absent: all that are connected");
  lists("sessions", "Durable sessions, of clients that are away too.", sessions);
  lists("groups", "Shared groups that have a queue: those with a durable member.", groups);
  lists("bridges", "Bridges to other brokers, and how they are.", bridges);
  CLI::App* subscribed = lists("subscriptions", "Subscriptions of clients that are connected.", subscriptions);
  CLI::Option* of = subscribed->add_option("--client", arguments->client, "Only this one's, also of one that is away");
  subscribed->add_option("--topic", arguments->topic, "Only those that match this topic")->excludes(of);
  CLI::App* kept = lists("retained", "Retained messages.", retained);
  kept->add_option("FILTER", arguments->filter, "A topic filter; absent: #");
  kept->add_flag("--payload", arguments->payload, "What is in them, too");
  CLI::App* kicked = part("kick", "End a client's connection; its durable session stays.", kick);
  kicked->add_option("CLIENT", arguments->client, "Its identifier")->required();
  kicked->add_flag("--no-will", arguments->no_will, "Its will is not published");
  CLI::App* purged = part("purge", "End a client's durable session, or take retained messages away.", purge);
  purged->add_option("CLIENT", arguments->client, "Whose session");
  purged->add_option("--retained", arguments->filter, "A topic filter");
  purged->add_flag("--no-will", arguments->no_will, "The session's will is not published");
  CLI::App* traced = lists("trace", "Print a client's packets as they come and go, without payload.", trace);
  traced->add_option("CLIENT", arguments->client, "Its identifier; it need not be connected yet")->required();
  traced->add_option("--seconds", arguments->seconds, "For how long")->capture_default_str();
  traced->add_option("--limit", arguments->limit, "At most so many packets");
}

}  // namespace heptane::iot
