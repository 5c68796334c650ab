// What the system says of this process, under the names that every exporter uses. Linux: /proc/self.
#include <dirent.h>
#include <sys/resource.h>
#include <sys/timex.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "kernel/server/metrics.h"

namespace heptane::server {

namespace {

// The numbers of /proc/self/stat behind the command's name, which may hold anything: the first is field 3.
double stat_field(int field) {
  char text[1024];
  std::FILE* file = std::fopen("/proc/self/stat", "re");
  if (file == nullptr) return 0;
  const size_t got = std::fread(text, 1, sizeof text - 1, file);
  std::fclose(file);
  text[got] = 0;
  const char* at = std::strrchr(text, ')');
  for (int now = 2; at != nullptr && now < field; ++now) at = std::strchr(at + 1, ' ');
  return at == nullptr ? 0 : std::strtod(at, nullptr);
}

double open_files() {
  DIR* directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) return 0;
  double count = -1;  // the one that looks
  while (const dirent* entry = ::readdir(directory))
    if (entry->d_name[0] != '.') ++count;
  ::closedir(directory);
  return count;
}

double open_files_limit() {
  rlimit limit{};
  return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? static_cast<double>(limit.rlim_cur) : 0;
}

double cpu_seconds() {
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Field 22 counts from boot, in ticks.
double start_time_seconds() {
  timespec boot{};
  timespec utc{};
  clock_gettime(CLOCK_BOOTTIME, &boot);
  clock_gettime(CLOCK_REALTIME, &utc);
  const auto seconds = [](const timespec& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
  };
  return seconds(utc) - seconds(boot) + stat_field(22) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

// What the kernel says of how the system's clock is kept. It is only read.
struct SystemClock {
  bool synchronised = false;
  double offset_seconds = 0;
  double error_seconds = 0;
};
SystemClock system_clock() {
  timex kept{};
  const int state = ::adjtimex(&kept);
  if (state < 0) return {};
  const double unit = (kept.status & STA_NANO) != 0 ? 1e-9 : 1e-6;
  return {state != TIME_ERROR && (kept.status & STA_UNSYNC) == 0, static_cast<double>(kept.offset) * unit,
          static_cast<double>(kept.maxerror) * 1e-6};
}

void register_clock(Telemetry& telemetry) {
  telemetry.gauge("heptane_clock_synchronised", "1 while the kernel says that the system's clock is synchronised",
                  [] { return system_clock().synchronised ? 1.0 : 0.0; });
  telemetry.gauge("heptane_clock_offset_seconds", "What the system's clock is still to be corrected by, of adjtimex",
                  [] { return system_clock().offset_seconds; });
  telemetry.gauge("heptane_clock_error_seconds",
                  "At most so far from UTC, of adjtimex; it grows while nothing synchronises the clock",
                  [] { return system_clock().error_seconds; });
}

}  // namespace

uint64_t resident_bytes() {
  return static_cast<uint64_t>(stat_field(24)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

void register_process_metrics(Telemetry& telemetry) {
  telemetry.counter("process_cpu_seconds_total", "CPU time of the process", cpu_seconds);
  telemetry.gauge("process_resident_memory_bytes", "Resident memory",
                  [] { return static_cast<double>(resident_bytes()); });
  telemetry.gauge("process_virtual_memory_bytes", "Virtual memory", [] { return stat_field(23); });
  telemetry.gauge("process_open_fds", "Open files", open_files);
  telemetry.gauge("process_max_fds", "Limit of open files", open_files_limit);
  telemetry.gauge("process_start_time_seconds", "When the process began, UTC",
                  [began = start_time_seconds()] { return began; });
  register_clock(telemetry);
}

}  // namespace heptane::server
