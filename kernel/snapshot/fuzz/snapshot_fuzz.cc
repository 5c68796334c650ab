// The reader of snapshots over a file of any bytes, on a disk in memory. The input's first byte says whether the CRCs of
// header, chunks and footer are put right first. Both ways of reading take the same chunks and find the same bytes in them.
#include <algorithm>

#include "kernel/base/crc32c.h"
#include "kernel/snapshot/snapshot_file.h"
#include "sim/sim_disk.h"

using namespace heptane;
using namespace heptane::snapshot;

namespace {

constexpr size_t kReadMax = size_t{4} << 20;

uint32_t block_crc(std::byte* block, size_t field, uint32_t seed) {
  store_le<uint32_t>(block + field, 0);
  return crc32c({block, kBlockBytes}, seed);
}

void put_right(MutableBytes file) {
  if (file.size() < 2 * kBlockBytes || file.size() % kBlockBytes != 0) return;
  const uint32_t key = block_crc(file.data(), 8, 0);
  store_le<uint32_t>(file.data() + 8, key);
  const size_t footer = file.size() - kBlockBytes;
  for (size_t at = kBlockBytes; at < footer;) {
    const uint64_t stored = stored_chunk_bytes(load_le<uint32_t>(file.data() + at + 4));
    if (stored > footer - at) break;
    store_le<uint32_t>(file.data() + at, crc32c({file.data() + at + 4, static_cast<size_t>(stored) - 4}, key));
    at += static_cast<size_t>(stored);
  }
  store_le<uint32_t>(file.data() + footer + 4, block_crc(file.data() + footer, 4, key));
}

// All payloads of a section up to the first that is not right.
std::vector<std::byte> one_by_one(SnapshotFileReader& reader, Section section) {
  std::vector<std::byte> all;
  reader.seek(section);
  for (;;) {
    const Result<Bytes> payload = reader.next_payload();
    if (!payload || payload->empty()) return all;
    all.insert(all.end(), payload->begin(), payload->end());
  }
}

void compare_ways(SnapshotFileReader& reader, Section section) {
  const std::vector<std::byte> all = one_by_one(reader, section);
  const size_t whole = all.size() / kChunkPayloadBytes * kChunkPayloadBytes;
  std::vector<std::byte> memory(std::min(whole + kChunkPayloadBytes, kReadMax));
  reader.seek(section);
  std::vector<std::byte> in_order;
  const Result<size_t> read = reader.read_payloads(
      memory, 1, [&](Bytes piece) { in_order.insert(in_order.end(), piece.begin(), piece.end()); });
  const size_t got = read ? *read : in_order.size();
  HEPTANE_ASSERT(got <= whole && std::equal(memory.begin(), memory.begin() + static_cast<ptrdiff_t>(got), all.begin()),
                 "read in bulk or one by one, a chunk holds the same");
  HEPTANE_ASSERT(!read || got == whole || got == memory.size() / kChunkPayloadBytes * kChunkPayloadBytes,
                 "a bulk read takes all that it may");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1 || size > (512 << 10)) return 0;
  const auto* first = reinterpret_cast<const std::byte*>(data);
  std::vector<std::byte> bytes(first + 1, first + size);
  if ((data[0] & 1) != 0) put_right(bytes);
  sim::SimDisk disk(sim::SimDiskOptions{.seed = 1, .immediate = true});
  HEPTANE_ASSERT(disk.make_directory("/data").ok(), "a new disk");
  {
    auto file = disk.open("/data/s", OpenMode::create, OpenHint::none).value();
    HEPTANE_ASSERT(file->write_at(0, bytes).ok(), "a new file");
  }
  auto opened = SnapshotFileReader::open(disk, "/data/s", OpenHint::none);
  if (!opened) return 0;
  const bool sound = (*opened)->verify().ok();
  for (const Section section : {Section::state, Section::index}) {
    compare_ways(**opened, section);
    SectionReader reader(**opened, section, 0);
    std::vector<std::byte> memory(section == Section::state ? (*opened)->footer().state_bytes
                                                            : (*opened)->footer().index_bytes);
    const bool read = reader.read(memory) && reader.finish().ok();
    HEPTANE_ASSERT(read || !sound, "what was found right can be read");
  }
  return 0;
}
