// The sorted runs over the row files of one RowStore: which rows have a key. Files beside the row files (run_file.h), made by
// the helper out of them, one by one, when they are there; those that a start finds are taken when they are of the same rows,
// others are made again. Rows in memory, and files that have no runs yet, are looked at one by one, so that what is found
// never depends on them. Nothing of it is state, and apply() never looks.
// Threads: the shard's, but for write_next (the helper's). In memory: 4 KiB for a file.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/base/spsc_ring.h"
#include "kernel/rows/row_store.h"
#include "kernel/rows/run_file.h"

namespace heptane::rows {

class RunStore {
 public:
  // Of each field of a row; nullopt: nobody searches for it.
  using Keys = void (*)(const std::byte* row, std::optional<uint32_t>* keys);
  enum class Found : uint8_t {
    yes,
    not_yet,  // it would wait for the disk: expect() it and ask again in a little while
    no_runs,  // look at all rows
  };

  RunStore(const RowShape& rows, uint32_t fields, Keys keys);
  RunStore(const RunStore&) = delete;
  RunStore& operator=(const RunStore&) = delete;

  void open(const RowPlace& place) { place_ = place; }
  // Between two commands, never in replay: hands files to the helper that have no runs, takes those it has made.
  void settle(const RowStore& rows);
  // Helper: the next file, if there is one to make. True: there may be more. A full disk is tried again later.
  Result<bool> write_next();
  void clear();

  // How many blocks a search reads; nullopt: all rows have to be looked at.
  std::optional<uint32_t> blocks_of(uint32_t file, uint32_t field, uint32_t key) const;
  // Appends the rows of the file that have the key, in their order.
  Found find(uint32_t file, uint32_t field, uint32_t key, bool may_wait, std::vector<uint32_t>& rows) const;
  void expect(uint32_t file, uint32_t field, uint32_t key) const;
  uint64_t blocks_read() const { return blocks_read_; }

  // Makes the runs of all files again and compares; a line for each problem. Files without runs are none.
  void verify(const RowStore& rows, std::vector<std::string>& problems) const;
  // How many files have runs.
  uint32_t files() const { return files_with_runs_; }
  uint64_t memory_bytes() const { return uint64_t{files_with_runs_} * kBlockBytes; }

 private:
  static constexpr size_t kUnderWayMost = 1024;
  static constexpr size_t kOpenFiles = 64;

  struct Job {
    uint32_t number = 0;
    Hash128 rows_hash;
    bool again = false;  // whatever is there
  };
  struct Made {
    uint32_t number = 0;
    std::unique_ptr<RunHead> head;  // null: the rows cannot be read
  };
  struct OpenFile {
    uint32_t number = UINT32_MAX;
    std::unique_ptr<File> file;
  };

  std::unique_ptr<RunHead> head_in_file(const Job& job) const;
  Result<std::vector<std::byte>> make(uint32_t number, const Hash128& rows_hash) const;
  bool hand_over(const RowStore& rows, uint32_t number, bool again);
  File* file_of(uint32_t number) const;
  void lose(uint32_t number) const;

  const RowShape rows_;
  const RunShape shape_;
  const Keys keys_;
  RowPlace place_;
  uint32_t handed_over_ = 0;
  uint32_t under_way_ = 0;
  SpscRing<Job> to_make_{kUnderWayMost};
  SpscRing<Made> made_{kUnderWayMost};

  // A look at files changes nothing, but that damaged ones are made again.
  mutable std::vector<std::unique_ptr<RunHead>> heads_;  // null: none
  mutable uint32_t files_with_runs_ = 0;
  mutable std::vector<uint32_t> lost_;
  mutable std::vector<OpenFile> files_{kOpenFiles};
  mutable std::vector<std::byte> block_;
  mutable uint64_t blocks_read_ = 0;
  mutable Patience patience_;
};

}  // namespace heptane::rows
