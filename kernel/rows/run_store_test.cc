// Sorted runs against a look at every row: over restarts, power cuts, files that are gone, damaged or of other rows.
#include "kernel/rows/run_store.h"

#include <gtest/gtest.h>

#include <map>

#include "kernel/base/random.h"
#include "kernel/rows/rows.h"
#include "kernel/rows/shy_disk.h"
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
    EXPECT_TRUE(rows->store().open({&disk, kDirectory, writable}));
    runs = std::make_unique<RunStore>(rows->store().shape(), 2, keys_of);
    runs->open({&disk, kDirectory, writable});
  }
  // Rows that are in files by then go into runs.
  void settle() {
    do {  // so many at once
      rows->store().settle();
      while (*rows->store().write_next()) continue;
    } while (rows->store().durable() < rows->store().full_chunks());
    rows->store().settle();
    make_runs();
  }
  void make_runs() {
    runs->settle(rows->store());
    while (*runs->write_next()) continue;
    runs->settle(rows->store());
  }
  // Merged ones too: each level is handed over when the one below is there.
  void make_all() {
    for (uint32_t level = 0; level < RunPlace::kLevels; ++level) make_runs();
  }
  void restart() {
    std::vector<Hash128> hashes;
    for (uint32_t chunk = 0; chunk < rows->store().files(); ++chunk) hashes.push_back(rows->store().hash_of(chunk));
    boot();
    ASSERT_TRUE(rows->store().restore(hashes));
  }
  std::string path(uint32_t number) const { return path(RunPlace{0, number}); }
  std::string path(RunPlace place) const { return run_file_path(kDirectory, {"test-rows", rows_per_file_, 2}, place); }
  std::vector<std::byte> content(uint32_t number) { return content(RunPlace{0, number}); }
  std::vector<std::byte> content(RunPlace place) {
    auto file = disk.open(path(place), OpenMode::read);
    if (!file) return {};
    std::vector<std::byte> bytes(*(*file)->size());
    EXPECT_TRUE((*file)->read_at(0, bytes));
    return bytes;
  }
  void flip(uint32_t number, uint64_t offset) { flip(RunPlace{0, number}, offset); }
  void flip(RunPlace place, uint64_t offset) {
    auto file = disk.open(path(place), OpenMode::read_write);
    ASSERT_TRUE(file);
    std::byte byte{};
    ASSERT_TRUE((*file)->read_at(offset, {&byte, 1}));
    byte ^= std::byte{0x10};
    ASSERT_TRUE((*file)->write_at(offset, {&byte, 1}));
  }
  RunStore::Found find(uint32_t file, uint32_t field, uint32_t key, std::vector<uint32_t>& found) {
    found.clear();
    RunStore::Found how = RunStore::Found::not_yet;
    while (how == RunStore::Found::not_yet) how = runs->find({0, file}, field, key, false, found);
    return how;
  }
  // Of all files, as a query looks for them; where nothing is known of the key, at each row.
  std::vector<uint32_t> find_all(uint32_t field, uint32_t key) {
    std::array<std::optional<uint32_t>, 2> keys;
    keys[field] = key;
    std::vector<uint32_t> all;
    std::vector<uint32_t> found;
    levels_used = {};
    for (uint32_t file = 0; file < rows->store().files();) {
      const auto choice = runs->choose(file, keys);
      const RunPlace place = choice ? choice->place : RunPlace{0, file};
      found.clear();
      RunStore::Found how = choice ? RunStore::Found::not_yet : RunStore::Found::no_runs;
      while (how == RunStore::Found::not_yet) how = runs->find(place, field, key, false, found);
      if (choice && how == RunStore::Found::no_runs) continue;
      if (!choice) look_at_rows(file, field, key, found);
      if (choice) ++levels_used[place.level];
      for (const uint32_t row : found) all.push_back(place.first_file() * rows_per_file_ + row);
      file = place.first_file() + place.files();
    }
    return all;
  }
  void look_at_rows(uint32_t file, uint32_t field, uint32_t key, std::vector<uint32_t>& found) const {
    for (uint32_t row = 0; row < rows_per_file_; ++row) {
      const Row of = (*rows)[file * rows_per_file_ + row];
      if ((field == 0 ? of.rare : of.common) == key) found.push_back(row);
    }
  }
  std::array<uint32_t, RunPlace::kLevels> levels_used{};  // searches of the last find_all()

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
    EXPECT_FALSE(world.runs->blocks_of({0, files}, 0, 1).has_value()) << "rows in memory have no runs";
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
  EXPECT_FALSE(world.runs->blocks_of({0, 0}, 0, 1).has_value());
  EXPECT_TRUE(world.runs->blocks_of({0, 1}, 0, 1).has_value());
}

