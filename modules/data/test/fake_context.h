// A SessionContext with a small model of the streams machine and the real consumer offsets behind it: what a session asks is answered in order when
// `deliver` is called; refusals, full queues, held answers and the clock are the test's to say. Test support.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kernel/net/session.h"
#include "kernel/shard/command_run.h"
#include "kernel/streams/api.h"
#include "modules/data/machine/consumer_offsets/consumer_offsets.h"

namespace heptane::data::kafka::test {

class FakeContext final : public net::SessionContext {
 public:
  explicit FakeContext(net::Session& session) : session_(session) { machines_.add(offsets_); }

  // The script.
  void create_stream(const std::string& name, uint32_t partitions, streams::StreamConfig config = {});
  void grow_stream(const std::string& name, uint32_t partitions);
  void delete_stream(const std::string& name);
  // Its records are kept for ever.
  void keep_stream(const std::string& name) { streams_.at(name).kept = true; }
  void append_from_elsewhere(const std::string& name, uint32_t partition, Bytes batch);
  void refuse_next(Errc code, uint32_t detail) { refusals_.push_back({code, detail}); }
  void fail_next_read(Errc code) { read_error_ = code; }
  void repeat_next_append(Offset offset) { repeat_ = offset; }
  void fill_queue(int times) { full_ = times; }
  void hold(bool held) { held_ = held; }
  void deliver();  // answers what was asked, unless held, until nothing is left
  void pass_time(int64_t ns);
  void stall_output(bool stalled) { output_stalled_ = stalled; }

  // What was seen.
  std::string output;            // since it was last cleared
  std::vector<std::string> log;  // commands in the order in which they came
  std::optional<std::string> closed;
  bool paused = false;
  size_t needed = 0;
  size_t outstanding() const { return answers_.size(); }
  size_t subscriptions() const { return subscriptions_.size(); }
  size_t timers() const { return timers_.size(); }

  void write(Buffer bytes) override;
  void close(net::CloseReason reason, std::string_view why) override;
  void need(size_t bytes) override { needed = bytes; }
  void pause_input(bool pause) override { paused = pause; }
  bool submit(RequestId request, Submission submission) override;
  bool query(RequestId request, QueryRequest query) override;
  bool read(RequestId request, ReadRequest read) override;
  net::SubscriptionId subscribe(PartitionId partition, Offset from) override;
  void unsubscribe(net::SubscriptionId subscription) override;
  net::SessionTimerId arm(int64_t delay_ns) override;
  void cancel(net::SessionTimerId timer) override { timers_.erase(timer); }
  int64_t monotonic_ns() const override { return now_ns_; }
  int64_t utc_ns() const override { return 1'700'000'000'000'000'000 + now_ns_; }
  SessionId id() const override { return 1; }
  const net::Address& local() const override { return local_; }
  const net::Address& remote() const override { return remote_; }
  size_t output_bytes() const override { return output_stalled_ ? output.size() : 0; }

 private:
  struct Partition {
    std::vector<Buffer> batches;
    Offset start = 0;
    Offset end = 0;
  };
  struct Stream {
    streams::StreamConfig config;
    std::array<std::byte, 16> uuid{};
    std::vector<PartitionId> partitions;
    bool kept = false;
  };
  struct Refusal {
    Errc code;
    uint32_t detail;
  };
  struct Subscription {
    PartitionId partition;
    Offset from;
  };

  Reply execute(const Submission& submission);
  Reply execute_create(const streams::CreateStream& command);
  Reply execute_alter(const streams::AlterStream& command);
  Reply execute_grow(const streams::GrowStream& command);
  Reply execute_delete(const streams::DeleteStream& command);
  Reply execute_log_starts(const streams::SetLogStart& command);
  Reply execute_offsets(const Submission& submission);
  Reply answer(const QueryRequest& query) const;
  Reply epoch_end(Bytes payload) const;
  Reply append(PartitionId id, Bytes batch);
  Reply describe(Bytes payload) const;
  net::RecordsRead read_now(const ReadRequest& read);
  void notify(PartitionId partition);
  bool full();

  net::Session& session_;
  std::map<std::string, Stream> streams_;
  std::map<PartitionId, Partition> partitions_;
  PartitionId next_partition_ = 1;
  uint8_t streams_made_ = 0;
  offsets::ConsumerOffsets offsets_;
  MachineTable machines_;
  KernelState kernel_;
  CommandRun run_{machines_, kernel_};
  Sequence sequence_ = 0;
  int64_t next_producer_ = 1000;
  std::deque<std::function<void()>> answers_;
  std::deque<Refusal> refusals_;
  std::optional<Errc> read_error_;
  std::optional<Offset> repeat_;
  std::map<net::SubscriptionId, Subscription> subscriptions_;
  std::map<net::SessionTimerId, int64_t> timers_;
  uint64_t next_id_ = 1;
  int64_t now_ns_ = 1'000'000'000;
  int full_ = 0;
  bool held_ = false;
  bool output_stalled_ = false;
  net::Address local_{"127.0.0.1", 9092};
  net::Address remote_{"127.0.0.1", 50000};
};

}  // namespace heptane::data::kafka::test
