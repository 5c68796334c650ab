// Sorted runs against a look at every row: over restarts, power cuts, files that are gone, damaged or of other rows.
#include "kernel/rows/run_store.h"

#include <gtest/gtest.h>

#include <map>

#include "kernel/base/random.h"
#include "kernel/rows/rows.h"
#include "sim/sim_disk.h"

namespace heptane::rows {
namespace {

constexpr const char* kDirectory = "rows";

struct Row {
  uint32_t rare;    // 0: none
  uint32_t common;  // 0: none
};

void keys_of(const std::byte* row, std::optional<uint32_t>* keys) {
  Row of;
  std::memcpy(&of, row, sizeof of);
  if (of.rare != 0) keys[0] = of.rare;
  if (of.common != 0) keys[1] = of.common;
}

struct World {
  explicit World(uint32_t rows_per_file, uint64_t seed = 1)
      : disk(sim::SimDiskOptions{.seed = seed, .immediate = true}), rows_per_file_(rows_per_file) {
    EXPECT_TRUE(disk.make_directory(kDirectory));
    EXPECT_TRUE(disk.sync_directory("."));
    boot();
  }
  void boot(bool writable = true) {
    rows = std::make_unique<Rows<Row>>("test-rows", rows_per_file_);
    rows->store().open({&disk, kDirectory, writable});
    runs = std::make_unique<RunStore>(rows->store().shape(), 2, keys_of);
    runs->open({&disk, kDirectory, writable});
  }
  // Rows that are in files by then go into runs.
  void settle() {
    rows->store().settle();
    while (*rows->store().write_next()) continue;
    rows->store().settle();
    make_runs();
  }
  void make_runs() {
    runs->settle(rows->store());
    while (*runs->write_next()) continue;
    runs->settle(rows->store());
  }
  void restart() {
    std::vector<Hash128> hashes;
    for (uint32_t chunk = 0; chunk < rows->store().files(); ++chunk) hashes.push_back(rows->store().hash_of(chunk));
    boot();
    ASSERT_TRUE(rows->store().restore(hashes));
  }
  std::string path(uint32_t number) const {
    return run_file_path(kDirectory, {"test-rows", rows_per_file_, 2}, number);
  }
  std::vector<std::byte> content(uint32_t number) {
    auto file = disk.open(path(number), OpenMode::read);
    if (!file) return {};
    std::vector<std::byte> bytes(*(*file)->size());
    EXPECT_TRUE((*file)->read_at(0, bytes));
    return bytes;
  }
  void flip(uint32_t number, uint64_t offset) {
    auto file = disk.open(path(number), OpenMode::read_write);
    ASSERT_TRUE(file);
    std::byte byte{};
    ASSERT_TRUE((*file)->read_at(offset, {&byte, 1}));
    byte ^= std::byte{0x10};
    ASSERT_TRUE((*file)->write_at(offset, {&byte, 1}));
  }
  RunStore::Found find(uint32_t file, uint32_t field, uint32_t key, std::vector<uint32_t>& found) {
    found.clear();
    RunStore::Found how = RunStore::Found::not_yet;
    while (how == RunStore::Found::not_yet) how = runs->find(file, field, key, false, found);
    return how;
  }

  sim::SimDisk disk;
  std::unique_ptr<Rows<Row>> rows;
  std::unique_ptr<RunStore> runs;

