#include "bench/raw_writer.h"

#include <cstdlib>

#include "bench/pipeline.h"

namespace heptane::bench {

namespace {
constexpr int64_t kHelperPeriodNs = 100'000'000;
void free_memory(std::byte* memory) { std::free(memory); }
}  // namespace

RawWriter::RawWriter(const std::string& directory)
    : directory_(directory),
      memory_(static_cast<std::byte*>(std::aligned_alloc(log::kBlockBytes, log::kBatchLimitBytes)), &free_memory) {
  must(disk_.make_directory(directory), "make a directory");
  const log::SegmentLogOptions like = log::segment_log_options(directory);
  pool_ = std::make_unique<log::SegmentPool>(disk_,
                                             log::SegmentPoolOptions{.directory = directory,
                                                                     .log_id = {},
                                                                     .shard = 0,
                                                                     .segment_bytes = like.segment_bytes,
                                                                     .prepared_segments = like.prepared_segments,
                                                                     .zero_ahead = like.zero_ahead},
                                             1);
  SeededRandom(1).fill({memory_.get(), log::kBatchLimitBytes});
  segment_ = must(pool_->take(0), "make a segment");
  offset_ = log::kBlockBytes;
  helper_ = std::thread([this] { helper_loop(); });
}

RawWriter::~RawWriter() {
  ended_.store(true);
  helper_wakeup_.notify();
  helper_.join();
}

void RawWriter::write(uint64_t bytes) {
  if (offset_ + bytes > segment_.segment_bytes) {
    segment_ = must(pool_->take(bytes), "take a segment");
    direct_.reset();
    offset_ = log::kBlockBytes;
  }
  File& file = file_for(bytes);
  file.write_and_sync(offset_, {memory_.get(), static_cast<size_t>(bytes)},
                      [](const Result<void>& synced) { must(synced, "write and sync"); });
  offset_ += bytes;
  written_.fetch_add(bytes, std::memory_order_relaxed);
}

// As the log: large writes past the page cache.
File& RawWriter::file_for(uint64_t bytes) {
  if (bytes < log::SegmentLogOptions().direct_from_bytes) return *segment_.file;
  const std::string path = log::segment_path(directory_, segment_.number);
  if (!direct_) direct_ = must(disk_.open(path, OpenMode::read_write, OpenHint::direct), "open a segment");
  return *direct_;
}

void RawWriter::helper_loop() {
  uint64_t seen = 0;
  while (!ended_.load()) {
    const uint64_t written = written_.load(std::memory_order_relaxed);
    const bool more = must(pool_->maintain(written == seen), "prepare segments");
    seen = written;
    if (!more) helper_wakeup_.wait(kHelperPeriodNs);
  }
}

}  // namespace heptane::bench
