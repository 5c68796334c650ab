// Any bytes as a chunk, under a right CRC: refused, or a column that comes back from what is made of it.
#include <cstddef>
#include <cstdint>

#include "kernel/base/assert.h"
#include "kernel/base/crc32c.h"
#include "modules/iot/gateway/series/chunk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace heptane;
  using namespace heptane::iot::series;
  ByteWriter chunk;
  chunk.append(Bytes(reinterpret_cast<const std::byte*>(data), size));
  chunk.le<uint32_t>(crc32c(chunk.view()));
  const auto column = decode_chunk(chunk.view());
  if (!column) return 0;
  const auto again = decode_chunk(encode_chunk(*column, 0, column->size()));
  HEPTANE_ASSERT(again && *again == *column, "a column comes back");
  return 0;
}
