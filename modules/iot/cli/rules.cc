#include "modules/iot/cli/rules.h"

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>

#include "kernel/cli/http_client.h"
#include "kernel/cli/server_commands.h"
#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"

namespace heptane::iot {

namespace {

using cli::failed;
using cli::HttpClient;
using http::JsonValue;
using http::JsonWriter;

const std::string kRoot = "/api/v1/rules";

struct RulesArguments {
  std::string server = cli::kDefaultServer;
  bool json = false;
  std::string name;
  std::string sql;
  std::string file;
  bool earliest = false;
  std::string topic;
  std::string payload;
  int64_t ledger = 0;
  int64_t code = 1;
  std::string debit;
  std::string credit;
  std::string amount;
  std::string id;
  std::string order;
  std::string symbol;
  std::string side;
  std::string quantity;
  std::string price;
  std::string time_in_force;
  std::string order_id;
  int64_t within_s = 0;
  std::string append;
  std::string key;
  std::string publish;
  std::string lua;
  std::string database;
  std::string measurement;
  std::string tags;
  std::string time;
  std::string url;
  std::string thing;
  std::string shadow_name;
  std::string section = "reported";
  std::string shadow_version;
};
using Run = int (*)(const RulesArguments&);

std::string text_of(const JsonValue& object, std::string_view name) {
  const auto value = object.find(name);
  if (!value) return "";
  return std::string(value->type() == http::JsonType::text ? value->text() : value->raw());
}

void print_row(const JsonValue& row) {
  std::printf("%-24s %-8s %-28s %10s %10s %10s %8s  %s\n", text_of(row, "name").c_str(), text_of(row, "state").c_str(),
              text_of(row, "stream").c_str(), text_of(row, "inputs").c_str(), text_of(row, "transfers").c_str(),
              text_of(row, "dead_letters").c_str(), text_of(row, "lost").c_str(), text_of(row, "reason").c_str());
}

int list(const RulesArguments& arguments) {
  HttpClient client(arguments.server);
  if (!arguments.json)
    std::printf("%-24s %-8s %-28s %10s %10s %10s %8s  %s\n", "name", "state", "stream", "inputs", "transfers", "dead",
                "lost", "reason");
  for (std::string after;;) {
    Result<std::string> answer = client.call("GET", after.empty() ? kRoot : kRoot + "?after=" + after);
    if (!answer) return failed(answer.error());
    const auto document = http::JsonDocument::parse(std::move(*answer));
    if (!document) return failed(document.error());
    const auto rows = (*document)->root().find("rules");
    for (auto one = rows ? rows->first() : std::nullopt; one; one = one->next()) {
      if (arguments.json)
        std::printf("%s\n", std::string(one->raw()).c_str());
      else
        print_row(*one);
    }
    after = text_of((*document)->root(), "next");
    if (after.empty()) return cli::kOk;
  }
}

int call(const RulesArguments& arguments, std::string_view method, const std::string& path, std::string body) {
  return cli::print_answer(arguments.server, method, path, std::move(body));
}

std::string path_of(const RulesArguments& arguments) { return kRoot + "/" + HttpClient::escaped(arguments.name); }

int show(const RulesArguments& arguments) { return call(arguments, "GET", path_of(arguments), ""); }
int drop(const RulesArguments& arguments) { return call(arguments, "DELETE", path_of(arguments), ""); }
int pause(const RulesArguments& arguments) { return call(arguments, "POST", path_of(arguments) + "/pause", "{}"); }
int resume(const RulesArguments& arguments) { return call(arguments, "POST", path_of(arguments) + "/resume", "{}"); }

void write_shadow(JsonWriter& out, const RulesArguments& arguments) {
  if (arguments.thing.empty()) return;
  out.key("shadow").begin_object().key("thing").text(arguments.thing).key("section").text(arguments.section);
  if (!arguments.shadow_name.empty()) out.key("name").text(arguments.shadow_name);
  if (!arguments.shadow_version.empty()) out.key("version").text(arguments.shadow_version);
  out.end_object();
}

void write_order(JsonWriter& out, const RulesArguments& arguments) {
  if (arguments.order.empty()) return;
  const size_t slash = std::min(arguments.order.find('/'), arguments.order.size());
  out.key("order").begin_object().key("firm").text(arguments.order.substr(0, slash));
  out.key("account").text(arguments.order.substr(std::min(slash + 1, arguments.order.size())));
  out.key("symbol").text(arguments.symbol).key("side").text(arguments.side).key("quantity").text(arguments.quantity);
  if (!arguments.price.empty()) out.key("price").text(arguments.price);
  if (!arguments.time_in_force.empty()) out.key("time_in_force").text(arguments.time_in_force);
  if (!arguments.order_id.empty()) out.key("id").text(arguments.order_id);
  if (arguments.within_s != 0) out.key("within_s").number(arguments.within_s);
  out.end_object();
}

// The members of the rule that the options say.
void write_rule(JsonWriter& out, const RulesArguments& arguments) {
  out.key("sql").text(arguments.sql).key("start").text(arguments.earliest ? "earliest" : "latest");
  if (arguments.ledger != 0) {
    out.key("transfer").begin_object().key("ledger").number(arguments.ledger).key("code").number(arguments.code);
    out.key("debit").text(arguments.debit).key("credit").text(arguments.credit).key("amount").text(arguments.amount);
    if (!arguments.id.empty()) out.key("id").text(arguments.id);
    out.end_object();
  }
  write_order(out, arguments);
  if (!arguments.append.empty()) {
    out.key("append").begin_object().key("stream").text(arguments.append);
    if (!arguments.key.empty()) out.key("key").text(arguments.key);
    out.end_object();
  }
  if (!arguments.lua.empty()) out.key("lua").text(arguments.lua);
  if (!arguments.publish.empty()) out.key("publish").begin_object().key("topic").text(arguments.publish).end_object();
  if (!arguments.url.empty()) out.key("http").begin_object().key("url").text(arguments.url).end_object();
  write_shadow(out, arguments);
  if (arguments.database.empty()) return;
  out.key("series").begin_object().key("database").text(arguments.database);
  out.key("measurement").text(arguments.measurement);
  if (!arguments.tags.empty()) out.key("tags").text(arguments.tags);
  if (!arguments.time.empty()) out.key("time").text(arguments.time);
  out.end_object();
}

int put(const RulesArguments& arguments) {
  if (arguments.sql.empty() == arguments.file.empty()) {
    std::cerr << "heptane: say the rule by --sql and its actions, or by --file, a JSON object of them\n";
    return cli::kUsage;
  }
  if (arguments.file.empty()) {
    JsonWriter out;
    out.begin_object();
    write_rule(out, arguments);
    out.end_object();
    return call(arguments, "PUT", path_of(arguments), out.take());
  }
  std::ifstream in(arguments.file);
  const std::string body{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (!in.good() && !in.eof()) {
    std::cerr << "heptane: " << arguments.file << " cannot be read\n";
    return cli::kFailed;
  }
  return call(arguments, "PUT", path_of(arguments), body);
}

int test(const RulesArguments& arguments) {
  JsonWriter out;
  out.begin_object();
  if (!arguments.name.empty()) out.key("name").text(arguments.name);
  out.key("topic").text(arguments.topic).key("payload").text(arguments.payload);
  write_rule(out, arguments);
  out.end_object();
  return call(arguments, "POST", kRoot + "/test", out.take());
}

void add_rule_options(CLI::App* command, const std::shared_ptr<RulesArguments>& arguments) {
  command->add_option("--sql", arguments->sql, "SELECT … FROM 'topic/filter' | STREAM \"name\" WHERE …");
  CLI::Option* ledger = command->add_option("--ledger", arguments->ledger, "Transfers of this ledger");
  command->add_option("--code", arguments->code, "Their code")->capture_default_str()->needs(ledger);
  command->add_option("--debit", arguments->debit, "Expression: the account that owes")->needs(ledger);
  command->add_option("--credit", arguments->credit, "Expression: the account that is owed")->needs(ledger);
  command->add_option("--amount", arguments->amount, "Expression: minor units, a whole number")->needs(ledger);
  command->add_option("--id", arguments->id, "Expression: what names the debt; absent: the record does")->needs(ledger);
  CLI::Option* order = command->add_option("--order", arguments->order, "FIRM/ACCOUNT that rows enter orders for");
  command->add_option("--symbol", arguments->symbol, "Expression: the instrument")->needs(order);
  command->add_option("--side", arguments->side, "Expression: 'buy' or 'sell'")->needs(order);
  command->add_option("--quantity", arguments->quantity, "Expression: how much")->needs(order);
  command->add_option("--price", arguments->price, "Expression: the limit; absent: at the market")->needs(order);
  command->add_option("--time-in-force", arguments->time_in_force, "day, gtc, ioc or fok")->needs(order);
  command->add_option("--order-id", arguments->order_id, "Expression: the ClOrdID; absent: the rule and its position")
      ->needs(order);
  command->add_option("--within", arguments->within_s, "Seconds from the record's time on; later it is a dead letter")
      ->needs(order);
  CLI::Option* append = command->add_option("--append", arguments->append, "Append rows to this stream");
  command->add_option("--key", arguments->key, "Expression: their key")->needs(append);
  command->add_option("--publish", arguments->publish, "Expression: publish rows to this topic");
  CLI::Option* series = command->add_option("--series", arguments->database, "Write rows to this database of series");
  command->add_option("--measurement", arguments->measurement, "Expression: their measurement")->needs(series);
  command->add_option("--tags", arguments->tags, "Columns that are tags: a,b; the others are fields")->needs(series);
  command->add_option("--time", arguments->time, "Expression: milliseconds since 1970; absent: when it came")
      ->needs(series);
  command->add_option("--http", arguments->url, "Post rows to this URL, which iot.http_allow lists");
  CLI::Option* shadow =
      command->add_option("--shadow", arguments->thing, "Expression: rows update this thing's shadow");
  command->add_option("--shadow-name", arguments->shadow_name, "Expression: the named one")->needs(shadow);
  command->add_option("--section", arguments->section, "reported or desired")->capture_default_str()->needs(shadow);
  command->add_option("--shadow-version", arguments->shadow_version, "Expression: only if it has this version")
      ->needs(shadow);
}

}  // namespace

void add_rules(CLI::App& app, cli::Context& context) {
  auto arguments = std::make_shared<RulesArguments>();
  CLI::App* rules = app.add_subcommand("rules", "Rules of a running server.");
  rules->require_subcommand(1);
  const auto part = cli::server_commands(*rules, arguments, context);
  const auto named = [&](const char* name, const char* help, Run run) {
    CLI::App* command = part(name, help, run);
    command->add_option("NAME", arguments->name, "The rule")->required();
    return command;
  };
  part("list", "Rules and what they did.", list)->add_flag("--json", arguments->json, "A JSON object a line");
  named("show", "One rule, its position and lag.", show);
  named("drop", "Drop a rule; its position goes with it.", drop);
  named("pause", "Pause a rule.", pause);
  named("resume", "Let a rule go on where it is; what is gone meanwhile is passed over and counted.", resume);
  CLI::App* declared = named("put", "Declare or change a rule.", put);
  add_rule_options(declared, arguments);
  declared->add_option("--lua", arguments->lua,
                       "return function(row, message) … end: what makes a row of the row, or nil");
  declared->add_option("--file", arguments->file,
                       "JSON: sql, start, lua, transfer, order, append, publish, shadow, http, series");
  declared->add_flag("--earliest", arguments->earliest, "From the first record of its stream, not from now on");
  CLI::App* tried = part("test", "What a rule would make of a message; nothing is kept.", test);
  add_rule_options(tried, arguments);
  tried->add_option("--name", arguments->name, "The rule's name, which ids are made of");
  tried->add_option("--topic", arguments->topic, "The message's topic");
  tried->add_option("--payload", arguments->payload, "The message")->required();
}

}  // namespace heptane::iot
