// Phases of an instrument, mass cancels, kill switches, orders whose time is over.
#include <algorithm>

#include "modules/fintech/machine/exchange/audit.h"
#include "modules/fintech/machine/exchange/exchange_machine.h"

namespace heptane::fintech::exchange {

namespace {

constexpr LogTime kExpireAgainNs = 10'000'000;

void refuse_market(Effects& effects, const Error& error) { effects.refuse(error.code, error.detail, error.message); }

// No more than `whose` asks for: what is not looked up would be told as it was said.
bool names_its_own(const SwitchChange& change) {
  const bool of_firm = change.whose == Whose::firm || change.whose == Whose::account;
  return (of_firm || change.firm.empty()) && (change.whose == Whose::account || change.account.empty()) &&
         (change.whose == Whose::instrument || change.symbol.empty());
}

}  // namespace

book::Reject ExchangeMachine::enter_phase(Listing& listing, book::Phase phase, Now& now) {
  if (phase == book::Phase::continuous && listing.needs_call) return book::Reject::bad_phase;
  const book::Outcome outcome = listing.book.set_phase(phase, room());
  if (outcome.reject != book::Reject::none) return outcome.reject;
  listing.needs_call = phase == book::Phase::halted || (listing.needs_call && !book::is_call(phase));
  listing.extended = false;
  end_extension(listing, now);
  JsonRecord record("phase");
  record.text("symbol", listing.instrument().symbol).text("phase", phase_name(phase));
  notes_.add(kMarketView, listing.instrument().symbol, record.end());
  follow(listing, outcome, now);
  return book::Reject::none;
}

void ExchangeMachine::apply_phase(Now& now) {
  const auto change = unpacked<PhaseChange>(now.command.payload);
  if (!change) return now.effects.refuse(Errc::invalid_argument, 0, "the command sets no phase");
  Listing* listing = directory_.listing(change->symbol);
  if (listing == nullptr)
    return refuse_market(now.effects, {Errc::not_found, "there is no instrument " + change->symbol});
  const bool working = listing->working();
  const bool uncrosses = change->uncross && !working;
  if (!at_rest(*listing, now) && (change->phase != book::Phase::halted || uncrosses))
    return refuse_market(now.effects, {Errc::overloaded, "earlier work of the instrument goes on: try again"});
  if (working) {
    listing->next_phase = change->phase;
  } else if (change->uncross) {
    const book::Outcome outcome = listing->book.uncross(uncross_of(*listing), room());
    if (outcome.reject != book::Reject::none)
      return refuse_market(now.effects, {Errc::refused, book::text(outcome.reject)});
    listing->next_phase = change->phase;
    follow(*listing, outcome, now);
  } else {
    const std::string from(phase_name(listing->book.phase()));
    const book::Reject no = enter_phase(*listing, change->phase, now);
    if (no != book::Reject::none)
      return refuse_market(now.effects, {Errc::refused, "from " + from + ": " + book::text(no)});
  }
  audit(now.command, change->uncross ? "exchange.uncross" : "exchange.phase", change->symbol, phase_name(change->phase),
        now.effects);
  now.effects.reply(listing->working() ? 1 : 0);
}

// ---- mass cancels

Result<ExchangeMachine::Sweep> ExchangeMachine::sweep_of(Whose whose, const std::string& firm,
                                                         const std::string& account, const std::string& symbol,
                                                         const Now& now) const {
  Sweep sweep;
  sweep.whose = whose == Whose::instrument ? Whose::everybody : whose;
  sweep.last_order = orders_.next_id() - 1;
  sweep.by = now.command.principal.id;
  if (!symbol.empty()) {
    const Listing* listing = directory_.listing(symbol);
    if (listing == nullptr) return Error{Errc::not_found, "there is no instrument " + symbol};
    sweep.instrument = listing->number;
  }
  if (sweep.whose == Whose::everybody) return sweep;
  const Firm* of = directory_.firm(firm);
  if (of == nullptr) return Error{Errc::not_found, "there is no firm " + firm};
  sweep.who = of->number;
  if (whose == Whose::firm) return sweep;
  const TradingAccount* owner = directory_.account(of->number, account);
  if (owner == nullptr) return Error{Errc::not_found, "the firm has no account " + account};
  sweep.who = owner->number;
  return sweep;
}

bool ExchangeMachine::wanted(const Sweep& sweep, const Order& order) const {
  return order.id <= sweep.last_order && (sweep.instrument == 0 || sweep.instrument == order.instrument) &&
         (!sweep.side || *sweep.side == order.funds.side);
}

// True: it is at its end. Orders of an instrument whose work goes on are passed by and come last.
bool ExchangeMachine::step(Sweep& sweep, Now& now) {
  size_t ends = 0;
  if (sweep.whose == Whose::account && sweep.cursor_account == 0) sweep.cursor_account = sweep.who;
  for (size_t visits = 0; visits < kSweepVisits && ends < ends_max(); ++visits) {
    const std::optional<Orders::Place> at = orders_.next_open({sweep.cursor_account, sweep.cursor_order});
    if (!at || (sweep.whose == Whose::account && at->first != sweep.who)) {
      if (!sweep.passed_by) return true;
      sweep.passed_by = false;
      sweep.cursor_account = 0;
      sweep.cursor_order = 0;
      return false;
    }
    const auto [account, id] = *at;
    if (sweep.whose == Whose::firm && directory_.account(account).firm != sweep.who) {
      sweep.cursor_account = account + 1;
      sweep.cursor_order = 0;
      continue;
    }
    const Order& order = *orders_.find(id);
    Listing& listing = directory_.listing(order.instrument);
    const bool frozen = listing.book.frozen();
    sweep.passed_by = sweep.passed_by || (frozen && wanted(sweep, order));
    if (!frozen && wanted(sweep, order)) {
      end_open(listing, id, book::Reason::cancelled, now);
      ++sweep.ended;
      ++ends;
    }
    sweep.cursor_account = account;
    sweep.cursor_order = id;
  }
  return false;
}

void ExchangeMachine::go_on(Sweep sweep, Now& now) {
  const uint64_t number = sweep.number;
  fix_.set_cause(sweep.kill ? "kill switch" : "mass cancel", fix_.awaits(number));
  if (!step(sweep, now)) {
    now.effects.arm(now.time, kSweep, packed(number).view());
    now.effects.reply(static_cast<int64_t>(number), static_cast<int64_t>(sweep.ended));
    sweeps_.insert_or_assign(number, sweep);
    return;
  }
  sweeps_.erase(number);
  if (sweep.kill) wake_waiting(now);
  JsonRecord record("mass_cancelled");
  record.number("number", number).text("whose", whose_name(sweep.whose)).number("orders", sweep.ended);
  record.number("by", sweep.by);
  notes_.add(kRiskView, std::to_string(number), record.end());
  fix_mass_done(sweep);
  now.effects.reply(static_cast<int64_t>(number), static_cast<int64_t>(sweep.ended));
}

void ExchangeMachine::begin(Sweep sweep, Now& now) {
  sweep.number = own_.next_sweep++;
  go_on(std::move(sweep), now);
}

void ExchangeMachine::apply_sweep(Now& now) {
  const auto number = unpacked<uint64_t>(now.command.payload);
  const auto found = number ? sweeps_.find(*number) : sweeps_.end();
  if (found == sweeps_.end()) return now.effects.refuse(Errc::not_found, 0, "there is no such mass cancel");
  go_on(found->second, now);
}

void ExchangeMachine::apply_mass_cancel(Now& now) {
  const auto asked = unpacked<MassCancelOrders>(now.command.payload);
  if (!asked) return now.effects.refuse(Errc::invalid_argument, 0, "the command cancels nothing");
  const Whose whose = asked->account.empty() ? Whose::firm : Whose::account;
  Result<Sweep> sweep = sweep_of(whose, asked->firm, asked->account, asked->symbol, now);
  if (!sweep) return refuse_market(now.effects, sweep.error());
  if (sweeps_.size() >= kSweepsMax)
    return refuse_market(now.effects, {Errc::overloaded, "1000 mass cancels go on: try again"});
  sweep->side = asked->side;
  begin(*sweep, now);
}

Block* ExchangeMachine::block_of(const SwitchChange& change) {
  if (change.whose == Whose::everybody) return &own_.block;
  if (change.whose == Whose::instrument) {
    Listing* listing = directory_.listing(change.symbol);
    return listing == nullptr ? nullptr : &listing->block;
  }
  Firm* firm = directory_.firm(change.firm);
  if (firm == nullptr || change.whose == Whose::firm) return firm == nullptr ? nullptr : &firm->block;
  TradingAccount* account = directory_.account(firm->number, change.account);
  return account == nullptr ? nullptr : &account->block;
}

void ExchangeMachine::apply_switch(Now& now) {
  const auto change = unpacked<SwitchChange>(now.command.payload);
  if (!change) return now.effects.refuse(Errc::invalid_argument, 0, "the command switches nothing");
  if (!names_its_own(*change))
    return refuse_market(now.effects, {Errc::invalid_argument,
                                       "a switch names what it is of and nothing else: firm, firm and "
                                       "account, or symbol"});
  if (change->reason.empty() || change->reason.size() > kReasonMax)
    return refuse_market(now.effects, {Errc::invalid_argument, "a reason of 1 to 256 bytes is needed"});
  Block* block = block_of(*change);
  if (block == nullptr)
    return refuse_market(now.effects, {Errc::not_found, "there is no such " + std::string(whose_name(change->whose))});
  if (change->lift && !block->on) return refuse_market(now.effects, {Errc::refused, "the kill switch is off"});
  Result<Sweep> sweep = sweep_of(change->whose, change->firm, change->account,
                                 change->whose == Whose::instrument ? change->symbol : std::string(), now);
  if (!sweep) return refuse_market(now.effects, sweep.error());
  if (!change->lift && sweeps_.size() >= kSweepsMax + 1'000)
    return refuse_market(now.effects, {Errc::overloaded, "too many mass cancels go on: try again"});
  *block = change->lift ? Block() : Block{true, change->reason, now.command.principal.id, now.time};
  JsonRecord record(change->lift ? "lifted" : "killed");
  record.text("whose", whose_name(change->whose)).text("firm", change->firm).text("account", change->account);
  record.text("symbol", change->symbol).text("reason", change->reason).number("by", now.command.principal.id);
  notes_.add(kRiskView, whose_name(change->whose), record.end());
  audit(now.command, change->lift ? "exchange.lift" : "exchange.kill",
        std::string(whose_name(change->whose)) + " " + change->firm + "/" + change->account + change->symbol,
        change->reason, now.effects);
  if (change->lift) return now.effects.reply(0);
  sweep->kill = true;
  begin(*sweep, now);
}

// ---- expiry

// An instant of its calendar comes first, in which the order still takes part.
bool ExchangeMachine::turns_before(const Listing& listing, LogTime expires_at, const Now& now) const {
  if (!listing.turning || listing.calendar == 0) return false;
  const std::optional<Instant> instant = calendars_.at(listing.calendar).holding(now.time);
  return instant && expires_at > instant->at;
}

void ExchangeMachine::apply_expire(Now& now) {
  if (own_.timer != 0) now.effects.cancel(own_.timer);  // it has fired, unless somebody else sent the command
  own_.timer = 0;
  own_.due = 0;
  const int64_t ended = expire_some(now);
  now.effects.reply(ended);
  orders_.forget(now.time, kForgets);
  if (ended > 0) wake_waiting(now);
  hold_expiry(ended, now);
}

// What is overdue is all passed by: it is looked at when a book comes to rest, or a little later.
void ExchangeMachine::hold_expiry(int64_t ended, Now& now) {
  const auto first = orders_.next_due({0, 0});
  const LogTime forgets_at = orders_.forgets_at();
  const bool held_up = ended == 0 && first && first->first <= now.time && (forgets_at == 0 || forgets_at > now.time);
  if (!held_up || now.effects.version() < kLogicPatientExpiry) return;
  const auto next = orders_.next_due({now.time, UINT64_MAX});
  const LogTime again = now.time + kExpireAgainNs;
  own_.due = kHeldUp;
  own_.timer = now.effects.arm(next ? std::min(again, next->first) : again, kExpire, {});
}

void ExchangeMachine::resume_expiry(Now& now) {
  if (own_.due != kHeldUp) return;
  now.effects.cancel(own_.timer);
  own_.timer = 0;
  own_.due = 0;
}

// Orders of a book whose work goes on, or whose phase is about to change, are passed by: it takes no others before they are gone.
int64_t ExchangeMachine::expire_some(Now& now) {
  int64_t ended = 0;
  Orders::Due last{0, 0};
  for (size_t visits = 0; visits < kSweepVisits && static_cast<size_t>(ended) < ends_max(); ++visits) {
    const std::optional<Orders::Due> due = orders_.next_due(last);
    if (!due || due->first > now.time) break;
    last = *due;
    const uint64_t id = due->second;
    Listing& listing = directory_.listing(orders_.find(id)->instrument);
    if (listing.book.frozen() || turns_before(listing, due->first, now)) continue;
    end_open(listing, id, book::Reason::expired, now);
    ++ended;
  }
  return ended;
}

// One timer, for the order whose time is over first, and the end of the trade date.
void ExchangeMachine::rearm(Now& now) {
  LogTime due = orders_.forgets_at();  // 0: none
  if (const auto first = orders_.next_due({0, 0}); first && (due == 0 || first->first < due)) due = first->first;
  if (due == own_.due || (own_.due == kHeldUp && due != 0 && due <= now.time)) return;
  if (own_.timer != 0) now.effects.cancel(own_.timer);
  own_.timer = due == 0 ? 0 : now.effects.arm(std::max(now.time, due), kExpire, {});
  own_.due = due;
}

}  // namespace heptane::fintech::exchange
