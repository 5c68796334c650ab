// Recovery, verify, dump and repair over a segment of any bytes, on a disk in memory. The input's first byte says whether
// the CRCs of the headers on block boundaries are put right first. Whatever a start accepts, a second start accepts too,
// with the same end.
#include <sstream>

#include "kernel/base/crc32c.h"
#include "kernel/log/layout.h"
#include "kernel/log/log_tool.h"
#include "sim/sim_disk.h"

using namespace heptane;
using namespace heptane::log;

namespace {

void put_right(MutableBytes segment) {
  for (size_t at = 0; at + kBlockBytes <= segment.size(); at += kBlockBytes) {
    std::byte* block = segment.data() + at;
    if (at == 0) {
      store_le<uint32_t>(block + layout::kSegmentCrc, 0);
      store_le<uint32_t>(block + layout::kSegmentCrc, crc32c({block, kBlockBytes}));
      continue;
    }
    const auto body = load_le<uint32_t>(block + layout::kBatchBodyBytes);
    if (body <= segment.size() - at - kBatchHeaderBytes)
      store_le<uint32_t>(block + layout::kBatchBodyCrc, crc32c({block + kBatchHeaderBytes, body}));
    store_le<uint32_t>(block + layout::kBatchHeaderCrc, 0);
    store_le<uint32_t>(block + layout::kBatchHeaderCrc, crc32c({block, kBatchHeaderBytes}));
  }
}

std::optional<RecoveryReport> start(Disk& disk) {
  SeededRandom random(1);
  SegmentLogOptions options = segment_log_options("/data");
  options.segment_bytes = 64 << 10;
  auto log = SegmentLog::open(disk, random, options);
  HEPTANE_ASSERT(log.ok(), "the disk is sound");
  const auto report = (*log)->recover({}, [](const BatchView& batch, const BatchPlace&) -> Result<void> {
    (void)batch.for_each_entry([](const EntryView&, Sequence) -> Result<void> { return {}; });
    return {};
  });
  return report ? std::optional(*report) : std::nullopt;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1 || size > (256 << 10)) return 0;
  const auto* first = reinterpret_cast<const std::byte*>(data);
  std::vector<std::byte> segment(first + 1, first + size);
  if ((data[0] & 1) != 0) put_right(segment);
  sim::SimDisk disk(sim::SimDiskOptions{.seed = 1, .immediate = true});
  const std::string path = "/data/shard-0/log/0000000001.seg";
  HEPTANE_ASSERT(disk.make_directory("/data/shard-0/log").ok(), "a new disk");
  {
    auto file = disk.open(path, OpenMode::create).value();
    HEPTANE_ASSERT(file->write_at(0, segment).ok(), "a new file");
  }
  std::ostringstream text;
  (void)verify_log(disk, {"/data", 0}, text);
  (void)dump_log(disk, {"/data", 0}, {.secret = {}, .payload = true}, text);
  if (const auto report = start(disk)) {
    const auto again = start(disk);
    HEPTANE_ASSERT(again && again->end.last_sequence == report->end.last_sequence && again->torn_bytes == 0,
                   "a second start finds what the first one left");
  }
  (void)repair_log(disk, {"/data", 0}, {.cut_at = 2});
  return 0;
}
