// A RowStore of one type of row, as it lies in memory (little-endian, no padding that is not written). Rows are copied out.
#pragma once

#include <type_traits>

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
  void push_back(const Row& row) { store_.append(&row); }
  void pop_back() { store_.pop(); }

  RowStore& store() { return store_; }
  const RowStore& store() const { return store_; }

 private:
  static Row copy(const std::byte* at) {
    Row row;
    std::memcpy(&row, at, sizeof row);
    return row;
  }

  RowStore store_;
};

}  // namespace heptane::rows
