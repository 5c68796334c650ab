#include "modules/fintech/cli/fintech.h"

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <ctime>
#include <iostream>
#include <memory>

#include "kernel/cli/http_client.h"
#include "kernel/cli/server_commands.h"
#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"
#include "modules/fintech/cli/audit_export.h"
#include "modules/fintech/cli/calendars.h"
#include "modules/fintech/cli/corrections.h"
#include "modules/fintech/cli/explain_trade.h"
#include "modules/fintech/cli/fix_sessions.h"
#include "modules/fintech/cli/positions.h"
#include "modules/fintech/cli/reviews.h"
#include "modules/fintech/cli/risk_rules.h"

namespace heptane::fintech {

namespace {

using cli::failed;
using cli::HttpClient;
using http::JsonDocument;
using http::JsonValue;
using http::JsonWriter;

const std::string kRoot = "/api/v1/exchange/";
constexpr long kExists = 409;
constexpr long kErrors = 400;
constexpr int64_t kCandlesDefault = 20;

struct FintechArguments {
  std::string server = cli::kDefaultServer;
  bool json = false;
  std::string symbol;
  std::string firm;
  std::string account = "main";
  std::string client_id;
  std::string side;
  std::string type = "limit";
  std::string tif;
  std::string quantity;
  std::string price;
  std::string stop_price;
  std::string order;
  std::string whose;
  std::string reason;
  std::string width = "1m";
  int64_t limit = kCandlesDefault;
  bool post_only = false;
};

std::string text_of(const JsonValue& object, std::string_view name) {
  const auto value = object.find(name);
  if (!value) return "";
  return std::string(value->type() == http::JsonType::text ? value->text() : value->raw());
}

template <class Row>
void each(const JsonValue& root, std::string_view name, Row row) {
  const auto list = root.find(name);
  for (auto item = list ? list->first() : std::nullopt; item; item = item->next()) row(*item);
}

using Print = void (*)(const JsonValue&);

int show(const FintechArguments& arguments, std::string_view method, const std::string& path, std::string body,
         Print print) {
  HttpClient client(arguments.server);
  cli::HttpRequestOptions options;
  options.body = std::move(body);
  Result<std::string> answer = client.call(method, kRoot + path, options);
  if (!answer) return failed(answer.error());
  if (arguments.json) {
    std::cout << *answer << (answer->ends_with('\n') ? "" : "\n");
    return cli::kOk;
  }
  const auto document = JsonDocument::parse(std::move(*answer));
  if (!document) return failed(document.error());
  print((*document)->root());
  return cli::kOk;
}

// ---- tables

void print_instrument(const JsonValue& row) {
  std::printf("%-32s %-13s %-10s %-10s %14s %8s\n", text_of(row, "symbol").c_str(), text_of(row, "phase").c_str(),
              text_of(row, "base").c_str(), text_of(row, "quote").c_str(), text_of(row, "last_price").c_str(),
              text_of(row, "orders").c_str());
}

void print_instruments(const JsonValue& root) {
  std::printf("%-32s %-13s %-10s %-10s %14s %8s\n", "symbol", "phase", "base", "quote", "last price", "orders");
  each(root, "instruments", print_instrument);
}

void print_levels(const JsonValue& root, std::string_view side) {
  each(root, side, [side](const JsonValue& level) {
    std::printf("%-6.*s %16s %16s %8s\n", static_cast<int>(side.size()), side.data(), text_of(level, "price").c_str(),
                text_of(level, "quantity").c_str(), text_of(level, "orders").c_str());
  });
}

void print_book(const JsonValue& root) {
  std::printf("%s, %s, last price %s\n", text_of(root, "symbol").c_str(), text_of(root, "phase").c_str(),
              text_of(root, "last_price").empty() ? "none" : text_of(root, "last_price").c_str());
  std::printf("%-6s %16s %16s %8s\n", "side", "price", "quantity", "orders");
  print_levels(root, "asks");
  print_levels(root, "bids");
}

void print_candles(const JsonValue& root) {
  std::printf("%-20s %14s %14s %14s %14s %16s %8s\n", "start", "open", "high", "low", "close", "volume", "trades");
  each(root, "candles", [](const JsonValue& row) {
    constexpr int64_t kMillis = 1'000;
    const auto start = row.find("start_ms");
    const auto seconds = static_cast<std::time_t>(start ? start->integer().value_or(0) / kMillis : 0);
    std::tm when{};
    std::array<char, 32> text{};
    ::gmtime_r(&seconds, &when);
    std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &when);
    std::printf("%-20s %14s %14s %14s %14s %16s %8s\n", text.data(), text_of(row, "open").c_str(),
                text_of(row, "high").c_str(), text_of(row, "low").c_str(), text_of(row, "close").c_str(),
                text_of(row, "volume").c_str(), text_of(row, "trades").c_str());
  });
}

void print_accounts(const JsonValue& root) {
  std::printf("%-32s %-16s %24s %24s\n", "account", "asset", "available", "held");
  each(root, "accounts", [](const JsonValue& account) {
    each(account, "balances", [&](const JsonValue& row) {
      std::printf("%-32s %-16s %24s %24s\n", text_of(account, "name").c_str(), text_of(row, "asset").c_str(),
                  text_of(row, "available").c_str(), text_of(row, "held").c_str());
    });
  });
}

void print_order(const JsonValue& row) {
  std::printf("%-12s %-24s %-20s %-5s %-10s %14s %14s %14s %s\n", text_of(row, "order_id").c_str(),
              text_of(row, "cl_ord_id").c_str(), text_of(row, "symbol").c_str(), text_of(row, "side").c_str(),
              text_of(row, "status").c_str(), text_of(row, "price").c_str(), text_of(row, "quantity").c_str(),
              text_of(row, "filled").c_str(), text_of(row, "average_price").c_str());
}

void print_order_head() {
  std::printf("%-12s %-24s %-20s %-5s %-10s %14s %14s %14s %s\n", "order", "ClOrdID", "symbol", "side", "status",
              "price", "quantity", "filled", "average price");
}

void print_orders(const JsonValue& root) {
  print_order_head();
  each(root, "orders", print_order);
}

// ---- commands

std::string firm_path(const FintechArguments& a, const char* rest) {
  return "firms/" + HttpClient::escaped(a.firm) + rest;
}

int list_instruments(const FintechArguments& a) { return show(a, "GET", "instruments", "", print_instruments); }
int show_book(const FintechArguments& a) {
  return show(a, "GET", "instruments/" + HttpClient::escaped(a.symbol) + "/book", "", print_book);
}
int show_candles(const FintechArguments& a) {
  const std::string path = "instruments/" + HttpClient::escaped(a.symbol) +
                           "/candles?width=" + HttpClient::escaped(a.width) + "&limit=" + std::to_string(a.limit);
  return show(a, "GET", path, "", print_candles);
}
int list_accounts(const FintechArguments& a) { return show(a, "GET", firm_path(a, "/accounts"), "", print_accounts); }
int list_orders(const FintechArguments& a) { return show(a, "GET", firm_path(a, "/orders"), "", print_orders); }

int enter_order(const FintechArguments& a) {
  JsonWriter out;
  out.begin_object().key("account").text(a.account).key("cl_ord_id").text(a.client_id).key("symbol").text(a.symbol);
  out.key("side").text(a.side).key("type").text(a.type).key("quantity").text(a.quantity);
  if (!a.tif.empty()) out.key("time_in_force").text(a.tif);
  if (!a.price.empty()) out.key("price").text(a.price);
  if (!a.stop_price.empty()) out.key("stop_price").text(a.stop_price);
  if (a.post_only) out.key("post_only").boolean(true);
  out.end_object();
  return show(a, "POST", firm_path(a, "/orders"), out.take(), [](const JsonValue& row) {
    print_order_head();
    print_order(row);
  });
}

int cancel_order(const FintechArguments& a) {
  return show(a, "DELETE", firm_path(a, "/orders/") + HttpClient::escaped(a.order), "{}", [](const JsonValue& row) {
    print_order_head();
    print_order(row);
  });
}

int throw_switch(const FintechArguments& a, bool lift) {
  JsonWriter out;
  out.begin_object().key("whose").text(a.whose).key("reason").text(a.reason).key("lift").boolean(lift);
  if (!a.firm.empty()) out.key("firm").text(a.firm);
  if (a.whose == "account") out.key("account").text(a.account);
  if (!a.symbol.empty()) out.key("symbol").text(a.symbol);
  out.end_object();
  return show(a, "POST", "switches", out.take(), [](const JsonValue& root) {
    std::printf("done at %s, %s orders cancelled by now\n", text_of(root, "position").c_str(),
                text_of(root, "cancelled_by_now").c_str());
  });
}
int kill(const FintechArguments& a) { return throw_switch(a, false); }
int lift(const FintechArguments& a) { return throw_switch(a, true); }

// ---- the demonstration

// Says what it does, and stops at what does not work.
class Demo {
 public:
  explicit Demo(const FintechArguments& arguments) : arguments_(arguments), client_(arguments.server) {}

