// Shard, commit and I/O each on a thread of its own, as the rings promise: what the thread sanitiser looks at.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "test/shard_harness.h"

namespace heptane::test {
namespace {

// Runs `turn` until the end, and lets others when there is nothing to do.
class Role {
 public:
  template <class Turn>
  explicit Role(Turn turn)
      : thread_([this, turn] {
          while (!over_.load())
            if (!turn()) std::this_thread::yield();
        }) {}
  ~Role() {
    over_ = true;
    thread_.join();
  }
  Role(const Role&) = delete;
  Role& operator=(const Role&) = delete;

 private:
  std::atomic<bool> over_{false};
  std::thread thread_;
};

// The I/O side: asks, and looks at every answer.
class Asker {
 public:
  Asker(ShardHarness& harness, PartitionId partition) : harness_(harness), partition_(partition) {}

  void ask(RequestId request) {
    switch (request % 5) {
      case 0: return push(request, append(request));
      case 1: return push(request, put(std::string(1001, 'x')));  // refused
      case 2: return push(request, QueryRequest{kKvId, 0, Buffer::copy_of("key"), {}});
      case 3: return push(request, ReadRequest{partition_, 0, 1 << 20, {}});
      default: return push(request, put(std::to_string(request)));
    }
  }
  void take_answers() {
    while (const std::optional<ShardReply> reply = harness_.reply()) {
      ++answered_;
      EXPECT_LE(reply->gate, harness_.link().watermark.load());
      if (const auto* read = std::get_if<ReadReply>(&reply->body))
        look_at(*read);
      else
        look_at(reply->request, std::get<Reply>(reply->body));
    }
  }
  uint64_t answered() const { return answered_; }
  Offset read_upto() const { return read_upto_; }

 private:
  static Submission put(const std::string& value) {
    return streams::make_command(kKvId, kKvPut, kv_payload("key", value));
  }
  static Submission append(RequestId request) {
    const std::string value = std::to_string(request);
    streams::AppendEvents events;
    events.stream = "a";
    events.records.push_back({false, {}, as_bytes(value)});
    return streams::make_command(machine_ids::kStreams, streams::kAppendEvents, streams::encode(events));
  }
  template <class Body>
  void push(RequestId request, Body body) {
    if constexpr (std::is_same_v<Body, Submission>) body.payload_crc = crc32c(body.payload.view());
    ASSERT_TRUE(harness_.link().requests.try_push(ShardRequest{1, request, std::move(body)}));
  }

  void look_at(RequestId request, const Reply& reply) {
    const uint64_t kind = request % 5;
    if (kind == 1) {
      EXPECT_EQ(reply.error, Errc::refused) << reply.message;
      EXPECT_EQ(reply.sequence, 0u);
      return;
    }
    if (kind == 2) return;
    ASSERT_TRUE(reply.ok()) << reply.message;
    EXPECT_GT(reply.sequence, last_);
    EXPECT_LE(reply.sequence, harness_.committer().watermark());
    last_ = reply.sequence;
  }
  // Every place that an answer names holds whole entries, already now.
  void look_at(const ReadReply& read) {
    EXPECT_GE(read.durable_end, read_upto_);
    read_upto_ = read.durable_end;
    for (const Extent& extent : read.extents) {
      std::vector<std::byte> bytes(extent.end - extent.begin);
      ASSERT_TRUE(reader_->read(extent.segment, extent.begin, bytes));
      EXPECT_TRUE(log::decode_entry(bytes).ok());
    }
  }

  ShardHarness& harness_;
  const PartitionId partition_;
  std::unique_ptr<log::LogReader> reader_ = harness_.log().reader();
  Sequence last_ = 0;
  Offset read_upto_ = 0;
  uint64_t answered_ = 0;
};

TEST(ShardThreads, EveryAnswerIsSyncedAndARestartHasTheSameState) {
  constexpr uint64_t kRequests = 20'000;
  constexpr uint64_t kOpenMax = 300;
  ShardHarness harness;
  const auto partition = static_cast<PartitionId>(
      harness.run(machine_ids::kStreams, streams::kCreateStream, streams::encode(streams::CreateStream{"a", 1}))
          .numbers[0]);
  Asker asker(harness, partition);
  {
    const Role shard([&] { return harness.shard().run_once(); });
    const Role commit([&] { return harness.committer().run_once(); });
    for (RequestId next = 1; asker.answered() < kRequests;) {
      while (next <= kRequests && next - asker.answered() <= kOpenMax) asker.ask(next++);
      asker.take_answers();
    }
  }
  EXPECT_GT(asker.read_upto(), 0);
  EXPECT_FALSE(harness.fatal().has_value());
  const Sequence last = harness.shard().last_applied();
  const Hash128 hash = harness.shard().state_hash();
  harness.crash_and_recover();
  ASSERT_TRUE(harness.recovery().ok()) << harness.recovery().error().message;
  EXPECT_EQ(harness.shard().last_applied(), last);
  EXPECT_EQ(harness.shard().state_hash(), hash);
}

}  // namespace
}  // namespace heptane::test
