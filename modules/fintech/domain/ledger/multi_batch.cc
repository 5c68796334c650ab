#include "modules/fintech/domain/ledger/multi_batch.h"

#include <algorithm>

#include "kernel/base/assert.h"

namespace heptane::fintech {

std::optional<MultiBatch> MultiBatch::parse(Bytes body, size_t element_bytes) {
  if (body.size() < 2 || body.size() % element_bytes != 0) return std::nullopt;
  MultiBatch parsed;
  const std::byte* end = body.data() + body.size();
  parsed.batches_ = load_le<uint16_t>(end - 2);
  parsed.element_bytes_ = element_bytes;
  if (parsed.batches_ == 0 || parsed.batches_ > kBatchesMax) return std::nullopt;
  const size_t trailer = multi_batch_trailer_bytes(parsed.batches_, element_bytes);
  if (trailer > body.size()) return std::nullopt;
  parsed.counts_ = end - 4;
  size_t elements = 0;
  for (size_t i = 0; i < parsed.batches_; ++i) elements += load_le<uint16_t>(parsed.counts_ - 2 * i);
  if (elements * element_bytes != body.size() - trailer) return std::nullopt;
  const Bytes padding = body.subspan(body.size() - trailer, trailer - 2 * (parsed.batches_ + 1));
  const bool padded = std::all_of(padding.begin(), padding.end(), [](std::byte b) { return b == std::byte{0xFF}; });
  if (!padded) return std::nullopt;
  parsed.elements_ = body.first(body.size() - trailer);
  return parsed;
}

void MultiBatchWriter::end_batch() {
  const size_t count = (out_.size() - batch_begin_) / element_bytes_;
  HEPTANE_ASSERT(count < 0xFFFF && counts_.size() < kBatchesMax, "a batch is longer than its count can say");
  counts_.push_back(static_cast<uint16_t>(count));
  batch_begin_ = out_.size();
}

std::vector<std::byte> MultiBatchWriter::finish() {
  const size_t trailer = multi_batch_trailer_bytes(counts_.size(), element_bytes_);
  out_.resize(out_.size() + trailer, std::byte{0xFF});
  std::byte* end = out_.data() + out_.size();
  store_le(end - 2, static_cast<uint16_t>(counts_.size()));
  for (size_t i = 0; i < counts_.size(); ++i) store_le(end - 4 - 2 * i, counts_[i]);
  return std::move(out_);
}

}  // namespace heptane::fintech
