// Every fault of the simulated disk, one test each.
#include <gtest/gtest.h>

#include <set>

#include "sim/sim_disk.h"
#include "sim/sim_disk_test_support.h"
#include "sim/sparse_image.h"

namespace heptane::sim {
namespace {

std::string repeated(char letter, size_t count) { return std::string(count, letter); }

TEST(SimDiskFault, AWriteErrorWritesNothing) {
  SimDisk disk(1);
  auto file = synced(disk, "/f", "old");
  disk.inject(SimFault::write_error);
  EXPECT_EQ(code_of(file->write_at(0, as_bytes("new"))), Errc::io);
  EXPECT_EQ(read_all(disk, "/f"), "old");
  EXPECT_TRUE(file->write_at(0, as_bytes("new")).ok());
  EXPECT_EQ(disk.counters().faults, 1U);
}

TEST(SimDiskFault, APartialWriteErrorWritesTheFirstPart) {
  std::set<size_t> lengths;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    SimDisk disk(seed);
    auto file = synced(disk, "/f", repeated('.', 10));
    disk.inject(SimFault::write_error_partial);
    EXPECT_EQ(code_of(file->write_at(0, as_bytes(repeated('x', 10)))), Errc::io);
    const std::string text = read_all(disk, "/f");
    const size_t length = std::min(text.find('.'), text.size());
    EXPECT_EQ(text, repeated('x', length) + repeated('.', 10 - length));
    lengths.insert(length);
  }
  EXPECT_GT(lengths.size(), 5U);
}

TEST(SimDiskFault, AFailedSyncLeavesPagesReadableAndCleanAndLosesThem) {
  SimDisk disk(1);
  auto file = synced(disk, "/f", "old");
  ASSERT_TRUE(file->write_at(0, as_bytes("new")).ok());
  disk.inject(SimFault::sync_error);
  EXPECT_EQ(code_of(file->sync()), Errc::io);
  EXPECT_EQ(read_all(disk, "/f"), "new");
  EXPECT_TRUE(file->sync().ok());
  EXPECT_EQ(durable(disk, "/f"), "old");
  disk.process_kill();
  EXPECT_EQ(read_all(disk, "/f"), "new");  // the trap: a restarted process believes the page cache
  auto again = opened(disk, "/f");
  ASSERT_TRUE(again->sync().ok());
  disk.crash(CrashMode::keep_all);
  EXPECT_EQ(read_all(disk, "/f"), "old");
}

TEST(SimDiskFault, WritingAgainAfterAFailedSyncRepairs) {
  SimDisk disk(1);
  auto file = synced(disk, "/f", "old");
  ASSERT_TRUE(file->write_at(0, as_bytes("new")).ok());
  disk.inject(SimFault::sync_error);
  EXPECT_FALSE(file->sync().ok());
  ASSERT_TRUE(file->write_at(0, as_bytes("new")).ok());
  ASSERT_TRUE(file->sync().ok());
  EXPECT_EQ(durable(disk, "/f"), "new");
}

TEST(SimDiskFault, APartialSyncErrorLeavesAnySectorsOnThePlatter) {
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    SimDisk disk(seed);
    auto file = synced(disk, "/f", repeated('.', 1024));
    ASSERT_TRUE(file->write_at(0, as_bytes(repeated('x', 1024))).ok());
    disk.inject(SimFault::sync_error_partial);
    EXPECT_FALSE(file->sync().ok());
    EXPECT_TRUE(file->sync().ok());
    const std::string text = durable(disk, "/f");
    seen.insert({text[0], text[511], text[512], text[1023]});
  }
  EXPECT_EQ(seen, (std::set<std::string>{"....", "xx..", "..xx", "xxxx"}));
}

