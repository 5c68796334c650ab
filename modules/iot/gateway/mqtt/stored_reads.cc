#include "modules/iot/gateway/mqtt/stored_reads.h"

#include <algorithm>

#include "modules/iot/gateway/mqtt/queue_reader.h"

namespace heptane::iot::mqtt {

MessagePtr StoredReads::find(const RecordPlace& place) const {
  const auto found = messages_.find({place.partition, place.offset});
  return found == messages_.end() ? nullptr : found->second;
}

void StoredReads::put(const RecordPlace& place, const MessagePtr& message) {
  const Key key{place.partition, place.offset};
  if (!messages_.emplace(key, message).second) return;
  order_.push_back(key);
  bytes_ += message->bytes.size();
  while (messages_.size() > kMessagesMax || bytes_ > kBytesMax) {
    const auto oldest = messages_.find(order_.front());
    bytes_ -= oldest->second->bytes.size();
    messages_.erase(oldest);
    order_.pop_front();
  }
}

bool StoredReads::wait(QueueReader& reader, const RecordPlace& place) {
  for (Read& read : reads_) {
    const bool within = read.place.partition == place.partition && place.offset >= read.place.offset &&
                        place.offset - read.place.offset < stretch_;
    if (!within || read.reader == &reader) continue;
    if (std::find(read.waiting.begin(), read.waiting.end(), &reader) == read.waiting.end())
      read.waiting.push_back(&reader);
    return true;
  }
  return false;
}

void StoredReads::begin(QueueReader& reader, const RecordPlace& place) { reads_.push_back({&reader, place, {}}); }

bool StoredReads::alone(const QueueReader& reader) const {
  return to_pump_.empty() && std::all_of(reads_.begin(), reads_.end(), [&](const Read& read) {
           return read.reader == &reader && read.waiting.empty();
         });
}

void StoredReads::end(const QueueReader& reader) {
  const auto read = std::find_if(reads_.begin(), reads_.end(), [&](const Read& one) { return one.reader == &reader; });
  if (read == reads_.end()) return;
  crowd_ = read->waiting.size();
  const bool pumping = !to_pump_.empty();
  to_pump_.insert(to_pump_.end(), read->waiting.begin(), read->waiting.end());
  reads_.erase(read);
  if (pumping) return;  // by who is below on the stack
  // One that is pumped may ask for a read of its own, which may answer at once, or end others.
  while (!to_pump_.empty()) {
    QueueReader& next = *to_pump_.front();
    to_pump_.pop_front();
    next.read_ended();
  }
}

void StoredReads::brought(Offset records) { stretch_ = std::clamp<Offset>(records, 1, kStretch); }

void StoredReads::forget(const QueueReader& reader) {
  std::erase(to_pump_, &reader);
  for (Read& read : reads_) std::erase(read.waiting, &reader);
  const auto read = std::find_if(reads_.begin(), reads_.end(), [&](const Read& one) { return one.reader == &reader; });
  if (read == reads_.end()) return;
  const std::vector<QueueReader*> waiting = std::move(read->waiting);
  reads_.erase(read);
  for (QueueReader* one : waiting) one->look_again();
}

}  // namespace heptane::iot::mqtt