  int run() {
    const bool good = reference_data() && money() && trading();
    return good ? cli::kOk : exit_code_;
  }

 private:
  // What is there already is as good.
  bool post(const char* what, const std::string& path, std::string body, bool may_exist) {
    cli::HttpRequestOptions options;
    options.body = std::move(body);
    const Result<cli::HttpAnswer> answer = client_.request("POST", path, options);
    if (!answer) return stop(answer.error());
    const bool there = may_exist && answer->status == kExists;
    if (answer->status >= kErrors && !there) return stop({Errc::refused, std::string(what) + ": " + answer->body});
    std::printf("%s%s\n", what, there ? " (was there)" : "");
    return true;
  }
  bool stop(const Error& error) {
    exit_code_ = failed(error);
    return false;
  }

  bool reference_data() {
    bool good =
        post("asset USD, ledger 840, 2 decimals", "/api/v1/ledger/assets", R"({"code":"USD","ledger":840,"scale":2})",
             true) &&
        post("asset BTC, ledger 8001, 8 decimals", "/api/v1/ledger/assets", R"({"code":"BTC","ledger":8001,"scale":8})",
             true) &&
        post("instrument BTC-USD: tick 1.00, lot 0.01, maker 100 ppm, taker 250 ppm", kRoot + "instruments",
             R"({"symbol":"BTC-USD","base":"BTC","quote":"USD","price_scale":2,"quantity_scale":2,"tick":"1.00",)"
             R"("lot":"0.01","quantity_max":"1000","price_max":"1000000","fees":[{"maker_ppm":100,)"
             R"("taker_ppm":250,"minimum":"0.01"}]})",
             true);
    for (const std::string firm : {"alpha", "beta"}) {
      const std::string name = "firm " + firm;
      good = good && post(name.c_str(), kRoot + "firms", R"({"name":")" + firm + R"("})", true) &&
             post("  its account main", kRoot + "firms/" + firm + "/accounts", R"({"name":"main"})", true);
    }
    return good && post("BTC-USD opens", kRoot + "instruments/BTC-USD/phase", R"({"phase":"continuous"})", false);
  }
  bool money() {
    return post("alpha deposits 100000.00 USD", kRoot + "deposits",
                R"({"firm":"alpha","account":"main","asset":"USD","amount":"100000.00"})", false) &&
           post("beta deposits 2.5 BTC", kRoot + "deposits",
                R"({"firm":"beta","account":"main","asset":"BTC","amount":"2.5"})", false);
  }

