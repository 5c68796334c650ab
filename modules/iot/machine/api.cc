#include "modules/iot/machine/api.h"

#include "kernel/base/crc32c.h"
#include "modules/iot/domain/topics/topics.h"
#include "modules/iot/machine/texts.h"

namespace heptane::iot {

namespace {

constexpr uint8_t kRetain = 4;
constexpr uint8_t kExpires = 8;
constexpr uint8_t kHasSender = 16;
constexpr size_t kHeadBytes = 17;  // flags, expiry, four lengths

constexpr const char* kNoQuery = "a query for retained messages is a filter and a topic";

}  // namespace

uint64_t content_of(std::string_view topic, std::string_view payload) {
  return uint64_t{crc32c(as_bytes(topic))} << 32 | crc32c(as_bytes(payload));
}

void append_message(ByteWriter& out, const MessageView& message) {
  const int flags = message.qos | (message.retain ? kRetain : 0) | (message.expiry_s ? kExpires : 0) |
                    (message.sender ? kHasSender : 0);
  // There are many: the writer grows once for all of it.
  const size_t head = out.size();
  out.zeros(kHeadBytes);
  std::byte* const at = out.at(head);
  store_le(at, static_cast<uint8_t>(flags));
  store_le(at + 1, message.expiry_s.value_or(0));
  store_le(at + 5, static_cast<uint16_t>(message.topic.size()));
  store_le(at + 7, static_cast<uint16_t>(message.client.size()));
  store_le(at + 9, static_cast<uint32_t>(message.properties.size()));
  store_le(at + 13, static_cast<uint32_t>(message.payload.size()));
  out.append(message.topic);
  out.append(message.client);
  out.append(message.properties);
  out.append(message.payload);
  if (!message.sender) return;
  out.le<uint64_t>(message.sender->session);
  out.le<uint64_t>(message.sender->epoch);
  out.le<PacketNumber>(message.sender->id);
}

MessageView read_message(ByteReader& in) {
  MessageView message;
  const uint8_t flags = in.u8();
  message.qos = flags & 3;
  message.retain = (flags & kRetain) != 0;
  const auto expiry_s = in.le<uint32_t>();
  if ((flags & kExpires) != 0) message.expiry_s = expiry_s;
  const auto topic = in.le<uint16_t>();
  const auto client = in.le<uint16_t>();
  const auto properties = in.le<uint32_t>();
  const auto payload = in.le<uint32_t>();
  message.topic = as_text(in.take(topic));
  message.client = as_text(in.take(client));
  message.properties = as_text(in.take(properties));
  message.payload = as_text(in.take(payload));
  if ((flags & kHasSender) != 0) {
    Sender& sender = message.sender.emplace();
    sender.session = in.le<uint64_t>();
    sender.epoch = in.le<uint64_t>();
    sender.id = in.le<PacketNumber>();
  }
  const bool topic_is_one = valid_topic(message.topic) && within_limits(message.topic) && valid_text(message.topic);
  if (message.qos == 3 || !topic_is_one || message.client.size() > kClientLimitBytes) in.fail();
  return message;
}

std::optional<std::vector<MessageView>> decode_publishes(Bytes payload) {
  ByteReader in(payload);
  const auto count = in.le<uint16_t>();
  if (count == 0 || count > kPublishesMax || !in.fits(count, kHeadBytes)) return std::nullopt;
  std::vector<MessageView> messages;
  messages.reserve(count);
  for (uint16_t i = 0; i < count && !in.failed(); ++i) messages.push_back(read_message(in));
  if (!in.complete()) return std::nullopt;
  return messages;
}

Buffer encode(const RetainedQuery& query) {
  ByteWriter out;
  put_text(out, query.filter);
  put_text(out, query.after);
  return Buffer::take(out.release());
}

Result<RetainedQuery> decode_retained_query(Bytes payload) {
  ByteReader in(payload);
  RetainedQuery query;
  query.filter = get_text(in);
  query.after = get_text(in);
  if (!in.complete() || !valid_filter(query.filter)) return Error{Errc::invalid_argument, kNoQuery};
  return query;
}

Result<RetainedPage> decode_retained_page(Bytes payload) {
  ByteReader in(payload);
  RetainedPage page;
  page.last = get_text(in);
  while (in.remaining() > 0 && !in.failed()) {
    RetainedPage::Item item;
    item.stored = in.le<LogTime>();
    item.message = read_message(in);
    item.message.source = get_text(in);
    page.items.push_back(item);
  }
  if (in.failed()) return Error{Errc::corrupt, "a page of retained messages is cut off"};
  return page;
}

}  // namespace heptane::iot
