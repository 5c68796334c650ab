// The journal that the preloaded layer writes and the materialiser replays: every file operation below the covered root,
// in the order in which it took effect, with the bytes written.
// Invariant: what lies before Control::end is complete; an append that dies half way never moves it. Everything lives in
// shared file mappings, so nothing is lost when the process is killed at any moment, and no descriptor stays open: a
// child that closes every descriptor goes on being recorded.
// Threads: any thread of any process that has the state directory attached; appends are serialised by kJournalLock.
// No allocation, no C++ runtime, no libc wrappers for system calls: this file is linked into the preloaded library.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace powercut {

inline constexpr uint64_t kSegmentBytes = uint64_t{64} << 20;
inline constexpr uint64_t kPayloadBytesMax = uint64_t{8} << 20;
inline constexpr uint32_t kRecordMagic = 0x50574331;  // "PWC1"
inline constexpr char kControlMagic[8] = {'p', 'o', 'w', 'e', 'r', 'c', 't', '1'};
inline constexpr size_t kPathBytesMax = 4096;

enum class Op : uint16_t {
  kPad,         // the rest of the segment is unused
  kWrite,       // inode, a = offset, b = length, payload (none when kAllZero)
  kTruncate,    // inode, a = size
  kAllocate,    // inode, a = offset, b = length: the size grows to a + b if it was less
  kZero,        // inode, a = offset, b = length: hole or zeroes, the size stays
  kSync,        // inode, a = position at the call: what lies before it is durable now
  kSyncRange,   // as kSync, but of the data only b .. b + c (an O_DSYNC write)
  kSyncFailed,  // inode, a = position at the call: what lies before it stays readable and no later sync persists it
  kSyncAll,     // a = position at the call
  kCreate,      // inode, a = parent, name, mode, b = owner << 32 | group; link target as second name
  kLink,        // inode, a = parent, name
  kUnlink,      // inode, a = parent, name
  kRename,      // inode, a = old parent, name, b = new parent, second name
  kExchange,    // inode and c = the other inode; else as kRename
  kAttributes,  // inode, mode, b = owner << 32 | group; durable at once
};

enum RecordFlags : uint16_t { kAllZero = 1 };

// Fixed part of a record; names and payload follow; the whole is padded to 8 bytes.
struct Record {
  uint32_t magic;
  Op op;
  uint16_t flags;
  uint64_t length;    // of the whole record
  uint64_t position;  // in the journal: segment * kSegmentBytes + offset
  uint64_t inode;
  uint64_t a, b, c;
  uint32_t mode;
  uint16_t name_bytes, second_bytes;
};
static_assert(sizeof(Record) == 64);

inline constexpr int kJournalLock = 0;
inline constexpr int kNamespaceLock = 1;
inline constexpr int kBufferLock = 2;
inline constexpr int kInodeLocks = 3;  // first of the stripes; taken in the order namespace, inode, buffer, journal
inline constexpr int kLockCount = 67;

struct Control {
  char magic[8];
  std::atomic<uint64_t> end;          // journal position behind the last complete record
  std::atomic<uint64_t> sync_calls;   // counts what POWERCUT_LIE_SYNC and POWERCUT_FAIL_SYNC name
  std::atomic<uint64_t> unsupported;  // operations seen that the model cannot express
  uint64_t root_device, root_inode;
  uint32_t fsync_persists_name;  // 1: as ext4 does, fsync of a file also makes its newest name durable
  uint32_t root_path_bytes;
  char root_path[kPathBytesMax];
  alignas(64) std::atomic<uint32_t> locks[kLockCount];
};

// A lock shared by processes: the owner's thread id, taken over when that thread is dead. Signals are blocked while it
// is held, so that no handler can meet its own thread inside.
class Guard {
 public:
  Guard(Control* control, int lock);
  ~Guard();
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

 private:
  std::atomic<uint32_t>* word_;
  uint64_t signal_mask_;
};

class Journal {
 public:
  // Maps STATE/control. False when it is absent or of another version.
  bool attach(const char* state_path);
  // Makes an empty journal. The directory must exist.
  bool create(const char* state_path, const char* root_path, uint64_t device, uint64_t inode);

  Control* control() const { return control_; }
  uint64_t end() const { return control_->end.load(std::memory_order_acquire); }

  // Fills magic, length and position. Ends the process with a message when the state directory is full: a cut that has
  // not been recorded would make every later finding false.
  void append(Record record, const char* name = nullptr, size_t name_bytes = 0, const char* second = nullptr,
              size_t second_bytes = 0, const iovec* payload = nullptr, int payload_count = 0, size_t payload_skip = 0,
              size_t payload_bytes = 0);
  // A write of any length, split into records of at most kPayloadBytesMax. Zeroes cost no space.
  void append_write(uint64_t inode, uint64_t offset, const iovec* data, int count, size_t bytes);

 private:
  std::byte* segment_base(uint64_t segment);

  Control* control_ = nullptr;
  char state_path_[kPathBytesMax] = {};
  std::byte* mapped_ = nullptr;
  uint64_t mapped_segment_ = ~uint64_t{0};
};

// "STATE/journal.000000000012" into out.
void segment_path(char* out, size_t out_bytes, const char* state_path, uint64_t segment);

[[noreturn]] void die(const char* what, const char* detail = "");

}  // namespace powercut
