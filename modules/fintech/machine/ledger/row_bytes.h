// Rows of answers as they go over the wire: their bytes as they lie in memory (layouts.h). Any thread.
#pragma once

#include <cstddef>
#include <type_traits>
#include <vector>

namespace heptane::fintech {

template <class Row>
void append_row(std::vector<std::byte>& out, const Row& row) {
  static_assert(std::is_trivially_copyable_v<Row>);
  const auto* bytes = reinterpret_cast<const std::byte*>(&row);
  out.insert(out.end(), bytes, bytes + sizeof row);
}

}  // namespace heptane::fintech
