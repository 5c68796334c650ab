#include "modules/fintech/cli/ledger.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <iostream>
#include <memory>

#include "kernel/cli/http_client.h"
#include "kernel/cli/progress.h"
#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"

namespace heptane::fintech {

namespace {

using cli::HttpClient;
using http::JsonValue;

const std::string kRoot = "/api/v1/ledger/";
constexpr uint16_t kCode = 1;  // where none is said

struct LedgerArguments {
  std::string server = cli::kDefaultServer;
  bool json = false;
  std::string id;
  std::string asset;
  uint32_t ledger = 0;
  uint16_t code = 0;  // not said
  std::vector<std::string> flags;
  std::string debit;
  std::string credit;
  std::string amount;
  std::string pending_id;
  uint32_t timeout = 0;
  uint32_t scale = 0;
  uint32_t limit = 100;
  std::string user_data_128;
  std::string user_data_64;
  std::string user_data_32;
  std::string timestamp;
  std::string from;
  std::string to;
  bool reversed = false;
  bool debits = false;
  bool credits = false;
  std::string page;
  std::string data = "heptane-data";
};
using Print = void (*)(const JsonValue&);
using Run = int (*)(const LedgerArguments&);
using Part = std::function<CLI::App*(CLI::App*, const char*, const char*, Run)>;

int failed(const Error& error) {
  std::cerr << "heptane: " << error.message << "\n";
  return error.code == Errc::closed ? cli::kRefused : cli::kFailed;
}

std::string text_of(const JsonValue& object, std::string_view name) {
  const auto value = object.find(name);
  if (!value) return "";
  return std::string(value->type() == http::JsonType::text ? value->text() : value->raw());
}

// 0: it is not there.
uint64_t number_of(const JsonValue& object, std::string_view name) {
  const auto value = object.find(name);
  const auto number = value ? value->integer() : std::nullopt;
  return static_cast<uint64_t>(std::max<int64_t>(0, number.value_or(0)));
}

std::string flags_of(const JsonValue& object) {
  std::string list;
  const auto flags = object.find("flags");
  for (auto flag = flags ? flags->first() : std::nullopt; flag; flag = flag->next())
    list += (list.empty() ? "" : ",") + std::string(flag->text());
  return list;
}

// Of the asset, or of the ledger that has none.
std::string unit_of(const JsonValue& object) {
  const std::string asset = text_of(object, "asset");
  return asset.empty() ? "ledger " + text_of(object, "ledger") : asset;
}

template <class Row>
void each(const JsonValue& root, std::string_view name, Row row) {
  const auto list = root.find(name);
  for (auto item = list ? list->first() : std::nullopt; item; item = item->next()) row(*item);
}

int show(const LedgerArguments& arguments, std::string_view method, const std::string& path, std::string body,
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
  const auto document = http::JsonDocument::parse(std::move(*answer));
  if (!document) return failed(document.error());
  print((*document)->root());
  return cli::kOk;
}

// Tables.

void print_account_head() {
  std::printf("%-40s %-12s %20s %20s %20s %20s  %s\n", "account", "unit", "debits posted", "debits pending",
              "credits posted", "credits pending", "flags");
}

void print_account_row(const JsonValue& account) {
  std::printf("%-40s %-12s %20s %20s %20s %20s  %s\n", text_of(account, "id").c_str(), unit_of(account).c_str(),
              text_of(account, "debits_posted").c_str(), text_of(account, "debits_pending").c_str(),
              text_of(account, "credits_posted").c_str(), text_of(account, "credits_pending").c_str(),
              flags_of(account).c_str());
}

void print_transfer_head() {
  std::printf("%-40s %-40s %-40s %20s %-12s  %s\n", "transfer", "debit", "credit", "amount", "unit", "flags");
}

void print_transfer_row(const JsonValue& transfer) {
  std::printf("%-40s %-40s %-40s %20s %-12s  %s\n", text_of(transfer, "id").c_str(),
              text_of(transfer, "debit_account_id").c_str(), text_of(transfer, "credit_account_id").c_str(),
              text_of(transfer, "amount").c_str(), unit_of(transfer).c_str(), flags_of(transfer).c_str());
}

void print_transfers(const JsonValue& root) {
  print_transfer_head();
  each(root, "transfers", print_transfer_row);
}

void print_balances(const JsonValue& root) {
  std::printf("%-20s %20s %20s %20s %20s\n", "time (ns)", "debits posted", "debits pending", "credits posted",
              "credits pending");
  each(root, "balances", [](const JsonValue& row) {
    std::printf("%-20s %20s %20s %20s %20s\n", text_of(row, "timestamp").c_str(), text_of(row, "debits_posted").c_str(),
                text_of(row, "debits_pending").c_str(), text_of(row, "credits_posted").c_str(),
                text_of(row, "credits_pending").c_str());
  });
}

void print_created(const JsonValue& root) {
  each(root, "results", [&](const JsonValue& result) {
    std::printf("%s at %s\n", text_of(result, "status").c_str(), text_of(root, "position").c_str());
  });
}

void print_statement(const JsonValue& root) {
  std::printf("%-20s %-40s %20s %20s %20s\n", "time (ns)", "transfer", "amount", "debits posted", "credits posted");
  each(root, "rows", [](const JsonValue& row) {
    const auto transfer = row.find("transfer");
    if (!transfer) return;
    std::printf("%-20s %-40s %20s %20s %20s\n", text_of(*transfer, "timestamp").c_str(),
                text_of(*transfer, "id").c_str(), text_of(*transfer, "amount").c_str(),
                text_of(row, "debits_posted").c_str(), text_of(row, "credits_posted").c_str());
  });
  if (const std::string next = text_of(root, "next_page"); !next.empty())
    std::printf("more: --page %s\n", next.c_str());
}

void print_totals(const JsonValue& root) {
  std::printf("%-12s %10s %20s %20s %20s %20s\n", "unit", "accounts", "debits posted", "debits pending",
              "credits posted", "credits pending");
  each(root, "ledgers", [](const JsonValue& row) {
    std::printf("%-12s %10s %20s %20s %20s %20s\n", unit_of(row).c_str(), text_of(row, "accounts").c_str(),
                text_of(row, "debits_posted").c_str(), text_of(row, "debits_pending").c_str(),
                text_of(row, "credits_posted").c_str(), text_of(row, "credits_pending").c_str());
  });
}

// Bodies.

void write_number(http::JsonWriter& out, std::string_view name, const std::string& value) {
  if (!value.empty()) out.key(name).text(value);
}

Result<std::unique_ptr<http::JsonDocument>> get(const LedgerArguments& arguments, const std::string& path) {
  HttpClient client(arguments.server);
  Result<std::string> answer = client.call("GET", kRoot + path);
  if (!answer) return answer.error();
  return http::JsonDocument::parse(std::move(*answer));
}

// Of the ledger that is named, or of the pending transfer's: an amount has the decimals of an asset or is in smallest units.
Result<bool> has_asset(const LedgerArguments& arguments) {
  if (!arguments.asset.empty()) return true;
  if (arguments.ledger == 0 && arguments.pending_id.empty())
    return Error{Errc::invalid_argument, "an amount needs --asset or --ledger"};
  const bool resolves = arguments.ledger == 0;
  const auto answer =
      get(arguments, resolves ? "transfers/" + HttpClient::escaped(arguments.pending_id) : std::string("assets"));
  if (!answer) return answer.error();
  const JsonValue root = (*answer)->root();
  if (resolves) return root.find("asset").has_value();
  bool found = false;
  each(root, "assets",
       [&](const JsonValue& asset) { found = found || text_of(asset, "ledger") == std::to_string(arguments.ledger); });
  return found;
}

void write_common(http::JsonWriter& out, const LedgerArguments& arguments) {
  out.key("id").text(arguments.id);
  // What posts or voids has that of its pending transfer.
  if (arguments.code != 0 || arguments.pending_id.empty())
    out.key("code").unsigned_number(arguments.code == 0 ? kCode : arguments.code);
  if (!arguments.asset.empty()) out.key("asset").text(arguments.asset);
  if (arguments.ledger != 0) out.key("ledger").unsigned_number(arguments.ledger);
  out.key("flags").begin_array();
  for (const std::string& flag : arguments.flags) out.text(flag);
  out.end_array();
  write_number(out, "user_data_128", arguments.user_data_128);
  write_number(out, "user_data_64", arguments.user_data_64);
  write_number(out, "user_data_32", arguments.user_data_32);
  write_number(out, "timestamp", arguments.timestamp);
}

int create_account(const LedgerArguments& arguments) {
  http::JsonWriter out;
  out.begin_object().key("accounts").begin_array().begin_object();
  write_common(out, arguments);
  out.end_object().end_array().end_object();
  return show(arguments, "POST", "accounts", out.take(), print_created);
}

int create_transfer(const LedgerArguments& arguments) {
  const Result<bool> decimals = arguments.amount.empty() ? Result<bool>(false) : has_asset(arguments);
  if (!decimals) return failed(decimals.error());
  http::JsonWriter out;
  out.begin_object().key("transfers").begin_array().begin_object();
  write_common(out, arguments);
  write_number(out, "debit_account_id", arguments.debit);
  write_number(out, "credit_account_id", arguments.credit);
  write_number(out, "pending_id", arguments.pending_id);
  write_number(out, *decimals ? "amount" : "amount_raw", arguments.amount);
  if (arguments.timeout != 0) out.key("timeout").unsigned_number(arguments.timeout);
  out.end_object().end_array().end_object();
  return show(arguments, "POST", "transfers", out.take(), print_created);
}

int add_asset(const LedgerArguments& arguments) {
  http::JsonWriter out;
  out.begin_object().key("code").text(arguments.asset).key("ledger").unsigned_number(arguments.ledger);
  out.key("scale").unsigned_number(arguments.scale).end_object();
  return show(arguments, "POST", "assets", out.take(), [](const JsonValue& asset) {
    std::printf("%s is ledger %s, %s decimals\n", text_of(asset, "code").c_str(), text_of(asset, "ledger").c_str(),
                text_of(asset, "scale").c_str());
  });
}

// The server says which command made it, the files of the log what that was.
int explain(const LedgerArguments& arguments, const cli::Context& context) {
  const auto document = get(arguments, "transfers/" + HttpClient::escaped(arguments.id) + "/position");
  if (!document) return failed(document.error());
  return cli::explain({.data = arguments.data,
                       .server = arguments.server,
                       .position = text_of((*document)->root(), "position"),
                       .json = arguments.json},
                      context);
}

std::string list_path(const LedgerArguments& arguments, const std::string& what) {
  std::string path = what + "?limit=" + std::to_string(arguments.limit);
  const auto add = [&path](const char* name, const std::string& value) {
    if (!value.empty()) path += std::string("&") + name + "=" + HttpClient::escaped(value);
  };
  add("ledger", arguments.ledger == 0 ? "" : std::to_string(arguments.ledger));
  add("code", arguments.code == 0 ? "" : std::to_string(arguments.code));
  add("user_data_128", arguments.user_data_128);
  add("user_data_64", arguments.user_data_64);
  add("user_data_32", arguments.user_data_32);
  add("timestamp_min", arguments.from);
  add("timestamp_max", arguments.to);
  add("reversed", arguments.reversed ? "true" : "");
  return path;
}

// With neither --debits nor --credits both sides are meant, as with both.
std::string account_path(const LedgerArguments& arguments, const char* what) {
  std::string path = list_path(arguments, "accounts/" + HttpClient::escaped(arguments.id) + what);
  if (arguments.debits && !arguments.credits) path += "&credits=false";
  if (arguments.credits && !arguments.debits) path += "&debits=false";
  return path;
}

std::string statement_path(const LedgerArguments& arguments) {
  std::string path =
      "accounts/" + HttpClient::escaped(arguments.id) + "/statement?limit=" + std::to_string(arguments.limit);
  if (!arguments.page.empty()) path += "&page=" + HttpClient::escaped(arguments.page);
  return path;
}

void add_user_data(CLI::App* command, LedgerArguments& arguments, const std::string& what) {
  command->add_option("--user-data-128", arguments.user_data_128, what);
  command->add_option("--user-data-64", arguments.user_data_64, what);
  command->add_option("--user-data-32", arguments.user_data_32, what);
}

void add_filters(CLI::App* command, LedgerArguments& arguments) {
  command->add_option("--limit", arguments.limit, "At most so many")->capture_default_str();
  add_user_data(command, arguments, "Only with this");
  command->add_option("--code", arguments.code, "Only with this");
  command->add_option("--from", arguments.from, "Not older: nanoseconds, as the server says them");
  command->add_option("--to", arguments.to, "Not newer");
  command->add_flag("--reversed", arguments.reversed, "The newest first");
}

void add_account_filters(CLI::App* command, LedgerArguments& arguments) {
  add_filters(command, arguments);
  command->add_flag("--debits", arguments.debits, "Only those that debit the account");
  command->add_flag("--credits", arguments.credits, "Only those that credit it");
}

void add_list_filters(CLI::App* command, LedgerArguments& arguments) {
  add_filters(command, arguments);
  command->add_option("--ledger", arguments.ledger, "Only of this ledger");
}

// A slice after another, until all is counted.
int verify(const LedgerArguments& arguments) {
  HttpClient client(arguments.server);
  cli::ProgressBar bar("count", "transfers");
  for (;;) {
    Result<std::string> answer = client.call("GET", kRoot + "recount");
    if (!answer) return failed(answer.error());
    const std::string text = *answer;
    const auto document = http::JsonDocument::parse(std::move(*answer));
    if (!document) return failed(document.error());
    const JsonValue root = (*document)->root();
    const auto done = root.find("done");
    if (!done || !done->boolean()) {
      bar.show(number_of(root, "counted"), number_of(root, "of"));
      continue;
    }
    const auto agrees = root.find("agrees");
    const bool good = agrees && agrees->boolean();
    if (arguments.json)
      std::cout << text << (text.ends_with('\n') ? "" : "\n");
    else
      std::printf("%s transfers counted again: %s of %s accounts and %s ledgers differ\n",
                  text_of(root, "transfers").c_str(), text_of(root, "differing_accounts").c_str(),
                  text_of(root, "accounts").c_str(), text_of(root, "differing_ledgers").c_str());
    return good ? cli::kOk : cli::kFailed;
  }
}

void add_accounts(CLI::App* parent, const Part& part, const std::shared_ptr<LedgerArguments>& arguments) {
  CLI::App* account = parent->add_subcommand("account", "Accounts.");
  account->require_subcommand(1);
  CLI::App* create = part(account, "create", "Create an account.", create_account);
  create->add_option("ID", arguments->id, "Its number, up to 2^128 - 2")->required();
  create->add_option("--asset", arguments->asset, "What it holds");
  create->add_option("--ledger", arguments->ledger, "In place of an asset");
  create->add_option("--code", arguments->code, "Why it exists; 1");
  create->add_option("--flag", arguments->flags, "history, debits_must_not_exceed_credits, ...");
  add_user_data(create, *arguments, "Of your own");
  create->add_option("--timestamp", arguments->timestamp, "Of an imported one");
  part(account, "show", "One account.",
       [](const LedgerArguments& a) {
         return show(a, "GET", "accounts/" + HttpClient::escaped(a.id), "", [](const JsonValue& root) {
           print_account_head();
           print_account_row(root);
         });
       })
      ->add_option("ID", arguments->id, "The account")
      ->required();
  CLI::App* list = part(account, "ls", "Accounts, the oldest first.", [](const LedgerArguments& a) {
    return show(a, "GET", list_path(a, "accounts"), "", [](const JsonValue& root) {
      print_account_head();
      each(root, "accounts", print_account_row);
    });
  });
  add_list_filters(list, *arguments);
  CLI::App* transfers = part(account, "transfers", "Its transfers, the oldest first.", [](const LedgerArguments& a) {
    return show(a, "GET", account_path(a, "/transfers"), "", print_transfers);
  });
  transfers->add_option("ID", arguments->id, "The account")->required();
  add_account_filters(transfers, *arguments);
  CLI::App* balances =
      part(account, "balances", "What one with history held behind each of its transfers.",
           [](const LedgerArguments& a) { return show(a, "GET", account_path(a, "/balances"), "", print_balances); });
  balances->add_option("ID", arguments->id, "The account")->required();
  add_account_filters(balances, *arguments);
}

void add_transfers(CLI::App* parent, const Part& part, const std::shared_ptr<LedgerArguments>& arguments) {
  CLI::App* transfer = parent->add_subcommand("transfer", "Transfers.");
  transfer->require_subcommand(1);
  CLI::App* create = part(transfer, "create", "Move money.", create_transfer);
  create->add_option("ID", arguments->id, "Its number: the same again is the same transfer")->required();
  create->add_option("--debit", arguments->debit, "The account that is debited");
  create->add_option("--credit", arguments->credit, "The account that is credited");
  create->add_option("--amount", arguments->amount,
                     "12.50 of the ledger's asset; where it has none, in smallest units");
  create->add_option("--asset", arguments->asset, "What is moved");
  create->add_option("--ledger", arguments->ledger, "In place of an asset");
  create->add_option("--code", arguments->code, "What for; 1, of a post or void its pending transfer's");
  create->add_option("--flag", arguments->flags, "pending, post_pending_transfer, void_pending_transfer, ...");
  create->add_option("--pending-id", arguments->pending_id, "What is posted or voided");
  create->add_option("--timeout", arguments->timeout, "Seconds until a pending one is given back");
  add_user_data(create, *arguments, "Of your own");
  create->add_option("--timestamp", arguments->timestamp, "Of an imported one");
  part(transfer, "show", "One transfer.",
       [](const LedgerArguments& a) {
         return show(a, "GET", "transfers/" + HttpClient::escaped(a.id), "", [](const JsonValue& root) {
           print_transfer_head();
           print_transfer_row(root);
         });
       })
      ->add_option("ID", arguments->id, "The transfer")
      ->required();
  CLI::App* list = part(transfer, "ls", "Transfers, the oldest first.", [](const LedgerArguments& a) {
    return show(a, "GET", list_path(a, "transfers"), "", print_transfers);
  });
  add_list_filters(list, *arguments);
}

}  // namespace

void add_ledger(CLI::App& app, cli::Context& context) {
  auto arguments = std::make_shared<LedgerArguments>();
  CLI::App* ledger = app.add_subcommand("ledger", "Accounts and transfers of a running server.");
  ledger->require_subcommand(1);
  const auto part = [arguments, &context](CLI::App* parent, const char* name, const char* help,
                                          int (*run)(const LedgerArguments&)) {
    CLI::App* command = parent->add_subcommand(name, help);
    command->add_option("--server", arguments->server, "The admin listener")->capture_default_str();
    command->add_flag("--json", arguments->json, "As the server says it");
    command->callback([arguments, run, &context] { context.exit_code = run(*arguments); });
    return command;
  };
  add_accounts(ledger, part, arguments);
  add_transfers(ledger, part, arguments);
  CLI::App* asset = ledger->add_subcommand("asset", "Which ledger is which currency.");
  asset->require_subcommand(1);
  CLI::App* added = part(asset, "add", "Name an asset, once and for all.", add_asset);
  added->add_option("CODE", arguments->asset, "USD")->required();
  added->add_option("LEDGER", arguments->ledger, "840")->required();
  added->add_option("SCALE", arguments->scale, "Digits behind the point: 2")->required();
  part(asset, "ls", "Every asset.", [](const LedgerArguments& a) {
    return show(a, "GET", "assets", "", [](const JsonValue& root) {
      std::printf("%-16s %10s %6s\n", "asset", "ledger", "scale");
      each(root, "assets", [](const JsonValue& row) {
        std::printf("%-16s %10s %6s\n", text_of(row, "code").c_str(), text_of(row, "ledger").c_str(),
                    text_of(row, "scale").c_str());
      });
    });
  });
  CLI::App* statement =
      part(ledger, "statement", "An account's transfers, the newest first, with what was posted behind each.",
           [](const LedgerArguments& a) { return show(a, "GET", statement_path(a), "", print_statement); });
  statement->add_option("ID", arguments->id, "The account")->required();
  statement->add_option("--limit", arguments->limit, "At most so many")->capture_default_str();
  statement->add_option("--page", arguments->page, "Where the one before ended: its last line");
  CLI::App* explained = ledger->add_subcommand("explain", "Which command made a transfer, and what else it made.");
  explained->add_option("ID", arguments->id, "The transfer")->required();
  explained->add_option("--data", arguments->data, "Data directory of the server")->capture_default_str();
  explained->add_option("--server", arguments->server, "The admin listener")->capture_default_str();
  explained->add_flag("--json", arguments->json, "One JSON object");
  explained->callback([arguments, &context] { context.exit_code = explain(*arguments, context); });
  part(ledger, "totals", "What all accounts of each ledger hold.",
       [](const LedgerArguments& a) { return show(a, "GET", "totals", "", print_totals); });
  part(ledger, "verify", "Count all balances again from the transfers alone; exit code 1 when they differ.", verify);
}

}  // namespace heptane::fintech
