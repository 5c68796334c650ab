// What the simulated disk and clock promise, one test each, and a comparison with a naive model.
#include "sim/sim_disk.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <set>

#include "sim/sim_clock.h"
#include "sim/sim_disk_test_support.h"
#include "sim/sparse_image.h"

namespace heptane::sim {
namespace {

const std::string kSectors = std::string(512, 'a') + std::string(512, 'b') + std::string(512, 'c') +
                             std::string(512, 'd') + std::string(512, 'e') + std::string(512, 'f') +
                             std::string(512, 'g') + std::string(512, 'h');

TEST(SimDisk, ReadsBackWhatWasWrittenAcrossPages) {
  SimDisk disk(1);
  auto file = created(disk, "/f");
  const std::string text = kSectors + kSectors + "tail";
  ASSERT_TRUE(file->write_at(4000, as_bytes(text)).ok());
  EXPECT_EQ(read_all(disk, "/f"), std::string(4000, '\0') + text);
  std::array<std::byte, 16> into;
  EXPECT_EQ(file->read_at(4000 + text.size() - 4, into).value(), 4U);
  EXPECT_EQ(file->read_at(1 << 20, into).value(), 0U);
}

TEST(SimDisk, OpensListsAndRefusesAsASystemDoes) {
  SimDisk disk(1);
  ASSERT_TRUE(disk.make_directory("/data/log").ok());
  ASSERT_TRUE(disk.make_directory("/data/log").ok());
  EXPECT_EQ(disk.open("/data/log/x", OpenMode::read).error().code, Errc::not_found);
  EXPECT_EQ(disk.open("/data/none/x", OpenMode::create).error().code, Errc::not_found);
  auto file = created(disk, "/data/log/x", "1");
  EXPECT_EQ(disk.open("/data/log/x", OpenMode::create).error().code, Errc::exists);
  EXPECT_EQ(disk.open("/data/log", OpenMode::read).error().code, Errc::io);
  EXPECT_EQ((*disk.open("/data/log/x", OpenMode::read))->write_at(0, as_bytes("2")).error().code, Errc::io);
  created(disk, "/data/log/a");
  EXPECT_EQ(disk.list("/data/log").value(), (std::vector<std::string>{"a", "x"}));
  EXPECT_EQ(disk.list("/data/log/x").error().code, Errc::io);
  EXPECT_TRUE(disk.exists("data/./log//x").value());
  EXPECT_FALSE(disk.exists("/data/log/x/y").value());
  EXPECT_EQ(disk.unlink("/data/log/y").error().code, Errc::not_found);
  EXPECT_EQ(disk.unlink("/data/log").error().code, Errc::io);
  EXPECT_EQ(disk.rename("/data/log/y", "/data/log/z").error().code, Errc::not_found);
  EXPECT_EQ(disk.rename("/data/log/x", "/data").error().code, Errc::io);
  EXPECT_EQ(disk.exists("/data/../x").error().code, Errc::unsupported);
  EXPECT_EQ(disk.files(), (std::vector<std::string>{"/data/log/a", "/data/log/x"}));
}

TEST(SimDisk, AnUnlinkedFileStaysReadableThroughItsHandle) {
  SimDisk disk(1);
  auto file = synced(disk, "/f", "text");
  ASSERT_TRUE(disk.unlink("/f").ok());
  std::array<std::byte, 4> into;
  EXPECT_EQ(file->read_at(0, into).value(), 4U);
  EXPECT_GT(disk.used_bytes(), 0U);
  file.reset();
  EXPECT_EQ(disk.used_bytes(), 0U);
}

TEST(SimDisk, DirectAccessWantsAlignment) {
  SimDisk disk(1);
  auto file = opened(disk, "/f", OpenMode::create, OpenHint::direct);
  alignas(4096) static std::array<std::byte, 8192> block{};
  EXPECT_TRUE(file->write_at(4096, block).ok());
  EXPECT_EQ(code_of(file->write_at(512, Bytes(block).first(4096))), Errc::io);
  EXPECT_EQ(code_of(file->write_at(0, Bytes(block).first(512))), Errc::io);
  EXPECT_EQ(code_of(file->write_at(0, Bytes(block).subspan(1, 4096))), Errc::io);
}

TEST(SimDisk, SyncMakesTheContentDurableAndOnlyTheDirectorySyncTheName) {
  SimDisk disk(1);
  auto file = opened(disk, "/f", OpenMode::create);
  ASSERT_TRUE(file->write_at(0, as_bytes("one")).ok());
  ASSERT_TRUE(file->sync().ok());
  EXPECT_EQ(durable(disk, "/f"), "<not_found>");
  ASSERT_TRUE(disk.sync_directory("/").ok());
  ASSERT_TRUE(file->write_at(3, as_bytes("two")).ok());
  EXPECT_EQ(durable(disk, "/f"), "one");
  EXPECT_EQ(read_all(disk, "/f"), "onetwo");
  disk.crash(CrashMode::lose_all);
  EXPECT_EQ(read_all(disk, "/f"), "one");
}

TEST(SimDisk, TheContentOfADirectoryGoesWithItsName) {
  SimDisk disk(1);
  ASSERT_TRUE(disk.make_directory("/d").ok());
  synced(disk, "/d/f", "text");
  auto lost = disk.clone();
  lost->crash(CrashMode::lose_all);
  EXPECT_FALSE(lost->exists("/d").value());
  ASSERT_TRUE(disk.sync_directory("/").ok());
  disk.crash(CrashMode::lose_all);
  EXPECT_EQ(read_all(disk, "/d/f"), "text");
}

TEST(SimDisk, KeepAllKeepsEverything) {
  SimDisk disk(1);
  auto file = opened(disk, "/f", OpenMode::create);
  ASSERT_TRUE(file->write_at(0, as_bytes(kSectors)).ok());
  ASSERT_TRUE(file->truncate(700).ok());
  disk.crash(CrashMode::keep_all);
  EXPECT_EQ(read_all(disk, "/f"), kSectors.substr(0, 700));
}

TEST(SimDisk, RandomKeepsAnySectorsWholeAndReachesEveryOne) {
  SimDisk disk(1);
  auto file = synced(disk, "/f", std::string(4096, '.'));
  ASSERT_TRUE(file->write_at(0, as_bytes(kSectors)).ok());
  std::array<int, 8> kept{};
  bool out_of_order = false;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    auto copy = disk.clone();
    copy->crash(CrashMode::random, seed);
    const std::string text = read_all(*copy, "/f");
    ASSERT_EQ(text.size(), 4096U);
    bool gap = false;
    for (size_t i = 0; i < 8; ++i) {
      const std::string sector = text.substr(i * 512, 512);
      const bool is_new = sector == kSectors.substr(i * 512, 512);
      ASSERT_TRUE(is_new || sector == std::string(512, '.')) << "seed " << seed << " sector " << i;
      kept[i] += is_new ? 1 : 0;
      out_of_order |= gap && is_new;
      gap |= !is_new;
    }
  }
  EXPECT_TRUE(out_of_order);
  for (const int count : kept) {
    EXPECT_GT(count, 20);
    EXPECT_LT(count, 180);
  }
}

TEST(SimDisk, ZerosSurviveBySectorsToo) {
  SimDisk disk(1);
  auto file = synced(disk, "/f", std::string(4096, '.'));
  ASSERT_TRUE(file->write_at(0, as_bytes(std::string(4096, '\0'))).ok());
  std::set<char> seen;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    auto copy = disk.clone();
    copy->crash(CrashMode::random, seed);
    const std::string text = read_all(*copy, "/f");
    for (size_t i = 0; i < 4096; i += 512) {
      ASSERT_EQ(text.substr(i, 512), std::string(512, text[i]));
      seen.insert(text[i]);
    }
  }
  EXPECT_EQ(seen, (std::set<char>{'.', '\0'}));
}

