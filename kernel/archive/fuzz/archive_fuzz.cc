// The reader of the archive, and explain on top of it, over a file of any bytes, on a disk in memory. The input's first byte
// says whether the CRCs of header, index, frames and footer are put right first.
#include <algorithm>

#include "kernel/archive/archive_store.h"
#include "kernel/archive/explain.h"
#include "kernel/base/crc32c.h"
#include "sim/sim_disk.h"

using namespace heptane;
using namespace heptane::archive;

namespace {

constexpr const char* kPath = "/data/shard-0/archive/00000000000000000001-00000000000000000009-0000000000.archive";
constexpr uint32_t kRowsTried = 16;

void seal(MutableBytes file, size_t begin, size_t crc_at) {
  store_le<uint32_t>(file.data() + crc_at, crc32c(Bytes(file).subspan(begin, crc_at - begin)));
}

// What the footer counts is put right only where it lies inside the file.
void put_right(MutableBytes file) {
  if (file.size() < 2 * kBlockBytes) return;
  const size_t footer_at = file.size() - kBlockBytes;
  seal(file, 0, kBlockBytes - 4);
  seal(file, footer_at, file.size() - 4);
  Result<ArchiveFooter> footer = decode_footer(Bytes(file).subspan(footer_at));
  if (!footer || footer->places_at + footer->places * kPlaceBytes > footer_at) return;
  for (uint32_t i = 0; i < footer->rows; ++i) {
    const auto at = static_cast<size_t>(footer->rows_at) + i * kRowBytes;
    seal(file, at, at + 56);
    const auto frame = load_le<uint64_t>(file.data() + at + 40);
    if (frame <= footer_at - kFrameBytes) seal(file, static_cast<size_t>(frame), static_cast<size_t>(frame) + 16);
  }
  const auto rows_at = static_cast<size_t>(footer->rows_at);
  footer->index_crc = crc32c(Bytes(file).subspan(rows_at, footer_at - rows_at));
  encode(*footer, file.data() + footer_at);
}

void read_all(ArchiveReader& reader, const ArchiveSegment& segment) {
  (void)reader.verify(segment, [](PartitionId, const Item&, Bytes) -> Result<void> { return {}; });
  (void)reader.for_each_command(segment, 1, [](const Item&) -> Result<bool> { return true; });
  uint32_t tried = 0;
  (void)reader.for_each_row(segment, [&](const Row& row) -> Result<void> {
    if (++tried > kRowsTried) return Error{Errc::refused, "enough"};
    (void)reader.row(segment, row.partition);
    for (const Offset offset : {row.first, row.end - 1}) (void)reader.read(row.partition, offset, 64 << 10);
    (void)reader.offset_for_time(row.partition, row.first, row.max_timestamp_ms);
    (void)reader.offset_for_bytes(row.partition, 1);
    return {};
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1 || size > (256 << 10)) return 0;
  const auto* first = reinterpret_cast<const std::byte*>(data);
  std::vector<std::byte> bytes(first + 1, first + size);
  if ((data[0] & 1) != 0) put_right(bytes);
  sim::SimDisk disk(sim::SimDiskOptions{.seed = 1, .immediate = true});
  for (const char* directory : {"/data/shard-0/archive", "/data/shard-0/log"})
    HEPTANE_ASSERT(disk.make_directory(directory).ok(), "a new disk");
  {
    auto file = disk.open(kPath, OpenMode::create, OpenHint::none).value();
    HEPTANE_ASSERT(file->write_at(0, bytes).ok(), "a new file");
  }
  ArchiveStore store(disk, {"/data/shard-0/archive", 0});
  if (!store.open(std::nullopt)) return 0;
  ArchiveReader reader(disk, store);
  for (const auto& segment : *store.catalog()) {
    read_all(reader, *segment);
    for (const Sequence sequence : {segment->header.first_sequence, segment->header.last_sequence}) {
      (void)reader.command(sequence);
      (void)explain(disk, "/data", 0, sequence, {});
    }
  }
  return 0;
}
