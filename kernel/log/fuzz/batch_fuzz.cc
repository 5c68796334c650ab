// Batch header, body and entries out of any bytes: nothing but an error or a batch whose every CRC matches.
#include "kernel/log/batch.h"

using namespace heptane;
using namespace heptane::log;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes input(reinterpret_cast<const std::byte*>(data), size);
  const Result<BatchView> batch = BatchView::decode(input);
  if (!batch) return 0;
  uint64_t sum = 0;
  const Result<void> walked = batch->for_each_entry([&sum](const EntryView& entry, Sequence sequence) -> Result<void> {
    sum += sequence + entry.payload.size();
    for (const std::byte byte : entry.payload) sum += static_cast<unsigned>(byte);
    return {};
  });
  std::byte again[kBatchHeaderBytes];
  const uint32_t crc = encode(batch->header(), again);
  HEPTANE_ASSERT(crc == batch->header().header_crc && std::memcmp(again, data, sizeof again) == 0,
                 "a header that was accepted is written back as it was");
  return walked && sum == 1 ? 1 : 0;
}