TEST(SimDisk, AnOlderPendingVersionOfASectorCanSurvive) {
  SimDisk disk(1);
  auto file = synced(disk, "/f", "0");
  ASSERT_TRUE(file->write_at(0, as_bytes("1")).ok());
  ASSERT_TRUE(file->write_at(0, as_bytes("2")).ok());
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    auto copy = disk.clone();
    copy->crash(CrashMode::random, seed);
    seen.insert(read_all(*copy, "/f"));
  }
  EXPECT_EQ(seen, (std::set<std::string>{"0", "1", "2"}));
}

TEST(SimDisk, SizeAndContentSurviveApart) {
  SimDisk disk(1);
  auto file = synced(disk, "/f", "");
  ASSERT_TRUE(file->write_at(0, as_bytes(kSectors)).ok());
  bool size_without_content = false;
  bool half_grown = false;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    auto copy = disk.clone();
    copy->crash(CrashMode::random, seed);
    const std::string text = read_all(*copy, "/f");
    half_grown |= !text.empty() && text.size() < 4096;
    for (size_t i = 0; i < text.size(); i += 512) {
      if (text[i] == '\0') size_without_content = true;
      ASSERT_TRUE(text[i] == '\0' || text[i] == kSectors[i]);
    }
    // What lay beyond the size does not come back.
    auto again = opened(*copy, "/f");
    ASSERT_TRUE(again->truncate(4096).ok());
    ASSERT_TRUE(all_zeros(as_bytes(read_all(*copy, "/f").substr(text.size()))));
  }
  EXPECT_TRUE(size_without_content);
  EXPECT_TRUE(half_grown);
}

