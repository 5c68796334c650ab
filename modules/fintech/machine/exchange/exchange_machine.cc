#include "modules/fintech/machine/exchange/exchange_machine.h"

#include "kernel/streams/streams_machine.h"

namespace heptane::fintech::exchange {

namespace {

constexpr size_t kRowBytesMax = size_t{8} << 10;
// In the saved count of mass cancels: what stands behind them.
constexpr uint32_t kRiskFollows = 1u << 26;
constexpr uint32_t kReviewsFollow = 1u << 23;
constexpr uint32_t kFixFollows = 1u << 31;
constexpr uint32_t kPartiesFollow = 1u << 25;
constexpr uint32_t kTradesFollow = 1u << 24;
constexpr uint32_t kCorrectionsFollow = 1u << 28;
constexpr uint32_t kCalendarsFollow = 1u << 29;
constexpr uint32_t kMarketFollows = 1u << 30;
constexpr uint32_t kPositionsFollow = 1u << 27;
constexpr uint32_t kFollows = kFixFollows | kPartiesFollow | kTradesFollow | kCorrectionsFollow | kCalendarsFollow |
                              kMarketFollows | kPositionsFollow | kRiskFollows | kReviewsFollow;

// Nobody has sent it.
bool is_own(CommandType type) {
  return (type >= kProceed && type <= kFixCapture) || type == kCalendarDue || type == kCalendarPhase ||
         type == kReviewDue;
}

}  // namespace

// What is of the running command alone.
void ExchangeMachine::begin(const Command& command, const Effects& effects) {
  notes_.clear();
  risk_refused_ = false;
  if (risk_.frees()) risk_.free_some();
  fix_.begin(command.time);
  origin_ = {};
  origin_.told = effects.version() >= kLogicParties;
  origin_.by = is_own(command.type) ? 0 : command.principal.id;
}

void ExchangeMachine::apply(const Command& command, Effects& effects) {
  if (scopes_ > 0) return effects.refuse(Errc::unsupported, 0, "what is done on the exchange is a command of its own");
  logic_ = effects.version();
  market_.begin(logic_);
  // Every start says that all connections are over.
  if (command.type == kFixEnd && fix_.empty()) return effects.unchanged(0);
  begin(command, effects);
  Now now{command, effects, effects.port<LedgerMachine>(kLedgerMachineId), command.time};
  apply_one(now);
  if (effects.refused()) return;
  rearm(now);
  tell(now);
  tell_fix(now);
  count();
}

void ExchangeMachine::apply_one(Now& now) {
  switch (now.command.type) {
    case kPutInstrument: return apply_instrument(now);
    case kPutFirm: return apply_firm(now);
    case kPutAccount: return apply_account(now);
    case kPutLimits: return apply_limits(now);
    case kDeposit:
    case kWithdraw: return apply_cash(now);
    case kNewOrder: return apply_new(now);
    case kCancelOrder: return apply_cancel(now);
    case kReplaceOrder: return apply_replace(now);
    case kMassCancel: return apply_mass_cancel(now);
    case kSetPhase: return apply_phase(now);
    case kSwitch: return apply_switch(now);
    case kPutFixSession: return apply_put_fix(now);
    case kResetFixSession: return apply_reset_fix(now);
    case kFixOrders:
    case kFixInput: return apply_fix_input(now);
    case kFixEnd: return apply_fix_end(now);
    case kFixGrace: return apply_fix_grace(now);
    case kFixCapture: return apply_capture(now);
    case kProceed: return apply_proceed(now);
    case kSweep: return apply_sweep(now);
    case kExpire: return apply_expire(now);
    default: break;
  }
  if (!apply_operation(now)) now.effects.refuse(Errc::unsupported, 0, "the exchange has no such command");
}

// What operators put right. False: it is none of that.
bool ExchangeMachine::apply_operation(Now& now) {
  switch (now.command.type) {
    case kBustTrade: apply_bust(now); return true;
    case kClearReceivable: apply_clear(now); return true;
    case kWithdrawFees: apply_withdraw_fees(now); return true;
    case kPutMark: apply_mark(now); return true;
    case kPutCalendar: apply_put_calendar(now); return true;
    case kExtendCalendar: apply_extend_calendar(now); return true;
    case kSetCalendar: apply_set_calendar(now); return true;
    case kCalendarDue: apply_calendar_due(now); return true;
    case kCalendarPhase: apply_calendar_phase(now); return true;
    case kPutRiskRules: apply_put_risk_rules(now); return true;
    case kPutRiskList: apply_put_risk_list(now); return true;
    case kDecideReview: apply_decide_review(now); return true;
    case kReviewDue: apply_review_due(now); return true;
    default: return false;
  }
}

// A stream of a view's name with somebody else's records stays theirs: then that view is not told.
void ExchangeMachine::tell(Now& now) {
  if (notes_.empty()) return;
  auto& streams = now.effects.port<streams::StreamsMachine>(machine_ids::kStreams);
  for (size_t n = 0; n < kViews; ++n) {
    if (notes_.count(n) == 0) continue;
    const ViewId view{kExchangeMachineId, static_cast<uint16_t>(n + 1)};
    const std::optional<PartitionId> partition = streams.ensure_view(kStreams[n], view, now.command.sequence);
    if (!partition) continue;
    streams.keep_view(kStreams[n], view);
    now.effects.emit_view(*partition, notes_.count(n));
  }
  now.effects.log_result(notes_.view());
}

void ExchangeMachine::count() {
  open_orders_.store(orders_.open(), std::memory_order_relaxed);
  trades_total_.store(own_.next_trade - 1, std::memory_order_relaxed);
}

void ExchangeMachine::save(SnapshotWriter& writer) const {
  writer.blob(packed(own_).view());
  directory_.save(writer);
  orders_.save(writer);
  writer.le(static_cast<uint32_t>(sweeps_.size()) | (fix_.empty() ? 0 : kFixFollows) |
            (has_corrections() ? kCorrectionsFollow : 0) | (calendars_.empty() ? 0 : kCalendarsFollow) |
            (market_.empty() ? 0 : kMarketFollows) | (orders_.has_parties() ? kPartiesFollow : 0) |
            (trades_.empty() ? 0 : kTradesFollow) | (has_positions() ? kPositionsFollow : 0) |
            (risk_.version() == 0 ? 0 : kRiskFollows) | (reviews_.empty() ? 0 : kReviewsFollow));
  for (const auto& [number, sweep] : sweeps_) writer.blob(packed(sweep).view());
  if (!fix_.empty()) fix_.save(writer);
  if (has_corrections()) save_corrections(writer);
  if (!calendars_.empty()) save_calendars(writer);
  if (!market_.empty()) market_.save(writer);
  if (orders_.has_parties()) orders_.save_parties(writer);
  if (!trades_.empty()) trades_.save(writer);
  if (has_positions()) save_positions(writer);
  if (risk_.version() != 0) save_risk(writer);
  if (!reviews_.empty()) save_reviews(writer);
}

Result<void> ExchangeMachine::restore(SnapshotReader& reader) {
  make_fresh();
  const std::string bytes = reader.text(kRowBytesMax);
  const auto own = unpacked<Own>(as_bytes(bytes));
  if (reader.failed() || !own) return Error{Errc::corrupt, "the exchange does not read back"};
  own_ = *own;
  HEPTANE_TRY(directory_.restore(reader));
  HEPTANE_TRY(orders_.restore(reader));
  const auto sweeps = reader.le<uint32_t>();
  for (auto rows = sweeps & ~kFollows; rows > 0 && !reader.failed(); --rows) {
    const std::string row = reader.text(kRowBytesMax);
    const auto sweep = unpacked<Sweep>(as_bytes(row));
    if (!sweep || !sweeps_.emplace(sweep->number, *sweep).second) reader.fail();
  }
  if (reader.failed()) return Error{Errc::corrupt, "the exchange's mass cancels do not read back"};
  if ((sweeps & kFixFollows) != 0) HEPTANE_TRY(fix_.restore(reader));
  if ((sweeps & kCorrectionsFollow) != 0) restore_corrections(reader);
  if ((sweeps & kCalendarsFollow) != 0) restore_calendars(reader);
  if (reader.failed())
    return Error{Errc::corrupt, "the exchange's calendars, last trades and receivables do not read back"};
  if ((sweeps & kMarketFollows) != 0) HEPTANE_TRY(market_.restore(reader));
  if ((sweeps & kPartiesFollow) != 0) orders_.restore_parties(reader);
  if ((sweeps & kTradesFollow) != 0) trades_.restore(reader);
  if ((sweeps & kPositionsFollow) != 0) restore_positions(reader);
  if ((sweeps & kRiskFollows) != 0) restore_risk(reader);
  if ((sweeps & kReviewsFollow) != 0) restore_reviews(reader);
  if (reader.failed())
    return Error{Errc::corrupt,
                 "the exchange's parties, trades of firms, positions, marks, risk rules and reviews do not read back"};
  count();
  return {};
}

void ExchangeMachine::make_fresh() {
  directory_ = Directory(index_key_);
  orders_ = Orders(index_key_);
  fix_ = FixSessions();
  market_ = MarketState();
  trades_ = FirmTrades();
  risk_ = risk_rules::RuleBook(index_key_);
  risk_source_.clear();
  reviews_.clear();
  own_ = Own();
  sweeps_.clear();
  receivables_.clear();
  counted_from_ = 0;
  calendars_ = Calendars();
  count();
}

}  // namespace heptane::fintech::exchange
