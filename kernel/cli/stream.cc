// `heptane stream ls | describe | create | alter | delete | append | tail`: the streams of a running server.
#include <sys/random.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "kernel/base/hash128.h"
#include "kernel/cli/command.h"
#include "kernel/cli/http_client.h"
#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"

namespace heptane::cli {

namespace {

constexpr size_t kAppendRecords = 1000;  // of one request, and
constexpr size_t kAppendBytes = size_t{1} << 20;
constexpr int64_t kTailWaitMs = 20'000;
constexpr int kAppendTries = 60;

struct StreamArguments {
  std::string server = kDefaultServer;
  std::string name;
  bool json = false;
  uint32_t partitions = 1;
  uint32_t partition = 0;
  int64_t retention_ms = -1;
  int64_t retention_bytes = -1;
  std::string key;
  int64_t offset = -1;
  std::string from = "end";
  int64_t limit = -1;
  bool stop_at_end = false;
};

int failed(const Error& error) {
  std::cerr << "heptane: " << error.message << "\n";
  return error.code == Errc::closed ? kRefused : kFailed;
}

std::string path_of(const StreamArguments& arguments) {
  return "/api/v1/streams/" + HttpClient::escaped(arguments.name);
}

int64_t number(const http::JsonValue& object, std::string_view name, int64_t otherwise) {
  const auto value = object.find(name);
  return value && value->integer() ? *value->integer() : otherwise;
}

void print_row(const http::JsonValue& stream) {
  const auto name = stream.find("name");
  int64_t records = 0;
  const auto partitions = stream.find("partitions");
  for (auto part = partitions ? partitions->first() : std::nullopt; part; part = part->next())
    records += number(*part, "end_offset", 0) - number(*part, "first_offset", 0);
  const int64_t ms = number(stream, "retention_ms", -1);
  const int64_t bytes = number(stream, "retention_bytes", -1);
  std::string kept = ms < 0 && bytes < 0 ? "for ever" : "";
  if (ms >= 0) kept += std::to_string(ms) + " ms";
  if (bytes >= 0) kept += (ms >= 0 ? ", " : "") + std::to_string(bytes) + " B";
  std::printf("%-40s %10u %14lld  %s\n", std::string(name ? name->text() : "").c_str(),
              partitions ? partitions->size() : 0, static_cast<long long>(records), kept.c_str());
}

void print_partitions(const http::JsonValue& stream) {
  std::printf("\n%-10s %10s %16s %16s\n", "partition", "id", "first offset", "end offset");
  const auto partitions = stream.find("partitions");
  int index = 0;
  for (auto part = partitions ? partitions->first() : std::nullopt; part; part = part->next())
    std::printf("%-10d %10lld %16lld %16lld\n", index++, static_cast<long long>(number(*part, "id", 0)),
                static_cast<long long>(number(*part, "first_offset", 0)),
                static_cast<long long>(number(*part, "end_offset", 0)));
}

int show(const StreamArguments& arguments, const std::string& path, bool one) {
  HttpClient client(arguments.server);
  Result<std::string> answer = client.call("GET", path);
  if (!answer) return failed(answer.error());
  if (arguments.json) {
    std::cout << *answer << (answer->ends_with('\n') ? "" : "\n");
    return kOk;
  }
  const auto document = http::JsonDocument::parse(std::move(*answer));
  if (!document) return failed(document.error());
  std::printf("%-40s %10s %14s  %s\n", "stream", "partitions", "records", "kept");
  if (one) {
    print_row((*document)->root());
    print_partitions((*document)->root());
    return kOk;
  }
  const auto streams = (*document)->root().find("streams");
  for (auto stream = streams ? streams->first() : std::nullopt; stream; stream = stream->next()) print_row(*stream);
  return kOk;
}

int change(const StreamArguments& arguments, std::string_view method, const std::string& path, std::string body) {
  HttpClient client(arguments.server);
  HttpRequestOptions options;
  options.body = std::move(body);
  const Result<std::string> answer = client.call(method, path, options);
  if (!answer) return failed(answer.error());
  std::cout << *answer << (answer->ends_with('\n') ? "" : "\n");
  return kOk;
}

void write_config(http::JsonWriter& out, const StreamArguments& arguments) {
  if (arguments.retention_ms >= 0) out.key("retention_ms").number(arguments.retention_ms);
  if (arguments.retention_bytes >= 0) out.key("retention_bytes").number(arguments.retention_bytes);
}

int create(const StreamArguments& arguments) {
  http::JsonWriter out;
  out.begin_object().key("name").text(arguments.name).key("partitions").number(arguments.partitions);
  write_config(out, arguments);
  out.end_object();
  return change(arguments, "POST", "/api/v1/streams", out.take());
}

int alter(const StreamArguments& arguments) {
  http::JsonWriter out;
  out.begin_object();
  write_config(out, arguments);
  out.end_object();
  return change(arguments, "PUT", path_of(arguments), out.take());
}

// Appending.

std::string random_text() {
  uint64_t words[2] = {};
  if (::getrandom(words, sizeof words, 0) != sizeof words) return {};
  return to_hex(Hash128{words[0], words[1]});
}

std::string record_of(const StreamArguments& arguments, const std::string& line) {
  if (arguments.json) return line + "\n";
  http::JsonWriter out;
  out.begin_object();
  if (!arguments.key.empty()) out.key("key").text(arguments.key);
  if (http::valid_utf8(line))
    out.key("value").text(line);
  else
    out.key("value_base64").text(http::base64_encoded(line));
  out.end_object();
  return out.take() + "\n";
}

// The key of a request makes a repeat harmless: it is sent until an answer comes.
Result<void> send_lines(HttpClient& client, const StreamArguments& arguments, const std::string& body,
                        const std::string& key) {
  HttpRequestOptions options;
  options.body = body;
  options.content_type = "application/x-ndjson";
  options.headers = {"Idempotency-Key: " + key};
  const std::string path = path_of(arguments) + "/records?partition=" + std::to_string(arguments.partition);
  for (int tries = 1;; ++tries) {
    const Result<std::string> answer = client.call("POST", path, options);
    if (answer) return {};
    const Errc code = answer.error().code;
    if (tries == kAppendTries || (code != Errc::closed && code != Errc::deadline && code != Errc::overloaded))
      return answer.error();
    ::sleep(1);
  }
}

int append(const StreamArguments& arguments) {
  HttpClient client(arguments.server);
  const std::string run = random_text();
  if (run.empty()) return failed({Errc::io, "the system gives no random bytes"});
  uint64_t records = 0;
  uint64_t requests = 0;
  std::string body;
  uint64_t held = 0;
  const auto flush = [&]() -> Result<void> {
    if (held == 0) return {};
    HEPTANE_TRY(send_lines(client, arguments, body, run + "-" + std::to_string(requests++)));
    records += std::exchange(held, 0);
    body.clear();
    return {};
  };
  Result<void> done;
  for (std::string line; done && std::getline(std::cin, line);) {
    if (line.empty() && arguments.json) continue;
    body += record_of(arguments, line);
    ++held;
    // What somebody types goes at once.
    if (held == kAppendRecords || body.size() >= kAppendBytes || std::cin.rdbuf()->in_avail() == 0) done = flush();
  }
  if (done) done = flush();
  if (!done) {
    std::cerr << "heptane: " << records << " records were appended and synced before this:\n";
    return failed(done.error());
  }
  std::cerr << records << " records appended and synced.\n";
  return kOk;
}

// Reading.

void print_record(const StreamArguments& arguments, const http::JsonValue& record) {
  if (arguments.json) {
    std::cout << record.raw() << '\n';
    return;
  }
  std::cout << number(record, "offset", 0) << '\t';
  if (const auto key = record.find("key"); key && key->type() == http::JsonType::text) std::cout << key->text();
  if (const auto key = record.find("key_base64")) std::cout << "base64:" << key->text();
  std::cout << '\t';
  if (const auto value = record.find("value"))
    std::cout << (value->type() == http::JsonType::text ? value->text() : value->raw());
  if (const auto value = record.find("value_base64")) std::cout << "base64:" << value->text();
  std::cout << '\n';
}

// The end of the partition as it is now.
Result<int64_t> end_of(HttpClient& client, const StreamArguments& arguments) {
  Result<std::string> answer = client.call("GET", path_of(arguments));
  if (!answer) return std::move(answer.error());
  const auto document = http::JsonDocument::parse(std::move(*answer));
  if (!document) return document.error();
  const auto partitions = (*document)->root().find("partitions");
  uint32_t index = 0;
  for (auto part = partitions ? partitions->first() : std::nullopt; part; part = part->next())
    if (index++ == arguments.partition) return number(*part, "end_offset", 0);
  return Error{Errc::not_found, arguments.name + " has no partition " + std::to_string(arguments.partition)};
}

// offset=N, time=MS or nothing (from the first kept).
Result<std::string> beginning(HttpClient& client, const StreamArguments& arguments) {
  if (arguments.offset >= 0) return "&offset=" + std::to_string(arguments.offset);
  if (arguments.from == "start") return std::string();
  if (arguments.from == "end") {
    const Result<int64_t> end = end_of(client, arguments);
    if (!end) return end.error();
    return "&offset=" + std::to_string(*end);
  }
  if (arguments.from.find_first_not_of("0123456789") != std::string::npos)
    return Error{Errc::invalid_argument, "--from is start, end or a time in milliseconds since 1970"};
  return "&time=" + arguments.from;
}

int tail(const StreamArguments& arguments) {
  HttpClient client(arguments.server);
  Result<std::string> at = beginning(client, arguments);
  if (!at) return failed(at.error());
  int64_t left = arguments.limit < 0 ? INT64_MAX : arguments.limit;
  while (left > 0 && std::cout.good()) {
    std::string path = path_of(arguments) + "/records?partition=" + std::to_string(arguments.partition) + *at;
    path += "&limit=" + std::to_string(std::min<int64_t>(left, 1000));
    if (!arguments.stop_at_end) path += "&wait_ms=" + std::to_string(kTailWaitMs);
    Result<std::string> answer = client.call("GET", path);
    if (!answer) return failed(answer.error());
    const auto document = http::JsonDocument::parse(std::move(*answer));
    if (!document) return failed(document.error());
    const http::JsonValue root = (*document)->root();
    const auto records = root.find("records");
    for (auto record = records ? records->first() : std::nullopt; record; record = record->next(), --left)
      print_record(arguments, *record);
    std::cout.flush();
    const int64_t next = number(root, "next_offset", 0);
    *at = "&offset=" + std::to_string(next);
    if (arguments.stop_at_end && next >= number(root, "end_offset", 0)) break;
  }
  return kOk;
}

}  // namespace

void add_stream(CLI::App& app, Context& context) {
  auto arguments = std::make_shared<StreamArguments>();
  CLI::App* stream = app.add_subcommand("stream", "The streams of a running server.");
  stream->require_subcommand(1);
  const auto part = [&](const char* name, const char* help, int (*run)(const StreamArguments&), bool named) {
    CLI::App* command = stream->add_subcommand(name, help);
    command->add_option("--server", arguments->server, "The admin listener")->capture_default_str();
    if (named) command->add_option("NAME", arguments->name, "The stream")->required();
    command->callback([arguments, run, &context] { context.exit_code = run(*arguments); });
    return command;
  };
  const auto with_config = [&](CLI::App* command) {
    command->add_option("--retention-ms", arguments->retention_ms, "Records older than this go; absent: for ever");
    command->add_option("--retention-bytes", arguments->retention_bytes, "Older records beyond this size go");
  };
  part(
      "ls", "All streams.", [](const StreamArguments& a) { return show(a, "/api/v1/streams", false); }, false)
      ->add_flag("--json", arguments->json, "As the server says it");
  part(
      "describe", "One stream with its partitions.", [](const StreamArguments& a) { return show(a, path_of(a), true); },
      true)
      ->add_flag("--json", arguments->json, "As the server says it");
  CLI::App* created = part("create", "Make a stream.", create, true);
  created->add_option("--partitions", arguments->partitions, "How many")->capture_default_str();
  with_config(created);
  with_config(part("alter", "Set how long records are kept; what is not named is for ever.", alter, true));
  part(
      "delete", "The stream and all its records are gone.",
      [](const StreamArguments& a) { return change(a, "DELETE", path_of(a), ""); }, true);
  CLI::App* appended =
      part("append", "Lines of the standard input become records; ends when all are synced.", append, true);
  appended->add_option("--partition", arguments->partition, "Which")->capture_default_str();
  appended->add_option("--key", arguments->key, "The key of every record");
  appended->add_flag("--json", arguments->json, R"(A line is {"key": ..., "value": ...})");
  CLI::App* tailed = part("tail", "Print records as they come: offset, key, value.", tail, true);
  tailed->add_option("--partition", arguments->partition, "Which")->capture_default_str();
  tailed->add_option("--offset", arguments->offset, "From this offset on");
  tailed->add_option("--from", arguments->from, "start, end, or milliseconds since 1970")->capture_default_str();
  tailed->add_option("--limit", arguments->limit, "At most so many records");
  tailed->add_flag("--stop-at-end", arguments->stop_at_end, "Do not wait for more");
  tailed->add_flag("--json", arguments->json, "A JSON object a line");
}

}  // namespace heptane::cli
