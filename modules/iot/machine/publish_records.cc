// What Kafka and HTTP clients append to a declared stream: messages like any, all of them or none.

#include "modules/iot/machine/publish_records.h"

#include <map>

#include "kernel/streams/streams_machine.h"
#include "modules/iot/domain/topics/topics.h"
#include "modules/iot/machine/broker_machine.h"

namespace heptane::iot {

namespace {

constexpr uint16_t kPartitioned = 0x8000;  // beside the count
constexpr const char* kNotTaken = "the stream does not take records from clients: declare it with publish = true";

bool all_within(const PublishRecords& records, const StreamDeclaration& declaration) {
  for (const MessageView& message : records.messages) {
    const bool wanted = message.qos > 0 || message.retain || declaration.qos0;
    if (!wanted || !matches(declaration.filter, message.topic)) return false;
    if (partition_of(message.topic, declaration.partitions) != records.partition) return false;
  }
  return true;
}

// Up to the messages.
std::optional<size_t> read_head(ByteReader& in, PublishRecords& read) {
  read.stream = as_text(in.take(in.le<uint16_t>()));
  read.producer.id = in.le<int64_t>();
  read.producer.epoch = in.le<int16_t>();
  read.producer.base_sequence = in.le<int32_t>();
  auto count = in.le<uint16_t>();
  read.names_partition = (count & kPartitioned) != 0;
  if (read.names_partition) read.partition = in.le<uint16_t>();
  count = static_cast<uint16_t>(count & ~kPartitioned);
  if (count == 0 || count > kPublishRecordsMax || !in.fits(count, 1)) return std::nullopt;
  return count;
}

}  // namespace

std::optional<size_t> skip_to_messages(ByteReader& in) {
  PublishRecords passed;
  return read_head(in, passed);
}

std::optional<PublishRecords> decode_publish_records(Bytes payload) {
  ByteReader in(payload);
  PublishRecords read;
  const auto count = read_head(in, read);
  if (!count) return std::nullopt;
  read.messages.reserve(*count);
  for (size_t i = 0; i < *count && !in.failed(); ++i) read.messages.push_back(read_message(in));
  if (!in.complete()) return std::nullopt;
  return read;
}

PublishRecordsWriter::PublishRecordsWriter(std::string_view stream, uint16_t partition,
                                           const PublishRecords::Producer& producer, uint16_t count) {
  out_.le<uint16_t>(static_cast<uint16_t>(stream.size()));
  out_.append(stream);
  out_.le<int64_t>(producer.id);
  out_.le<int16_t>(producer.epoch);
  out_.le<int32_t>(producer.base_sequence);
  out_.le<uint16_t>(static_cast<uint16_t>(count | (partition > 0 ? kPartitioned : 0)));
  if (partition > 0) out_.le<uint16_t>(partition);
}

// Empty queues of the sessions that refuse would hold them. What there was room to look at once is looked at again.
bool BrokerMachine::ever_fits(const std::vector<MessageView>& messages) const {
  std::map<uint64_t, size_t> wanted;
  size_t looked_at = 0;
  for (const MessageView& message : messages) {
    if (message.qos == 0) continue;
    for (KeptMatching matching(sessions_, matched(message), 0); matching.current() != nullptr; matching.next()) {
      if (++looked_at > kLookedAtMax) return false;
      const KeptSession& session = *matching.current()->session;
      if (session.queue_full == QueueFull::refuse && ++wanted[session.number] > session.queue_max) return false;
    }
  }
  return true;
}

void BrokerMachine::apply_publish_records(const Command& command, Effects& effects) {
  if (!scopes_.empty()) return effects.refuse(Errc::unsupported, 0, "what clients append is a command of its own");
  auto records = decode_publish_records(command.payload);
  const bool known = records && (version_ >= kLogicReturns || !records->names_partition);
  if (!known) return effects.refuse(Errc::invalid_argument, 0, "the command is no list of messages");
  const DeclaredStream* stream = declared_.find(records->stream);
  if (stream == nullptr || !stream->declaration.publish) return effects.refuse(Errc::refused, 0, kNotTaken);
  if (records->partition >= stream->partitions.size())
    return effects.refuse(Errc::refused, 0, "the stream has no such partition");
  const PartitionId partition = stream->partitions[records->partition];
  auto& streams = effects.port<streams::StreamsMachine>(machine_ids::kStreams);
  streams::RecordBatchInfo batch;
  batch.producer_id = records->producer.id;
  batch.producer_epoch = records->producer.epoch;
  batch.base_sequence = records->producer.base_sequence;
  batch.record_count = static_cast<int32_t>(records->messages.size());
  // A repeat is one whatever the stream has become since.
  if (!streams.judge_producer(partition, batch, effects)) return;
  if (!all_within(*records, stream->declaration))
    return effects.refuse(Errc::refused, 0, "a record's key is no topic of the stream's filter, or of this partition");
  const Offset first = effects.next_offset(partition);
  const std::string source = source_of(records->messages, command, effects);
  for (MessageView& message : records->messages) message.source = source;
  // All of it or nothing: where the first message may wait, the last one may.
  if (fan_outs_.size() < kFanOutsMax) fan_outs_max_ += kPublishRecordsMax;
  effects.open_scope();
  const Result<int64_t> kept = publish_all(records->messages, command, effects);
  const bool taken = kept && *kept == batch.record_count;
  effects.close_scope(taken ? ScopeOutcome::keep : ScopeOutcome::roll_back);
  // In a command of its own there is never more room.
  if (!kept && kept.error().code == Errc::overloaded)
    return effects.refuse(Errc::too_large, 0, "the messages would be more than 65,536 records: send fewer");
  if (!kept) return effects.refuse(kept.error().code, 0, kept.error().message);
  if (!taken && !ever_fits(records->messages))
    return effects.refuse(Errc::too_large, 0, "more messages than the queue of a durable session holds: send fewer");
  if (!taken)
    return effects.refuse(Errc::overloaded, 0, "there is no room for the messages now: send them again later");
  streams.record_producer(partition, batch, first, command.sequence);
  effects.reply(first, batch.record_count);
}

}  // namespace heptane::iot
