// The running server says what the trade is, which transfers it and its orders made and which commands did it; the files of the log what
// those were, who sent them, and what was told of it: events of both orders and FIX messages.
#include "modules/fintech/cli/explain_trade.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <iostream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "kernel/cli/explained.h"
#include "kernel/cli/http_client.h"
#include "kernel/cli/server_commands.h"
#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"
#include "modules/fintech/domain/ledger/amount.h"
#include "modules/fintech/machine/exchange/settled_trade.h"

namespace heptane::fintech {

namespace {

using cli::HttpClient;
using http::JsonDocument;
using http::JsonValue;
using http::JsonWriter;

constexpr uint32_t kLegs = 7;
constexpr char kSoh = '\x01';
const std::string kFixStreams = "fintech.fix.";
// What every order is judged by before it is matched, in this order; one that was refused left nothing.
constexpr std::array<std::string_view, 15> kJudged = {
    "account", "symbol",   "cl_ord_id", "kill_switches", "receivables",       "phase",      "scales", "tick",
    "lot",     "quantity", "notional",  "limits",        "orders_per_second", "risk_rules", "funds"};
constexpr std::array<std::string_view, 5> kFacts = {"principal", "origin", "idempotency_key_hash", "cause", "trace_id"};

struct ExplainTradeArguments {
  std::string server = cli::kDefaultServer;
  std::string data = "heptane-data";
  std::string trade;
  bool json = false;
};

std::string text_of(const JsonValue& object, std::string_view name) {
  const auto value = object.find(name);
  return value ? std::string(value->type() == http::JsonType::text ? value->text() : value->raw()) : "";
}

std::string_view purpose_of(uint64_t code) {
  static constexpr std::string_view kNames[] = {"",          "deposit", "withdrawal", "hold",   "release",
                                                "principal", "base",    "fee",        "rebate", "improvement",
                                                "reversal",  "loan",    "clearing"};
  return code < std::size(kNames) ? kNames[code] : "";
}

std::string_view purse_name(uint8_t purse) {
  static constexpr std::string_view kNames[] = {"", "available", "held", "fees", "omnibus", "receivable"};
  return purse < std::size(kNames) ? kNames[purse] : "";
}

// A transfer.
struct Moved {
  std::string id;
  std::string what;
  std::string amount;
  std::string unit;
  std::string debit;
  std::string credit;
  std::string timestamp;
};

// A record that tells of one of the orders, or a message.
struct Told {
  std::string position;
  std::string session;  // of a message
  std::string number;   // likewise, MsgSeqNum
  std::string text;
};

struct OrderSide {
  std::string side;
  std::string order;
  std::string whose;
  std::string entered;  // a position
  std::vector<Moved> holds;
  std::vector<Told> events;
};

// Fields of a message as it is kept; the last one of a tag.
std::map<std::string, std::string> fields_of(std::string_view message) {
  std::map<std::string, std::string> fields;
  while (!message.empty()) {
    const size_t end = std::min(message.find(kSoh), message.size());
    const std::string_view field = message.substr(0, end);
    if (const size_t equals = field.find('='); equals != std::string_view::npos)
      fields[std::string(field.substr(0, equals))] = field.substr(equals + 1);
    message.remove_prefix(std::min(end + 1, message.size()));
  }
  return fields;
}

class TradeExplainer {
 public:
  TradeExplainer(const ExplainTradeArguments& arguments, const cli::Context& context)
      : arguments_(arguments), context_(context), client_(arguments.server) {}

  Result<void> look() {
    HEPTANE_TRY(look_at_trade());
    HEPTANE_TRY(look_at_postings());
    for (OrderSide& side : sides_) HEPTANE_TRY(look_at_order(side));
    if (busted_) HEPTANE_TRY(look_at_bust());
    HEPTANE_TRY(look_at_entries());
    return {};
  }
  void print_text() const;
  void print_json() const;

