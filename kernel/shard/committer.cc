#include "kernel/shard/committer.h"

namespace heptane {

void Committer::set_wake(std::function<void()> wake_commit, std::function<void()> wake_shard) {
  wake_commit_ = std::move(wake_commit);
  wake_shard_ = std::move(wake_shard);
}

void Committer::measure(Clock& clock, Histogram& seconds, Histogram& bytes) {
  clock_ = &clock;
  seconds_ = &seconds;
  bytes_ = &bytes;
}

void Committer::start(Sequence durable) {
  watermark_.store(durable, std::memory_order_release);
  for (ShardLink* link : links_) link->watermark.store(durable, std::memory_order_release);
}

void Committer::hand_over(BatchWriter& writer) {
  BatchWriter* item = &writer;
  const bool pushed = waiting_.try_push(std::move(item));
  HEPTANE_ASSERT(pushed, "more batches handed over than there are writers");
  ++outstanding_;
  if (wake_commit_) wake_commit_();
}

bool Committer::take_completed(Completed& completed) {
  Completed* front = completed_.front();
  if (front == nullptr) return false;
  completed = *front;
  completed_.pop();
  --outstanding_;
  return true;
}

bool Committer::run_once() {
  if (in_flight_ || failed_.load(std::memory_order_relaxed)) return false;
  BatchWriter** front = waiting_.front();
  if (front == nullptr) return false;
  BatchWriter* writer = *front;
  waiting_.pop();
  in_flight_ = true;
  if (clock_ != nullptr) begun_ns_ = clock_->monotonic_ns();
  log_.append(writer->pending(),
              [this, writer](Result<log::BatchPlace> place) { on_synced(*writer, std::move(place)); });
  return true;
}

void Committer::on_synced(BatchWriter& writer, Result<log::BatchPlace> place) {
  in_flight_ = false;
  if (!place) {
    failed_.store(true, std::memory_order_release);
    on_fatal_(place.error());
    return;
  }
  batches_total_.fetch_add(1, std::memory_order_relaxed);
  bytes_total_.fetch_add(place->bytes, std::memory_order_relaxed);
  if (clock_ != nullptr) {
    seconds_->observe(static_cast<double>(clock_->monotonic_ns() - begun_ns_) / 1e9);
    bytes_->observe(static_cast<double>(place->bytes));
  }
  const Sequence last = writer.pending().header.last_sequence();
  // The shard must be able to index the batch before anybody can hear of it and ask: first completed_, then watermark.
  const bool pushed = completed_.try_push(Completed{&writer, *place});
  HEPTANE_ASSERT(pushed, "more completed batches than there are writers");
  watermark_.store(last, std::memory_order_release);
  for (ShardLink* link : links_) {
    link->watermark.store(last, std::memory_order_release);
    if (link->wake_io) link->wake_io();
  }
  if (wake_shard_) wake_shard_();
}

}  // namespace heptane
