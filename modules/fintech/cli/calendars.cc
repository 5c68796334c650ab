#include "modules/fintech/cli/calendars.h"

#include <CLI/CLI.hpp>
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

const std::string kCalendars = "/api/v1/exchange/calendars";

struct CalendarArguments {
  std::string server = cli::kDefaultServer;
  std::string name;
  std::string file;
  std::string symbol;
};

int list_calendars(const CalendarArguments& a) { return cli::print_answer(a.server, "GET", kCalendars, ""); }

int show_calendar(const CalendarArguments& a) {
  return cli::print_answer(a.server, "GET", kCalendars + "/" + HttpClient::escaped(a.name), "");
}

int put_calendar(const CalendarArguments& a) {
  std::ifstream file(a.file, std::ios::binary);
  if (!file) return cli::failed({Errc::io, "cannot open " + a.file});
  return cli::print_answer(a.server, "PUT", kCalendars + "/" + HttpClient::escaped(a.name),
                           std::string(std::istreambuf_iterator<char>(file), {}));
}

int set_calendar(const CalendarArguments& a) {
  http::JsonWriter out;
  out.begin_object().key("calendar");
  if (a.name == "none")
    out.null();
  else
    out.text(a.name);
  out.end_object();
  const std::string path = "/api/v1/exchange/instruments/" + HttpClient::escaped(a.symbol) + "/calendar";
  return cli::print_answer(a.server, "PUT", path, out.take());
}

}  // namespace

void add_calendars(CLI::App& fintech, cli::Context& context) {
  auto arguments = std::make_shared<CalendarArguments>();
  CLI::App* calendars = fintech.add_subcommand("calendar", "When instruments trade.");
  calendars->require_subcommand(1);
  const auto add = cli::server_commands(*calendars, arguments, context);
  add("ls", "Every calendar, with the phases that come next.", list_calendars);
  add("show", "One calendar.", show_calendar)->add_option("NAME", arguments->name, "The calendar")->required();
  CLI::App* put = add("put", "Declare a calendar, or replace it.", put_calendar);
  put->add_option("NAME", arguments->name, "The calendar")->required();
  put->add_option("FILE", arguments->file, "Its JSON")->required();
  CLI::App* set = add("set", "Choose an instrument's calendar.", set_calendar);
  set->add_option("SYMBOL", arguments->symbol, "BTC-USD")->required();
  set->add_option("NAME", arguments->name, "The calendar; none: operators set its phases")->required();
}

}  // namespace heptane::fintech
