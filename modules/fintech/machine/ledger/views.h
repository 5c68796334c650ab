// The ledger's views: `fintech.transfers` has one record for each created transfer, `fintech.accounts` one for each account
// created, closed or opened again. Nobody stores them: they are rendered from the commands (kernel/shard/views.h).
//
// The command says what was sent; a note beside it in its entry says what came of it: the first timestamp, a bit for each
// event that was created, and what a transfer took from the pending one it resolves or from a balance. The JSON says the
// same for ever: what a note of today means, later programs must still know. Any thread, but for the note's writer.
//
// Note, little-endian: form u8. nothing: no more. accounts, transfers: first timestamp u64, events varint, then a bit for
// each event, 1 = created; of transfers then, for each created one that resolves or balances: Took varint and what it says
// was taken, in order of the bits. chain: as transfers, for the transfers of a transaction's operation, with Took for each
// of them: its amount may have been said in decimals of an asset. expiry: timestamp u64, then until the end, for each pending
// transfer that had closed an account: id, sides u8 (1 debit, 2 credit), the id of the account of each side that is set.
// port_transfers, port_accounts, what another machine made in its own command, which the ledger cannot read: until the end,
// the stored ones whole: of a transfer Took varint (what was opened again), id, both accounts, amount, pending id, user data
// 128 as numbers; user data 64 and 32, time-out, ledger, code, flags as varints; timestamp u64. Of an account its id, user
// data 128; user data 64 and 32, owner, ledger, code, flags; timestamp.
// Numbers of 128 bits: their count of bytes u8, then those.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "kernel/shard/views.h"
#include "modules/fintech/domain/ledger/ledger.h"
#include "modules/fintech/domain/ledger/operations.h"
#include "modules/fintech/machine/ledger/api.h"

namespace heptane::fintech {

constexpr ViewId kTransfersView{kLedgerMachineId, 1};
constexpr ViewId kAccountsView{kLedgerMachineId, 2};
constexpr std::string_view kTransfersStream = "fintech.transfers";
constexpr std::string_view kAccountsStream = "fintech.accounts";

// How a note begins.
enum class NoteForm : uint8_t {
  nothing = 0,
  accounts = 1,
  transfers = 2,
  expiry = 3,
  chain = 4,
  port_transfers = 5,
  port_accounts = 6,
};

// What the stored transfer has other than the sent one; and the accounts that voiding opened again.
enum Took : uint16_t {
  kTookAmount = 1 << 0,
  kTookDebit = 1 << 1,
  kTookCredit = 1 << 2,
  kTookLedger = 1 << 3,
  kTookCode = 1 << 4,
  kTookUserData128 = 1 << 5,
  kTookUserData64 = 1 << 6,
  kTookUserData32 = 1 << 7,
  kReopenedDebit = 1 << 8,
  kReopenedCredit = 1 << 9,
};

// Collects the note of one command, and how many records it makes. Reused; the shard thread's.
class ViewNote {
 public:
  void begin(const OperationRow& row, uint64_t first_timestamp, size_t events);
  // The next events, and what the ledger, which has them now, answered.
  void add(Bytes events, std::span<const CreateResult> results, const Ledger& ledger);
  // Transfers that were all created, as they were sent.
  void begin_chain(uint64_t first_timestamp, size_t events);
  void add_chain(std::span<const Transfer> sent, const Ledger& ledger);
  // What another machine created.
  void begin_port(NoteForm form);
  void add_port(const Transfer& sent, const CreateResult& result, const Ledger& ledger);
  void add_port(const Account& stored);
  void begin_expiry(uint64_t timestamp);
  // Pending transfers with a closing flag, whose accounts their expiry opened again.
  void add_expired(std::span<const Transfer> closing);

  uint32_t transfers() const { return transfers_; }
  uint32_t accounts() const { return accounts_; }
  Bytes finish();  // valid until the next begin

 private:
  void begin(NoteForm form);
  void begin(NoteForm form, uint64_t first_timestamp, size_t events);
  uint16_t reopened_by(const Transfer& sent, const Ledger& ledger);
  void add_transfer(const Transfer& sent, const Ledger& ledger);

  NoteForm form_ = NoteForm::nothing;
  uint32_t transfers_ = 0;
  uint32_t accounts_ = 0;
  size_t index_ = 0;
  std::vector<std::byte> created_;  // bits
  ByteWriter head_;
  ByteWriter taken_;
};

// The machine's renderer.
void render_view(const LoggedCommand& logged, uint16_t number, RecordWriter& out);

}  // namespace heptane::fintech
