#include "modules/iot/machine/retained.h"

#include "modules/iot/domain/topics/topics.h"

namespace heptane::iot {

namespace {
constexpr size_t kTextLimitBytes = size_t{8} << 20;  // of anything in a snapshot

MessageView view_of(std::string_view topic, const RetainedMessage& message) {
  MessageView view;
  view.qos = message.qos;
  view.retain = true;
  if (message.expires) view.expiry_s = message.expiry_s;
  view.topic = topic;
  view.client = message.client();
  view.properties = message.properties();
  view.payload = message.payload();
  view.source = message.source();
  return view;
}
}  // namespace

void RetainedMessage::set_texts(std::string_view client, std::string_view properties, std::string_view payload,
                                std::string_view source) {
  source_bytes_ = static_cast<uint16_t>(source.size());
  client_bytes_ = static_cast<uint32_t>(client.size());
  properties_bytes_ = static_cast<uint32_t>(properties.size());
  texts_.reserve(client.size() + properties.size() + payload.size() + source.size());
  texts_.assign(client).append(properties).append(payload).append(source);
}

const RetainedMessage* RetainedMessages::find(std::string_view topic) const {
  const auto found = messages_.find(topic);
  return found == messages_.end() ? nullptr : &found->second;
}

bool RetainedMessages::room_for(std::string_view topic, const RetainedMessage& message, size_t overhead) const {
  const auto found = messages_.find(topic);
  const bool there = found != messages_.end();
  const size_t count = messages_.size() + (there ? 0 : 1);
  const size_t freed = there ? topic.size() + found->second.text_bytes() : 0;
  const size_t bytes = bytes_ - freed + topic.size() + message.text_bytes() + count * overhead;
  return count <= kRetainedMax && bytes <= kRetainedBytesMax;
}

void RetainedMessages::put(std::string_view topic, RetainedMessage message) {
  remove(topic);
  bytes_ += topic.size() + message.text_bytes();
  if (!message.source().empty()) ++sourced_;
  messages_.emplace(std::string(topic), std::move(message));
}

void RetainedMessages::remove(std::string_view topic) {
  const auto found = messages_.find(topic);
  if (found == messages_.end()) return;
  bytes_ -= found->first.size() + found->second.text_bytes();
  if (!found->second.source().empty()) --sourced_;
  messages_.erase(found);
}

void RetainedMessages::page(const RetainedQuery& query, Reply& reply) const {
  const std::string_view prefix = literal_prefix(query.filter);
  ByteWriter items;
  size_t count = 0;
  size_t visits = 0;
  bool more = false;
  std::string_view last = query.after;
  auto at = query.after.empty() ? messages_.lower_bound(prefix) : messages_.upper_bound(query.after);
  for (; at != messages_.end() && at->first.starts_with(prefix); ++at) {
    if (count == kPageMessages || visits == kPageVisits || items.size() >= kPageBytes) {
      more = true;
      break;
    }
    ++visits;
    last = at->first;
    if (!matches(query.filter, at->first)) continue;
    items.le<LogTime>(at->second.stored);
    append_message(items, view_of(at->first, at->second));
    items.le<uint16_t>(static_cast<uint16_t>(at->second.source().size()));
    items.append(at->second.source());
    ++count;
  }
  ByteWriter out;
  out.le<uint16_t>(static_cast<uint16_t>(last.size()));
  out.append(last);
  out.append(items.view());
  reply.payload = Buffer::take(out.release());
  reply.numbers = {static_cast<int64_t>(count), more ? 1 : 0};
}

RetainedMessages::Found RetainedMessages::find_all(const RetainedQuery& query, size_t most) const {
  const std::string_view prefix = literal_prefix(query.filter);
  Found found;
  if (prefix.size() == query.filter.size()) {  // one topic: nothing under it is looked at
    found.last = query.filter;
    if (query.after < prefix && messages_.find(prefix) != messages_.end()) found.topics.push_back(found.last);
    return found;
  }
  found.last = query.after;
  size_t visits = 0;
  auto at = query.after.empty() ? messages_.lower_bound(prefix) : messages_.upper_bound(query.after);
  for (; at != messages_.end() && at->first.starts_with(prefix); ++at) {
    if (found.topics.size() == most || visits == kPageVisits) {
      found.more = true;
      return found;
    }
    ++visits;
    found.last = at->first;
    if (matches(query.filter, at->first)) found.topics.push_back(at->first);
  }
  return found;
}

void RetainedMessages::save(SnapshotWriter& writer, uint64_t marks) const {
  writer.le<uint64_t>(messages_.size() | marks);
  for (const auto& [topic, message] : messages_) {
    writer.text(topic);
    writer.le<uint8_t>(message.qos);
    writer.le<uint8_t>(message.expires ? 1 : 0);
    writer.le<uint32_t>(message.expiry_s);
    writer.le<LogTime>(message.stored);
    writer.le<TimerId>(message.timer);
    writer.text(message.client());
    writer.text(message.properties());
    writer.text(message.payload());
    if (know_sources()) writer.text(message.source());
  }
}

Result<void> RetainedMessages::restore(SnapshotReader& reader, uint64_t count, bool sources) {
  messages_.clear();
  bytes_ = 0;
  sourced_ = 0;
  for (uint64_t i = 0; i < count && !reader.failed(); ++i) {
    const std::string topic = reader.text(kTopicLimitBytes);
    RetainedMessage message;
    message.qos = reader.le<uint8_t>();
    message.expires = reader.le<uint8_t>() != 0;
    message.expiry_s = reader.le<uint32_t>();
    message.stored = reader.le<LogTime>();
    message.timer = reader.le<TimerId>();
    const std::string client = reader.text(kTextLimitBytes);
    const std::string properties = reader.text(kTextLimitBytes);
    const std::string payload = reader.text(kTextLimitBytes);
    message.set_texts(client, properties, payload, sources ? reader.text(UINT16_MAX) : std::string());
    if (!reader.failed()) put(topic, std::move(message));
  }
  if (reader.failed() || messages_.size() != count) return Error{Errc::corrupt, "the broker's state is cut off"};
  return {};
}

}  // namespace heptane::iot
