// Backups of a real log on the simulated disk, also in the middle of its life.
#include "kernel/backup/backup.h"

#include <gtest/gtest.h>

#include "kernel/blobs/blob_store.h"
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

TEST_F(Backups, TakesBlobsAlongAndNoUploads) {
  write(5);
  blobs::BlobStore store(disk_, {"/data/blobs"});
  ASSERT_TRUE(store.open().ok());
  auto upload = store.begin_upload();
  ASSERT_TRUE(upload.ok());
  ASSERT_TRUE((*upload)->write(as_bytes("firmware")).ok());
  const auto stored = (*upload)->finish(std::nullopt);
  ASSERT_TRUE(stored.ok());
  auto unfinished = store.begin_upload();
  ASSERT_TRUE(unfinished.ok());
  ASSERT_TRUE((*unfinished)->write(as_bytes("half")).ok());
  ASSERT_TRUE(make_backup(disk_, "/data", "/backup", {}).ok());
  ASSERT_TRUE(restore_backup(disk_, "/backup", "/again", {}).ok());
  blobs::BlobStore again(disk_, {"/again/blobs"});
  ASSERT_TRUE(again.open().ok());
  EXPECT_TRUE(again.find(stored->blob.digest).has_value());
  EXPECT_EQ(disk_.list("/again/blobs").value().size(), 1u);
}

// A server that replaces a manifest, and deletes a file that the one before named, while a backup looks.
class ChangingDisk final : public Disk {
 public:
  ChangingDisk(Disk& disk, std::function<void()> change) : disk_(disk), change_(std::move(change)) {}
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode, OpenHint hint) override {
    return disk_.open(path, mode, hint);
  }
  Result<void> make_directory(const std::string& path) override { return disk_.make_directory(path); }
  Result<std::vector<std::string>> list(const std::string& directory) override {
    if (directory.ends_with("/series") && change_) std::exchange(change_, nullptr)();
    return disk_.list(directory);
  }
  Result<bool> exists(const std::string& path) override { return disk_.exists(path); }
  Result<void> rename(const std::string& from, const std::string& to) override { return disk_.rename(from, to); }
  Result<void> unlink(const std::string& path) override { return disk_.unlink(path); }
  Result<void> sync_directory(const std::string& path) override { return disk_.sync_directory(path); }
  Result<uint64_t> free_bytes(const std::string& path) override { return disk_.free_bytes(path); }
  Result<std::unique_ptr<DirectoryLock>> lock(const std::string& path) override { return disk_.lock(path); }
  using Disk::open;

 private:
  Disk& disk_;
  std::function<void()> change_;
};

void put_file(Disk& disk, const std::string& path, std::string_view text) {
  auto file = disk.open(path + ".new", OpenMode::create);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->write_at(0, as_bytes(text)).ok());
  ASSERT_TRUE((*file)->sync().ok());
  ASSERT_TRUE(disk.rename(path + ".new", path).ok());
}

std::string text_of(Disk& disk, const std::string& path) {
  auto file = disk.open(path, OpenMode::read);
  if (!file) return "";
  std::string text((*file)->size().value(), '\0');
  (void)(*file)->read_at(0, {reinterpret_cast<std::byte*>(text.data()), text.size()});
  return text;
}

TEST_F(Backups, TakesChunkFilesWithTheManifestThatNamesThem) {
  write(5);
  ASSERT_TRUE(disk_.make_directory("/data/series").ok());
  put_file(disk_, "/data/series/000000000001.chunks", "one");
  put_file(disk_, "/data/series/MANIFEST", "names 1");
  ChangingDisk changing(disk_, [this] {
    put_file(disk_, "/data/series/000000000002.chunks", "two");
    put_file(disk_, "/data/series/MANIFEST", "names 2");
    ASSERT_TRUE(disk_.unlink("/data/series/000000000001.chunks").ok());
  });
  ASSERT_TRUE(make_backup(changing, "/data", "/backup", {}).ok());
  ASSERT_TRUE(restore_backup(disk_, "/backup", "/again", {}).ok());
  EXPECT_EQ(text_of(disk_, "/again/series/MANIFEST"), "names 2");
  EXPECT_EQ(text_of(disk_, "/again/series/000000000002.chunks"), "two");
  EXPECT_EQ(disk_.list("/again/series").value().size(), 2U);
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
