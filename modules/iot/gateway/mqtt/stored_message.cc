#include "modules/iot/gateway/mqtt/stored_message.h"

#include <algorithm>
#include <charconv>

#include "kernel/streams/record_batch.h"
#include "modules/iot/gateway/mqtt/session.h"

namespace heptane::iot::mqtt {

namespace {

constexpr int64_t kNsPerMs = 1'000'000;

std::string_view read_text(ByteReader& in) {
  const int64_t size = in.zigzag();
  if (size < 0) return {};
  return as_text(in.take(static_cast<size_t>(size)));
}

template <class Number>
Number number_of(std::string_view text) {
  Number number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// The broker's headers up to mqtt.client, then the publisher's.
class Headers {
 public:
  explicit Headers(const streams::RecordView& record) : in_(record.headers), left_(record.header_count) {}

  bool read(MessageView& view, Properties& properties) {
    while (left_ > 0 && !in_.failed()) {
      const std::string_view key = read_text(in_);
      const std::string_view value = read_text(in_);
      --left_;
      if (own(key, value, view, properties)) continue;
      if (key != "mqtt.client") return false;
      view.client = value;
      return read_user(properties);
    }
    return false;
  }

 private:
  static bool own(std::string_view key, std::string_view value, MessageView& view, Properties& properties) {
    if (key == "heptane.position") return true;
    if (key == "mqtt.qos") return view.qos = number_of<uint8_t>(value), view.qos <= 2;
    if (key == "mqtt.retain") return view.retain = true;
    if (key == "mqtt.message_expiry") return view.expiry_s = number_of<uint32_t>(value), true;
    if (key == "mqtt.payload_format") return properties.payload_format = 1, true;
    if (key == "mqtt.content_type") return properties.content_type = value, true;
    if (key == "mqtt.response_topic") return properties.response_topic = value, true;
    if (key == "mqtt.correlation_data") return properties.correlation_data = value, true;
    return false;
  }

  bool read_user(Properties& properties) {
    for (; left_ > 0 && !in_.failed(); --left_) {
      const std::string_view key = read_text(in_);
      properties.user.push_back({key, read_text(in_)});
    }
    return !in_.failed();
  }

  ByteReader in_;
  uint32_t left_;
};

}  // namespace

void for_each_stored(const Buffer& batch, int64_t monotonic_ns, int64_t utc_ns,
                     const std::function<bool(Offset)>& wanted,
                     const std::function<void(Offset, const MessagePtr&)>& each) {
  const auto take = [&](const streams::RecordView& record) {
    if (!wanted(record.offset)) return;
    MessageView view;
    Properties properties;
    if (!Headers(record).read(view, properties)) return;
    view.topic = as_text(record.key);
    view.payload = as_text(record.value);
    const std::string own = message_properties(properties);
    view.properties = own;
    ByteWriter bytes;
    append_message(bytes, view);
    auto message = std::make_shared<Message>();
    message->bytes = Buffer::take(bytes.release());
    ByteReader in(message->bytes.view());
    message->view = read_message(in);
    message->received_ns = monotonic_ns - std::max<int64_t>(0, utc_ns - record.timestamp_ms * kNsPerMs);
    each(record.offset, message);
  };
  // A batch that does not read is left: whoever waits for it sees that it did not come.
  (void)streams::for_each_record(batch.view(), take);
}

}  // namespace heptane::iot::mqtt
