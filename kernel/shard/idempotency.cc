#include "kernel/shard/idempotency.h"

#include <algorithm>

namespace heptane {

const IdempotencyTable::Result* IdempotencyTable::find(uint32_t principal, MachineId machine,
                                                       const IdempotencyKey& key) const {
  const auto found = results_.find(Key{principal, machine, key.id});
  return found == results_.end() ? nullptr : &found->second;
}

void IdempotencyTable::record(uint32_t principal, MachineId machine, const IdempotencyKey& key, const Reply& reply) {
  evict(reply.time, principal);
  Result result;
  result.request_hash = key.request_hash;
  result.sequence = reply.sequence;
  result.time = reply.time;
  result.numbers = reply.numbers;
  result.reply_kept = reply.payload.size() <= kReplyLimitBytes;
  if (result.reply_kept) result.reply = std::string(as_text(reply.payload.view()));
  const Key where{principal, machine, key.id};
  if (const auto before = results_.find(where); before != results_.end()) reply_bytes_ -= before->second.reply.size();
  reply_bytes_ += result.reply.size();
  if (results_.insert_or_assign(where, std::move(result)).second) order_[principal].push_back(where);
}

void IdempotencyTable::evict(LogTime now, uint32_t principal) {
  auto order = order_.find(principal);
  if (order == order_.end()) return;
  std::deque<Key>& keys = order->second;
  while (!keys.empty() &&
         (keys.size() >= kPerPrincipalLimit || results_.find(keys.front())->second.time < now - kKeptNs))
    forget_oldest(principal);
}

void IdempotencyTable::forget_oldest(uint32_t principal) {
  std::deque<Key>& keys = order_[principal];
  const auto oldest = results_.find(keys.front());
  reply_bytes_ -= oldest->second.reply.size();
  results_.erase(oldest);
  keys.pop_front();
}

bool IdempotencyTable::has_expired(LogTime now) const {
  return std::any_of(order_.begin(), order_.end(), [&](const auto& order) {
    return !order.second.empty() && results_.find(order.second.front())->second.time < now - kKeptNs;
  });
}

uint64_t IdempotencyTable::forget_expired(LogTime now) {
  const size_t before = results_.size();
  for (auto& [principal, keys] : order_)
    while (!keys.empty() && results_.find(keys.front())->second.time < now - kKeptNs) forget_oldest(principal);
  std::erase_if(order_, [](const auto& order) { return order.second.empty(); });
  return before - results_.size();
}

void IdempotencyTable::save(SnapshotWriter& writer) const {
  writer.le<uint64_t>(order_.size());
  for (const auto& [principal, keys] : order_) {
    writer.le<uint32_t>(principal);
    writer.le<uint64_t>(keys.size());
    for (const Key& key : keys) {
      const Result& result = results_.find(key)->second;
      writer.le<uint16_t>(std::get<1>(key));
      writer.write(std::get<2>(key));
      writer.le<uint64_t>(result.request_hash);
      writer.le<uint64_t>(result.sequence);
      writer.le<int64_t>(result.time);
      for (const int64_t number : result.numbers) writer.le<int64_t>(number);
      writer.le<uint8_t>(result.reply_kept ? 1 : 0);
      writer.text(result.reply);
    }
  }
}

heptane::Result<void> IdempotencyTable::restore(SnapshotReader& reader) {
  order_.clear();
  results_.clear();
  reply_bytes_ = 0;
  const auto principals = reader.le<uint64_t>();
  for (uint64_t p = 0; p < principals && !reader.failed(); ++p) {
    const auto principal = reader.le<uint32_t>();
    const auto count = reader.le<uint64_t>();
    for (uint64_t i = 0; i < count && !reader.failed(); ++i) {
      Key key{principal, reader.le<uint16_t>(), {}};
      if (!reader.read(std::get<2>(key))) reader.fail();
      Result result;
      result.request_hash = reader.le<uint64_t>();
      result.sequence = reader.le<uint64_t>();
      result.time = reader.le<int64_t>();
      for (int64_t& number : result.numbers) number = reader.le<int64_t>();
      result.reply_kept = reader.le<uint8_t>() != 0;
      result.reply = reader.text(kReplyLimitBytes);
      reply_bytes_ += result.reply.size();
      order_[principal].push_back(key);
      results_.emplace(key, std::move(result));
    }
  }
  if (reader.failed()) return Error{Errc::corrupt, "the snapshot's idempotency table does not read back"};
  return {};
}

}  // namespace heptane
