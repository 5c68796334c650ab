// Instruments, firms, accounts, limits, and money that comes and goes.
#include <algorithm>
#include <limits>

#include "modules/fintech/domain/ledger/amount.h"
#include "modules/fintech/machine/exchange/audit.h"
#include "modules/fintech/machine/exchange/exchange_machine.h"

namespace heptane::fintech::exchange {

namespace {

Error wrong(std::string message) { return {Errc::invalid_argument, std::move(message)}; }
Error missing(std::string message) { return {Errc::not_found, std::move(message)}; }

constexpr const char* kNameRule = "a name is 1 to 32 of A-Z a-z 0-9 . _ -";

void refuse_reference(Effects& effects, const Error& error) { effects.refuse(error.code, error.detail, error.message); }

// As the book counts: whole lots, of all its orders and the one that comes together below 2^63.
Result<void> judge_book(const InstrumentSpec& spec) {
  if (spec.orders_max == 0 || spec.orders_max > kBookOrdersMax)
    return wrong("orders_max is 1 to " + std::to_string(kBookOrdersMax));
  const uint64_t lots = spec.instrument.quantity_max / spec.instrument.lot;
  const uint64_t most = static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) / (uint64_t{spec.orders_max} + 1);
  if (lots > most)
    return wrong("quantity_max is " + std::to_string(lots) + " lots, with this orders_max it is at most " +
                 std::to_string(most));
  if (spec.reference && (*spec.reference < spec.instrument.price_min || *spec.reference > spec.instrument.price_max ||
                         !on_tick(spec.instrument, *spec.reference)))
    return wrong("the reference price is not on a tick from price_min to price_max");
  return {};
}

Result<void> take_scale(const Assets& assets, uint32_t ledger, const char* which, uint8_t& scale) {
  const Asset* asset = assets.find(ledger);
  if (asset == nullptr)
    return missing("ledger " + std::to_string(ledger) + " (" + which + ") has no asset: register it");
  if (asset->scale > kDecimalsMax)
    return wrong(asset->code + " has " + std::to_string(asset->scale) + " decimals, an instrument's assets at most 18");
  scale = asset->scale;
  return {};
}

// What positions, limits and orders that ended are counted in.
bool differ_in_units(const Instrument& a, const Instrument& b) {
  return a.base_asset != b.base_asset || a.quote_asset != b.quote_asset || a.price_scale != b.price_scale ||
         a.quantity_scale != b.quantity_scale;
}

}  // namespace

Result<void> ExchangeMachine::judge_instrument(InstrumentSpec& spec, const Listing* known, const Now& now) const {
  Instrument& i = spec.instrument;
  if (i.settlement != Settlement::prefunded)
    return Error{Errc::unsupported, "settlement is prefunded: net settlement is not here"};
  HEPTANE_TRY(take_scale(now.ledger.assets(), i.base_asset, "base", i.base_scale));
  HEPTANE_TRY(take_scale(now.ledger.assets(), i.quote_asset, "quote", i.quote_scale));
  HEPTANE_TRY(check_instrument(i));
  if (spec.fees.empty() || spec.fees.size() > kFeeClassesMax) return wrong("fees are those of 1 to 16 classes");
  HEPTANE_TRY(check_fees(spec.fees));
  HEPTANE_TRY(judge_book(spec));
  const uint64_t others = directory_.book_orders() - (known == nullptr ? 0 : known->spec.orders_max);
  if (others + spec.orders_max > kAllBookOrdersMax)
    return Error{Errc::overloaded, "orders_max of all instruments together would be " +
                                       std::to_string(others + spec.orders_max) + ", it is at most " +
                                       std::to_string(kAllBookOrdersMax) + ": lower it"};
  if (known == nullptr) {
    if (directory_.listings().size() >= kInstrumentsMax) return Error{Errc::overloaded, "there are 1024 instruments"};
    return {};
  }
  if (known->used && differ_in_units(i, known->instrument()))
    return Error{Errc::refused, "assets and scales stay what they are once there were orders or limits: list another"};
  const bool in_kind = differ_in_kind(i, known->instrument()) || spec.orders_max != known->spec.orders_max;
  const bool idle = known->book.phase() == book::Phase::closed && known->book.size() == 0 && !known->working() &&
                    std::none_of(reviews_.begin(), reviews_.end(), [&](const auto& waits) {
                      return orders_.find(waits.first)->instrument == known->number;
                    });
  if (in_kind && !idle)
    return Error{Errc::refused,
                 "assets, scales, ticks, lot and orders_max change while the instrument is closed and has no orders"};
  return {};
}

