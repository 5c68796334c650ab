// Trades that are busted or corrected: their postings, the orders that they were of, the last price, what is told; what firms owe because
// of it; the house's fees.
#include <algorithm>

#include "kernel/base/assert.h"
#include "modules/fintech/domain/ledger/amount.h"
#include "modules/fintech/machine/exchange/audit.h"
#include "modules/fintech/machine/exchange/exchange_machine.h"

namespace heptane::fintech::exchange {

namespace {

Error wrong_correction(std::string message) { return {Errc::invalid_argument, std::move(message)}; }
Error not_there(std::string message) { return {Errc::not_found, std::move(message)}; }

void refuse_correction(Effects& effects, const Error& error) {
  effects.refuse(error.code, error.detail, error.message);
}

Result<void> check_reason(const std::string& reason) {
  if (reason.empty() || reason.size() > kReasonMax) return wrong_correction("a reason of 1 to 256 bytes is needed");
  return {};
}

// Of an asset, in its smallest units; above 0.
Result<Uint128> asset_amount(const Assets& assets, uint32_t ledger, Uint128 digits, uint8_t decimals) {
  const Asset* asset = assets.find(ledger);
  if (asset == nullptr) return not_there("ledger " + std::to_string(ledger) + " has no asset: register it");
  const std::optional<Uint128> amount = scaled({digits, decimals}, asset->scale);
  if (amount && *amount != 0) return *amount;
  return wrong_correction("an amount of " + asset->code + " is above 0 and has at most " +
                          std::to_string(asset->scale) + " decimals");
}

std::string with_code(const Assets& assets, uint32_t ledger, Uint128 amount) {
  const Asset* asset = assets.find(ledger);
  if (asset == nullptr) return number_text(amount);
  return amount_text(amount, asset->scale) + " " + asset->code;
}

constexpr uint8_t kBaseFollows = 0x80;  // in the saved count of an instrument's trades

// Where it is the book's last price alone, the book has it.
bool base_follows(const RecentTrades& recent) {
  return recent.base() && (recent.size() > 0 || recent.base()->trade != 0);
}

std::string trade_text(uint64_t trade) { return "trade " + std::to_string(trade); }

}  // namespace

void ExchangeMachine::apply_bust(Now& now) {
  const auto asked = unpacked<BustTrade>(now.command.payload);
  if (!asked) return refuse_correction(now.effects, wrong_correction("the command busts no trade"));
  Result<Busted> busted = judge_bust(*asked, now);
  if (!busted) return refuse_correction(now.effects, busted.error());
  now.effects.open_scope();
  const Result<void> taken = take_back(*busted, now);
  now.effects.close_scope(taken ? ScopeOutcome::keep : ScopeOutcome::roll_back);
  if (!taken) return refuse_correction(now.effects, taken.error());
  const uint64_t instead = busted->correction ? busted->correction->trade : 0;
  if (instead != 0) ++own_.next_trade;
  busted->exec = own_.next_exec;
  own_.next_exec += 2;
  restate(*busted);
  tell_bust(*busted, now);
  for (const auto& [firm, asset] : std::exchange(owed_now_, {})) owe(firm, asset, now);
  audit(now.command, instead == 0 ? "exchange.bust" : "exchange.correct", trade_text(asked->trade), asked->reason,
        now.effects);
  const bool owes = directory_.firm(busted->firms.buyer).owes != 0 || directory_.firm(busted->firms.seller).owes != 0;
  now.effects.reply(static_cast<int64_t>(instead), owes ? 1 : 0);
}

Result<ExchangeMachine::Busted> ExchangeMachine::judge_bust(const BustTrade& asked, const Now& now) {
  HEPTANE_TRY(check_reason(asked.reason));
  if (asked.trade == 0 || asked.trade >= own_.next_trade) return not_there("there is no " + trade_text(asked.trade));
  const Result<SettledTrade> trade = settled_trade(now.ledger, asked.trade);
  if (!trade) return trade.error();
  if (trade->busted)
    return Error{Errc::exists,
                 trade_text(asked.trade) + " was busted already" +
                     (trade->corrected_by == 0 ? "" : ": " + trade_text(trade->corrected_by) + " is in its place")};
  Busted busted;
  busted.trade = *trade;
  busted.listing = &directory_.listing(trade->instrument);
  if (busted.listing->working()) return Error{Errc::overloaded, "earlier work of the instrument goes on: try again"};
  busted.was = terms_of(*trade, busted.listing->instrument());
  busted.firms = {directory_.account(trade->buyer).firm, directory_.account(trade->seller).firm};
  busted.reason = asked.reason;
  if (!asked.agreed) return busted;
  Result<Correction> correction = judge_agreed(*asked.agreed, busted);
  if (!correction) return correction.error();
  busted.correction = *correction;
  return busted;
}

Result<Correction> ExchangeMachine::judge_agreed(const AgreedTrade& agreed, const Busted& busted) const {
  const Instrument& i = busted.listing->instrument();
  const std::optional<int64_t> price = at_scale(agreed.price, i.price_scale);
  if (!price || *price < i.price_min || *price > i.price_max || !on_tick(i, *price))
    return Error{Errc::refused, "the price is not on a tick from " + price_text(i.price_min, i.price_scale) + " to " +
                                    price_text(i.price_max, i.price_scale)};
  const std::optional<int64_t> quantity = at_scale(agreed.quantity, i.quantity_scale);
  if (!quantity || *quantity <= 0 || static_cast<uint64_t>(*quantity) % i.lot != 0 ||
      static_cast<uint64_t>(*quantity) > busted.was.quantity)
    return Error{Errc::refused, "the quantity is in lots of " + amount_text(i.lot, i.quantity_scale) +
                                    " up to the trade's, " + amount_text(busted.was.quantity, i.quantity_scale)};
  Correction correction;
  correction.trade = own_.next_trade;
  correction.terms = {*price, static_cast<uint64_t>(*quantity)};
  if (correction.terms == busted.was) return Error{Errc::refused, "that is what was traded"};
  correction.marks = busted.trade.marks;
  correction.marks.buyer_exec = own_.next_exec;
  correction.legs = corrected_legs(busted.trade, i, correction.terms);
  return correction;
}

Result<void> ExchangeMachine::take_back(const Busted& busted, Now& now) {
  TradeReversal reversal(now.ledger, now.call(), busted.listing->instrument(), busted.trade, busted.firms);
  HEPTANE_TRY(reversal.post(busted.correction));
  owed_now_.clear();
  for (const TradeReversal::Owed& owed : reversal.owed()) owed_now_.emplace_back(owed.firm, owed.asset);
  return {};
}

// ---- what follows from it

void ExchangeMachine::restate(const Busted& busted) {
  const uint64_t is = busted.correction ? busted.correction->terms.quantity : 0;
  const Int128 less = Int128{busted.was.quantity} - Int128{is};
  const uint32_t instrument = busted.trade.instrument;
  const auto moved = [&](uint32_t account, uint32_t firm, Int128 by) {
    directory_.usage(Whose::account, account, instrument).exposure.position += by;
    directory_.usage(Whose::firm, firm, instrument).exposure.position += by;
  };
  moved(busted.trade.buyer, busted.firms.buyer, -less);
  moved(busted.trade.seller, busted.firms.seller, less);
  restate_order(busted.trade.marks.buy_order, busted);
  restate_order(busted.trade.marks.sell_order, busted);
  restate_last_price(busted);
  restate_market(busted);
  restate_positions(busted);
}

// What is left of an open order stays; what was busted is not traded again.
void ExchangeMachine::restate_order(uint64_t order_id, const Busted& busted) {
  Order* order = orders_.find(order_id);
  if (order == nullptr) return;
  const TradeTerms was = busted.was;
  const TradeTerms is = busted.correction ? busted.correction->terms : TradeTerms();
  HEPTANE_ASSERT(order->filled >= was.quantity, "an order's trade is busted that it has not made");
  order->filled -= was.quantity - is.quantity;
  order->traded +=
      Int128{is.price} * static_cast<Int128>(is.quantity) - Int128{was.price} * static_cast<Int128>(was.quantity);
  if (order->status == OrderStatus::open) order->quantity -= was.quantity - is.quantity;
  if (order->status == OrderStatus::filled && order->filled < order->quantity) order->status = OrderStatus::cancelled;
}

// A later trade keeps its own. No stop is judged.
void ExchangeMachine::restate_last_price(const Busted& busted) {
  RecentTrades& recent = busted.listing->recent;
  const auto last = recent.last();
  std::optional<RecentTrades::Row> instead;
  if (busted.correction) instead = RecentTrades::Row{busted.correction->trade, busted.correction->terms.price};
  recent.replace(busted.trade.trade, instead);
  if (!last || last->trade != busted.trade.trade) return;
  const auto now_last = recent.last();
  const book::Outcome set =
      now_last ? busted.listing->book.set_last_trade(now_last->price) : busted.listing->book.clear_last_trade();
  HEPTANE_ASSERT(set.reject == book::Reject::none, "a book at rest takes its last price");
}

// Candles that hold the trade, by the time of its postings, which is less than a millisecond behind its command's.
void ExchangeMachine::restate_market(const Busted& busted) {
  const TradeSums was{busted.was.quantity, busted.trade.principal, 1};
  TradeSums is;
  if (busted.correction) is = {busted.correction->terms.quantity, busted.correction->legs.principal, 1};
  market_.restate(busted.listing->number, busted.trade.trade, static_cast<LogTime>(busted.trade.timestamp), was,
                  busted.correction ? busted.correction->trade : 0, is);
}

ExchangeMachine::BustedSide ExchangeMachine::side_of(const Busted& busted, book::Side side) {
  const SettledTrade& trade = busted.trade;
  const TradeMarks& marks = trade.marks;
  const FillLegs legs = busted.correction ? busted.correction->legs : FillLegs();
  const bool busts = !busted.correction;
  if (side == book::Side::buy)
    return {marks.buy_order,
            trade.buyer,
            busted.firms.buyer,
            marks.buyer_session,
            busted.exec,
            marks.buyer_exec,
            busts ? trade.buyer_fee : legs.buyer_fee,
            busts ? trade.buyer_rebate : legs.buyer_rebate};
  return {marks.sell_order,
          trade.seller,
          busted.firms.seller,
          marks.seller_session,
          busted.exec + 1,
          marks.buyer_exec + 1,
          busts ? trade.seller_fee : legs.seller_fee,
          busts ? trade.seller_rebate : legs.seller_rebate};
}

void ExchangeMachine::tell_bust(const Busted& busted, const Now& now) {
  const Instrument& i = busted.listing->instrument();
  const TradeTerms told = busted.told();
  JsonRecord record(busted.correction ? "corrected" : "busted");
  record.number("trade_id", busted.number());
  if (busted.correction) record.number("corrects", busted.trade.trade);
  record.token("symbol", i.symbol).price("price", told.price, i.price_scale);
  record.amount("quantity", told.quantity, i.quantity_scale);
  record.amount("notional", busted.correction ? busted.correction->legs.principal : busted.trade.principal,
                i.quote_scale);
  record.number("buy_order_id", busted.trade.marks.buy_order).number("sell_order_id", busted.trade.marks.sell_order);
  notes_.add(kTradesView, i.symbol, record.end());
  for (const book::Side side : {book::Side::buy, book::Side::sell}) {
    tell_restated(busted, side, now);
    report_restated(busted, side);
    keep_restated(busted, side, now);
  }
}

// How the order stands, if it is kept.
void ExchangeMachine::tell_restated(const Busted& busted, book::Side side, const Now& now) {
  const Instrument& i = busted.listing->instrument();
  const BustedSide of = side_of(busted, side);
  const Order* order = orders_.find(of.order);
  JsonRecord record(busted.correction ? "trade_corrected" : "trade_busted");
  record.number("exec_id", of.exec).number("exec_ref_id", of.exec_ref).number("order_id", of.order);
  record.token("firm", directory_.firm(of.firm).name).token("account", directory_.account(of.account).name);
  record.token("symbol", i.symbol).token("side", side_name(side));
  if (order != nullptr) {
    record.token("cl_ord_id", order->client_id).token("status", status_name(order->status));
    record.amount("quantity", order->quantity, i.quantity_scale).amount("filled", order->filled, i.quantity_scale);
    record.amount("leaves", order->funds.leaves, i.quantity_scale);
    record.token("average_price", average_text(*order, i.price_scale));
  }
  record.number("trade_id", busted.number());
  if (busted.correction) record.number("corrects", busted.trade.trade);
  record.price("last_price", busted.told().price, i.price_scale);
  record.amount("last_quantity", busted.told().quantity, i.quantity_scale);
  record.amount("fee", of.fee, i.quote_scale).amount("rebate", of.rebate, i.quote_scale);
  record.text("reason", busted.reason).number("by", now.command.principal.id);
  if (order != nullptr) {
    OrderOrigin origin = origin_of(*order);
    origin.by = 0;  // it is told
    if (of.session != 0) origin.session = fix_.at(of.session).spec.name;
    put_origin(origin, record);
  }
  notes_.add(kOrdersView, std::to_string(of.order), record.end());
}

// ---- what is owed

void ExchangeMachine::owe(uint32_t firm, uint32_t asset, Now& now) {
  if (receivables_.emplace(firm, asset).second) ++directory_.firm(firm).owes;
  tell_owed(firm, asset, now);
}

// Something of it was paid, if it is owed at all.
void ExchangeMachine::cleared(uint32_t firm, uint32_t asset, Now& now) {
  const auto found = receivables_.find({firm, asset});
  if (found == receivables_.end()) return;
  if (owed(now.ledger, firm, asset) == 0) {
    receivables_.erase(found);
    --directory_.firm(firm).owes;
  }
  tell_owed(firm, asset, now);
}

void ExchangeMachine::tell_owed(uint32_t firm, uint32_t asset, const Now& now) {
  const Asset* named = now.ledger.assets().find(asset);
  JsonRecord record("receivable");
  record.token("firm", directory_.firm(firm).name).number("ledger", asset);
  record.amount("owed", owed(now.ledger, firm, asset), named == nullptr ? 0 : named->scale);
  record.number("by", now.command.principal.id);
  notes_.add(kRiskView, directory_.firm(firm).name, record.end());
}

void ExchangeMachine::apply_clear(Now& now) {
  const auto asked = unpacked<ClearReceivable>(now.command.payload);
  if (!asked) return refuse_correction(now.effects, wrong_correction("the command clears nothing"));
  now.effects.open_scope();
  const Result<void> done = clear(*asked, now);
  now.effects.close_scope(done ? ScopeOutcome::keep : ScopeOutcome::roll_back);
  if (!done) return refuse_correction(now.effects, done.error());
  cleared(directory_.firm(asked->move.firm)->number, asked->move.asset, now);
  audit(now.command, "exchange.clear", asked->move.firm + "/" + asked->move.account, asked->reason, now.effects);
  now.effects.reply(static_cast<int64_t>(own_.next_cash++));
}

Result<void> ExchangeMachine::clear(const ClearReceivable& asked, Now& now) {
  HEPTANE_TRY(check_reason(asked.reason));
  const CashMove& move = asked.move;
  const Firm* firm = directory_.firm(move.firm);
  const TradingAccount* account = firm == nullptr ? nullptr : directory_.account(firm->number, move.account);
  if (account == nullptr) return not_there("there is no account " + move.account + " of a firm " + move.firm);
  const Assets& assets = now.ledger.assets();
  const Result<Uint128> amount = asset_amount(assets, move.asset, move.digits, move.decimals);
  if (!amount) return amount.error();
  const Uint128 owes = owed(now.ledger, firm->number, move.asset);
  const Uint128 available = balance(now.ledger, account->number, move.asset, Purse::available);
  if (*amount > owes || *amount > available)
    return Error{Errc::refused, "the firm owes " + with_code(assets, move.asset, owes) + ", the account has " +
                                    with_code(assets, move.asset, available) + " available"};
  Chain chain(now.ledger, now.call());
  chain.move(cash_move_id(own_.next_cash), Purpose::clearing, purse_id(account->number, move.asset, Purse::available),
             purse_id(firm->number, move.asset, Purse::receivable), *amount, move.asset, {account->number, 0, 0});
  if (chain.post()) return Error{Errc::refused, "the ledger does not move it"};
  return {};
}

void ExchangeMachine::apply_withdraw_fees(Now& now) {
  const auto asked = unpacked<WithdrawFees>(now.command.payload);
  if (!asked) return refuse_correction(now.effects, wrong_correction("the command withdraws nothing"));
  now.effects.open_scope();
  const Result<void> done = withdraw_fees(*asked, now);
  now.effects.close_scope(done ? ScopeOutcome::keep : ScopeOutcome::roll_back);
  if (!done) return refuse_correction(now.effects, done.error());
  audit(now.command, "exchange.withdraw_fees",
        number_text(asked->digits) + "e-" + std::to_string(asked->decimals) + " of ledger " +
            std::to_string(asked->asset),
        asked->reason, now.effects);
  now.effects.reply(static_cast<int64_t>(own_.next_cash++));
}

Result<void> ExchangeMachine::withdraw_fees(const WithdrawFees& asked, Now& now) {
  HEPTANE_TRY(check_reason(asked.reason));
  const Assets& assets = now.ledger.assets();
  const Result<Uint128> amount = asset_amount(assets, asked.asset, asked.digits, asked.decimals);
  if (!amount) return amount.error();
  const Int128 there = fees_of(now.ledger, asked.asset);
  if (there < 0 || *amount > static_cast<Uint128>(there))
    return Error{Errc::refused, "the house has " + with_code(assets, asked.asset, there < 0 ? 0 : there) +
                                    " of fees, to be withdrawn " + with_code(assets, asked.asset, *amount)};
  Chain chain(now.ledger, now.call());
  chain.move(cash_move_id(own_.next_cash), Purpose::withdrawal, purse_id(kHouse, asked.asset, Purse::fees),
             purse_id(kHouse, asked.asset, Purse::omnibus), *amount, asked.asset, {});
  if (chain.post()) return Error{Errc::refused, "the ledger does not move it"};
  return {};
}

// ---- queries and state

void ExchangeMachine::query_trade(const uint64_t& number, Reply& reply) const {
  const auto refuse = [&](const Error& error) {
    reply.error = error.code;
    reply.message = error.message;
  };
  if (ledger_ == nullptr || number == 0 || number >= own_.next_trade)
    return refuse(not_there("there is no " + trade_text(number)));
  const Result<SettledTrade> trade = settled_trade(*ledger_, number);
  if (!trade) return refuse(trade.error());
  const Instrument& i = directory_.listing(trade->instrument).instrument();
  const TradeTerms terms = terms_of(*trade, i);
  const auto side = [&](uint64_t order, uint32_t account, uint64_t exec, Uint128 fee, Uint128 rebate) {
    const TradingAccount& of = directory_.account(account);
    return TradeSideRow{order, directory_.firm(of.firm).name, of.name, exec, fee, rebate};
  };
  TradeRow row;
  row.trade = number;
  row.symbol = i.symbol;
  row.price = terms.price;
  row.quantity = terms.quantity;
  row.notional = trade->principal;
  row.price_scale = i.price_scale;
  row.quantity_scale = i.quantity_scale;
  row.quote_scale = i.quote_scale;
  row.timestamp = trade->timestamp;
  const TradeMarks& marks = trade->marks;
  row.buyer = side(marks.buy_order, trade->buyer, marks.buyer_exec, trade->buyer_fee, trade->buyer_rebate);
  row.seller = side(marks.sell_order, trade->seller, marks.buyer_exec + 1, trade->seller_fee, trade->seller_rebate);
  row.busted = trade->busted;
  row.corrected_by = trade->corrected_by;
  reply.payload = packed(row);
}

void ExchangeMachine::query_receivables(const std::string& name, Reply& reply) const {
  const Firm* firm = directory_.firm(name);
  if (firm == nullptr || ledger_ == nullptr) {
    reply.error = Errc::not_found;
    reply.message = "there is no firm " + name;
    return;
  }
  Packer out;
  size_t rows = 0;
  auto at = receivables_.lower_bound({firm->number, 0});
  for (; at != receivables_.end() && at->first == firm->number && rows < kReceivableRows; ++at, ++rows)
    out(ReceivableRow{at->second, owed(*ledger_, firm->number, at->second)});
  reply.payload = Buffer::take(out.release());
  reply.numbers = {static_cast<int64_t>(rows), at != receivables_.end() && at->first == firm->number ? 1 : 0};
}

bool ExchangeMachine::has_corrections() const {
  const auto& listings = directory_.listings();
  return !receivables_.empty() || std::any_of(listings.begin(), listings.end(), [](const Listing& listing) {
    return listing.recent.size() > 0 || base_follows(listing.recent);
  });
}

void ExchangeMachine::save_corrections(SnapshotWriter& writer) const {
  writer.le(static_cast<uint32_t>(receivables_.size()));
  for (const auto& [firm, asset] : receivables_) {
    writer.le(firm);
    writer.le(asset);
  }
  const auto save_row = [&](const RecentTrades::Row& row) {
    writer.le(row.trade);
    writer.le(row.price);
  };
  for (const Listing& listing : directory_.listings()) {
    const RecentTrades& recent = listing.recent;
    writer.le(static_cast<uint8_t>(recent.size() | (base_follows(recent) ? kBaseFollows : 0)));
    if (base_follows(recent)) save_row(*recent.base());
    for (size_t at = 0; at < recent.size(); ++at) save_row(recent.row(at));
  }
}

void ExchangeMachine::restore_corrections(SnapshotReader& reader) {
  for (auto rows = reader.le<uint32_t>(); rows > 0 && !reader.failed(); --rows) {
    const auto firm = reader.le<uint32_t>();
    const auto asset = reader.le<uint32_t>();
    if (firm == 0 || firm > directory_.firms() || !receivables_.emplace(firm, asset).second) return reader.fail();
    ++directory_.firm(firm).owes;
  }
  for (uint32_t number = 1; number <= directory_.listings().size() && !reader.failed(); ++number) {
    const auto read_row = [&] {
      const auto trade = reader.le<uint64_t>();
      return RecentTrades::Row{trade, reader.le<int64_t>()};
    };
    const auto saved = reader.le<uint8_t>();
    const auto rows = static_cast<uint8_t>(saved & ~kBaseFollows);
    if (rows > RecentTrades::kKept) return reader.fail();
    if (saved == 0) continue;  // its base is the book's last price
    RecentTrades& recent = directory_.listing(number).recent;
    recent.set_base(std::nullopt);
    if ((saved & kBaseFollows) != 0) recent.set_base(read_row());
    for (uint8_t row = 0; row < rows; ++row) recent.add(read_row());
  }
}

}  // namespace heptane::fintech::exchange
