#include "sim/exchange_watch.h"

#include <algorithm>
#include <array>

namespace heptane::sim {

namespace {

using namespace fintech;
using namespace fintech::exchange;
using test::NaiveOrder;
using test::NaiveTrade;

std::string order_text(uint64_t id) { return "order " + std::to_string(id); }

std::string switch_name(const SwitchChange& change) {
  if (change.whose == Whose::everybody) return "everybody";
  return change.firm + "/" + change.account;
}

// -1: none of them.
int account_of(const std::string& firm, const std::string& name) {
  for (int who = 0; who < kSimAccountCount; ++who)
    if (kSimAccounts[who].firm == firm && kSimAccounts[who].name == name) return who;
  return -1;
}

int firm_of(int who) { return std::string_view(kSimAccounts[who].firm) == "beta" ? 1 : 0; }

uint32_t number_of(const ExchangeMachine& exchange, int who) {
  const Directory& directory = exchange.directory();
  const Firm* firm = directory.firm(kSimAccounts[who].firm);
  const TradingAccount* account = firm == nullptr ? nullptr : directory.account(firm->number, kSimAccounts[who].name);
  return account == nullptr ? 0 : account->number;
}

// An amount of the command's, which the log holds because it was none to refuse.
template <class T>
std::optional<T> read(const FollowedCommand& command, Checker& checker) {
  std::optional<T> asked = unpacked<T>(command.payload);
  if (!asked) checker.fail("the log holds a command of the exchange that must have been refused");
  return asked;
}

template <class T, class Then>
void read(const FollowedCommand& command, Checker& checker, const Then& then) {
  if (const auto asked = read<T>(command, checker)) then(*asked);
}

}  // namespace

FeeRates sim_rates(int account) {
  if (kSimAccounts[account].fee_class == 0) return {.maker_ppm = -500, .taker_ppm = 2'000, .minimum = 3};
  return {.maker_ppm = 1'000, .taker_ppm = 3'000, .minimum = 0};
}

ExchangeWatch::Counts& ExchangeWatch::Counts::operator+=(const Counts& other) {
  orders += other.orders;
  trades += other.trades;
  replaced += other.replaced;
  cancelled += other.cancelled;
  kills += other.kills;
  busts += other.busts;
  owed += other.owed;
  acknowledged += other.acknowledged;
  repeats += other.repeats;
  refused += other.refused;
  audits += other.audits;
  gaps += other.gaps;
  fix += other.fix;
  return *this;
}

std::string ExchangeWatch::Counts::text() const {
  return "exchange: " + std::to_string(orders) + " orders, " + std::to_string(trades) + " trades, " +
         std::to_string(replaced) + " replaces, " + std::to_string(cancelled) + " cancelled, " + std::to_string(kills) +
         " kill switches, " + std::to_string(busts) + " trades busted or corrected, " + std::to_string(owed) +
         " of them owed for, " + std::to_string(acknowledged) + " answers, " + std::to_string(repeats) + " repeats, " +
         std::to_string(refused) + " refused, " + std::to_string(audits) + " comparisons, " + std::to_string(gaps) +
         " given up; over FIX " + std::to_string(fix.requests) + " requests, " + std::to_string(fix.logons) +
         " logons, " + std::to_string(fix.told) + " messages, " + std::to_string(fix.again) + " again, " +
         std::to_string(fix.asked) + " resends asked for";
}

void ExchangeWatch::follow(server::Server& server) {
  log_.follow(server);
  if (log_.is_gone() && !std::exchange(blind_, true)) ++counts.gaps;
}

// False: nothing is known any more.
bool ExchangeWatch::catch_up(server::Server& server, Disk& disk, Checker& checker, bool damaged) {
  const Sequence upto = server.shard().last_applied();
  if (checker.lost_tail_allowed()) blind_ = true;
  if (blind_) return false;
  if (log_.read_upto() > upto)
    checker.fail("the log was synced up to sequence " + std::to_string(log_.read_upto()) + " and ends at " +
                 std::to_string(upto));
  Result<void> done = log_.read(server, upto);
  if (log_.is_gone()) ++counts.gaps;
  if (done)
    done = trades_tail_.read(server, disk, [&](Offset, std::string_view, std::string_view value) {
      if (value.starts_with(R"({"event":"busted")"))
        ++told_busts_;
      else
        told_trades_.emplace_back(value);
    });
  if (done && has_fix) done = fix.read(server, disk, checker);
  if (!done && !damaged) checker.fail("what the exchange did cannot be read: " + done.error().message);
  blind_ = blind_ || log_.is_gone() || !done;
  if (blind_) return false;
  for (const FollowedCommand& command : log_.take()) {
    if (checker.failed()) return false;
    if (command.machine == kExchangeMachineId) run(command, checker);
  }
  return !checker.failed();
}

void ExchangeWatch::audit(server::Server& server, const ExchangeMachines& machines, Disk& disk, Checker& checker,
                          bool damaged) {
  if (!catch_up(server, disk, checker, damaged)) return;
  compare_orders(*machines.exchange, checker);
  compare_money(machines, checker);
  if (!damaged) compare_trades(machines, checker);  // rows are read, a bit of which may be another
  if (!damaged && !checker.failed()) compare_busts(machines, checker);
  if (!damaged && !checker.failed()) compare_positions(*machines.exchange, checker);
  compare_answers(checker);
  fix.compare(checker);
  counts.fix = fix.counts;
  counts.trades = model_.trades.size();
  ++counts.audits;
}

// ---- the commands

void ExchangeWatch::run(const FollowedCommand& command, Checker& checker) {
  switch (command.type) {
    case kDeposit:
    case kWithdraw: return run_cash(command, checker);
    case kNewOrder:
      return read<NewOrder>(command, checker, [&](const NewOrder& asked) { enter(command, asked, checker); });
    case kReplaceOrder:
      return read<ReplaceOrder>(command, checker, [&](const ReplaceOrder& asked) { replace(command, asked, checker); });
    case kCancelOrder:
      return read<CancelOrder>(command, checker, [&](const CancelOrder& asked) { cancel(asked, checker); });
    case kFixOrders:
    case kFixInput: return run_fix(command, checker);
    case kMassCancel: return run_mass_cancel(command, checker);
    case kSwitch: return run_switch(command, checker);
    case kBustTrade: return run_bust(command, checker);
    default: return;
  }
}

// False: it was there on that trade date.
bool ExchangeWatch::use(const FollowedCommand& command, const Name& name, uint64_t order, Checker& checker) {
  orders_[name].insert(order);
  if (used_.emplace(trade_date(command.time), name.first, name.second).second) return true;
  checker.fail("ClOrdID " + name.second + " of " + name.first + " was taken twice on one trade date");
  return false;
}

bool ExchangeWatch::blocked(int who) {
  if (model_.owes_any(firm_of(who))) return true;
  const std::string firm = std::string(kSimAccounts[who].firm) + "/";
  return blocked_.contains("everybody") || blocked_.contains(firm) || blocked_.contains(firm + kSimAccounts[who].name);
}

void ExchangeWatch::enter(const FollowedCommand& command, const NewOrder& asked, Checker& checker) {
  NaiveOrder order;
  order.id = next_order_++;
  order.who = account_of(asked.firm, asked.account);
  if (order.who < 0) return checker.fail(order_text(order.id) + " is of no account");
  if (!use(command, {asked.firm, asked.client_id}, order.id, checker)) return;
  if (blocked(order.who)) return checker.fail(order_text(order.id) + " was let through a kill switch, or a debt");
  order.buy = asked.side == book::Side::buy;
  order.price = at_scale(asked.price, 2).value_or(0);
  order.quantity = order.leaves = at_scale(asked.quantity, 3).value_or(0);
  order.rates = sim_rates(order.who);
  order.immediate = asked.tif == book::TimeInForce::ioc || asked.tif == book::TimeInForce::fok;
  order.rule = asked.self_trade;
  order.post_only = asked.post_only;
  if (!model_.enter(order, asked.tif == book::TimeInForce::fok))
    checker.fail(order_text(order.id) + " was taken and should have been refused");
  ++counts.orders;
}

void ExchangeWatch::replace(const FollowedCommand& command, const ReplaceOrder& asked, Checker& checker) {
  if (!use(command, {asked.firm, asked.client_id}, asked.order_id, checker)) return;
  const NaiveOrder* order = model_.find(asked.order_id);
  if (order != nullptr && blocked(order->who))
    return checker.fail(order_text(asked.order_id) + " was replaced through a kill switch, or a debt");
  const Int128 price = asked.price ? at_scale(*asked.price, 2).value_or(0) : 0;
  if (!model_.replace(asked.order_id, at_scale(asked.quantity, 3).value_or(0), price))
    checker.fail("a replace of " + order_text(asked.order_id) + " was taken and should have been refused");
  ++counts.replaced;
}

void ExchangeWatch::cancel(const CancelOrder& asked, Checker& checker) {
  if (!model_.cancel(asked.order_id)) checker.fail(order_text(asked.order_id) + " was cancelled, and it was not open");
  ++counts.cancelled;
}

// The session's stream says what became of it.
void ExchangeWatch::run_fix(const FollowedCommand& command, Checker& checker) {
  const auto input = read<FixInput>(command, checker);
  if (!input || !input->request) return;
  const FixRequest& asked = *input->request;
  const auto* session = std::find_if(std::begin(kSimFixSessions), std::end(kSimFixSessions),
                                     [&](const SimFixSession& one) { return one.name == input->session; });
  if (session == std::end(kSimFixSessions)) return checker.fail("a request came over no FIX session");
  const std::string firm = session->firm;
  const std::optional<FixWatch::Answer> answer = fix.answer({firm, asked.client_id});
  if (!answer) return checker.fail("request " + asked.client_id + " over FIX has no answer");
  if (!answer->done()) return;
  if (asked.refused) return checker.fail("request " + asked.client_id + " was refused and done");
  if (asked.ask == FixAsk::enter) {
    NewOrder order = asked.order;
    order.firm = firm;
    order.client_id = asked.client_id;
    if (answer->order != next_order_)
      return checker.fail(order_text(next_order_) + " was told as " + order_text(answer->order));
    return enter(command, order, checker);
  }
  if (answer->order != asked.order_id)
    return checker.fail("request " + asked.client_id + " of " + order_text(asked.order_id) + " was done to " +
                        order_text(answer->order));
  if (asked.ask == FixAsk::cancel) {
    if (use(command, {firm, asked.client_id}, asked.order_id, checker)) cancel({firm, asked.order_id, {}}, checker);
    return;
  }
  ReplaceOrder change = asked.change;
  change.firm = firm;
  change.order_id = asked.order_id;
  change.client_id = asked.client_id;
  replace(command, change, checker);
}

// Empty: of all.
void ExchangeWatch::cancel_all(const std::string& firm, const std::string& account) {
  counts.cancelled += std::erase_if(model_.open, [&](const NaiveOrder& order) {
    const SimAccount& of = kSimAccounts[order.who];
    return (firm.empty() || firm == of.firm) && (account.empty() || account == of.name);
  });
}

void ExchangeWatch::run_mass_cancel(const FollowedCommand& command, Checker& checker) {
  if (const auto asked = read<MassCancelOrders>(command, checker)) cancel_all(asked->firm, asked->account);
}

void ExchangeWatch::run_switch(const FollowedCommand& command, Checker& checker) {
  const auto asked = read<SwitchChange>(command, checker);
  if (!asked) return;
  if (asked->lift) {
    blocked_.erase(switch_name(*asked));
    return;
  }
  ++counts.kills;
  blocked_.insert(switch_name(*asked));
  cancel_all(asked->firm, asked->account);
}

void ExchangeWatch::run_cash(const FollowedCommand& command, Checker& checker) {
  const auto asked = read<CashMove>(command, checker);
  if (!asked) return;
  const int who = account_of(asked->firm, asked->account);
  if (who < 0) return checker.fail("money came to no account");
  const bool usd = asked->asset == kSimUsd;
  if (cash_.contains(asked->digits)) return checker.fail("a deposit or withdrawal was done twice");
  cash_.insert(asked->digits);
  const auto amount = static_cast<Int128>(asked->digits);
  const bool in = command.type == kDeposit;
  if (!in && (amount > model_.free(who, usd) || model_.owes_any(firm_of(who))))
    return checker.fail("a withdrawal of what is not there, or of who owes");
  Int128& owes = model_.owes(firm_of(who), usd);
  const Int128 clears = in ? std::min(owes, amount) : 0;
  owes -= clears;
  model_.has(who, usd) += in ? amount - clears : -amount;
}

void ExchangeWatch::run_bust(const FollowedCommand& command, Checker& checker) {
  const auto asked = read<BustTrade>(command, checker);
  if (!asked) return;
  if (asked->trade == 0 || asked->trade > model_.trades.size() || model_.trades[asked->trade - 1].busted)
    return checker.fail("trade " + std::to_string(asked->trade) + " was busted twice, or before it was made");
  NaiveTrade agreed;
  if (asked->agreed) {
    agreed.price = at_scale(asked->agreed->price, 2).value_or(0);
    agreed.quantity = at_scale(asked->agreed->quantity, 3).value_or(0);
  }
  model_.bust(asked->trade - 1, asked->agreed ? &agreed : nullptr, firm_of);
  corrected_.push_back(asked->trade);
  if (!asked->agreed) ++busts_alone_;
  ++counts.busts;
  for (const int firm : {0, 1})
    if (model_.owes_any(firm)) ++counts.owed;
}

// ---- what is compared

void ExchangeWatch::compare_orders(const ExchangeMachine& exchange, Checker& checker) {
  if (exchange.orders().open() != model_.open.size())
    return checker.fail(std::to_string(exchange.orders().open()) + " orders are open instead of " +
                        std::to_string(model_.open.size()));
  for (const NaiveOrder& order : model_.open) {
    const Order* found = exchange.orders().find(order.id);
    book::OrderView in_book;
    if (found == nullptr || found->status != OrderStatus::open ||
        !exchange.directory().listing(1).book.find(order.id, in_book))
      return checker.fail(order_text(order.id) + " is lost");
    if (Int128{found->funds.leaves} != order.leaves || Int128{found->quantity} != order.quantity ||
        Int128{found->funds.price} != order.price ||
        exchange.directory().listing(1).units(in_book.leaves) != found->funds.leaves)
      return checker.fail(order_text(order.id) + " is another one");
  }
}

void ExchangeWatch::compare_money(const ExchangeMachines& machines, Checker& checker) {
  for (const bool usd : {false, true}) {
    const uint32_t asset = usd ? kSimUsd : kSimBtc;
    Uint128 all = balance(*machines.ledger, kHouse, asset, Purse::fees);
    for (const int firm : {0, 1}) {
      const Firm* of = machines.exchange->directory().firm(firm == 0 ? "alpha" : "beta");
      if (of == nullptr) continue;
      all -= owed(*machines.ledger, of->number, asset);
      if (static_cast<Int128>(owed(*machines.ledger, of->number, asset)) != model_.owes(firm, usd))
        return checker.fail(of->name + " owes other money than it must");
    }
    for (int who = 0; who < kSimAccountCount; ++who) {
      const uint32_t account = number_of(*machines.exchange, who);
      if (account == 0) continue;
      const Uint128 held = balance(*machines.ledger, account, asset, Purse::held);
      const Uint128 has = held + balance(*machines.ledger, account, asset, Purse::available);
      const std::string of = std::string(kSimAccounts[who].firm) + "/" + kSimAccounts[who].name;
      if (static_cast<Int128>(held) != model_.held(who, usd))
        return checker.fail("what is held of " + of + " is not what its open orders hold");
      if (static_cast<Int128>(has) != model_.has(who, usd)) return checker.fail(of + " has other money than it must");
      all += has;
    }
    if (static_cast<Int128>(all) != supply(*machines.ledger, asset)) checker.fail("money came of nothing, or went");
  }
}

void ExchangeWatch::compare_trades(const ExchangeMachines& machines, Checker& checker) {
  if (machines.exchange->trades_total() != model_.trades.size() || told_trades_.size() != model_.trades.size())
    return checker.fail("there are " + std::to_string(machines.exchange->trades_total()) + " trades and " +
                        std::to_string(told_trades_.size()) + " records of them instead of " +
                        std::to_string(model_.trades.size()));
  for (; compared_ < model_.trades.size(); ++compared_) {
    const NaiveTrade& trade = model_.trades[compared_];
    Transfer principal{};
    Transfer base{};
    const Ledger& ledger = machines.ledger->ledger();
    const bool posted = ledger.find_transfer(trade_leg_id(compared_ + 1, 0), principal) &&
                        ledger.find_transfer(trade_leg_id(compared_ + 1, 1), base) &&
                        static_cast<Int128>(principal.amount) == trade.price * trade.quantity / 1'000 &&
                        static_cast<Int128>(base.amount) == trade.quantity * 100'000;
    if (!posted) return checker.fail("trade " + std::to_string(compared_ + 1) + " has not its postings");
    const std::string told =
        R"("buy_order_id":")" + std::to_string(trade.buy) + R"(","sell_order_id":")" + std::to_string(trade.sell) + '"';
    if (told_trades_[compared_].find(told) == std::string::npos)
      return checker.fail("trade " + std::to_string(compared_ + 1) + " is told of as " + told_trades_[compared_]);
  }
}

void ExchangeWatch::compare_busts(const ExchangeMachines& machines, Checker& checker) {
  for (; compared_busts_ < corrected_.size(); ++compared_busts_) {
    const uint64_t trade = corrected_[compared_busts_];
    Transfer back{};
    const bool posted = machines.ledger->ledger().find_transfer(bust_leg_id(trade, 0), back) &&
                        static_cast<Int128>(back.amount) == model_.trades[trade - 1].principal();
    if (!posted) return checker.fail("trade " + std::to_string(trade) + " was busted and not taken back");
  }
  if (told_busts_ != busts_alone_)
    checker.fail(std::to_string(told_busts_) + " busted trades are told of instead of " + std::to_string(busts_alone_));
}

// Of the trades that stand, summed anew.
void ExchangeWatch::compare_positions(const ExchangeMachine& exchange, Checker& checker) const {
  std::array<TradedPosition, kSimAccountCount> sums;
  for (const NaiveTrade& trade : model_.trades) {
    if (trade.busted) continue;
    for (const int side : {0, 1}) {
      TradedPosition& of = sums[static_cast<size_t>(side == 0 ? trade.buyer : trade.seller)];
      TradedSums& traded = side == 0 ? of.bought : of.sold;
      traded.quantity += static_cast<Uint128>(trade.quantity);
      traded.value += static_cast<Uint128>(trade.principal());
      of.fees += static_cast<Uint128>(trade.fees[side]);
      of.rebates += static_cast<Uint128>(trade.rebates[side]);
    }
  }
  for (int who = 0; who < kSimAccountCount; ++who) {
    const uint32_t account = number_of(exchange, who);
    if (account == 0) continue;
    const Usage& usage = exchange.directory().peek(Whose::account, account, 1);
    const TradedPosition* const found = exchange.directory().traded(usage);
    const TradedPosition is = found == nullptr ? TradedPosition() : *found;
    const TradedPosition& must = sums[static_cast<size_t>(who)];
    if (is.bought == must.bought && is.sold == must.sold && is.fees == must.fees && is.rebates == must.rebates &&
        is.open() == usage.exposure.position)
      continue;
    return checker.fail(std::string(kSimAccounts[who].firm) + "/" + kSimAccounts[who].name +
                        " has another position than its trades make");
  }
}

void ExchangeWatch::compare_answers(Checker& checker) const {
  for (const auto& [name, order] : entered_) {
    const auto found = orders_.find(name);
    if (found == orders_.end() || !found->second.contains(order))
      return checker.fail("ClOrdID " + name.second + " of " + name.first + " was acknowledged as " + order_text(order) +
                          " and is lost");
  }
  for (const uint64_t order : ended_)
    if (std::any_of(model_.open.begin(), model_.open.end(), [&](const auto& open) { return open.id == order; }))
      return checker.fail(order_text(order) + " was told to be at its end and is open");
  for (const uint64_t trade : busted_)
    if (trade > model_.trades.size() || !model_.trades[trade - 1].busted)
      return checker.fail("trade " + std::to_string(trade) + " was told to be busted and is not");
  for (const Uint128 amount : moved_)
    if (!cash_.contains(amount)) return checker.fail("a deposit or withdrawal was acknowledged and is lost");
}

}  // namespace heptane::sim
