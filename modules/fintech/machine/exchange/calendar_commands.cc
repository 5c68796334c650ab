// Trading calendars, and the phases that they bring. A calendar has a timer for its next instant; when it comes each instrument of the
// calendar gets a command of its own, so that no entry changes more than one book.
//
// The phase that comes is the last one whose instant is not later than now: a server that was down over some of them makes up for the
// last alone. A call that is left is ended at its price first. Orders whose time was over at the instant are gone by then, day orders
// of a session that ends take part in its last call. What is halted stays halted.
#include <algorithm>

#include "kernel/base/assert.h"
#include "modules/fintech/machine/exchange/audit.h"
#include "modules/fintech/machine/exchange/exchange_machine.h"

namespace heptane::fintech::exchange {

namespace {

constexpr size_t kShownInstants = 16;
constexpr size_t kShownSymbols = 100;
constexpr LogTime kNsPerSecond = 1'000'000'000;
constexpr LogTime kTurnAgainNs = kNsPerSecond;  // of a turn that waits for what nothing tells the end of

// In a snapshot, of an instrument: what is so, and what follows.
enum TurnBit : uint8_t {
  kTurning = 1,
  kWaits = 2,
  kEndsCall = 4,
  kTurnFollows = 8,
  kExtensionFollows = 16,
  kLabelledFollows = 32,
};

void refuse_calendar(Effects& effects, const Error& error) { effects.refuse(error.code, error.detail, error.message); }

bool halts(const Listing& listing) {
  return listing.book.phase() == book::Phase::halted || listing.next_phase == book::Phase::halted;
}

}  // namespace

Result<void> ExchangeMachine::judge_calendar(const CalendarPut& asked) const {
  if (!valid_name(asked.spec.name)) return Error{Errc::invalid_argument, "a name is 1 to 32 of A-Z a-z 0-9 . _ -"};
  HEPTANE_TRY(check_calendar(asked.spec));
  HEPTANE_TRY(check_instants(asked.instants, 0, asked.upto));
  if (!calendars_.names().contains(asked.spec.name) && calendars_.size() >= kCalendarsMax)
    return Error{Errc::overloaded, "there are 64 calendars"};
  return {};
}

// One that is there is replaced with all of its instants; its instruments take the phase that it says of now, if that is another one
// than before. A call that was extended goes on.
void ExchangeMachine::apply_put_calendar(Now& now) {
  const auto asked = unpacked<CalendarPut>(now.command.payload);
  if (!asked) return refuse_calendar(now.effects, {Errc::invalid_argument, "the command is no calendar"});
  if (const Result<void> judged = judge_calendar(*asked); !judged) return refuse_calendar(now.effects, judged.error());
  Calendar* const known = calendars_.find(asked->spec.name);
  Calendar& calendar = known == nullptr ? calendars_.add(asked->spec.name) : *known;
  if (known != nullptr) ++calendar.revision;
  const std::optional<Instant> held = calendar.holding(now.time);
  const std::optional<TradingDay> day = calendar.day(now.time);
  calendar.spec = asked->spec;
  calendar.instants.assign(asked->instants.begin(), asked->instants.end());
  calendar.upto = asked->upto;
  calendar.forget(now.time);
  rearm(calendar, now);
  label(calendar, day, now);
  const std::optional<Instant> holds = calendar.holding(now.time);
  for (const uint32_t number : listings_of(calendar))
    if (holds && (!held || held->phase != holds->phase) && directory_.listing(number).extension == 0)
      turn(directory_.listing(number), now);
  audit(now.command, known == nullptr ? "exchange.calendar" : "exchange.calendar_change", asked->spec.name,
        asked->spec.zone, now.effects);
  now.effects.reply(calendar.number, calendar.revision);
}

void ExchangeMachine::apply_extend_calendar(Now& now) {
  const auto asked = unpacked<CalendarExtension>(now.command.payload);
  if (!asked) return refuse_calendar(now.effects, {Errc::invalid_argument, "the command extends no calendar"});
  Calendar* const calendar = calendars_.find(asked->name);
  if (calendar == nullptr)
    return refuse_calendar(now.effects, {Errc::not_found, "there is no calendar " + asked->name});
  if (asked->revision != calendar->revision || asked->from != calendar->upto)
    return refuse_calendar(now.effects, {Errc::stale, "the calendar is another one by now, or was extended"});
  if (const Result<void> judged = check_instants(asked->instants, asked->from, asked->upto); !judged)
    return refuse_calendar(now.effects, judged.error());
  if (calendar->instants.size() + asked->instants.size() > kInstantsKept)
    return refuse_calendar(now.effects, {Errc::overloaded, "2048 instants of the calendar are known"});
  const bool was_known = now.time < calendar->due;
  const std::optional<TradingDay> day = calendar->day(now.time);
  calendar->instants.insert(calendar->instants.end(), asked->instants.begin(), asked->instants.end());
  calendar->upto = asked->upto;
  calendar->forget(now.time);
  rearm(*calendar, now);
  label(*calendar, day, now);
  // Nothing was known of now: what holds by now may be another phase.
  if (!was_known) (void)turn_all(*calendar, now);
  now.effects.reply(static_cast<int64_t>(calendar->instants.size()));
}

void ExchangeMachine::apply_set_calendar(Now& now) {
  const auto asked = unpacked<CalendarChoice>(now.command.payload);
  if (!asked) return refuse_calendar(now.effects, {Errc::invalid_argument, "the command chooses no calendar"});
  Listing* const listing = directory_.listing(asked->symbol);
  if (listing == nullptr)
    return refuse_calendar(now.effects, {Errc::not_found, "there is no instrument " + asked->symbol});
  const Calendar* const calendar = asked->calendar.empty() ? nullptr : calendars_.find(asked->calendar);
  if (calendar == nullptr && !asked->calendar.empty())
    return refuse_calendar(now.effects, {Errc::not_found, "there is no calendar " + asked->calendar});
  const TradingDay day = trading_day(listing, now.time);
  const uint32_t before = std::exchange(listing->calendar, calendar == nullptr ? 0 : calendar->number);
  if (trading_day(listing, now.time) != day) listing->labelled = now.time;
  if (calendar == nullptr) end_extension(*listing, now);
  if (before != listing->calendar && listing->extension == 0) turn(*listing, now);
  audit(now.command, "exchange.calendar_of", asked->symbol, asked->calendar, now.effects);
  now.effects.reply(listing->calendar);
}

void ExchangeMachine::rearm(Calendar& calendar, Now& now) {
  if (calendar.timer != 0) now.effects.cancel(calendar.timer);
  const Instant* const next = calendar.next(now.time);
  calendar.due = next == nullptr ? calendar.upto : next->at;
  calendar.timer = next == nullptr ? 0 : now.effects.arm(next->at, kCalendarDue, packed(calendar.number).view());
}

void ExchangeMachine::apply_calendar_due(Now& now) {
  const auto number = unpacked<uint32_t>(now.command.payload);
  if (!number || *number == 0 || *number > calendars_.size())
    return refuse_calendar(now.effects, {Errc::invalid_argument, "the command names no calendar"});
  Calendar& calendar = calendars_.at(*number);
  calendar.forget(now.time);
  rearm(calendar, now);
  now.effects.reply(turn_all(calendar, now));
}

std::vector<uint32_t> ExchangeMachine::listings_of(const Calendar& calendar) const {
  std::vector<uint32_t> numbers;
  for (const Listing& listing : directory_.listings())
    if (listing.calendar == calendar.number) numbers.push_back(listing.number);
  return numbers;
}

// What came before may be known under another trade date: a possible resend of it is one of an earlier trade date.
void ExchangeMachine::label(const Calendar& calendar, const std::optional<TradingDay>& before, Now& now) {
  if (calendar.day(now.time) == before) return;
  for (const uint32_t number : listings_of(calendar)) directory_.listing(number).labelled = now.time;
}

void ExchangeMachine::turn(Listing& listing, Now& now) {
  if (listing.calendar == 0 || listing.turning) return;
  listing.turning = true;
  listing.turn = now.effects.arm(now.time, kCalendarPhase, packed(CalendarTurn{listing.number, false}).view());
}

// How many instruments it has. Not through phases of long ago: what holds is known once the instants are known up to now.
int64_t ExchangeMachine::turn_all(const Calendar& calendar, Now& now) {
  if (now.time >= calendar.due) return 0;
  const std::vector<uint32_t> numbers = listings_of(calendar);
  for (const uint32_t number : numbers) turn(directory_.listing(number), now);
  return static_cast<int64_t>(numbers.size());
}

// As long as earlier work goes on: others' commands come in between, and the end of the work wakes it.
void ExchangeMachine::wait_with_turn(Listing& listing, bool ends_call, Now& now) {
  listing.turning = true;
  listing.waits = true;
  listing.ends_call = ends_call;
  listing.turn =
      now.effects.arm(now.time + kTurnAgainNs, kCalendarPhase, packed(CalendarTurn{listing.number, false}).view());
}

void ExchangeMachine::wake(Listing& listing, Now& now) {
  if (!listing.waits) return;
  listing.waits = false;
  now.effects.cancel(listing.turn);
  listing.turn = now.effects.arm(now.time, kCalendarPhase, packed(CalendarTurn{listing.number, false}).view());
}

// Those that may have waited for a kill switch or for what was overdue.
void ExchangeMachine::wake_waiting(Now& now) {
  if (calendars_.empty()) return;
  if (std::any_of(sweeps_.begin(), sweeps_.end(), [](const auto& entry) { return entry.second.kill; })) return;
  for (uint32_t number = 1; number <= directory_.listings().size(); ++number) {
    Listing& listing = directory_.listing(number);
    if (listing.waits && !listing.working() && !orders_.overdue(number, now.time)) wake(listing, now);
  }
}

// A call whose price was outside the band: it is ended once more.
void ExchangeMachine::extend_call(Listing& listing, Now& now) {
  end_extension(listing, now);
  const LogTime more = LogTime{calendars_.at(listing.calendar).spec.extension_s} * kNsPerSecond;
  listing.extension =
      now.effects.arm(now.time + more, kCalendarPhase, packed(CalendarTurn{listing.number, true}).view());
}

void ExchangeMachine::end_extension(Listing& listing, Now& now) {
  if (listing.extension != 0) now.effects.cancel(listing.extension);
  listing.extension = 0;
}

void ExchangeMachine::apply_calendar_phase(Now& now) {
  const auto asked = unpacked<CalendarTurn>(now.command.payload);
  if (!asked || !directory_.has_listing(asked->instrument))
    return refuse_calendar(now.effects, {Errc::invalid_argument, "the command names no instrument"});
  Listing& listing = directory_.listing(asked->instrument);
  // Somebody has ended the extended call already.
  if (asked->extended && !listing.extended) return now.effects.reply(0);
  const bool ends_call = take_turn(listing, asked->extended, now);
  if (listing.calendar == 0) return now.effects.reply(0);
  const std::optional<Instant> instant = calendars_.at(listing.calendar).holding(now.time);
  if (!instant) {
    listing.ends_call = ends_call;
    return now.effects.reply(0);
  }
  if (halts(listing)) {
    tell_calendar("calendar_passed_over", listing, *instant);
    return now.effects.reply(0);
  }
  if (instant->phase == listing.book.phase() && !ends_call) return now.effects.reply(0);
  if (listing.working() || orders_.overdue(listing.number, instant->at) || about_to_be_killed(listing)) {
    wait_with_turn(listing, ends_call, now);
    return now.effects.reply(1);
  }
  now.effects.reply(follow_calendar(listing, *instant, now));
}

// Its timers have fired, unless somebody else sent the command. Whether it is to end the call that was extended.
bool ExchangeMachine::take_turn(Listing& listing, bool extended, Now& now) {
  const bool ends_call = (extended || listing.ends_call) && listing.extended;
  if (listing.turn != 0) now.effects.cancel(listing.turn);
  listing.turn = 0;
  listing.turning = false;
  listing.waits = false;
  listing.ends_call = false;
  if (extended) end_extension(listing, now);
  resume_expiry(now);
  return ends_call;
}

// What is known of the instant's reply: 1 when work is left.
int64_t ExchangeMachine::follow_calendar(Listing& listing, const Instant& instant, Now& now) {
  if (!book::is_call(listing.book.phase())) {
    if (enter_phase(listing, instant.phase, now) != book::Reject::none)
      tell_calendar("calendar_passed_over", listing, instant);
    return listing.working() ? 1 : 0;
  }
  // At the end of a session there is nothing to be extended to: outside its band the call halts.
  listing.extended = listing.extended || instant.ends;
  const book::Outcome outcome = listing.book.uncross(uncross_of(listing), room());
  HEPTANE_ASSERT(outcome.reject == book::Reject::none, "a call at rest is ended");
  listing.next_phase = instant.phase;
  follow(listing, outcome, now);
  return 1;
}

void ExchangeMachine::tell_calendar(std::string_view what, const Listing& listing, const Instant& instant) {
  JsonRecord record(what);
  record.text("symbol", listing.instrument().symbol).text("phase", phase_name(instant.phase));
  record.text("while", phase_name(listing.book.phase()));
  notes_.add(kMarketView, listing.instrument().symbol, record.end());
}

void ExchangeMachine::query_calendars(const Page& asked, Reply& reply) const {
  Packer out;
  int64_t rows = 0;
  const auto& names = calendars_.names();
  auto at = asked.alone ? names.find(asked.after) : names.upper_bound(asked.after);
  for (; at != names.end() && rows < static_cast<int64_t>(asked.alone ? 1 : kCalendarPageRows); ++at, ++rows) {
    const Calendar& calendar = calendars_.at(at->second);
    CalendarRow row{calendar.spec, calendar.revision, calendar.upto, {}, {}};
    const auto next = std::find_if(calendar.instants.begin(), calendar.instants.end(),
                                   [&](const Instant& instant) { return instant.at >= calendar.due; });
    const auto shown = std::min<std::ptrdiff_t>(calendar.instants.end() - next, kShownInstants);
    row.next.assign(next, next + shown);
    for (const Listing& listing : directory_.listings())
      if (listing.calendar == calendar.number && row.symbols.size() < kShownSymbols)
        row.symbols.push_back(listing.instrument().symbol);
    out(row);
  }
  reply.payload = Buffer::take(out.release());
  reply.numbers = {rows, !asked.alone && at != names.end() ? 1 : 0};
}

void ExchangeMachine::save_calendars(SnapshotWriter& writer) const {
  calendars_.save(writer);
  for (const Listing& listing : directory_.listings()) {
    writer.le(listing.calendar);
    const auto bit = [](bool is, TurnBit which) { return is ? which : 0; };
    writer.le(static_cast<uint8_t>(bit(listing.turning, kTurning) | bit(listing.waits, kWaits) |
                                   bit(listing.ends_call, kEndsCall) | bit(listing.turn != 0, kTurnFollows) |
                                   bit(listing.extension != 0, kExtensionFollows) |
                                   bit(listing.labelled != 0, kLabelledFollows)));
    if (listing.turn != 0) writer.le(listing.turn);
    if (listing.extension != 0) writer.le(listing.extension);
    if (listing.labelled != 0) writer.le(listing.labelled);
  }
  orders_.save_ends(writer);
}

void ExchangeMachine::restore_calendars(SnapshotReader& reader) {
  if (!calendars_.restore(reader)) return reader.fail();
  for (uint32_t number = 1; number <= directory_.listings().size() && !reader.failed(); ++number) {
    Listing& listing = directory_.listing(number);
    listing.calendar = reader.le<uint32_t>();
    const auto bits = reader.le<uint8_t>();
    listing.turning = (bits & kTurning) != 0;
    listing.waits = (bits & kWaits) != 0;
    listing.ends_call = (bits & kEndsCall) != 0;
    if ((bits & kTurnFollows) != 0) listing.turn = reader.le<TimerId>();
    if ((bits & kExtensionFollows) != 0) listing.extension = reader.le<TimerId>();
    if ((bits & kLabelledFollows) != 0) listing.labelled = reader.le<LogTime>();
    if (listing.calendar > calendars_.size()) reader.fail();
  }
  orders_.restore_ends(reader);
}

}  // namespace heptane::fintech::exchange
