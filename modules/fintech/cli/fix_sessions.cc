#include "modules/fintech/cli/fix_sessions.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "kernel/cli/http_client.h"
#include "kernel/cli/server_commands.h"
#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"

namespace heptane::fintech {

namespace {

using cli::failed;
using cli::HttpClient;
using http::JsonDocument;
using http::JsonValue;

const std::string kSessions = "/api/v1/exchange/fix-sessions";

struct FixArguments {
  std::string server = cli::kDefaultServer;
  bool json = false;
  std::string name;
  std::string firm;
  std::string user;
  std::string comp_id = "HEPTANE";
  std::string role = "orders";
  std::string cancel = "never";
  uint32_t grace = 0;
  uint32_t heart_bt_int_min = 1;
  uint32_t heart_bt_int_max = 3'600;
  uint32_t max_latency = 120;
  bool spare_gtc = false;
  bool reset_on_logon = false;
  std::string start_time;
  std::string end_time;
  std::string start_day;
  std::string end_day;
  std::string time_zone = "UTC";
  std::vector<std::string> allowed;
  uint32_t rate = 0;
  uint64_t next_in = 1;
  uint64_t next_out = 1;
};

std::string text_of(const JsonValue& object, std::string_view name) {
  const auto value = object.find(name);
  if (!value) return "";
  return std::string(value->type() == http::JsonType::text ? value->text() : value->raw());
}

void write_access(const FixArguments& a, http::JsonWriter& out) {
  if (!a.start_time.empty() || !a.end_time.empty())
    out.key("start_time").text(a.start_time).key("end_time").text(a.end_time).key("time_zone").text(a.time_zone);
  if (!a.start_day.empty()) out.key("start_day").text(a.start_day);
  if (!a.end_day.empty()) out.key("end_day").text(a.end_day);
  out.key("allowed_addresses").begin_array();
  for (const std::string& address : a.allowed) out.text(address);
  out.end_array().key("rate").number(a.rate);
}

int add_session(const FixArguments& a) {
  http::JsonWriter out;
  out.begin_object().key("name").text(a.name).key("firm").text(a.firm).key("comp_id").text(a.comp_id);
  out.key("role").text(a.role).key("user").text(a.user);
  out.key("heart_bt_int_min").number(a.heart_bt_int_min).key("heart_bt_int_max").number(a.heart_bt_int_max);
  out.key("max_latency").number(a.max_latency).key("reset_on_logon").boolean(a.reset_on_logon);
  out.key("cancel_on_disconnect").text(a.cancel).key("grace").number(a.grace);
  out.key("spare_gtc").boolean(a.spare_gtc);
  write_access(a, out);
  out.end_object();
  return cli::print_answer(a.server, "POST", kSessions, out.take());
}

int reset_session(const FixArguments& a) {
  http::JsonWriter out;
  out.begin_object().key("next_in").unsigned_number(a.next_in).key("next_out").unsigned_number(a.next_out).end_object();
  return cli::print_answer(a.server, "POST", kSessions + "/" + HttpClient::escaped(a.name) + "/reset", out.take());
}

int list_sessions(const FixArguments& a) {
  HttpClient client(a.server);
  Result<std::string> answer = client.call("GET", kSessions, {});
  if (!answer) return failed(answer.error());
  if (a.json) {
    std::cout << *answer << (answer->ends_with('\n') ? "" : "\n");
    return cli::kOk;
  }
  const auto document = JsonDocument::parse(std::move(*answer));
  if (!document) return failed(document.error());
  std::printf("%-32s %-10s %-16s %-9s %-16s %10s %10s %s\n", "session", "comp id", "firm", "role", "user", "next in",
              "next out", "connected");
  const auto list = (*document)->root().find("sessions");
  for (auto row = list ? list->first() : std::nullopt; row; row = row->next())
    std::printf("%-32s %-10s %-16s %-9s %-16s %10s %10s %s\n", text_of(*row, "name").c_str(),
                text_of(*row, "comp_id").c_str(), text_of(*row, "firm").c_str(), text_of(*row, "role").c_str(),
                text_of(*row, "user").c_str(), text_of(*row, "next_in").c_str(), text_of(*row, "next_out").c_str(),
                text_of(*row, "connected") == "true" ? "yes" : "no");
  return cli::kOk;
}

}  // namespace

void add_fix_sessions(CLI::App& fintech, cli::Context& context) {
  auto arguments = std::make_shared<FixArguments>();
  CLI::App* sessions = fintech.add_subcommand("fix-session", "Who may log on over FIX.");
  sessions->require_subcommand(1);
  const auto add = cli::server_commands(*sessions, arguments, context);
  add("ls", "Every session, with the numbers that come next.", list_sessions)
      ->add_flag("--json", arguments->json, "As the server says it");
  CLI::App* put = add("add", "Add a session, or change it: what is not said is its default.", add_session);
  put->add_option("NAME", arguments->name, "The peer's CompID")->required();
  put->add_option("--firm", arguments->firm, "Whose orders")->required();
  put->add_option("--user", arguments->user, "Who logs on, while authentication is on");
  put->add_option("--comp-id", arguments->comp_id, "Ours")->capture_default_str();
  put->add_option("--role", arguments->role, "orders, drop_copy or market_data")->capture_default_str();
  put->add_option("--heart-bt-int-min", arguments->heart_bt_int_min, "Seconds")->capture_default_str();
  put->add_option("--heart-bt-int-max", arguments->heart_bt_int_max, "Seconds")->capture_default_str();
  put->add_option("--max-latency", arguments->max_latency, "Seconds; 0: SendingTime is not looked at")
      ->capture_default_str();
  put->add_flag("--reset-on-logon", arguments->reset_on_logon, "Numbers begin anew with every logon");
  put->add_option("--cancel", arguments->cancel, "Open orders: never, on_disconnect, on_disconnect_and_logout")
      ->capture_default_str();
  put->add_option("--grace", arguments->grace, "Seconds until they are cancelled")->capture_default_str();
  put->add_flag("--spare-gtc", arguments->spare_gtc, "GTC and GTD orders stay");
  put->add_option("--start-time", arguments->start_time, "When it may be logged on to: 09:00:00; with --end-time");
  put->add_option("--end-time", arguments->end_time, "Until when");
  put->add_option("--start-day", arguments->start_day,
                  "monday to sunday: from that day's --start-time on; else each day");
  put->add_option("--end-day", arguments->end_day, "Until that day's --end-time");
  put->add_option("--time-zone", arguments->time_zone, "Of these times")->capture_default_str();
  put->add_option("--allow", arguments->allowed, "From where: addresses, or blocks such as 10.0.0.0/8; none: anywhere");
  put->add_option("--rate", arguments->rate, "Messages a second that are read; 0: all")->capture_default_str();
  CLI::App* reset = add("reset", "Set the numbers that come next; what was sent is not sent again.", reset_session);
  reset->add_option("NAME", arguments->name, "The peer's CompID")->required();
  reset->add_option("--next-in", arguments->next_in, "Expected of the peer")->capture_default_str();
  reset->add_option("--next-out", arguments->next_out, "Of our next message")->capture_default_str();
}

}  // namespace heptane::fintech