TEST(SimDisk, PrefixKeepsOneMomentAcrossFiles) {
  SimDisk disk(1);
  auto a = synced(disk, "/a", std::string(10, '.'));
  auto b = synced(disk, "/b", std::string(10, '.'));
  for (size_t i = 0; i < 10; ++i) {
    ASSERT_TRUE(a->write_at(i, as_bytes("x")).ok());
    ASSERT_TRUE(b->write_at(i, as_bytes("x")).ok());
  }
  std::set<size_t> lengths;
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    auto copy = disk.clone();
    copy->crash(CrashMode::prefix, seed);
    const size_t in_a = read_all(*copy, "/a").find('.') == std::string::npos ? 10 : read_all(*copy, "/a").find('.');
    const size_t in_b = read_all(*copy, "/b").find('.') == std::string::npos ? 10 : read_all(*copy, "/b").find('.');
    ASSERT_TRUE(in_a == in_b || in_a == in_b + 1) << in_a << " " << in_b;
    lengths.insert(in_a);
  }
  EXPECT_EQ(lengths.size(), 11U);
}

TEST(SimDisk, PrefixTearsAWrite) {
  SimDisk disk(1);
  auto file = synced(disk, "/f", std::string(4096, '.'));
  ASSERT_TRUE(file->write_at(0, as_bytes(kSectors)).ok());
  std::set<size_t> lengths;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    auto copy = disk.clone();
    copy->crash(CrashMode::prefix, seed);
    const std::string text = read_all(*copy, "/f");
    const size_t length = std::min(text.find('.'), text.size());
    ASSERT_EQ(text, kSectors.substr(0, length) + std::string(4096 - length, '.'));
    lengths.insert(length);
  }
  EXPECT_EQ(lengths.size(), 9U);
}

TEST(SimDisk, RenameIsAtomicAndDurableAfterTheDirectorySync) {
  SimDisk disk(1);
  synced(disk, "/current", "old");
  synced(disk, "/new", "new");
  ASSERT_TRUE(disk.rename("/new", "/current").ok());
  EXPECT_EQ(read_all(disk, "/current"), "new");
  std::set<std::string> seen;
  for (const CrashMode mode : {CrashMode::random, CrashMode::hostile, CrashMode::prefix}) {
    for (uint64_t seed = 0; seed < 40; ++seed) {
      auto copy = disk.clone();
      copy->crash(mode, seed);
      seen.insert(read_all(*copy, "/current"));
      EXPECT_EQ(copy->exists("/new").value(), read_all(*copy, "/current") == "old");
    }
  }
  EXPECT_EQ(seen, (std::set<std::string>{"old", "new"}));
  ASSERT_TRUE(disk.sync_directory("/").ok());
  disk.crash(CrashMode::lose_all);
  EXPECT_EQ(read_all(disk, "/current"), "new");
}

