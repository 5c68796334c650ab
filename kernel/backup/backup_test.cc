// Backups of a real log on the simulated disk, also in the middle of its life.
#include "kernel/backup/backup.h"

#include <gtest/gtest.h>

#include "kernel/log/log_test_support.h"
#include "sim/sim_disk.h"

namespace heptane::backup {
namespace {

using namespace heptane::log;
using namespace heptane::log::test;

class Backups : public testing::Test {
 protected:
  Backups() : disk_(sim::SimDiskOptions{.immediate = true}), random_(5) {}

  // Opens what is there, appends and leaves it open: a backup does not ask the server.
  void write(int batches) {
    if (!opened_.log) opened_ = open_log(disk_, random_, small_options());
    ASSERT_FALSE(opened_.error) << opened_.error->message;
    for (int i = 0; i < batches; ++i) {
      ASSERT_TRUE(append_commands(*opened_.log, random_, opened_.report.end.epoch + 1, 1, 1000 + i * 37 % 3000).ok());
      while (opened_.log->wants_maintenance()) ASSERT_TRUE(opened_.log->maintain().ok());
    }
  }
  Opened open_restored(const std::string& data) {
    Opened restored = open_log(disk_, random_, small_options(data));
    EXPECT_FALSE(restored.error) << restored.error->message;
    return restored;
  }

  sim::SimDisk disk_;
  SeededRandom random_;
  Opened opened_;
};

TEST_F(Backups, HoldsEverythingWrittenBefore) {
  write(100);
  const auto made = make_backup(disk_, "/data", "/backup", {});
  ASSERT_TRUE(made.ok()) << made.error().message;
  EXPECT_EQ(made->last_sequence, 100u);
  EXPECT_GT(made->files.size(), 3u);
  write(10);  // after it: not in it
  disk_.crash(sim::CrashMode::lose_all);
  disk_.set_immediate(true);
  const auto restored = restore_backup(disk_, "/backup", "/again", {});
  ASSERT_TRUE(restored.ok()) << restored.error().message;
  disk_.crash(sim::CrashMode::lose_all);
  disk_.set_immediate(true);
  const Opened again = open_restored("/again");
  ASSERT_EQ(again.contents.size(), 100u);
  EXPECT_EQ(again.contents.rbegin()->first, 100u);
  // Positions never come back: what comes next is above everything that the original gave out after the backup.
  EXPECT_GE(again.report.end.last_sequence, 1'000'000'000u);
  EXPECT_GT(again.report.end.epoch, opened_.report.end.epoch + 1);
}

TEST_F(Backups, WritesGoOnMeanwhile) {
  write(60);
  // Between any two files, and between the reading of one and the next MiB of it, the server goes on.
  const auto made = make_backup(disk_, "/data", "/backup", [this](uint64_t, uint64_t) { write(7); });
  ASSERT_TRUE(made.ok()) << made.error().message;
  ASSERT_GE(made->last_sequence, 60u);
  const auto restored = restore_backup(disk_, "/backup", "/again", {});
  ASSERT_TRUE(restored.ok()) << restored.error().message;
  const Opened again = open_restored("/again");
  EXPECT_EQ(again.contents.size(), made->last_sequence);
  EXPECT_EQ(again.contents.rbegin()->first, made->last_sequence);
}

TEST_F(Backups, EveryFlippedByteIsFoundAndNamed) {
  write(30);
  const auto made = make_backup(disk_, "/data", "/backup", {});
  ASSERT_TRUE(made.ok()) << made.error().message;
  for (const BackupFile& file : made->files)
    for (uint64_t at = 0; at < file.bytes; at += 997) {
      const std::unique_ptr<sim::SimDisk> copy = disk_.clone();
      copy->set_immediate(true);
      ASSERT_TRUE(copy->corrupt("/backup/data/" + file.path, at, std::byte{1}).ok());
      const auto restored = restore_backup(*copy, "/backup", "/again", {});
      ASSERT_FALSE(restored.ok());
      EXPECT_EQ(restored.error().code, Errc::corrupt);
      EXPECT_NE(restored.error().message.find(file.path), std::string::npos) << restored.error().message;
      EXPECT_FALSE(copy->exists("/again").value());
    }
  const std::string manifest = encode(*made);
  for (size_t at = 0; at < manifest.size(); ++at) {
    std::string damaged = manifest;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    ASSERT_FALSE(decode_manifest(damaged).ok()) << at;
    ASSERT_FALSE(decode_manifest(std::string_view(manifest).substr(0, at)).ok()) << at;
  }
}

TEST_F(Backups, CutAnywhereIsNoBackupOrAWholeOne) {
  write(20);
  disk_.process_kill();
  opened_ = {};
  int whole = 0;
  for (uint64_t cut = 0;; ++cut) {
    const std::unique_ptr<sim::SimDisk> copy = disk_.clone();
    copy->set_immediate(true);
    copy->crash_after_operations(cut);
    const bool done = make_backup(*copy, "/data", "/backup", {}).ok();
    copy->crash(sim::CrashMode::hostile, cut);
    copy->set_immediate(true);
    const auto checked = check_backup(*copy, "/backup", {});
    if (done) {
      ASSERT_TRUE(checked.ok()) << cut << ": " << checked.error().message;
    }
    if (checked) {
      ++whole;
      copy->crash_after_operations(cut);
      const bool restored = restore_backup(*copy, "/backup", "/again", {}).ok();
      copy->crash(sim::CrashMode::hostile, cut + 1);
      copy->set_immediate(true);
      // Not there, or all of it; and it can be done again.
      if (restored || copy->exists("/again").value()) {
        Opened again = open_log(*copy, random_, small_options("/again"));
        ASSERT_FALSE(again.error) << cut << ": " << again.error->message;
        ASSERT_EQ(again.contents.size(), 20u) << cut;
      } else {
        ASSERT_TRUE(restore_backup(*copy, "/backup", "/again", {}).ok()) << cut;
      }
    } else {
      ASSERT_NE(checked.error().code, Errc::corrupt) << checked.error().message;
    }
    if (done) break;
  }
  EXPECT_GT(whole, 0);
}

TEST_F(Backups, RefusesWhatIsNotEmptyAndWhatIsNoLog) {
  write(3);
  ASSERT_TRUE(make_backup(disk_, "/data", "/backup", {}).ok());
  EXPECT_EQ(make_backup(disk_, "/data", "/backup", {}).error().code, Errc::exists);
  EXPECT_EQ(restore_backup(disk_, "/backup", "/data", {}).error().code, Errc::exists);
  EXPECT_EQ(restore_backup(disk_, "/data", "/again", {}).error().code, Errc::not_found);
  EXPECT_EQ(make_backup(disk_, "/nothing", "/other", {}).error().code, Errc::not_found);
  EXPECT_FALSE(disk_.exists("/other").value());
}

TEST(BackupManifest, MayNotLeadOutOfTheDirectory) {
  Manifest manifest;
  manifest.files.push_back({"../etc/passwd", 1, {}});
  EXPECT_FALSE(decode_manifest(encode(manifest)).ok());
  manifest.files.back().path = "/etc/passwd";
  EXPECT_FALSE(decode_manifest(encode(manifest)).ok());
  manifest.files.back().path = "shard-0/log/1";
  EXPECT_TRUE(decode_manifest(encode(manifest)).ok());
}

}  // namespace
}  // namespace heptane::backup