TEST(SimDiskFault, AnErrorOfWriteAndSyncComesWithItsCompletion) {
  for (const SimFault fault : {SimFault::write_error, SimFault::sync_error, SimFault::no_space}) {
    SimDisk disk(1);
    auto file = synced(disk, "/f", ".");
    Errc seen = kNoError;
    disk.inject(fault);
    file->write_and_sync(0, as_bytes("x"), [&](Result<void> result) { seen = code_of(result); });
    EXPECT_EQ(seen, kNoError);
    EXPECT_TRUE(disk.step());
    EXPECT_EQ(seen, fault == SimFault::no_space ? Errc::no_space : Errc::io);
    EXPECT_EQ(durable(disk, "/f"), ".");
  }
}

TEST(SimDiskFault, AFailedDirectorySyncLosesTheNames) {
  SimDisk disk(1);
  ASSERT_TRUE(disk.open("/f", OpenMode::create).ok());
  disk.inject(SimFault::directory_sync_error);
  EXPECT_EQ(code_of(disk.sync_directory("/")), Errc::io);
  EXPECT_TRUE(disk.sync_directory("/").ok());
  EXPECT_TRUE(disk.exists("/f").value());
  disk.crash(CrashMode::keep_all);
  EXPECT_FALSE(disk.exists("/f").value());
}

TEST(SimDiskFault, AMetadataErrorHasNoEffect) {
  SimDisk disk(1);
  auto file = synced(disk, "/f", "text");
  const auto failing = [&](auto action) {
    disk.inject(SimFault::metadata_error);
    return code_of(action());
  };
  EXPECT_EQ(failing([&] { return disk.rename("/f", "/g"); }), Errc::io);
  EXPECT_EQ(failing([&] { return disk.unlink("/f"); }), Errc::io);
  EXPECT_EQ(failing([&] { return disk.make_directory("/d"); }), Errc::io);
  EXPECT_EQ(failing([&] { return file->truncate(0); }), Errc::io);
  EXPECT_EQ(failing([&] { return file->allocate(100); }), Errc::io);
  disk.inject(SimFault::metadata_error);
  EXPECT_EQ(disk.open("/h", OpenMode::create).error().code, Errc::io);
  EXPECT_EQ(disk.list("/").value(), (std::vector<std::string>{"f"}));
  EXPECT_EQ(read_all(disk, "/f"), "text");
}

TEST(SimDiskFault, ItFillsUpAndEmpties) {
  SimDisk disk(SimDiskOptions{.capacity_bytes = 3 * 4096});
  auto a = synced(disk, "/a", "");
  ASSERT_TRUE(a->allocate(2 * 4096).ok());
  EXPECT_EQ(disk.free_bytes("/").value(), 4096U);
  auto b = synced(disk, "/b", "small");
  EXPECT_EQ(disk.free_bytes("/").value(), 0U);
  EXPECT_TRUE(b->write_at(4000, as_bytes(repeated('x', 96))).ok());
  EXPECT_EQ(code_of(b->write_at(4096, as_bytes("x"))), Errc::no_space);
  EXPECT_EQ(code_of(a->allocate(3 * 4096)), Errc::no_space);
  EXPECT_EQ(a->size().value(), 2U * 4096);
  EXPECT_TRUE(a->write_at(4096, as_bytes("in what was allocated")).ok());
  ASSERT_TRUE(a->truncate(4096).ok());
  EXPECT_EQ(disk.free_bytes("/").value(), 4096U);
  EXPECT_TRUE(b->write_at(4096, as_bytes("x")).ok());
  b.reset();
  ASSERT_TRUE(disk.unlink("/b").ok());
  EXPECT_EQ(disk.free_bytes("/").value(), 2U * 4096);
  disk.set_capacity(4096);
  EXPECT_EQ(disk.free_bytes("/").value(), 0U);
}

TEST(SimDiskFault, NoSpaceCanComeOnceToAWriteAndToAllocate) {
  SimDisk disk(1);
  auto file = synced(disk, "/f", "");
  disk.inject(SimFault::no_space);
  EXPECT_EQ(code_of(file->allocate(4096)), Errc::no_space);
  EXPECT_EQ(file->size().value(), 0U);
  disk.inject(SimFault::no_space);
  EXPECT_EQ(code_of(file->write_at(0, as_bytes("text"))), Errc::no_space);
  EXPECT_TRUE(file->allocate(4096).ok());
}

