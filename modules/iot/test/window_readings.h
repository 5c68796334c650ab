// Readings with times of their own, and what a rule over windows must make of them, reckoned window by window from all readings of
// each. Test support.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kernel/base/random.h"

namespace heptane::iot::rules::test {

constexpr int64_t kSizeMs = 1'000;
constexpr int64_t kGraceMs = 2'500;
constexpr int64_t kTimeoutMs = 6'000;

struct Reading {
  int64_t logged_ms = 0;  // never goes back
  int64_t event_ms = 0;
  int key = 0;
  std::optional<int64_t> value;  // none: the field is missing, and the condition says no to nothing
  bool is_wrong = false;         // a text where a number must be

  int64_t start_ms() const { return event_ms / kSizeMs * kSizeMs; }
  std::string json() const {
    std::string out = "{\"k\":" + std::to_string(key) + ",\"t\":" + std::to_string(event_ms);
    if (is_wrong) return out + ",\"v\":\"x\"}";
    return out + (value ? ",\"v\":" + std::to_string(*value) + "}" : "}");
  }
};

inline std::string windows_sql(bool timeout) {
  return "SELECT k, count(*) AS n, count(v) AS m, sum(v) AS s, min(v) AS lo, max(v) AS hi, first(v) AS a, last(v) AS "
         "z, "
         "WINDOWSTART AS w FROM STREAM raw TIMESTAMP BY t WINDOW TUMBLING (SIZE 1 SECOND, GRACE PERIOD 2500 "
         "MILLISECONDS" +
         std::string(timeout ? ", TIMEOUT 6 SECONDS" : "") + ") WHERE k <> 9 GROUP BY k HAVING count(*) <> 3";
}

inline std::vector<Reading> some_readings(SeededRandom& random, size_t count) {
  std::vector<Reading> readings;
  int64_t now_ms = 100'000;
  for (size_t i = 0; i < count; ++i) {
    now_ms += random.one_in(20) ? 9'000 : static_cast<int64_t>(random.below(400));
    Reading reading;
    reading.logged_ms = now_ms;
    reading.event_ms = now_ms - static_cast<int64_t>(random.below(random.one_in(6) ? 8'000 : 2'000));
    reading.key = random.one_in(15) ? 9 : static_cast<int>(random.below(4));
    if (!random.one_in(8)) reading.value = static_cast<int64_t>(random.below(100)) - 50;
    reading.is_wrong = random.one_in(25);
    readings.push_back(reading);
  }
  return readings;
}

// All of them, one after the other, and nothing else.
struct WindowModel {
  explicit WindowModel(bool with_timeout) : timeout(with_timeout) {}

  void take(const Reading& reading) {
    if (reading.key == 9) return;
    if (reading.is_wrong) {
      ++wrong;
      return;
    }
    watermark_ms = std::max(watermark_ms, reading.event_ms - kGraceMs);
    if (timeout) watermark_ms = std::max(watermark_ms, reading.logged_ms - kTimeoutMs);
    close();
    if (reading.start_ms() + kSizeMs <= watermark_ms) {
      ++late;
      return;
    }
    open[reading.start_ms()][reading.key].push_back(reading);
  }
  void close() {
    while (!open.empty() && open.begin()->first + kSizeMs <= watermark_ms) {
      for (const auto& [key, readings] : open.begin()->second) end(open.begin()->first, key, readings);
      open.erase(open.begin());
    }
  }
  void end(int64_t start_ms, int key, const std::vector<Reading>& readings) {
    ++groups;
    if (readings.size() == 3) return;
    std::vector<Reading> told;
    for (const Reading& one : readings)
      if (one.value) told.push_back(one);
    const auto number = [&](int64_t found) { return told.empty() ? std::string("null") : std::to_string(found); };
    int64_t sum = 0;
    for (const Reading& one : told) sum += *one.value;
    std::vector<Reading> sorted = told;
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const Reading& one, const Reading& other) { return *one.value < *other.value; });
    std::vector<Reading> in_time = told;
    std::stable_sort(in_time.begin(), in_time.end(),
                     [](const Reading& one, const Reading& other) { return one.event_ms < other.event_ms; });
    const auto of = [&](const std::vector<Reading>& all, bool last) {
      return all.empty() ? "null" : number(last ? *all.back().value : *all.front().value);
    };
    rows.push_back("{\"k\":" + std::to_string(key) + ",\"n\":" + std::to_string(readings.size()) +
                   ",\"m\":" + std::to_string(told.size()) + ",\"s\":" + number(sum) + ",\"lo\":" + of(sorted, false) +
                   ",\"hi\":" + of(sorted, true) + ",\"a\":" + of(in_time, false) + ",\"z\":" + of(in_time, true) +
                   ",\"w\":" + std::to_string(start_ms) + "}");
  }

  bool timeout = false;
  int64_t watermark_ms = INT64_MIN;
  std::map<int64_t, std::map<int, std::vector<Reading>>> open;
  std::vector<std::string> rows;
  uint64_t groups = 0;
  uint64_t late = 0;
  uint64_t wrong = 0;
};

}  // namespace heptane::iot::rules::test
