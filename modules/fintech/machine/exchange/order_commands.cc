// Orders: what is judged before anything changes, the hold, the book.
#include <algorithm>

#include "modules/fintech/domain/ledger/amount.h"
#include "modules/fintech/machine/exchange/exchange_machine.h"

namespace heptane::fintech::exchange {

namespace {

constexpr const char* kClientIdRule = "a ClOrdID is 1 to 64 printable characters without blank, \" and \\";
constexpr uint16_t kMovesMax = 60'000;  // of an order: each replace may hold or release

void refuse(Effects& effects, const Error& error) { effects.refuse(error.code, error.detail, error.message); }

Error rejected(Rejected why, std::string message, Errc code = Errc::refused) {
  return {code, std::move(message), kFixReason + static_cast<uint32_t>(why)};
}
Error cancel_rejected(CancelRejected why, std::string message, Errc code = Errc::refused) {
  return {code, std::move(message), kFixReason + static_cast<uint32_t>(why)};
}

Error busy() { return {Errc::overloaded, "earlier work of the instrument goes on: try again"}; }

Error of_book(book::Reject reject) {
  using book::Reject;
  const std::string text = book::text(reject);
  switch (reject) {
    case Reject::frozen: return busy();
    case Reject::book_full: return {Errc::overloaded, "the instrument's book is full (orders_max)"};
    case Reject::closed:
    case Reject::halted: return rejected(Rejected::closed, "the instrument is " + text);
    case Reject::bad_quantity:
    case Reject::bad_minimum:
    case Reject::bad_display: return rejected(Rejected::quantity, text);
    case Reject::would_take: return rejected(Rejected::other, text);
    default: return rejected(Rejected::unsupported, text);
  }
}

bool has_limit(book::OrderType type) { return type == book::OrderType::limit || type == book::OrderType::stop_limit; }
bool is_stop(book::OrderType type) { return type == book::OrderType::stop || type == book::OrderType::stop_limit; }
bool immediate(book::TimeInForce tif) { return tif == book::TimeInForce::ioc || tif == book::TimeInForce::fok; }

Result<int64_t> price_of(const Said& said, const Instrument& i, const char* which) {
  if (const std::optional<int64_t> price = at_scale(said, i.price_scale)) return *price;
  return rejected(Rejected::other, std::string(which) + " has more than " + std::to_string(i.price_scale) +
                                       " decimals, or is too large");
}

// Of a limit order its limit; else the protection price, beyond which it does not trade.
Result<int64_t> price_of(const NewOrder& asked, const Listing& listing, int64_t stop_price) {
  const Instrument& i = listing.instrument();
  if (has_limit(asked.type)) return price_of(asked.price, i, "price");
  std::optional<int64_t> from;
  if (is_stop(asked.type)) {
    from = stop_price;
  } else {
    book::LevelView best;
    const book::Side other = asked.side == book::Side::buy ? book::Side::sell : book::Side::buy;
    if (listing.book.depth(other, {&best, 1}) == 1) from = best.price;
  }
  const std::optional<int64_t> price = protection_price(i, asked.side, from, listing.reference());
  if (price) return *price;
  return rejected(Rejected::other, "a market order needs a price on the other side, a last trade or a reference price");
}

// In units of the instrument's scale; whole lots.
Result<uint64_t> quantity_of(const Said& said, const Instrument& i, const char* which) {
  const std::optional<int64_t> quantity = at_scale(said, i.quantity_scale);
  if (!quantity || *quantity < 0)
    return rejected(Rejected::quantity, std::string(which) + " is below 0, has more than " +
                                            std::to_string(i.quantity_scale) + " decimals, or is too large");
  if (static_cast<uint64_t>(*quantity) % i.lot != 0)
    return rejected(Rejected::quantity, std::string(which) + " " +
                                            amount_text(static_cast<Uint128>(*quantity), i.quantity_scale) +
                                            " is not in lots of " + amount_text(i.lot, i.quantity_scale));
  return static_cast<uint64_t>(*quantity);
}

Error blocked(const Block& block, const std::string& whose) {
  return rejected(Rejected::other_rule, "the kill switch of " + whose + " is on: " + block.reason);
}

// What an order of now lives until; 0: for ever, or no time at all.
LogTime expiry_of(book::TimeInForce tif, LogTime asked, const TradingDay& day) {
  if (tif == book::TimeInForce::gtd) return asked;
  return tif == book::TimeInForce::gtc || immediate(tif) ? 0 : day.ends;
}

Result<void> judge_prices(const Instrument& i, const Order& order) {
  const auto of_limit = [](Error error) {
    error.detail = kFixReason + static_cast<uint32_t>(Rejected::exceeds_limit);
    return error;
  };
  if (std::optional<Error> error = check_order(i, order.funds.price, order.quantity))
    return of_limit(std::move(*error));
  if (!is_stop(order.type)) return {};
  if (order.stop_price >= i.price_min && order.stop_price <= i.price_max && on_tick(i, order.stop_price)) return {};
  return of_limit({Errc::refused, "stop price " + price_text(order.stop_price, i.price_scale) +
                                      " is not on a tick from price_min to price_max"});
}

// A new total as its book counts, which knows nothing of fills that were busted since. None stays none.
uint64_t total_in_book(const Listing& listing, const Order& before, uint64_t quantity) {
  book::OrderView view;
  if (quantity == 0 || !listing.book.find(before.id, view)) return listing.lots(quantity);
  return listing.lots(quantity) + view.quantity - listing.lots(before.quantity);
}

book::NewOrder for_book(const NewOrder& asked, const Order& order, const Listing& listing, uint64_t minimum) {
  book::NewOrder entered;
  entered.order_id = order.id;
  entered.price = order.funds.price;
  entered.stop_price = order.stop_price;
  entered.quantity = listing.lots(order.quantity);
  entered.display_quantity = listing.lots(order.display);
  entered.minimum_quantity = listing.lots(minimum);
  entered.expires_at = order.tif == book::TimeInForce::gtd ? static_cast<uint64_t>(order.expires_at) : 0;
  entered.account = order.account;
  entered.owner = order.account;
  entered.side = order.funds.side;
  entered.type = order.type;
  entered.tif = order.tif;
  entered.self_trade = asked.self_trade;
  entered.post_only = asked.post_only;
  return entered;
}

}  // namespace

bool ExchangeMachine::at_rest(const Listing& listing, const Now& now) const {
  if (listing.working() || orders_.overdue(listing.number, now.time)) return false;
  if (listing.calendar != 0 && turns(listing, now)) return false;
  return !about_to_be_killed(listing);
}

// An instant of its calendar has come, or none is known.
bool ExchangeMachine::turns(const Listing& listing, const Now& now) const {
  return listing.turning || now.time >= calendars_.at(listing.calendar).due;
}

bool ExchangeMachine::about_to_be_killed(const Listing& listing) const {
  return std::any_of(sweeps_.begin(), sweeps_.end(), [&](const auto& entry) {
    const Sweep& sweep = entry.second;
    return sweep.kill && (sweep.instrument == 0 || sweep.instrument == listing.number);
  });
}

Result<void> ExchangeMachine::judge_blocks(const Firm& firm, const TradingAccount& account,
                                           const Listing& listing) const {
  if (own_.block.on) return blocked(own_.block, "everybody");
  if (firm.block.on) return blocked(firm.block, "firm " + firm.name);
  if (account.block.on) return blocked(account.block, "account " + account.name);
  if (firm.owes != 0)
    return rejected(Rejected::other_rule,
                    "firm " + firm.name + " owes money for a busted trade: it is to be cleared first");
  if (listing.block.on) return blocked(listing.block, "instrument " + listing.instrument().symbol);
  return {};
}

// Of an instrument; without one the UTC day.
TradingDay ExchangeMachine::trading_day(const Listing* listing, LogTime now) const {
  TradingDay day = utc_day(now);
  if (listing == nullptr) return day;
  if (listing->calendar != 0) {
    const Calendar& calendar = calendars_.at(listing->calendar);
    if (const std::optional<TradingDay> known = calendar.day(now))
      day = *known;
    else
      day.begins = std::max(day.begins, calendar.ended(now));
  }
  day.begins = std::max(day.begins, listing->labelled);
  return day;
}

Result<void> ExchangeMachine::judge_client_ids(const Firm& firm, const TradingDay& day) const {
  const uint32_t used = orders_.used(firm.number, day);
  if (used < client_ids_max_) return {};
  return rejected(Rejected::exceeds_limit, "firm " + firm.name + " has used " + std::to_string(used) +
                                               " ClOrdIDs today, its limit is " + std::to_string(client_ids_max_));
}

Result<void> ExchangeMachine::judge_limits(Admitted& admitted, const Now& now) const {
  const Order& order = admitted.order;
  const OrderSize size{order.funds.side, order.funds.price, order.funds.leaves, admitted.replaced,
                       admitted.replaced_price};
  // Names are made for refusals alone.
  const auto judge = [&](Whose whose, uint32_t number, const std::string& name, OrderRate& rate) -> Result<void> {
    const Usage& usage = directory_.peek(whose, number, order.instrument);
    const auto named = [&] { return std::string(whose_name(whose)) + ' ' + name; };
    const Instrument& i = admitted.listing->instrument();
    std::optional<Error> error = check_limits({}, i, usage.limits, usage.exposure, size);
    if (error) error = check_limits(named(), i, usage.limits, usage.exposure, size);
    rate = usage.rate;
    if (!error && !exchange::admit(rate, usage.limits, now.time))
      error = Error{Errc::refused, named() + " sends more than " + std::to_string(usage.limits.orders_per_second) +
                                       " orders a second"};
    if (!error) return {};
    error->detail = kFixReason + static_cast<uint32_t>(Rejected::exceeds_limit);
    return std::move(*error);
  };
  HEPTANE_TRY(judge(Whose::account, order.account, directory_.account(order.account).name, admitted.account_rate));
  return judge(Whose::firm, order.firm, directory_.firm(order.firm).name, admitted.firm_rate);
}

// Who enters it and what for, and whether anybody may now.
Result<void> ExchangeMachine::judge_place(const NewOrder& asked, Admitted& admitted, const Now& now) {
  const Firm* firm = directory_.firm(asked.firm);
  if (firm != nullptr) orders_.expect(firm->number, asked.client_id);
  const TradingAccount* account = firm == nullptr ? nullptr : directory_.account(firm->number, asked.account);
  if (account == nullptr)
    return rejected(Rejected::unknown_account, "the firm has no account " + asked.account, Errc::not_found);
  Listing* listing = directory_.listing(asked.symbol);
  if (listing == nullptr)
    return rejected(Rejected::unknown_symbol, "there is no instrument " + asked.symbol, Errc::not_found);
  if (!valid_client_id(asked.client_id)) return rejected(Rejected::other, kClientIdRule, Errc::invalid_argument);
  admitted.day = trading_day(listing, now.time);
  if (orders_.taken(firm->number, asked.client_id, admitted.day))
    return rejected(Rejected::duplicate, "ClOrdID " + asked.client_id + " was used today", Errc::exists);
  HEPTANE_TRY(judge_client_ids(*firm, admitted.day));
  HEPTANE_TRY(judge_blocks(*firm, *account, *listing));
  if (!at_rest(*listing, now)) return busy();
  if (const book::Reject no = book::admitted(listing->book.phase(), asked.type, asked.tif); no != book::Reject::none)
    return of_book(no);
  admitted.listing = listing;
  Order& order = admitted.order;
  order.id = orders_.next_id();
  order.client_id = asked.client_id;
  order.firm = firm->number;
  order.account = account->number;
  order.instrument = listing->number;
  order.type = asked.type;
  order.tif = asked.tif;
  order.entered = now.time;
  order.expires_at = expiry_of(asked.tif, asked.expires_at, admitted.day);
  order.by = now.command.principal.id;
  const auto fee_class = std::min<size_t>(account->fee_class, listing->spec.fees.size() - 1);
  order.funds.side = asked.side;
  order.funds.rates = listing->spec.fees[fee_class];
  return {};
}

Result<ExchangeMachine::Admitted> ExchangeMachine::admit(const NewOrder& asked, const Now& now) {
  Admitted admitted;
  HEPTANE_TRY(judge_place(asked, admitted, now));
  const Listing& listing = *admitted.listing;
  const Instrument& i = listing.instrument();
  Order& order = admitted.order;
  const Result<uint64_t> quantity = quantity_of(asked.quantity, i, "quantity");
  if (!quantity) return quantity.error();
  const Result<uint64_t> display = quantity_of(asked.display, i, "display quantity");
  if (!display) return display.error();
  const Result<uint64_t> minimum = quantity_of(asked.minimum, i, "minimum quantity");
  if (!minimum) return minimum.error();
  const Result<int64_t> stop = is_stop(asked.type) ? price_of(asked.stop_price, i, "stop price") : Result<int64_t>(0);
  if (!stop) return stop.error();
  const Result<int64_t> price = price_of(asked, listing, *stop);
  if (!price) return price.error();
  if (asked.tif == book::TimeInForce::gtd && asked.expires_at <= now.time)
    return rejected(Rejected::unsupported, "the order's time is over already");
  order.quantity = order.funds.leaves = *quantity;
  order.funds.price = *price;
  order.stop_price = *stop;
  order.display = *display;
  HEPTANE_TRY(judge_prices(i, order));
  HEPTANE_TRY(judge_limits(admitted, now));
  admitted.entered = for_book(asked, order, listing, *minimum);
  return admitted;
}

// What the order holds from now on, less what it held; within the caller's scope.
Result<void> ExchangeMachine::hold(Admitted& admitted, Now& now) {
  const Instrument& i = admitted.listing->instrument();
  Order& order = admitted.order;
  Chain chain(now.ledger, now.call());
  for (const uint32_t asset : {i.base_asset, i.quote_asset}) HEPTANE_TRY(chain.open(order.account, asset));
  HEPTANE_TRY(chain.open_house(i.quote_asset));
  const bool buy = order.funds.side == book::Side::buy;
  const uint32_t asset = buy ? i.quote_asset : i.base_asset;
  const Order* before = orders_.find(order.id);
  const Uint128 had = before == nullptr ? 0 : held(i, before->funds);
  const Uint128 needs = held(i, order.funds);
  const Uint128 available = purse_id(order.account, asset, Purse::available);
  const Uint128 holds = purse_id(order.account, asset, Purse::held);
  const Chain::Tag tag{order.id, order.instrument};
  if (needs > had)
    chain.move(order_move_id(order.id, order.moves), Purpose::hold, available, holds, needs - had, asset, tag);
  if (needs < had)
    chain.move(order_move_id(order.id, order.moves), Purpose::release, holds, available, had - needs, asset, tag);
  ++order.moves;
  if (!chain.post()) return {};
  const uint8_t scale = buy ? i.quote_scale : i.base_scale;
  const Asset* named = now.ledger.assets().find(asset);
  return rejected(Rejected::exceeds_limit,
                  "the order needs " + amount_text(needs - had, scale) + " " + (named == nullptr ? "" : named->code) +
                      ", available is " +
                      amount_text(balance(now.ledger, order.account, asset, Purse::available), scale));
}

void ExchangeMachine::apply_new(Now& now) {
  const auto asked = unpacked<NewOrder>(now.command.payload);
  if (!asked) return now.effects.refuse(Errc::invalid_argument, 0, "the command is no order");
  const Result<uint64_t> entered = enter(*asked, now);
  if (!entered) return refuse_order(entered.error(), now);
  reply_order(*entered, now);
}

Result<uint64_t> ExchangeMachine::enter(const NewOrder& asked, Now& now) {
  expect_postings(now.ledger.ledger(), orders_.next_id(), own_.next_trade);
  Result<Admitted> admitted = admit(asked, now);
  if (!admitted) return admitted.error();
  std::optional<RiskJudged> judged;
  if (risk_.on()) HEPTANE_TRY(judge_risk(*admitted, judged, now));
  if (judged && judged->review != nullptr) return hold_for_review(asked, *admitted, *judged, now);
  now.effects.open_scope();
  const Result<void> holds = hold(*admitted, now);
  Listing& listing = *admitted->listing;
  const book::Outcome outcome = holds ? listing.book.enter(admitted->entered, room()) : book::Outcome{};
  const bool kept = holds && outcome.reject == book::Reject::none;
  if (outcome.events > 1) orders_.expect(events_[1].other_id);  // behind its acceptance, the one that it meets
  now.effects.close_scope(kept ? ScopeOutcome::keep : ScopeOutcome::roll_back);
  if (!holds) return holds.error();
  if (!kept) return of_book(outcome.reject);

  listing.used = true;
  const Order& order = orders_.add(admitted->order, admitted->day);
  count_order(order, *admitted);
  add_open(order, order.quantity, 0);
  if (judged) count_risk(*judged, *admitted);
  follow(listing, outcome, now);
  return admitted->order.id;
}

// As it would be entered now, but for its price, its funds and its limits, which stand.
Result<void> ExchangeMachine::release(const Review& review, Now& now) {
  const Order& order = *orders_.find(review.order);
  Listing& listing = directory_.listing(order.instrument);
  HEPTANE_TRY(judge_blocks(directory_.firm(order.firm), directory_.account(order.account), listing));
  if (!at_rest(listing, now)) return busy();
  NewOrder asked;
  asked.self_trade = review.self_trade;
  asked.post_only = review.post_only;
  const book::Outcome outcome = listing.book.enter(for_book(asked, order, listing, review.minimum), room());
  if (outcome.reject != book::Reject::none) return of_book(outcome.reject);
  end_review(order.id, now);
  follow(listing, outcome, now);
  return {};
}

void ExchangeMachine::count_order(const Order& order, const Admitted& admitted) {
  const auto [of_account, of_firm] = usages_of(order);
  of_account->rate = admitted.account_rate;
  of_firm->rate = admitted.firm_rate;
}

Result<const Order*> ExchangeMachine::open_order(const std::string& firm, uint64_t order_id) const {
  const Firm* of = directory_.firm(firm);
  const Order* order = orders_.find(order_id);
  if (of == nullptr || order == nullptr || order->firm != of->number)
    return cancel_rejected(CancelRejected::unknown_order, "the firm has no order " + std::to_string(order_id),
                           Errc::not_found);
  if (order->status != OrderStatus::open)
    return cancel_rejected(CancelRejected::too_late,
                           "the order is " + std::string(status_name(order->status)) + " already");
  return order;
}

void ExchangeMachine::apply_cancel(Now& now) {
  const auto asked = unpacked<CancelOrder>(now.command.payload);
  if (!asked) return now.effects.refuse(Errc::invalid_argument, 0, "the command cancels nothing");
  const Result<void> done = cancel(*asked, now);
  if (!done) return refuse(now.effects, done.error());
  reply_order(asked->order_id, now);
}

Result<void> ExchangeMachine::cancel(const CancelOrder& asked, Now& now) {
  const Result<const Order*> order = open_order(asked.firm, asked.order_id);
  if (!order) return order.error();
  Listing& listing = directory_.listing((*order)->instrument);
  if (!fix_.empty()) fix_.asked() = {asked.order_id, asked.client_id, (*order)->client_id, true};
  if (in_review(asked.order_id)) {
    end_open(listing, asked.order_id, book::Reason::cancelled, now);
    return {};
  }
  const book::Outcome outcome = listing.book.cancel(asked.order_id, room());
  if (outcome.reject != book::Reject::none) return of_book(outcome.reject);
  follow(listing, outcome, now);
  return {};
}

// Whether the order may be replaced at all; it is as it was.
Result<void> ExchangeMachine::judge_place(const ReplaceOrder& asked, Admitted& admitted, const Now& now) {
  const Result<const Order*> found = open_order(asked.firm, asked.order_id);
  if (!found) return found.error();
  const Order& before = **found;
  Listing& listing = directory_.listing(before.instrument);
  if (in_review(before.id))
    return cancel_rejected(CancelRejected::other, "the order waits for a review: cancel it and enter another");
  if (!asked.original_id.empty() && asked.original_id != before.client_id)
    return cancel_rejected(CancelRejected::unknown_order, "the order's ClOrdID is " + before.client_id);
  if (!valid_client_id(asked.client_id))
    return cancel_rejected(CancelRejected::other, kClientIdRule, Errc::invalid_argument);
  admitted.day = trading_day(&listing, now.time);
  if (orders_.taken(before.firm, asked.client_id, admitted.day))
    return cancel_rejected(CancelRejected::duplicate, "ClOrdID " + asked.client_id + " was used today", Errc::exists);
  HEPTANE_TRY(judge_client_ids(directory_.firm(before.firm), admitted.day));
  HEPTANE_TRY(judge_blocks(directory_.firm(before.firm), directory_.account(before.account), listing));
  if (!at_rest(listing, now)) return busy();
  if (before.moves >= kMovesMax) return cancel_rejected(CancelRejected::other, "the order was replaced too often");
  admitted.listing = &listing;
  admitted.order = before;
  admitted.order.client_id = asked.client_id;
  admitted.replaced = before.funds.leaves;
  admitted.replaced_price = before.funds.price;
  return {};
}

Result<ExchangeMachine::Admitted> ExchangeMachine::admit(const ReplaceOrder& asked, const Now& now) {
  Admitted admitted;
  HEPTANE_TRY(judge_place(asked, admitted, now));
  const Instrument& i = admitted.listing->instrument();
  Order& order = admitted.order;
  const Result<uint64_t> quantity = quantity_of(asked.quantity, i, "quantity");
  if (!quantity) return quantity.error();
  const Result<uint64_t> display =
      asked.display ? quantity_of(*asked.display, i, "display quantity") : Result<uint64_t>(order.display);
  if (!display) return display.error();
  if (asked.price && has_limit(order.type)) {
    const Result<int64_t> price = price_of(*asked.price, i, "price");
    if (!price) return price.error();
    order.funds.price = *price;
  }
  if (asked.stop_price && is_stop(order.type) && !order.triggered) {
    const Result<int64_t> stop = price_of(*asked.stop_price, i, "stop price");
    if (!stop) return stop.error();
    order.stop_price = *stop;
    if (order.type == book::OrderType::stop)
      order.funds.price = *protection_price(i, order.funds.side, *stop, std::nullopt);
  }
  order.quantity = *quantity;
  order.display = asked.display || *display < *quantity ? *display : 0;
  // A total that is filled already ends the order, whatever else is said.
  order.funds.leaves = *quantity > order.filled ? *quantity - order.filled : 0;
  if (order.funds.leaves == 0) return admitted;
  HEPTANE_TRY(judge_prices(i, order));
  HEPTANE_TRY(judge_limits(admitted, now));
  return admitted;
}

void ExchangeMachine::apply_replace(Now& now) {
  const auto asked = unpacked<ReplaceOrder>(now.command.payload);
  if (!asked) return now.effects.refuse(Errc::invalid_argument, 0, "the command replaces nothing");
  const Result<void> done = replace(*asked, now);
  if (!done) return refuse_order(done.error(), now);
  reply_order(asked->order_id, now);
}

Result<void> ExchangeMachine::replace(const ReplaceOrder& asked, Now& now) {
  Result<Admitted> admitted = admit(asked, now);
  if (!admitted) return admitted.error();
  Listing& listing = *admitted->listing;
  const bool ends = admitted->order.funds.leaves == 0;
  std::optional<RiskJudged> judged;
  if (risk_.on() && !ends) HEPTANE_TRY(judge_risk(*admitted, judged, now));
  now.effects.open_scope();
  // What ends gives everything back at its end.
  const Result<void> holds = ends ? Result<void>() : hold(*admitted, now);
  const Order& after = admitted->order;
  const book::Replace change{after.id, after.funds.price, after.stop_price,
                             total_in_book(listing, *orders_.find(after.id), after.quantity),
                             listing.lots(after.display)};
  const book::Outcome outcome = holds ? listing.book.replace(change, room()) : book::Outcome{};
  const bool kept = holds && outcome.reject == book::Reject::none;
  now.effects.close_scope(kept ? ScopeOutcome::keep : ScopeOutcome::roll_back);
  if (!holds) return holds.error();
  if (!kept) return of_book(outcome.reject);

  Order& order = *orders_.find(after.id);
  if (!fix_.empty()) fix_.asked() = {order.id, after.client_id, order.client_id, now.effects.version() < kLogicUnasked};
  orders_.rename(order, after.client_id, admitted->day);
  if (!ends) {
    add_open(order, after.funds.leaves, order.funds.leaves);
    order = after;
    count_order(order, *admitted);
    if (judged) count_risk(*judged, *admitted);
  }
  follow(listing, outcome, now);
  return {};
}

void ExchangeMachine::reply_order(uint64_t order_id, Now& now) {
  answer_.clear();
  pack_row(*orders_.find(order_id), answer_);
  now.effects.reply(answer_.view(), static_cast<int64_t>(order_id));
}

}  // namespace heptane::fintech::exchange