 private:
  uint32_t rows_per_file_;
};

void fill(World& world, SeededRandom& random, uint32_t rows) {
  for (uint32_t i = 0; i < rows; ++i) {
    const auto rare = static_cast<uint32_t>(random.below(4) == 0 ? 0 : 1 + random.below(rows * 2));
    world.rows->push_back({rare == 17 ? rare | 0xFFFF0000U : rare, static_cast<uint32_t>(random.below(40))});
  }
}

// Each key of each file, and keys that none has.
void expect_found(World& world, uint32_t files, uint32_t rows_per_file) {
  const uint32_t most = RunShape{"", rows_per_file, 2}.rows_most();
  std::vector<uint32_t> found;
  for (uint32_t file = 0; file < files; ++file)
    for (uint32_t field = 0; field < 2; ++field) {
      std::map<uint32_t, std::vector<uint32_t>> wanted;
      for (uint32_t key = 0; key < 3; ++key) wanted[key * 1000 + 1];  // perhaps none
      for (uint32_t row = 0; row < rows_per_file; ++row) {
        const Row of = (*world.rows)[file * rows_per_file + row];
        if (const uint32_t key = field == 0 ? of.rare : of.common; key != 0) wanted[key].push_back(row);
      }
      for (const auto& [key, rows] : wanted) {
        const RunStore::Found how = world.find(file, field, key, found);
        ASSERT_EQ(how == RunStore::Found::yes, rows.size() <= most) << "key " << key << " of " << rows.size();
        if (how == RunStore::Found::yes) {
          ASSERT_EQ(found, rows) << "key " << key;
        }
      }
    }
}

TEST(RunStore, FindsWhatALookAtEveryRowFinds) {
  for (const uint32_t rows_per_file : {8U, 512U, 4096U, 65536U}) {
    SCOPED_TRACE(rows_per_file);
    SeededRandom random(rows_per_file);
    World world(rows_per_file);
    const uint32_t files = rows_per_file == 65536 ? 1 : 3;
    fill(world, random, files * rows_per_file + 3);
    world.settle();
    ASSERT_EQ(world.runs->files(), files);
    expect_found(world, files, rows_per_file);
    EXPECT_FALSE(world.runs->blocks_of(files, 0, 1).has_value()) << "rows in memory have no runs";
  }
}

TEST(RunStore, AStartTakesWhatItFindsAndMakesTheSameAgainWhereThereIsNothing) {
  SeededRandom random(1);
  World world(512);
  fill(world, random, 4 * 512);
  world.settle();
  std::vector<std::vector<std::byte>> first;
  for (uint32_t file = 0; file < 4; ++file) first.push_back(world.content(file));
  world.restart();
  EXPECT_EQ(world.runs->files(), 0U);
  world.disk.set_capacity(0);  // nothing can be written, and nothing has to be
  world.make_runs();
  EXPECT_EQ(world.runs->files(), 4U);
  world.disk.set_capacity(uint64_t{1} << 30);
  expect_found(world, 4, 512);
  ASSERT_TRUE(world.disk.unlink(world.path(0)));
  ASSERT_TRUE(world.disk.rename(world.path(2), world.path(1)));  // of other rows
  world.flip(3, 100);                                            // in the head
  world.restart();
  world.make_runs();
  expect_found(world, 4, 512);
  for (uint32_t file = 0; file < 4; ++file) EXPECT_EQ(world.content(file), first[file]) << file;
}

TEST(RunStore, RotIsNeverBelievedAndIsMadeAgain) {
  SeededRandom random(1);
  World world(2048);
  fill(world, random, 2048);
  world.settle();
  const std::vector<std::byte> sound = world.content(0);
  const uint64_t size = sound.size();
  ASSERT_GT(size, 4U * kBlockBytes);
  std::vector<std::string> problems;
  world.runs->verify(world.rows->store(), problems);
  EXPECT_TRUE(problems.empty());
  for (int i = 0; i < 200; ++i) {
    const uint64_t offset = random.below(size);
    world.flip(0, offset);
    world.restart();
    world.make_runs();
    ASSERT_EQ(world.runs->files(), 1U);
    if (offset >= kBlockBytes) {
      problems.clear();
      world.runs->verify(world.rows->store(), problems);
      EXPECT_EQ(problems.size(), 1U);
    }
    // Whoever comes to the damaged block is told to look at all rows; nobody gets others.
    std::vector<uint32_t> found;
    for (uint32_t row = 0; row < 2048; ++row)
      for (uint32_t field = 0; field < 2; ++field) {
        const Row of = (*world.rows)[row];
        const uint32_t key = field == 0 ? of.rare : of.common;
        if (key == 0 || world.find(0, field, key, found) == RunStore::Found::no_runs) continue;
        ASSERT_TRUE(std::ranges::find(found, row) != found.end());
      }
    world.make_runs();
    ASSERT_EQ(world.runs->files(), 1U);
    ASSERT_EQ(world.content(0), sound) << "a flip at " << offset << " stays";
  }
}

TEST(RunStore, PowerCutsLeaveRowsThatAreFound) {
  constexpr sim::CrashMode kModes[] = {sim::CrashMode::lose_all, sim::CrashMode::keep_all, sim::CrashMode::prefix,
                                       sim::CrashMode::random, sim::CrashMode::hostile};
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SeededRandom random(seed);
    World world(64, seed);
    fill(world, random, 10 * 64);
    world.rows->store().settle();
    while (*world.rows->store().write_next()) continue;
    world.rows->store().settle();
    world.runs->settle(world.rows->store());
    for (uint64_t made = random.below(11); made > 0; --made) ASSERT_TRUE(world.runs->write_next());
    world.disk.crash(kModes[random.below(std::size(kModes))]);
    world.restart();
    world.make_runs();
    ASSERT_EQ(world.runs->files(), 10U);
    expect_found(world, 10, 64);
  }
}

TEST(RunStore, RowsThatCannotBeReadHaveNoRunsAndAFullDiskIsTriedAgain) {
  SeededRandom random(1);
  World world(64);
  fill(world, random, 64 * 2);
  world.rows->store().settle();
  while (*world.rows->store().write_next()) continue;
  world.rows->store().settle();
  world.runs->settle(world.rows->store());
  ASSERT_TRUE(world.disk.unlink(row_file_path(kDirectory, world.rows->store().shape(), 0)));
  ASSERT_TRUE(*world.runs->write_next());
  world.disk.set_capacity(0);
  EXPECT_FALSE(*world.runs->write_next());
  world.disk.set_capacity(uint64_t{1} << 30);
  world.make_runs();
  EXPECT_EQ(world.runs->files(), 1U);
  EXPECT_FALSE(world.runs->blocks_of(0, 0, 1).has_value());
  EXPECT_TRUE(world.runs->blocks_of(1, 0, 1).has_value());
}

TEST(RunStore, BesideAServerNothingIsWritten) {
  SeededRandom random(1);
  World world(64);
  fill(world, random, 64);
  world.settle();
  ASSERT_TRUE(world.disk.unlink(world.path(0)));
  const Hash128 hash = world.rows->store().hash_of(0);
  world.boot(false);
  ASSERT_TRUE(world.rows->store().restore({hash}));
  world.make_runs();
  EXPECT_EQ(world.runs->files(), 0U);
  EXPECT_FALSE(*world.disk.exists(world.path(0)));
}

}  // namespace
}  // namespace heptane::rows
