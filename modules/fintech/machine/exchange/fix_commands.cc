// FIX sessions: what they are set to, what comes over their connections, what becomes of their numbers.
#include <algorithm>
#include <utility>

#include "kernel/base/assert.h"
#include "kernel/streams/streams_machine.h"
#include "modules/fintech/machine/exchange/audit.h"
#include "modules/fintech/machine/exchange/exchange_machine.h"

namespace heptane::fintech::exchange {

namespace {

constexpr uint32_t kDaySeconds = 86'400;
constexpr uint64_t kFixNumberMax = 999'999'999'999;

Error invalid(std::string why) { return {Errc::invalid_argument, std::move(why)}; }

Result<void> judge_access(const FixAccess& access) {
  const FixHours& hours = access.hours;
  const auto of_day = [](int32_t second) { return second >= 0 && second < static_cast<int32_t>(kDaySeconds); };
  if (!of_day(hours.start_s) || !of_day(hours.end_s)) return invalid("start_time and end_time are times of a day");
  const bool is_daily = hours.start_day == kFixEveryDay;
  if (is_daily != (hours.end_day == kFixEveryDay) || hours.start_day > kFixEveryDay || hours.end_day > kFixEveryDay)
    return invalid("start_day and end_day are days of the week, both or none");
  if (hours.zone.empty() || hours.zone.size() > kClientIdMax) return invalid("time_zone is 1 to 64 bytes");
  if (access.addresses.size() > kFixAddressesMax) return invalid("at most 16 allowed addresses");
  for (const std::string& address : access.addresses)
    if (address.empty() || address.size() > kFixAddressBytesMax) return invalid("an allowed address is 1 to 64 bytes");
  if (access.rate > kFixRateMax) return invalid("rate is 0 to 1000000 messages a second");
  return {};
}

Result<void> judge_settings(const FixSpec& spec) {
  if (!valid_name(spec.name) || !valid_name(spec.comp_id)) return invalid("a CompID is 1 to 32 of A-Z a-z 0-9 . _ -");
  if (spec.heart_bt_int_min_s > spec.heart_bt_int_max_s || spec.heart_bt_int_max_s > kFixHeartBtIntMax)
    return invalid("heart_bt_int_min and heart_bt_int_max are 0 to 3600, the first not above the second");
  if (spec.timestamp_precision > 9 || spec.timestamp_precision % 3 != 0)
    return invalid("timestamp_precision is 0, 3, 6 or 9");
  if (spec.grace_s > kFixGraceMax) return invalid("grace is 0 to 86400 seconds");
  if (spec.user.size() > kClientIdMax) return invalid("user is longer than 64 bytes");
  return judge_access(spec.access);
}

// The other commands are taken where there is no room: cancels, refusals, and the little that the session layer says.
bool needs_room(const FixInput& input) {
  if (!input.request || input.request->refused) return false;
  return input.request->ask != FixAsk::cancel && input.request->ask != FixAsk::mass_cancel;
}

// Its messages have room in an entry, each in a record.
bool has_room(const FixInput& input) {
  size_t bytes = 0;
  for (const FixDraft& draft : input.drafts) {
    const size_t size = draft.type.size() + draft.header.size() + draft.body.size();
    if (size > kFixDraftBytesMax) return false;
    bytes += size;
  }
  if (bytes > kFixDraftsBytesMax || input.drafts.size() > kFixDraftsMax) return false;
  if (!input.request) return true;
  const FixRequest& asked = *input.request;
  for (const std::string* name :
       {&asked.client_id, &asked.original_id, &asked.request_id, &asked.account, &asked.symbol})
    if (name->size() > kFixNameMax) return false;
  return asked.echoed.size() <= kFixEchoedMax && asked.text.size() <= kReasonMax &&
         asked.parties.size() <= kFixPartiesBytesMax;
}

}  // namespace

// Each session's messages of this command, in its stream.
void ExchangeMachine::tell_fix(Now& now) {
  if (fix_.said().empty()) return;
  for (const auto& [number, count] : fix_.said()) {
    const FixSession& session = fix_.at(number);
    const Offset first = now.effects.emit_view(session.partition, count);
    HEPTANE_ASSERT(first + static_cast<Offset>(count) == session.next_offset(), "a session's stream has other records");
  }
  now.effects.log_result(fix_.notes());
}

Result<void> ExchangeMachine::judge_fix(const FixSpec& spec, const FixSession* known) const {
  HEPTANE_TRY(judge_settings(spec));
  const Firm* firm = directory_.firm(spec.firm);
  if (firm == nullptr) return Error{Errc::not_found, "there is no firm " + spec.firm};
  if (known != nullptr) {
    if (known->spec.comp_id != spec.comp_id && known->next_out > 1)
      return Error{Errc::refused,
                   "what was said can be sent again under the CompID of then alone: reset the numbers first"};
    if (known->firm == firm->number && known->spec.role == spec.role) return {};
    return Error{Errc::refused, "the session is of firm " + known->spec.firm + " for " +
                                    std::string(fix_role_name(known->spec.role)) + ": firm and role stay"};
  }
  if (fix_.size() >= kFixSessionsMax) return Error{Errc::overloaded, "there are 1024 FIX sessions already"};
  if (spec.role == FixRole::drop_copy && fix_.drops(firm->number).size() >= kFixDropsMax)
    return Error{Errc::overloaded, "the firm has 2 drop copies already"};
  return {};
}

void ExchangeMachine::apply_put_fix(Now& now) {
  const auto put = unpacked<FixPut>(now.command.payload);
  if (!put) return now.effects.refuse(Errc::invalid_argument, 0, "the command is no FIX session");
  const FixSpec* const spec = &put->spec;
  FixSession* session = fix_.find(spec->name);
  const Result<void> judged = judge_fix(*spec, session);
  if (!judged) return now.effects.refuse(judged.error().code, 0, judged.error().message);
  // Programs of before it know no such role.
  if (spec->role == FixRole::market_data && now.effects.version() < kMarketVersion)
    return now.effects.refuse(Errc::unsupported, 0,
                              "sessions for market data are of version 2 of the exchange's logic on: heptane upgrade "
                              "activate exchange");
  if (spec->access.limits() && !origin_.told)
    return now.effects.refuse(
        Errc::unsupported, 0,
        "hours, addresses and a rate are of version 3 of the exchange's logic on: heptane upgrade "
        "activate exchange");
  const bool is_new = session == nullptr;
  if (is_new) {
    auto& streams = now.effects.port<streams::StreamsMachine>(machine_ids::kStreams);
    const std::string stream = std::string(kFixStreams) + spec->name;
    const ViewId view{kExchangeMachineId, static_cast<uint16_t>(kFixViews + fix_.size() + 1)};
    const std::optional<PartitionId> partition = streams.ensure_view(stream, view, now.command.sequence);
    if (!partition) return now.effects.refuse(Errc::exists, 0, "there is a stream " + stream + " with records already");
    streams.keep_view(stream, view);
    session = &fix_.add(*spec, directory_.firm(spec->firm)->number);
    session->partition = *partition;
  } else {
    fix_.change(*session, *spec);
  }
  audit(now.command, "exchange.fix_session", spec->name,
        "firm " + spec->firm + " user " + spec->user + " role " + std::string(fix_role_name(spec->role)), now.effects);
  now.effects.reply(session->number, is_new ? 1 : 0);
}

// A connection that is there is over: it learns of it with its next command, which is refused, or by the next message's number.
void ExchangeMachine::apply_reset_fix(Now& now) {
  const auto asked = unpacked<FixReset>(now.command.payload);
  if (!asked) return now.effects.refuse(Errc::invalid_argument, 0, "the command resets nothing");
  FixSession* session = fix_.find(asked->name);
  if (session == nullptr) return now.effects.refuse(Errc::not_found, 0, "there is no FIX session " + asked->name);
  const auto in_range = [](uint64_t number) { return number >= 1 && number <= kFixNumberMax; };
  if (!in_range(asked->next_in) || !in_range(asked->next_out))
    return now.effects.refuse(Errc::invalid_argument, 0, "numbers are 1 to 999999999999");
  const std::string before = std::to_string(session->next_in) + " and " + std::to_string(session->next_out);
  fix_.reset(*session, asked->next_in, asked->next_out);
  if (session->connection != 0) end_connection(*session, false, now);
  audit(
      now.command, "exchange.fix_reset", asked->name,
      "in and out from " + before + " to " + std::to_string(asked->next_in) + " and " + std::to_string(asked->next_out),
      now.effects);
  now.effects.reply(session->number);
}

void ExchangeMachine::apply_fix_input(Now& now) {
  auto input = unpacked<FixInput>(now.command.payload);
  if (!input || ((input->received != 0 || input->period != 0) && !origin_.told))
    return now.effects.refuse(Errc::invalid_argument, 0, "the command is none of FIX");
  origin_.received = input->received;
  if (now.command.type == kFixInput && needs_room(*input))
    return now.effects.refuse(Errc::invalid_argument, 0, "what needs room is another command");
  if (!has_room(*input)) return now.effects.refuse(Errc::too_large, 0, "the command's messages are too long");
  FixSession* session = fix_.find(input->session);
  if (session == nullptr) return now.effects.refuse(Errc::not_found, 0, "there is no FIX session " + input->session);
  if (session->spec.role == FixRole::market_data)
    return now.effects.refuse(Errc::unsupported, 0, "market data is not in the log");
  const bool opens = input->serial == 1;
  const bool in_order = opens ? input->connection != 0 && input->had_in == session->next_in
                              : input->connection == session->connection && input->serial == session->serial + 1;
  if (!in_order)
    return now.effects.refuse(Errc::stale, 0, "the session's state is not what the connection takes it for");
  // Whoever is back within the grace keeps his orders.
  if (opens && session->timer != 0 && !session->cancelling) {
    now.effects.cancel(session->timer);
    session->timer = 0;
  }
  if (opens) session->again_at = 0;
  session->connection = input->connection;
  session->serial = input->serial;
  if (input->resets) fix_.reset(*session, 1, 1);
  if (input->period != 0) session->period = input->period;
  const uint64_t began = session->next_out;
  for (const FixDraft& draft : input->drafts) fix_.say(*session, draft.type, draft.header, draft.body);
  session->next_in = input->next_in;
  if (input->request) apply_fix_request(*session, *input->request, now);
  const FixDone done{began, session->first, session->base, session->next_out};
  now.effects.reply(packed(done).view());
}

// What was read of the peer behind the last command counts if that command came here.
void ExchangeMachine::apply_fix_end(Now& now) {
  const auto end = unpacked<FixEnd>(now.command.payload);
  if (!end) return now.effects.refuse(Errc::invalid_argument, 0, "the command ends nothing");
  if (end->session.empty()) {
    int64_t ended = 0;
    for (uint32_t number = 1; number <= fix_.size(); ++number) {
      if (fix_.at(number).connection == 0) continue;
      end_connection(fix_.at(number), false, now);
      ++ended;
    }
    return ended == 0 ? now.effects.unchanged(0) : now.effects.reply(ended);
  }
  FixSession* session = fix_.find(end->session);
  if (session == nullptr || session->connection != end->connection || end->connection == 0)
    return now.effects.refuse(Errc::stale, 0, "the session has another connection, or none");
  if (end->resets) fix_.reset(*session, 1, 1);
  if (session->serial == end->serial) session->next_in = end->next_in;
  end_connection(*session, end->logged_out, now);
  now.effects.reply(1);
}

// While the orders of an earlier connection are being cancelled this one's come behind them.
void ExchangeMachine::end_connection(FixSession& session, bool logged_out, Now& now) {
  session.connection = 0;
  const FixSpec& spec = session.spec;
  if (spec.cancel == FixCancel::never || (logged_out && spec.cancel == FixCancel::on_disconnect)) return;
  const LogTime due = now.time + LogTime{spec.grace_s} * 1'000'000'000;
  if (session.cancelling) session.again_at = due;
  if (session.timer == 0) session.timer = now.effects.arm(due, kFixGrace, packed(session.number).view());
}

void ExchangeMachine::apply_fix_grace(Now& now) {
  const auto number = unpacked<uint32_t>(now.command.payload);
  if (!number || *number == 0 || *number > fix_.size())
    return now.effects.refuse(Errc::invalid_argument, 0, "the command names no FIX session");
  FixSession& session = fix_.at(*number);
  if (session.timer != 0) now.effects.cancel(session.timer);  // it has fired, unless somebody else sent the command
  session.timer = 0;
  const bool is_off = session.connection != 0 || session.spec.cancel == FixCancel::never;
  if (is_off && !session.cancelling) return now.effects.reply(0);
  if (!session.cancelling) {
    session.cancelling = true;
    session.cursor = 0;
    session.last_order = orders_.next_id() - 1;
  }
  session.cancelling = cancel_some(session, now);
  const LogTime next = session.cancelling ? now.time : std::exchange(session.again_at, 0);
  if (next != 0) session.timer = now.effects.arm(std::max(now.time, next), kFixGrace, packed(session.number).view());
  now.effects.reply(session.cancelling ? 1 : 0);
}

// Whether there is more. Orders of a book whose work goes on come once more.
bool ExchangeMachine::cancel_some(FixSession& session, Now& now) {
  fix_.set_cause("cancel on disconnect", 0);
  bool passed_by = false;
  size_t ends = 0;
  for (size_t visits = 0; visits < kSweepVisits && ends < ends_max(); ++visits) {
    const auto at = fix_.orders().upper_bound({session.number, session.cursor});
    if (at == fix_.orders().end() || at->first != session.number || at->second > session.last_order) {
      session.cursor = 0;
      return passed_by;
    }
    session.cursor = at->second;
    const Order& order = *orders_.find(at->second);
    const bool lasts = order.tif == book::TimeInForce::gtc || order.tif == book::TimeInForce::gtd;
    if (lasts && session.spec.spare_gtc) continue;
    Listing& listing = directory_.listing(order.instrument);
    if (listing.book.frozen()) {
      passed_by = true;
      continue;
    }
    end_open(listing, order.id, book::Reason::cancelled, now);
    ++ends;
  }
  return true;
}

}  // namespace heptane::fintech::exchange
