#include "kernel/server/blob_check.h"

#include <ostream>

#include "kernel/shard/machine_files.h"

namespace heptane::server {

Result<BlobReport> check_blobs(Disk& disk, const std::string& data_directory, Modules modules, std::ostream& out) {
  PastState state(disk, data_directory, std::move(modules));
  HEPTANE_TRY(state.go_to({}));
  BlobReport report;
  for (const blobs::BlobInfo& blob : state.blobs().all()) {
    ++report.blobs;
    report.bytes += blob.bytes;
    const Result<void> sound = blobs::verify_file(disk, data_directory + "/blobs", {blob.digest, blob.bytes});
    if (sound) continue;
    ++report.problems;
    out << "blob " << blobs::digest_text(blob.digest) << ": " << sound.error().message << "\n";
  }
  std::vector<std::string> problems;
  for (const MachineFiles* files : state.shard().machine_files()) report.row_files += files->verify(problems);
  for (const std::string& problem : problems) out << problem << "\n";
  report.problems += problems.size();
  return report;
}

}  // namespace heptane::server
