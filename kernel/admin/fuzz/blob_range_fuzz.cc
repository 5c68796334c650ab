// The Range header of blobs: whatever it says, the range lies inside the blob. The first eight bytes are the blob's length.
#include "kernel/admin/blob_routes.h"
#include "kernel/base/assert.h"
#include "kernel/base/bytes.h"

using namespace heptane;
using namespace heptane::admin;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 8) return 0;
  const auto bytes = load_le<uint64_t>(reinterpret_cast<const std::byte*>(data));
  const std::string header(reinterpret_cast<const char*>(data) + 8, size - 8);
  const ByteRange range = parse_range(header, bytes);
  const auto again = "bytes=" + std::to_string(range.begin) + '-' + std::to_string(range.end - 1);
  switch (range.kind) {
    case ByteRange::Kind::whole:
      HEPTANE_ASSERT(range.begin == 0 && range.end == bytes, "the whole is all of it");
      break;
    case ByteRange::Kind::part: {
      HEPTANE_ASSERT(range.begin < range.end && range.end <= bytes, "a part lies inside");
      const ByteRange same = parse_range(again, bytes);
      HEPTANE_ASSERT(same.begin == range.begin && same.end == range.end, "what is answered names the same part");
      break;
    }
    case ByteRange::Kind::unsatisfiable: break;
  }
  return 0;
}
