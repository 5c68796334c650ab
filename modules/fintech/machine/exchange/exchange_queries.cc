// What the exchange shows: pages of reference data, orders, the book, who holds what.
#include <algorithm>

#include "modules/fintech/machine/exchange/exchange_machine.h"

namespace heptane::fintech::exchange {

namespace {

void refuse(Reply& reply, Errc code, std::string why) {
  reply.error = code;
  reply.message = std::move(why);
}

constexpr size_t kPageBytes = size_t{512} << 10;
constexpr size_t kPageLooks = 4'096;  // at instruments, for pages of accounts

// Of names in their order: at most so many rows behind `after`, or the one of the name.
template <class Map, class Key, class Write>
void page(const Map& names, const Key& after, bool alone, size_t most, Write write, Reply& reply) {
  auto at = alone ? names.find(after) : names.upper_bound(after);
  Packer out;
  int64_t rows = 0;
  bool more = false;
  for (; at != names.end(); ++at, ++rows) {
    more = !alone && (static_cast<size_t>(rows) == most || out.size() >= kPageBytes);
    if (more || (alone && rows == 1) || !write(*at, out)) break;
  }
  reply.payload = Buffer::take(out.release());
  reply.numbers = {rows, more ? 1 : 0};
}

}  // namespace

InstrumentRow ExchangeMachine::row_of(const Listing& listing) const {
  return {listing.spec,  listing.book.phase(), listing.working(),
          listing.block, listing.last_price(), listing.book.size()};
}

AccountRow ExchangeMachine::row_of(const TradingAccount& account) const {
  AccountRow row{account.name, account.fee_class, account.block, {}, {}};
  std::set<uint32_t> assets;
  for (const Listing& listing : directory_.listings()) {
    const Usage usage = directory_.peek(Whose::account, account.number, listing.number);
    const Exposure& e = usage.exposure;
    if (e.position != 0 || e.open_buys != 0 || e.open_sells != 0)
      row.positions.push_back({listing.instrument().symbol, listing.instrument().quantity_scale, e});
    assets.insert({listing.instrument().base_asset, listing.instrument().quote_asset});
  }
  if (ledger_ == nullptr) return row;
  for (const uint32_t asset : assets) {
    if (ledger_->account(purse_id(account.number, asset, Purse::available)) == nullptr) continue;
    row.holdings.push_back({asset, balance(*ledger_, account.number, asset, Purse::available),
                            balance(*ledger_, account.number, asset, Purse::held)});
  }
  return row;
}

void ExchangeMachine::pack_row(const Order& order, Packer& out) const {
  const Instrument& i = directory_.listing(order.instrument).instrument();
  const bool buy = order.funds.side == book::Side::buy;
  if (in_review(order.id)) {
    Order shown = order;
    shown.status = OrderStatus::in_review;
    out(shown);
  } else {
    out(order);
  }
  out(directory_.firm(order.firm).name, directory_.account(order.account).name, i.symbol, i.price_scale,
      i.quantity_scale, buy ? i.quote_asset : i.base_asset, buy ? i.quote_scale : i.base_scale, held(i, order.funds));
}

void ExchangeMachine::query(const Query& query, Reply& reply) const {
  const auto with = [&]<class T>(void (ExchangeMachine::*answer)(const T&, Reply&) const) {
    const auto asked = unpacked<T>(query.payload);
    if (!asked) return refuse(reply, Errc::invalid_argument, "the query cannot be read");
    (this->*answer)(*asked, reply);
  };
  switch (query.type) {
    case kQueryInstruments: return with(&ExchangeMachine::query_instruments);
    case kQueryFirms: return with(&ExchangeMachine::query_firms);
    case kQueryAccounts: return with(&ExchangeMachine::query_accounts);
    case kQueryPositions: return with(&ExchangeMachine::query_positions);
    case kQueryMark: return with(&ExchangeMachine::query_mark);
    case kQueryOrder: return with(&ExchangeMachine::query_order);
    case kQueryOrders: return with(&ExchangeMachine::query_orders);
    case kQueryDepth: return with(&ExchangeMachine::query_depth);
    case kQueryState: return query_state(reply);
    case kQueryFixSessions: return with(&ExchangeMachine::query_fix);
    case kQueryTrade: return with(&ExchangeMachine::query_trade);
    case kQueryCalendars: return with(&ExchangeMachine::query_calendars);
    case kQueryReceivables: return with(&ExchangeMachine::query_receivables);
    case kQueryMarket: return with(&ExchangeMachine::query_market);
    case kQueryCandles: return with(&ExchangeMachine::query_candles);
    case kQueryRiskRules: return query_risk_rules(reply);
    case kQueryRiskLists: return query_risk_lists(reply);
    case kQueryRiskList: return with(&ExchangeMachine::query_risk_list);
    case kQueryReviews: return with(&ExchangeMachine::query_reviews);
    default: refuse(reply, Errc::unsupported, "the exchange has no such query");
  }
}

void ExchangeMachine::query_instruments(const Page& asked, Reply& reply) const {
  page(
      directory_.symbols(), asked.after, asked.alone, kPageRows,
      [&](const auto& name, Packer& out) {
        out(row_of(directory_.listing(name.second)));
        return true;
      },
      reply);
}

void ExchangeMachine::query_firms(const Page& asked, Reply& reply) const {
  page(
      directory_.firm_names(), asked.after, asked.alone, kPageRows,
      [&](const auto& name, Packer& out) {
        out(FirmRow{name.first, directory_.firm(name.second).block});
        return true;
      },
      reply);
}

void ExchangeMachine::query_fix(const Page& asked, Reply& reply) const {
  page(
      fix_.names(), asked.after, asked.alone, kPageRows,
      [&](const auto& name, Packer& out) {
        const FixSession& session = fix_.at(name.second);
        out(FixRow{session.spec, session.partition, session.next_in, session.next_out, session.connection != 0,
                   session.period, logic_});
        return true;
      },
      reply);
}

void ExchangeMachine::query_accounts(const Page& asked, Reply& reply) const {
  const Firm* firm = directory_.firm(asked.of);
  if (firm == nullptr) return refuse(reply, Errc::not_found, "there is no firm " + asked.of);
  const size_t most = std::clamp<size_t>(kPageLooks / (directory_.listings().size() + 1), 1, kPageRows);
  page(
      directory_.account_names(), std::pair(firm->number, asked.after), asked.alone, most,
      [&](const auto& name, Packer& out) {
        if (name.first.first != firm->number) return false;
        out(row_of(directory_.account(name.second)));
        return true;
      },
      reply);
}

void ExchangeMachine::query_positions(const Page& asked, Reply& reply) const {
  const Firm* firm = directory_.firm(asked.of);
  if (firm == nullptr) return refuse(reply, Errc::not_found, "there is no firm " + asked.of);
  const size_t most = std::clamp<size_t>(kPageLooks / (directory_.listings().size() + 1), 1, kPageRows);
  page(
      directory_.account_names(), std::pair(firm->number, asked.after), asked.alone, most,
      [&](const auto& name, Packer& out) {
        if (name.first.first != firm->number) return false;
        out(positions_of(directory_.account(name.second)));
        return true;
      },
      reply);
}

void ExchangeMachine::query_order(const OrderQuery& asked, Reply& reply) const {
  const Firm* firm = directory_.firm(asked.firm);
  const Order* order = nullptr;
  if (firm != nullptr)
    order = asked.order_id != 0 ? orders_.find(asked.order_id) : orders_.find_client(firm->number, asked.client_id);
  if (order == nullptr || order->firm != firm->number)
    return refuse(reply, Errc::not_found, "the firm has no such order, or it ended long ago: see fintech.orders");
  Packer out;
  pack_row(*order, out);
  reply.payload = Buffer::take(out.release());
  reply.numbers = {static_cast<int64_t>(order->id), 0};
}

void ExchangeMachine::query_orders(const OrdersQuery& asked, Reply& reply) const {
  const Firm* firm = directory_.firm(asked.firm);
  if (firm == nullptr) return refuse(reply, Errc::not_found, "there is no firm " + asked.firm);
  const TradingAccount* only = asked.account.empty() ? nullptr : directory_.account(firm->number, asked.account);
  if (only == nullptr && !asked.account.empty())
    return refuse(reply, Errc::not_found, "the firm has no account " + asked.account);
  Packer out;
  int64_t rows = 0;
  bool more = false;
  Orders::Place cursor{static_cast<uint32_t>(asked.after_account), asked.after_order};
  if (only != nullptr) cursor.first = only->number;
  for (size_t visits = 0;; ++visits) {
    const std::optional<Orders::Place> at = orders_.next_open(cursor);
    if (!at || (only != nullptr && at->first != only->number)) break;
    more = static_cast<size_t>(rows) == kPageRows || visits == kSweepVisits;
    if (more) break;
    if (directory_.account(at->first).firm != firm->number) {
      cursor = {at->first + 1, 0};
      continue;
    }
    cursor = *at;
    pack_row(*orders_.find(at->second), out);
    ++rows;
  }
  out(cursor.first, cursor.second);
  reply.payload = Buffer::take(out.release());
  reply.numbers = {rows, more ? 1 : 0};
}

void ExchangeMachine::query_depth(const DepthQuery& asked, Reply& reply) const {
  const Listing* listing = directory_.listing(asked.symbol);
  if (listing == nullptr) return refuse(reply, Errc::not_found, "there is no instrument " + asked.symbol);
  const uint32_t levels = std::min(asked.levels, kDepthLevelsMax);
  DepthRow row;
  row.instrument = row_of(*listing);
  row.sequence = market_.sequence(listing->number);
  row.bids = levels_of(*listing, book::Side::buy, levels);
  row.asks = levels_of(*listing, book::Side::sell, levels);
  if (book::is_call(listing->book.phase())) {
    const book::Indication would = listing->book.indication(listing->reference().value_or(0), kDepthLevelsMax);
    row.crosses = would.crosses && would.complete;
    row.call_price = would.price;
    row.call_volume = listing->units(would.volume);
    row.call_surplus = listing->units(would.surplus);
    row.surplus_side = would.surplus_side;
  }
  reply.payload = packed(row);
}

void ExchangeMachine::query_state(Reply& reply) const {
  reply.payload = packed(StateRow{own_.block, orders_.open(), own_.next_trade - 1, sweeps_.size()});
}

}  // namespace heptane::fintech::exchange