TEST(SimDiskFault, AFlippedBitIsOneBitOfStoredBytesAndStays) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    SimDisk disk(seed);
    auto file = synced(disk, "/f", repeated('.', 700));
    ASSERT_TRUE(file->allocate(1 << 20).ok());
    ASSERT_TRUE(file->sync().ok());
    const std::string before = durable(disk, "/f");
    const uint64_t offset = disk.flip_bit("/f").value();
    EXPECT_LT(offset, 4096U);
    std::string expected = before;
    expected[offset] = durable(disk, "/f")[offset];
    EXPECT_EQ(__builtin_popcount(static_cast<unsigned char>(expected[offset] ^ before[offset])), 1);
    EXPECT_EQ(durable(disk, "/f"), expected);
    EXPECT_EQ(read_all(disk, "/f"), expected);
    disk.crash(CrashMode::lose_all);
    EXPECT_EQ(read_all(disk, "/f"), expected);
  }
}

TEST(SimDiskFault, CorruptHitsThePlatterButNotAPendingSector) {
  SimDisk disk(1);
  auto file = synced(disk, "/f", repeated('.', 1024));
  ASSERT_TRUE(file->write_at(0, as_bytes("x")).ok());
  ASSERT_TRUE(disk.corrupt("/f", 1, std::byte{1}).ok());
  ASSERT_TRUE(disk.corrupt("/f", 600, std::byte{1}).ok());
  EXPECT_EQ(durable(disk, "/f")[1], '/');
  EXPECT_EQ(read_all(disk, "/f")[1], '.');
  EXPECT_EQ(read_all(disk, "/f")[600], '/');
  ASSERT_TRUE(file->sync().ok());
  EXPECT_EQ(durable(disk, "/f")[1], '.');  // the whole sector was written
  EXPECT_EQ(code_of(disk.corrupt("/f", 1024, std::byte{1})), Errc::invalid_argument);
}

TEST(SimDiskFault, ACloneDoesNotShareRot) {
  SimDisk disk(1);
  synced(disk, "/f", "text");
  auto copy = disk.clone();
  ASSERT_TRUE(copy->corrupt("/f", 0, std::byte{1}).ok());
  EXPECT_EQ(read_all(disk, "/f"), "text");
  EXPECT_EQ(read_all(*copy, "/f"), "uext");
}

TEST(SimDiskFault, ALostWriteIsReadableUntilThePowerCut) {
  SimDisk disk(1);
  auto file = synced(disk, "/f", "old");
  disk.inject(SimFault::lost_write);
  ASSERT_TRUE(file->write_at(0, as_bytes("new")).ok());
  ASSERT_TRUE(file->sync().ok());
  EXPECT_EQ(read_all(disk, "/f"), "new");
  disk.crash(CrashMode::keep_all);
  EXPECT_EQ(read_all(disk, "/f"), "old");
}

TEST(SimDiskFault, AMisdirectedWriteLandsElsewhere) {
  std::set<std::string> places;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    SimDisk disk(seed);
    auto a = synced(disk, "/a", repeated('.', 4096));
    auto b = synced(disk, "/b", repeated('.', 4096));
    disk.inject(SimFault::misdirected_write);
    ASSERT_TRUE(a->write_at(1024, as_bytes(repeated('x', 1024))).ok());
    ASSERT_TRUE(a->sync().ok());
    EXPECT_EQ(read_all(disk, "/a").substr(1024, 1024), repeated('x', 1024));
    disk.crash(CrashMode::keep_all);
    const std::string in_a = read_all(disk, "/a");
    const std::string in_b = read_all(disk, "/b");
    EXPECT_NE(in_a.substr(1024, 1024), repeated('x', 1024));
    const std::string& hit = in_a.find('x') == std::string::npos ? in_b : in_a;
    const size_t at = hit.find('x');
    ASSERT_NE(at, std::string::npos);
    EXPECT_EQ(at % 512, 0U);
    EXPECT_EQ(hit.substr(at, 1024), repeated('x', 1024));
    places.insert(&hit == &in_a ? "same" : "other");
  }
  EXPECT_EQ(places, (std::set<std::string>{"same", "other"}));
}

