// `heptane explain SHARD:SEQUENCE`: the command at a position, where it came from and which records it made, out of the files
// of a data directory; beside a running server too. The running server adds the streams' names, and the position of an id.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>

#include "kernel/archive/archive_store.h"
#include "kernel/archive/explain.h"
#include "kernel/cli/command.h"
#include "kernel/cli/explained.h"
#include "kernel/cli/http_client.h"
#include "kernel/cli/position.h"
#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"

namespace heptane::cli {

namespace {

std::string where(const archive::ExplainedRecord& record, const Places& names) {
  const auto found = names.find(record.partition);
  const std::string place = found == names.end() ? "partition id " + std::to_string(record.partition)
                                                 : found->second.stream + "/" + std::to_string(found->second.partition);
  return place + " offset " + std::to_string(record.offset);
}

void print_text(const archive::Explanation& found, const Places& names) {
  std::cout << found.position << "  " << found.time << "  " << found.what << "\n";
  for (const auto& [name, value] : found.facts) std::cout << "  " << name << ": " << value << "\n";
  std::cout << (found.records.empty() ? "  it made no records\n" : "  it made:\n");
  for (const archive::ExplainedRecord& record : found.records)
    std::cout << "    " << where(record, names) << "  " << record.text << "\n";
  if (found.records_left_out > 0) std::cout << "    and " << found.records_left_out << " more\n";
}

void print_json(const archive::Explanation& found, const Places& names) {
  http::JsonWriter out;
  out.begin_object().key("position").text(found.position).key("time").text(found.time).key("what").text(found.what);
  for (const auto& [name, value] : found.facts) out.key(name).text(value);
  out.key("records").begin_array();
  for (const archive::ExplainedRecord& record : found.records) {
    out.begin_object();
    if (const auto place = names.find(record.partition); place != names.end())
      out.key("stream").text(place->second.stream).key("partition").number(place->second.partition);
    out.key("partition_id").number(record.partition).key("offset").number(record.offset);
    out.key("text").text(record.text).end_object();
  }
  out.end_array().key("records_left_out").unsigned_number(found.records_left_out).end_object();
  std::cout << out.take() << "\n";
}

CommandTable commands_of_the_kernel() {
  CommandTable commands;
  commands.name_machine(machine_ids::kKernel, "kernel");
  commands.name_machine(machine_ids::kStreams, "streams");
  commands.name_machine(machine_ids::kAuth, "auth");
  commands.name_machine(machine_ids::kBlobs, "blobs");
  return commands;
}

// The position of the command that made what has this id, as the running server says; not_found: nothing has it.
Result<std::string> position_of_id(const ExplainArguments& arguments, const Context& context) {
  constexpr std::string_view kId = "{id}";
  HttpClient client(arguments.server);
  Error error{Errc::not_found, "nothing has the id " + arguments.position, 0};
  for (const std::unique_ptr<server::Module>& module : context.make_modules()) {
    std::string path = module->position_path();
    if (path.empty()) continue;
    path.replace(path.find(kId), kId.size(), arguments.position);
    Result<std::string> answer = client.call("GET", path);
    if (!answer) {
      error = answer.error();
      continue;
    }
    const auto document = http::JsonDocument::parse(std::move(*answer));
    const auto position = document ? (*document)->root().find("position") : std::nullopt;
    if (position) return std::string(position->text());
  }
  return error;
}

bool is_id(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

Places places(const std::string& server) {
  Places found;
  HttpClient client(server);
  HttpRequestOptions options;
  options.timeout_seconds = 2;
  Result<std::string> answer = client.call("GET", "/api/v1/streams", options);
  if (!answer) return found;
  const auto document = http::JsonDocument::parse(std::move(*answer));
  const auto streams = document ? (*document)->root().find("streams") : std::nullopt;
  for (auto stream = streams ? streams->first() : std::nullopt; stream; stream = stream->next()) {
    const auto name = stream->find("name");
    const auto partitions = stream->find("partitions");
    uint32_t index = 0;
    for (auto part = partitions ? partitions->first() : std::nullopt; part; part = part->next(), ++index)
      if (const auto id = part->find("id"); name && id && id->integer())
        found[static_cast<PartitionId>(*id->integer())] = {std::string(name->text()), index};
  }
  return found;
}

Result<archive::Explanation> explained(const std::string& data, const Position& position, const Context& context) {
  SystemDisk disk;
  const server::Modules modules = context.make_modules();
  ViewRenderers renderers;
  CommandTable commands = commands_of_the_kernel();
  for (const std::unique_ptr<server::Module>& module : modules) {
    for (const StateMachine* machine : module->machines()) {
      renderers.add(*machine);
      commands.name_machine(machine->id(), machine->name());
    }
    commands.add(module->command_words());
  }
  return archive::explain(disk, data, position.shard, position.sequence, renderers, commands);
}

int explain(const ExplainArguments& arguments, const Context& context) {
  const Result<std::string> text =
      is_id(arguments.position) ? position_of_id(arguments, context) : Result<std::string>(arguments.position);
  if (!text) {
    std::cerr << "heptane: " << text.error().message << "\n";
    return text.error().code == Errc::closed ? kRefused : kFailed;
  }
  const std::optional<Position> position = parse_position(*text);
  if (!position) {
    std::cerr << "heptane: " << *text
              << " is no position: say SHARD:SEQUENCE, for example 0:123, or the id of a transfer\n";
    return kUsage;
  }
  const Result<archive::Explanation> found = explained(arguments.data, *position, context);
  if (!found) {
    std::cerr << "heptane: " << found.error().message << "\n";
    return kFailed;
  }
  const Places names = places(arguments.server);
  arguments.json ? print_json(*found, names) : print_text(*found, names);
  return kOk;
}

void add_explain(CLI::App& app, Context& context) {
  auto arguments = std::make_shared<ExplainArguments>();
  arguments->server = kDefaultServer;
  CLI::App* command = app.add_subcommand("explain", "What stands at a position of the log and which records it made.");
  command
      ->add_option(
          "POSITION", arguments->position,
          "SHARD:SEQUENCE, for example 0:123; or a transfer's id, of which the running server knows the position")
      ->required();
  command->add_option("--data", arguments->data, "Data directory")->capture_default_str();
  command->add_option("--server", arguments->server, "The admin listener, for the streams' names and ids")
      ->capture_default_str();
  command->add_flag("--json", arguments->json, "One JSON object");
  command->callback([arguments, &context] { context.exit_code = explain(*arguments, context); });
}

}  // namespace heptane::cli
