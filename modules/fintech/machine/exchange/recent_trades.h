// The last trades of an instrument that stand, at most 16, and the one before them, for its last price when one of them is busted. That
// one may be of a time when trades could not be busted: then its price alone is known. While there are no others its price is the
// book's last one. Part of the exchange's state; one owner.
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
    uint64_t trade = 0;  // of the base alone: 0: it cannot be busted
    int64_t price = 0;
  };
  static constexpr size_t kKept = 16;

  void add(Row row) {
    if (size_ == kKept) {
      base_ = rows_[first_];
      first_ = (first_ + 1) % kKept;
      --size_;
    }
    rows_[(first_ + size_++) % kKept] = row;
  }
  void set_base(std::optional<Row> base) { base_ = base; }
  const std::optional<Row>& base() const { return base_; }
  // In the place of the one that is busted; none: nothing comes there. False: it is not here.
  bool replace(uint64_t trade, std::optional<Row> by) {
    if (base_ && base_->trade == trade) {
      base_ = by;
      return true;
    }
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
  std::optional<Row> last() const { return size_ == 0 ? base_ : std::optional(row(size_ - 1)); }

 private:
  std::array<Row, kKept> rows_{};
  std::optional<Row> base_;  // before them
  size_t first_ = 0;
  size_t size_ = 0;
};

}  // namespace heptane::fintech::exchange
