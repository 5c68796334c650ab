// Blobs against a model, over faults, kills and power cuts: what was finished reads back whole, what was not leaves nothing.
#include "kernel/blobs/blob_store.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "kernel/base/random.h"
#include "sim/sim_disk.h"

namespace heptane::blobs {
namespace {

constexpr char kDirectory[] = "/data/blobs";

uint64_t scaled(uint64_t full) {
  const char* scale = std::getenv("HEPTANE_TEST_SCALE");
  return std::max<uint64_t>(
      1, static_cast<uint64_t>(static_cast<double>(full) * (scale == nullptr ? 1.0 : std::atof(scale))));
}

std::vector<std::byte> content(SeededRandom& random, uint64_t limit) {
  std::vector<std::byte> bytes(random.below(limit));
  random.fill(bytes);
  return bytes;
}

BlobDigest digest_of(Bytes bytes) {
  crypto::Sha256 hash;
  hash.add(bytes);
  return hash.finish();
}

// In pieces of any size.
Result<StoredBlob> upload(BlobStore& store, SeededRandom& random, Bytes bytes,
                          const std::optional<BlobDigest>& expected = std::nullopt) {
  auto begun = store.begin_upload();
  if (!begun) return begun.error();
  while (!bytes.empty()) {
    const size_t piece = 1 + random.below(random.one_in(2) ? 100 : 100'000);
    HEPTANE_TRY((*begun)->write(bytes.first(std::min(piece, bytes.size()))));
    bytes = bytes.subspan(std::min(piece, bytes.size()));
  }
  return (*begun)->finish(expected);
}

Result<size_t> collect(BlobStore& store, const std::function<bool(const BlobDigest&)>& named) {
  for (const Blob& blob : store.list())
    if (!named(blob.digest)) store.doom(blob.digest);
  return store.collect();
}

class BlobStoreTest : public testing::Test {
 protected:
  BlobStoreTest() { restart(); }
  void restart() {
    store_ = std::make_unique<BlobStore>(disk_, BlobStoreOptions{kDirectory, 2, 3 << 20});
    ASSERT_TRUE(store_->open());
  }
  size_t files() { return disk_.list(kDirectory)->size(); }

  SeededRandom random_{5};
  sim::SimDisk disk_{sim::SimDiskOptions{.seed = 5, .immediate = true}};
  std::unique_ptr<BlobStore> store_;
};

TEST_F(BlobStoreTest, AnyRangeOfABlobReadsBack) {
  const std::vector<std::byte> bytes = content(random_, 3 << 20);
  const auto stored = upload(*store_, random_, bytes);
  ASSERT_TRUE(stored) << stored.error().message;
  EXPECT_EQ(stored->blob.digest, digest_of(bytes));
  EXPECT_EQ(stored->blob.bytes, bytes.size());
  auto reader = store_->read(stored->blob.digest);
  ASSERT_TRUE(reader);
  EXPECT_EQ(reader->bytes(), bytes.size());
  for (int i = 0; i < 100; ++i) {
    const uint64_t offset = random_.below(bytes.size() + 1000);
    std::vector<std::byte> range(random_.below(100'000));
    const auto count = reader->read(offset, range);
    ASSERT_TRUE(count);
    ASSERT_EQ(*count, offset >= bytes.size() ? 0 : std::min<uint64_t>(range.size(), bytes.size() - offset));
    if (*count > 0) {
      ASSERT_TRUE(std::equal(range.begin(), range.begin() + static_cast<std::ptrdiff_t>(*count),
                             bytes.begin() + static_cast<std::ptrdiff_t>(offset)));
    }
  }
  EXPECT_EQ(store_->read(digest_of({})).error().code, Errc::not_found);
}

TEST_F(BlobStoreTest, TheSameContentIsKeptOnce) {
  const std::vector<std::byte> bytes = content(random_, 50'000);
  ASSERT_TRUE(upload(*store_, random_, bytes));
  ASSERT_TRUE(upload(*store_, random_, bytes));
  EXPECT_EQ(files(), 1U);
  EXPECT_TRUE(upload(*store_, random_, {})) << "of no bytes, too";
  EXPECT_EQ(store_->list().size(), 2U);
}

TEST_F(BlobStoreTest, WhatIsGivenUpOrIsNotWhatItShouldBeLeavesNothing) {
  const std::vector<std::byte> bytes = content(random_, 50'000);
  {
    auto begun = store_->begin_upload();
    ASSERT_TRUE(begun && (*begun)->write(bytes));
    EXPECT_EQ(files(), 1U);
  }
  EXPECT_EQ(files(), 0U);
  const auto wrong = upload(*store_, random_, bytes, digest_of(Bytes(bytes).first(7)));
  EXPECT_EQ(wrong.error().code, Errc::invalid_argument);
  EXPECT_NE(wrong.error().message.find(digest_text(digest_of(bytes))), std::string::npos);
  EXPECT_EQ(files(), 0U);
  EXPECT_TRUE(upload(*store_, random_, bytes, digest_of(bytes)));
}

TEST_F(BlobStoreTest, UploadsAreBoundedInNumberAndLength) {
  auto one = store_->begin_upload();
  auto two = store_->begin_upload();
  ASSERT_TRUE(one && two);
  EXPECT_EQ(store_->begin_upload().error().code, Errc::overloaded);
  const std::vector<std::byte> bytes(1 << 20);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE((*one)->write(bytes));
  EXPECT_EQ((*one)->write(Bytes(bytes).first(1)).error().code, Errc::too_large);
  one->reset();
  EXPECT_EQ(store_->uploads(), 1U);
  EXPECT_TRUE(store_->begin_upload());
}

TEST_F(BlobStoreTest, CollectTakesWhatNothingNamesAndNobodyHolds) {
  std::vector<BlobDigest> digests;
  std::vector<StoredBlob> kept;
  for (int i = 0; i < 6; ++i) {
    auto stored = upload(*store_, random_, content(random_, 5'000));
    ASSERT_TRUE(stored);
    digests.push_back(stored->blob.digest);
    if (i < 2) kept.push_back(std::move(*stored));
  }
  auto reading = store_->read(digests[5]);
  ASSERT_TRUE(reading);
  const auto named = [&](const BlobDigest& digest) { return digest == digests[2]; };
  const auto removed = collect(*store_, named);
  ASSERT_TRUE(removed);
  EXPECT_EQ(*removed, 3U);
  EXPECT_EQ(files(), 3U);
  std::vector<std::byte> all(reading->bytes());
  EXPECT_TRUE(reading->read(0, all)) << "who reads it, goes on";
  EXPECT_EQ(digest_of(all), digests[5]);
  EXPECT_FALSE(store_->find(digests[5]).has_value());
  kept.clear();
  EXPECT_EQ(*collect(*store_, named), 2U);
  restart();
  EXPECT_EQ(store_->list().size(), 1U);
}

TEST_F(BlobStoreTest, WhoUploadsTheSameBytesSavesADoomedBlob) {
  const std::vector<std::byte> bytes = content(random_, 5'000);
  const BlobDigest digest = upload(*store_, random_, bytes)->blob.digest;
  store_->doom(digest);
  ASSERT_TRUE(upload(*store_, random_, bytes));
  EXPECT_EQ(*store_->collect(), 0U) << "it may be named again by now";
  EXPECT_TRUE(store_->verify(digest));
  EXPECT_EQ(store_->take_uploaded(), (std::vector<BlobDigest>{digest, digest}));
}

TEST_F(BlobStoreTest, AllBlobsTogetherAreBounded) {
  BlobStore store(disk_, BlobStoreOptions{"/data/few", 4, 3 << 20, 10'000, {}});
  ASSERT_TRUE(store.open());
  const std::vector<std::byte> bytes = content(random_, 1'000);
  const std::vector<std::byte> large(9'500);
  const auto small = upload(store, random_, bytes);
  ASSERT_TRUE(small);
  EXPECT_EQ(store.stored_bytes(), bytes.size());
  EXPECT_EQ(store.begin_upload(10'000).error().code, Errc::no_space) << "announced";
  {
    auto first = store.begin_upload(9'000);
    ASSERT_TRUE(first);
    auto second = store.begin_upload();
    ASSERT_TRUE(second);
    EXPECT_EQ((*second)->write(large).error().code, Errc::no_space) << "as it comes";
    store.discard(std::move(*first));
    EXPECT_EQ(store.uploads(), 2U);
    store.bury();
    EXPECT_EQ(store.uploads(), 1U);
  }
  EXPECT_TRUE(store.begin_upload(9'000)) << "what was given up gave its room back";
  store.set_disk_full(true);
  EXPECT_EQ(store.begin_upload(1).error().code, Errc::no_space);
  store.doom(small->blob.digest);
  EXPECT_EQ(*store.collect(), 0U);
  EXPECT_EQ(store.stored_bytes(), bytes.size());
}

TEST_F(BlobStoreTest, RotIsFoundByVerify) {
  const auto stored = upload(*store_, random_, content(random_, 50'000));
  ASSERT_TRUE(stored && store_->verify(stored->blob.digest));
  auto file =
      disk_.open(std::string(kDirectory) + "/" + digest_text(stored->blob.digest) + ".blob", OpenMode::read_write);
  ASSERT_TRUE(file && (*file)->write_at(stored->blob.bytes / 2, as_bytes("rot")));
  EXPECT_EQ(store_->verify(stored->blob.digest).error().code, Errc::corrupt);
}

TEST(BlobDigestText, IsWhatCommandLinesShow) {
  const BlobDigest digest = digest_of({});
  EXPECT_EQ(digest_text(digest), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(parse_digest(digest_text(digest)), digest);
  EXPECT_FALSE(parse_digest("e3b0").has_value());
  EXPECT_FALSE(parse_digest(std::string(64, 'G')).has_value());
  EXPECT_FALSE(parse_digest(std::string(64, 'A')).has_value()) << "one spelling for one digest";
}

// Lives of a store that end anyhow, at any operation of the disk.
void run_one(uint64_t seed) {
  SeededRandom random(seed);
  sim::SimDisk disk(sim::SimDiskOptions{.seed = seed, .immediate = true});
  std::map<BlobDigest, std::vector<std::byte>> finished;
  std::set<BlobDigest> tried;
  for (int life = 0; life < 6; ++life) {
    {
      BlobStore store(disk, {kDirectory, 4, 1 << 20});
      const Result<void> opened = store.open();
      ASSERT_TRUE(opened) << "seed " << seed << ": " << opened.error().message;
      for (const auto& [digest, bytes] : finished) {
        const auto blob = store.find(digest);
        ASSERT_TRUE(blob.has_value()) << "seed " << seed << ": a finished blob is gone";
        ASSERT_EQ(blob->bytes, bytes.size());
      }
      for (const Blob& blob : store.list()) {
        ASSERT_TRUE(tried.contains(blob.digest)) << "seed " << seed;
        ASSERT_TRUE(store.verify(blob.digest)) << "seed " << seed << ": a name without its content";
      }
      disk.crash_after_operations(random.below(60));
      while (!disk.crashed()) {
        const std::vector<std::byte> bytes = content(random, random.one_in(4) ? 200'000 : 2'000);
        const BlobDigest digest = digest_of(bytes);
        tried.insert(digest);
        const auto stored = upload(store, random, bytes);
        if (!stored) break;
        finished[digest] = bytes;
        if (!random.one_in(5)) continue;
        // Gone or not when it crashes in between; gone for good when it says so.
        const BlobDigest victim = finished.begin()->first;
        finished.erase(victim);
        (void)collect(store, [&](const BlobDigest& other) { return other != victim; }).ok();
      }
    }
    static constexpr sim::CrashMode kModes[] = {sim::CrashMode::lose_all, sim::CrashMode::keep_all,
                                                sim::CrashMode::prefix, sim::CrashMode::random,
                                                sim::CrashMode::hostile};
    if (random.one_in(3))
      disk.process_kill();
    else
      disk.crash(kModes[random.below(5)]);
    disk.clear_faults();
  }
}

TEST(BlobStoreProperty, FinishedBlobsOutliveEveryCrash) {
  for (uint64_t seed = 1; seed <= scaled(400) && !testing::Test::HasFatalFailure(); ++seed) run_one(seed);
}

}  // namespace
}  // namespace heptane::blobs
