// Writes the seeds of the fuzzer here: make_corpus DIRECTORY makes DIRECTORY/snapshot_fuzz/.
#include <filesystem>
#include <fstream>
#include <iostream>

#include "kernel/snapshot/snapshot_file.h"
#include "sim/sim_disk.h"

using namespace heptane;
using namespace heptane::snapshot;

namespace {

std::string repeated(const std::string& text, size_t bytes) {
  std::string all;
  while (all.size() < bytes) all += text;
  return all.substr(0, bytes);
}

void make(const std::string& path, std::string_view state, std::string_view index, char right) {
  sim::SimDisk disk(sim::SimDiskOptions{.seed = 1, .immediate = true});
  SnapshotHeader header;
  header.sequence = 7;
  header.epoch = 2;
  header.segment = 1;
  header.offset = kBlockBytes;
  auto file = disk.open("/s", OpenMode::create, OpenHint::none).value();
  SnapshotFileWriter writer(*file, header);
  writer.begin(Section::state);
  writer.write(as_bytes(state));
  writer.begin(Section::index);
  writer.write(as_bytes(index));
  if (!writer.finish()) std::exit(1);
  std::string bytes(static_cast<size_t>(*file->size()), '\0');
  (void)file->read_at(0, {reinterpret_cast<std::byte*>(bytes.data()), bytes.size()});
  std::ofstream(path, std::ios::binary) << right << bytes;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: make_corpus DIRECTORY\n";
    return 2;
  }
  const std::string directory = std::string(argv[1]) + "/snapshot_fuzz";
  std::filesystem::create_directories(directory);
  make(directory + "/small", "state", "index", '\1');
  make(directory + "/as_it_is", "state", "", '\0');
  make(directory + "/chunks", repeated("state ", 2 * kChunkPayloadBytes + 100), repeated("index ", 5000), '\1');
}
