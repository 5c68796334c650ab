#include "modules/fintech/machine/ledger/ledger_machine.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "kernel/base/assert.h"
#include "kernel/streams/streams_machine.h"
#include "modules/fintech/domain/ledger/status.h"

namespace heptane::fintech {

namespace {

void refuse(Effects& effects, LedgerRefusal why, const char* message) {
  effects.refuse(why == LedgerRefusal::invalid_body ? Errc::invalid_argument : Errc::stale, static_cast<uint32_t>(why),
                 message);
}

// Of the first number of a snapshot: assets stand at its end. Snapshots from before there were assets have none.
constexpr uint64_t kAssetsFollow = uint64_t{1} << 63;
// Likewise: there are more transfers or balances than one row file holds, and their rows stand as LedgerFiles saves them.
constexpr uint64_t kRowFiles = uint64_t{1} << 62;
// Likewise: when sessions were touched stands behind all else, if one was.
constexpr uint64_t kTouchesFollow = uint64_t{1} << 61;

template <class Row>
void append_rows(std::vector<std::byte>& out, const std::vector<Row>& rows) {
  const auto* bytes = reinterpret_cast<const std::byte*>(rows.data());
  out.insert(out.end(), bytes, bytes + rows.size() * sizeof(Row));
}

constexpr size_t kNoteMarginBytes = 64;  // what the entry holds beside a note

// Configuration that was never logged is empty: logs from before it was there mean what they did.
size_t sessions_most(std::string_view text) {
  size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc() && end == text.data() + text.size() && number > 0;
  return whole ? std::min(number, kClientSessionsLimit) : kClientSessions;
}

Access access_of(const Caller& caller) {
  return {0, (caller.rights & kMayWithdraw) != 0, (caller.rights & kKeepsRanges) != 0};
}

constexpr std::byte kNothing[] = {static_cast<std::byte>(NoteForm::nothing)};

}  // namespace

// Commands.

void LedgerMachine::apply(const Command& command, Effects& effects) {
  ledger_.settle();  // what the commands before it made is final
  const uint64_t blocks = ledger_.transfers().blocks_read();
  apply_one(command, effects);
  const uint64_t read = ledger_.transfers().blocks_read() - blocks;
  if (read != 0) reads_in_apply_total_.fetch_add(read, std::memory_order_relaxed);
  files_.end_if_unreadable();
}

void LedgerMachine::apply_one(const Command& command, Effects& effects) {
  switch (command.type) {
    case kExpire: return apply_expire(command, effects);
    case kPutAsset: return apply_asset(command, effects);
    case kTransferAll:
    case kTransferAllOutside:
    case kTransferAllWithdrawing: return apply_transfer_all(command, effects);
    case kGuardBalance: return apply_guard(command, effects);
    default: break;
  }
  const OperationRow* row = operation_of(command.type);
  const bool of_sessions = command.type == kRegister || command.type == kTouch;
  const bool newer = command.type == kTouch || command.type == kSettleTransfers;
  if ((!of_sessions && (row == nullptr || !row->creates)) || (newer && effects.version() < kLogicSettlements))
    return effects.refuse(Errc::unsupported, 0, "the ledger has no such command");
  if (command.payload.size() < Caller::kBytes)
    return refuse(effects, LedgerRefusal::invalid_body, "the command does not say who asks");
  if (command.type == kRegister) return apply_register(command, effects);
  if (command.type == kTouch) return apply_touch(command, effects);
  if (command.type == kSettleTransfers && !settles(command.payload))
    return refuse(effects, LedgerRefusal::invalid_body, "a settlement holds nothing but posts and voids");
  // Else whoever sends what settles nothing could fill what is kept free for those who do: it is asked again as any other.
  if (command.type == kSettleTransfers && !settles_something(command, effects))
    return effects.refuse(Errc::unsupported, 0, "nothing of it is pending");
  apply_create(command, *row, effects);
}

// A repeat, of which nothing is pending any more, and a session that is not there have their answers behind this.
bool LedgerMachine::settles_something(const Command& command, const Effects& effects) const {
  const Judgement judgement = judge(Caller::read(command.payload.data()));
  if (effects.version() >= kLogicPortAudit && judgement.standing != Standing::fresh) return true;
  const Bytes body = command.payload.subspan(Caller::kBytes);
  const std::optional<MultiBatch> batches = parse_body(*operation_of(kCreateTransfers), body);
  for (size_t i = 0; batches && i < batches->elements(); ++i) {
    Uint128 id = 0;
    std::memcpy(&id, body.data() + i * sizeof(Transfer) + offsetof(Transfer, pending_id), sizeof id);
    if (ledger_.pending_status(id) == PendingStatus::pending) return true;
  }
  return false;
}

void LedgerMachine::apply_register(const Command& command, Effects& effects) {
  const Caller caller = Caller::read(command.payload.data());
  if (caller.client == 0) return refuse(effects, LedgerRefusal::dropped, "a client's id is not 0");
  if (const ClientSession* known = sessions_.find(caller.client)) {
    if (known->request != 0 || known->checksum != caller.checksum)
      return refuse(effects, LedgerRefusal::dropped, ledger_refusal_text(LedgerRefusal::dropped));
    return effects.unchanged(static_cast<int64_t>(known->number), static_cast<int64_t>(known->timestamp));
  }
  ClientSession session;
  session.number = session.used = command.sequence;
  session.checksum = caller.checksum;
  session.release = caller.release;
  session.timestamp = ledger_.advance(ledger_time(command.time), 1);
  own_.last_commit = command.sequence;
  effects.reply(static_cast<int64_t>(session.number), static_cast<int64_t>(session.timestamp));
  sessions_.add(caller.client, std::move(session), sessions_most(effects.config(kClientSessionsKey)));
}

void LedgerMachine::apply_touch(const Command& command, Effects& effects) {
  const Caller caller = Caller::read(command.payload.data());
  const ClientSession* known = sessions_.find(caller.client);
  if (known == nullptr || known->number != caller.session)
    return refuse(effects, LedgerRefusal::no_session, ledger_refusal_text(LedgerRefusal::no_session));
  ClientSession session = *known;
  session.touched = command.sequence;
  sessions_.put(caller.client, std::move(session));
  effects.reply(static_cast<int64_t>(caller.session));
}

LedgerMachine::Judgement LedgerMachine::judge(const Caller& caller) const {
  if (caller.client == 0) return {};
  const ClientSession* known = sessions_.find(caller.client);
  if (known == nullptr) return {Standing::refused, LedgerRefusal::no_session};
  if (caller.session < known->number) return {Standing::refused, LedgerRefusal::session_too_low};
  if (caller.session > known->number) return {Standing::refused, LedgerRefusal::dropped};
  if (caller.release != known->release) return {Standing::refused, LedgerRefusal::release_mismatch};
  // Reads are not logged: request numbers may jump.
  if (caller.request > known->request) return {};
  if (caller.request == known->request && caller.checksum == known->checksum) return {Standing::repeat};
  return {Standing::refused, LedgerRefusal::dropped};
}

void LedgerMachine::apply_create(const Command& command, const OperationRow& row, Effects& effects) {
  const Caller caller = Caller::read(command.payload.data());
  const Judgement judgement = judge(caller);
  if (judgement.standing == Standing::refused)
    return refuse(effects, judgement.refusal, ledger_refusal_text(judgement.refusal));
  if (judgement.standing == Standing::repeat) {
    const ClientSession& known = *sessions_.find(caller.client);
    effects.reply(known.reply.view());
    effects.log_result(kNothing);  // in a transaction every command that creates has its note
    return effects.unchanged(static_cast<int64_t>(known.used), static_cast<int64_t>(known.timestamp));
  }
  const std::optional<MultiBatch> batches = parse_body(row, command.payload.subspan(Caller::kBytes));
  if (!batches) return refuse(effects, LedgerRefusal::invalid_body, ledger_refusal_text(LedgerRefusal::invalid_body));

  ledger_.act_as(access_of(caller));
  const std::vector<std::byte> body = create(row, *batches, command.time);
  const uint64_t timestamp = ledger_.clock();
  own_.last_commit = command.sequence;
  if (caller.client != 0) {
    ClientSession session = *sessions_.find(caller.client);
    session.used = command.sequence;
    session.checksum = caller.checksum;
    session.request = caller.request;
    session.timestamp = timestamp;
    session.reply = Buffer::copy_of(body);
    sessions_.put(caller.client, std::move(session));
  }
  rearm(command.time, effects);
  uint8_t told = 0;
  if (!audit(command, effects, told) || !tell(command.sequence, effects)) return;
  if (caller.client != 0 || effects.version() < kLogicBriefs)
    return effects.reply(body, static_cast<int64_t>(command.sequence), static_cast<int64_t>(timestamp));
  const Bytes results = Bytes(body).first(batches->elements() * sizeof(CreateResult));
  const bool of_accounts = row.operation == Operation::create_accounts;
  const std::array<int64_t, 2> brief =
      brief_of(of_accounts ? first_failed<AccountStatus>(results) : first_failed<TransferStatus>(results));
  effects.reply(body, brief[0], brief[1]);
}

// A chain never crosses a batch; the timestamps of all batches run on.
std::vector<std::byte> LedgerMachine::create(const OperationRow& row, const MultiBatch& batches, LogTime time) {
  uint64_t timestamp = ledger_.advance(ledger_time(time), batches.elements()) - batches.elements();
  note_.begin(row, timestamp + 1, batches.elements());
  MultiBatchWriter writer(row.result_bytes);
  writer.out().reserve(batches.elements() * row.result_bytes +
                       multi_batch_trailer_bytes(batches.batches(), row.result_bytes));
  batches.visit([&](Bytes batch) {
    timestamp += batch.size() / row.event_bytes;
    results_.clear();
    if (row.operation == Operation::create_accounts)
      ledger_.create_accounts(timestamp, batch, results_);
    else
      ledger_.create_transfers(timestamp, batch, results_);
    note_.add(batch, results_, ledger_);
    append_rows(writer.out(), results_);
    writer.end_batch();
  });
  return writer.finish();
}

// A stream of that name with somebody else's records stays theirs: then nothing is told. False: a transaction makes more
// records than one command may, and is refused whole.
bool LedgerMachine::tell(Sequence sequence, Effects& effects) {
  const Bytes note = note_.finish();
  if (!effects.room_for(uint64_t{note_.transfers()} + note_.accounts(), note.size() + kNoteMarginBytes)) {
    refuse(effects, LedgerRefusal::invalid_body,
           "one transaction makes at most 65,536 records of the ledger's streams");
    return false;
  }
  auto& streams = effects.port<streams::StreamsMachine>(machine_ids::kStreams);
  const auto count = [&](std::string_view name, ViewId view, uint32_t records) {
    if (records == 0) return;
    const std::optional<PartitionId> partition = streams.ensure_view(name, view, sequence);
    if (!partition) return;
    if (effects.version() >= kLogicKeptViews) streams.keep_view(name, view);
    effects.emit_view(*partition, records);
  };
  count(kTransfersStream, kTransfersView, note_.transfers());
  count(kAccountsStream, kAccountsView, note_.accounts());
  effects.log_result(note);
  return true;
}

void LedgerMachine::apply_expire(const Command& command, Effects& effects) {
  if (own_.timer != 0) effects.cancel(own_.timer);  // it has fired, unless somebody else sent the command
  own_.timer = 0;
  own_.timer_due = 0;
  std::vector<Transfer> closing;
  const uint32_t expired = ledger_.expire(ledger_time(command.time), kExpireMax, &closing);
  rearm(command.time, effects);
  if (!closing.empty()) {
    note_.begin_expiry(ledger_.clock());
    note_.add_expired(closing);
    tell(command.sequence, effects);
  }
  effects.reply(expired);
}

// One timer, for the pending transfer that is due first.
void LedgerMachine::rearm(LogTime now, Effects& effects) {
  const uint64_t due = ledger_.next_expiry();
  if (due == own_.timer_due) return;
  if (own_.timer != 0) effects.cancel(own_.timer);
  own_.timer = due == 0 ? 0 : effects.arm(std::max(now, static_cast<LogTime>(due)), kExpire, {});
  own_.timer_due = due;
}

void LedgerMachine::expect(const Command& command) const {
  const bool moves = command.type == kCreateTransfers || command.type == kSettleTransfers;
  if (!moves || command.payload.size() <= Caller::kBytes) return;
  constexpr size_t kAhead = size_t{64} * sizeof(Transfer);
  const Bytes body = command.payload.subspan(Caller::kBytes);
  ledger_.expect_transfers(body.first(std::min(body.size(), kAhead)));
}

// Scopes, snapshots.

void LedgerMachine::open_scope() {
  ledger_.settle();  // where only other machines' commands come, by their ports
  ledger_.open_scope();
  sessions_.open_scope();
  assets_.open_scope();
  own_before_.push_back(own_);
}

void LedgerMachine::close_scope(ScopeOutcome outcome) {
  const bool keep = outcome == ScopeOutcome::keep;
  ledger_.close_scope(keep);
  sessions_.close_scope(keep);
  assets_.close_scope(keep);
  if (!keep) own_ = own_before_.back();
  own_before_.pop_back();
}

void LedgerMachine::save(SnapshotWriter& writer) const {
  const auto row = [&](const auto& value) { writer.write({reinterpret_cast<const std::byte*>(&value), sizeof value}); };
  const bool in_files = ledger_.transfers().in_files();
  writer.le(own_.last_commit | (assets_.empty() ? 0 : kAssetsFollow) | (in_files ? kRowFiles : 0) |
            (sessions_.touched() ? kTouchesFollow : 0));
  writer.le<uint64_t>(own_.timer);
  writer.le(own_.timer_due);
  writer.le(ledger_.clock());
  const auto& accounts = ledger_.accounts();
  writer.le(accounts.size());
  for (uint32_t i = 0; i < accounts.size(); ++i) row(accounts[i]);
  if (in_files) {
    files_.save_rows(writer);
  } else {
    const TransferStore& transfers = ledger_.transfers();
    writer.le(transfers.size());
    for (uint32_t i = 0; i < transfers.size(); ++i) {
      row(transfers.body(i));
      writer.le(static_cast<uint8_t>(transfers.status(i)));
    }
  }
  const auto& failed = ledger_.failed_ids();
  writer.le(failed.size());
  for (uint32_t i = 0; i < failed.size(); ++i) row(failed[i]);
  if (!in_files) {
    const auto& history = ledger_.history();
    writer.le(history.size());
    for (uint32_t i = 0; i < history.size(); ++i) {
      const BalanceRow kept = history[i];
      writer.le(kept.transfer);
      writer.le(static_cast<uint8_t>(kept.credit_side));
      row(kept.balance());
    }
  }
  sessions_.save(writer);
  if (!assets_.empty()) assets_.save(writer);
  if (sessions_.touched()) sessions_.save_touches(writer);
}

Result<void> LedgerMachine::restore(SnapshotReader& reader) {
  const auto row = [&](auto& value) {
    if (reader.failed() || !reader.read({reinterpret_cast<std::byte*>(&value), sizeof value})) reader.fail();
  };
  const auto rows = [&](auto take) {
    for (auto count = reader.le<uint32_t>(); count > 0 && !reader.failed(); --count)
      if (!take()) reader.fail();
  };
  ledger_.clear();
  assets_.clear();
  recount_ = running_ = Recount();
  recount_due_ = true;
  recounted_ = {};
  const auto head = reader.le<uint64_t>();
  own_.last_commit = head & ~(kAssetsFollow | kRowFiles | kTouchesFollow);
  const bool in_files = (head & kRowFiles) != 0;
  own_.timer = reader.le<uint64_t>();
  own_.timer_due = reader.le<uint64_t>();
  ledger_.restore_clock(reader.le<uint64_t>());
  rows([&] {
    Account account{};
    row(account);
    return !reader.failed() && ledger_.restore_account(account);
  });
  if (in_files)
    HEPTANE_TRY(files_.restore_rows(reader));
  else
    rows([&] {
      Transfer transfer{};
      row(transfer);
      const auto status = reader.le<uint8_t>();
      return !reader.failed() && status <= static_cast<uint8_t>(PendingStatus::expired) &&
             ledger_.restore_transfer(transfer, static_cast<PendingStatus>(status));
    });
  rows([&] {
    Uint128 id = 0;
    row(id);
    return !reader.failed() && ledger_.restore_failed(id);
  });
  if (!in_files)
    rows([&] {
      const auto transfer = reader.le<uint32_t>();
      const auto side = reader.le<uint8_t>();
      AccountBalance balance{};
      row(balance);
      return !reader.failed() && side <= 1 &&
             ledger_.restore_history({balance.debits_pending, balance.debits_posted, balance.credits_pending,
                                      balance.credits_posted, balance.timestamp, transfer, side});
    });
  if (ledger_.history().size() != ledger_.transfers().balances_due()) reader.fail();
  const bool whole = !reader.failed() && sessions_.restore(reader) &&
                     ((head & kAssetsFollow) == 0 || assets_.restore(reader)) &&
                     ((head & kTouchesFollow) == 0 || sessions_.restore_touches(reader));
  if (!whole) return Error{Errc::corrupt, "the snapshot's ledger does not read back"};
  return {};
}

}  // namespace heptane::fintech