// Merged runs.

std::map<uint32_t, std::vector<uint32_t>> rows_by_key(World& world, uint32_t field) {
  std::map<uint32_t, std::vector<uint32_t>> rows;
  const uint32_t in_files = world.rows->store().files() * world.rows->store().shape().rows_per_file;
  for (uint32_t row = 0; row < in_files; ++row) {
    const Row of = (*world.rows)[row];
    if (const uint32_t key = field == 0 ? of.rare : of.common; key != 0) rows[key].push_back(row);
  }
  return rows;
}

void expect_all_found(World& world, SeededRandom& random, uint32_t one_in) {
  for (uint32_t field = 0; field < 2; ++field)
    for (const auto& [key, rows] : rows_by_key(world, field))
      if (random.one_in(one_in)) {
        ASSERT_EQ(world.find_all(field, key), rows) << "field " << field << " key " << key;
      }
  ASSERT_TRUE(world.find_all(0, 0xFFFFFFF0).empty());
}

TEST(RunStore, MergedRunsFindTheSameWithFewerSearches) {
  SeededRandom random(2);
  World world(16);
  fill(world, random, 300 * 16 + 3);
  world.settle();
  EXPECT_EQ(world.runs->files(1), 0U);
  world.make_all();
  ASSERT_EQ(world.runs->files(0), 300U);
  ASSERT_EQ(world.runs->files(1), 18U);
  ASSERT_EQ(world.runs->files(2), 1U);
  EXPECT_GT(world.runs->memory_bytes(), 319U * kBlockBytes - 1);
  expect_all_found(world, random, 1);
  // A key that is not there: one search over 256 files, two over 16, and those behind them.
  EXPECT_TRUE(world.find_all(0, 0xFFFFFFF0).empty());
  EXPECT_EQ(world.levels_used, (std::array<uint32_t, 4>{12, 2, 1, 0}));
  // Each common one is in most files, but more than four times in hardly any.
  (void)world.find_all(1, 7);
  EXPECT_GT(world.levels_used[0], 100U);
  EXPECT_EQ(world.levels_used[2], 0U);
}

TEST(RunStore, AStartTakesMergedRunsAndMakesTheSameAgain) {
  SeededRandom random(3);
  World world(16);
  fill(world, random, 260 * 16);
  world.settle();
  world.make_all();
  const std::vector<std::byte> first = world.content({1, 0});
  const std::vector<std::byte> second = world.content({2, 0});
  ASSERT_GT(second.size(), 8U * kBlockBytes);
  world.restart();
  world.disk.set_capacity(0);  // nothing has to be written
  world.make_all();
  EXPECT_EQ(world.runs->files(1), 16U);
  EXPECT_EQ(world.runs->files(2), 1U);
  expect_all_found(world, random, 20);
  world.disk.set_capacity(uint64_t{1} << 30);
  ASSERT_TRUE(world.disk.rename(world.path({1, 1}), world.path({1, 0})));  // of other rows
  world.flip({2, 0}, 100);                                                 // in the head
  world.restart();
  world.make_all();
  EXPECT_EQ(world.content({1, 0}), first);
  EXPECT_EQ(world.content({2, 0}), second);
  // On a full disk the smaller ones serve until the next start.
  ASSERT_TRUE(world.disk.unlink(world.path({2, 0})));
  world.restart();
  world.disk.set_capacity(0);
  world.make_all();
  EXPECT_EQ(world.runs->files(2), 0U);
  expect_all_found(world, random, 50);
  world.disk.set_capacity(uint64_t{1} << 30);
  world.restart();
  world.make_all();
  EXPECT_EQ(world.content({2, 0}), second);
}

