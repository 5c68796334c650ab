// What only the operating system's files do: the rest of the seam is tested with the simulated disk.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "kernel/base/aligned_buffer.h"
#include "kernel/base/disk.h"

namespace heptane {
namespace {

class SystemDiskTest : public testing::Test {
 protected:
  SystemDiskTest() {
    std::string pattern = "/var/tmp/system_disk_test.XXXXXX";  // on a disk, as a rule: O_DIRECT is known there
    directory_ = ::mkdtemp(pattern.data());
  }
  ~SystemDiskTest() override { std::filesystem::remove_all(directory_); }

  std::string directory_;
  SystemDisk disk_;
};

bool is_direct(const File& file) { return (::fcntl(file.descriptor(), F_GETFL) & O_DIRECT) != 0; }

// A file system that opens with O_DIRECT and refuses to write so answers EINVAL, as any does for a size that is none of its
// blocks.
TEST_F(SystemDiskTest, ADirectWriteThatIsRefusedGoesThroughThePageCache) {
  auto file = disk_.open(directory_ + "/f", OpenMode::create, OpenHint::direct);
  ASSERT_TRUE(file.ok());
  if (!is_direct(**file)) GTEST_SKIP() << "no O_DIRECT here";
  AlignedBuffer block(4096);
  std::memset(block.data(), 'a', 4096);
  ASSERT_TRUE((*file)->write_at(0, {block.data(), 4096}).ok());
  EXPECT_TRUE(is_direct(**file)) << "what is taken goes past the page cache";
  testing::internal::CaptureStderr();
  Result<void> result;
  (*file)->write_and_sync(4096, {block.data(), 100}, [&](Result<void> done) { result = std::move(done); });
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_FALSE(is_direct(**file));
  ASSERT_TRUE((*file)->write_at(4196, {block.data(), 3}).ok());
  const std::string told = testing::internal::GetCapturedStderr();
  EXPECT_NE(told.find(directory_ + "/f opens files for writing past the page cache"), std::string::npos) << told;
  EXPECT_EQ(std::count(told.begin(), told.end(), '\n'), 1);
  std::string read(5000, '\0');
  const Result<size_t> count = (*file)->read_at(0, {reinterpret_cast<std::byte*>(read.data()), read.size()});
  ASSERT_TRUE(count.ok());
  EXPECT_EQ(read.substr(0, *count), std::string(4096 + 103, 'a'));
}

TEST_F(SystemDiskTest, OtherErrorsOfAWriteStay) {
  auto made = disk_.open(directory_ + "/f", OpenMode::create, OpenHint::none);
  ASSERT_TRUE(made.ok());
  auto file = disk_.open(directory_ + "/f", OpenMode::read, OpenHint::none);
  const std::byte one{1};
  const Result<void> written = (*file)->write_at(0, {&one, 1});
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().code, Errc::io);
}

bool is_open(int descriptor) { return ::fcntl(descriptor, F_GETFD) != -1; }

TEST_F(SystemDiskTest, WhatIsLeftIsClosedByWhoeverMayWait) {
  ASSERT_TRUE(disk_.open(directory_ + "/f", OpenMode::create).ok());
  std::vector<int> descriptors;
  for (int i = 0; i < 65; ++i) {
    auto file = disk_.open(directory_ + "/f", OpenMode::read);
    ASSERT_TRUE(file.ok());
    descriptors.push_back((*file)->descriptor());
    disk_.leave(std::move(*file));
    EXPECT_EQ(is_open(descriptors.back()), i < 64) << "no more than 64 are kept";
  }
  descriptors.pop_back();
  disk_.free_left();
  EXPECT_TRUE(std::none_of(descriptors.begin(), descriptors.end(), is_open));
}

class UnlinkedFile : public SystemDiskTest {
 protected:
  static constexpr uint64_t kBytes = 3 * SystemDisk::kFreedBytes;

