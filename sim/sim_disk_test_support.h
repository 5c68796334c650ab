// What the tests of the simulated disk share. One thread.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "sim/sim_disk.h"

namespace heptane::sim {

inline std::string read_all(Disk& disk, const std::string& path) {
  auto file = disk.open(path, OpenMode::read);
  if (!file.ok()) return "<" + std::string(errc_name(file.error().code)) + ">";
  std::string text((*file)->size().value(), '?');
  const auto count = (*file)->read_at(0, {reinterpret_cast<std::byte*>(text.data()), text.size()});
  if (!count.ok()) return "<" + std::string(errc_name(count.error().code)) + ">";
  text.resize(*count);
  return text;
}

inline std::string durable(const SimDisk& disk, const std::string& path) {
  const auto content = disk.durable_content(path);
  return content.ok() ? std::string(as_text(*content)) : "<" + std::string(errc_name(content.error().code)) + ">";
}

inline std::unique_ptr<File> opened(SimDisk& disk, const std::string& path, OpenMode mode = OpenMode::read_write,
                                    OpenHint hint = OpenHint::none) {
  auto file = disk.open(path, mode, hint);
  EXPECT_TRUE(file.ok()) << path;
  return std::move(file).value();
}

// A file whose name is durable and whose content is pending.
inline std::unique_ptr<File> created(SimDisk& disk, const std::string& path, std::string_view text = "") {
  auto file = opened(disk, path, OpenMode::create);
  EXPECT_TRUE(file->write_at(0, as_bytes(text)).ok());
  EXPECT_TRUE(disk.sync_directory(path.substr(0, path.rfind('/') + 1)).ok());
  return file;
}

inline std::unique_ptr<File> synced(SimDisk& disk, const std::string& path, std::string_view text) {
  auto file = created(disk, path, text);
  EXPECT_TRUE(file->sync().ok());
  return file;
}

inline Errc code_of(const Result<void>& result) { return result.ok() ? Errc{255} : result.error().code; }
constexpr Errc kNoError{255};

}  // namespace heptane::sim