TEST(SimDisk, AFileRenamedTwiceHasOneName) {
  SimDisk disk(1);
  synced(disk, "/1", "text");
  ASSERT_TRUE(disk.rename("/1", "/2").ok());
  ASSERT_TRUE(disk.rename("/2", "/3").ok());
  std::set<std::vector<std::string>> seen;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    auto copy = disk.clone();
    copy->crash(CrashMode::hostile, seed);
    seen.insert(*copy->list("/"));
  }
  EXPECT_EQ(seen, (std::set<std::vector<std::string>>{{"1"}, {"2"}, {"3"}}));
}

TEST(SimDisk, ARenameIntoAnotherDirectoryNeverLosesTheFile) {
  SimDisk disk(1);
  ASSERT_TRUE(disk.make_directory("/a").ok());
  ASSERT_TRUE(disk.make_directory("/b").ok());
  ASSERT_TRUE(disk.sync_directory("/").ok());
  synced(disk, "/a/f", "text");
  ASSERT_TRUE(disk.rename("/a/f", "/b/g").ok());
  bool both = false;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    auto copy = disk.clone();
    if (seed % 3 != 0) {
      ASSERT_TRUE(copy->sync_directory(seed % 3 == 1 ? "/a" : "/b").ok());
    }
    copy->crash(CrashMode::hostile, seed);
    const bool old_name = read_all(*copy, "/a/f") == "text";
    const bool new_name = read_all(*copy, "/b/g") == "text";
    EXPECT_TRUE(old_name || new_name);
    EXPECT_TRUE(new_name || seed % 3 == 0);
    EXPECT_TRUE(!old_name || seed % 3 != 1);
    both |= old_name && new_name;
  }
  EXPECT_TRUE(both);
  EXPECT_EQ(code_of(disk.rename("/a", "/b/a")), Errc::unsupported);
}

TEST(SimDisk, DirectoriesLoseTheLastChangesOrAnyOfThem) {
  SimDisk disk(1);
  for (const char* name : {"/1", "/2", "/3"}) ASSERT_TRUE(disk.open(name, OpenMode::create).ok());
  std::set<std::vector<std::string>> random;
  std::set<std::vector<std::string>> hostile;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    auto copy = disk.clone();
    copy->crash(CrashMode::random, seed);
    random.insert(*copy->list("/"));
    copy = disk.clone();
    copy->crash(CrashMode::hostile, seed);
    hostile.insert(*copy->list("/"));
  }
  EXPECT_EQ(random, (std::set<std::vector<std::string>>{{}, {"1"}, {"1", "2"}, {"1", "2", "3"}}));
  EXPECT_EQ(hostile.size(), 8U);
}

TEST(SimDisk, AnUnsyncedUnlinkCanComeBack) {
  SimDisk disk(1);
  synced(disk, "/f", "text");
  ASSERT_TRUE(disk.unlink("/f").ok());
  auto copy = disk.clone();
  copy->crash(CrashMode::lose_all);
  EXPECT_EQ(read_all(*copy, "/f"), "text");
  EXPECT_EQ(copy->used_bytes(), 4096U);
  ASSERT_TRUE(disk.sync_directory("/").ok());
  disk.crash(CrashMode::lose_all);
  EXPECT_FALSE(disk.exists("/f").value());
}

