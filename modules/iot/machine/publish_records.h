// kPublishRecords: what clients of other protocols append to a declared stream with `publish`. Payload: the stream's name with its
// length u16; producer id i64, epoch i16, base sequence i32 (-1: not numbered); then count u16, with its highest bit set a
// partition u16 (else 0), and messages as of kPublish. Every topic belongs to that partition (partition_of()).
// All become records or none. Reply payload: as of kPublish; numbers: the offset of the first in the stream, how many. Refused:
// refused (not such a stream or partition, or a topic outside its filter or of another partition), overloaded (no room for one of them now), too_large (there never
// is: more for one session that refuses than its whole queue; more records of all streams than a command makes; more sessions
// to look at where one refuses, or more retained payload to replace, than kLookedAtMax and kReplacedBytesMax), exists (as of kPublish), stale and not_found with
// streams::AppendRefusal in detail (numbered producers), unsupported (in a transaction). Any thread.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "modules/iot/machine/api.h"

namespace heptane::iot {

constexpr size_t kPublishRecordsMax = 10'000;  // what librdkafka puts into a batch unless it is told otherwise
// The work and the memory of such a command, which may be rolled back.
constexpr size_t kLookedAtMax = 65'536;
constexpr size_t kReplacedBytesMax = size_t{16} << 20;
constexpr size_t kPublishRecordsBytesMax = size_t{2} << 20;

struct PublishRecords {
  struct Producer {
    int64_t id = -1;
    int16_t epoch = -1;
    int32_t base_sequence = -1;
  };
  std::string_view stream;
  uint16_t partition = 0;
  bool names_partition = false;  // as the broker's logic knows it from 5 on
  Producer producer;
  std::vector<MessageView> messages;
};
std::optional<PublishRecords> decode_publish_records(Bytes payload);
// To where the messages of such a payload begin; their count. nullopt: it is none.
std::optional<size_t> skip_to_messages(ByteReader& in);

class PublishRecordsWriter {
 public:
  PublishRecordsWriter(std::string_view stream, uint16_t partition, const PublishRecords::Producer& producer,
                       uint16_t count);
  void add(const MessageView& message) { append_message(out_, message); }
  size_t size() const { return out_.size(); }
  Buffer finish() { return Buffer::take(out_.release()); }

 private:
  ByteWriter out_;
};

}  // namespace heptane::iot