void ExchangeMachine::apply_instrument(Now& now) {
  auto spec = unpacked<InstrumentSpec>(now.command.payload);
  if (!spec) return refuse_reference(now.effects, wrong("the command is no instrument"));
  Listing* known = directory_.listing(spec->instrument.symbol);
  if (const Result<void> judged = judge_instrument(*spec, known, now); !judged)
    return refuse_reference(now.effects, judged.error());
  const bool fresh_book = known == nullptr || differ_in_kind(spec->instrument, known->instrument()) ||
                          spec->orders_max != known->spec.orders_max;
  // A price of other units.
  if (known != nullptr && differ_in_units(spec->instrument, known->instrument())) known->mark.reset();
  Listing& listing = known == nullptr ? directory_.add_listing(*spec) : *known;
  listing.spec = std::move(*spec);
  if (fresh_book) {
    const std::optional<int64_t> last = known == nullptr ? std::nullopt : listing.last_price();
    const bool made = listing.make_book();
    HEPTANE_ASSERT(made, "a book whose configuration was judged cannot be made");
    if (last) (void)listing.book.set_last_trade(*last);
    directory_.count_books();
  }
  market_.changed(listing.number);
  audit(now.command, known == nullptr ? "exchange.instrument" : "exchange.instrument_change",
        listing.instrument().symbol, "", now.effects);
  now.effects.reply(listing.number, known == nullptr ? 1 : 0);
}

void ExchangeMachine::apply_firm(Now& now) {
  const auto spec = unpacked<FirmSpec>(now.command.payload);
  if (!spec || !valid_name(spec->name)) return refuse_reference(now.effects, wrong(kNameRule));
  if (directory_.firm(spec->name) != nullptr)
    return refuse_reference(now.effects, {Errc::exists, "there is a firm " + spec->name});
  if (directory_.firms() >= kFirmsMax) return refuse_reference(now.effects, {Errc::overloaded, "there are 4096 firms"});
  const Firm& firm = directory_.add_firm(spec->name);
  audit(now.command, "exchange.firm", spec->name, "", now.effects);
  now.effects.reply(firm.number);
}

void ExchangeMachine::apply_account(Now& now) {
  const auto spec = unpacked<AccountSpec>(now.command.payload);
  if (!spec || !valid_name(spec->name)) return refuse_reference(now.effects, wrong(kNameRule));
  if (spec->fee_class >= kFeeClassesMax) return refuse_reference(now.effects, wrong("a fee class is 0 to 15"));
  const Firm* firm = directory_.firm(spec->firm);
  if (firm == nullptr) return refuse_reference(now.effects, missing("there is no firm " + spec->firm));
  if (directory_.account(firm->number, spec->name) != nullptr)
    return refuse_reference(now.effects, {Errc::exists, "the firm has an account " + spec->name});
  if (directory_.accounts() >= kAccountsMax)
    return refuse_reference(now.effects, {Errc::overloaded, "there are 65536 accounts"});
  const TradingAccount& account = directory_.add_account(firm->number, spec->name, spec->fee_class);
  audit(now.command, "exchange.account", spec->firm + "/" + spec->name, "fee class " + std::to_string(spec->fee_class),
        now.effects);
  now.effects.reply(account.number);
}

void ExchangeMachine::apply_limits(Now& now) {
  const auto spec = unpacked<LimitsSpec>(now.command.payload);
  if (!spec || (spec->whose != Whose::firm && spec->whose != Whose::account))
    return refuse_reference(now.effects, wrong("limits are a firm's or an account's"));
  if (spec->whose == Whose::firm && !spec->account.empty())
    return refuse_reference(now.effects, wrong("limits of a firm name no account"));
  if (spec->limits.orders_at_once == 0) return refuse_reference(now.effects, wrong("orders_at_once is at least 1"));
  Listing* listing = directory_.listing(spec->symbol);
  const Firm* firm = directory_.firm(spec->firm);
  if (listing == nullptr) return refuse_reference(now.effects, missing("there is no instrument " + spec->symbol));
  if (firm == nullptr) return refuse_reference(now.effects, missing("there is no firm " + spec->firm));
  uint32_t number = firm->number;
  if (spec->whose == Whose::account) {
    const TradingAccount* account = directory_.account(firm->number, spec->account);
    if (account == nullptr) return refuse_reference(now.effects, missing("the firm has no account " + spec->account));
    number = account->number;
  }
  listing->used = true;
  directory_.usage(spec->whose, number, listing->number).limits = spec->limits;
  JsonRecord record("limits");
  record.text("whose", whose_name(spec->whose)).text("firm", spec->firm).text("account", spec->account);
  record.text("symbol", spec->symbol).number("order_quantity_max", spec->limits.order_quantity_max);
  record.text("order_notional_max", number_text(spec->limits.order_notional_max));
  record.text("long_max", number_text(spec->limits.long_max)).text("short_max", number_text(spec->limits.short_max));
  record.number("orders_per_second", spec->limits.orders_per_second);
  record.number("orders_at_once", spec->limits.orders_at_once).number("by", now.command.principal.id);
  notes_.add(kRiskView, spec->symbol, record.end());
  audit(now.command, "exchange.limits", spec->firm + "/" + spec->account, spec->symbol, now.effects);
  now.effects.reply(0);
}