TEST(RunStore, DamagedMergedRunsCostNoRow) {
  SeededRandom random(4);
  World world(16);
  fill(world, random, 256 * 16);
  world.settle();
  world.make_all();
  const std::vector<std::byte> sound = world.content({2, 0});
  std::vector<std::string> problems;
  world.runs->verify(world.rows->store(), problems);
  EXPECT_TRUE(problems.empty()) << problems.front();
  for (int i = 0; i < 30; ++i) {
    world.flip({2, 0}, random.below(sound.size()));
    problems.clear();
    world.runs->verify(world.rows->store(), problems);
    EXPECT_EQ(problems.size(), 1U);
    if (random.one_in(2)) {
      world.restart();
      world.make_all();
    }
    expect_all_found(world, random, 2);
    world.make_all();
    if (world.content({2, 0}) == sound) continue;  // a search met the place
    ASSERT_TRUE(world.disk.unlink(world.path({2, 0})));
    world.restart();
    world.make_all();
    ASSERT_EQ(world.content({2, 0}), sound);
  }
  // A part that cannot be read: it is made again, and then what is above it.
  ASSERT_TRUE(world.disk.unlink(world.path({2, 0})));
  world.restart();
  world.make_runs();
  world.runs->settle(world.rows->store());
  world.flip({1, 3}, world.content({1, 3}).size() - 9);
  world.make_runs();
  world.make_runs();
  EXPECT_EQ(world.runs->files(1), 15U);
  EXPECT_EQ(world.runs->files(2), 0U);
  expect_all_found(world, random, 5);
  world.make_all();
  EXPECT_EQ(world.content({2, 0}), sound);
  EXPECT_EQ(world.runs->files(2), 1U);
  expect_all_found(world, random, 5);
}

// What is made of other files ends nobody when one of them cannot be read: that one is made again first.
TEST(RunStore, APartThatTheDiskDoesNotReadIsMadeAgainAndMerged) {
  SeededRandom random(6);
  World world(16);
  fill(world, random, 16 * 16);
  world.settle();
  ASSERT_EQ(world.runs->files(0), 16U);
  ASSERT_TRUE(world.disk.make_unreadable(world.path(RunPlace{0, 3}), kBlockBytes));
  world.make_runs();
  EXPECT_EQ(world.runs->files(0), 15U);
  EXPECT_EQ(world.runs->files(1), 0U);
  EXPECT_FALSE(*world.disk.exists(std::string(kDirectory) + "/merge.tmp"));
  expect_all_found(world, random, 5);
  world.make_all();
  EXPECT_EQ(world.runs->files(0), 16U);
  EXPECT_EQ(world.runs->files(1), 1U);
  expect_all_found(world, random, 5);
}

// Turns of the shard in which the helper has its own; how many of them had something to make.
uint64_t turns(World& world, uint64_t count) {
  uint64_t made = 0;
  for (uint64_t i = 0; i < count; ++i) {
    world.runs->settle(world.rows->store());
    while (*world.runs->write_next()) ++made;
  }
  return made;
}

TEST(RunStore, AMergeWithoutRoomIsTriedAgainLaterAndLater) {
  SeededRandom random(7);
  World world(16);
  fill(world, random, 16 * 16);
  world.settle();
  world.disk.set_capacity(0);
  EXPECT_EQ(turns(world, 1000), 1U);
  EXPECT_EQ(turns(world, 1000), 1U);
  EXPECT_EQ(turns(world, 3000), 0U);
  world.disk.set_capacity(uint64_t{1} << 30);
  EXPECT_GE(turns(world, 2000), 1U);
  world.runs->settle(world.rows->store());
  EXPECT_EQ(world.runs->files(1), 1U);
  expect_all_found(world, random, 5);
  // Ever more rarely, but for ever.
  ASSERT_TRUE(world.disk.unlink(world.path({1, 0})));
  world.restart();
  world.make_runs();
  world.disk.set_capacity(0);
  EXPECT_EQ(turns(world, 2'000'000), 7U);
  EXPECT_EQ(turns(world, 2'000'000), 2U);
  world.disk.set_capacity(uint64_t{1} << 30);
  (void)turns(world, 1'100'000);
  EXPECT_EQ(world.runs->files(1), 1U);
}

// Each part that comes has what is above it looked at; only what is handed over is a try.
TEST(RunStore, AMergeWaitsForPartsThatComeOneByOne) {
  SeededRandom random(10);
  World world(16);
  fill(world, random, 256 * 16);
  world.settle();
  world.disk.set_capacity(0);
  (void)turns(world, 10);
  ASSERT_EQ(world.runs->files(0), 256U);
  ASSERT_EQ(world.runs->files(1), 0U);
  world.disk.set_capacity(uint64_t{1} << 30);
  for (int turn = 0; turn < 3000; ++turn) {
    world.runs->settle(world.rows->store());
    (void)*world.runs->write_next();
  }
  EXPECT_EQ(world.runs->files(1), 16U);
  EXPECT_EQ(world.runs->files(2), 1U);
  expect_all_found(world, random, 20);
}

