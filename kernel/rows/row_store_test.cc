// The store of rows against a plain vector: over restarts at every point, power cuts, files that are gone or damaged.
#include "kernel/rows/row_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "kernel/base/random.h"
#include "kernel/rows/rows.h"
#include "kernel/rows/shy_disk.h"
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
    EXPECT_TRUE(rows->store().open({&disk, kDirectory, writable}));
  }
  void append(uint64_t value) { rows->push_back({rows->size(), value}); }
  void settle() {
    RowStore& store = rows->store();
    do {
      store.settle();
      while (*store.write_next()) continue;
    } while (store.durable() < store.full_chunks());
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
  std::vector<Row> scanned;
  const auto whole = rows.scan([&](uint32_t first, std::span<const Row> some) {
    EXPECT_EQ(first, scanned.size());
    scanned.insert(scanned.end(), some.begin(), some.end());
    return true;
  });
  ASSERT_TRUE(whole && *whole);
  ASSERT_EQ(scanned, naive);
  ASSERT_FALSE(rows.store().take_damage().has_value());
}

TEST(RowStore, AgreesWithAVectorOverRestartsAndPowerCuts) {
  constexpr sim::CrashMode kModes[] = {sim::CrashMode::lose_all, sim::CrashMode::keep_all, sim::CrashMode::prefix,
                                       sim::CrashMode::random, sim::CrashMode::hostile};
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SeededRandom random(seed);
    World world(uint32_t{16} << random.below(6), seed);
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
    const auto scanned = world.rows->scan([](uint32_t, std::span<const Row>) { return true; });
    ASSERT_FALSE(scanned);
    EXPECT_EQ(scanned.error().code, Errc::corrupt);
    EXPECT_NE(scanned.error().message.find("test-rows-0000000001.rows: block 0"), std::string::npos);
    const auto ended = world.rows->scan([](uint32_t first, std::span<const Row>) { return first > 0; });
    EXPECT_TRUE(ended && !*ended);
    std::vector<std::string> problems;
    EXPECT_EQ(world.rows->store().verify(problems), 2u);
    EXPECT_EQ(problems.size(), 1u);
    world.damage(1, offset);
  }
}

TEST(RowChecks, TakeNoMoreMemoryThanTheyMay) {
  constexpr uint64_t kMost = 64 << 10;
  SeededRandom random(7);
  RowChecks checks;
  checks.set_most_bytes(kMost);
  const auto row_of = [](const uint32_t& number) { return Bytes(reinterpret_cast<const std::byte*>(&number), 4); };
  uint32_t known = 0;
  for (int i = 0; i < 100'000; ++i) {
    const auto number = static_cast<uint32_t>(random.below(1 << 16));
    checks.learn(number, row_of(number));
    ASSERT_TRUE(checks.knows(number) && checks.agrees(number, row_of(number)));
    const auto other = static_cast<uint32_t>(random.below(1 << 16));
    if (!checks.knows(other)) continue;
    ++known;
    ASSERT_TRUE(checks.agrees(other, row_of(other))) << "what was known of another row is forgotten whole";
  }
  EXPECT_GT(known, 0U);
  EXPECT_LE(checks.memory_bytes(), kMost + 2 * 64 * sizeof(void*));
}