TEST(SimDiskFault, AReadErrorComesOnceAndAnUnreadableSectorStays) {
  SimDisk disk(1);
  auto file = synced(disk, "/f", repeated('.', 2048));
  std::array<std::byte, 512> into;
  disk.inject(SimFault::read_error);
  EXPECT_TRUE(file->write_at(0, as_bytes(".")).ok());
  EXPECT_EQ(file->read_at(0, into).error().code, Errc::io);
  EXPECT_TRUE(file->read_at(0, into).ok());
  ASSERT_TRUE(disk.make_unreadable("/f", 700).ok());
  EXPECT_TRUE(file->read_at(0, into).ok());
  EXPECT_EQ(file->read_at(1, into).error().code, Errc::io);
  EXPECT_TRUE(file->read_at(1024, into).ok());
  disk.process_kill();
  file = opened(disk, "/f");
  EXPECT_EQ(file->read_at(512, into).error().code, Errc::io);
  ASSERT_TRUE(file->write_at(512, as_bytes(repeated('x', 512))).ok());
  EXPECT_TRUE(file->read_at(512, into).ok());
}

TEST(SimDiskFault, ALyingDeviceAcknowledgesAndForgets) {
  SimDisk disk(1);
  auto file = synced(disk, "/f", "old");
  disk.faults().lying_sync = true;
  disk.faults().lying_directory_sync = true;
  ASSERT_TRUE(file->write_at(0, as_bytes("new")).ok());
  ASSERT_TRUE(file->sync().ok());
  ASSERT_TRUE(disk.rename("/f", "/g").ok());
  ASSERT_TRUE(disk.sync_directory("/").ok());
  disk.crash(CrashMode::lose_all);
  EXPECT_EQ(read_all(disk, "/f"), "old");
  EXPECT_FALSE(disk.exists("/g").value());
}

TEST(SimDiskFault, ChancesAndSkipsAreHonoured) {
  SimDisk disk(1);
  auto file = synced(disk, "/f", "");
  disk.inject(SimFault::write_error, 2);
  EXPECT_TRUE(file->write_at(0, as_bytes("x")).ok());
  EXPECT_TRUE(file->write_at(0, as_bytes("x")).ok());
  EXPECT_FALSE(file->write_at(0, as_bytes("x")).ok());
  disk.faults()[SimFault::write_error] = 4;
  int failed = 0;
  for (int i = 0; i < 400; ++i) failed += file->write_at(0, as_bytes("x")).ok() ? 0 : 1;
  EXPECT_GT(failed, 50);
  EXPECT_LT(failed, 150);
  disk.clear_faults();
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(file->write_at(0, as_bytes("x")).ok());
}

