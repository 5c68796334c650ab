// Runs a fuzzer's entry point without libFuzzer: over the files of its corpus, and over truncations and bit flips of
// them at positions that do not depend on the run, so that a regression shows in the ordinary test run.
//
//   x_fuzz FILE_OR_DIRECTORY...      prints the number of inputs; a crash or a failed assertion ends the process

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Input = std::vector<uint8_t>;

constexpr size_t kVariantsPerFileMax = 64;

// A copy of exactly the input's size, so that the address sanitiser sees a read of one byte past the end.
void run_one(const Input& input) {
  std::unique_ptr<uint8_t[]> copy(new uint8_t[input.size()]);
  std::copy(input.begin(), input.end(), copy.get());
  LLVMFuzzerTestOneInput(copy.get(), input.size());
}

Input read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "cannot read %s\n", path.c_str());
    std::exit(2);
  }
  return Input(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

size_t run_with_variants(const Input& input) {
  run_one(input);
  size_t count = 1;
  const size_t step = input.size() / kVariantsPerFileMax + 1;
  for (size_t at = 0; at < input.size(); at += step) {
    run_one(Input(input.begin(), input.begin() + static_cast<ptrdiff_t>(at)));
    Input flipped = input;
    flipped[at] = static_cast<uint8_t>(flipped[at] ^ (1u << (at % 8)));
    run_one(flipped);
    count += 2;
  }
  return count;
}

void collect(const std::filesystem::path& path, std::vector<std::filesystem::path>& files) {
  if (!std::filesystem::is_directory(path)) {
    if (std::filesystem::exists(path)) files.push_back(path);
    return;
  }
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::filesystem::path> files;
  for (int i = 1; i < argc; ++i) collect(argv[i], files);
  std::sort(files.begin(), files.end());

  run_one({});
  size_t count = 1;
  for (const auto& file : files) count += run_with_variants(read_file(file));
  std::printf("replayed %zu inputs from %zu files\n", count, files.size());
  return 0;
}
