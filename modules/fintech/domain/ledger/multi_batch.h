// Several independent batches of one operation in one message body: the elements, padding of 0xFF, the number of elements
// of each batch (u16, the first batch's last), the number of batches (u16). The part behind the elements is padded to
// whole elements. TigerBeetle 0.17, src/vsr/multi_batch.zig.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "kernel/base/bytes.h"

namespace heptane::fintech {

constexpr size_t kBatchesMax = 0xFFFE;

// Bytes behind the elements.
constexpr size_t multi_batch_trailer_bytes(size_t batches, size_t element_bytes) {
  const size_t bare = 2 * (batches + 1);
  return (bare + element_bytes - 1) / element_bytes * element_bytes;
}

// A view of a body that is well formed.
class MultiBatch {
 public:
  // `element_bytes` is a power of two, at least 2. None: malformed.
  static std::optional<MultiBatch> parse(Bytes body, size_t element_bytes);

  size_t batches() const { return batches_; }
  size_t elements() const { return elements_.size() / element_bytes_; }  // of all batches
  // Calls `visit(batch)` with the elements of each.
  template <class Visit>
  void visit(Visit visit) const {
    Bytes rest = elements_;
    for (size_t i = 0; i < batches_; ++i) {
      const size_t bytes = load_le<uint16_t>(counts_ - 2 * i) * element_bytes_;
      visit(rest.first(bytes));
      rest = rest.subspan(bytes);
    }
  }

 private:
  Bytes elements_;
  const std::byte* counts_ = nullptr;  // of the first batch; those of later ones lie before it
  size_t batches_ = 0;
  size_t element_bytes_ = 0;
};

// Builds a body: elements appended to `out`, end_batch() after each batch, finish() once.
class MultiBatchWriter {
 public:
  explicit MultiBatchWriter(size_t element_bytes) : element_bytes_(element_bytes) {}

  std::vector<std::byte>& out() { return out_; }
  void end_batch();
  std::vector<std::byte> finish();

 private:
  size_t element_bytes_;
  size_t batch_begin_ = 0;
  std::vector<std::byte> out_;
  std::vector<uint16_t> counts_;
};

}  // namespace heptane::fintech
