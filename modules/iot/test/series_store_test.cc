// The store against a map, over restarts, power cuts and drops.
#include <gtest/gtest.h>

#include <random>

#include "modules/iot/gateway/series/series_http.h"
#include "modules/iot/gateway/series/series_store.h"
#include "modules/iot/gateway/series/statement_run.h"
#include "sim/sim_disk.h"

namespace heptane::iot::series {
namespace {

using Random = std::mt19937_64;
constexpr uint64_t kHeadBytes = 4'096;
constexpr const char* kDirectory = "data/series";

struct Record {
  std::string database;
  std::string lines;
};

// What there must be: by database, series, field: values by time.
using Model = std::map<std::string, std::map<std::pair<std::string, std::string>, std::map<int64_t, double>>>;

Record any_record(Random& random) {
  Record record{random() % 4 == 0 ? "b" : "a", ""};
  if (random() % 60 == 0) return record;
  for (uint64_t i = 1 + random() % 20; i > 0; --i)
    record.lines += "m,h=" + std::to_string(random() % 5) + " v=" + std::to_string(random() % 100) +
                    ",w=" + std::to_string(random() % 100) + " " + std::to_string(random() % 300) + "\n";
  return record;
}

Model model_of(const std::vector<Record>& records, size_t count) {
  Model model;
  for (size_t i = 0; i < count; ++i) {
    if (records[i].lines.empty()) model.erase(records[i].database);
    LineReader reader(records[i].lines);
    Line line;
    while (reader.next(line))
      for (const Field& field : line.fields)
        model[records[i].database][{std::string(line.head), std::string(field.name)}][*line.time] = field.value.real;
  }
  return model;
}

Model content_of(const SeriesStore& store) {
  Model content;
  for (const std::string database : {"a", "b"}) {
    const auto source = store.source(database);
    if (!source) continue;
    for (const SeriesEntry* entry : source->series("m"))
      for (const FieldInfo& field : source->fields("m")) {
        TimeRange range;
        for (bool last = false; !last;) {
          const auto piece = source->points(*entry, field.written, range);
          EXPECT_TRUE(piece.ok());
          if (!piece.ok()) return content;
          auto& values = content[database][{entry->key, field.name}];
          for (size_t i = 0; i < piece->column.size(); ++i) {
            EXPECT_TRUE(values.empty() || values.rbegin()->first < piece->column.times[i]);
            values[piece->column.times[i]] = piece->column.real(i);
          }
          last = piece->last;
          range.from = piece->next_from;
        }
      }
  }
  return content;
}

void load(SeriesStore& store) {
  while (store.load()) {
  }
}

// As the projection does; stops where the store has failed.
void feed(SeriesStore& store, const std::vector<Record>& records, size_t until, Random& random) {
  for (auto at = static_cast<size_t>(store.applied()); at < until && store.failed().empty(); ++at) {
    store.take(static_cast<Offset>(at), records[at].database, records[at].lines);
    if (store.flush_due() || random() % 50 == 0) store.begin_flush();
    if (random() % 2 == 0) store.flush();
    if (random() % 2 == 0 && store.upkeep_due()) store.upkeep();
  }
}

std::vector<Record> any_records(Random& random, size_t count) {
  std::vector<Record> records;
  for (size_t i = 0; i < count; ++i) records.push_back(any_record(random));
  return records;
}

TEST(SeriesStore, HoldsWhatAMapHolds) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Random random(seed);
    sim::SimDisk disk(seed);
    const std::vector<Record> records = any_records(random, 200);
    for (size_t until = 40; until <= records.size(); until += 40) {
      SeriesStore store(disk, kDirectory, kHeadBytes);
      load(store);
      feed(store, records, until, random);
      ASSERT_EQ(store.failed(), "");
      ASSERT_EQ(content_of(store), model_of(records, until)) << "seed " << seed << " until " << until;
    }
  }
}