TEST(SimDisk, AllocateAndTruncateArePendingUntilTheSync) {
  SimDisk disk(1);
  auto file = synced(disk, "/f", "text");
  ASSERT_TRUE(file->allocate(8192).ok());
  EXPECT_EQ(file->size().value(), 8192U);
  EXPECT_EQ(durable(disk, "/f").size(), 4U);
  ASSERT_TRUE(file->sync().ok());
  EXPECT_EQ(durable(disk, "/f").size(), 8192U);
  ASSERT_TRUE(file->truncate(2).ok());
  EXPECT_EQ(durable(disk, "/f").size(), 8192U);
  ASSERT_TRUE(file->sync().ok());
  EXPECT_EQ(durable(disk, "/f"), "te");
  ASSERT_TRUE(file->truncate(4).ok());
  EXPECT_EQ(read_all(disk, "/f"), std::string("te\0\0", 4));
}

TEST(SimDisk, KillKeepsTheViewAndALaterPowerCutCanLoseIt) {
  SimDisk disk(1);
  auto file = synced(disk, "/f", "old");
  ASSERT_TRUE(file->write_at(0, as_bytes("new")).ok());
  disk.process_kill();
  EXPECT_EQ(code_of(file->sync()), Errc::closed);
  EXPECT_EQ(read_all(disk, "/f"), "new");
  EXPECT_EQ(durable(disk, "/f"), "old");
  disk.crash(CrashMode::lose_all);
  EXPECT_EQ(read_all(disk, "/f"), "old");
}

TEST(SimDisk, HandlesOfADeadProcessAnswerClosed) {
  SimDisk disk(1);
  auto file = synced(disk, "/f", "text");
  disk.crash(CrashMode::keep_all);
  std::array<std::byte, 1> into;
  EXPECT_EQ(file->read_at(0, into).error().code, Errc::closed);
  EXPECT_EQ(code_of(file->write_at(0, as_bytes("x"))), Errc::closed);
  EXPECT_EQ(file->size().error().code, Errc::closed);
  EXPECT_EQ(code_of(file->allocate(1)), Errc::closed);
  EXPECT_EQ(code_of(file->truncate(1)), Errc::closed);
  Errc seen = kNoError;
  file->write_and_sync(0, as_bytes("x"), [&](Result<void> result) { seen = code_of(result); });
  EXPECT_EQ(seen, Errc::closed);
  EXPECT_EQ(read_all(disk, "/f"), "text");
}

TEST(SimDisk, OneLockUntilReleasedOrTheProcessDies) {
  SimDisk disk(1);
  auto lock = disk.lock("/LOCK");
  ASSERT_TRUE(lock.ok());
  EXPECT_EQ(disk.lock("/LOCK").error().code, Errc::exists);
  lock->reset();
  lock = disk.lock("/LOCK");
  ASSERT_TRUE(lock.ok());
  disk.process_kill();
  auto next = disk.lock("/LOCK");
  ASSERT_TRUE(next.ok());
  lock->reset();  // of the dead process: releases nothing
  EXPECT_EQ(disk.lock("/LOCK").error().code, Errc::exists);
  disk.crash(CrashMode::keep_all);
  EXPECT_TRUE(disk.lock("/LOCK").ok());
}

TEST(SimDisk, WriteAndSyncCompletesInALaterStepAndCoversWhatWasWrittenBefore) {
  SimDisk disk(1);
  auto file = synced(disk, "/f", "....");
  int done = 0;
  file->write_and_sync(0, as_bytes("1"), [&](Result<void> result) { done += result.ok() ? 1 : 100; });
  ASSERT_TRUE(file->write_at(1, as_bytes("2")).ok());
  EXPECT_EQ(read_all(disk, "/f"), "12..");
  EXPECT_EQ(durable(disk, "/f"), "....");
  EXPECT_EQ(disk.pending_operations(), 1U);
  EXPECT_EQ(done, 0);
  EXPECT_TRUE(disk.step());
  EXPECT_EQ(done, 1);
  EXPECT_EQ(durable(disk, "/f"), "1...");
  EXPECT_FALSE(disk.step());
  ASSERT_TRUE(file->sync().ok());
  EXPECT_EQ(durable(disk, "/f"), "12..");
}

