#include "sim/simulator_bugs.h"

#include <algorithm>
#include <cstdlib>

#include "kernel/base/aligned_buffer.h"

namespace heptane::sim {

std::optional<PlantedBug> bug_of(std::string_view name) {
  const auto found = std::find(std::begin(kBugNames), std::end(kBugNames), name);
  if (found == std::end(kBugNames)) return std::nullopt;
  return static_cast<PlantedBug>(found - std::begin(kBugNames));
}

class PlantedFile final : public File {
 public:
  PlantedFile(PlantedDisk& disk, std::unique_ptr<File> file) : disk_(disk), file_(std::move(file)) {}

  Result<size_t> read_at(uint64_t offset, MutableBytes into) override { return file_->read_at(offset, into); }
  Result<std::optional<size_t>> try_read_at(uint64_t offset, MutableBytes into) override {
    return file_->try_read_at(offset, into);
  }
  Result<uint64_t> size() override { return file_->size(); }
  Result<void> allocate(uint64_t size) override { return file_->allocate(size); }
  Result<void> truncate(uint64_t size) override { return file_->truncate(size); }

  Result<void> write_at(uint64_t offset, Bytes bytes) override {
    if (disk_.bug_ == PlantedBug::believe_page_cache && reads_as(offset, bytes)) return {};
    return file_->write_at(offset, bytes);
  }

  Result<void> sync() override {
    if (disk_.bug_ == PlantedBug::sync_does_nothing) return {};
    return file_->sync();
  }

  void write_and_sync(uint64_t offset, Bytes bytes, Completion done) override {
    switch (disk_.bug_) {
      case PlantedBug::sync_does_nothing: return done(file_->write_at(offset, bytes));
      case PlantedBug::ack_before_sync: return write_then_report(offset, bytes, done);
      case PlantedBug::drop_durable_upto: return write_and_sync_without_evidence(offset, bytes, std::move(done));
      default: return file_->write_and_sync(offset, bytes, std::move(done));
    }
  }

 private:
  bool reads_as(uint64_t offset, Bytes bytes) {
    std::vector<std::byte> there(bytes.size());
    const Result<size_t> count = file_->read_at(offset, there);
    return count.ok() && *count == bytes.size() && std::equal(bytes.begin(), bytes.end(), there.begin());
  }

  void write_then_report(uint64_t offset, Bytes bytes, const Completion& done) {
    Result<void> earlier = file_->sync();
    if (!earlier) return done(std::move(earlier.error()));
    done(file_->write_at(offset, bytes));
  }

  // The header's CRC covers the field, and the next header holds that CRC: both are made to fit.
  void write_and_sync_without_evidence(uint64_t offset, Bytes bytes, Completion done) {
    Result<log::BatchHeader> header = log::decode_batch_header(bytes);
    if (!header) return file_->write_and_sync(offset, bytes, std::move(done));
    // Where it may be opened past the page cache, as the bytes themselves lie.
    auto changed = std::make_shared<AlignedBuffer>(bytes.size());
    std::copy(bytes.begin(), bytes.end(), changed->data());
    const log::ChainValue believed = log::chain_value(header->header_crc);
    if (header->previous_chain == disk_.believed_chain_) header->previous_chain = disk_.written_chain_;
    header->durable_upto = 0;
    disk_.believed_chain_ = believed;
    disk_.written_chain_ = log::chain_value(log::encode(*header, changed->data()));
    file_->write_and_sync(offset, {changed->data(), changed->size()},
                          [changed, done = std::move(done)](Result<void> result) { done(std::move(result)); });
  }

  PlantedDisk& disk_;
  std::unique_ptr<File> file_;
};

PlantedDisk::PlantedDisk(SimDisk& disk, PlantedBug bug) : disk_(disk), bug_(bug) {}

namespace {

Error dead_process() { return {Errc::closed, "the process is dead"}; }

bool is_snapshot(const std::string& path) { return path.find("/snapshots/") != std::string::npos; }

}  // namespace

Result<void> PlantedDisk::make_directory(const std::string& path) {
  return process_dead_ ? Result<void>(dead_process()) : disk_.make_directory(path);
}

Result<void> PlantedDisk::rename(const std::string& from, const std::string& to) {
  return process_dead_ ? Result<void>(dead_process()) : disk_.rename(from, to);
}

Result<void> PlantedDisk::unlink(const std::string& path) {
  return process_dead_ ? Result<void>(dead_process()) : disk_.unlink(path);
}

Result<std::unique_ptr<File>> PlantedDisk::open(const std::string& path, OpenMode mode, OpenHint hint) {
  if (process_dead_) return dead_process();
  // A snapshot speaks for all batches below it, and names the last one by the chain value that the log believes.
  if (bug_ == PlantedBug::drop_durable_upto && mode == OpenMode::create && is_snapshot(path))
    return Error{Errc::io, "no snapshots beside batches without evidence"};
  Result<std::unique_ptr<File>> file = disk_.open(path, mode, hint);
  if (!file || bug_ == PlantedBug::none) return file;
  return std::unique_ptr<File>(std::make_unique<PlantedFile>(*this, std::move(*file)));
}

Result<void> PlantedDisk::sync_directory(const std::string& path) {
  if (bug_ == PlantedBug::skip_directory_sync) return {};
  return disk_.sync_directory(path);
}

}  // namespace heptane::sim
