// Planted bugs: mistakes a storage engine makes in real life, each as a layer between the server and the simulated disk,
// so that the server under test stays the very one that ships. The simulator must find every one of them. One owner.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "kernel/log/batch.h"
#include "sim/sim_disk.h"

namespace heptane::sim {

enum class PlantedBug : uint8_t {
  none,
  ack_before_sync,      // a commit is reported when it is written; its sync comes with the next one
  sync_does_nothing,    // a sync of a file reports success
  drop_durable_upto,    // batches do not say what was synced before them, and there are no snapshots that would
  skip_directory_sync,  // a sync of a directory reports success
  believe_page_cache,   // recovery does not write again what it can read
  // Of the ledger (planted_ledger.h).
  expiry_gives_nothing_back,      // the command of a time-out leaves what was pending
  ids_forgotten_by_restart,       // an id that came out of a snapshot may be used again
  sessions_forgotten_by_restart,  // a repeat of what was answered before a snapshot is a new request
  // Of the exchange (planted_exchange.h).
  cancel_changes_nothing,  // a cancel is acknowledged, and the order stays
};
constexpr std::string_view kBugNames[] = {"none",
                                          "ack-before-sync",
                                          "sync-does-nothing",
                                          "drop-durable-upto",
                                          "skip-directory-sync",
                                          "believe-page-cache",
                                          "expiry-gives-nothing-back",
                                          "ids-forgotten-by-restart",
                                          "sessions-forgotten-by-restart",
                                          "cancel-changes-nothing"};
std::optional<PlantedBug> bug_of(std::string_view name);

class PlantedDisk final : public Disk {
 public:
  PlantedDisk(SimDisk& disk, PlantedBug bug);

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode, OpenHint hint) override;
  using Disk::open;
  Result<void> make_directory(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& directory) override { return disk_.list(directory); }
  Result<bool> exists(const std::string& path) override { return disk_.exists(path); }
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> unlink(const std::string& path) override;
  Result<void> sync_directory(const std::string& path) override;
  Result<uint64_t> free_bytes(const std::string& path) override { return disk_.free_bytes(path); }
  Result<std::unique_ptr<DirectoryLock>> lock(const std::string& path) override { return disk_.lock(path); }

  // The process is dead: what its objects do when they go changes nothing any more.
  void set_process_dead(bool dead) { process_dead_ = dead; }

 private:
  friend class PlantedFile;
  SimDisk& disk_;
  const PlantedBug bug_;
  bool process_dead_ = false;
  // drop_durable_upto: the chain value the log believes the last batch to have, and the one it has.
  log::ChainValue believed_chain_{};
  log::ChainValue written_chain_{};
};

}  // namespace heptane::sim
