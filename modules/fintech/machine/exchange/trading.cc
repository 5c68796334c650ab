// What the book has done becomes money, orders and records: settlement of fills, the ends of orders, work that goes on.
#include <algorithm>

#include "kernel/base/assert.h"
#include "modules/fintech/domain/ledger/amount.h"
#include "modules/fintech/machine/exchange/exchange_machine.h"

namespace heptane::fintech::exchange {

namespace {

constexpr size_t kAhead = 8;  // events whose orders are asked for before they are needed

OrderStatus status_after(book::Reason reason) {
  if (reason == book::Reason::expired) return OrderStatus::expired;
  return reason == book::Reason::reduced ? OrderStatus::done : OrderStatus::cancelled;
}

uint32_t held_asset(const Instrument& instrument, const Order& order) {
  return order.funds.side == book::Side::buy ? instrument.quote_asset : instrument.base_asset;
}

}  // namespace

void ExchangeMachine::follow(Listing& listing, const book::Outcome& outcome, Now& now) {
  HEPTANE_ASSERT(outcome.reject == book::Reject::none, "what the book refuses is not followed");
  market_.changed(listing.number);
  const std::span<const book::Event> events(events_.data(), outcome.events);
  for (const book::Event& event : events.first(std::min(events.size(), kAhead)))
    if (event.type == book::EventType::trade) orders_.expect_order(event.other_id);
  for (const book::Event& event : events) on_event(listing, event, now);
  schedule(listing, now);
}

// One command for the work that a book has left.
void ExchangeMachine::schedule(Listing& listing, Now& now) {
  if (!listing.working() || listing.proceeding) return;
  listing.proceeding = true;
  now.effects.arm(now.time, kProceed, packed(listing.number).view());
}

void ExchangeMachine::apply_proceed(Now& now) {
  const auto number = unpacked<uint32_t>(now.command.payload);
  if (!number || !directory_.has_listing(*number))
    return now.effects.refuse(Errc::invalid_argument, 0, "the command names no instrument");
  Listing& listing = directory_.listing(*number);
  listing.proceeding = false;
  if (listing.book.frozen()) {
    follow(listing, listing.book.proceed(room()), now);
  } else if (listing.next_phase) {
    const book::Phase phase = *listing.next_phase;
    listing.next_phase.reset();
    (void)enter_phase(listing, phase, now);  // nothing came in between
    schedule(listing, now);
  }
  if (!listing.working()) {
    wake(listing, now);
    resume_expiry(now);
  }
  now.effects.reply(listing.working() ? 1 : 0);
}

void ExchangeMachine::on_event(Listing& listing, const book::Event& event, Now& now) {
  using book::EventType;
  switch (event.type) {
    case EventType::accepted:
      tell_order(*orders_.find(event.order_id), OrderEvent::entered);
      return report('0', *orders_.find(event.order_id));
    case EventType::replaced:
      tell_order(*orders_.find(event.order_id), OrderEvent::replaced);
      return report('5', *orders_.find(event.order_id));
    case EventType::triggered:
      orders_.find(event.order_id)->triggered = true;
      tell_order(*orders_.find(event.order_id), OrderEvent::triggered);
      return report('D', *orders_.find(event.order_id));
    case EventType::trade: return on_trade(listing, event, now);
    case EventType::ended: return end_order(*orders_.find(event.order_id), event.reason, now);
    case EventType::mass_done: return;
    case EventType::uncrossed: return tell_call("uncrossed", listing, event);
    case EventType::outside_band: return on_outside_band(listing, event, now);
  }
}

// The call goes on once; then the way out is another call. A halt that was acknowledged meanwhile stays.
void ExchangeMachine::on_outside_band(Listing& listing, const book::Event& event, Now& now) {
  const bool halts = listing.extended || listing.next_phase == book::Phase::halted;
  listing.next_phase.reset();
  if (halts) listing.next_phase = book::Phase::halted;
  listing.extended = !halts;
  if (listing.extended && listing.calendar != 0) extend_call(listing, now);
  tell_call(listing.extended ? "call_extended" : "outside_band", listing, event);
}

void ExchangeMachine::on_trade(Listing& listing, const book::Event& event, Now& now) {
  Order& came = *orders_.find(event.order_id);
  Order& met = *orders_.find(event.other_id);
  const bool came_buys = event.side == book::Side::buy;
  Order& buyer = came_buys ? came : met;
  Order& seller = came_buys ? met : came;
  // In a call nobody waits for the other: both pay as takers.
  const Liquidity of_met = event.in_call ? Liquidity::taker : Liquidity::maker;
  const uint64_t quantity = listing.units(event.quantity);
  const FillLegs legs =
      settle(listing.instrument(), event.price, quantity, buyer.funds, came_buys ? Liquidity::taker : of_met,
             seller.funds, came_buys ? of_met : Liquidity::taker);
  const uint64_t trade = own_.next_trade++;
  market_.trade(listing.number, now.time, market_day(listing, now.time).date, event.price, quantity, legs.principal);
  const TradeMarks marks = marks_of(buyer, seller, now);
  settle_fill(listing, trade, buyer, seller, legs, marks, now);
  if (marks.there())
    listing.recent.add({trade, event.price});
  else
    listing.recent.set_base(RecentTrades::Row{0, event.price});
  begin_positions(trade, now);
  fill(buyer, event.price, {trade, book::Side::buy, {quantity, legs.principal}, legs.buyer_fee, legs.buyer_rebate});
  fill(seller, event.price, {trade, book::Side::sell, {quantity, legs.principal}, legs.seller_fee, legs.seller_rebate});
  for (Order* order : {&buyer, &seller})
    if (order->funds.leaves == 0) orders_.end(*order, OrderStatus::filled);

  OrderTold fill_told;
  fill_told.event = OrderEvent::trade;
  fill_told.trade_id = trade;
  fill_told.last_price = event.price;
  fill_told.last_quantity = quantity;
  const auto tell_fill = [&](const Order& order, Uint128 fee, Uint128 rebate) {
    fill_told.as = event.in_call ? FillAs::call : &order == &came ? FillAs::taker : FillAs::maker;
    fill_told.fee = fee;
    fill_told.rebate = rebate;
    tell_order(order, fill_told);
  };
  tell_fill(buyer, legs.buyer_fee, legs.buyer_rebate);
  const Fill bought{trade, event.price, quantity, legs.buyer_fee, legs.buyer_rebate};
  keep_fill(listing, buyer, bought, own_.next_exec - 1, now);
  report_fill(buyer, bought);
  tell_fill(seller, legs.seller_fee, legs.seller_rebate);
  const Fill sold{trade, event.price, quantity, legs.seller_fee, legs.seller_rebate};
  keep_fill(listing, seller, sold, own_.next_exec - 1, now);
  report_fill(seller, sold);
  const Instrument& i = listing.instrument();
  notes_.add({trade, i.symbol, event.price, quantity, legs.principal, event.side, event.in_call, buyer.id, seller.id,
              i.price_scale, i.quantity_scale, i.quote_scale});
}

// None before version 2.
TradeMarks ExchangeMachine::marks_of(const Order& buyer, const Order& seller, const Now& now) {
  if (now.effects.version() < kLogicMarkedTrades) return {};
  TradeMarks marks{buyer.id, seller.id, own_.next_exec, 0, 0};
  if (fix_.empty()) return marks;
  const auto number_of = [](const FixSession* session) { return session == nullptr ? 0 : session->number; };
  marks.buyer_session = number_of(fix_.session_of(buyer.id));
  marks.seller_session = number_of(fix_.session_of(seller.id));
  return marks;
}

// What the buyer gains in price, and fees that will not come, goes back within the same chain. The marks are those that settled_trade.h
// reads.
void ExchangeMachine::settle_fill(const Listing& listing, uint64_t trade, const Order& buyer, const Order& seller,
                                  const FillLegs& legs, const TradeMarks& marks, Now& now) {
  const uint32_t base = listing.instrument().base_asset;
  const uint32_t quote = listing.instrument().quote_asset;
  const Uint128 buyer_held = purse_id(buyer.account, quote, Purse::held);
  const Uint128 buyer_quote = purse_id(buyer.account, quote, Purse::available);
  const Uint128 seller_quote = purse_id(seller.account, quote, Purse::available);
  const Uint128 fees = purse_id(kHouse, quote, Purse::fees);
  Chain chain(now.ledger, now.call());
  uint32_t leg = 0;
  const auto move = [&](Purpose purpose, Uint128 debit, Uint128 credit, Uint128 amount, uint32_t asset,
                        Uint128 mark = 0) {
    chain.move(trade_leg_id(trade, leg++), purpose, debit, credit, amount, asset, {trade, listing.number, mark});
  };
  move(Purpose::principal, buyer_held, seller_quote, legs.principal, quote, marks.of_principal());
  move(Purpose::base, purse_id(seller.account, base, Purse::held), purse_id(buyer.account, base, Purse::available),
       legs.base, base, marks.of_base());
  move(Purpose::fee, buyer_held, fees, legs.buyer_fee, quote);
  move(Purpose::fee, seller_quote, fees, legs.seller_fee, quote);
  move(Purpose::rebate, fees, buyer_quote, legs.buyer_rebate, quote);
  move(Purpose::rebate, fees, seller_quote, legs.seller_rebate, quote);
  move(Purpose::improvement, buyer_held, buyer_quote, legs.released, quote);
  const std::optional<TransferStatus> failed = chain.post();
  HEPTANE_ASSERT(!failed, "a fill that was held for does not settle");
}

void ExchangeMachine::fill(Order& order, int64_t price, const TradedSide& made) {
  const auto quantity = static_cast<uint64_t>(made.sums.quantity);
  order.filled += quantity;
  order.traded += Int128{price} * static_cast<Int128>(quantity);
  const Int128 moved = order.funds.side == book::Side::buy ? Int128{quantity} : -Int128{quantity};
  const auto usages = usages_of(order);
  if (counted_from_ != 0) directory_.traded(*usages.front()).add(made);
  for (Usage* usage : usages) {
    Exposure& exposure = usage->exposure;
    exposure.position += moved;
    (order.funds.side == book::Side::buy ? exposure.open_buys : exposure.open_sells) -= quantity;
  }
}

std::array<Usage*, 2> ExchangeMachine::usages_of(const Order& order) {
  return {&directory_.usage(Whose::account, order.account, order.instrument),
          &directory_.usage(Whose::firm, order.firm, order.instrument)};
}

// Of what is open of an order, in the exposures of its account and firm.
void ExchangeMachine::add_open(const Order& order, uint64_t more, uint64_t less) {
  for (Usage* usage : usages_of(order)) {
    Exposure& exposure = usage->exposure;
    Uint128& open = order.funds.side == book::Side::buy ? exposure.open_buys : exposure.open_sells;
    open = open + more - less;
  }
}

void ExchangeMachine::end_order(Order& order, book::Reason reason, Now& now) {
  close_order(order, reason, now);
  report_end(order, reason);
}

void ExchangeMachine::close_order(Order& order, book::Reason reason, Now& now) {
  const Listing& listing = directory_.listing(order.instrument);
  const uint32_t asset = held_asset(listing.instrument(), order);
  Chain chain(now.ledger, now.call());
  chain.move(order_move_id(order.id, order.moves++), Purpose::release, purse_id(order.account, asset, Purse::held),
             purse_id(order.account, asset, Purse::available), held(listing.instrument(), order.funds), asset,
             {order.id, order.instrument});
  const std::optional<TransferStatus> failed = chain.post();
  HEPTANE_ASSERT(!failed, "what an order holds is not there");
  const uint64_t rest = order.funds.leaves;
  add_open(order, 0, rest);
  order.funds.leaves = 0;
  orders_.end(order, status_after(reason));
  OrderTold told;
  told.event = OrderEvent::ended;
  told.reason = reason;
  told.cancelled = rest;
  tell_order(order, told);
}

// With what is to be told of every event.
void ExchangeMachine::tell_order(const Order& order, OrderTold told) {
  const Instrument& i = directory_.listing(order.instrument).instrument();
  told.exec_id = own_.next_exec++;
  told.order_id = order.id;
  told.client_id = order.client_id;
  told.firm = directory_.firm(order.firm).name;
  told.account = directory_.account(order.account).name;
  told.symbol = i.symbol;
  told.side = order.funds.side;
  told.type = order.type;
  told.tif = order.tif;
  told.status = shown_status(order);
  told.price = order.funds.price;
  told.stop_price = order.stop_price;
  told.quantity = order.quantity;
  told.filled = order.filled;
  told.leaves = order.funds.leaves;
  told.traded = order.traded;
  told.price_scale = i.price_scale;
  told.quantity_scale = i.quantity_scale;
  told.quote_scale = i.quote_scale;
  told.origin = origin_of(order);
  notes_.add(told);
}

OrderOrigin ExchangeMachine::origin_of(const Order& order) {
  OrderOrigin origin = origin_;
  if (!origin.told) return origin;
  origin.entered_by = order.by;
  origin.parties = orders_.parties(order.id);
  if (const FixSession* session = fix_.session_of(order.id)) origin.session = session->spec.name;
  return origin;
}

void ExchangeMachine::tell_call(std::string_view what, const Listing& listing, const book::Event& event) {
  const Instrument& i = listing.instrument();
  JsonRecord record(what);
  record.text("symbol", i.symbol).price("price", event.price, i.price_scale);
  record.amount("quantity", listing.units(event.quantity), i.quantity_scale);
  record.amount("surplus", listing.units(event.leaves), i.quantity_scale).text("surplus_side", side_name(event.side));
  notes_.add(kMarketView, i.symbol, record.end());
}

}  // namespace heptane::fintech::exchange
