#include "modules/iot/gateway/mqtt/queue_reader.h"

#include <algorithm>

#include "modules/iot/gateway/mqtt/stored_message.h"

namespace heptane::iot::mqtt {

namespace {

constexpr uint16_t kPageItemsMax = 128;
constexpr uint32_t kReadBytes = 256 << 10;
constexpr uint32_t kCrowdReadBytes = 1 << 20;
constexpr uint32_t kSparseReadBytes = 16 << 10;
constexpr Offset kNear = 1'024;  // what a long read may bring
constexpr size_t kDense = 16;    // references within that
constexpr int64_t kReadAgainNs = 1'000'000'000;
constexpr int64_t kAgainNs = 10'000'000;  // a full queue of the shard, or a fan-out under way

}  // namespace

void QueueReader::begin_reading(const Queue& queue, net::SessionContext* context) {
  queue_ = queue;
  known_upto_ = queue.sent_upto;
  context_ = context;
}

void QueueReader::wake() {
  dirty_ = true;
  fetch();
}

void QueueReader::fetch() {
  if (broken_ || !dirty_ || asked_ != 0 || held_from_ != 0 || items_.size() >= kItemsMax / 2) return;
  if (context_ == nullptr) return;
  QueryRequest query;
  query.machine = kBrokerMachineId;
  query.type = kQueryQueue;
  query.payload = encode(QueueQuery{queue_.session, queue_.epoch, next_, page_items_});
  const RequestId request = make_request();
  if (!context_->query(request, std::move(query))) return again_later(kAgainNs);
  asked_ = request;
  page_items_ = std::min<uint16_t>(2 * page_items_, kPageItemsMax);
  safe_upto_ = known_upto_ + queue_.ahead;
  dirty_ = false;
  page_asked();
}

void QueueReader::again_later(int64_t delay_ns) {
  if (timer_ == 0 && context_ != nullptr) timer_ = arm(delay_ns);
}

void QueueReader::look_again() { again_later(kAgainNs); }

void QueueReader::read_again_later() {
  broken_ = false;
  again_later(kReadAgainNs);
}

bool QueueReader::take_timer(net::SessionTimerId timer) {
  if (timer != timer_) return false;
  timer_ = 0;
  wake();
  pump();
  return true;
}

bool QueueReader::take_reply(RequestId request, const Reply& reply) {
  if (request != asked_ || request == 0) return false;
  asked_ = 0;
  Result<QueuePage> page = reply.ok() ? decode_queue_page(reply.payload.view()) : Error{Errc::overloaded, ""};
  if (!page) {
    dirty_ = true;
    again_later(kAgainNs);
    return true;
  }
  broken_ = stale_ = (reply.numbers[1] & QueuePage::kStale) != 0;
  if (!broken_) page_came();
  for (QueuePage::Item& item : page->items) {
    if (item.number >= safe_upto_) {
      hold_from(item.number);
      break;
    }
    next_ = item.number + 1;
    items_.push_back({item.number, item.place, item.flags, false, false, std::move(item.ids), nullptr});
  }
  if ((reply.numbers[1] & QueuePage::kMore) != 0) dirty_ = true;
  if ((reply.numbers[1] & QueuePage::kComing) != 0) again_later(kAgainNs);
  pump();
  return true;
}

// The machine drops nothing that lies less than `ahead` above what it knows to be sent. What lies there and is in its queue stays
// until it is said what became of it; what lies above is fetched when the machine knows more.
void QueueReader::hold_from(uint64_t number) {
  if (number < known_upto_ + queue_.ahead)
    dirty_ = true;
  else
    held_from_ = number;
}

// A long read renders much that nobody waits for when this is the only queue, and its messages lie far apart.
uint32_t QueueReader::bytes_to_read() const {
  const StoredReads& stored = broker_.stored();
  if (!stored.alone(*this)) return stored.crowded() ? kCrowdReadBytes : kReadBytes;
  const RecordPlace& first = items_.front().place;
  const auto near = std::count_if(items_.begin(), items_.end(), [&](const Item& item) {
    return item.place.partition == first.partition && item.place.offset - first.offset < kNear;
  });
  return static_cast<size_t>(near) >= std::min(kDense, items_.size()) ? kReadBytes : kSparseReadBytes;
}

// Finds the first message that is not at hand, by a read that brings those behind it along, and what other queues want.
void QueueReader::load() {
  Item& item = items_.front();
  item.message = broker_.recent(item.place);
  if (!item.message) item.message = broker_.stored().find(item.place);
  if (item.message || reading_ != 0 || context_ == nullptr || broker_.stored().wait(*this, item.place)) return;
  ReadRequest read;
  read.partition = item.place.partition;
  read.offset = item.place.offset;
  read.max_bytes = bytes_to_read();
  const RequestId request = make_request();
  if (!context_->read(request, read)) return again_later(kAgainNs);
  reading_ = request;
  read_place_ = item.place;
  broker_.stored().begin(*this, item.place);
}

bool QueueReader::take_records(RequestId request, const net::RecordsRead& records) {
  if (request != reading_ || request == 0) return false;
  reading_ = 0;
  take_read(records);
  broker_.stored().end(*this);
  return true;
}

void QueueReader::take_read(const net::RecordsRead& records) {
  const bool deleted = records.error && *records.error == Errc::not_found;
  const bool trimmed = deleted || records.offset < records.log_start;
  if (records.error && !trimmed) {
    broken_ = *records.error != Errc::overloaded;
    if (!broken_) again_later(kAgainNs);
    return;
  }
  if (trimmed) mark_gone(records.partition, deleted ? INT64_MAX : records.log_start);
  put_records(records);
  broken_ = !items_.empty() && is_missing(items_.front());
  if (!broken_) pump();
}

// What was asked for did not come. (It may be at hand meanwhile by another's read, and something else at the front.)
bool QueueReader::is_missing(const Item& item) const {
  const bool asked = item.place.partition == read_place_.partition && item.place.offset == read_place_.offset;
  return asked && !item.message && !item.gone && !broker_.stored().find(item.place);
}

void QueueReader::put_records(const net::RecordsRead& records) {
  const bool alone = broker_.stored().alone(*this);
  size_t bytes = 0;
  Offset last = records.offset;
  auto at = items_.begin();
  // Its own item of this offset.
  const auto own = [&](Offset offset) -> Item* {
    while (at != items_.end() && (at->place.partition != records.partition || at->place.offset < offset)) ++at;
    return at != items_.end() && at->place.offset == offset && bytes <= kLoadedBytesMax ? &*at : nullptr;
  };
  const auto wanted = [&](Offset offset) {
    last = offset;
    return !alone || own(offset) != nullptr;
  };
  const auto put = [&](Offset offset, const MessagePtr& message) {
    if (!alone) broker_.stored().put({records.partition, offset}, message);
    Item* item = own(offset);
    if (item == nullptr) return;
    item->message = message;
    bytes += message->bytes.size();
  };
  for (const Buffer& batch : records.batches)
    for_each_stored(batch, context_->monotonic_ns(), context_->utc_ns(), wanted, put);
  if (!alone) broker_.stored().brought(last - records.offset + 1);
}

// Of a released one only PUBREL is left to be sent, which needs no message.
void QueueReader::mark_gone(PartitionId partition, Offset before) {
  for (Item& item : items_) {
    const bool needs = !item.message && (item.flags & Reference::kReleased) == 0;
    if (needs && item.place.partition == partition && item.place.offset < before) item.gone = true;
  }
}

// The machine's queue is full of what is settled where it hears of that too late.
void QueueReader::settle(uint64_t number, Settlement kind) {
  const Settled settled{queue_.session, queue_.epoch, number, kind};
  if (kind == Settlement::received) return broker_.keeper().settle_now(settler(), settled);
  broker_.keeper().settle(settled);
  if (++unflushed_ < queue_.flush_each) return;
  unflushed_ = 0;
  broker_.keeper().flush();
}

void QueueReader::tell_sent(uint64_t upto) {
  if (telling_ || upto <= known_upto_) return;
  telling_ = true;
  broker_.keeper().settle_now(settler(), {queue_.session, queue_.epoch, upto, Settlement::sent});
}

void QueueReader::told_sent(uint64_t upto) {
  telling_ = false;
  known_upto_ = std::max(known_upto_, upto);
  if (held_from_ != 0) dirty_ = true;
  held_from_ = 0;
  pump();
}

void QueueReader::go_on() {
  if (items_.empty() && held_from_ != 0) tell_sent(held_from_);
  fetch();
}

void QueueReader::note_sent(uint64_t number) {
  queue_.sent_upto = std::max(queue_.sent_upto, number + 1);
  if (queue_.sent_upto >= known_upto_ + queue_.ahead / 2 + 1) tell_sent(queue_.sent_upto);
}

}  // namespace heptane::iot::mqtt
