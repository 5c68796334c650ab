// `heptane at POSITION|TIME ...`: the state as it was, made again from a data directory's snapshots and log; beside a running
// server too, which is not asked.
#include <CLI/CLI.hpp>
#include <functional>
#include <iostream>
#include <map>
#include <memory>

#include "kernel/base/time_text.h"
#include "kernel/cli/command.h"
#include "kernel/cli/position.h"
#include "kernel/net/http/json_writer.h"
#include "kernel/server/past_state.h"

namespace heptane::cli {

namespace {

struct AtArguments {
  std::string data = "heptane-data";
  std::string moment;
  bool json = false;
};

std::optional<server::PastMoment> parse_moment(const std::string& text) {
  server::PastMoment moment;
  if (const std::optional<Position> position = parse_position(text); position && position->shard == 0) {
    moment.sequence = position->sequence;
    return moment;
  }
  const std::optional<LogTime> time = parse_time(text);
  if (!time) return std::nullopt;
  moment.time = *time;
  return moment;
}

void print_streams(const server::PastState& past, const std::vector<streams::StreamInfo>& streams, bool json) {
  if (!json) {
    std::printf("At %s, %s:\n%-40s %10s %14s\n", position_text(0, past.sequence()).c_str(),
                time_text(past.time()).c_str(), "stream", "partition", "end offset");
    for (const streams::StreamInfo& stream : streams)
      for (size_t i = 0; i < stream.partitions.size(); ++i)
        std::printf("%-40s %10zu %14lld\n", stream.name.c_str(), i,
                    static_cast<long long>(stream.partitions[i].durable_end));
    return;
  }
  http::JsonWriter out;
  out.begin_object().key("position").text(position_text(0, past.sequence())).key("time").text(time_text(past.time()));
  out.key("streams").begin_array();
  for (const streams::StreamInfo& stream : streams) {
    out.begin_object().key("name").text(stream.name).key("partitions").begin_array();
    for (const streams::PartitionInfo& partition : stream.partitions)
      out.begin_object().key("id").number(partition.id).key("end_offset").number(partition.durable_end).end_object();
    out.end_array().end_object();
  }
  out.end_array().end_object();
  std::cout << out.take() << "\n";
}

void print_hash(const server::PastState& past, bool json) {
  const std::string position = position_text(0, past.sequence());
  const std::string hash = to_hex(past.state_hash());
  if (json)
    std::cout << R"({"position":")" << position << R"(","time":")" << time_text(past.time()) << R"(","state_hash":")"
              << hash << "\"}\n";
  else
    std::cout << "At " << position << ", " << time_text(past.time()) << ": state " << hash << "\n";
}

using Show = std::function<Result<void>(const server::PastState&, const AtArguments&)>;

Result<void> look(const AtArguments& arguments, const Show& show, MakeModules make_modules) {
  const std::optional<server::PastMoment> moment = parse_moment(arguments.moment);
  if (!moment)
    return Error{
        Errc::invalid_argument,
        arguments.moment + " is no moment: say a position such as 0:123 or a time such as 2026-11-28T18:00:00Z"};
  SystemDisk disk;
  server::PastState past(disk, arguments.data, make_modules());
  HEPTANE_TRY(past.go_to(*moment));
  return show(past, arguments);
}

Result<void> show_hash(const server::PastState& past, const AtArguments& arguments) {
  print_hash(past, arguments.json);
  return {};
}

Result<void> show_streams(const server::PastState& past, const AtArguments& arguments) {
  const Result<std::vector<streams::StreamInfo>> infos = past.streams();
  if (!infos) return infos.error();
  print_streams(past, *infos, arguments.json);
  return {};
}

// The same view of the modules that hold the state as it was.
Show show_view(const server::PastView& view) {
  return [group = view.group, name = view.name](const server::PastState& past,
                                                const AtArguments& arguments) -> Result<void> {
    for (const auto& module : past.modules())
      for (const server::PastView& found : module->past_views())
        if (found.group == group && found.name == name) std::cout << found.show(arguments.json);
    return {};
  };
}

}  // namespace

void add_at(CLI::App& app, Context& context) {
  auto arguments = std::make_shared<AtArguments>();
  CLI::App* at =
      app.add_subcommand("at", "The state as it was behind a command or at a time, made again from snapshots and log.");
  at->add_option("MOMENT", arguments->moment, "0:123, or 2026-11-28T18:00:00Z")->required();
  at->require_subcommand(1);
  const auto part = [&context, arguments](CLI::App* parent, const std::string& name, const std::string& help,
                                          Show show) {
    CLI::App* command = parent->add_subcommand(name, help);
    command->add_option("--data", arguments->data, "Data directory")->capture_default_str();
    command->add_flag("--json", arguments->json, "One JSON object");
    command->callback([arguments, show = std::move(show), &context] {
      const Result<void> looked = look(*arguments, show, context.make_modules);
      if (looked) return;
      std::cerr << "heptane: " << looked.error().message << "\n";
      context.exit_code = looked.error().code == Errc::invalid_argument ? kUsage : kFailed;
    });
  };
  part(at, "streams", "The streams and the ends of their partitions.", show_streams);
  part(at, "hash", "The hash of the whole state.", show_hash);
  std::map<std::string, CLI::App*> groups;
  for (const auto& module : context.make_modules())
    for (const server::PastView& view : module->past_views()) {
      CLI::App*& group = groups[view.group];
      if (group == nullptr) {
        group = at->add_subcommand(view.group, "What the " + view.group + " held.");
        group->require_subcommand(1);
      }
      part(group, view.name, view.help, show_view(view));
    }
}

}  // namespace heptane::cli
