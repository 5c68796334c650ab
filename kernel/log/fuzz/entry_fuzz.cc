// One entry out of any bytes. CRCs would stop a fuzzer at once, so the input is also tried with them put right.
#include "kernel/base/crc32c.h"
#include "kernel/log/batch.h"
#include "kernel/log/layout.h"
#include "kernel/log/views.h"

using namespace heptane;
using namespace heptane::log;

namespace {

void decode(Bytes input) {
  const Result<EntryView> entry = decode_entry(input);
  if (!entry) return;
  HEPTANE_ASSERT(entry->header.stored_bytes() <= input.size(), "an entry stays inside its bytes");
  size_t bytes = 0;
  const bool sound =
      for_each_extension(entry->extensions, [&bytes](ExtensionType, Bytes value) { bytes += value.size(); });
  HEPTANE_ASSERT(sound && bytes <= entry->extensions.size(), "extensions stay inside their bytes");
  const Result<std::optional<EntryViews>> views = views_of(entry->extensions);
  HEPTANE_ASSERT(!views || !*views || (*views)->runs.size() <= kViewRunsLimit, "runs of views stay within their limit");
  HEPTANE_ASSERT(additions_of(entry->extensions).size() <= entry->extensions.size(), "and inside their bytes");
  (void)results_of(entry->extensions, entry->header.machine);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  decode({bytes, size});
  std::vector<std::byte> sealed(bytes, bytes + size);
  if (size < kEntryHeaderBytes) return 0;
  if (seal_records(sealed.data(), size)) {
    decode(sealed);
    return 0;
  }
  const auto payload_bytes = load_le<uint32_t>(sealed.data() + layout::kEntryPayloadBytes);
  const auto extension_bytes = load_le<uint32_t>(sealed.data() + layout::kEntryExtensionBytes);
  if (uint64_t{payload_bytes} + extension_bytes > size - kEntryHeaderBytes) return 0;
  EntryHeader header;
  header.payload_bytes = payload_bytes;
  header.extension_bytes = extension_bytes;
  header.payload_crc = crc32c(Bytes(sealed).subspan(kEntryHeaderBytes + extension_bytes, payload_bytes));
  seal_entry(sealed.data(), header);
  decode(sealed);
  return 0;
}
