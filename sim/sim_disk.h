// An in-memory disk for the simulator and for property tests: one seed decides what a power cut leaves, what fails and
// in which order commits complete. It keeps two images: the *view*, which running processes see (the page cache), and
// the *platter*, which a power cut leaves. A write is pending until its file is synced, a name until its directory is
// synced: syncing a file does not make its name durable. One thread. Handles must not outlive the disk, and `crash` and
// `process_kill` must not be called from inside one of its calls.
//
// Where file systems differ it takes the harsher reading of POSIX: sectors of 512 bytes survive in any order, sizes and
// contents separately, the pages of a failed sync stay readable and clean and never reach the platter.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/disk.h"
#include "kernel/base/hash128.h"
#include "kernel/base/random.h"

namespace heptane::sim {

// What a power cut leaves of what was pending.
enum class CrashMode : uint8_t {
  lose_all,
  keep_all,
  prefix,   // everything up to one moment, the write of that moment torn
  random,   // of files any sectors; of each directory the first of its changes
  hostile,  // as random, but of directories any changes
};

enum class SimFault : uint8_t {
  write_error,           // Errc::io, nothing written
  write_error_partial,   // Errc::io, the first part written
  no_space,              // Errc::no_space of a write (its first part written) or of allocate
  sync_error,            // Errc::io; what was pending stays readable, counts as clean and is lost in a power cut
  sync_error_partial,    // the same, but any sectors of it did reach the platter
  directory_sync_error,  // the same for the names of a directory
  metadata_error,        // Errc::io of create, allocate, truncate, mkdir, rename, unlink, lock; without effect
  read_error,            // Errc::io of a read, once
  lost_write,            // the device says ok and drops it: readable until the power cut
  misdirected_write,     // lost_write whose sectors land elsewhere, in this file or another
};
constexpr size_t kSimFaultCount = 10;

// Chances of faults; a zero never happens.
struct SimDiskFaults {
  std::array<uint32_t, kSimFaultCount> one_in{};
  uint32_t& operator[](SimFault fault) { return one_in[static_cast<size_t>(fault)]; }
  // A device that acknowledges syncs and does nothing.
  bool lying_sync = false;
  bool lying_directory_sync = false;
};

struct SimDiskOptions {
  uint64_t seed = 1;
  bool immediate = false;                       // write_and_sync completes inside the call
  uint64_t capacity_bytes = uint64_t{1} << 40;  // files cost their size, in pages; holes count
  size_t trace_length = 200;
};

struct SimDiskCounters {
  uint64_t operations = 0;  // that can change something: the counts of `inject` and `crash_after_operations`
  uint64_t reads = 0;
  uint64_t writes = 0;
  uint64_t syncs = 0;
  uint64_t directory_syncs = 0;
  uint64_t bytes_read = 0;
  uint64_t bytes_written = 0;
  uint64_t faults = 0;
  uint64_t crashes = 0;
};

class SimDisk final : public Disk {
 public:
  explicit SimDisk(SimDiskOptions options);
  explicit SimDisk(uint64_t seed) : SimDisk(SimDiskOptions{.seed = seed}) {}
  ~SimDisk() override;

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode, OpenHint hint) override;
  using Disk::open;
  Result<void> make_directory(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& directory) override;
  Result<bool> exists(const std::string& path) override;
  // A directory stays in its parent: moving one elsewhere is Errc::unsupported.
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> unlink(const std::string& path) override;
  Result<void> sync_directory(const std::string& path) override;
  Result<uint64_t> free_bytes(const std::string& path) override;
  Result<std::unique_ptr<DirectoryLock>> lock(const std::string& path) override;

  // The write of write_and_sync is in the view at once; its sync happens in one of these calls and covers what was
  // written before it was issued. False when nothing is pending.
  size_t pending_operations() const;
  bool step();                          // one, chosen by the seed
  bool complete_one(size_t index = 0);  // in the order of issue
  void set_immediate(bool immediate) { immediate_ = immediate; }

  // Power cut: pending changes survive as `mode` says, handles and locks die, completions never come. After it the disk
  // is what a restarted server finds.
  void crash(CrashMode mode) { crash(mode, random_.next()); }
  void crash(CrashMode mode, uint64_t seed);
  // kill -9: the view survives, still pending; handles and locks die, completions never come.
  void process_kill();
  // Since the last power cut a sync of a directory failed and took names with it: they are to be seen and will never be
  // on the platter. A file system does not go on from there, it wants to be mounted anew: crash().
  bool lost_names() const { return lost_names_; }
  // After `count` more operations the next one is cut short (a write torn by sectors); it and everything after it fail
  // with Errc::closed, until crash() or process_kill().
  void crash_after_operations(uint64_t count) { crash_at_operation_ = counters_.operations + count + 1; }
  bool crashed() const { return crashed_; }

  SimDiskFaults& faults() { return faults_; }
  // Once: the first operation that can have this fault after `skip` more operations of any kind.
  void inject(SimFault fault, uint64_t skip = 0) { armed_.push_back({fault, counters_.operations + skip + 1}); }
  void clear_faults();
  void set_capacity(uint64_t bytes) { capacity_bytes_ = bytes; }
  uint64_t used_bytes() const { return used_bytes_; }

