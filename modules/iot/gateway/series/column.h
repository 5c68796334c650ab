// The points of one field of one series: times and values side by side, in one form for memory, files and answers.
//
// Invariant: as many values as times; a number is in `bits` (a real its IEEE bits, a boolean 0 or 1), a text in `texts`, and the other
// is empty. Sorted by time without repeats where a function says so. Pure; any thread.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "modules/iot/domain/series/line_protocol.h"

namespace heptane::iot::series {

struct Column {
  FieldType type = FieldType::real;
  std::vector<int64_t> times;  // nanoseconds since 1970
  std::vector<uint64_t> bits;
  std::vector<std::string> texts;

  size_t size() const { return times.size(); }
  bool empty() const { return times.empty(); }
  bool is_text() const { return type == FieldType::text; }
  double real(size_t i) const { return std::bit_cast<double>(bits[i]); }
  void add(int64_t time, uint64_t number) {
    times.push_back(time);
    bits.push_back(number);
  }
  void add(int64_t time, std::string text) {
    times.push_back(time);
    texts.push_back(std::move(text));
  }
  // The point of another column of this type.
  void add_from(const Column& other, size_t i) {
    times.push_back(other.times[i]);
    if (is_text())
      texts.push_back(other.texts[i]);
    else
      bits.push_back(other.bits[i]);
  }
  friend bool operator==(const Column&, const Column&) = default;
};

// Sorts by time; of points of one time the last one stays.
void settle(Column& column);
// Leaves the first `count` points out.
void drop_front(Column& column, size_t count);
// Of two settled columns of one type; where both have a time `newer` holds.
Column merge(Column older, const Column& newer);

}  // namespace heptane::iot::series