void ExchangeMachine::apply_cash(Now& now) {
  const auto move = unpacked<CashMove>(now.command.payload);
  if (!move) return refuse_reference(now.effects, wrong("the command moves no money"));
  const Firm* firm = directory_.firm(move->firm);
  const TradingAccount* account = firm == nullptr ? nullptr : directory_.account(firm->number, move->account);
  if (account == nullptr)
    return refuse_reference(now.effects, missing("there is no account " + move->account + " of a firm " + move->firm));
  now.effects.open_scope();
  const Result<void> moved = move_cash(*move, *account, now);
  now.effects.close_scope(moved ? ScopeOutcome::keep : ScopeOutcome::roll_back);
  if (!moved) return refuse_reference(now.effects, moved.error());
  const bool in = now.command.type == kDeposit;
  if (firm->owes != 0) cleared(firm->number, move->asset, now);
  audit(now.command, in ? "exchange.deposit" : "exchange.withdraw", move->firm + "/" + move->account,
        number_text(move->digits) + "e-" + std::to_string(move->decimals) + " of ledger " + std::to_string(move->asset),
        now.effects);
  now.effects.reply(static_cast<int64_t>(own_.next_cash++));
}

Result<void> ExchangeMachine::move_cash(const CashMove& move, const TradingAccount& account, Now& now) {
  const Asset* asset = now.ledger.assets().find(move.asset);
  if (asset == nullptr) return missing("ledger " + std::to_string(move.asset) + " has no asset: register it");
  const std::optional<Uint128> amount = scaled({move.digits, move.decimals}, asset->scale);
  if (!amount || *amount == 0)
    return wrong("an amount of " + asset->code + " is above 0 and has at most " + std::to_string(asset->scale) +
                 " decimals");
  const bool in = now.command.type == kDeposit;
  const Firm& firm = directory_.firm(account.firm);
  if (!in && firm.owes != 0)
    return Error{Errc::refused,
                 "firm " + firm.name + " owes money for a busted trade: it withdraws nothing before that is cleared"};
  const Int128 there = supply(now.ledger, move.asset);
  if (in && (*amount > kSupplyMax || there + static_cast<Int128>(*amount) > static_cast<Int128>(kSupplyMax)))
    return Error{Errc::refused, "all deposits of " + asset->code + " together are at most 2^100 of its smallest units"};
  const Uint128 available = balance(now.ledger, account.number, move.asset, Purse::available);
  if (!in && *amount > available)
    return Error{Errc::refused, "available is " + amount_text(available, asset->scale) + " " + asset->code +
                                    ", to be withdrawn " + amount_text(*amount, asset->scale)};
  Chain chain(now.ledger, now.call());
  HEPTANE_TRY(chain.open(account.number, move.asset));
  HEPTANE_TRY(chain.open_house(move.asset));
  const Uint128 omnibus = purse_id(kHouse, move.asset, Purse::omnibus);
  const Uint128 theirs = purse_id(account.number, move.asset, Purse::available);
  chain.move(cash_move_id(own_.next_cash), in ? Purpose::deposit : Purpose::withdrawal, in ? omnibus : theirs,
             in ? theirs : omnibus, *amount, move.asset, {account.number, 0});
  // What comes in clears what is owed first.
  if (firm.owes != 0)
    chain.move(cash_clearing_id(own_.next_cash), Purpose::clearing, theirs,
               purse_id(firm.number, move.asset, Purse::receivable),
               std::min(*amount, owed(now.ledger, firm.number, move.asset)), move.asset, {account.number, 0});
  if (chain.post()) return Error{Errc::refused, "the ledger does not move it"};
  return {};
}

}  // namespace heptane::fintech::exchange
