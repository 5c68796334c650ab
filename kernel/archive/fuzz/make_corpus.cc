// Writes the seeds of the fuzzer here: make_corpus DIRECTORY makes DIRECTORY/archive_fuzz/.
#include <filesystem>
#include <fstream>
#include <iostream>

#include "kernel/archive/archive_writer.h"
#include "kernel/base/crc32c.h"
#include "sim/sim_disk.h"

using namespace heptane;
using namespace heptane::archive;

namespace {

std::vector<std::byte> entry_of(log::EntryHeader header, Bytes payload) {
  header.payload_bytes = static_cast<uint32_t>(payload.size());
  std::vector<std::byte> entry(static_cast<size_t>(header.stored_bytes()));
  std::memcpy(entry.data() + log::kEntryHeaderBytes, payload.data(), payload.size());
  if (header.is_record_batch()) {
    log::encode(header, entry.data());
    if (!log::seal_records(entry.data(), entry.size())) std::exit(1);
    return entry;
  }
  header.payload_crc = crc32c(payload);
  log::seal_entry(entry.data(), header);
  return entry;
}

// Plain commands, and record batches of two partitions that clients wrote.
void make(const std::string& path, int commands, int batches, char right) {
  sim::SimDisk disk(sim::SimDiskOptions{.seed = 1, .immediate = true});
  ArchiveHeader header;
  header.first_segment = header.last_segment = 1;
  header.first_sequence = 1;
  header.last_sequence = 9;
  auto file = disk.open("/a", OpenMode::create, OpenHint::none).value();
  ArchiveWriter writer(*file, header);
  const auto add = [&](PartitionId group, Offset first, Sequence sequence, const std::vector<std::byte>& entry) {
    const Result<log::EntryView> view = log::decode_entry(entry);
    if (!view) std::exit(1);
    writer.add({group, first, first + 1, 1'000, {sequence, 5}}, entry, *view);
  };
  for (int i = 0; i < commands; ++i) {
    log::EntryHeader command;
    command.machine = 7;
    command.type = 3;
    add(kCommandsGroup, i + 1, static_cast<Sequence>(i) + 1, entry_of(command, as_bytes("a command")));
  }
  for (PartitionId partition = 1; partition <= 2 && batches > 0; ++partition) {
    writer.begin_partition(partition, 0);
    for (int i = 0; i < batches; ++i) {
      streams::RecordBatchBuilder records;
      records.begin(1'000);
      records.add(1'000 + i, true, as_bytes("key"), true, as_bytes("some value"));
      log::EntryHeader command;
      command.kind = log::EntryKind::record_command;
      command.partition = partition;
      add(partition, i, static_cast<Sequence>(commands) + partition * 3 + static_cast<Sequence>(i) - 2,
          entry_of(command, records.finish(i, 0, true)));
    }
  }
  if (!writer.finish({})) std::exit(1);
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
  const std::string directory = std::string(argv[1]) + "/archive_fuzz";
  std::filesystem::create_directories(directory);
  make(directory + "/commands", 3, 0, '\1');
  make(directory + "/records", 2, 3, '\1');
  make(directory + "/as_it_is", 2, 1, '\0');
  make(directory + "/empty", 0, 0, '\1');
}
