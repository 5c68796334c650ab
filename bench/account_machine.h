// The machine that the benches drive: a dense table of accounts, as many as wanted, so that the state has the size that is
// measured. A transfer changes two rows, keeps its note and emits one event. The shard thread's.
#pragma once

#include <array>
#include <vector>

#include "kernel/base/huge_allocator.h"
#include "kernel/shard/effects.h"
#include "kernel/shard/snapshot_io.h"
#include "kernel/shard/state_machine.h"
#include "kernel/streams/streams_machine.h"

namespace heptane::bench {

constexpr MachineId kAccountsId = machine_ids::kFirstTest + 16;
constexpr CommandType kTransfer = 1;
constexpr size_t kTransferBytes = 128;
constexpr size_t kNoteBytes = kTransferBytes - 16;
constexpr size_t kChangeBytes = 32;  // of the event

// Little-endian: from u32, to u32, amount i64, note.
inline void encode_transfer(std::byte* at, uint32_t from, uint32_t to, int64_t amount, uint64_t note) {
  store_le<uint32_t>(at, from);
  store_le<uint32_t>(at + 4, to);
  store_le<int64_t>(at + 8, amount);
  for (size_t i = 0; i < kNoteBytes; i += 8) store_le<uint64_t>(at + 16 + i, note ^ (i * 0x9E3779B97F4A7C15ULL));
}

class AccountMachine final : public StateMachine {
 public:
  struct Account {
    int64_t balance;
    uint64_t changes;
    std::array<std::byte, kNoteBytes> note;
  };
  static_assert(sizeof(Account) == 128);

  explicit AccountMachine(size_t accounts) : count_(accounts) {}

  MachineId id() const override { return kAccountsId; }
  std::string_view name() const override { return "bench_accounts"; }

  void apply(const Command& command, Effects& effects) override {
    if (command.payload.size() != kTransferBytes) return effects.refuse(Errc::invalid_argument, 0, "not a transfer");
    if (accounts_.empty()) accounts_.resize(count_, Account{});
    const std::byte* at = command.payload.data();
    const size_t from = row_of(load_le<uint32_t>(at));
    const size_t to = row_of(load_le<uint32_t>(at + 4));
    const auto amount = load_le<int64_t>(at + 8);
    if (amount <= 0 || amount > kAmountLimit) return effects.refuse(Errc::refused, 1, "the amount is out of range");
    auto& streams = effects.port<streams::StreamsMachine>(machine_ids::kStreams);
    if (changes_ == kNoPartition) changes_ = streams.ensure_stream("bench.changes", command.sequence);
    accounts_[from].balance -= amount;
    accounts_[to].balance += amount;
    ++accounts_[to].changes;
    std::memcpy(accounts_[to].note.data(), at + 16, kNoteBytes);
    std::byte change[kChangeBytes];
    std::copy_n(at, 16, change);
    store_le<int64_t>(change + 16, accounts_[from].balance);
    store_le<int64_t>(change + 24, accounts_[to].balance);
    effects.emit(Event{changes_, {}, false, change});
    effects.reply(accounts_[from].balance, accounts_[to].balance);
  }

  void expect(const Command& command) const override {
    if (command.payload.size() != kTransferBytes || accounts_.empty()) return;
    const std::byte* at = command.payload.data();
    __builtin_prefetch(&accounts_[row_of(load_le<uint32_t>(at))], 1);
    const Account& to = accounts_[row_of(load_le<uint32_t>(at + 4))];
    __builtin_prefetch(&to, 1);
    __builtin_prefetch(reinterpret_cast<const std::byte*>(&to) + 64, 1);  // the rest of its note
  }

  void query(const Query& query, Reply& reply) const override {
    ByteReader reader(query.payload);
    const size_t account = row_of(reader.le<uint32_t>());
    if (accounts_.empty()) return;
    reply.numbers = {accounts_[account].balance, static_cast<int64_t>(accounts_[account].changes)};
  }

  // Transfers are whole or refused before they begin: nothing to undo.
  void open_scope() override {}
  void close_scope(ScopeOutcome) override {}
  uint64_t memory_bytes() const override { return accounts_.size() * sizeof(Account); }

  void save(SnapshotWriter& writer) const override {
    writer.le<uint64_t>(accounts_.size());
    writer.write(std::as_bytes(std::span(accounts_)));
  }
  Result<void> restore(SnapshotReader& reader) override {
    const auto count = reader.le<uint64_t>();
    if (count != 0 && count != count_) return Error{Errc::corrupt, "the accounts have another number"};
    accounts_.resize(count);
    if (!reader.read(std::as_writable_bytes(std::span(accounts_))))
      return Error{Errc::corrupt, "the accounts do not read back"};
    return {};
  }

  int64_t total() const {
    int64_t sum = 0;
    for (const Account& account : accounts_) sum += account.balance;
    return sum;
  }
  uint64_t changes() const {
    uint64_t sum = 0;
    for (const Account& account : accounts_) sum += account.changes;
    return sum;
  }

 private:
  static constexpr int64_t kAmountLimit = int64_t{1} << 40;
  // Spreads all numbers over the rows without a division.
  size_t row_of(uint32_t number) const { return static_cast<size_t>(uint64_t{number} * count_ >> 32); }

  const size_t count_;
  PartitionId changes_ = kNoPartition;                     // remembered, no state: it follows from the streams'
  std::vector<Account, HugeAllocator<Account>> accounts_;  // empty before the first transfer
};

}  // namespace heptane::bench
