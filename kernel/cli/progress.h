// A bar on a terminal for what takes more than a second; silent elsewhere. Main thread.
#pragma once

#include <cstdint>
#include <string>

namespace heptane::cli {

class ProgressBar {
 public:
  // Of bytes, or of so many `things`.
  explicit ProgressBar(std::string what, std::string things = "");
  ~ProgressBar();  // takes the bar away
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void show(uint64_t done, uint64_t total);

 private:
  const std::string what_;
  const std::string things_;
  const bool terminal_;
  const int64_t begin_ns_;
  int64_t shown_ns_ = 0;
};

// 1.5 MiB
std::string bytes_text(uint64_t bytes);

}  // namespace heptane::cli
