#include "sim/exchange_clients.h"

#include <algorithm>
#include <charconv>

namespace heptane::sim {

namespace {

constexpr uint32_t kPreparations = 11;
constexpr uint32_t kFunds = 6;  // both assets of each account
constexpr size_t kOpenMost = 24;
const std::string kExchange = "/api/v1/exchange/";

std::string member(const char* name, const std::string& value) { return quoted(name) + ":" + quoted(value); }

// Whole units of 10^-decimals.
std::string decimal_text(uint64_t units, size_t decimals) {
  std::string text = std::to_string(units);
  if (text.size() <= decimals) text.insert(0, decimals + 1 - text.size(), '0');
  return text.insert(text.size() - decimals, 1, '.');
}

// 0: it says none.
uint64_t order_in(std::string_view body) {
  constexpr std::string_view kName = R"("order_id":")";
  const size_t at = body.find(kName);
  uint64_t order = 0;
  if (at != std::string_view::npos) std::from_chars(body.data() + at + kName.size(), body.data() + body.size(), order);
  return order;
}

}  // namespace

// ---- the operator

void SimMarketOperator::prepare(uint32_t step) {
  const auto account = [&](int who) {
    ask("POST", kExchange + "firms/" + kSimAccounts[who].firm + "/accounts",
        "{" + member("name", kSimAccounts[who].name) + R"(,"fee_class":)" +
            std::to_string(kSimAccounts[who].fee_class) + "}");
  };
  switch (step) {
    case 0: return ask("POST", "/api/v1/ledger/assets", R"({"code":"USD","ledger":840,"scale":2})");
    case 1: return ask("POST", "/api/v1/ledger/assets", R"({"code":"BTC","ledger":1,"scale":8})");
    case 2:
      return ask("POST", kExchange + "instruments",
                 R"({"symbol":"BTC/USD","base":"BTC","quote":"USD","price_scale":2,"quantity_scale":3,"tick":"0.10",)"
                 R"("lot":"0.100","quantity_max":"1000","price_max":"100000","orders_max":4096,"fees":[)"
                 R"({"maker_ppm":-500,"taker_ppm":2000,"minimum":"0.03"},{"maker_ppm":1000,"taker_ppm":3000}]})");
    case 3: return ask("POST", kExchange + "firms", "{" + member("name", "alpha") + "}");
    case 4: return ask("POST", kExchange + "firms", "{" + member("name", "beta") + "}");
    case 5:
    case 6:
    case 7: return account(static_cast<int>(step) - 5);
    case 8: return ask("POST", kExchange + "instruments/BTC%2FUSD/phase", R"({"phase":"continuous"})");
    default: break;
  }
  if (step < kPreparations + kFunds)
    return move_money(true, static_cast<int>(step - 9) % kSimAccountCount, (step - 9) % 2 == 0);
  add_fix_session(kSimFixSessions[step - kPreparations - kFunds]);
}

uint32_t SimMarketOperator::preparations() const {
  return kPreparations + kFunds + (watch_.has_fix ? static_cast<uint32_t>(kSimFixSessionCount) : 0);
}

void SimMarketOperator::add_fix_session(const SimFixSession& session) {
  ask("POST", kExchange + "fix-sessions",
      "{" + member("name", session.name) + "," + member("comp_id", kSimCompId) + "," + member("firm", session.firm) +
          "," + member("role", session.account < 0 ? "drop_copy" : "orders") + R"(,"max_latency":0})");
}

