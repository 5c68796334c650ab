// Writes the seeds of the fuzzer here: make_corpus DIRECTORY makes DIRECTORY/run_head_fuzz/.
#include <filesystem>
#include <fstream>
#include <iostream>

#include "kernel/rows/run_file.h"

using namespace heptane;
using namespace heptane::rows;

namespace {

// As the fuzzer has them.
constexpr uint32_t kRows = 65'536;
constexpr uint32_t kNumber = 3;
constexpr Hash128 kHash{0x0123456789ABCDEF, 0xFEDCBA9876543210};

// `keys[field]`: how many different keys the field's rows have. The input is cut behind a few blocks.
void make(const std::string& path, uint32_t rows, const std::vector<uint32_t>& keys, bool right) {
  const RunShape shape{"fuzz-rows", kRows, static_cast<uint32_t>(keys.size())};
  std::vector<std::vector<RunEntry>> runs(keys.size());
  for (size_t field = 0; field < keys.size(); ++field)
    for (uint32_t row = 0; row < rows; ++row) runs[field].push_back({row * 2'654'435'761U % keys[field] + 1, row});
  std::vector<std::byte> file = make_run_file(shape, kNumber, kHash, std::move(runs));
  file.resize(std::min<size_t>(file.size(), 4 * kBlockBytes));
  std::ofstream out(path, std::ios::binary);
  out << static_cast<char>((keys.size() - 1) << 1 | (right ? 1 : 0));
  out.write(reinterpret_cast<const char*>(file.data()), static_cast<std::streamsize>(file.size()));
}

// Merged runs of two fields, of which the second has common keys, in a head of `blocks` blocks.
void make_merged(const std::string& path, uint32_t entries, uint32_t blocks) {
  const RunShape shape{"fuzz-rows", kRows, 2};
  const RunPlace place{1, kNumber};
  std::vector<RunHead::Field> fields(2);
  fields[0].entries = entries;
  for (uint32_t entry = 0; entry < entries; entry += RunShape::kPerBlock) fields[0].first_keys.push_back(entry / 2);
  fields[1].commons = {1, 5, 900};
  const std::vector<std::byte> head = make_merged_head(shape, place, kHash, blocks, fields);
  std::vector<std::byte> block(kBlockBytes);
  for (uint32_t entry = 0; entry < RunShape::kPerBlock; ++entry) {
    store_le<uint32_t>(block.data() + 8 + entry * 8, entry / 2);
    store_le<uint32_t>(block.data() + 12 + entry * 8, entry * 1'000);
  }
  store_le<uint32_t>(block.data(), run_block_crc(block, load_le<uint32_t>(head.data() + 8)));
  std::ofstream out(path, std::ios::binary);
  out << static_cast<char>(0x10 | (shape.fields - 1) << 1 | 1);
  for (const std::vector<std::byte>& part : {head, block})
    out.write(reinterpret_cast<const char*>(part.data()), static_cast<std::streamsize>(part.size()));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: make_corpus DIRECTORY\n";
    return 2;
  }
  const std::string directory = std::string(argv[1]) + "/run_head_fuzz";
  std::filesystem::create_directories(directory);
  make(directory + "/one_field", 600, {200}, true);
  make(directory + "/as_it_is", 600, {200, 7}, false);
  make(directory + "/commons", kRows, {16, 3, 30'000}, true);
  make_merged(directory + "/merged", 5'000, 1);
  make_merged(directory + "/merged_long", 1'000'000, 3);
  make(directory + "/eight_fields", 100, {1, 2, 3, 4, 5, 6, 7, 8}, true);
}