// A row that is looked up again is read alone: the same bytes, whatever is in memory, and rot is found as in a block.
TEST(RowStore, RowsReadAloneAreThoseOfTheirBlocks) {
  SeededRandom random(5);
  World world(1024);
  std::vector<Row> naive;
  for (uint32_t i = 0; i < 8 * 1024; ++i) {
    world.append(random.next());
    naive.push_back(world.rows->back());
  }
  world.settle();
  const Saved saved = world.save();
  ShyDisk shy(world.disk);
  world.rows = std::make_unique<Rows<Row>>("test-rows", 1024);
  const RowStore& store = world.rows->store();
  EXPECT_TRUE(world.rows->store().open({&shy, kDirectory, true}));
  ASSERT_TRUE(world.restore(saved));
  const auto look_up = [&](uint32_t number) {
    int tries = 1;
    for (; !store.ready(number) && tries < 10'000; ++tries) continue;
    EXPECT_LT(tries, 10'000);
    EXPECT_EQ((*world.rows)[number], naive[number]) << number;
    EXPECT_FALSE(store.take_damage().has_value());
    return tries;
  };
  for (int i = 0; i < 20'000; ++i) {
    // Anywhere, in a row, the same again.
    auto number = static_cast<uint32_t>(random.below(naive.size()));
    for (uint64_t more = random.one_in(4) ? random.below(5) : 1; more > 0; --more) {
      look_up(number);
      number = std::min<uint32_t>(number + (random.one_in(3) ? 0 : 1), naive.size() - 1);
    }
    shy.on_read = nullptr;
    if (random.one_in(500)) shy.on_read = [&](const std::string&, uint64_t) { return random.one_in(2); };
  }
  EXPECT_GT(store.rows_read(), 5'000U);
  EXPECT_LT(store.blocks_read(), 10'000U);
  EXPECT_GT(store.cache_bytes(), naive.size() * sizeof(uint32_t));
  EXPECT_EQ(store.memory_bytes(), 0U) << "who reads has nobody else refused";
  world.rows->store().clear();
  EXPECT_EQ(store.cache_bytes(), 0U);
}

TEST(RowStore, WhatARowReadAloneCostsAndWhenItIsNotBelieved) {
  World world(1024);
  for (uint32_t i = 0; i < 4 * 1024; ++i) world.append(3);
  world.settle();
  const Saved saved = world.save();
  ShyDisk shy(world.disk);
  world.rows = std::make_unique<Rows<Row>>("test-rows", 1024);
  const RowStore& store = world.rows->store();
  EXPECT_TRUE(world.rows->store().open({&shy, kDirectory, true}));
  ASSERT_TRUE(world.restore(saved));
  // Reads of it, until it is there.
  const auto look_up = [&](uint32_t number) {
    const uint64_t before = shy.bytes;
    int tries = 1;
    for (; !store.ready(number) && tries < 10'000; ++tries) continue;
    EXPECT_EQ((*world.rows)[number].number, number);
    EXPECT_FALSE(store.take_damage().has_value());
    return std::pair(tries, shy.bytes - before);
  };
  const uint32_t per_block = store.shape().rows_per_block();
  const auto forget_block = [&] {   // of the first rows: another one is kept at the same place
    look_up(3 * 1024 + per_block);  // 16 blocks behind
    look_up(3 * 1024 + per_block + 1);
  };
  EXPECT_EQ(look_up(2), std::pair(1, uint64_t{kBlockBytes}));
  forget_block();
  EXPECT_EQ(look_up(2), std::pair(1, uint64_t{sizeof(Row)}));
  EXPECT_EQ(look_up(3), std::pair(1, uint64_t{kBlockBytes})) << "beside the one before";
  EXPECT_EQ(look_up(4), std::pair(1, uint64_t{0}));
  forget_block();
  // A block that has left memory and never comes is waited for.
  shy.on_read = [](const std::string&, uint64_t) { return false; };
  const auto [tries, bytes] = look_up(5);
  EXPECT_GT(tries, 100);
  EXPECT_LT(tries, 10'000);
  EXPECT_EQ(bytes, 0U);
  shy.on_read = nullptr;
  forget_block();
  world.damage(0, kBlockBytes + RowShape::kBlockHeadBytes + 6 * sizeof(Row));
  EXPECT_TRUE(store.ready(6));
  EXPECT_EQ((*world.rows)[6], Row{});
  const std::optional<Error> damage = store.take_damage();
  ASSERT_TRUE(damage.has_value());
  EXPECT_NE(damage->message.find("test-rows-0000000000.rows: block 0"), std::string::npos);
}

TEST(RowStore, ABlockStaysUntilItsReplacementHasCome) {
  World world(1024);
  for (uint32_t i = 0; i < 2 * 1024; ++i) world.append(i);
  world.settle();
  const Saved saved = world.save();
  ShyDisk shy(world.disk);
  world.rows = std::make_unique<Rows<Row>>("test-rows", 1024);
  const RowStore& store = world.rows->store();
  ASSERT_TRUE(world.rows->store().open({.disk = &shy, .directory = kDirectory, .writable = true, .cached_blocks = 1}));
  ASSERT_TRUE(world.restore(saved));
  EXPECT_TRUE(store.ready(0));
  shy.on_read = [](const std::string&, uint64_t) { return false; };
  EXPECT_FALSE(store.ready(1024));
  EXPECT_TRUE(store.ready(1));
  EXPECT_EQ((*world.rows)[1].value, 1U);
  shy.on_read = nullptr;
  EXPECT_TRUE(store.ready(1024));
  EXPECT_EQ((*world.rows)[1024].value, 1024U);
  EXPECT_EQ(store.blocks_read(), 2U);
}

TEST(RowStore, BlocksThatWereReadStayAsFarAsThereIsRoom) {
  SeededRandom random(6);
  World world(1024);
  for (uint32_t i = 0; i < 8 * 1024; ++i) world.append(i);
  world.settle();
  const Saved saved = world.save();
  for (const size_t cached : {size_t{1}, size_t{17}, size_t{40}, size_t{5000}}) {
    ShyDisk shy(world.disk);
    world.rows = std::make_unique<Rows<Row>>("test-rows", 1024);
    const RowStore& store = world.rows->store();
    EXPECT_TRUE(
        world.rows->store().open({.disk = &shy, .directory = kDirectory, .writable = true, .cached_blocks = cached}));
    ASSERT_TRUE(world.restore(saved));
    EXPECT_EQ(store.cache_bytes(), 0U);
    const auto look_up = [&](uint32_t number) {
      store.prefetch(number);
      EXPECT_TRUE(store.ready(number));
      EXPECT_EQ((*world.rows)[number].value, number);
    };
    for (uint32_t number = 0; number < 8 * 1024; ++number) look_up(number);
    EXPECT_EQ(store.blocks_read(), 40U);
    const uint64_t kept = std::min<size_t>(cached, 40) * kBlockBytes;
    EXPECT_GE(store.cache_bytes(), kept);
    EXPECT_LE(store.cache_bytes(), kept + cached * 8 + 8 * 1024 * sizeof(uint32_t) + 1024);
    for (int i = 0; i < 1000; ++i) look_up(static_cast<uint32_t>(random.below(8 * 1024)));
    if (cached >= 40)
      EXPECT_EQ(shy.reads, 40U);
    else
      EXPECT_GT(shy.reads, 300U);
  }
}

// Of this process.
uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t all = 0;
  uint64_t resident = 0;
  statm >> all >> resident;
  return resident * 4096;
}

TEST(RowStore, ALargeCacheCostsTheBlocksThatWereRead) {
  constexpr uint32_t kPerFile = 65'536;  // a megabyte
  World world(kPerFile);
  for (uint32_t i = 0; i < 16 * kPerFile; ++i) world.append(i);
  world.settle();
  const Saved saved = world.save();
  world.rows = std::make_unique<Rows<Row>>("test-rows", kPerFile);
  RowStore& store = world.rows->store();
  RowPlace place{.disk = &world.disk, .directory = kDirectory, .writable = true, .cached_blocks = size_t{1} << 52};
  const Result<void> opened = store.open(place);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::refused);
  place.cached_blocks = 99'991;  // 400 MB
  ASSERT_TRUE(store.open(place));
  ASSERT_TRUE(world.restore(saved));
  const uint64_t before = resident_bytes();
  for (uint32_t number = 0; number < 16 * kPerFile; number += kPerFile) EXPECT_EQ((*world.rows)[number].number, number);
  EXPECT_LT(resident_bytes(), before + (uint64_t{8} << 20)) << "a huge page for each block";
  EXPECT_EQ((*world.rows)[kPerFile].number, kPerFile);
  EXPECT_EQ(store.blocks_read(), 16U);
  world.rows->store().clear();
  ASSERT_TRUE(world.restore(saved));
  EXPECT_EQ((*world.rows)[kPerFile].number, kPerFile);
  EXPECT_EQ(store.blocks_read(), 17U) << "nothing stays behind a clear";
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
  world.rows->store().settle();
  EXPECT_FALSE(*world.rows->store().write_next());
  EXPECT_FALSE(*world.disk.exists(world.path(0)));
  EXPECT_EQ(world.rows->store().full_chunks(), 3u);
  EXPECT_EQ((*world.rows)[5].number, 5u);
}

}  // namespace
}  // namespace heptane::rows
