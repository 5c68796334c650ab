// Any bytes as a record batch: as they are, and with a CRC made to fit, so that what lies behind the check is reached.

#include <cstdint>
#include <vector>

#include "kernel/base/assert.h"
#include "kernel/base/crc32c.h"
#include "kernel/streams/record_batch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace heptane;
  namespace layout = streams::record_batch_layout;
  std::vector<std::byte> bytes(reinterpret_cast<const std::byte*>(data),
                               reinterpret_cast<const std::byte*>(data) + size);
  for (int round = 0; round < 2; ++round) {
    const auto info = streams::check_produced_batch(bytes, 1 << 20);
    int64_t records = 0;
    const auto walked = streams::for_each_record(bytes, [&](const streams::RecordView& record) {
      HEPTANE_ASSERT(record.key.size() + record.value.size() + record.headers.size() <= size, "views lie in the batch");
      ++records;
    });
    if (info && !info->compressed())
      HEPTANE_ASSERT(walked.ok() && records == info->record_count, "what is accepted can be walked");
    if (size < streams::kRecordBatchHeaderBytes) break;
    store_be(bytes.data() + layout::kCrc, crc32c(Bytes(bytes).subspan(layout::kAttributes)));
    store_be<int32_t>(bytes.data() + layout::kBatchLength, static_cast<int32_t>(size - layout::kBatchLength - 4));
  }
  return 0;
}
