// Feeds the store from `iot.lines`: a session without a peer reads behind the watermark and hands what it read to the worker, one job
// at a time; in between it has the store write what is due, its upkeep when there is nothing to read, and what is left when it ends,
// which is after the last job. Begins when there is a database. The I/O thread's.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "kernel/net/session.h"
#include "modules/iot/gateway/series/series_store.h"

namespace heptane::iot::series {

class Projection {
 public:
  static constexpr uint32_t kReadBytes = 2 << 20;
  static constexpr int64_t kFlushEveryNs =
      int64_t{3'600} * 1'000'000'000;  // what the log may trim is in files long before

  static constexpr uint64_t kManyFiles = 4'096;  // are said once

  Projection(Disk& disk, std::string directory, uint64_t head_bytes, LogId log_id,
             std::function<void(const std::string&)> report)
      : store_(disk, std::move(directory), head_bytes, log_id), report_(std::move(report)) {}
  ~Projection();
  Projection(const Projection&) = delete;
  Projection& operator=(const Projection&) = delete;

  void attach(net::SessionContext& context);
  void detach();
  // There may be a database now.
  void poke();
  void on_reply(const Reply& reply);
  void on_records(const net::RecordsRead& records);
  void on_worked();
  void on_advanced();
  void on_timer(net::SessionTimerId timer);

  // What a job on the worker may touch; of it this thread asks only what any thread may.
  SeriesStore& store() { return store_; }
  // It shows nothing new any more: queries are told why. Any thread.
  bool failed() const { return failed_.load(std::memory_order_relaxed); }
  const SeriesStore& store() const { return store_; }

 private:
  enum class State : uint8_t { idle, asking, loading, reading, working, waiting, failed };

  void ask();
  void go_on();
  void read();
  void work(State state, std::function<void()> job);
  void retry_later();
  void report_files();
  void keep_up();

  SeriesStore store_;
  std::function<void(const std::string&)> report_;
  net::SessionContext* context_ = nullptr;
  State state_ = State::idle;
  RequestId last_request_ = 0;
  PartitionId partition_ = kNoPartition;
  Offset log_end_ = 0;  // of it, when it was asked for
  bool more_to_load_ = true;
  bool caught_up_ = false;
  bool subscribed_ = false;
  net::SessionTimerId flush_timer_ = 0;
  net::SessionTimerId retry_timer_ = 0;
  bool flush_wanted_ = false;
  bool said_many_files_ = false;
  std::atomic<bool> failed_{false};
};

// Opens the projection's one session.
class ProjectionProtocol final : public net::Protocol {
 public:
  explicit ProjectionProtocol(Projection& projection) : projection_(projection) {}
  std::string_view name() const override { return "series-projection"; }
  std::unique_ptr<net::Session> open(const net::Address& remote) override;
  size_t message_limit_bytes() const override { return 1; }

 private:
  Projection& projection_;
};

}  // namespace heptane::iot::series