TEST(SimDiskFault, TheNthOperationIsCutShortAndNothingWorksAfterIt) {
  SimDisk disk(1);
  auto file = synced(disk, "/f", "");
  disk.crash_after_operations(1);
  EXPECT_TRUE(file->write_at(0, as_bytes("1")).ok());
  EXPECT_FALSE(disk.crashed());
  EXPECT_EQ(code_of(file->sync()), Errc::closed);
  EXPECT_TRUE(disk.crashed());
  std::array<std::byte, 1> into;
  EXPECT_EQ(file->read_at(0, into).error().code, Errc::closed);
  EXPECT_EQ(disk.open("/f", OpenMode::read).error().code, Errc::closed);
  EXPECT_EQ(disk.list("/").error().code, Errc::closed);
  EXPECT_EQ(disk.exists("/f").error().code, Errc::closed);
  EXPECT_EQ(code_of(disk.make_directory("/d")), Errc::closed);
  EXPECT_EQ(code_of(disk.rename("/f", "/g")), Errc::closed);
  EXPECT_EQ(code_of(disk.unlink("/f")), Errc::closed);
  EXPECT_EQ(code_of(disk.sync_directory("/")), Errc::closed);
  EXPECT_EQ(disk.free_bytes("/").error().code, Errc::closed);
  EXPECT_EQ(disk.lock("/LOCK").error().code, Errc::closed);
  disk.crash(CrashMode::keep_all);
  EXPECT_FALSE(disk.crashed());
  EXPECT_EQ(read_all(disk, "/f"), "1");
}

TEST(SimDiskFault, ACrashAtTheSyncOfAPendingOperationDropsItsCompletion) {
  SimDisk disk(1);
  auto file = synced(disk, "/f", ".");
  bool done = false;
  disk.crash_after_operations(1);
  file->write_and_sync(0, as_bytes("x"), [&](Result<void>) { done = true; });
  EXPECT_EQ(disk.pending_operations(), 1U);
  EXPECT_FALSE(disk.step());
  EXPECT_TRUE(disk.crashed());
  EXPECT_EQ(disk.pending_operations(), 0U);
  disk.crash(CrashMode::random);
  EXPECT_FALSE(disk.step());
  EXPECT_FALSE(done);
}

TEST(SimDiskFault, AWriteCutShortIsTornBySectors) {
  std::set<size_t> lengths;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    SimDisk disk(seed);
    auto file = synced(disk, "/f", repeated('.', 2048));
    disk.crash_after_operations(0);
    EXPECT_EQ(code_of(file->write_at(0, as_bytes(repeated('x', 2048)))), Errc::closed);
    disk.process_kill();
    const std::string text = read_all(disk, "/f");
    const size_t length = std::min(text.find('.'), text.size());
    EXPECT_EQ(text, repeated('x', length) + repeated('.', 2048 - length));
    lengths.insert(length);
  }
  EXPECT_EQ(lengths, (std::set<size_t>{0, 512, 1024, 1536, 2048}));
}

// The loop that tests of recovery run: a crash at every operation of a little protocol, each in many ways. The protocol
// is the usual one for replacing a file; with a step left out the same loop finds the loss.
bool replacement_survives(bool sync_file, bool sync_names) {
  for (uint64_t operations = 0; operations < 8; ++operations) {
    SimDisk disk(operations);
    synced(disk, "/current", repeated('o', 1500));
    disk.crash_after_operations(operations);
    const auto replace = [&]() -> Result<void> {
      auto file = disk.open("/new", OpenMode::create);
      if (!file) return file.error();
      HEPTANE_TRY((*file)->write_at(0, as_bytes(repeated('n', 1500))));
      if (sync_file) HEPTANE_TRY((*file)->sync());
      HEPTANE_TRY(disk.rename("/new", "/current"));
      if (sync_names) HEPTANE_TRY(disk.sync_directory("/"));
      return {};
    };
    const bool acknowledged = replace().ok();
    for (uint64_t seed = 0; seed < 40; ++seed) {
      auto copy = disk.clone();
      copy->crash(seed % 2 == 0 ? CrashMode::random : CrashMode::hostile, seed);
      const std::string text = read_all(*copy, "/current");
      if (text != repeated('n', 1500) && (acknowledged || text != repeated('o', 1500))) return false;
    }
  }
  return true;
}

TEST(SimDiskFault, ACrashAtEveryOperationFindsAMissingSync) {
  EXPECT_TRUE(replacement_survives(true, true));
  EXPECT_FALSE(replacement_survives(false, true));
  EXPECT_FALSE(replacement_survives(true, false));
}

}  // namespace
}  // namespace heptane::sim
