#include "kernel/base/time_text.h"

#include <cstdio>
#include <ctime>

namespace heptane {

std::string time_text(LogTime time) {
  constexpr int64_t kSecond = 1'000'000'000;
  const int64_t nanoseconds = ((time % kSecond) + kSecond) % kSecond;
  const auto seconds = static_cast<time_t>((time - nanoseconds) / kSecond);
  std::tm fields{};
  ::gmtime_r(&seconds, &fields);
  char text[64];
  const size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &fields);
  char fraction[16];
  std::snprintf(fraction, sizeof fraction, ".%09lldZ", static_cast<long long>(nanoseconds));
  return std::string(text, length) + fraction;
}

}  // namespace heptane
