// Writes the seeds of the fuzzers here: make_corpus DIRECTORY makes DIRECTORY/log_{batch,entry,segment}_fuzz/.
#include <filesystem>
#include <fstream>
#include <iostream>

#include "kernel/log/log_test_support.h"
#include "kernel/log/seal.h"
#include "sim/sim_disk.h"

using namespace heptane;
using namespace heptane::log;
using namespace heptane::log::test;

namespace {

void write(const std::string& directory, const std::string& name, Bytes bytes) {
  std::filesystem::create_directories(directory);
  std::ofstream(directory + "/" + name, std::ios::binary) << as_text(bytes);
}

TestBatch sample_batch(SeededRandom& random, bool records) {
  TestBatch batch(7, 2);
  ByteWriter extensions;
  append_extension(extensions, ExtensionType::principal, as_bytes("12345678"));
  append_extension(extensions, ExtensionType::cause, as_bytes("0123456789abcdef"));
  batch.add_command(random_bytes(random, 40), extensions.view());
  if (records) batch.add_records(random_bytes(random, 50), false);
  batch.header().segment = 1;
  batch.header().offset = kBlockBytes;
  batch.header().durable_upto = 6;
  return batch;
}

std::vector<std::byte> sample_segment(SeededRandom& random, int batches) {
  sim::SimDisk disk(sim::SimDiskOptions{.seed = 1, .immediate = true});
  SegmentLogOptions options = small_options("/data", 16 << 10);
  options.prepared_segments = 0;
  Opened opened = open_log(disk, random, options);
  for (int i = 0; i < batches; ++i) (void)append_commands(*opened.log, random, 1, 2, 30);
  (void)append_seal(*opened.log, 1);
  std::vector<std::byte> bytes(1 + (16 << 10));
  bytes[0] = static_cast<std::byte>(batches % 2);
  (void)disk.open(segment_path(options.directory, 1), OpenMode::read)
      .value()
      ->read_at(0, MutableBytes(bytes).subspan(1));
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: make_corpus DIRECTORY\n";
    return 2;
  }
  const std::string root = argv[1];
  SeededRandom random(1);
  for (const bool records : {false, true}) {
    TestBatch batch = sample_batch(random, records);
    if (!seal_batch(batch.pending())) return 1;
    const std::byte* at = batch.pending().memory;
    const std::string name = records ? "records" : "command";
    write(root + "/log_batch_fuzz", name, {at, kBatchHeaderBytes + batch.header().body_bytes});
    write(root + "/log_entry_fuzz", name,
          {at + batch.last_entry(), kBatchHeaderBytes + batch.header().body_bytes - batch.last_entry()});
  }
  for (int batches = 0; batches < 3; ++batches)
    write(root + "/log_segment_fuzz", "batches-" + std::to_string(batches), sample_segment(random, batches));
}