  bool order(const std::string& firm, const char* side, const char* quantity, const char* price) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto stamp = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
    const std::string what = firm + " enters: " + side + " " + quantity + " at " + price;
    return post(what.c_str(), kRoot + "firms/" + firm + "/orders",
                R"({"account":"main","cl_ord_id":"demo-)" + std::to_string(stamp) + R"(","symbol":"BTC-USD","side":")" +
                    side + R"(","quantity":")" + quantity + R"(","price":")" + price + R"("})",
                false);
  }
  bool trading() {
    if (!order("beta", "sell", "0.50", "40000.00") || !order("beta", "sell", "1.00", "40100.00") ||
        !order("alpha", "buy", "0.25", "39900.00") || !order("alpha", "buy", "0.80", "40100.00"))
      return false;
    FintechArguments shown = arguments_;
    shown.json = false;
    shown.symbol = "BTC-USD";
    std::printf("\n");
    if (show_book(shown) != cli::kOk) return false;
    for (const char* firm : {"alpha", "beta"}) {
      shown.firm = firm;
      std::printf("\n%s\n", firm);
      if (list_orders(shown) != cli::kOk || list_accounts(shown) != cli::kOk) return false;
    }
    std::printf("\nTrades and their postings: heptane stream tail fintech.trades, fintech.orders, fintech.transfers\n");
    return true;
  }

  const FintechArguments& arguments_;
  HttpClient client_;
  int exit_code_ = cli::kFailed;
};