TEST(SimDisk, StepsCompleteInAnyOrderAndACompletionMayIssueTheNext) {
  std::set<std::string> orders;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    SimDisk disk(seed);
    auto file = synced(disk, "/f", "...");
    std::string order;
    file->write_and_sync(0, as_bytes("1"), [&](Result<void>) {
      order += '1';
      file->write_and_sync(2, as_bytes("3"), [&](Result<void>) { order += '3'; });
    });
    file->write_and_sync(1, as_bytes("2"), [&](Result<void>) { order += '2'; });
    while (disk.step()) continue;
    EXPECT_EQ(durable(disk, "/f"), "123");
    orders.insert(order);
  }
  EXPECT_EQ(orders, (std::set<std::string>{"123", "132", "213"}));
}

TEST(SimDisk, ImmediateCompletesInsideTheCall) {
  SimDisk disk(SimDiskOptions{.immediate = true});
  auto file = synced(disk, "/f", "");
  bool done = false;
  file->write_and_sync(0, as_bytes("x"), [&](Result<void> result) { done = result.ok(); });
  EXPECT_TRUE(done);
  EXPECT_EQ(durable(disk, "/f"), "x");
}

TEST(SimDisk, APendingOperationNeverCompletesAfterThePowerCut) {
  SimDisk disk(1);
  auto file = synced(disk, "/f", ".");
  bool done = false;
  file->write_and_sync(0, as_bytes("x"), [&](Result<void>) { done = true; });
  disk.crash(CrashMode::lose_all);
  EXPECT_FALSE(disk.step());
  EXPECT_FALSE(done);
  EXPECT_EQ(read_all(disk, "/f"), ".");
}

TEST(SimDiskDeathTest, TheBytesOfWriteAndSyncMustStayUntilDone) {
  SimDisk disk(1);
  auto file = synced(disk, "/f", ".");
  std::string bytes = "text";
  file->write_and_sync(0, as_bytes(bytes), [](Result<void>) {});
  bytes[0] = 'T';
  EXPECT_DEATH(disk.step(), "changed before it was done");
}

TEST(SimDisk, ACloneIsIndependent) {
  SimDisk disk(1);
  auto file = synced(disk, "/f", "one");
  ASSERT_TRUE(file->write_at(0, as_bytes("two")).ok());
  auto lock = disk.lock("/LOCK");
  auto copy = disk.clone();
  EXPECT_EQ(copy->fingerprint(), disk.fingerprint());
  auto other = opened(*copy, "/f");
  ASSERT_TRUE(other->write_at(0, as_bytes("three")).ok());
  ASSERT_TRUE(other->sync().ok());
  EXPECT_NE(copy->fingerprint(), disk.fingerprint());
  EXPECT_EQ(read_all(disk, "/f"), "two");
  EXPECT_EQ(durable(disk, "/f"), "one");
  EXPECT_EQ(durable(*copy, "/f"), "three");
  EXPECT_TRUE(copy->lock("/LOCK").ok());
}

TEST(SimDisk, ACloneDoesNotShareAFileWhoseNameIsPending) {
  SimDisk disk(1);
  auto file = opened(disk, "/f", OpenMode::create);
  ASSERT_TRUE(file->write_at(0, as_bytes("one")).ok());
  auto copy = disk.clone();
  copy->crash(CrashMode::keep_all);
  auto other = opened(*copy, "/f");
  ASSERT_TRUE(other->write_at(0, as_bytes("two")).ok());
  ASSERT_TRUE(other->sync().ok());
  disk.crash(CrashMode::keep_all);
  EXPECT_EQ(read_all(disk, "/f"), "one");
}

