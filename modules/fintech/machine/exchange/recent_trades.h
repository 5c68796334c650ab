// The last trades of an instrument that stand, at most 16, for its last price when one of them is busted. Part of the exchange's state;
// one owner.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace heptane::fintech::exchange {

class RecentTrades {
 public:
  struct Row {
    uint64_t trade = 0;
    int64_t price = 0;
  };
  static constexpr size_t kKept = 16;

  void add(Row row) {
    rows_[(first_ + size_) % kKept] = row;
    if (size_ == kKept)
      first_ = (first_ + 1) % kKept;
    else
      ++size_;
  }
  // In the place of the one that is busted; none: nothing comes there. False: it is not here.
  bool replace(uint64_t trade, std::optional<Row> by) {
    size_t at = 0;
    while (at < size_ && row(at).trade != trade) ++at;
    if (at == size_) return false;
    if (by) {
      rows_[(first_ + at) % kKept] = *by;
      return true;
    }
    for (; at + 1 < size_; ++at) rows_[(first_ + at) % kKept] = row(at + 1);
    --size_;
    return true;
  }
  size_t size() const { return size_; }
  // From the oldest on.
  const Row& row(size_t at) const { return rows_[(first_ + at) % kKept]; }
  std::optional<Row> last() const { return size_ == 0 ? std::nullopt : std::optional(row(size_ - 1)); }

 private:
  std::array<Row, kKept> rows_{};
  size_t first_ = 0;
  size_t size_ = 0;
};

}  // namespace heptane::fintech::exchange
