#include <cstring>

#include "modules/fintech/machine/ledger/view_numbers.h"
#include "modules/fintech/machine/ledger/views.h"

namespace heptane::fintech {

namespace {

constexpr uint16_t kTakes =
    transfer_flags::kPost | transfer_flags::kVoid | transfer_flags::kBalancingDebit | transfer_flags::kBalancingCredit;
constexpr uint16_t kClosing = transfer_flags::kClosingDebit | transfer_flags::kClosingCredit;
constexpr size_t kFlagsAt = offsetof(Transfer, flags);
constexpr size_t kEventBytes = sizeof(Transfer);

uint16_t taken_of(const Transfer& sent, const Transfer& stored) {
  uint16_t took = 0;
  const auto note = [&took](bool differs, Took bit) {
    if (differs) took |= bit;
  };
  note(stored.amount != sent.amount, kTookAmount);
  note(stored.debit_account_id != sent.debit_account_id, kTookDebit);
  note(stored.credit_account_id != sent.credit_account_id, kTookCredit);
  note(stored.ledger != sent.ledger, kTookLedger);
  note(stored.code != sent.code, kTookCode);
  note(stored.user_data_128 != sent.user_data_128, kTookUserData128);
  note(stored.user_data_64 != sent.user_data_64, kTookUserData64);
  note(stored.user_data_32 != sent.user_data_32, kTookUserData32);
  return took;
}

uint32_t sides(uint16_t flags) {
  return ((flags & transfer_flags::kClosingDebit) != 0 ? 1U : 0U) +
         ((flags & transfer_flags::kClosingCredit) != 0 ? 1U : 0U);
}

}  // namespace

void ViewNote::begin(const OperationRow& row, uint64_t first_timestamp, size_t events) {
  begin(row.operation == Operation::create_accounts ? NoteForm::accounts : NoteForm::transfers, first_timestamp,
        events);
}

void ViewNote::begin_chain(uint64_t first_timestamp, size_t events) { begin(NoteForm::chain, first_timestamp, events); }

void ViewNote::begin(NoteForm form) {
  form_ = form;
  transfers_ = accounts_ = 0;
  index_ = 0;
  created_.clear();
  head_.clear();
  taken_.clear();
  head_.u8(static_cast<uint8_t>(form_));
}

void ViewNote::begin(NoteForm form, uint64_t first_timestamp, size_t events) {
  begin(form);
  created_.assign((events + 7) / 8, std::byte{0});
  head_.le(first_timestamp);
  head_.varint(events);
}

void ViewNote::add(Bytes events, std::span<const CreateResult> results, const Ledger& ledger) {
  static_assert(sizeof(Account) == kEventBytes);
  for (const CreateResult& result : results) {
    const std::byte* event = events.data();
    events = events.subspan(kEventBytes);
    const size_t index = index_++;
    if (result.status != static_cast<uint32_t>(TransferStatus::created)) continue;
    created_[index / 8] |= std::byte{1} << (index % 8);
    if (form_ == NoteForm::accounts) {
      ++accounts_;
      continue;
    }
    ++transfers_;
    const auto flags = load_le<uint16_t>(event + kFlagsAt);
    accounts_ += sides(flags);
    if ((flags & kTakes) == 0) continue;
    Transfer sent;
    std::memcpy(&sent, event, sizeof sent);
    add_transfer(sent, ledger);
  }
}

void ViewNote::add_chain(std::span<const Transfer> sent, const Ledger& ledger) {
  for (const Transfer& transfer : sent) {
    const size_t index = index_++;
    created_[index / 8] |= std::byte{1} << (index % 8);
    ++transfers_;
    accounts_ += sides(transfer.flags);
    add_transfer(transfer, ledger);
  }
}

void ViewNote::add_transfer(const Transfer& sent, const Ledger& ledger) {
  Transfer stored;
  const bool found = ledger.find_transfer(sent.id, stored);
  HEPTANE_ASSERT(found, "a created transfer is not there");
  const auto took = static_cast<uint16_t>(taken_of(sent, stored) | reopened_by(sent, ledger));
  taken_.varint(took);
  if ((took & kTookAmount) != 0) put_number(taken_, stored.amount);
  if ((took & kTookDebit) != 0) put_number(taken_, stored.debit_account_id);
  if ((took & kTookCredit) != 0) put_number(taken_, stored.credit_account_id);
  if ((took & kTookLedger) != 0) taken_.varint(stored.ledger);
  if ((took & kTookCode) != 0) taken_.varint(stored.code);
  if ((took & kTookUserData128) != 0) put_number(taken_, stored.user_data_128);
  if ((took & kTookUserData64) != 0) taken_.varint(stored.user_data_64);
  if ((took & kTookUserData32) != 0) taken_.varint(stored.user_data_32);
}

// Took, and counts those accounts.
uint16_t ViewNote::reopened_by(const Transfer& sent, const Ledger& ledger) {
  Transfer pending;
  if (!sent.has(transfer_flags::kVoid) || !ledger.find_transfer(sent.pending_id, pending)) return 0;
  uint16_t took = 0;
  if (pending.has(transfer_flags::kClosingDebit)) took |= kReopenedDebit;
  if (pending.has(transfer_flags::kClosingCredit)) took |= kReopenedCredit;
  accounts_ += sides(pending.flags);
  return took;
}

void ViewNote::begin_port(NoteForm form) { begin(form); }

void ViewNote::add_port(const Transfer& sent, const CreateResult& result, const Ledger& ledger) {
  Transfer stored = sent;
  stored.timestamp = result.timestamp;
  if ((sent.flags & kTakes) != 0) {
    const bool found = ledger.find_transfer(sent.id, stored);
    HEPTANE_ASSERT(found, "a created transfer is not there");
  }
  ++transfers_;
  accounts_ += sides(stored.flags);
  NumberBytes bytes;
  bytes.varint(reopened_by(sent, ledger));
  for (const Uint128 number : {stored.id, stored.debit_account_id, stored.credit_account_id, stored.amount,
                               stored.pending_id, stored.user_data_128})
    bytes.number(number);
  for (const uint64_t number : {stored.user_data_64, uint64_t{stored.user_data_32}, uint64_t{stored.timeout},
                                uint64_t{stored.ledger}, uint64_t{stored.code}, uint64_t{stored.flags}})
    bytes.varint(number);
  bytes.le(stored.timestamp);
  taken_.append(bytes.view());
}

void ViewNote::add_port(const Account& stored) {
  ++accounts_;
  NumberBytes bytes;
  bytes.number(stored.id);
  bytes.number(stored.user_data_128);
  for (const uint64_t number : {stored.user_data_64, uint64_t{stored.user_data_32}, uint64_t{stored.reserved},
                                uint64_t{stored.ledger}, uint64_t{stored.code}, uint64_t{stored.flags}})
    bytes.varint(number);
  bytes.le(stored.timestamp);
  taken_.append(bytes.view());
}

void ViewNote::begin_expiry(uint64_t timestamp) {
  begin(NoteForm::expiry);
  head_.le(timestamp);
}

void ViewNote::add_expired(std::span<const Transfer> closing) {
  for (const Transfer& pending : closing) {
    const bool debit = pending.has(transfer_flags::kClosingDebit);
    const bool credit = pending.has(transfer_flags::kClosingCredit);
    put_number(taken_, pending.id);
    taken_.u8(static_cast<uint8_t>((debit ? 1 : 0) | (credit ? 2 : 0)));
    if (debit) put_number(taken_, pending.debit_account_id);
    if (credit) put_number(taken_, pending.credit_account_id);
    accounts_ += sides(pending.flags & kClosing);
  }
}

Bytes ViewNote::finish() {
  if (transfers_ == 0 && accounts_ == 0) {
    head_.clear();
    head_.u8(static_cast<uint8_t>(NoteForm::nothing));
    return head_.view();
  }
  head_.append(created_);
  head_.append(taken_.view());
  return head_.view();
}

}  // namespace heptane::fintech