  std::string path() const { return directory_ + "/large"; }
  void SetUp() override {
    SystemDiskTest::SetUp();
    auto made = disk_.open(path(), OpenMode::create);
    ASSERT_TRUE(made.ok());
    ASSERT_TRUE((*made)->allocate(kBytes));
    file_ = std::move(*made);
  }
  uint64_t size() { return *file_->size(); }

  std::unique_ptr<File> file_;
};

// Bytes of files of this directory that this process has open and that have no name.
std::vector<uint64_t> sizes_without_a_name(const std::string& directory) {
  std::vector<uint64_t> sizes;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    const std::string target = std::filesystem::read_symlink(entry.path(), ignored).string();
    struct stat status {};
    if (target.starts_with(directory) && target.ends_with(" (deleted)") && ::stat(entry.path().c_str(), &status) == 0)
      sizes.push_back(static_cast<uint64_t>(status.st_size));
  }
  return sizes;
}

TEST_F(UnlinkedFile, IsFreedInSlicesOnceItsNameIsDurablyGone) {
  file_.reset();
  ASSERT_TRUE(disk_.unlink(path()));
  EXPECT_FALSE(*disk_.exists(path()));
  disk_.free_left();
  EXPECT_EQ(sizes_without_a_name(directory_), (std::vector<uint64_t>{kBytes})) << "its directory is not synced";
  ASSERT_TRUE(disk_.sync_directory(directory_));
  disk_.free_left();
  EXPECT_EQ(sizes_without_a_name(directory_), (std::vector<uint64_t>{kBytes - SystemDisk::kFreedBytes}));
  disk_.free_left();
  EXPECT_EQ(sizes_without_a_name(directory_), (std::vector<uint64_t>{kBytes - 2 * SystemDisk::kFreedBytes}));
  disk_.free_left();
  EXPECT_TRUE(sizes_without_a_name(directory_).empty());
}

// /proc has no room at all. Whoever asks for it gets what waits to be freed, before its directory is synced, too.
TEST_F(UnlinkedFile, IsFreedAtOnceWhereRoomIsShort) {
  file_.reset();
  ASSERT_TRUE(disk_.unlink(path()));
  EXPECT_EQ(sizes_without_a_name(directory_), (std::vector<uint64_t>{kBytes}));
  const Result<uint64_t> room = disk_.free_bytes("/proc");
  ASSERT_TRUE(room.ok());
  EXPECT_EQ(*room, 0U);
  EXPECT_TRUE(sizes_without_a_name(directory_).empty());
  disk_.free_left();
}

TEST_F(UnlinkedFile, IsFreedAtOnceWhenNobodySyncsItsDirectory) {
  file_.reset();
  ASSERT_TRUE(disk_.unlink(path()));
  int turns = 0;
  for (; turns < 100 && !sizes_without_a_name(directory_).empty(); ++turns) disk_.free_left();
  EXPECT_EQ(turns, 20);
}

TEST_F(UnlinkedFile, StaysWholeForWhoeverHasItOpen) {
  ASSERT_TRUE(disk_.unlink(path()));
  ASSERT_TRUE(disk_.sync_directory(directory_));
  disk_.free_left();
  disk_.free_left();
  EXPECT_EQ(size(), kBytes);
  EXPECT_EQ(sizes_without_a_name(directory_).size(), 1U) << "the disk's own descriptor is closed";
}

TEST_F(UnlinkedFile, StaysWholeUnderAnotherName) {
  ASSERT_EQ(::link(path().c_str(), (directory_ + "/other").c_str()), 0);
  ASSERT_TRUE(disk_.unlink(path()));
  ASSERT_TRUE(disk_.sync_directory(directory_));
  disk_.free_left();
  EXPECT_EQ(size(), kBytes);
}

TEST_F(UnlinkedFile, OfOneThatIsNotThereIsAnError) {
  const Result<void> result = disk_.unlink(directory_ + "/none");
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, Errc::not_found);
}

}  // namespace
}  // namespace heptane
