#include "modules/iot/machine/declared_streams.h"

#include <algorithm>

#include "kernel/streams/streams_machine.h"

namespace heptane::iot {

namespace {

constexpr uint64_t kStreamBytes = 512;  // of one, besides its texts
constexpr size_t kNameLimit = 249;
constexpr uint8_t kQos0 = 1;  // in a snapshot
constexpr uint8_t kRelaxed = 2;

uint64_t bytes_of(const DeclaredStream& stream) {
  const StreamDeclaration& said = stream.declaration;
  return kStreamBytes + 2 * (said.name.size() + said.filter.size()) + stream.partitions.size() * sizeof(PartitionId);
}

// A record of it; INT64_MAX: for ever.
int64_t kept_ms(const Target& target, const Effects& effects) {
  const streams::StreamConfig defaults =
      streams::StreamsMachine::with_defaults({target.retention_ms, target.retention_bytes}, effects);
  const bool ever = target.retention_ms == kForEver || defaults.retention_ms < 0;
  const bool all = target.retention_bytes == kForEver || defaults.retention_bytes < 0;
  constexpr int64_t kMsPerSecond = 1'000;
  const int64_t by_time = ever ? INT64_MAX : defaults.retention_ms;
  const int64_t by_bytes = all ? INT64_MAX : defaults.retention_bytes / kHomeBytesPerSecond * kMsPerSecond;
  return std::min(by_time, by_bytes);
}

}  // namespace

const DeclaredStream* DeclaredStreams::find(std::string_view name) const {
  const auto found = streams_.find(name);
  return found == streams_.end() ? nullptr : &found->second;
}

// There always are: of 65,520 numbers at most kAllPartitionsMax are taken.
uint16_t DeclaredStreams::free_views(uint32_t count) const {
  std::vector<std::pair<uint32_t, uint32_t>> taken;  // from, to
  for (const auto& [name, stream] : streams_)
    taken.emplace_back(stream.first_view, stream.first_view + stream.declaration.partitions);
  std::sort(taken.begin(), taken.end());  // total order: no two begin at the same number
  uint32_t from = kFirstDeclaredView;
  for (const auto& [begin, end] : taken) {
    if (begin >= from + count) break;
    from = end;
  }
  return static_cast<uint16_t>(from);
}

void DeclaredStreams::add(DeclaredStream stream) {
  partitions_ += stream.declaration.partitions;
  std::string name = stream.declaration.name;
  index(streams_.emplace(std::move(name), std::move(stream)).first->second);
}

void DeclaredStreams::change(const StreamDeclaration& declaration) {
  DeclaredStream& stream = streams_.find(declaration.name)->second;
  unindex(stream);
  stream.declaration = declaration;
  index(stream);
}

void DeclaredStreams::remove(std::string_view name) {
  const auto found = streams_.find(name);
  unindex(found->second);
  partitions_ -= found->second.declaration.partitions;
  streams_.erase(found);
}

void DeclaredStreams::index(const DeclaredStream& stream) {
  tree_.insert(stream.declaration.filter, &stream);
  bytes_ += bytes_of(stream);
}

void DeclaredStreams::unindex(const DeclaredStream& stream) {
  tree_.remove(stream.declaration.filter, [&](const DeclaredStream* one) { return one == &stream; });
  bytes_ -= bytes_of(stream);
}

Targets DeclaredStreams::match(const MessageView& message) const {
  if (streams_.empty()) return {};
  const bool fleeting = message.qos == 0 && !message.retain;
  std::vector<const DeclaredStream*> found;
  tree_.match(message.topic, [&](const DeclaredStream* stream) {
    if (!fleeting || stream->declaration.qos0) found.push_back(stream);
  });
  // total order: names differ
  std::sort(found.begin(), found.end(), [](const DeclaredStream* one, const DeclaredStream* other) {
    return one->declaration.name < other->declaration.name;
  });
  Targets targets;
  for (const DeclaredStream* stream : found) {
    const uint32_t index = partition_of(message.topic, stream->declaration.partitions);
    const StreamDeclaration& said = stream->declaration;
    targets.push_back({static_cast<uint16_t>(stream->first_view + index), stream->partitions[index], said.retention_ms,
                       said.retention_bytes});
  }
  return targets;
}

PartitionId home_of(const Targets& targets, const Effects& effects) {
  PartitionId home = targets.front().partition;
  int64_t longest_ms = kept_ms(targets.front(), effects);
  for (const Target& target : targets) {
    const int64_t ms = kept_ms(target, effects);
    if (ms <= longest_ms) continue;
    longest_ms = ms;
    home = target.partition;
  }
  return home;
}

Buffer DeclaredStreams::list() const {
  ByteWriter out;
  for (const auto& [name, stream] : streams_) append_declaration(out, stream.declaration);
  return Buffer::take(out.release());
}

void DeclaredStreams::save(SnapshotWriter& writer) const {
  writer.le<uint32_t>(static_cast<uint32_t>(streams_.size()));
  for (const auto& [name, stream] : streams_) {
    const StreamDeclaration& said = stream.declaration;
    writer.text(name);
    writer.text(said.filter);
    writer.le<int64_t>(said.retention_ms);
    writer.le<int64_t>(said.retention_bytes);
    writer.le<uint8_t>(static_cast<uint8_t>((said.qos0 ? kQos0 : 0) | (said.relaxed ? kRelaxed : 0)));
    writer.le<uint8_t>(said.publish ? 1 : 0);
    writer.le<uint16_t>(stream.first_view);
    writer.le<uint32_t>(said.partitions);
    for (const PartitionId partition : stream.partitions) writer.le<PartitionId>(partition);
  }
}

Result<void> DeclaredStreams::restore(SnapshotReader& reader) {
  const auto count = reader.le<uint32_t>();
  for (uint32_t i = 0; i < count && !reader.failed(); ++i) {
    DeclaredStream stream;
    StreamDeclaration& said = stream.declaration;
    said.name = reader.text(kNameLimit);
    said.filter = reader.text(kTopicLimitBytes);
    said.retention_ms = reader.le<int64_t>();
    said.retention_bytes = reader.le<int64_t>();
    const auto fleeting = reader.le<uint8_t>();
    said.qos0 = (fleeting & kQos0) != 0;
    said.relaxed = (fleeting & kRelaxed) != 0;
    said.publish = reader.le<uint8_t>() != 0;
    stream.first_view = reader.le<uint16_t>();
    said.partitions = reader.le<uint32_t>();
    if (said.partitions == 0 || said.partitions > kDeclaredPartitionsMax || find(said.name) != nullptr) reader.fail();
    for (uint32_t p = 0; p < said.partitions && !reader.failed(); ++p)
      stream.partitions.push_back(reader.le<PartitionId>());
    if (!reader.failed()) add(std::move(stream));
  }
  if (reader.failed()) return Error{Errc::corrupt, "the broker's declared streams are cut off"};
  return {};
}

// Records on their way.

RecordCounts::Count& RecordCounts::count_of(PartitionId partition) {
  for (Count& count : counts_)
    if (count.partition == partition) return count;
  return counts_.emplace_back(Count{partition, effects_.next_offset(partition), 0});
}

void RecordCounts::emit() {
  for (const Count& count : counts_) effects_.emit_view(count.partition, count.records);
}

}  // namespace heptane::iot
