// Keeps the store behind the log: a thread of its own reads what is synced and commits it in chunks, at most one in kChunkNs; in
// between it asks which streams there are. A file that cannot be read, or is of another log, is moved aside and made again.
// Bounds: a chunk is kReadBytes of log and the batch that passes them.
// Threads: start, stop and describe() the I/O thread's; run() its own; the rest any.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "modules/data/worker/sql/store.h"

namespace heptane::data::sql {

struct FeedOptions {
  StoreOptions store;
  std::string library;  // empty: beside the program
  std::function<void(const std::string&)> report;
  std::function<void()> ask_streams;  // any thread: the answer comes by describe()
};

class Feed final : private streams::HistoryVisitor {
 public:
  static constexpr uint64_t kReadBytes = 4 << 20;
  static constexpr size_t kRowsMax = 50'000;  // of an archived stretch in one transaction
  static constexpr int64_t kChunkNs = 50'000'000;
  static constexpr int64_t kAskNs = 1'000'000'000;  // between two looks at the streams
  static constexpr int64_t kRetryNs = 1'000'000'000;

  Feed(streams::HistoryReader& history, FeedOptions options);
  ~Feed() override { stop(); }

  // Begins, if it has not. `stop` ends it within a chunk.
  void start();
  void stop();
  // The streams that there are, as synced.
  void describe(std::vector<streams::StreamInfo> streams);

  // There was a file when the server started: SQL was used before.
  bool file_exists() const;
  enum class State : uint8_t { idle, opening, catching_up, running, failed };
  State state() const { return state_.load(std::memory_order_acquire); }
  // Why it failed; empty: it did not.
  std::string failure() const;
  Sequence applied() const { return applied_.load(std::memory_order_acquire); }
  Sequence durable() const { return history_.durable(); }
  // For how long it has not had all that was there.
  int64_t behind_ns() const;
  uint64_t rebuilds() const { return rebuilds_.load(std::memory_order_relaxed); }
  uint64_t gap_records() const;
  // Until `done` says yes, it stops, or the time is over: asked after every commit and change of state. True: it said yes.
  bool wait(int64_t limit_ns, const std::function<bool()>& done);
  // The store that is open; null: none. It outlives what uses it for the length of a statement.
  std::shared_ptr<Store> store() const;

  // For tests: one turn on the caller's thread; false: there is nothing to do now.
  bool run_once();

 private:
  bool wants(PartitionId partition, Offset end) override { return current_->wants(partition, end); }
  Result<void> take(const streams::HistoryBatch& batch) override;
  void damaged(const std::string& why) override;

  void run();
  bool open();
  bool learn();
  bool go_on();
  void apply(Sequence upto);
  void fail(const Error& error);
  bool make_room(Store& store);
  void set_state(State state);
  bool pause(int64_t ns);

  streams::HistoryReader& history_;
  const FeedOptions options_;
  std::thread thread_;
  std::atomic<bool> stopping_{false};
  std::atomic<State> state_{State::idle};
  std::atomic<Sequence> applied_{0};
  std::atomic<uint64_t> rebuilds_{0};
  std::atomic<int64_t> had_all_ns_{0};  // monotonic
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<Store> store_;
  std::string failure_;
  std::optional<std::vector<streams::StreamInfo>> described_;
  // The thread's.
  std::shared_ptr<Store> current_;
  std::weak_ptr<Store> previous_;  // which statements may still read: its file is not opened a second time meanwhile
  std::optional<std::string> rebuild_;   // why the file is to be made again
  std::set<PartitionId> unknown_;        // of streams that nobody has named yet
  std::set<PartitionId> asked_unknown_;  // likewise, when they were asked for
  bool asked_ = false;
  bool learned_ = false;
  int64_t asked_ns_ = 0;
  Sequence asked_at_ = 0;  // what was applied then
  Sequence target_ = 0;    // what was there when it opened
  int failures_ = 0;
};

}  // namespace heptane::data::sql
