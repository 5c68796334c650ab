// Positions: trades are counted as they settle and as they are put right; marks; what it comes to.
#include <algorithm>

#include "modules/fintech/machine/exchange/audit.h"
#include "modules/fintech/machine/exchange/exchange_machine.h"

namespace heptane::fintech::exchange {

namespace {

constexpr size_t kMarkBytesMax = 1'024;
constexpr size_t kTradedBytesMax = 256;

void refuse_mark(Effects& effects, const Error& error) { effects.refuse(error.code, error.detail, error.message); }

std::optional<int64_t> valued_at(const Listing& listing) {
  return listing.mark ? std::optional(listing.mark->price) : listing.last_price();
}

}  // namespace

// From the first trade under the version on; those before it stay uncounted, whatever becomes of them.
void ExchangeMachine::begin_positions(uint64_t trade, const Now& now) {
  if (counted_from_ == 0 && now.effects.version() >= kPositionsVersion) counted_from_ = trade;
}

void ExchangeMachine::restate_positions(const Busted& busted) {
  if (counted_from_ == 0) return;
  const SettledTrade& trade = busted.trade;
  const auto restated = [&](book::Side side, uint32_t account) {
    const bool buys = side == book::Side::buy;
    const TradedSide was{trade.trade,
                         side,
                         {busted.was.quantity, trade.principal},
                         buys ? trade.buyer_fee : trade.seller_fee,
                         buys ? trade.buyer_rebate : trade.seller_rebate};
    std::optional<TradedSide> is;
    if (const std::optional<Correction>& made = busted.correction)
      is = TradedSide{made->trade,
                      side,
                      {made->terms.quantity, made->legs.principal},
                      buys ? made->legs.buyer_fee : made->legs.seller_fee,
                      buys ? made->legs.buyer_rebate : made->legs.seller_rebate};
    if (was.trade < counted_from_ && !is) return;
    TradedPosition& position = directory_.traded(directory_.usage(Whose::account, account, trade.instrument));
    if (was.trade < counted_from_)
      position.add(*is);
    else
      position.restate(was, is ? &*is : nullptr, own_.next_trade - 1);
  };
  restated(book::Side::buy, trade.buyer);
  restated(book::Side::sell, trade.seller);
}

Result<void> ExchangeMachine::put_mark(const MarkChange& asked, const Now& now) {
  if (now.effects.version() < kPositionsVersion)
    return Error{Errc::unsupported,
                 "marks are of version 3 of the exchange's logic on: heptane upgrade activate exchange"};
  if (asked.reason.empty() || asked.reason.size() > kReasonMax)
    return Error{Errc::invalid_argument, "a reason of 1 to 256 bytes is needed"};
  Listing* listing = directory_.listing(asked.symbol);
  if (listing == nullptr) return Error{Errc::not_found, "there is no instrument " + asked.symbol};
  if (!asked.price) {
    listing->mark.reset();
    return {};
  }
  const uint8_t scale = listing->instrument().price_scale;
  const std::optional<int64_t> price = at_scale(*asked.price, scale);
  if (!price || *price < 0)
    return Error{Errc::invalid_argument, "a mark is 0 or more, with at most " + std::to_string(scale) + " decimals"};
  listing->mark = Mark{*price, now.time, now.command.principal.id, asked.reason};
  return {};
}

void ExchangeMachine::apply_mark(Now& now) {
  const auto asked = unpacked<MarkChange>(now.command.payload);
  if (!asked) return now.effects.refuse(Errc::invalid_argument, 0, "the command marks nothing");
  if (const Result<void> done = put_mark(*asked, now); !done) return refuse_mark(now.effects, done.error());
  const Listing& listing = *directory_.listing(asked->symbol);
  const uint8_t scale = listing.instrument().price_scale;
  JsonRecord record(listing.mark ? "marked" : "mark_removed");
  record.token("symbol", asked->symbol);
  if (listing.mark) record.price("price", listing.mark->price, scale);
  record.text("reason", asked->reason).number("by", now.command.principal.id);
  notes_.add(kRiskView, asked->symbol, record.end());
  audit(now.command, listing.mark ? "exchange.mark" : "exchange.unmark", asked->symbol,
        (listing.mark ? price_text(listing.mark->price, scale) + ": " : "") + asked->reason, now.effects);
  now.effects.reply(0);
}

PositionRow ExchangeMachine::position_row(const Listing& listing, const Usage& usage) const {
  const Instrument& i = listing.instrument();
  PositionRow row;
  row.symbol = i.symbol;
  row.quote_asset = i.quote_asset;
  row.quote_scale = i.quote_scale;
  row.price_scale = i.price_scale;
  row.quantity_scale = i.quantity_scale;
  row.exposure = usage.exposure;
  if (const TradedPosition* traded = directory_.traded(usage)) row.traded = *traded;
  row.mark = valued_at(listing);
  row.external = listing.mark.has_value();
  const ProfitAndLoss gained = profit_and_loss(row.traded, i, row.mark);
  row.average_cost = average_cost_text(i, gained.open_side);
  row.open_for = gained.open_for;
  row.realised = gained.realised;
  row.unrealised = gained.unrealised;
  if (!row.mark) return row;
  row.value = worth(i, usage.exposure.position, *row.mark);
  row.worst_long = worth(i, worst_long(usage.exposure), *row.mark);
  row.worst_short = worth(i, worst_short(usage.exposure), *row.mark);
  return row;
}

AccountPositions ExchangeMachine::positions_of(const TradingAccount& account) const {
  AccountPositions found{account.name, {}};
  for (const Listing& listing : directory_.listings()) {
    const Usage& usage = directory_.peek(Whose::account, account.number, listing.number);
    const Exposure& e = usage.exposure;
    if (usage.traded != 0 || e.position != 0 || e.open_buys != 0 || e.open_sells != 0)
      found.positions.push_back(position_row(listing, usage));
  }
  return found;
}

void ExchangeMachine::query_mark(const std::string& symbol, Reply& reply) const {
  const Listing* listing = directory_.listing(symbol);
  if (listing == nullptr) {
    reply.error = Errc::not_found;
    reply.message = "there is no instrument " + symbol;
    return;
  }
  reply.payload = packed(MarkRow{listing->instrument().price_scale, listing->mark, listing->last_price()});
}

// ---- state

bool ExchangeMachine::has_positions() const {
  const auto& listings = directory_.listings();
  return counted_from_ != 0 ||
         std::any_of(listings.begin(), listings.end(), [](const Listing& listing) { return listing.mark.has_value(); });
}

void ExchangeMachine::save_positions(SnapshotWriter& writer) const {
  writer.le(counted_from_);
  for (const Listing& listing : directory_.listings()) writer.blob(packed(listing.mark).view());
  writer.le(static_cast<uint32_t>(directory_.traded_positions()));
  directory_.for_each_traded([&](uint32_t account, uint32_t instrument, const TradedPosition& position) {
    writer.le(account);
    writer.le(instrument);
    writer.blob(packed(position).view());
  });
}

void ExchangeMachine::restore_positions(SnapshotReader& reader) {
  counted_from_ = reader.le<uint64_t>();
  for (uint32_t number = 1; number <= directory_.listings().size() && !reader.failed(); ++number) {
    const std::string bytes = reader.text(kMarkBytesMax);
    const auto mark = unpacked<std::optional<Mark>>(as_bytes(bytes));
    if (!mark) return reader.fail();
    directory_.listing(number).mark = *mark;
  }
  for (auto rows = reader.le<uint32_t>(); rows > 0 && !reader.failed(); --rows) {
    const auto account = reader.le<uint32_t>();
    const auto instrument = reader.le<uint32_t>();
    const std::string bytes = reader.text(kTradedBytesMax);
    const auto position = unpacked<TradedPosition>(as_bytes(bytes));
    if (!position || account == 0 || account > directory_.accounts() || !directory_.has_listing(instrument))
      return reader.fail();
    Usage& usage = directory_.usage(Whose::account, account, instrument);
    if (usage.traded != 0) return reader.fail();
    directory_.traded(usage) = *position;
  }
}

}  // namespace heptane::fintech::exchange
