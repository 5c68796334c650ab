#include "test/toys/counter_ledger.h"

#include <numeric>

namespace heptane::test {

namespace {
constexpr uint32_t kHeld = CounterLedger::kAccounts;
}

Buffer ledger_payload(const LedgerOperation& operation, std::string_view note) {
  ByteWriter out;
  out.le<uint32_t>(operation.from);
  out.le<uint32_t>(operation.to);
  out.le<int64_t>(operation.amount);
  out.le<int64_t>(operation.extra);
  out.append(note);
  return Buffer::take(out.release());
}

void CounterLedger::set(uint32_t account, int64_t balance) {
  if (!scopes_.empty()) undo_.push_back({account, balances_[account]});
  balances_[account] = balance;
}

bool CounterLedger::move(const LedgerOperation& operation, Effects& effects) {
  if (balances_[operation.from] < operation.amount) {
    effects.refuse(Errc::refused, 1, "insufficient funds");
    return false;
  }
  set(operation.from, balances_[operation.from] - operation.amount);
  set(operation.to, balances_[operation.to] + operation.amount);
  effects.reply(balances_[operation.from], balances_[operation.to]);
  return true;
}

void CounterLedger::apply(const Command& command, Effects& effects) {
  ByteReader reader(command.payload);
  LedgerOperation operation{reader.le<uint32_t>(), reader.le<uint32_t>(), reader.le<int64_t>(), reader.le<int64_t>()};
  constexpr int64_t kAmountLimit = int64_t{1} << 40;
  if (reader.failed() || operation.from >= kAccounts || operation.to >= kAccounts || operation.amount < 0 ||
      operation.amount > kAmountLimit)
    return effects.refuse(Errc::invalid_argument, 0, "malformed");
  switch (command.type) {
    case kLedgerDeposit:
      set(operation.to, balances_[operation.to] + operation.amount);
      return effects.reply(balances_[operation.to]);
    case kLedgerTransfer: move(operation, effects); return;
    case kLedgerHold: {
      const uint32_t from = operation.from;
      operation.to = kHeld;
      if (!move(operation, effects)) return;
      effects.arm(command.time + operation.extra, kLedgerRelease,
                  ledger_payload({from, from, operation.amount, 0}).view());
      return;
    }
    case kLedgerRelease:
      operation.from = kHeld;
      move(operation, effects);
      return;
    case kLedgerNoted: {
      effects.open_scope();
      const bool moved = move(operation, effects);
      const bool noted = moved && effects.port<KvMachine>(kKvId).put(std::to_string(operation.from),
                                                                     as_text(reader.rest()), command.sequence, effects);
      effects.close_scope(noted ? ScopeOutcome::keep : ScopeOutcome::roll_back);
      if (!noted) effects.refuse(Errc::refused, 2, "the note does not fit, or funds lack");
      return;
    }
    case kLedgerExpect:
      if (balances_[operation.from] < operation.amount) return effects.refuse(Errc::stale, 3, "less than expected");
      return effects.reply(0);
    default: return effects.refuse(Errc::unsupported, 0, "no such command");
  }
}

void CounterLedger::query(const Query& query, Reply& reply) const {
  ByteReader reader(query.payload);
  const auto account = reader.le<uint32_t>();
  if (!reader.complete() || account >= kAccounts)
    reply.error = Errc::invalid_argument;
  else
    reply.numbers[0] = balances_[account];
}

void CounterLedger::close_scope(ScopeOutcome outcome) {
  const size_t mark = scopes_.back();
  scopes_.pop_back();
  if (outcome == ScopeOutcome::roll_back)
    for (; undo_.size() > mark; undo_.pop_back()) balances_[undo_.back().account] = undo_.back().before;
  if (scopes_.empty()) undo_.clear();
}

void CounterLedger::save(SnapshotWriter& writer) const {
  for (const int64_t balance : balances_) writer.le<int64_t>(balance);
}

Result<void> CounterLedger::restore(SnapshotReader& reader) {
  for (int64_t& balance : balances_) balance = reader.le<int64_t>();
  if (reader.failed()) return Error{Errc::corrupt, "toy_ledger does not read back"};
  return {};
}

int64_t CounterLedger::total() const { return std::accumulate(balances_.begin(), balances_.end(), int64_t{0}); }

}  // namespace heptane::test