TEST(SimDisk, TheFingerprintIsOfThePlatterAndSeesNoHoles) {
  SimDisk disk(1);
  auto a = synced(disk, "/f", "");
  const Hash128 before = disk.fingerprint();
  ASSERT_TRUE(a->allocate(8192).ok());
  EXPECT_EQ(disk.fingerprint(), before);
  ASSERT_TRUE(a->sync().ok());
  const Hash128 hole = disk.fingerprint();
  EXPECT_NE(hole, before);
  ASSERT_TRUE(a->write_at(0, as_bytes(std::string(100, '\0'))).ok());
  ASSERT_TRUE(a->sync().ok());
  EXPECT_EQ(disk.fingerprint(), hole);
}

TEST(SimDisk, CountsAndTraces) {
  SimDisk disk(SimDiskOptions{.trace_length = 2});
  auto file = synced(disk, "/f", "four");
  EXPECT_EQ(disk.counters().operations, 4U);
  EXPECT_EQ(disk.counters().writes, 1U);
  EXPECT_EQ(disk.counters().bytes_written, 4U);
  EXPECT_EQ(disk.counters().syncs, 1U);
  EXPECT_EQ(disk.counters().directory_syncs, 1U);
  disk.inject(SimFault::write_error);
  EXPECT_FALSE(file->write_at(8, as_bytes("x")).ok());
  EXPECT_EQ(disk.trace(), "#4 sync /f ok\n#5 write /f @8 +1 io\n");
}

TEST(SimDisk, ManyPendingWritesAreWrittenBackOldestFirst) {
  SimDisk disk(1);
  auto file = synced(disk, "/f", std::string(8192, '.'));
  for (int i = 0; i < (1 << 16) + 2; ++i) ASSERT_TRUE(file->write_at(i == 0 ? 0 : 4096, as_bytes("x")).ok());
  EXPECT_EQ(durable(disk, "/f")[0], 'x');
}

// A naive model: every file is a string, its platter a string, and per sector every version that a power cut may leave.
class Model {
 public:
  struct FileModel {
    std::string view;
    std::string platter;
    std::map<size_t, std::set<std::string>> versions;  // of pending sectors, without the platter's
  };
  static constexpr size_t kFileBytes = 12 * 512;

  void create(SimDisk& disk, const std::string& path) {
    auto file = created(disk, path, std::string(kFileBytes, '.'));
    ASSERT_TRUE(file->sync().ok());
    files_[path] = {std::string(kFileBytes, '.'), std::string(kFileBytes, '.'), {}};
  }
  void write(const std::string& path, size_t offset, const std::string& text) {
    FileModel& file = files_[path];
    file.view.replace(offset, text.size(), text);
    for (size_t sector = offset / 512; sector <= (offset + text.size() - 1) / 512; ++sector)
      file.versions[sector].insert(file.view.substr(sector * 512, 512));
  }
  void sync(const std::string& path) {
    files_[path].platter = files_[path].view;
    files_[path].versions.clear();
  }
  void check_view(SimDisk& disk) {
    for (const auto& [path, file] : files_) ASSERT_EQ(read_all(disk, path), file.view) << path;
  }
  void check_crashed(SimDisk& disk, CrashMode mode) {
    for (const auto& [path, file] : files_) {
      const std::string text = read_all(disk, path);
      ASSERT_EQ(text.size(), kFileBytes);
      ASSERT_TRUE(mode != CrashMode::lose_all || text == file.platter);
      ASSERT_TRUE(mode != CrashMode::keep_all || text == file.view);
      for (size_t sector = 0; sector < kFileBytes / 512; ++sector) {
        const std::string found = text.substr(sector * 512, 512);
        const auto versions = file.versions.find(sector);
        const bool allowed = found == file.platter.substr(sector * 512, 512) ||
                             (versions != file.versions.end() && versions->second.contains(found));
        ASSERT_TRUE(allowed) << path << " sector " << sector;
      }
    }
  }
  void adopt(SimDisk& disk) {
    for (auto& [path, file] : files_) file = {read_all(disk, path), read_all(disk, path), {}};
  }

 private:
  std::map<std::string, FileModel> files_;
};

