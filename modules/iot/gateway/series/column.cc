#include "modules/iot/gateway/series/column.h"

#include <algorithm>
#include <numeric>

namespace heptane::iot::series {

void settle(Column& column) {
  const auto ascending = [](int64_t a, int64_t b) { return a >= b; };
  if (std::adjacent_find(column.times.begin(), column.times.end(), ascending) == column.times.end()) return;
  std::vector<uint32_t> order(column.size());
  std::iota(order.begin(), order.end(), 0U);
  std::stable_sort(order.begin(), order.end(),
                   [&](uint32_t a, uint32_t b) { return column.times[a] < column.times[b]; });
  Column sorted;
  sorted.type = column.type;
  for (size_t i = 0; i < order.size(); ++i) {
    const bool last = i + 1 == order.size() || column.times[order[i + 1]] != column.times[order[i]];
    if (last) sorted.add_from(column, order[i]);
  }
  column = std::move(sorted);
}

void drop_front(Column& column, size_t count) {
  const auto points = static_cast<ptrdiff_t>(count);
  column.times.erase(column.times.begin(), column.times.begin() + points);
  if (column.is_text())
    column.texts.erase(column.texts.begin(), column.texts.begin() + points);
  else
    column.bits.erase(column.bits.begin(), column.bits.begin() + points);
}

Column merge(Column older, const Column& newer) {
  if (older.empty()) return newer;
  if (newer.empty() || older.times.back() < newer.times.front()) {
    for (size_t i = 0; i < newer.size(); ++i) older.add_from(newer, i);
    return older;
  }
  Column out;
  out.type = older.type;
  size_t a = 0;
  size_t b = 0;
  while (a < older.size() || b < newer.size()) {
    const bool take_older = b == newer.size() || (a < older.size() && older.times[a] < newer.times[b]);
    if (take_older) {
      out.add_from(older, a++);
      continue;
    }
    if (a < older.size() && older.times[a] == newer.times[b]) ++a;
    out.add_from(newer, b++);
  }
  return out;
}

}  // namespace heptane::iot::series
