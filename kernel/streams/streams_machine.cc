#include "kernel/streams/streams_machine.h"

#include <algorithm>

#include "kernel/base/hash128.h"

namespace heptane::streams {

namespace {
constexpr int64_t kNsPerMs = 1'000'000;
constexpr uint64_t kBytesPerStream = 256;
constexpr size_t kDescribeLimit = 10'000;
}  // namespace

void StreamsMachine::apply(const Command& command, Effects& effects) {
  switch (command.type) {
    case kAppend: return append(command, effects);
    case kAppendEvents: return append_events(command, effects);
    case kCreateStream: return create(command, effects);
    case kDeleteStream: return remove(command, effects);
    case kInitProducer: return init_producer(command, effects);
    default: return effects.refuse(Errc::unsupported, 0, "streams have no such command");
  }
}

void StreamsMachine::append(const Command& command, Effects& effects) {
  const auto refuse = [&](Errc code, AppendRefusal detail, const char* why) {
    effects.refuse(code, static_cast<uint32_t>(detail), why);
  };
  if (command.kind != log::EntryKind::record_command)
    return refuse(Errc::invalid_argument, AppendRefusal::none, "an append carries a record batch");
  if (!has_partition(command.partition))
    return refuse(Errc::not_found, AppendRefusal::unknown_partition, "the stream is not there");
  const Result<RecordBatchInfo> batch = decode_record_batch_header(command.payload);
  if (!batch) return effects.refuse(batch.error().code, 0, batch.error().message);
  if (batch->producer_id >= 0) {
    const ProducerTable::Verdict verdict = producers_.judge(command.partition, *batch);
    switch (verdict.refusal) {
      case AppendRefusal::none: break;
      case AppendRefusal::fenced_producer:
        return refuse(Errc::stale, verdict.refusal, "a newer epoch of this producer is known");
      case AppendRefusal::duplicate_sequence:
        return refuse(Errc::stale, verdict.refusal, "older than the producer's last five batches");
      case AppendRefusal::out_of_order_sequence:
        return refuse(Errc::stale, verdict.refusal, "not the producer's next sequence number");
      default: return refuse(Errc::not_found, verdict.refusal, "this producer id is not known here");
    }
    if (verdict.repeated) return effects.unchanged(verdict.first_base_offset, -1);
  }
  Partition& partition = partitions_[command.partition];
  const Offset base_offset = partition.next_offset;
  partition.next_offset += batch->record_count;
  if (batch->producer_id >= 0) producers_.record(command.partition, *batch, base_offset, command.sequence);
  effects.reply(base_offset, command.time / kNsPerMs);
}

void StreamsMachine::append_events(const Command& command, Effects& effects) {
  const Result<AppendEvents> events = decode_append_events(command.payload);
  if (!events) return effects.refuse(events.error().code, 0, events.error().message);
  const std::optional<PartitionId> partition = find_partition(events->stream, 0);
  if (!partition) return effects.refuse(Errc::not_found, 0, "there is no stream " + std::string(events->stream));
  if (events->expected_offset >= 0 && events->expected_offset != next_offset(*partition))
    return effects.refuse(Errc::stale, 0, "the stream goes on at offset " + std::to_string(next_offset(*partition)));
  uint64_t bytes = 0;
  for (const EventRecord& record : events->records) bytes += record.key.size() + record.value.size();
  if (!effects.room_for(events->records.size(), bytes))
    return effects.refuse(Errc::too_large, 0, "one command appends at most 65536 records and 1 MiB");
  Offset first = next_offset(*partition);
  bool any = false;
  for (const EventRecord& record : events->records) {
    const Offset offset = effects.emit(Event{*partition, record.key, record.has_key, record.value});
    if (!any) first = offset;
    any = true;
  }
  effects.reply(first, static_cast<int64_t>(events->records.size()));
}

void StreamsMachine::create(const Command& command, Effects& effects) {
  const Result<CreateStream> create = decode_create_stream(command.payload);
  if (!create) return effects.refuse(create.error().code, 0, create.error().message);
  if (!valid_name(create->name))
    return effects.refuse(Errc::invalid_argument, 0, "a stream's name is [a-zA-Z0-9._-]{1,249}");
  if (create->partitions < 1 || create->partitions > kPartitionsLimit)
    return effects.refuse(Errc::invalid_argument, 1, "a stream has 1 to 1024 partitions");
  if (streams_.find(create->name) != streams_.end())
    return effects.refuse(Errc::exists, 0, "there is a stream of that name");
  if (streams_.size() >= kStreamsLimit) return effects.refuse(Errc::overloaded, 0, "there are too many streams");
  const Stream& stream = add_stream(create->name, create->partitions, command.sequence);
  effects.reply(stream.partitions.front(), create->partitions);
}

StreamsMachine::Stream& StreamsMachine::add_stream(std::string_view name, uint32_t partitions, Sequence sequence) {
  Stream stream;
  ByteWriter identity;
  identity.le<uint64_t>(sequence);
  identity.append(name);
  const Hash128 hash = hash128(identity.view());
  store_le(stream.uuid.data(), hash.low);
  store_le(stream.uuid.data() + 8, hash.high);
  for (uint32_t i = 0; i < partitions; ++i) {
    stream.partitions.push_back(static_cast<PartitionId>(partitions_.size()));
    partitions_.push_back({true, 0, 0});
  }
  undoable([this, name = std::string(name), partitions] {
    streams_.erase(name);
    partitions_.resize(partitions_.size() - partitions);
  });
  return streams_.emplace(std::string(name), std::move(stream)).first->second;
}

void StreamsMachine::remove(const Command& command, Effects& effects) {
  const Result<DeleteStream> target = decode_delete_stream(command.payload);
  if (!target) return effects.refuse(target.error().code, 0, target.error().message);
  if (!scopes_.empty())
    return effects.refuse(Errc::unsupported, 0,
                          "a stream is deleted by a command of its own, not inside a transaction");
  const auto found = streams_.find(target->name);
  if (found == streams_.end()) return effects.refuse(Errc::not_found, 0, "there is no stream of that name");
  for (const PartitionId partition : found->second.partitions) {
    partitions_[partition] = Partition{};
    producers_.forget_partition(partition);
    index_.drop(partition);
  }
  streams_.erase(found);
  effects.reply(0);
}

void StreamsMachine::init_producer(const Command& command, Effects& effects) {
  const Result<InitProducer> init = decode_init_producer(command.payload);
  if (!init) return effects.refuse(init.error().code, 0, init.error().message);
  if (!scopes_.empty()) return effects.refuse(Errc::unsupported, 0, "a producer is announced by a command of its own");
  if (init->producer_id < 0) return effects.reply(producers_.issue(), 0);
  const int16_t epoch = producers_.bump_epoch(init->producer_id, init->producer_epoch);
  if (epoch < 0)
    return effects.refuse(Errc::stale, static_cast<uint32_t>(AppendRefusal::fenced_producer),
                          "this producer id and epoch are not in force");
  effects.reply(init->producer_id, epoch);
}

PartitionId StreamsMachine::ensure_stream(std::string_view name, Sequence sequence) {
  const std::optional<PartitionId> partition = find_partition(name, 0);
  return partition ? *partition : add_stream(name, 1, sequence).partitions.front();
}

std::optional<PartitionId> StreamsMachine::find_partition(std::string_view name, uint32_t index) const {
  const auto found = streams_.find(name);
  if (found == streams_.end() || index >= found->second.partitions.size()) return std::nullopt;
  return found->second.partitions[index];
}

// Queries and reads.

StreamInfo StreamsMachine::describe(const std::string& name, const Stream& stream) const {
  StreamInfo info{name, stream.uuid, {}};
  for (const PartitionId id : stream.partitions)
    info.partitions.push_back({id, partitions_[id].log_start, index_.durable_end(id)});
  return info;
}

void StreamsMachine::query(const Query& query, Reply& reply) const {
  const auto refuse = [&](Errc code, const std::string& why) {
    reply.error = code;
    reply.message = why;
  };
  if (query.type != kDescribe) return refuse(Errc::unsupported, "streams have no such query");
  Result<DescribeQuery> wanted = decode_describe_query(query.payload);
  if (!wanted) return refuse(wanted.error().code, wanted.error().message);
  std::vector<StreamInfo> infos;
  if (wanted->all) {
    for (const auto& [name, stream] : streams_) {
      if (infos.size() == kDescribeLimit) break;
      infos.push_back(describe(name, stream));
    }
  } else {
    std::sort(wanted->names.begin(), wanted->names.end());  // total order: equal names are one name
    wanted->names.erase(std::unique(wanted->names.begin(), wanted->names.end()), wanted->names.end());
    for (const std::string& name : wanted->names)
      if (const auto found = streams_.find(name); found != streams_.end())
        infos.push_back(describe(name, found->second));
  }
  reply.payload = encode(infos);
}

ReadReply StreamsMachine::locate(const ReadRequest& request) const {
  ReadReply reply;
  reply.partition = request.partition;
  reply.offset = request.offset;
  reply.max_bytes = request.max_bytes;
  if (!has_partition(request.partition)) {
    reply.error = Errc::not_found;
    return reply;
  }
  reply.log_start = partitions_[request.partition].log_start;
  reply.durable_end = index_.durable_end(request.partition);
  if (request.offset < reply.log_start || request.offset > reply.durable_end)
    reply.error = Errc::invalid_argument;
  else if (request.offset < reply.durable_end)
    index_.locate(request.partition, request.offset, request.max_bytes, reply.extents);
  return reply;
}

// What the shard needs.

bool StreamsMachine::has_partition(PartitionId partition) const {
  return partition < partitions_.size() && partitions_[partition].alive;
}

Offset StreamsMachine::next_offset(PartitionId partition) const { return partitions_[partition].next_offset; }

void StreamsMachine::pack(const Event& event, LogTime time, uint32_t command_delta, Ordinal ordinal) {
  packer_.pack(event, partitions_[event.partition].next_offset++, time, command_delta, ordinal);
}

void StreamsMachine::skip(PartitionId partition) { ++partitions_[partition].next_offset; }

EntryRun StreamsMachine::place_batch(PartitionId partition, Offset base_offset, std::byte* batch, Epoch epoch) {
  assign_offset(batch, base_offset, static_cast<int32_t>(epoch));
  return read_run(partition, {batch, kRecordBatchHeaderBytes}, 0, 0);
}

EntryRun StreamsMachine::read_run(PartitionId partition, Bytes batch, uint32_t begin, uint32_t finish) const {
  namespace layout = record_batch_layout;
  const auto first = load_be<int64_t>(batch.data() + layout::kBaseOffset);
  const auto count = load_be<int32_t>(batch.data() + layout::kRecordCount);
  return {partition, first, first + count, begin, finish, load_be<int64_t>(batch.data() + layout::kMaxTimestamp)};
}

void StreamsMachine::for_each_packed(Bytes batch, const std::function<void(Offset, Bytes)>& each) const {
  // A batch that does not read back ends the walk: the caller compares what there is.
  (void)for_each_record(batch, [&](const RecordView& record) { each(record.offset, record.value); }).ok();
}

void StreamsMachine::add_durable(const EntryRun& run, const log::BatchPlace& place) {
  if (has_partition(run.partition)) index_.add(run, place);
}

// Scopes, memory, snapshots.

void StreamsMachine::undoable(std::function<void()> undo) {
  if (!scopes_.empty()) undo_.push_back(std::move(undo));
}

void StreamsMachine::open_scope() { scopes_.push_back(undo_.size()); }

void StreamsMachine::close_scope(ScopeOutcome outcome) {
  const size_t mark = scopes_.back();
  scopes_.pop_back();
  if (outcome == ScopeOutcome::roll_back)
    for (; undo_.size() > mark; undo_.pop_back()) undo_.back()();
  if (scopes_.empty()) undo_.clear();
}

uint64_t StreamsMachine::memory_bytes() const {
  return streams_.size() * kBytesPerStream + partitions_.size() * sizeof(Partition) + index_.memory_bytes() +
         producers_.windows() * kBytesPerStream;
}

void StreamsMachine::save(SnapshotWriter& writer) const {
  writer.le<uint64_t>(partitions_.size());
  for (const Partition& partition : partitions_) {
    writer.le<uint8_t>(partition.alive ? 1 : 0);
    writer.le<int64_t>(partition.next_offset);
    writer.le<int64_t>(partition.log_start);
  }
  writer.le<uint64_t>(streams_.size());
  for (const auto& [name, stream] : streams_) {
    writer.text(name);
    writer.write(stream.uuid);
    writer.le<uint32_t>(static_cast<uint32_t>(stream.partitions.size()));
    for (const PartitionId partition : stream.partitions) writer.le<uint32_t>(partition);
  }
  producers_.save(writer);
}

Result<void> StreamsMachine::restore(SnapshotReader& reader) {
  partitions_.clear();
  for (auto count = reader.le<uint64_t>(); count > 0 && !reader.failed(); --count) {
    Partition partition;
    partition.alive = reader.le<uint8_t>() != 0;
    partition.next_offset = reader.le<int64_t>();
    partition.log_start = reader.le<int64_t>();
    partitions_.push_back(partition);
  }
  for (auto count = reader.le<uint64_t>(); count > 0 && !reader.failed(); --count) {
    std::string name = reader.text(kNameLimitBytes);
    Stream stream;
    if (!reader.read(stream.uuid)) reader.fail();
    for (auto parts = reader.le<uint32_t>(); parts > 0 && !reader.failed(); --parts)
      stream.partitions.push_back(reader.le<uint32_t>());
    streams_.emplace(std::move(name), std::move(stream));
  }
  if (reader.failed()) return Error{Errc::corrupt, "the snapshot's streams do not read back"};
  return producers_.restore(reader);
}

}  // namespace heptane::streams