TEST(SimDisk, AgreesWithANaiveModel) {
  constexpr std::array kModes{CrashMode::lose_all, CrashMode::keep_all, CrashMode::prefix, CrashMode::random,
                              CrashMode::hostile};
  const std::array<std::string, 3> paths{"/a", "/b", "/c"};
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SeededRandom random(seed);
    SimDisk disk(seed);
    Model model;
    for (const std::string& path : paths) model.create(disk, path);
    for (int round = 0; round < 10; ++round) {
      std::map<std::string, std::unique_ptr<File>> open;
      for (const std::string& path : paths) open[path] = opened(disk, path);
      for (uint64_t i = random.below(30); i > 0; --i) {
        const std::string& path = paths[random.below(paths.size())];
        if (random.one_in(5)) {
          ASSERT_TRUE(open[path]->sync().ok());
          model.sync(path);
          continue;
        }
        const size_t length = 1 + random.below(random.one_in(2) ? 40 : 5000);
        const size_t offset = random.below(Model::kFileBytes - length);
        const std::string text(length, static_cast<char>('a' + random.below(26)));
        ASSERT_TRUE(open[path]->write_at(offset, as_bytes(text)).ok());
        model.write(path, offset, text);
      }
      model.check_view(disk);
      for (const CrashMode mode : kModes) {
        auto copy = disk.clone();
        copy->crash(mode, seed * 100 + static_cast<uint64_t>(round));
        model.check_crashed(*copy, mode);
      }
      const CrashMode mode = kModes[random.below(kModes.size())];
      disk.crash(mode);
      model.check_crashed(disk, mode);
      if (HasFatalFailure()) return;
      model.adopt(disk);
    }
  }
}

Hash128 run_from_seed(uint64_t seed) {
  SimDisk disk(seed);
  disk.faults()[SimFault::sync_error_partial] = 10;
  disk.faults()[SimFault::misdirected_write] = 10;
  SeededRandom random(seed);
  for (int round = 0; round < 20; ++round) {
    const std::string path = "/" + std::to_string(random.below(4));
    const bool there = *disk.exists(path);
    auto file = opened(disk, path, there ? OpenMode::read_write : OpenMode::create);
    for (int i = 0; i < 10; ++i) {
      (void)file->write_at(random.below(20000), as_bytes(kSectors));
      if (random.one_in(3)) (void)file->sync();
      if (random.one_in(5)) (void)disk.sync_directory("/");
    }
    file.reset();
    disk.crash(CrashMode::hostile);
  }
  return disk.fingerprint();
}

TEST(SimDisk, TheSameSeedGivesTheSameDisk) {
  std::set<uint64_t> different;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Hash128 first = run_from_seed(seed);
    EXPECT_EQ(first, run_from_seed(seed));
    different.insert(first.low);
  }
  EXPECT_GT(different.size(), 15U);
}

TEST(SimClock, StandsStillStepsAndDrifts) {
  SimClock clock(1'000);
  const int64_t start = clock.monotonic_ns();
  EXPECT_EQ(clock.monotonic_ns(), start);
  clock.advance(50);
  EXPECT_EQ(clock.monotonic_ns(), start + 50);
  EXPECT_EQ(clock.utc_ns(), 1'050);
  clock.step_utc(-1'000);
  EXPECT_EQ(clock.utc_ns(), 50);
  EXPECT_EQ(clock.monotonic_ns(), start + 50);
}

TEST(SimClock, ManySmallStepsDriftAsFarAsALargeOne) {
  SimClock small(0);
  SimClock large(0);
  small.set_drift_ppb(-250'000);
  large.set_drift_ppb(-250'000);
  for (int i = 0; i < 1'000'000; ++i) small.advance(100'003);
  large.advance(int64_t{1'000'000} * 100'003);
  EXPECT_EQ(small.utc_ns(), large.utc_ns());
  EXPECT_EQ(large.utc_ns(), 100'003'000'000 - 25'000'750);
}

}  // namespace
}  // namespace heptane::sim