int demo(const FintechArguments& arguments) { return Demo(arguments).run(); }

}  // namespace

void add_fintech(CLI::App& app, cli::Context& context) {
  auto arguments = std::make_shared<FintechArguments>();
  CLI::App* fintech = app.add_subcommand("fintech", "The exchange of a running server.");
  fintech->require_subcommand(1);
  const auto add = cli::server_commands(*fintech, arguments, context);
  const auto shown = [&](const char* name, const char* help, int (*run)(const FintechArguments&)) {
    CLI::App* command = add(name, help, run);
    command->add_flag("--json", arguments->json, "As the server says it");
    return command;
  };
  add("demo", "Two firms, funded, trade one instrument; what is there already stays.", demo);
  shown("instruments", "Every instrument.", list_instruments);
  shown("book", "The book of an instrument.", show_book)
      ->add_option("SYMBOL", arguments->symbol, "BTC-USD")
      ->required();
  CLI::App* candles = shown("candles", "The last candles of an instrument, times in UTC.", show_candles);
  candles->add_option("SYMBOL", arguments->symbol, "BTC-USD")->required();
  candles->add_option("--width", arguments->width, "1s, 1m, 5m, 15m, 1h, 1d")->capture_default_str();
  candles->add_option("--limit", arguments->limit, "At most so many")->capture_default_str();
  shown("accounts", "What a firm's accounts hold.", list_accounts)
      ->add_option("FIRM", arguments->firm, "The firm")
      ->required();
  shown("orders", "A firm's open orders.", list_orders)->add_option("FIRM", arguments->firm, "The firm")->required();

  CLI::App* order = shown("order", "Enter an order.", enter_order);
  order->add_option("FIRM", arguments->firm, "The firm")->required();
  order->add_option("CL_ORD_ID", arguments->client_id, "Its name: the same again is the same order")->required();
  order->add_option("SIDE", arguments->side, "buy or sell")->required();
  order->add_option("QUANTITY", arguments->quantity, "0.50")->required();
  order->add_option("SYMBOL", arguments->symbol, "BTC-USD")->required();
  order->add_option("--account", arguments->account, "Of the firm")->capture_default_str();
  order->add_option("--type", arguments->type, "limit, market, stop, stop_limit")->capture_default_str();
  order->add_option("--time-in-force", arguments->tif, "day, gtc, ioc, fok, at_open, at_close");
  order->add_option("--price", arguments->price, "Of a limit order");
  order->add_option("--stop-price", arguments->stop_price, "Of a stop");
  order->add_flag("--post-only", arguments->post_only, "Refused when it would trade at once");

  CLI::App* cancel = shown("cancel", "Cancel an order.", cancel_order);
  cancel->add_option("FIRM", arguments->firm, "The firm")->required();
  cancel->add_option("ORDER", arguments->order, "Its number")->required();

  for (CLI::App* command : {shown("kill", "Block new orders and cancel what is open.", kill),
                            shown("lift", "Let orders come again.", lift)}) {
    command->add_option("WHOSE", arguments->whose, "everybody, firm, account, instrument")->required();
    command->add_option("--reason", arguments->reason, "Why, for the audit trail")->required();
    command->add_option("--firm", arguments->firm, "The firm, or the account's");
    command->add_option("--account", arguments->account, "The account")->capture_default_str();
    command->add_option("--symbol", arguments->symbol, "The instrument");
  }
  add_calendars(*fintech, context);
  add_corrections(*fintech, context);
  add_fix_sessions(*fintech, context);
  add_positions(*fintech, context);
  add_explain_trade(*fintech, context);
  add_audit_export(*fintech, context);
  add_risk_rules(*fintech, context);
  add_reviews(*fintech, context);
}

}  // namespace heptane::fintech