// Each amount is moved once and never again, so that the log says what was done twice.
void SimMarketOperator::move_money(bool in, int account, bool usd) {
  amount_ = (usd ? 1'000'000 : 5'000'000'000) + ++moves_;
  ask("POST", kExchange + (in ? "deposits" : "withdrawals"),
      "{" + member("firm", kSimAccounts[account].firm) + "," + member("account", kSimAccounts[account].name) + "," +
          member("asset", usd ? "USD" : "BTC") + "," + member("amount_raw", std::to_string(amount_)) + "}",
      "Idempotency-Key: move-" + std::to_string(moves_) + "\r\n");
}

void SimMarketOperator::throw_switch(const std::string& whose, bool lift) {
  ask("POST", kExchange + "switches", "{" + whose + (lift ? R"(,"lift":true)" : "") + R"(,"reason":"simulated"})");
}

// Or corrects it; perhaps there is no such trade, or it was busted before.
void SimMarketOperator::bust_trade() {
  SeededRandom& random = world_.random;
  trade_ = random.below(watch_.counts.trades + 4) + 1;
  std::string body = R"({"reason":"simulated")";
  const bool corrects = random.one_in(3);
  if (corrects)
    body += "," + member("price", decimal_text(9'900 + random.below(20) * 10, 2)) + "," +
            member("quantity", decimal_text((random.below(20) + 1) * 100, 3));
  ask("POST", kExchange + "trades/" + std::to_string(trade_) + (corrects ? "/correct" : "/bust"), body + "}");
}

void SimMarketOperator::compose() {
  if (prepared_ < preparations()) return prepare(prepared_);
  if (!killed_.empty() && (finishing_ || world_.random.one_in(2))) return throw_switch(killed_, true);
  if (killed_.empty() && world_.random.one_in(4)) return bust_trade();
  const auto account = static_cast<int>(world_.random.below(kSimAccountCount));
  if (!killed_.empty() || !world_.random.one_in(6))
    return move_money(world_.random.one_in(2), account, world_.random.one_in(2));
  const std::string firm = "," + member("firm", kSimAccounts[account].firm);
  static constexpr const char* kWhose[] = {"everybody", "firm", "account"};
  const uint64_t which = world_.random.below(std::size(kWhose));
  killed_ = member("whose", kWhose[which]);
  if (which > 0) killed_ += firm;
  if (which > 1) killed_ += "," + member("account", kSimAccounts[account].name);
  throw_switch(killed_, false);
}

bool SimMarketOperator::on_response(int status, std::string_view body) {
  const bool done = status == 200 || status == 201;
  const std::string_view asked = request();
  const bool moves = asked.find(" /api/v1/exchange/deposits ") != std::string_view::npos ||
                     asked.find(" /api/v1/exchange/withdrawals ") != std::string_view::npos;
  const bool busts = asked.find(" /api/v1/exchange/trades/") != std::string_view::npos;
  const bool lifts = asked.find(R"("lift":true)") != std::string_view::npos;
  // A firm, an account or a lifting that was done before the answer was lost; and what is not there to be withdrawn or busted.
  const bool was_done =
      (status == 409 && (asked.find("/firms") != std::string_view::npos || lifts || moves || busts)) ||
      (status == 404 && busts);
  const bool there_already =
      status == 409 && prepared_ < kPreparations && body.find("exists") != std::string_view::npos;
  if (!done && !was_done && !there_already) return false;
  ++watch_.counts.acknowledged;
  if (moves && done) watch_.moved(amount_);
  if (busts && done) watch_.busted(trade_);
  if (lifts) killed_.clear();
  if (prepared_ < preparations() && ++prepared_ == preparations()) watch_.is_open = true;
  return true;
}

// ---- a trader

std::string SimTrader::next_name() {
  return name_ = kSimAccounts[account_].name + std::string("-") + std::to_string(++names_);
}

void SimTrader::enter() {
  SeededRandom& random = world_.random;
  const uint64_t kind = random.below(10);
  static constexpr const char* kRules[] = {"allow", "cancel_newest", "cancel_oldest", "cancel_both"};
  static constexpr const char* kTimes[] = {"fok", "ioc", "ioc"};
  const bool immediate = kind < std::size(kTimes);
  std::string body = "{" + member("account", kSimAccounts[account_].name) + "," + member("cl_ord_id", next_name());
  body += "," + member("symbol", "BTC/USD") + "," + member("side", random.one_in(2) ? "buy" : "sell");
  body += "," + member("price", decimal_text(9'900 + random.below(20) * 10, 2));
  body += "," + member("quantity", decimal_text((random.below(300) + 1) * 100, 3));
  body += "," + member("time_in_force", immediate ? kTimes[kind] : "gtc");
  body += "," + member("self_trade", kind == 0 ? kRules[0] : kRules[random.below(std::size(kRules))]);
  body += kind == std::size(kTimes) ? R"(,"post_only":true})" : "}";
  ask("POST", path(), body);
}

void SimTrader::replace(uint64_t order) {
  order_ = order;
  SeededRandom& random = world_.random;
  ask("PUT", path() + "/" + std::to_string(order),
      "{" + member("cl_ord_id", next_name()) + "," + member("quantity", decimal_text(random.below(300) * 100, 3)) +
          "," + member("price", decimal_text(9'900 + random.below(20) * 10, 2)) + "}");
}

void SimTrader::compose() {
  name_.clear();
  order_ = 0;
  const uint64_t what = open_.empty() ? 0 : world_.random.below(20);
  const uint64_t any = open_.empty() ? 0 : open_[world_.random.below(open_.size())];
  if (what == 19) {
    open_.clear();
    return ask("POST", kExchange + "firms/" + firm() + "/mass-cancel",
               "{" + member("account", kSimAccounts[account_].name) + "}");
  }
  if (what > 15 || (what > 0 && open_.size() > kOpenMost)) {
    order_ = any;
    return ask("DELETE", path() + "/" + std::to_string(any), "{}");
  }
  if (what > 11) return replace(any);
  enter();
}

bool SimTrader::on_response(int status, std::string_view body) {
  if (request().find("/mass-cancel ") != std::string_view::npos) return status == 200;
  return on_order(status, body);
}

bool SimTrader::on_order(int status, std::string_view body) {
  const std::string_view asked = request();
  ++watch_.counts.acknowledged;
  const bool done = status == 200 || status == 201;
  if (!done && status != 409) return false;
  if (body.find(R"("repeated":true)") != std::string_view::npos) ++watch_.counts.repeats;
  const uint64_t order = order_in(body);
  if (done && order == 0) return false;
  const bool is_open = body.find(R"("status":"open")") != std::string_view::npos;
  if (asked.starts_with("DELETE")) {
    // Too late is an end, too; a book that works is none.
    if (done || body.find(" already") != std::string_view::npos) watch_.ended(order_);
    std::erase(open_, order_);
    return true;
  }
  if (!done) {
    ++watch_.counts.refused;
    return true;
  }
  watch_.entered(firm(), name_, order);
  std::erase(open_, order);
  if (is_open) open_.push_back(order);
  return true;
}

}  // namespace heptane::sim
