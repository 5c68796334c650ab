#include "modules/fintech/cli/corrections.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "kernel/cli/http_client.h"
#include "kernel/cli/server_commands.h"
#include "kernel/net/http/json_writer.h"

namespace heptane::fintech {

namespace {

using cli::HttpClient;
using http::JsonWriter;

const std::string kPath = "/api/v1/exchange/";

struct CorrectionArguments {
  std::string server = cli::kDefaultServer;
  std::string trade;
  std::string reason;
  std::string price;
  std::string quantity;
  std::string firm;
  std::string account = "main";
  std::string asset;
  std::string amount;
};
using Arguments = CorrectionArguments;

int show_trade(const Arguments& a) {
  return cli::print_answer(a.server, "GET", kPath + "trades/" + HttpClient::escaped(a.trade), "");
}

int put_right(const Arguments& a, const char* what) {
  JsonWriter out;
  out.begin_object().key("reason").text(a.reason);
  if (!a.price.empty()) out.key("price").text(a.price).key("quantity").text(a.quantity);
  out.end_object();
  return cli::print_answer(a.server, "POST", kPath + "trades/" + HttpClient::escaped(a.trade) + what, out.take());
}
int bust(const Arguments& a) { return put_right(a, "/bust"); }
int correct(const Arguments& a) { return put_right(a, "/correct"); }

int show_receivables(const Arguments& a) {
  return cli::print_answer(a.server, "GET", kPath + "firms/" + HttpClient::escaped(a.firm) + "/receivables", "");
}

int clear_receivable(const Arguments& a) {
  JsonWriter out;
  out.begin_object().key("firm").text(a.firm).key("account").text(a.account).key("asset").text(a.asset);
  out.key("amount").text(a.amount).key("reason").text(a.reason).end_object();
  return cli::print_answer(a.server, "POST", kPath + "clearings", out.take());
}

int withdraw_fees(const Arguments& a) {
  JsonWriter out;
  out.begin_object().key("asset").text(a.asset).key("amount").text(a.amount).key("reason").text(a.reason).end_object();
  return cli::print_answer(a.server, "POST", kPath + "fee-withdrawals", out.take());
}

}  // namespace

void add_corrections(CLI::App& fintech, cli::Context& context) {
  auto arguments = std::make_shared<Arguments>();
  const auto add = cli::server_commands(fintech, arguments, context);
  const auto of_trade = [&](const char* name, const char* help, int (*run)(const Arguments&)) {
    CLI::App* command = add(name, help, run);
    command->add_option("TRADE", arguments->trade, "Its number, trade_id")->required();
    return command;
  };
  const auto with_reason = [&](CLI::App* command) {
    command->add_option("--reason", arguments->reason, "Why, for the audit trail")->required();
    return command;
  };
  of_trade("trade", "A trade, both sides, and whether it was busted.", show_trade);
  with_reason(of_trade("bust", "Take a trade back, with its fees.", bust));
  CLI::App* corrected = with_reason(of_trade("correct", "Settle what was agreed in place of a trade.", correct));
  corrected->add_option("--price", arguments->price, "40100.00")->required();
  corrected->add_option("--quantity", arguments->quantity, "Not above the trade's")->required();
  add("receivables", "What a firm owes for busted trades.", show_receivables)
      ->add_option("FIRM", arguments->firm, "The firm")
      ->required();
  CLI::App* clear = with_reason(add("clear", "Clear what a firm owes out of what it has.", clear_receivable));
  clear->add_option("FIRM", arguments->firm, "The firm")->required();
  clear->add_option("AMOUNT", arguments->amount, "12.50")->required();
  clear->add_option("ASSET", arguments->asset, "USD")->required();
  clear->add_option("--account", arguments->account, "Of the firm")->capture_default_str();
  CLI::App* fees = with_reason(add("withdraw-fees", "Withdraw what the house has of fees.", withdraw_fees));
  fees->add_option("AMOUNT", arguments->amount, "12.50")->required();
  fees->add_option("ASSET", arguments->asset, "USD")->required();
}

}  // namespace heptane::fintech