  // Rot at rest: changes the platter, and the view where the sector is not pending. flip_bit prefers stored bytes to
  // holes and returns the offset.
  Result<uint64_t> flip_bit(const std::string& path);
  Result<void> corrupt(const std::string& path, uint64_t offset, std::byte xor_mask);
  // Reads of this sector fail with Errc::io until it is written.
  Result<void> make_unreadable(const std::string& path, uint64_t offset);

  // Every file of the view, sorted.
  std::vector<std::string> files() const;
  // What lose_all would leave of a file; Errc::not_found when its name would be lost.
  Result<std::vector<std::byte>> durable_content(const std::string& path) const;
  // Of names, sizes and contents on the platter.
  Hash128 fingerprint() const;
  // A deep copy of disk, faults and seed, without handles, locks and pending operations: to crash one moment many ways.
  std::unique_ptr<SimDisk> clone() const;

  const SimDiskCounters& counters() const { return counters_; }
  // The last operations, one a line.
  std::string trace() const;

 private:
  friend class SimFile;
  friend class SimLock;
  struct Inode;
  struct PendingWrite;
  struct PendingEntry;
  using InodeRef = std::shared_ptr<Inode>;
  struct Place {  // of a name in its directory; `inode` is null when there is none
    InodeRef directory;
    std::string name;
    InodeRef inode;
  };
  struct PendingSync {
    InodeRef inode;
    std::string path;
    uint64_t upto = 0;
    Bytes bytes;
    Hash128 hash;
    Result<void> written;
    File::Completion done;
  };
  struct TraceLine {
    uint64_t operation = 0;
    const char* what = "";
    std::string path;
    uint64_t offset = 0;
    uint64_t length = 0;
    const char* outcome = "";
  };
  struct ArmedFault {
    SimFault fault;
    uint64_t from_operation;
  };
  enum class Admission : uint8_t { run, cut_short, dead };

  // Names (sim_disk.cc).
  Result<Place> find(const std::string& path) const;
  Result<InodeRef> find_directory(const std::string& path) const;
  Result<InodeRef> find_file(const std::string& path) const;
  Result<InodeRef> create_file(const Place& place);
  Result<void> create_directory(const Place& place);
  Result<void> rename_entry(const Place& from, const Place& to);
  Result<void> unlink_entry(const Place& place);
  Result<void> do_sync_directory(Inode& directory);
  void add_pending(const InodeRef& directory, PendingEntry entry);
  static void apply(Inode& directory, const PendingEntry& entry);

  // Operations: admission counts and traces, finish notes the outcome.
  Admission admit(const char* what, const std::string& path, uint64_t offset, uint64_t length);
  template <class T>
  Result<T> finish(Result<T> result);
  template <class Action>
  auto change(const char* what, const std::string& path, uint64_t length, Action&& action) -> decltype(action());
  bool fires(SimFault fault);
  static Error closed();

  // Content (sim_disk_file.cc).
  Result<size_t> read(Inode& file, const std::string& path, uint64_t offset, MutableBytes into);
  Result<void> write(const InodeRef& file, const std::string& path, uint64_t offset, Bytes bytes);
  Result<void> write_with_faults(Inode& file, const std::string& path, uint64_t offset, Bytes bytes);
  void put(Inode& file, uint64_t offset, Bytes bytes);
  void put_elsewhere(const Inode& file, uint64_t offset, uint64_t length);
  Result<void> sync(Inode& file, const std::string& path, uint64_t upto);
  Result<void> do_sync(Inode& file, uint64_t upto);
  Result<void> allocate(Inode& file, const std::string& path, uint64_t size);
  Result<void> truncate(Inode& file, const std::string& path, uint64_t size);
  void write_and_sync(const InodeRef& file, const std::string& path, uint64_t offset, Bytes bytes,
                      File::Completion done);
  void add_pending(Inode& file, PendingWrite write);
  static void apply(Inode& file, const PendingWrite& write, uint8_t sectors, bool with_size);
  static void apply_upto(Inode& file, uint64_t upto);
  bool reserve(Inode& file, uint64_t size);
  void release_if_unused(Inode& inode);

  // Crashes, rot, copies (sim_disk_crash.cc).
  void end_process();
  void recount();
  void survive_entries(Inode& directory, CrashMode mode, SeededRandom& chance, uint64_t cut);
  void survive_writes(Inode& file, CrashMode mode, SeededRandom& chance, uint64_t cut);
  static void adopt_platter(Inode& directory);
  static uint64_t oldest_pending(const Inode& inode, uint64_t oldest);
  static void xor_at_rest(Inode& file, uint64_t offset, std::byte mask);

  SeededRandom random_;
  SimDiskFaults faults_;
  SimDiskCounters counters_;
  std::vector<ArmedFault> armed_;
  InodeRef root_;
  std::deque<PendingSync> pending_syncs_;
  std::vector<TraceLine> trace_;  // a ring; its next line is number traced_
  uint64_t traced_ = 0;
  size_t trace_length_;
  uint64_t last_order_ = 0;  // of pending writes and entries
  uint64_t used_bytes_ = 0;
  uint64_t capacity_bytes_;
  uint64_t process_ = 1;  // handles of an earlier process are dead
  uint64_t crash_at_operation_ = 0;
  bool crashed_ = false;
  bool lost_names_ = false;
  bool immediate_;
};

}  // namespace heptane::sim
