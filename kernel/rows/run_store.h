// The sorted runs over the row files of one RowStore: which rows have a key. Files beside the row files (run_file.h), made by
// the helper out of them, one by one, when they are there; those that a start finds are taken when they are of the same rows,
// others are made again. Rows in memory, and files that have no runs yet, are looked at one by one, so that what is found
// never depends on them. Nothing of it is state, and apply() never looks.
//
// 16 files' runs are merged into one file more, and 16 of those again (run_merge.h), as soon as they are there: a search reads the
// largest runs that know its key. The smaller ones stay for keys that are common in the larger. A merge that was given up (a part is
// damaged and is made again; the disk has no room) is tried again: when a part of it has come, else after ever more turns.
// Threads: the shard's, but for write_next (the helper's). In memory: 4 KiB for a file, and of merged ones 4 bytes a block.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernel/base/spsc_ring.h"
#include "kernel/rows/row_store.h"
#include "kernel/rows/run_file.h"
#include "kernel/rows/run_merge.h"

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

  void open(const RowPlace& place) {
    place_ = place;
    files_ = std::vector<OpenFile>(place.open_files);
    if (place.writable) RunMerge::remove_leftover(*place.disk, place.directory);
  }
  // Between two commands, never in replay: hands files to the helper that have no runs, takes those it has made.
  void settle(const RowStore& rows);
  // Helper: the next file, if there is one to make. True: there may be more. A full disk is tried again later.
  Result<bool> write_next();
  void clear();

  // The largest runs with rows of the file that know one of the keys, and the field that is found with the fewest blocks.
  struct Choice {
    RunPlace place;
    uint32_t field = 0;
  };
  // `keys`: of each field; nullopt: not asked for. None: all rows have to be looked at.
  std::optional<Choice> choose(uint32_t file, std::span<const std::optional<uint32_t>> keys) const;
  // How many blocks a search reads; nullopt: all rows have to be looked at.
  std::optional<uint32_t> blocks_of(RunPlace place, uint32_t field, uint32_t key) const;
  // Appends the rows that have the key, in their order, counted from the first of the place's files.
  Found find(RunPlace place, uint32_t field, uint32_t key, bool may_wait, std::vector<uint32_t>& rows) const;
  void expect(RunPlace place, uint32_t field, uint32_t key) const;
  uint64_t blocks_read() const { return blocks_read_; }

  // Runs of the file were made, or were tried to.
  bool answered(uint32_t file) const { return file < levels_[0].answered; }

  // Makes the runs of all files again and compares, reads merged ones; a line for each problem. Files without runs are none.
  void verify(const RowStore& rows, std::vector<std::string>& problems) const;
  // How many files of a level have runs.
  uint32_t files(uint32_t level = 0) const { return levels_[level].with_runs; }
  uint64_t memory_bytes() const { return memory_bytes_; }

 private:
  static constexpr size_t kUnderWayMost = 1024;
  // Of merges that were given up: turns until the first time, four times as many until each of the next ones, then as many again.
  static constexpr uint64_t kRetryTurns = 1024;
  static constexpr uint32_t kRetriesRarer = 5;  // behind them parts that come have nothing tried sooner
  static constexpr uint64_t kFreeBytesMin = uint64_t{256} << 20;  // that merged runs leave to others

  struct Job {
    RunPlace place;
    std::vector<Hash128> hashes;  // of level 0 that of the rows, else what its parts name
    bool again = false;           // whatever is there
  };
  struct Made {
    RunPlace place;
    std::unique_ptr<RunHead> head;  // null: what it is made of cannot be read, or there is no room
    std::optional<RunPlace> damaged{};
  };
  struct GivenUp {
    RunPlace place;
    uint32_t tries = 0;
    uint64_t due = 0;  // turn
  };
  struct OpenFile {
    RunPlace place{RunPlace::kLevels, 0};
    std::unique_ptr<File> file;
  };
  struct Level {
    std::vector<std::unique_ptr<RunHead>> heads;  // null: none
    uint32_t handed_over = 0;
    uint32_t answered = 0;  // of those, in their order
    uint32_t with_runs = 0;
  };

  static Hash128 hash_of(const Job& job) { return job.place.level == 0 ? job.hashes[0] : hash_of_parts(job.hashes); }
  Result<bool> make(const Job& job, Made& made);
  Result<void> make_rows(const Job& job, Made& made) const;
  Result<bool> merge(const Job& job, Made& made);
  bool room_for(uint64_t bytes) const;
  std::unique_ptr<File> open_run(RunPlace place) const;
  std::unique_ptr<RunHead> head_in_file(File& file, RunPlace place, const Hash128& hash) const;
  Result<std::vector<std::byte>> run_of_rows(uint32_t number, const Hash128& rows_hash) const;
  void take(Made made);
  std::vector<Hash128> hashes_for(const RowStore& rows, RunPlace place) const;
  bool hand_over(const RowStore& rows, RunPlace place, bool again);
  void hand_over_level(const RowStore& rows, uint32_t level);
  bool whole(RunPlace place) const;
  void give_up(RunPlace place);
  void came(RunPlace place);
  void retry(const RowStore& rows);
  const RunHead* head_of(RunPlace place) const;
  OpenFile& slot_of(RunPlace place) const { return files_[(place.number + place.level * 7) % files_.size()]; }
  File* file_of(RunPlace place) const;
  void lose(RunPlace place) const;
  void verify_merged(const RowStore& rows, RunPlace place, std::vector<std::string>& problems) const;

  const RowShape rows_;
  const RunShape shape_;
  const Keys keys_;
  RowPlace place_;
  uint32_t under_way_ = 0;
  SpscRing<Job> to_make_{kUnderWayMost};
  SpscRing<Made> made_{kUnderWayMost};
  std::unique_ptr<RunMerge> merge_;  // the helper's; of the job that is next
  uint64_t turns_ = 0;               // settle()
  std::vector<GivenUp> given_up_;

  // A look at files changes nothing, but that damaged ones are made again.
  mutable std::array<Level, RunPlace::kLevels> levels_;
  mutable uint64_t memory_bytes_ = 0;
  mutable std::vector<RunPlace> lost_;
  mutable std::vector<OpenFile> files_;
  mutable std::vector<std::byte> block_;
  mutable uint64_t blocks_read_ = 0;
  mutable Patience patience_;
};

}  // namespace heptane::rows
