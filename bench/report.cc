#include "bench/report.h"

#include <sys/resource.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <thread>

namespace heptane::bench {

namespace {

std::string cpu_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown processor";
}

std::string machine() {
  utsname names{};
  ::uname(&names);
  return std::to_string(std::thread::hardware_concurrency()) + " x " + cpu_name() + ", " + names.sysname + " " +
         names.release;
}

std::string today() {
  const std::time_t now = std::time(nullptr);
  tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &parts);
  return text;
}

std::string formatted(const char* format, double value, const char* unit) {
  char text[64];
  std::snprintf(text, sizeof text, format, value, unit);
  return text;
}

double cpu_seconds_of(int who) {
  rusage usage{};
  ::getrusage(who, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

Report::Report(std::string name) : name_(std::move(name)) {
  setting("machine", machine());
  setting("date", today());
}

void Report::setting(const std::string& key, const std::string& value) { settings_.emplace_back(key, value); }

bool Report::print() const {
  std::printf("\n## %s\n", name_.c_str());
  for (const auto& [key, value] : settings_) std::printf("%-12s %s\n", (key + ":").c_str(), value.c_str());
  std::printf("\n| what | Heptane | beside it | ratio | bar | |\n|---|---|---|---|---|---|\n");
  bool met = true;
  for (const Row& row : rows_) {
    const char* verdict = row.bar.empty() ? "" : row.is_void ? "void" : row.met ? "met" : "MISSED";
    std::printf("| %s | %s | %s | %s | %s | %s |\n", row.what.c_str(), row.ours.c_str(), row.other.c_str(),
                row.ratio.c_str(), row.bar.c_str(), verdict);
    met = met && (row.met || row.is_void);
  }
  std::fflush(stdout);
  return met;
}

double quantile(std::vector<double>& values, double p) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<size_t>(p * static_cast<double>(values.size())))];
}

double median(std::vector<double> values) { return quantile(values, 0.5); }

std::string rate(double per_second, const char* unit) {
  const std::string tail = std::string(unit) + "/s";
  if (per_second >= 1e6) return formatted("%.2f M%s", per_second / 1e6, tail.c_str());
  if (per_second >= 1e3) return formatted("%.1f k%s", per_second / 1e3, tail.c_str());
  return formatted("%.1f %s", per_second, tail.c_str());
}

std::string micros(double microseconds) { return formatted("%.0f %s", microseconds, "us"); }
std::string ratio(double value) { return formatted("%.2f%s", value, ""); }

std::string spread(const std::vector<double>& values, std::string (*text)(double)) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return text(median(values)) + " (" + text(*least) + " to " + text(*most) + ")";
}

std::string bytes_text(uint64_t bytes) {
  if (bytes >= uint64_t{1} << 30) return formatted("%.2f %s", static_cast<double>(bytes) / (1 << 30), "GiB");
  return formatted("%.1f %s", static_cast<double>(bytes) / (1 << 20), "MiB");
}

int64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

double own_cpu_seconds() { return cpu_seconds_of(RUSAGE_SELF); }
double children_cpu_seconds() { return cpu_seconds_of(RUSAGE_CHILDREN); }

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == '\0' ? otherwise : std::strtoull(text, nullptr, 10);
}

}  // namespace heptane::bench
