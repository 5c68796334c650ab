#include "kernel/cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "kernel/base/clock.h"

namespace heptane::cli {

namespace {
constexpr int64_t kQuietNs = 1'000'000'000;
constexpr int64_t kEveryNs = 100'000'000;
constexpr size_t kWidth = 30;
}  // namespace

ProgressBar::ProgressBar(std::string what, std::string things)
    : what_(std::move(what)),
      things_(std::move(things)),
      terminal_(::isatty(STDERR_FILENO) == 1),
      begin_ns_(SystemClock().monotonic_ns()) {}

ProgressBar::~ProgressBar() {
  if (shown_ns_ != 0) std::fputs("\r\033[K", stderr);
}

void ProgressBar::show(uint64_t done, uint64_t total) {
  if (!terminal_ || total == 0) return;
  const int64_t now_ns = SystemClock().monotonic_ns();
  if (now_ns - begin_ns_ < kQuietNs || now_ns - shown_ns_ < kEveryNs) return;
  shown_ns_ = now_ns;
  const double share = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const auto full = static_cast<size_t>(share * kWidth);
  std::fputs(
      fmt::format("\r\033[K{} [{}{}] {:.0f} % of {}", what_, std::string(full, '#'), std::string(kWidth - full, ' '),
                  share * 100, things_.empty() ? bytes_text(total) : fmt::format("{} {}", total, things_))
          .c_str(),
      stderr);
}

std::string bytes_text(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

}  // namespace heptane::cli