// In another order in each line, over files and restarts.
TEST(SeriesStore, ASeriesHasManyFields) {
  Random random(7);
  sim::SimDisk disk(7);
  std::vector<Record> records;
  for (int i = 0; i < 40; ++i) {
    std::string fields;
    for (uint64_t left = 1 + random() % 30; left > 0; --left)
      fields += (fields.empty() ? "f" : ",f") + std::to_string(random() % 50) + "=" + std::to_string(random() % 100);
    records.push_back({"a", "m,h=1 " + fields + " " + std::to_string(random() % 20) + "\n"});
  }
  for (const size_t until : {size_t{20}, records.size()}) {
    SeriesStore store(disk, kDirectory, kHeadBytes);
    load(store);
    feed(store, records, until, random);
    ASSERT_EQ(content_of(store), model_of(records, until)) << until;
  }
}

// Cut off after any operation: what is there after the restart is what a manifest covers, and the log gives the rest.
TEST(SeriesStore, LosesNothingInAPowerCut) {
  const sim::CrashMode modes[] = {sim::CrashMode::lose_all, sim::CrashMode::keep_all, sim::CrashMode::prefix,
                                  sim::CrashMode::random, sim::CrashMode::hostile};
  size_t covered = 0;
  uint64_t merges = 0;
  for (uint64_t seed = 1; seed <= 250; ++seed) {
    Random random(seed);
    sim::SimDisk disk(seed);
    const std::vector<Record> records = any_records(random, 160);
    {
      SeriesStore store(disk, kDirectory, kHeadBytes);
      disk.crash_after_operations(random() % 240);
      load(store);
      feed(store, records, records.size(), random);
      merges += store.merges_count();
    }
    disk.crash(modes[seed % 5], seed);
    SeriesStore store(disk, kDirectory, kHeadBytes);
    load(store);
    ASSERT_EQ(store.failed(), "") << "seed " << seed;
    const auto begun = static_cast<size_t>(store.applied());
    covered += begun;
    ASSERT_EQ(content_of(store), model_of(records, begun)) << "seed " << seed;
    feed(store, records, records.size(), random);
    ASSERT_EQ(content_of(store), model_of(records, records.size())) << "seed " << seed;
  }
  EXPECT_GT(covered, 1'000U) << "files were believed";
  EXPECT_GT(merges, 20U) << "some became one before the cut";
}

// Killed between the rename of a manifest and the sync of its directory; the next start works by it, and then the power is cut.
TEST(SeriesStore, LosesNothingInAKillAndThenAPowerCut) {
  size_t covered = 0;
  for (uint64_t seed = 1; seed <= 250; ++seed) {
    Random random(seed);
    sim::SimDisk disk(seed);
    const std::vector<Record> records = any_records(random, 160);
    {
      SeriesStore store(disk, kDirectory, kHeadBytes);
      disk.crash_after_operations(random() % 240);
      load(store);
      feed(store, records, records.size(), random);
    }
    disk.process_kill();
    {
      SeriesStore store(disk, kDirectory, kHeadBytes);
      load(store);
      ASSERT_EQ(store.failed(), "") << "seed " << seed;
    }
    disk.crash(sim::CrashMode::hostile, seed);
    SeriesStore store(disk, kDirectory, kHeadBytes);
    load(store);
    ASSERT_EQ(store.failed(), "") << "seed " << seed;
    const auto begun = static_cast<size_t>(store.applied());
    covered += begun;
    ASSERT_EQ(content_of(store), model_of(records, begun)) << "seed " << seed;
    feed(store, records, records.size(), random);
    ASSERT_EQ(content_of(store), model_of(records, records.size())) << "seed " << seed;
  }
  EXPECT_GT(covered, 1'000U);
}

TEST(SeriesStore, ADamagedFileIsSaid) {
  Random random(5);
  sim::SimDisk disk(5);
  std::vector<Record> records = any_records(random, 60);
  std::erase_if(records, [](const Record& record) { return record.lines.empty(); });
  {
    SeriesStore store(disk, kDirectory, kHeadBytes);
    load(store);
    feed(store, records, records.size(), random);
    store.begin_flush();
    while (store.flush()) {
    }
    ASSERT_GT(store.files_count(), 0U);
  }
  for (const std::string& file : disk.files()) {
    const std::unique_ptr<sim::SimDisk> copy = disk.clone();
    ASSERT_TRUE(copy->flip_bit(file).ok());
    SeriesStore store(*copy, kDirectory, kHeadBytes);
    load(store);
    bool said = !store.failed().empty();
    for (const std::string database : {"a", "b"}) {
      const auto source = store.source(database);
      if (!source) continue;
      for (const SeriesEntry* entry : source->series("m"))
        for (const FieldInfo& field : source->fields("m")) {
          TimeRange range;
          for (bool last = false; !last && !said;) {
            const auto piece = source->points(*entry, field.written, range);
            said = !piece.ok();
            if (said) break;
            last = piece->last;
            range.from = piece->next_from;
          }
        }
    }
    EXPECT_TRUE(said) << file;
  }
}

// What fails stays failed until the restart, which finds what a manifest covers; a failed sync is never taken for a good one.
TEST(SeriesStore, LosesNothingWhenTheDiskFails) {
  using sim::SimFault;
  const SimFault kinds[] = {SimFault::sync_error,
                            SimFault::sync_error_partial,
                            SimFault::write_error,
                            SimFault::write_error_partial,
                            SimFault::directory_sync_error,
                            SimFault::metadata_error,
                            SimFault::no_space};
  size_t failed = 0;
  for (uint64_t seed = 1; seed <= 140; ++seed) {
    Random random(seed);
    sim::SimDisk disk(seed);
    const std::vector<Record> records = any_records(random, 120);
    {
      SeriesStore store(disk, kDirectory, kHeadBytes);
      load(store);
      disk.inject(kinds[seed % std::size(kinds)], random() % 60);
      feed(store, records, records.size(), random);
      failed += store.failed().empty() ? 0 : 1;
    }
    disk.clear_faults();
    if (seed % 2 == 0 || disk.lost_names())
      disk.crash(sim::CrashMode::hostile, seed);
    else
      disk.process_kill();
    SeriesStore store(disk, kDirectory, kHeadBytes);
    load(store);
    ASSERT_EQ(store.failed(), "") << "seed " << seed;
    const auto begun = static_cast<size_t>(store.applied());
    ASSERT_EQ(content_of(store), model_of(records, begun)) << "seed " << seed;
    feed(store, records, records.size(), random);
    ASSERT_EQ(content_of(store), model_of(records, records.size())) << "seed " << seed;
  }
  EXPECT_GT(failed, 80U);
}

TEST(SeriesStore, AFullDiskIsSaid) {
  Random random(6);
  sim::SimDisk disk(6);
  SeriesStore store(disk, kDirectory, kHeadBytes);
  load(store);
  disk.inject(sim::SimFault::no_space);
  feed(store, any_records(random, 100), 100, random);
  EXPECT_NE(store.failed(), "");
}

// Writes all there is to a file.
void write_out(SeriesStore& store) {
  store.begin_flush();
  while (store.flush()) {
  }
  ASSERT_EQ(store.failed(), "");
}

size_t chunk_files(sim::SimDisk& disk) {
  const auto names = disk.list(kDirectory);
  if (!names) return 0;
  return static_cast<size_t>(
      std::count_if(names->begin(), names->end(), [](const std::string& name) { return name.ends_with(".chunks"); }));
}

TEST(SeriesStore, AFileGoesWhenAllInItIsDropped) {
  sim::SimDisk disk(7);
  Offset at = 0;
  {
    SeriesStore store(disk, kDirectory, kHeadBytes);
    load(store);
    store.take(at++, "a", "m v=1 1\n");
    store.take(at++, "b", "m v=1 1\n");
    write_out(store);
    store.take(at++, "a", "m v=2 2\n");
    write_out(store);
    store.take(at++, "a", "");
    EXPECT_TRUE(store.flush_due());
    write_out(store);
    EXPECT_EQ(chunk_files(disk), 1U) << "b is in the other";
    EXPECT_EQ(store.files_count(), 1U);
  }
  SeriesStore store(disk, kDirectory, kHeadBytes);
  load(store);
  EXPECT_EQ(store.source("a"), nullptr);
  EXPECT_NE(store.source("b"), nullptr);
  store.take(at++, "b", "");
  write_out(store);
  EXPECT_EQ(chunk_files(disk), 0U);
  store.take(at++, "a", "m v=3 3\n");
  write_out(store);
  SeriesStore again(disk, kDirectory, kHeadBytes);
  load(again);
  EXPECT_EQ(again.failed(), "");
  EXPECT_EQ(content_of(again), (Model{{"a", {{{"m", "v"}, {{3, 3.0}}}}}}));
}

TEST(SeriesStore, ManyFilesAreReadThroughFewOpenOnes) {
  sim::SimDisk disk(8);
  SeriesStore store(disk, kDirectory, kHeadBytes);
  load(store);
  Model model;
  for (Offset at = 0; at < 100; ++at) {
    store.take(at, "a", "m v=" + std::to_string(at) + " " + std::to_string(at) + "\n");
    model["a"][{"m", "v"}][at] = static_cast<double>(at);
    write_out(store);
  }
  EXPECT_EQ(chunk_files(disk), 100U);
  EXPECT_EQ(content_of(store), model);
}

// Their points are those of before at every step, also when a file holds older times than the one before it.
TEST(SeriesStore, SmallFilesBecomeOne) {
  sim::SimDisk disk(12);
  Model model;
  Random random(12);
  uint64_t memory = 0;
  {
    SeriesStore store(disk, kDirectory, kHeadBytes);
    load(store);
    for (Offset at = 0; at < 100; ++at) {
      const auto time = static_cast<int64_t>(random() % 400);
      store.take(at, "a", "m v=" + std::to_string(at) + " " + std::to_string(time) + "\n");
      model["a"][{"m", "v"}][time] = static_cast<double>(at);
      write_out(store);
    }
    memory = store.memory_bytes();
    ASSERT_TRUE(store.upkeep_due());
    for (Offset at = 100; store.upkeep_due(); ++at) {
      store.upkeep();
      ASSERT_EQ(store.failed(), "");
      ASSERT_EQ(content_of(store), model);
      if (at % 2 == 0) continue;
      store.take(store.applied(), "a", "m v=7 " + std::to_string(at) + "\n");
      model["a"][{"m", "v"}][at] = 7;
      if (at < 140) write_out(store);
    }
    EXPECT_LT(store.files_count(), 10U);
    EXPECT_EQ(chunk_files(disk), store.files_count());
    EXPECT_LT(store.memory_bytes(), memory);
    write_out(store);
  }
  SeriesStore store(disk, kDirectory, kHeadBytes);
  load(store);
  EXPECT_EQ(content_of(store), model);
}

TEST(SeriesStore, ADatabaseIsDroppedWhileFilesBecomeOne) {
  for (int steps = 0; steps < 6; ++steps) {
    sim::SimDisk disk(13);
    SeriesStore store(disk, kDirectory, kHeadBytes);
    load(store);
    Offset at = 0;
    for (int i = 0; i < 10; ++i) {
      store.take(at++, i % 2 == 0 ? "a" : "b", "m v=1 " + std::to_string(i) + "\n");
      write_out(store);
    }
    for (int i = 0; i < steps; ++i) store.upkeep();
    store.take(at++, "a", "");
    ASSERT_EQ(store.failed(), "");
    EXPECT_EQ(store.source("a"), nullptr);
    write_out(store);
    while (store.upkeep_due()) store.upkeep();
    store.take(at++, "a", "m v=2 2\n");
    write_out(store);
    const Model model = content_of(store);
    EXPECT_EQ(model.at("a"), (Model::mapped_type{{{"m", "v"}, {{2, 2.0}}}}));
    EXPECT_EQ(model.at("b").begin()->second.size(), 5U);
    SeriesStore again(disk, kDirectory, kHeadBytes);
    load(again);
    EXPECT_EQ(content_of(again), model);
    EXPECT_EQ(chunk_files(disk), again.files_count()) << "after " << steps;
  }
}

TEST(SeriesStore, WhatADroppedDatabaseTookIsFree) {
  sim::SimDisk disk(14);
  SeriesStore store(disk, kDirectory, uint64_t{1} << 20);
  load(store);
  std::string lines;
  for (int i = 0; i < 5'000; ++i) lines += "m,h=" + std::to_string(i) + " v=1,w=2 1\n";
  store.take(0, "a", lines);
  store.take(1, "b", "m v=1 1\n");
  const uint64_t all = store.memory_bytes();
  EXPECT_GT(all, 5'000U * 800);
  store.take(2, "a", "");
  EXPECT_EQ(store.memory_bytes(), all) << "it is there until it is let go";
  store.sweep();
  EXPECT_LT(store.memory_bytes(), all * 3 / 4);
  EXPECT_GT(store.memory_bytes(), all / 4);
  size_t slices = 0;
  for (; store.upkeep_due() && slices < 10; ++slices) store.upkeep();
  EXPECT_GT(slices, 1U);
  EXPECT_FALSE(store.upkeep_due());
  const uint64_t rest = store.memory_bytes();
  EXPECT_GT(rest, 0U);
  EXPECT_LT(rest, 2'000U) << "b alone";
}

// A merge of others' files goes on.
TEST(SeriesStore, AMergeOutlivesTheDropOfAnotherDatabase) {
  sim::SimDisk disk(15);
  SeriesStore store(disk, kDirectory, uint64_t{64} << 20);
  load(store);
  Offset at = 0;
  for (int i = 0; i < 8; ++i) {
    std::string lines;
    for (int h = 0; h < 5'000; ++h) lines += "m,h=" + std::to_string(h) + " v=1 " + std::to_string(i) + "\n";
    store.take(at++, "a", lines);
    write_out(store);
  }
  store.take(at++, "b", "m v=1 1\n");
  ASSERT_TRUE(store.upkeep_due());
  ASSERT_TRUE(store.upkeep());
  const size_t begun = chunk_files(disk);
  EXPECT_EQ(begun, 9U) << "the new one is among them";
  store.take(at++, "b", "");
  EXPECT_EQ(chunk_files(disk), begun) << "b is in none of them";
  store.take(at++, "a", "");
  EXPECT_EQ(chunk_files(disk), 8U);
  EXPECT_EQ(store.failed(), "");
}

// Nine files of one point each, at the times 0 to 8.
void nine_files(SeriesStore& store) {
  for (Offset at = store.applied(), end = at + 9; at < end; ++at) {
    store.take(at, "a", "m v=" + std::to_string(at) + " " + std::to_string(at) + "\n");
    write_out(store);
  }
}

// Its points cannot be shown; nothing else stops for it, after restarts neither.
TEST(SeriesStore, FilesThatCannotBeReadStayAsTheyAre) {
  for (const bool damaged : {true, false}) {
    sim::SimDisk disk(16);
    {
      SeriesStore store(disk, kDirectory, kHeadBytes);
      load(store);
      nine_files(store);
    }
    const std::string path = std::string(kDirectory) + "/" + chunk_file_name(3);
    SeriesStore store(disk, kDirectory, kHeadBytes);
    load(store);
    if (damaged)
      ASSERT_TRUE(disk.corrupt(path, 10, std::byte{1}).ok());
    else
      ASSERT_TRUE(disk.make_unreadable(path, 10).ok());
    for (int slices = 0; store.upkeep_due() && slices < 20; ++slices) store.upkeep();
    EXPECT_FALSE(store.upkeep_due());
    EXPECT_EQ(store.failed(), "");
    EXPECT_EQ(chunk_files(disk), 9U) << "and no piece of the new one";
    EXPECT_NE(store.take_notice().find("cannot be read"), std::string::npos);
    EXPECT_EQ(store.take_notice(), "");
    const auto piece = store.source("a")->points(*store.source("a")->series("m")[0], "v", {8, 8});
    ASSERT_TRUE(piece.ok());
    EXPECT_EQ(piece->column.size(), 1U);
    nine_files(store);
    nine_files(store);
    while (store.upkeep_due()) store.upkeep();
    EXPECT_EQ(store.failed(), "");
    EXPECT_LT(chunk_files(disk), 20U) << "the others become one";
    EXPECT_GT(store.merges_count(), 0U);
  }
}

TEST(SeriesStore, NothingIsMergedWhereTheDiskHasLittleRoom) {
  sim::SimDisk disk(17);
  SeriesStore store(disk, kDirectory, kHeadBytes);
  load(store);
  nine_files(store);
  disk.set_capacity(disk.used_bytes() + SeriesStore::kFreeBytesMin);
  ASSERT_TRUE(store.upkeep_due());
  store.upkeep();
  EXPECT_FALSE(store.upkeep_due());
  EXPECT_EQ(store.failed(), "");
  EXPECT_EQ(chunk_files(disk), 9U);
  EXPECT_NE(store.take_notice().find("bytes free"), std::string::npos);
  disk.set_capacity(uint64_t{1} << 40);
  nine_files(store);
  while (store.upkeep_due()) store.upkeep();
  EXPECT_LT(chunk_files(disk), 18U);
}

TEST(SeriesStore, AMergeThatCannotBeWrittenIsGivenUp) {
  using sim::SimFault;
  for (const SimFault fault : {SimFault::no_space, SimFault::write_error, SimFault::write_error_partial,
                               SimFault::sync_error, SimFault::metadata_error}) {
    sim::SimDisk disk(18);
    SeriesStore store(disk, kDirectory, kHeadBytes);
    load(store);
    nine_files(store);
    disk.inject(fault);
    store.upkeep();
    EXPECT_EQ(disk.counters().faults, 1U);
    EXPECT_FALSE(store.upkeep_due()) << "not again at once";
    EXPECT_EQ(store.failed(), "");
    EXPECT_EQ(chunk_files(disk), 9U) << "no piece of it is left";
    EXPECT_NE(store.take_notice(), "");
    nine_files(store);
    while (store.upkeep_due()) store.upkeep();
    EXPECT_GT(store.merges_count(), 0U);
    EXPECT_EQ(content_of(store).at("a").begin()->second.size(), 18U);
  }
}

TEST(SeriesStore, AGapIsKept) {
  sim::SimDisk disk(9);
  {
    SeriesStore store(disk, kDirectory, kHeadBytes);
    load(store);
    store.take(0, "a", "m v=1 1\n");
    write_out(store);
    store.skip_to(11);
    EXPECT_EQ(store.gap_records(), 10U);
    store.take(11, "a", "m v=2 2\n");
    write_out(store);
  }
  SeriesStore store(disk, kDirectory, kHeadBytes);
  load(store);
  EXPECT_EQ(store.gap_records(), 10U);
  EXPECT_EQ(store.applied(), 12);
}

TEST(SeriesStore, AnotherLogIsRefused) {
  sim::SimDisk disk(10);
  {
    SeriesStore store(disk, kDirectory, kHeadBytes, LogId{std::byte{1}});
    load(store);
    store.take(0, "a", "m v=1 1\n");
    write_out(store);
  }
  SeriesStore other(disk, kDirectory, kHeadBytes, LogId{std::byte{2}});
  load(other);
  EXPECT_NE(other.failed().find("another log"), std::string::npos) << other.failed();
  SeriesStore store(disk, kDirectory, kHeadBytes, LogId{std::byte{1}});
  load(store);
  EXPECT_EQ(store.failed(), "");
  store.refuse_log(0);
  EXPECT_NE(store.failed().find("ends at 0"), std::string::npos) << store.failed();
}

TEST(SeriesStore, FilesWithoutTheirManifestStay) {
  sim::SimDisk disk(11);
  {
    SeriesStore store(disk, kDirectory, kHeadBytes);
    load(store);
    for (Offset at = 0; at < 3; ++at) {
      store.take(at, "a", "m v=1 1\n");
      write_out(store);
    }
  }
  ASSERT_TRUE(disk.unlink(std::string(kDirectory) + "/MANIFEST").ok());
  SeriesStore store(disk, kDirectory, kHeadBytes);
  load(store);
  EXPECT_NE(store.failed().find("no MANIFEST"), std::string::npos) << store.failed();
  EXPECT_GE(chunk_files(disk), 2U);
}

// The first file is one as well, when it is whole.
TEST(SeriesStore, TheFirstFileWithoutItsManifestStays) {
  sim::SimDisk disk(19);
  {
    SeriesStore store(disk, kDirectory, kHeadBytes);
    load(store);
    store.take(0, "a", "m v=1 1\n");
    write_out(store);
  }
  const std::string path = std::string(kDirectory) + "/" + chunk_file_name(1);
  ASSERT_TRUE(disk.unlink(std::string(kDirectory) + "/MANIFEST").ok());
  const std::unique_ptr<sim::SimDisk> cut_off = disk.clone();
  SeriesStore store(disk, kDirectory, kHeadBytes);
  load(store);
  EXPECT_NE(store.failed().find("no MANIFEST"), std::string::npos) << store.failed();
  EXPECT_EQ(chunk_files(disk), 1U);
  ASSERT_TRUE((*cut_off->open(path, OpenMode::read_write))->truncate(30).ok());
  SeriesStore other(*cut_off, kDirectory, kHeadBytes);
  load(other);
  EXPECT_EQ(other.failed(), "");
  EXPECT_EQ(chunk_files(*cut_off), 0U);
}

std::vector<std::byte> content_of_file(sim::SimDisk& disk, const std::string& path) {
  auto file = disk.open(path, OpenMode::read);
  std::vector<std::byte> bytes((*file)->size().value());
  EXPECT_TRUE((*file)->read_at(0, bytes).ok());
  return bytes;
}

// Its successor's files are all there is then: they stay.
TEST(SeriesStore, AnOlderManifestDeletesNothing) {
  const std::string manifest = std::string(kDirectory) + "/MANIFEST";
  sim::SimDisk disk(20);
  std::vector<std::byte> older;
  {
    SeriesStore store(disk, kDirectory, kHeadBytes);
    load(store);
    nine_files(store);
    older = content_of_file(disk, manifest);
    while (store.upkeep_due()) store.upkeep();
    nine_files(store);
  }
  const size_t files = chunk_files(disk);
  ASSERT_TRUE(disk.unlink(manifest).ok());
  ASSERT_TRUE((*disk.open(manifest, OpenMode::create))->write_at(0, older).ok());
  SeriesStore store(disk, kDirectory, kHeadBytes);
  load(store);
  EXPECT_NE(store.failed(), "");
  EXPECT_EQ(chunk_files(disk), files);
}

// What a SHOW holds of one measurement is free before the next one.
TEST(SeriesStore, AShowNeedsRoomForOneMeasurementAtATime) {
  sim::SimDisk disk(22);
  SeriesStore store(disk, kDirectory, uint64_t{1} << 20);
  load(store);
  std::string lines;
  for (int m = 0; m < 20; ++m)
    for (int h = 0; h < 20; ++h) lines += "m" + std::to_string(m) + ",h=" + std::to_string(h) + " v=1 1\n";
  store.take(0, "a", lines);
  auto statements = parse_influxql("SHOW TAG VALUES WITH KEY = h LIMIT 1", 0);
  ASSERT_TRUE(statements.ok());
  const auto budget = std::make_shared<AnswerBudget>(1'000, size_t{12} << 10);
  StatementRun run(store, statements->front(), "a", 0, budget);
  while (run.run()) {
  }
  EXPECT_EQ(run.error(), "");
  EXPECT_EQ(run.take().size(), 20U);
}

TEST(SeriesStore, AQueryHasTheTimeThatIsConfigured) {
  sim::SimDisk disk(23);
  Projection projection(disk, kDirectory, kHeadBytes, {}, [](const std::string&) {});
  http::HttpCounters counters;
  SeriesLimits limits;
  limits.query_ns = int64_t{600} * 1'000'000'000;
  const http::HttpService service = make_series_service(projection, limits, nullptr, nullptr, counters, {});
  EXPECT_GT(service.limits.answer_deadline_ns, limits.query_ns + kQueryWaitNs);
}

TEST(SeriesStore, ALogThatEndsBeforeTheFilesIsRefused) {
  sim::SimDisk disk(21);
  {
    SeriesStore store(disk, kDirectory, kHeadBytes);
    load(store);
    nine_files(store);
  }
  const std::string stray = std::string(kDirectory) + "/" + chunk_file_name(77);
  ASSERT_TRUE(disk.open(stray, OpenMode::create).ok());
  SeriesStore store(disk, kDirectory, kHeadBytes);
  while (store.load(8)) {
  }
  EXPECT_NE(store.failed().find("up to 9, which ends at 8"), std::string::npos) << store.failed();
  EXPECT_EQ(chunk_files(disk), 10U);
  SeriesStore right(disk, kDirectory, kHeadBytes);
  while (right.load(9)) {
  }
  EXPECT_EQ(right.failed(), "");
  EXPECT_EQ(chunk_files(disk), 9U);
}

}  // namespace
}  // namespace heptane::iot::series
