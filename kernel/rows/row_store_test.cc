// The store of rows against a plain vector: over restarts at every point, power cuts, files that are gone or damaged.
#include "kernel/rows/row_store.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "kernel/base/random.h"
#include "kernel/rows/rows.h"
#include "sim/sim_disk.h"

namespace heptane::rows {
namespace {

constexpr const char* kDirectory = "rows";

struct Row {
  uint64_t number;
  uint64_t value;
  bool operator==(const Row&) const = default;
};

// What a snapshot holds.
struct Saved {
  std::vector<Hash128> hashes;
  std::vector<Row> tail;
  bool operator==(const Saved&) const = default;
};

class World {
 public:
  explicit World(uint32_t rows_per_file, uint64_t seed = 1)
      : disk(sim::SimDiskOptions{.seed = seed, .immediate = true}), rows_per_file_(rows_per_file) {
    EXPECT_TRUE(disk.make_directory(kDirectory));
    EXPECT_TRUE(disk.sync_directory("."));
    boot();
  }

  void boot(bool writable = true) {
    rows = std::make_unique<Rows<Row>>("test-rows", rows_per_file_);
    rows->store().open({&disk, kDirectory, writable});
  }
  void append(uint64_t value) { rows->push_back({rows->size(), value}); }
  void settle() {
    RowStore& store = rows->store();
    store.settle();
    while (*store.write_next()) continue;
    store.settle();
  }
  Saved save() const {
    Saved saved;
    const RowStore& store = rows->store();
    for (uint32_t chunk = 0; chunk < store.full_chunks(); ++chunk) saved.hashes.push_back(store.hash_of(chunk));
    const Bytes tail = store.tail();
    saved.tail.resize(tail.size() / sizeof(Row));
    if (!tail.empty()) std::memcpy(saved.tail.data(), tail.data(), tail.size());
    return saved;
  }
  Result<void> restore(const Saved& saved) {
    HEPTANE_TRY(rows->store().restore(saved.hashes));
    for (const Row& row : saved.tail) rows->push_back(row);
    return {};
  }
  std::string path(uint32_t number) const { return row_file_path(kDirectory, rows->store().shape(), number); }
  void damage(uint32_t number, uint64_t offset) {
    auto file = disk.open(path(number), OpenMode::read_write);
    ASSERT_TRUE(file);
    std::byte byte{};
    ASSERT_TRUE((*file)->read_at(offset, {&byte, 1}));
    byte ^= std::byte{1};
    ASSERT_TRUE((*file)->write_at(offset, {&byte, 1}));
  }

  sim::SimDisk disk;
  std::unique_ptr<Rows<Row>> rows;

