// The Engine over the projection: threads that run jobs, connections that run statements, and a watch that ends those whose time is
// over. The library is opened, and the projection begins, with the first connection, or at a start that finds its file.
// Threads: as engine.h says; stop() is the I/O thread's and ends all others.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "kernel/net/workers.h"
#include "modules/data/worker/sql/feed.h"
#include "modules/data/worker/sql/statement_run.h"

namespace heptane::data::sql {

struct EngineOptions {
  bool enabled = true;
  FeedOptions feed;
  size_t job_threads = 2;
  uint64_t rows_max = 0;                                   // of one answer; 0: no limit
  uint64_t export_bytes_max = uint64_t{1} << 30;           // of one file
  uint64_t export_free_bytes_min = uint64_t{512} << 20;    // of the disk: the log's, not an export's
  int64_t statement_ns_max = int64_t{60} * 1'000'000'000;  // 0: no limit
  int64_t ready_ns_max =
      int64_t{10} * 1'000'000'000;  // a statement waits so long for a projection that is not there yet
};

struct EngineCounters {
  std::atomic<uint64_t> statements{0};
  std::atomic<uint64_t> statements_failed{0};
  std::atomic<uint64_t> jobs_refused{0};
};

class SqlEngine final : public Engine {
 public:
  static constexpr size_t kJobsMax = 256;  // that wait
  static constexpr size_t kConnectionsMax = 256;
  static constexpr int64_t kWatchNs = 20'000'000;
  static constexpr int64_t kAsOfWaitNs = 1'000'000'000;
  static constexpr int64_t kStopNs = int64_t{5} * 1'000'000'000;

  SqlEngine(streams::HistoryReader& history, net::Workers& workers, EngineOptions options);
  ~SqlEngine() override { stop(); }

  Outcome<std::shared_ptr<Connection>> connect() override;
  bool submit(JobOwner owner, std::shared_ptr<Connection> connection, std::function<void(Connection&)> job) override;

  // Ends every statement and every thread; jobs that wait are dropped. Nothing is answered any more. A thread that DuckDB does not
  // give back within kStopNs (nothing interrupts a function within one value) is left to the end of the process, and said so.
  void stop();
  Feed& feed() { return feed_; }
  const Feed& feed() const { return feed_; }
  const EngineCounters& counters() const { return counters_; }
  size_t connections() const { return connections_.load(std::memory_order_relaxed); }
  size_t jobs() const;

 private:
  friend class SqlConnection;
  struct Job {
    JobOwner owner;
    std::shared_ptr<Connection> connection;
    std::function<void(Connection&)> run;
  };

  void start();
  void run_jobs();
  void watch();
  void end_threads();
  void ended();
  void watch_over(const std::shared_ptr<Running>& running);

  net::Workers& workers_;
  const EngineOptions options_;
  Feed feed_;
  EngineCounters counters_;
  std::atomic<size_t> connections_{0};
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> jobs_;
  std::vector<std::weak_ptr<Running>> watched_;
  std::vector<std::thread> threads_;
  size_t threads_ended_ = 0;
  const std::shared_ptr<std::atomic<bool>> left_ = std::make_shared<std::atomic<bool>>(false);
  bool stopping_ = false;
};

}  // namespace heptane::data::sql
