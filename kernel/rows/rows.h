// A RowStore of one type of row, as it lies in memory (little-endian, no padding that is not written). Rows are copied out.
#pragma once

#include <algorithm>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

#include "kernel/rows/row_store.h"

namespace heptane::rows {

template <class Row>
class Rows {
  static_assert(std::is_trivially_copyable_v<Row>);

 public:
  Rows(std::string name, uint32_t rows_per_file) : store_({std::move(name), sizeof(Row), rows_per_file}) {}

  uint32_t size() const { return store_.size(); }
  bool empty() const { return size() == 0; }
  Row operator[](uint32_t number) const { return copy(store_.row(number)); }
  Row back() const { return (*this)[size() - 1]; }
  void push_back(const Row& row) { std::memcpy(store_.add(), &row, sizeof row); }
  void pop_back() { store_.pop(); }
  // All of them, some at a time, in their order; see RowStore::scan. `take(first, rows)`: a std::span<const Row>.
  template <class Take>
  Result<bool> scan(Take take) const {
    std::vector<Row> piece;
    return store_.scan([&](uint32_t first, Bytes rows) {
      for (; !rows.empty(); first += static_cast<uint32_t>(piece.size())) {
        piece.resize(std::min(kPiece, rows.size() / sizeof(Row)));
        const size_t bytes = piece.size() * sizeof(Row);
        std::memcpy(piece.data(), rows.data(), bytes);
        rows = rows.subspan(bytes);
        if (!take(first, std::span<const Row>(piece))) return false;
      }
      return true;
    });
  }

  RowStore& store() { return store_; }
  const RowStore& store() const { return store_; }

 private:
  static constexpr size_t kPiece = 128;

  static Row copy(const std::byte* at) {
    Row row;
    std::memcpy(&row, at, sizeof row);
    return row;
  }

  RowStore store_;
};

}  // namespace heptane::rows
