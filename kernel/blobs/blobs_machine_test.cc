// The machine over a real shard on a log in memory, its scopes and snapshots, and when a file goes.
#include "kernel/blobs/blobs_machine.h"

#include <gtest/gtest.h>

#include "kernel/base/crc32c.h"
#include "kernel/blobs/blob_collector.h"
#include "kernel/log/memory_log.h"
#include "kernel/shard/shard.h"
#include "kernel/streams/streams_machine.h"
#include "sim/sim_clock.h"
#include "sim/sim_disk.h"

namespace heptane::blobs {
namespace {

BlobDigest digest(uint8_t first) { return {std::byte{first}}; }

class Bench {
 public:
  Bench() { boot(); }
  void crash_and_recover() {
    log_.drop();
    boot();
  }

  Reply run(BlobCommand type, Buffer payload) {
    Submission submission = streams::make_command(machine_ids::kBlobs, type, std::move(payload));
    submission.payload_crc = crc32c(submission.payload.view());
    HEPTANE_ASSERT(link_->requests.try_push(ShardRequest{1, 7, std::move(submission)}), "the ring is full");
    for (bool more = true; more;) {
      more = shard_->run_once();
      more = committer_->run_once() || more;
    }
    shard_->run_once();
    Reply taken = std::get<Reply>(std::move(link_->gated.front()->body));
    link_->gated.pop();
    return taken;
  }
  Reply put(uint8_t first, uint64_t bytes) { return run(kPutBlob, encode(Blob{digest(first), bytes})); }
  Reply drop(uint8_t first) { return run(kDropBlob, encode(digest(first))); }
  Reply query(BlobQuery type, const Buffer& payload) const {
    Reply reply;
    machine_->query({type, payload.view(), {}}, reply);
    return reply;
  }

  BlobsMachine& machine() { return *machine_; }
  Shard& shard() { return *shard_; }

 private:
  void boot() {
    committer_ = std::make_unique<Committer>(log_, [](const Error&) { HEPTANE_ASSERT(false, "the log failed"); });
    link_ = std::make_unique<ShardLink>(64);
    shard_ = std::make_unique<Shard>(ShardOptions{}, clock_, *committer_);
    streams_ = std::make_unique<streams::StreamsMachine>();
    machine_ = std::make_unique<BlobsMachine>();
    shard_->add_machine(*streams_);
    shard_->add_machine(*machine_);
    shard_->set_streams(*streams_);
    shard_->attach(*link_);
    const auto recovered = log_.recover(
        {}, [this](const log::BatchView& batch, const log::BatchPlace& place) { return shard_->replay(batch, place); });
    HEPTANE_ASSERT(recovered.ok(), "the log does not replay");
    shard_->start(recovered->end);
  }

  sim::SimClock clock_;
  SeededRandom random_{1};
  log::MemoryLog log_{random_};
  std::unique_ptr<Committer> committer_;
  std::unique_ptr<ShardLink> link_;
  std::unique_ptr<streams::StreamsMachine> streams_;
  std::unique_ptr<BlobsMachine> machine_;
  std::unique_ptr<Shard> shard_;
};

TEST(BlobsMachine, KeepsWhatWasPutUntilItIsDropped) {
  Bench bench;
  EXPECT_EQ(bench.put(1, 10).numbers[0], 1);
  EXPECT_EQ(bench.put(1, 10).numbers[0], 1) << "once is enough";
  EXPECT_EQ(bench.put(1, 11).error, Errc::invalid_argument);
  bench.crash_and_recover();
  EXPECT_TRUE(bench.machine().names(digest(1)));
  EXPECT_EQ(bench.drop(1).numbers[0], 0);
  EXPECT_EQ(bench.drop(1).error, Errc::not_found);
  EXPECT_EQ(bench.query(kFindBlob, encode(digest(1))).error, Errc::not_found);
}

TEST(BlobsMachine, ARepeatedPutLeavesNothingInTheLog) {
  Bench bench;
  bench.put(1, 10);
  const Sequence before = bench.shard().last_applied();
  bench.put(1, 10);
  EXPECT_EQ(bench.shard().last_applied(), before);
}

TEST(BlobsMachine, WhatAMachineRefersToStays) {
  Bench bench;
  bench.put(1, 10);
  EXPECT_FALSE(bench.machine().reference(digest(2))) << "nobody put it";
  ASSERT_TRUE(bench.machine().reference(digest(1)));
  EXPECT_EQ(bench.drop(1).numbers[0], 1);
  EXPECT_EQ(bench.drop(1).error, Errc::refused);
  EXPECT_EQ(bench.put(1, 10).numbers[0], 2);
  EXPECT_EQ(bench.drop(1).numbers[0], 1);
  bench.machine().release(digest(1));
  EXPECT_FALSE(bench.machine().names(digest(1)));
}

TEST(BlobsMachine, AScopeTakesEverythingBack) {
  Bench bench;
  bench.put(1, 10);
  BlobsMachine& machine = bench.machine();
  const Hash128 before = bench.shard().state_hash();
  machine.open_scope();
  ASSERT_TRUE(machine.reference(digest(1)));
  machine.open_scope();
  ASSERT_TRUE(machine.reference(digest(1)));
  machine.close_scope(ScopeOutcome::keep);
  machine.release(digest(1));
  machine.close_scope(ScopeOutcome::roll_back);
  EXPECT_EQ(bench.shard().state_hash(), before);
  machine.open_scope();
  ASSERT_TRUE(machine.reference(digest(1)));
  machine.close_scope(ScopeOutcome::keep);
  EXPECT_NE(bench.shard().state_hash(), before);
  machine.release(digest(1));
  EXPECT_EQ(bench.shard().state_hash(), before);
}

TEST(BlobsMachine, ListsInPages) {
  Bench bench;
  for (const uint8_t first : {3, 1, 2}) bench.put(first, 10U + first);
  const Reply page = bench.query(kListBlobs, encode(ListBlobs{digest(1), 1}));
  EXPECT_EQ(page.numbers[0], 3);
  const auto infos = decode_blob_infos(page.payload.view());
  ASSERT_TRUE(infos && infos->size() == 1);
  EXPECT_EQ(infos->front().digest, digest(2));
  EXPECT_EQ(infos->front().bytes, 12u);
  EXPECT_EQ(bench.query(kListBlobs, Buffer::copy_of("?")).error, Errc::invalid_argument);
}

// What a snapshot holds, and a shard that reads it.
class Saved final : public SnapshotWriter, public SnapshotReader {
 public:
  void write(Bytes bytes) override { bytes_.append(as_text(bytes)); }
  bool read(MutableBytes into) override {
    if (bytes_.size() - at_ < into.size()) return false;
    std::memcpy(into.data(), bytes_.data() + at_, into.size());
    at_ += into.size();
    return true;
  }

