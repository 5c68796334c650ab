// The rows of files that creating accounts or transfers will look at: found before, brought into memory some at a time, and
// held there as long as this lives (TransferStore::held). They are
// - transfers that may have an event's id, by its fingerprint, and those that such ones posted or voided;
// - transfers that an event posts or voids, also when they are pending and in memory: the command itself resolves them;
// - of imported events those whose time is compared.
// What other commands do meanwhile may add some. Not state; the ledger outlives it but for its destructor; its thread.
#pragma once

#include <memory>
#include <vector>

#include "modules/fintech/domain/ledger/ledger.h"
#include "modules/fintech/domain/ledger/scan.h"

namespace heptane::fintech {

class TransferFetch {
 public:
  explicit TransferFetch(const Ledger& ledger) : ledger_(ledger), held_(ledger.transfers().held()) {}
  TransferFetch(TransferFetch&&) = default;
  TransferFetch& operator=(TransferFetch&&) = delete;
  ~TransferFetch();

  // Whole events of 128 bytes.
  void add_transfers(Bytes events);
  void add_accounts(Bytes events);
  // Nothing is lacking.
  bool empty() const { return wanted_.empty() && times_.empty(); }

  // done: all are held. What cannot be read is zeros, see Ledger::take_damage.
  Scanned step(Slice& slice);

 private:
  struct Places {  // where an event's ids are looked for
    TransferIds::Place id{};
    TransferIds::Place pending{};
    bool resolves = false;
  };

  Places expect(const std::byte* event) const;
  void want(uint32_t number);
  void want_at(const TransferIds::Place& place);
  bool want_time();
  bool ready(uint32_t number);
  void hold(uint32_t number);

  const Ledger& ledger_;
  std::shared_ptr<TransferStore::HeldBodies> held_;
  std::vector<uint32_t> wanted_;  // those before next_ are held
  size_t next_ = 0;
  size_t expected_ = 0;          // those before it are on their way
  std::vector<uint64_t> times_;  // of imported accounts
};

}  // namespace heptane::fintech