 private:
  Result<std::string> get(const std::string& path) { return client_.call("GET", "/api/v1/" + path); }
  Result<void> look_at_trade();
  Result<void> look_at_postings();
  Result<void> look_at_order(OrderSide& side);
  Result<void> look_at_bust();
  Result<void> look_at_entries();
  void take(const archive::ExplainedRecord& record, const std::string& position, const cli::Places& names);
  void take_event(const archive::ExplainedRecord& record, const std::string& position);
  void take_message(const archive::ExplainedRecord& record, const std::string& position);
  // Of a transfer; not_found: there is none.
  Result<Moved> moved(Uint128 id);
  Result<std::vector<Moved>> moves_of(const std::string& order, exchange::Purpose purpose);
  Result<std::string> position_of(Uint128 id);
  Moved moved_of(const JsonValue& transfer) const;
  std::string purse_text(const std::string& id) const;
  bool is_of(const std::string& trade) const { return trade.empty() || trade == arguments_.trade || trade == instead_; }

  const ExplainTradeArguments& arguments_;
  const cli::Context& context_;
  HttpClient client_;
  uint64_t number_ = 0;
  std::string trade_;  // as the server says it
  std::string summary_;
  bool busted_ = false;
  std::string instead_;  // the trade in its place
  std::array<OrderSide, 2> sides_;
  std::map<uint32_t, std::string> accounts_;  // by number
  std::vector<Moved> postings_;
  std::vector<Moved> reversals_;
  std::string fill_;  // positions
  std::string bust_;
  std::map<Sequence, archive::Explanation> entries_;
  std::vector<Told> messages_;
};

// ---- what the server knows

Result<void> TradeExplainer::look_at_trade() {
  Result<std::string> answer = get("exchange/trades/" + HttpClient::escaped(arguments_.trade));
  if (!answer) return answer.error();
  trade_ = *answer;
  while (trade_.ends_with('\n')) trade_.pop_back();
  const auto document = JsonDocument::parse(std::move(*answer));
  if (!document) return document.error();
  const JsonValue root = (*document)->root();
  const std::optional<Uint128> number = parse_number(text_of(root, "trade_id"));
  if (!number) return Error{Errc::corrupt, "the server says no trade"};
  number_ = static_cast<uint64_t>(*number);
  const auto busted = root.find("busted");
  busted_ = busted && busted->boolean();
  instead_ = text_of(root, "corrected_by");
  summary_ = text_of(root, "symbol") + "  " + text_of(root, "quantity") + " at " + text_of(root, "price") + ", " +
             text_of(root, "notional") + (busted_ ? ", busted" : "") +
             (instead_.empty() ? "" : ", trade " + instead_ + " is in its place");
  for (size_t at = 0; at < sides_.size(); ++at) {
    OrderSide& side = sides_[at];
    side.side = at == 0 ? "buyer" : "seller";
    const auto said = root.find(side.side);
    if (!said) return Error{Errc::corrupt, "the server says no " + side.side};
    side.order = text_of(*said, "order_id");
    side.whose = text_of(*said, "firm") + "/" + text_of(*said, "account");
  }
  return {};
}

// Whose account is which follows from who gives what.
Result<void> TradeExplainer::look_at_postings() {
  for (uint32_t leg = 0; leg < kLegs; ++leg) {
    const Uint128 id = exchange::trade_leg_id(number_, leg);
    Result<std::string> answer = get("ledger/transfers/" + number_text(id));
    if (!answer && answer.error().code == Errc::not_found) continue;
    if (!answer) return answer.error();
    const auto document = JsonDocument::parse(std::move(*answer));
    if (!document) return document.error();
    const std::optional<Uint128> debit = parse_number(text_of((*document)->root(), "debit_account_id"));
    if (leg < sides_.size() && debit) accounts_[exchange::account_of_purse(*debit)] = sides_[leg].whose;
    postings_.push_back(moved_of((*document)->root()));
  }
  // Now that the names are known.
  for (Moved& one : postings_) {
    one.debit = purse_text(one.debit);
    one.credit = purse_text(one.credit);
  }
  Result<std::string> position = position_of(exchange::trade_leg_id(number_, 0));
  if (!position) return position.error();
  fill_ = *position;
  return {};
}

// The first thing that an order does is to hold what it needs.
Result<void> TradeExplainer::look_at_order(OrderSide& side) {
  const std::optional<Uint128> order = parse_number(side.order);
  Result<std::string> position = position_of(exchange::order_move_id(static_cast<uint64_t>(order.value_or(0)), 0));
  if (!position) return position.error();
  side.entered = *position;
  for (const exchange::Purpose purpose : {exchange::Purpose::hold, exchange::Purpose::release}) {
    Result<std::vector<Moved>> moves = moves_of(side.order, purpose);
    if (!moves) return moves.error();
    side.holds.insert(side.holds.end(), moves->begin(), moves->end());
  }
  std::stable_sort(side.holds.begin(), side.holds.end(), [](const Moved& a, const Moved& b) {
    return std::pair(a.timestamp.size(), a.timestamp) < std::pair(b.timestamp.size(), b.timestamp);
  });
  return {};
}

Result<void> TradeExplainer::look_at_bust() {
  Result<std::string> position = position_of(exchange::bust_leg_id(number_, 0));
  if (!position) return position.error();
  bust_ = *position;
  for (uint32_t leg = 0; leg < exchange::kBustLegsMax; ++leg) {
    Result<Moved> one = moved(exchange::bust_leg_id(number_, leg));
    if (one)
      reversals_.push_back(std::move(*one));
    else if (one.error().code != Errc::not_found)
      return one.error();
  }
  return {};
}

Result<Moved> TradeExplainer::moved(Uint128 id) {
  Result<std::string> answer = get("ledger/transfers/" + number_text(id));
  if (!answer) return answer.error();
  const auto document = JsonDocument::parse(std::move(*answer));
  if (!document) return document.error();
  Moved found = moved_of((*document)->root());
  found.debit = purse_text(found.debit);
  found.credit = purse_text(found.credit);
  return found;
}

Result<std::vector<Moved>> TradeExplainer::moves_of(const std::string& order, exchange::Purpose purpose) {
  Result<std::string> answer = get("ledger/transfers?limit=1000&user_data_64=" + order +
                                   "&code=" + std::to_string(static_cast<uint16_t>(purpose)));
  if (!answer) return answer.error();
  const auto document = JsonDocument::parse(std::move(*answer));
  if (!document) return document.error();
  std::vector<Moved> found;
  const auto list = (*document)->root().find("transfers");
  for (auto item = list ? list->first() : std::nullopt; item; item = item->next()) {
    Moved& one = found.emplace_back(moved_of(*item));
    one.debit = purse_text(one.debit);
    one.credit = purse_text(one.credit);
  }
  return found;
}

Result<std::string> TradeExplainer::position_of(Uint128 id) {
  Result<std::string> answer = get("ledger/transfers/" + number_text(id) + "/position");
  if (!answer) return answer.error();
  const auto document = JsonDocument::parse(std::move(*answer));
  if (!document) return document.error();
  std::string position = text_of((*document)->root(), "position");
  const std::optional<cli::Position> at = cli::parse_position(position);
  if (!at) return Error{Errc::corrupt, "the server says no position"};
  if (entries_.contains(at->sequence)) return position;
  Result<archive::Explanation> said = cli::explained(arguments_.data, *at, context_);
  if (!said) return said.error();
  entries_.emplace(at->sequence, std::move(*said));
  return position;
}

Moved TradeExplainer::moved_of(const JsonValue& transfer) const {
  const std::optional<Uint128> code = parse_number(text_of(transfer, "code"));
  const std::string asset = text_of(transfer, "asset");
  return {text_of(transfer, "id"),
          std::string(purpose_of(static_cast<uint64_t>(code.value_or(0)))),
          text_of(transfer, "amount"),
          asset.empty() ? "ledger " + text_of(transfer, "ledger") : asset,
          text_of(transfer, "debit_account_id"),
          text_of(transfer, "credit_account_id"),
          text_of(transfer, "timestamp")};
}

std::string TradeExplainer::purse_text(const std::string& id) const {
  const std::optional<Uint128> number = parse_number(id);
  if (!number) return id;
  const std::string purse(purse_name(static_cast<uint8_t>(*number)));
  const uint32_t account = exchange::account_of_purse(*number);
  if (account == exchange::kHouse) return "house " + purse;
  // A receivable is a firm's.
  if (purse == purse_name(static_cast<uint8_t>(exchange::Purse::receivable)))
    return purse + " of firm " + std::to_string(account);
  const auto found = accounts_.find(account);
  return (found == accounts_.end() ? "account " + std::to_string(account) : found->second) + " " + purse;
}

// ---- what the log says

Result<void> TradeExplainer::look_at_entries() {
  const cli::Places names = cli::places(arguments_.server);
  if (names.empty()) return Error{Errc::closed, "the server does not name its streams"};
  for (const auto& [sequence, entry] : entries_)
    for (const archive::ExplainedRecord& record : entry.records) take(record, entry.position, names);
  return {};
}

void TradeExplainer::take(const archive::ExplainedRecord& record, const std::string& position,
                          const cli::Places& names) {
  const auto place = names.find(record.partition);
  if (place == names.end()) return;
  if (place->second.stream == exchange::kStreams[0]) return take_event(record, position);
  if (place->second.stream.starts_with(kFixStreams)) take_message(record, position);
}

void TradeExplainer::take_event(const archive::ExplainedRecord& record, const std::string& position) {
  for (OrderSide& side : sides_) {
    if (side.order != record.key) continue;
    const auto document = JsonDocument::parse(record.value);
    if (document && is_of(text_of((*document)->root(), "trade_id")))
      side.events.push_back({position, {}, {}, record.value});
  }
}

void TradeExplainer::take_message(const archive::ExplainedRecord& record, const std::string& position) {
  const std::map<std::string, std::string> fields = fields_of(record.value);
  const auto field = [&](const char* tag) {
    const auto found = fields.find(tag);
    return found == fields.end() ? std::string() : found->second;
  };
  const std::string order = field("37");
  if ((order != sides_[0].order && order != sides_[1].order) || !is_of(field("527"))) return;
  std::string text = record.value;
  std::replace(text.begin(), text.end(), kSoh, '|');
  messages_.push_back({position, record.key, field("34"), text});
}

// ---- said

void print_moves(const char* head, const std::vector<Moved>& moves) {
  std::printf("%s\n", head);
  for (const Moved& one : moves)
    std::printf("    %-11s %20s %-10s %s -> %s  (%s)\n", one.what.c_str(), one.amount.c_str(), one.unit.c_str(),
                one.debit.c_str(), one.credit.c_str(), one.id.c_str());
}

void print_entry(const char* head, const archive::Explanation& entry) {
  std::printf("%s %s  %s\n", head, entry.position.c_str(), entry.time.c_str());
  for (const auto& [name, value] : entry.facts)
    if (std::find(kFacts.begin(), kFacts.end(), name) != kFacts.end())
      std::printf("    %s: %s\n", name.c_str(), value.c_str());
  if (entry.records_left_out > 0)
    std::printf("    %llu more records of it are not looked at\n",
                static_cast<unsigned long long>(entry.records_left_out));
}

const archive::Explanation& entry_at(const std::map<Sequence, archive::Explanation>& entries,
                                     const std::string& position) {
  return entries.at(cli::parse_position(position)->sequence);
}

void TradeExplainer::print_text() const {
  std::printf("trade %s  %s\n", arguments_.trade.c_str(), summary_.c_str());
  print_entry("  settled at", entry_at(entries_, fill_));
  print_moves("  its postings", postings_);
  for (const OrderSide& side : sides_) {
    std::printf("%s: order %s of %s\n", side.side.c_str(), side.order.c_str(), side.whose.c_str());
    print_entry("  entered at", entry_at(entries_, side.entered));
    std::printf("  accepted; judged by");
    for (const std::string_view what : kJudged) std::printf(" %.*s", static_cast<int>(what.size()), what.data());
    std::printf("\n");
    print_moves("  held and released", side.holds);
    for (const Told& told : side.events) std::printf("    %s  %s\n", told.position.c_str(), told.text.c_str());
  }
  if (busted_) {
    print_entry("busted at", entry_at(entries_, bust_));
    print_moves("  taken back", reversals_);
  }
  std::printf(messages_.empty() ? "no FIX message was sent\n" : "FIX messages\n");
  for (const Told& told : messages_)
    std::printf("  %s  %s number %s  %s\n", told.position.c_str(), told.session.c_str(), told.number.c_str(),
                told.text.c_str());
}

void write_moves(JsonWriter& out, std::string_view name, const std::vector<Moved>& moves) {
  out.key(name).begin_array();
  for (const Moved& one : moves) {
    out.begin_object().key("id").text(one.id).key("what").text(one.what).key("amount").text(one.amount);
    out.key("asset").text(one.unit).key("debit").text(one.debit).key("credit").text(one.credit);
    out.key("timestamp").text(one.timestamp).end_object();
  }
  out.end_array();
}

void write_entry(JsonWriter& out, std::string_view name, const archive::Explanation& entry) {
  out.key(name).begin_object().key("position").text(entry.position).key("time").text(entry.time);
  for (const auto& [fact, value] : entry.facts)
    if (std::find(kFacts.begin(), kFacts.end(), fact) != kFacts.end()) out.key(fact).text(value);
  out.key("records_left_out").unsigned_number(entry.records_left_out).end_object();
}

void write_side(JsonWriter& out, const OrderSide& side, const archive::Explanation& entered) {
  out.key(side.side).begin_object().key("order_id").text(side.order).key("whose").text(side.whose);
  write_entry(out, "entered", entered);
  out.key("verdict").text("accepted").key("judged").begin_array();
  for (const std::string_view what : kJudged) out.text(what);
  out.end_array();
  write_moves(out, "holds", side.holds);
  out.key("events").begin_array();
  for (const Told& told : side.events)
    out.begin_object().key("position").text(told.position).key("record").raw(told.text).end_object();
  out.end_array().end_object();
}

void TradeExplainer::print_json() const {
  JsonWriter out;
  out.begin_object().key("trade").raw(trade_);
  write_entry(out, "settled", entry_at(entries_, fill_));
  write_moves(out, "postings", postings_);
  for (const OrderSide& side : sides_) write_side(out, side, entry_at(entries_, side.entered));
  if (busted_) {
    write_entry(out, "busted", entry_at(entries_, bust_));
    write_moves(out, "reversals", reversals_);
  }
  out.key("fix").begin_array();
  for (const Told& told : messages_) {
    out.begin_object().key("position").text(told.position).key("session").text(told.session);
    out.key("number").text(told.number).key("message").text(told.text).end_object();
  }
  out.end_array().end_object();
  std::cout << out.take();
}

int explain_trade(const ExplainTradeArguments& arguments, const cli::Context& context) {
  TradeExplainer explainer(arguments, context);
  if (const Result<void> looked = explainer.look(); !looked) return cli::failed(looked.error());
  arguments.json ? explainer.print_json() : explainer.print_text();
  return cli::kOk;
}

}  // namespace

void add_explain_trade(CLI::App& fintech, cli::Context& context) {
  auto arguments = std::make_shared<ExplainTradeArguments>();
  CLI::App* command = fintech.add_subcommand(
      "explain", "A trade: both orders, what they held, every posting, and the FIX messages that were sent.");
  command->add_option("TRADE", arguments->trade, "Its number, trade_id")->required();
  command->add_option("--data", arguments->data, "Data directory of the server")->capture_default_str();
  command->add_option("--server", arguments->server, "The admin listener")->capture_default_str();
  command->add_flag("--json", arguments->json, "One JSON object");
  command->callback([arguments, &context] { context.exit_code = explain_trade(*arguments, context); });
}

}  // namespace heptane::fintech