 private:
  std::string bytes_;
  size_t at_ = 0;
};

TEST(BlobsMachine, ASnapshotHoldsItAndOneOfAStateWithoutBlobsEmptiesIt) {
  Bench bench;
  Saved without;
  bench.shard().save(without);
  bench.put(1, 10);
  ASSERT_TRUE(bench.machine().reference(digest(1)));
  Saved with;
  bench.shard().save(with);
  Bench other;
  ASSERT_TRUE(other.shard().restore(with, 1, 0));
  EXPECT_EQ(other.shard().state_hash(), bench.shard().state_hash());
  EXPECT_TRUE(other.machine().names(digest(1)));
  ASSERT_TRUE(other.shard().restore(without, 0, 0));
  EXPECT_EQ(other.machine().size(), 0u);
}

TEST(BlobsMachine, ChangesNoHashOfAStateThatDoesNotUseIt) {
  Bench bench;
  HashingSnapshotWriter plain;
  bench.put(1, 10);
  bench.drop(1);
  Saved saved;
  bench.shard().save(saved);
  bench.machine().make_fresh();
  EXPECT_TRUE(bench.machine().fresh());
  bench.shard().kernel().save(plain);
  plain.le<uint32_t>(1);  // the streams machine alone
  plain.le<uint16_t>(machine_ids::kStreams);
  streams::StreamsMachine().save(plain);
  EXPECT_EQ(bench.shard().state_hash(), plain.value());
}

class BlobCollectorTest : public testing::Test {
 protected:
  BlobCollectorTest() {
    EXPECT_TRUE(store_.open());
    collector_.start(0);
  }
  BlobDigest upload(std::string_view bytes) {
    auto begun = store_.begin_upload();
    EXPECT_TRUE(begun && (*begun)->write(as_bytes(bytes)));
    return (*begun)->finish(std::nullopt)->blob.digest;
  }
  void name(const BlobDigest& blob) { bench_.run(kPutBlob, encode(Blob{blob, 1})); }
  void forget(const BlobDigest& blob) { bench_.run(kDropBlob, encode(blob)); }
  // Both snapshots lie at or above `older`; the helper looks twice, as it does all the time.
  size_t collected(Sequence older) {
    size_t removed = 0;
    for (int i = 0; i < 3; ++i) {
      removed += *collector_.helper_turn(older);
      collector_.shard_turn(bench_.shard().last_applied());
    }
    return removed;
  }

  sim::SimDisk disk_{sim::SimDiskOptions{.seed = 5, .immediate = true}};
  Bench bench_;
  BlobStore store_{disk_, BlobStoreOptions{"/data/blobs", 4}};
  BlobCollector collector_{store_, bench_.machine()};
};

TEST_F(BlobCollectorTest, AFileGoesWhenBothSnapshotsAreYoungerThanTheLastName) {
  const BlobDigest blob = upload("a");
  name(blob);
  EXPECT_EQ(collected(100), 0u) << "it is named";
  forget(blob);
  const Sequence released = bench_.shard().last_applied();
  EXPECT_EQ(collected(0), 0u) << "there are no two snapshots";
  EXPECT_EQ(collected(released), 0u) << "one of them may name it";
  EXPECT_TRUE(store_.find(blob).has_value());
  EXPECT_EQ(collected(released + 1), 1u);
  EXPECT_FALSE(store_.find(blob).has_value());
}

TEST_F(BlobCollectorTest, WhatIsNamedAgainStays) {
  const BlobDigest blob = upload("a");
  name(blob);
  forget(blob);
  collected(0);
  name(blob);
  EXPECT_EQ(collected(1000), 0u);
}

TEST_F(BlobCollectorTest, AnUploadWhoseCommandNeverCameGoesToo) {
  upload("a");
  collected(0);
  name(upload("b"));
  EXPECT_EQ(collected(1000), 1u);
  EXPECT_EQ(store_.list().size(), 1u);
}

TEST_F(BlobCollectorTest, AStartFindsFilesThatNothingNames) {
  name(upload("a"));
  upload("b");
  BlobCollector again(store_, bench_.machine());
  store_.take_uploaded();
  again.start(5);
  size_t removed = 0;
  for (int i = 0; i < 3; ++i) {
    removed += *again.helper_turn(6);
    again.shard_turn(6);
  }
  EXPECT_EQ(removed, 1u);
  EXPECT_EQ(store_.list().size(), 1u);
}

}  // namespace
}  // namespace heptane::blobs
