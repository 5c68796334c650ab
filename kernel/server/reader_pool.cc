#include "kernel/server/reader_pool.h"

namespace heptane::server {

namespace {

uint64_t bytes_of(const net::RecordsRead& records) {
  uint64_t bytes = 0;
  for (const Buffer& batch : records.batches) bytes += batch.size();
  return bytes;
}

}  // namespace

bool ReadQueue::try_push(net::ReadJob& job) {
  {
    const std::lock_guard lock(mutex_);
    if (outstanding_ == kJobsMax) return false;
    ++outstanding_;
    jobs_.push_back(std::move(job));
  }
  if (wake_readers_) wake_readers_();
  return true;
}

std::optional<net::ReadJob> ReadQueue::take_job() {
  const std::lock_guard lock(mutex_);
  if (jobs_.empty() || done_bytes_ >= kDoneBytesMax) return std::nullopt;
  net::ReadJob job = std::move(jobs_.front());
  jobs_.pop_front();
  return job;
}

void ReadQueue::finish(net::ReadDone done) {
  {
    const std::lock_guard lock(mutex_);
    done_bytes_ += bytes_of(done.records);
    done_.push_back(std::move(done));
  }
  if (wake_io_) wake_io_();
}

std::optional<net::ReadDone> ReadQueue::take_done() {
  std::optional<net::ReadDone> done;
  bool rested = false;
  {
    const std::lock_guard lock(mutex_);
    if (done_.empty()) return std::nullopt;
    done = std::move(done_.front());
    done_.pop_front();
    --outstanding_;
    const bool full = done_bytes_ >= kDoneBytesMax;
    done_bytes_ -= bytes_of(done->records);
    rested = full && done_bytes_ < kDoneBytesMax && !jobs_.empty();
  }
  if (rested && wake_readers_) wake_readers_();
  return done;
}

size_t ReadQueue::outstanding() const {
  const std::lock_guard lock(mutex_);
  return outstanding_;
}

bool ReaderRole::run_once() {
  reader_->close_gone();
  std::optional<net::ReadJob> job = queue_.take_job();
  if (!job) return false;
  net::ReadDone done{job->session, job->request, reader_->read(job->where), 0};
  if (!job->where.extents.empty()) done.segment = job->where.extents.back().segment;
  queue_.finish(std::move(done));
  return true;
}

std::optional<net::RecordsRead> PooledRecordsReader::try_read(const ReadReply& where) {
  // Where nothing goes to the readers for long, files that are gone must not stay open.
  if (++tried_ % kReadsBetweenLooks == 0) memory_->close_gone();
  std::optional<net::RecordsRead> records = memory_->try_read(where);
  if (records) counters_.from_memory_total.fetch_add(1, std::memory_order_relaxed);
  return records;
}

bool PooledRecordsReader::submit(net::ReadJob& job) {
  if (!queue_.try_push(job)) return false;
  counters_.by_readers_total.fetch_add(1, std::memory_order_relaxed);
  return true;
}

std::optional<net::ReadDone> PooledRecordsReader::take_done() {
  std::optional<net::ReadDone> done = queue_.take_done();
  if (!done) return done;
  memory_->close_gone();
  if (done->segment != 0) memory_->know(done->segment);
  return done;
}

}  // namespace heptane::server
