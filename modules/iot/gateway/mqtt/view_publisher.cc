#include "modules/iot/gateway/mqtt/view_publisher.h"

#include <charconv>
#include <utility>

#include "kernel/base/crc32c.h"
#include "kernel/streams/inflate.h"
#include "kernel/streams/record_batch.h"
#include "modules/iot/domain/devices/shadow.h"
#include "modules/iot/gateway/mqtt/session.h"
#include "modules/iot/machine/publish_records.h"

namespace heptane::iot::mqtt {

namespace {

constexpr size_t kTextLimitBytes = 65'535;

Error invalid(const std::string& what) { return {Errc::invalid_argument, what}; }

std::optional<std::string_view> read_text(ByteReader& in) {
  const int64_t size = in.zigzag();
  if (size < 0) return std::nullopt;
  return as_text(in.take(static_cast<size_t>(size)));
}

std::optional<uint32_t> number_of(std::string_view text) {
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

bool is_text(std::string_view text) { return text.size() <= kTextLimitBytes && valid_text(text); }

// One header; empty: it is right.
const char* take_header(std::string_view key, std::string_view value, MessageView& message, Properties& properties) {
  if (key == "heptane.position" || key == "mqtt.client") return "";
  if (!key.starts_with("mqtt.")) {
    if (!is_text(key) || !is_text(value)) return "a header that is no text";
    if (properties.user.size() == kUserPropertiesLimit) return "more than 64 user properties";
    properties.user.push_back({key, value});
    return "";
  }
  const auto number = number_of(value);
  if (key == "mqtt.qos") {
    if (!number || *number > 2) return "mqtt.qos is 0, 1 or 2";
    message.qos = static_cast<uint8_t>(*number);
  } else if (key == "mqtt.retain") {
    if (!number || *number > 1) return "mqtt.retain is 0 or 1";
    message.retain = *number == 1;
  } else if (key == "mqtt.message_expiry") {
    if (!number) return "mqtt.message_expiry is a number of seconds";
    message.expiry_s = *number;
  } else if (key == "mqtt.payload_format") {
    if (!number || *number > 1) return "mqtt.payload_format is 0 or 1";
    if (*number == 1) properties.payload_format = 1;
  } else if (key == "mqtt.content_type") {
    if (!is_text(value)) return "mqtt.content_type is no text";
    properties.content_type = value;
  } else if (key == "mqtt.response_topic") {
    if (!is_text(value) || !valid_topic(value) || !within_limits(value)) return "mqtt.response_topic is no topic";
    properties.response_topic = value;
  } else if (key == "mqtt.correlation_data") {
    if (value.size() > kTextLimitBytes) return "mqtt.correlation_data is too long";
    properties.correlation_data = value;
  } else {
    return "there is no header of that name beginning with mqtt.";
  }
  return "";
}

// What is wrong with the record as a message of this stream; empty: nothing.
std::string read_message(const streams::RecordView& record, const StreamDeclaration& stream, MessageView& message,
                         Properties& properties) {
  message.qos = 1;
  message.topic = as_text(record.key);
  message.payload = as_text(record.value);
  const bool topic =
      record.has_key && valid_text(message.topic) && valid_topic(message.topic) && within_limits(message.topic);
  if (!topic) return "a record's key must be a topic of at most 1,024 bytes and 32 levels";
  if (!matches(stream.filter, message.topic)) return "a record's key must be a topic that matches " + stream.filter;
  ByteReader headers(record.headers);
  for (uint32_t i = 0; i < record.header_count && !headers.failed(); ++i) {
    const auto key = read_text(headers);
    const auto value = read_text(headers);
    if (headers.failed() || !key) return "a header is malformed";
    const std::string wrong = take_header(*key, value.value_or(std::string_view()), message, properties);
    if (!wrong.empty()) return wrong;
  }
  if (message.qos == 0 && !message.retain && !stream.qos0) return "the stream takes mqtt.qos 1 or 2 (it has no qos0)";
  return {};
}

std::string of_partition(std::string_view topic, uint32_t partition) {
  return "the topic " + std::string(topic) + " is in partition " + std::to_string(partition) +
         " of the stream: a record goes where murmur2 of its key says (partitioner = murmur2 in librdkafka)";
}

Result<std::vector<std::byte>> inflated(Bytes batch, const streams::RecordBatchInfo& info) {
  if (!info.compressed()) return std::vector<std::byte>(batch.begin(), batch.end());
  return streams::inflate_batch(batch, kPublishRecordsBytesMax);
}

}  // namespace

std::string ViewPublisher::why_not_altered(std::string_view stream) const {
  if (!broker_.declared().is_declared(stream)) return {};
  return "the retention of " + std::string(stream) +
         " is its declaration's: change mqtt.streams in the configuration, or POST /api/v1/mqtt/streams";
}

Result<Submission> ViewPublisher::make_append(std::string_view stream, std::optional<uint32_t> partition,
                                              Bytes record_batch, const MayWrite& may) {
  const StreamDeclaration* declared = broker_.declared().taking(stream);
  if (declared == nullptr) return Error{Errc::refused, "the stream does not take records from clients"};
  if (partition && *partition >= declared->partitions)
    return Error{Errc::not_found, "the stream has partitions 0 to " + std::to_string(declared->partitions - 1)};
  const auto info = streams::decode_record_batch_header(record_batch);
  if (!info) return info.error();
  if (static_cast<size_t>(info->record_count) > kPublishRecordsMax)
    return Error{Errc::too_large, "at most 10,000 records of a stream that publishes are appended at once"};
  const auto batch = inflated(record_batch, *info);
  if (!batch) return batch.error();
  std::optional<PublishRecordsWriter> out;
  std::optional<Error> wrong;
  const Result<void> walked = streams::for_each_record(*batch, [&](const streams::RecordView& record) {
    if (wrong) return;
    MessageView message;
    Properties properties;
    std::string why = read_message(record, *declared, message, properties);
    if (why.empty() && broker_.reserves(message.topic)) why = "a record's key must not be a topic of the server's own";
    const uint32_t belongs = why.empty() ? partition_of(message.topic, declared->partitions) : 0;
    if (!partition) partition = belongs;
    if (why.empty() && belongs != *partition) why = of_partition(message.topic, belongs);
    const bool allowed = !why.empty() || may("mqtt", message.topic);
    if (!why.empty()) wrong = invalid(why);
    if (!allowed) wrong = Error{Errc::unauthorised, "not allowed to publish to " + std::string(message.topic)};
    const std::string own = message_properties(properties);
    message.properties = own;
    if (!out)
      out.emplace(stream, static_cast<uint16_t>(*partition),
                  PublishRecords::Producer{info->producer_id, info->producer_epoch, info->base_sequence},
                  static_cast<uint16_t>(info->record_count));
    if (!wrong) out->add(message);
  });
  if (!walked) return walked.error();
  if (wrong) return *std::move(wrong);
  if (!out) return invalid("a batch without records");
  if (out->size() > kPublishRecordsBytesMax) return Error{Errc::too_large, "more than 2 MiB of records: send several"};
  Submission submission;
  submission.machine = kBrokerMachineId;
  submission.type = kPublishRecords;
  submission.payload = out->finish();
  submission.payload_crc = crc32c(submission.payload.view());
  return submission;
}

// A repeat was delivered when it was new. What changes streams answers with all of them, also where it was so.
void ViewPublisher::on_answer(CommandType command, const Buffer& payload, const Reply& reply) {
  if (!reply.ok()) return;
  if (command != kPublishRecords) return broker_.declared().take(reply.payload.view());
  if (reply.repeated) return;
  ByteReader in(payload.view());
  const auto count = skip_to_messages(in);
  if (count) broker_.release_foreign(payload.slice(in.position(), in.remaining()), *count, reply);
}

}  // namespace heptane::iot::mqtt