TEST(RunStore, AMergeWorksInPiecesBetweenWhichOthersWork) {
  constexpr uint32_t kRows = 16'384;
  constexpr uint64_t kPieceBytes = uint64_t{1} << 20;
  SeededRandom random(8);
  World world(kRows);
  fill(world, random, 16 * kRows);
  world.settle();
  ASSERT_EQ(world.runs->files(0), 16U);
  world.runs->settle(world.rows->store());
  const uint32_t rare = (*world.rows)[77].rare;
  const std::vector<uint32_t> wanted = rows_by_key(world, 0)[rare];
  uint64_t pieces = 0;
  for (bool more = true; more; ++pieces) {
    const sim::SimDiskCounters before = world.disk.counters();
    const Result<bool> written = world.runs->write_next();
    ASSERT_TRUE(written);
    more = *written;
    EXPECT_LE(world.disk.counters().bytes_written - before.bytes_written, kPieceBytes + 64 * kBlockBytes);
    EXPECT_LE(world.disk.counters().bytes_read - before.bytes_read, 5 * kPieceBytes);
    EXPECT_EQ(world.find_all(0, rare), wanted);
    EXPECT_EQ(world.runs->files(1), 0U);
  }
  EXPECT_GE(pieces, 4U);
  world.runs->settle(world.rows->store());
  EXPECT_EQ(world.runs->files(1), 1U);
}

TEST(RunStore, ASearchOfWhichOneBlockNeverComesWaitsForTheDiskInTheEnd) {
  SeededRandom random(9);
  World world(65'536);
  for (uint32_t i = 0; i < 65'536; ++i) world.rows->push_back({0, 1 + static_cast<uint32_t>(random.below(20))});
  world.settle();
  ASSERT_EQ(world.runs->files(), 1U);
  ShyDisk shy(world.disk);
  world.runs = std::make_unique<RunStore>(world.rows->store().shape(), 2, keys_of);
  world.runs->open({&shy, kDirectory, true});
  world.make_runs();
  ASSERT_GE(*world.runs->blocks_of({0, 0}, 1, 7), 5U);
  const std::vector<uint32_t> wanted = rows_by_key(world, 1)[7];
  std::vector<uint32_t> found;
  const auto tries = [&] {
    found.clear();
    int count = 1;
    for (; world.runs->find({0, 0}, 1, 7, false, found) == RunStore::Found::not_yet && count < 10'000; ++count)
      EXPECT_TRUE(found.empty());
    return count;
  };
  EXPECT_EQ(tries(), 1);
  EXPECT_EQ(found, wanted);
  // The last of its blocks.
  uint64_t last = 0;
  shy.on_read = [&](const std::string&, uint64_t offset) { return last = std::max(last, offset), true; };
  EXPECT_EQ(tries(), 1);
  shy.on_read = [&](const std::string&, uint64_t offset) { return offset != last; };
  for (int i = 0; i < 2; ++i) {
    const int count = tries();
    EXPECT_GT(count, 100);
    EXPECT_LT(count, 10'000);
    EXPECT_EQ(found, wanted);
  }
  // Of a system that cannot say what it has little is expected.
  shy.on_read = [](const std::string&, uint64_t) { return false; };
  world.runs = std::make_unique<RunStore>(world.rows->store().shape(), 2, keys_of);
  world.runs->open({&shy, kDirectory, true});
  world.make_runs();
  EXPECT_LT(tries(), 40);
  EXPECT_EQ(found, wanted);
}

TEST(RunStore, PowerCutsWhileRunsAreMergedLoseNoRow) {
  constexpr sim::CrashMode kModes[] = {sim::CrashMode::lose_all, sim::CrashMode::keep_all, sim::CrashMode::prefix,
                                       sim::CrashMode::random, sim::CrashMode::hostile};
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SeededRandom random(seed);
    World world(16, seed);
    fill(world, random, 40 * 16);
    world.settle();
    world.runs->settle(world.rows->store());
    world.disk.crash_after_operations(random.below(30));
    for (int i = 0; i < 4; ++i) (void)world.runs->write_next().ok();
    world.disk.crash(kModes[random.below(std::size(kModes))]);
    world.restart();
    world.make_all();
    ASSERT_EQ(world.runs->files(1), 2U);
    expect_all_found(world, random, 3);
  }
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
