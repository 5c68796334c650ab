#include "modules/iot/cli/jobs.h"

#include <CLI/CLI.hpp>
#include <chrono>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <thread>

#include "kernel/cli/http_client.h"
#include "kernel/cli/server_commands.h"
#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"
#include "modules/iot/domain/devices/image_link.h"

namespace heptane::iot {

namespace {

using cli::failed;
using cli::HttpClient;
using http::JsonValue;
using http::JsonWriter;

const std::string kRoot = "/api/v1/jobs";
constexpr std::chrono::milliseconds kLookEach{500};

struct JobsArguments {
  std::string server = cli::kDefaultServer;
  bool json = false;
  bool force = false;
  std::string id;
  std::string status;
  std::string reason;
  std::string description;
  std::string document;  // JSON, or @FILE
  std::string url;
  std::string blob;
  int64_t link_minutes = 0;
  std::vector<std::string> things;
  std::vector<std::string> groups;
  int64_t per_minute = 0;
  std::vector<int64_t> stages;
  int64_t advance_percent = 0;
  int64_t abort_percent = 0;
  int64_t abort_minimum = 0;
  int64_t timeout_minutes = 0;
};
using Run = int (*)(const JobsArguments&);

std::string text_of(const JsonValue& object, std::string_view name) {
  const auto value = object.find(name);
  if (!value) return "";
  return std::string(value->type() == http::JsonType::text ? value->text() : value->raw());
}

std::string path_of(const JobsArguments& arguments) { return kRoot + "/" + HttpClient::escaped(arguments.id); }

int call(const JobsArguments& arguments, std::string_view method, const std::string& path, std::string body = {}) {
  return cli::print_answer(arguments.server, method, path, std::move(body));
}

// The statuses that have any, as `SUCCEEDED 3, FAILED 1`.
std::string counts_of(const JsonValue& job) {
  std::string text;
  const auto counts = job.find("counts");
  for (auto one = counts ? counts->first() : std::nullopt; one; one = one->next()) {
    if (one->integer().value_or(0) == 0) continue;
    text += (text.empty() ? "" : ", ") + std::string(one->name()) + " " + std::string(one->raw());
  }
  return text;
}

void print_job(const JsonValue& job) {
  std::printf("%-32s %-20s %s\n", text_of(job, "id").c_str(), text_of(job, "status").c_str(), counts_of(job).c_str());
}

void print_execution(const JsonValue& row) {
  std::printf("%-40s %-12s %8s %s\n", text_of(row, "thing").c_str(), text_of(row, "status").c_str(),
              text_of(row, "version").c_str(), text_of(row, "details").c_str());
}

using Print = void (*)(const JsonValue&);
// All pages of a list.
int print_pages(const JobsArguments& arguments, const std::string& path, std::string_view member, Print print) {
  HttpClient client(arguments.server);
  const std::string first =
      path + "?limit=1000" + (arguments.status.empty() ? "" : "&status=" + HttpClient::escaped(arguments.status));
  for (std::string after;;) {
    Result<std::string> answer = client.call("GET", after.empty() ? first : first + "&after=" + after);
    if (!answer) return failed(answer.error());
    const auto document = http::JsonDocument::parse(std::move(*answer));
    if (!document) return failed(document.error());
    const auto rows = (*document)->root().find(member);
    for (auto one = rows ? rows->first() : std::nullopt; one; one = one->next()) {
      if (arguments.json)
        std::cout << one->raw() << '\n';
      else
        print(*one);
    }
    std::fflush(stdout);
    std::cout.flush();
    after = text_of((*document)->root(), "next");
    if (after.empty() || !std::cout.good()) return cli::kOk;
  }
}

int list(const JobsArguments& arguments) { return print_pages(arguments, kRoot, "jobs", print_job); }

int executions(const JobsArguments& arguments) {
  return print_pages(arguments, path_of(arguments) + "/executions", "executions", print_execution);
}

int show(const JobsArguments& arguments) { return call(arguments, "GET", path_of(arguments)); }

int remove(const JobsArguments& arguments) {
  return call(arguments, "DELETE", path_of(arguments) + (arguments.force ? "?force=true" : ""));
}

int cancel(const JobsArguments& arguments) {
  JsonWriter out;
  out.begin_object();
  if (!arguments.reason.empty()) out.key("reason").text(arguments.reason);
  out.key("force").boolean(arguments.force).end_object();
  return call(arguments, "POST", path_of(arguments) + "/cancel", out.take());
}

bool is_over(const JsonValue& job) {
  if (text_of(job, "status") == "IN_PROGRESS") return false;
  const auto counts = job.find("counts");
  for (const char* open : {"WAITING", "QUEUED", "IN_PROGRESS"})
    if (counts && text_of(*counts, open) != "0") return false;
  return true;
}

// Prints what changes until all is at its end.
int watch(const JobsArguments& arguments) {
  HttpClient client(arguments.server);
  for (std::string before;;) {
    Result<std::string> answer = client.call("GET", path_of(arguments));
    if (!answer) return failed(answer.error());
    const auto document = http::JsonDocument::parse(std::move(*answer));
    if (!document) return failed(document.error());
    const JsonValue job = (*document)->root();
    const std::string line = text_of(job, "status") + ": " + counts_of(job);
    if (line != before) std::cout << line << std::endl;
    before = line;
    if (is_over(job)) return text_of(job, "status") == "COMPLETED" ? cli::kOk : cli::kFailed;
    std::this_thread::sleep_for(kLookEach);
  }
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

void write_plan(JsonWriter& out, const JobsArguments& arguments) {
  if (!arguments.url.empty()) out.key("image").begin_object().key("url").text(arguments.url).end_object();
  if (!arguments.blob.empty()) {
    out.key("image").begin_object().key("blob").text(arguments.blob);
    if (arguments.link_minutes > 0) out.key("link_minutes").number(arguments.link_minutes);
    out.end_object();
  }
  write_list(out, "things", arguments.things);
  write_list(out, "groups", arguments.groups);
  out.key("rollout").begin_object();
  if (arguments.per_minute != 0) out.key("per_minute").number(arguments.per_minute);
  if (!arguments.stages.empty()) {
    out.key("stages_percent").begin_array();
    for (const int64_t percent : arguments.stages) out.number(percent);
    out.end_array();
  }
  if (arguments.advance_percent != 0) out.key("advance_percent").number(arguments.advance_percent);
  out.end_object();
  if (arguments.abort_percent != 0) {
    out.key("abort").begin_object().key("percent").number(arguments.abort_percent);
    if (arguments.abort_minimum != 0) out.key("min_executed").number(arguments.abort_minimum);
    out.end_object();
  }
  if (arguments.timeout_minutes != 0) out.key("in_progress_timeout_minutes").number(arguments.timeout_minutes);
}

int create(const JobsArguments& arguments) {
  std::string document = arguments.document;
  if (document.starts_with('@')) {
    std::ifstream file(document.substr(1), std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    if (!file) return wrong_usage(document.substr(1) + " cannot be read");
    document = text.str();
  }
  if (!document.empty() && !http::JsonDocument::parse(document)) return wrong_usage("--document is no JSON");
  JsonWriter out;
  out.begin_object().key("id").text(arguments.id);
  if (!arguments.description.empty()) out.key("description").text(arguments.description);
  if (!document.empty()) out.key("document").raw(document);
  write_plan(out, arguments);
  out.end_object();
  return call(arguments, "POST", kRoot, out.take());
}

void add_create_options(CLI::App& command, JobsArguments& arguments) {
  command.add_option("--document", arguments.document, "What devices get: a JSON object, or @FILE");
  CLI::Option* url = command.add_option("--image-url", arguments.url, "An image: becomes the document's `image`");
  command.add_option("--image-blob", arguments.blob, "A stored blob as the image, by its SHA-256")->excludes(url);
  command
      .add_option("--image-link-minutes", arguments.link_minutes,
                  "The document has a link to the blob that is good for so long")
      ->excludes(url)
      ->check(CLI::Range(int64_t{1}, devices::kLinkMinutesMax));
  command.add_option("--thing", arguments.things, "Devices that get it");
  command.add_option("--group", arguments.groups, "Groups whose devices get it, as they are now");
  command.add_option("--description", arguments.description, "For people");
  command.add_option("--per-minute", arguments.per_minute, "At most so many devices a minute get it");
  CLI::Option* stages = command.add_option("--stages", arguments.stages,
                                           "Percentages of the devices, one stage behind the other: 1,10,100");
  stages->delimiter(',');
  command
      .add_option("--advance-percent", arguments.advance_percent,
                  "So many percent of those that have it are at their end before the next stage; else all")
      ->needs(stages);
  CLI::Option* abort = command.add_option("--abort-percent", arguments.abort_percent,
                                          "Cancel it when so many percent of those at their end did not succeed");
  command.add_option("--abort-minimum", arguments.abort_minimum, "But not before so many are at their end")
      ->needs(abort);
  command.add_option("--timeout-minutes", arguments.timeout_minutes, "A device that is in progress longer has failed");
}

}  // namespace

void add_jobs(CLI::App& app, cli::Context& context) {
  auto arguments = std::make_shared<JobsArguments>();
  CLI::App* jobs = app.add_subcommand("jobs", "What many devices of a running server are to do.");
  jobs->require_subcommand(1);
  const auto part = cli::server_commands(*jobs, arguments, context);
  const auto named = [&](const char* name, const char* help, Run run) {
    CLI::App* command = part(name, help, run);
    command->add_option("ID", arguments->id, "The job")->required();
    return command;
  };
  CLI::App* listed = part("list", "Jobs.", list);
  CLI::App* executed = named("executions", "What became of a job, device by device.", executions);
  for (CLI::App* command : {listed, executed}) {
    command->add_option("--status", arguments->status, "In this status, such as FAILED");
    command->add_flag("--json", arguments->json, "A JSON object a line");
  }
  add_create_options(*named("create", "Have devices do something.", create), *arguments);
  named("show", "One job, with how many devices are in each status.", show);
  named("watch", "Print how far a job is until all is at its end; 1 where it was canceled.", watch);
  CLI::App* canceled = named("cancel", "No more devices get it; what is open is taken back.", cancel);
  canceled->add_flag("--force", arguments->force, "What is in progress, too");
  canceled->add_option("--reason", arguments->reason, "For people");
  named("delete", "Forget a job and its executions.", remove)
      ->add_flag("--force", arguments->force, "Also one that is not at its end");
}

}  // namespace heptane::iot
