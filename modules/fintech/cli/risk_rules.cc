#include "modules/fintech/cli/risk_rules.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "kernel/cli/http_client.h"
#include "kernel/cli/server_commands.h"
#include "kernel/net/http/json_writer.h"

namespace heptane::fintech {

namespace {

using cli::HttpClient;

const std::string kRules = "/api/v1/exchange/risk-rules";
const std::string kLists = "/api/v1/exchange/risk-lists";

constexpr long kBacktestSecondsMax = 86'400;

struct RiskArguments {
  std::string server = cli::kDefaultServer;
  std::string name;
  std::string file;
  std::string from = "0:0";
};

Result<std::string> contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error{Errc::io, "cannot open " + path};
  return std::string(std::istreambuf_iterator<char>(file), {});
}

int put_file(const RiskArguments& a, const std::string& path) {
  const Result<std::string> text = contents(a.file);
  if (!text) return cli::failed(text.error());
  return cli::print_answer(a.server, "PUT", path, *text);
}

std::string path_of_list(const RiskArguments& a) { return kLists + "/" + HttpClient::escaped(a.name); }

int put_rules(const RiskArguments& a) { return put_file(a, kRules); }
int show_rules(const RiskArguments& a) { return cli::print_answer(a.server, "GET", kRules, ""); }
int rules_off(const RiskArguments& a) { return cli::print_answer(a.server, "DELETE", kRules, ""); }
int lists(const RiskArguments& a) { return cli::print_answer(a.server, "GET", kLists, ""); }
int put_list(const RiskArguments& a) { return put_file(a, path_of_list(a)); }
int show_list(const RiskArguments& a) { return cli::print_answer(a.server, "GET", path_of_list(a), ""); }
int remove_list(const RiskArguments& a) { return cli::print_answer(a.server, "DELETE", path_of_list(a), ""); }

// Lines of JSON as they come, but for those that only tell how far it is.
class Lines {
 public:
  bool take(std::string_view bytes) {
    rest_ += bytes;
    for (size_t end = rest_.find('\n'); end != std::string::npos; end = rest_.find('\n')) {
      const std::string_view line = std::string_view(rest_).substr(0, end + 1);
      if (!line.starts_with(R"({"judged_by_now":)")) std::fwrite(line.data(), 1, line.size(), stdout);
      rest_.erase(0, end + 1);
    }
    return true;
  }

 private:
  std::string rest_;
};

int backtest(const RiskArguments& a) {
  const Result<std::string> rules = contents(a.file);
  if (!rules) return cli::failed(rules.error());
  http::JsonWriter body;
  body.begin_object().key("from").text(a.from).key("rules").raw(*rules).end_object();
  cli::HttpRequestOptions options;
  options.body = body.take();
  options.timeout_seconds = kBacktestSecondsMax;
  Lines lines;
  options.take_answer = [&lines](std::string_view bytes) { return lines.take(bytes); };
  const Result<std::string> done = HttpClient(a.server).call("POST", kRules + "/backtest", options);
  return done ? cli::kOk : cli::failed(done.error());
}

void add_backtest(CLI::App& fintech, const std::shared_ptr<RiskArguments>& arguments, cli::Context& context) {
  const auto add = cli::server_commands(fintech, arguments, context);
  CLI::App* command =
      add("backtest", "Try risk rules on the orders that were judged: verdicts that differ, line by line.", backtest);
  command->add_option("--rules", arguments->file, "Their JSON")->required();
  command->add_option("--from", arguments->from, "The position to begin at")->capture_default_str();
}

}  // namespace

void add_risk_rules(CLI::App& fintech, cli::Context& context) {
  auto arguments = std::make_shared<RiskArguments>();
  CLI::App* rules = fintech.add_subcommand("risk-rules", "Rules that orders are judged by before they are matched.");
  rules->require_subcommand(1);
  add_backtest(fintech, arguments, context);
  const auto add = cli::server_commands(*rules, arguments, context);
  const auto of_list = [&](CLI::App* command) {
    command->add_option("NAME", arguments->name, "The list")->required();
    return command;
  };
  const auto of_file = [&](CLI::App* command, const char* what) {
    command->add_option("FILE", arguments->file, what)->required();
  };
  of_file(add("put", "Put rules in place of those in force.", put_rules), "Their JSON");
  add("show", "The rules in force, their version, what their windows count.", show_rules);
  add("off", "Judge orders by no rules.", rules_off);
  add("lists", "Every list that rules may name.", lists);
  of_list(add("list", "One list.", show_list));
  of_file(of_list(add("put-list", "Put a list, or replace it whole.", put_list)),
          R"(Its JSON: {"items": ["alpha/main"]})");
  of_list(add("remove-list", "Remove a list that no rule names.", remove_list));
}

}  // namespace heptane::fintech