 private:
  uint32_t rows_per_file_;
};

void expect_equal(const Rows<Row>& rows, const std::vector<Row>& naive) {
  ASSERT_EQ(rows.size(), naive.size());
  for (uint32_t i = 0; i < naive.size(); ++i) ASSERT_EQ(rows[i], naive[i]) << i;
  ASSERT_FALSE(rows.store().take_damage().has_value());
}

TEST(RowStore, AgreesWithAVectorOverRestartsAndPowerCuts) {
  constexpr sim::CrashMode kModes[] = {sim::CrashMode::lose_all, sim::CrashMode::keep_all, sim::CrashMode::prefix,
                                       sim::CrashMode::random, sim::CrashMode::hostile};
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SeededRandom random(seed);
    World world(uint32_t{1} << random.below(10), seed);
    std::vector<Row> log;  // what replay would bring again
    std::vector<Row> naive;
    Saved snapshot;  // the newest published one
    size_t snapshot_rows = 0;
    size_t settled = 0;
    for (int step = 0; step < 120; ++step) {
      for (uint64_t i = random.below(100); i > 0; --i) {
        world.append(random.next());
        naive.push_back((*world.rows)[world.rows->size() - 1]);
      }
      for (uint64_t i = random.below(20); i > 0 && naive.size() > settled; --i) {
        world.rows->pop_back();
        naive.pop_back();
      }
      if (random.one_in(3)) {
        world.rows->store().settle();
        settled = naive.size();
      }
      if (random.one_in(3)) {
        ASSERT_TRUE(world.rows->store().write_next());
      }
      log = naive;
      if (random.one_in(8)) {
        const Saved before = world.save();
        world.settle();
        settled = naive.size();
        ASSERT_EQ(world.save(), before) << "what is saved depends on what is in files";
        snapshot = before;
        snapshot_rows = naive.size();
        ASSERT_EQ(world.rows->store().durable(), world.rows->store().full_chunks());
      }
      if (random.one_in(10)) {
        if (random.one_in(2))
          world.disk.process_kill();
        else
          world.disk.crash(kModes[random.below(std::size(kModes))]);
        world.boot();
        ASSERT_TRUE(world.restore(snapshot));
        // Replay comes as far as it was synced.
        naive.resize(snapshot_rows + random.below(log.size() - snapshot_rows + 1));
        for (size_t i = snapshot_rows; i < naive.size(); ++i) world.rows->push_back(naive[i]);
        settled = snapshot_rows;
      }
      if (random.one_in(10)) expect_equal(*world.rows, naive);
    }
    expect_equal(*world.rows, naive);
    world.settle();
    expect_equal(*world.rows, naive);
  }
}

TEST(RowStore, AFullChunkLeavesMemoryWhenItIsSynced) {
  World world(256);
  std::vector<std::pair<uint32_t, uint32_t>> left;
  world.rows->store().set_on_leave([&](uint32_t first, uint32_t count) { left.emplace_back(first, count); });
  for (int i = 0; i < 700; ++i) world.append(7);
  world.rows->store().settle();
  EXPECT_NE(world.rows->store().in_memory(0), nullptr);
  EXPECT_EQ(world.rows->store().durable(), 0u);
  ASSERT_TRUE(*world.rows->store().write_next());
  EXPECT_EQ(world.rows->store().durable(), 1u);
  EXPECT_NE(world.rows->store().in_memory(0), nullptr);
  world.rows->store().settle();
  EXPECT_EQ(world.rows->store().in_memory(255), nullptr);
  EXPECT_NE(world.rows->store().in_memory(256), nullptr);
  EXPECT_EQ(left, (std::vector<std::pair<uint32_t, uint32_t>>{{0, 256}}));
  EXPECT_EQ((*world.rows)[255].number, 255u);
}

TEST(RowStore, WhatIsWrittenAgainIsTheSame) {
  World world(64);
  for (int i = 0; i < 64; ++i) world.append(3);
  world.settle();
  const auto content = [&] {
    auto file = world.disk.open(world.path(0), OpenMode::read);
    std::vector<std::byte> bytes(*(*file)->size());
    EXPECT_TRUE((*file)->read_at(0, bytes));
    return bytes;
  };
  const std::vector<std::byte> first = content();
  world.boot();
  world.damage(0, 5000);  // nobody believes it: its rows come back and it is written again
  for (int i = 0; i < 64; ++i) world.append(3);
  world.settle();
  EXPECT_EQ(content(), first);
}

TEST(RowStore, AFileThatIsGoneOrAnotherOneIsRefusedAndTheWayOutIsNamed) {
  World world(64);
  for (int i = 0; i < 200; ++i) world.append(3);
  world.settle();
  const Saved saved = world.save();
  world.boot();
  Saved other = saved;
  other.hashes[1].low ^= 1;
  Result<void> restored = world.restore(other);
  ASSERT_FALSE(restored);
  EXPECT_EQ(restored.error().code, Errc::refused);
  EXPECT_NE(restored.error().message.find("rows/test-rows-0000000001.rows"), std::string::npos);
  EXPECT_NE(restored.error().message.find("backup"), std::string::npos);
  ASSERT_TRUE(world.disk.unlink(world.path(2)));
  restored = world.restore(saved);
  ASSERT_FALSE(restored);
  EXPECT_NE(restored.error().message.find("test-rows-0000000002.rows is missing"), std::string::npos);
  ASSERT_TRUE(world.disk.rename(world.path(0), world.path(2)));
  restored = world.restore({{saved.hashes[2], saved.hashes[1]}, {}});
  EXPECT_FALSE(restored);
}

TEST(RowStore, RotIsNeverHandedOut) {
  World world(1024);
  for (int i = 0; i < 3000; ++i) world.append(3);
  world.settle();
  const Saved saved = world.save();
  for (const uint64_t offset : {uint64_t{4096}, uint64_t{4100}, uint64_t{4104}, uint64_t{8191}}) {
    world.boot();
    world.damage(1, offset);
    ASSERT_TRUE(world.restore(saved));
    EXPECT_EQ((*world.rows)[1024], Row{});
    const std::optional<Error> damage = world.rows->store().take_damage();
    ASSERT_TRUE(damage.has_value());
    EXPECT_EQ(damage->code, Errc::corrupt);
    EXPECT_NE(damage->message.find("test-rows-0000000001.rows: block 0"), std::string::npos);
    EXPECT_EQ((*world.rows)[1023].number, 1023u);
    EXPECT_FALSE(world.rows->store().take_damage().has_value());
    std::vector<std::string> problems;
    EXPECT_EQ(world.rows->store().verify(problems), 2u);
    EXPECT_EQ(problems.size(), 1u);
    world.damage(1, offset);
  }
}

TEST(RowStore, AFullDiskIsTriedAgain) {
  World world(256);
  for (int i = 0; i < 256; ++i) world.append(3);
  world.rows->store().settle();
  world.disk.set_capacity(0);
  const Result<bool> full = world.rows->store().write_next();
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, Errc::no_space);
  world.disk.set_capacity(uint64_t{1} << 30);
  world.settle();
  EXPECT_EQ(world.rows->store().durable(), 1u);
  EXPECT_EQ((*world.rows)[3].number, 3u);
}

TEST(RowStore, BesideAServerNothingIsWritten) {
  World world(64);
  world.boot(false);
  for (int i = 0; i < 200; ++i) world.append(3);
  world.settle();
  EXPECT_FALSE(*world.disk.exists(world.path(0)));
  EXPECT_EQ(world.rows->store().full_chunks(), 3u);
  EXPECT_EQ((*world.rows)[5].number, 5u);
}

}  // namespace
}  // namespace heptane::rows
