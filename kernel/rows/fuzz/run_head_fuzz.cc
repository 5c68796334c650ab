// Heads of run files, merged ones too, and the blocks behind them, of any bytes. Of the input's first byte bit 0 says whether what
// a file of these rows begins with, and the CRCs, are put right first, the next three how many fields the rows have, bit 4
// whether they are merged runs. Whatever a head says, a search stays within the file and rows within those it is over.
#include <algorithm>

#include "kernel/base/crc32c.h"
#include "kernel/rows/run_file.h"

using namespace heptane;
using namespace heptane::rows;

namespace {

constexpr uint32_t kRows = 65'536;
constexpr uint32_t kNumber = 3;
constexpr Hash128 kHash{0x0123456789ABCDEF, 0xFEDCBA9876543210};
constexpr size_t kFixedBytes = 72;  // of the head, FORMAT.md

struct Case {
  RunShape shape;
  RunPlace place;
  bool right = false;
};

// Nothing but what the head counts is left to the input.
void put_right(MutableBytes head, const Case& of) {
  const std::vector<std::byte> made =
      of.place.level > 0 ? merged_identity(of.shape, of.place, kHash)
                         : make_run_file(of.shape, kNumber, kHash, std::vector<std::vector<RunEntry>>(of.shape.fields));
  std::copy_n(made.begin(), kFixedBytes, head.begin());
  store_le<uint32_t>(head.data() + 8, 0);
  store_le<uint32_t>(head.data() + 8, crc32c(head));
}

void put_block_right(MutableBytes block, uint32_t number, uint32_t key) {
  store_le<uint32_t>(block.data() + 4, number);
  store_le<uint32_t>(block.data(), run_block_crc(block, key));
}

void search(const RunHead& head, const Case& of, uint32_t file_key, uint32_t field, uint32_t key, MutableBytes file) {
  const std::optional<RunHead::Blocks> found = head.find(field, key);
  if (!found) return;
  HEPTANE_ASSERT(found->first <= found->last && head.offset_of(found->last) <= head.file_bytes(),
                 "a search stays within the file");
  for (uint32_t block = found->first; block < found->last && head.offset_of(block + 1) <= file.size(); ++block) {
    const MutableBytes bytes = file.subspan(head.offset_of(block), kBlockBytes);
    if (of.right) put_block_right(bytes, block, file_key);
    std::vector<uint32_t> rows;
    if (!head.collect(block, bytes, key, rows)) continue;
    HEPTANE_ASSERT(rows.size() <= RunShape::kPerBlock, "a block holds so many");
    HEPTANE_ASSERT(std::ranges::all_of(rows, [&](uint32_t row) { return row < kRows * of.place.files(); }),
                   "rows of those it is over");
  }
}

std::unique_ptr<RunHead> read(Bytes head, const Case& of) {
  return of.place.level > 0 ? RunHead::read_merged(head, of.shape, of.place, kHash)
                            : RunHead::read(head, of.shape, kNumber, kHash);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1 + kBlockBytes || size > (64 << 10)) return 0;
  const Case of{
      {"fuzz-rows", kRows, 1U + (data[0] >> 1) % kRunFieldsMost}, {data[0] >> 4 & 1U, kNumber}, (data[0] & 1) != 0};
  const auto* first = reinterpret_cast<const std::byte*>(data);
  std::vector<std::byte> bytes(first + 1, first + size);
  size_t blocks = 1;
  if (of.place.level > 0) {
    if (of.right) std::copy_n(as_bytes("HPRM").begin(), 4, bytes.begin());
    blocks = RunHead::merged_blocks(Bytes(bytes).first(kBlockBytes));
    if (blocks == 0 || blocks * kBlockBytes > bytes.size()) return 0;
  }
  const MutableBytes whole = MutableBytes(bytes).first(blocks * kBlockBytes);
  if (of.right) put_right(whole, of);
  const std::unique_ptr<RunHead> head = read(whole, of);
  HEPTANE_ASSERT(read(Bytes(whole).first(whole.size() - 1), of) == nullptr, "half a head is none");
  if (head == nullptr) return 0;
  const uint32_t file_key =
      of.place.level > 0 ? crc32c(merged_identity(of.shape, of.place, kHash)) : load_le<uint32_t>(whole.data() + 8);
  const size_t step = blocks > 1 ? 52 : sizeof(uint32_t);
  for (uint32_t field = 0; field < of.shape.fields; ++field)
    for (size_t at = kFixedBytes; at < whole.size(); at += step) {
      const auto key = load_le<uint32_t>(whole.data() + at);
      for (const uint32_t near : {key - 1, key, key + 1}) search(*head, of, file_key, field, near, bytes);
      if (key == 0 && at > kFixedBytes + 8 * kRunFieldsMost) break;  // zeros to the end
    }
  return 0;
}
