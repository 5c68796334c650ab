// The row files of the ledger (kernel/rows) and the part of its snapshots that names them. A ledger with less than one file of
// everything is saved as it always was: every row.
#pragma once

#include "kernel/shard/machine_files.h"
#include "kernel/shard/snapshot_io.h"
#include "modules/fintech/domain/ledger/ledger.h"

namespace heptane::fintech {

class LedgerFiles final : public MachineFiles {
 public:
  explicit LedgerFiles(Ledger& ledger) : ledger_(ledger) {}

  // Before open(): how much memory may hold of blocks with bodies of transfers that were read.
  void set_cache_bytes(uint64_t bytes) { cache_bytes_ = bytes; }
  void open(const FilePlace& place) override;
  void set_waits(bool waits) { waits_ = waits; }
  bool waits() const override { return waits_; }
  std::vector<uint32_t> named() override;
  std::vector<uint32_t> durable() const override;
  Result<bool> write_next() override;
  uint32_t verify(std::vector<std::string>& problems) const override;
  // Of the commands that create; ports of other machines read what they need themselves.
  std::unique_ptr<Prefetch> prefetch(const Command& command) const override;

  // Behind what was read for a command: ends the process when that was not there. True: it ends.
  bool end_if_unreadable() const;

  // Rows: of each store how many, the hashes of its full files and the rows behind them; then number, status and (of those
  // still pending) body of every transfer that is or was pending.
  void save_rows(SnapshotWriter& writer) const;
  // Errc::refused names a file that is not there; Errc::corrupt; Errc::closed: it was to end.
  Result<void> restore_rows(SnapshotReader& reader);

 private:
  class Fetch;
  void open_store(rows::RowStore& store, const rows::RowPlace& place) const;
  TransferStore& transfers() { return ledger_.stored_transfers(); }

  Ledger& ledger_;
  uint64_t cache_bytes_ = 0;
  bool waits_ = false;
  std::function<void(const Error&)> on_fatal_;
  std::function<bool(uint64_t done, uint64_t total)> on_progress_;
};

}  // namespace heptane::fintech
