#include "modules/fintech/cli/positions.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>

#include "kernel/cli/http_client.h"
#include "kernel/cli/server_commands.h"
#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"

namespace heptane::fintech {

namespace {

using cli::HttpClient;
using http::JsonValue;
using http::JsonWriter;

const std::string kPath = "/api/v1/exchange/";

struct PositionArguments {
  std::string server = cli::kDefaultServer;
  std::string firm;
  std::string account;
  std::string symbol;
  std::string price;
  std::string reason;
  bool remove = false;
  bool json = false;
};
using Arguments = PositionArguments;

std::string text_of(const JsonValue& object, std::string_view name) {
  const auto value = object.find(name);
  return value ? std::string(value->type() == http::JsonType::text ? value->text() : value->raw()) : "";
}

template <class Row>
void each(const JsonValue& root, std::string_view name, Row row) {
  const auto list = root.find(name);
  for (auto item = list ? list->first() : std::nullopt; item; item = item->next()) row(*item);
}

void print_positions(const JsonValue& root) {
  constexpr const char* kRow = "%-16s %-16s %16s %18s %18s %18s %14s %14s %14s\n";
  std::printf(kRow, "account", "symbol", "position", "average cost", "realised", "unrealised", "fees", "rebates",
              "mark");
  each(root, "accounts", [](const JsonValue& account) {
    const std::string name = text_of(account, "account");
    each(account, "positions", [&](const JsonValue& row) {
      std::printf(kRow, name.c_str(), text_of(row, "symbol").c_str(), text_of(row, "position").c_str(),
                  text_of(row, "average_cost").c_str(), text_of(row, "realised").c_str(),
                  text_of(row, "unrealised").c_str(), text_of(row, "fees").c_str(), text_of(row, "rebates").c_str(),
                  text_of(row, "mark").c_str());
    });
    each(account, "totals", [&](const JsonValue& row) {
      std::printf(kRow, name.c_str(), ("all in " + text_of(row, "asset")).c_str(), "", "",
                  text_of(row, "realised").c_str(), text_of(row, "unrealised").c_str(), text_of(row, "fees").c_str(),
                  text_of(row, "rebates").c_str(), "");
    });
  });
  if (const std::string next = text_of(root, "next"); !next.empty())
    std::printf("more behind %s: --json, or --account\n", next.c_str());
}

int show_positions(const Arguments& a) {
  std::string path = kPath + "firms/" + HttpClient::escaped(a.firm) + "/positions";
  if (!a.account.empty()) path += "?account=" + HttpClient::escaped(a.account);
  if (a.json) return cli::print_answer(a.server, "GET", path, "");
  HttpClient client(a.server);
  Result<std::string> answer = client.call("GET", path);
  if (!answer) return cli::failed(answer.error());
  const auto document = http::JsonDocument::parse(std::move(*answer));
  if (!document) return cli::failed(document.error());
  print_positions((*document)->root());
  return cli::kOk;
}

int mark(const Arguments& a) {
  const std::string path = kPath + "instruments/" + HttpClient::escaped(a.symbol) + "/mark";
  if (a.price.empty() && !a.remove) return cli::print_answer(a.server, "GET", path, "");
  if (a.remove && !a.price.empty()) {
    std::cerr << "heptane: --remove goes without a price\n";
    return cli::kUsage;
  }
  JsonWriter out;
  out.begin_object().key("reason").text(a.reason).key("price");
  a.remove ? out.null() : out.text(a.price);
  out.end_object();
  return cli::print_answer(a.server, "PUT", path, out.take());
}

}  // namespace

void add_positions(CLI::App& fintech, cli::Context& context) {
  auto arguments = std::make_shared<Arguments>();
  const auto add = cli::server_commands(fintech, arguments, context);
  CLI::App* positions = add("positions", "Positions, profit and loss of a firm's accounts.", show_positions);
  positions->add_option("FIRM", arguments->firm, "The firm")->required();
  positions->add_option("--account", arguments->account, "That one alone");
  positions->add_flag("--json", arguments->json, "As the server says it");
  CLI::App* marked =
      add("mark", "Value positions at a price from outside; without one: what they are valued at.", mark);
  marked->add_option("SYMBOL", arguments->symbol, "BTC-USD")->required();
  marked->add_option("PRICE", arguments->price, "40100.00");
  marked->add_option("--reason", arguments->reason, "Why, for the audit trail");
  marked->add_flag("--remove", arguments->remove, "At the last trade again");
}

}  // namespace heptane::fintech
