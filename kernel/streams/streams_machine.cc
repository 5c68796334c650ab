#include "kernel/streams/streams_machine.h"

#include <algorithm>
#include <charconv>

#include "kernel/base/hash128.h"

namespace heptane::streams {

namespace {
constexpr int64_t kNsPerMs = 1'000'000;
constexpr uint64_t kBytesPerStream = 256;
constexpr size_t kDescribeLimit = 10'000;
constexpr size_t kDescribeLimitBytes = size_t{1} << 20;
constexpr size_t kDescribedBytes = 64;  // of a stream, besides its name and partitions
// In the saved count of partitions: a configuration follows, a view's machine and number follow, it is kept.
constexpr uint32_t kConfigured = 0x8000'0000;
constexpr uint32_t kView = 0x4000'0000;
constexpr uint32_t kKept = 0x2000'0000;
constexpr const char* kBadConfig = "retention_ms and retention_bytes are -1 (for ever) or more";

constexpr const char* kIsView = "the stream is a view: its records come from a module's commands, and from nobody else";
constexpr const char* kIsKept = "the records of this view are kept for ever: it has no retention";

bool valid_config(const StreamConfig& config) { return config.retention_ms >= -1 && config.retention_bytes >= -1; }
}  // namespace

void StreamsMachine::apply(const Command& command, Effects& effects) {
  switch (command.type) {
    case kAppend: return append(command, effects);
    case kAppendEvents: return append_events(command, effects);
    case kCreateStream: return create(command, effects);
    case kAlterStream: return alter(command, effects);
    case kGrowStream: return grow(command, effects);
    case kSetLogStart: return set_log_start(command, effects);
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
  if (view_of(command.partition).is_view()) return refuse(Errc::refused, AppendRefusal::view, kIsView);
  const Result<RecordBatchInfo> batch = decode_record_batch_header(command.payload);
  if (!batch) return effects.refuse(batch.error().code, 0, batch.error().message);
  if (!judge_producer(command.partition, *batch, effects)) return;
  Partition& partition = partitions_[command.partition];
  const Offset base_offset = partition.next_offset;
  partition.next_offset += batch->record_count;
  record_producer(command.partition, *batch, base_offset, command.sequence);
  effects.reply(base_offset, command.time / kNsPerMs);
}

bool StreamsMachine::judge_producer(PartitionId partition, const RecordBatchInfo& batch, Effects& effects) const {
  if (batch.producer_id < 0) return true;
  const ProducerTable::Verdict verdict = producers_.judge(partition, batch);
  const auto refuse = [&](Errc code, const char* why) {
    effects.refuse(code, static_cast<uint32_t>(verdict.refusal), why);
    return false;
  };
  switch (verdict.refusal) {
    case AppendRefusal::none: break;
    case AppendRefusal::fenced_producer: return refuse(Errc::stale, "a newer epoch of this producer is known");
    case AppendRefusal::duplicate_sequence: return refuse(Errc::stale, "older than the producer's last five batches");
    case AppendRefusal::out_of_order_sequence: return refuse(Errc::stale, "not the producer's next sequence number");
    default: return refuse(Errc::not_found, "this producer id is not known here");
  }
  if (verdict.repeated) effects.unchanged(verdict.first_base_offset, -1);
  return !verdict.repeated;
}

void StreamsMachine::record_producer(PartitionId partition, const RecordBatchInfo& batch, Offset first,
                                     Sequence sequence) {
  if (batch.producer_id >= 0) producers_.record(partition, batch, first, sequence);
}

void StreamsMachine::append_events(const Command& command, Effects& effects) {
  const Result<AppendEvents> events = decode_append_events(command.payload);
  if (!events) return effects.refuse(events.error().code, 0, events.error().message);
  const std::optional<PartitionId> partition = find_partition(events->stream, events->partition);
  if (!partition)
    return effects.refuse(
        Errc::not_found, 0,
        "there is no stream " + std::string(events->stream) +
            (find_partition(events->stream, 0) ? " with a partition " + std::to_string(events->partition)
                                               : std::string()));
  if (view_of(*partition).is_view())
    return effects.refuse(Errc::refused, static_cast<uint32_t>(AppendRefusal::view), kIsView);
  const Offset end = effects.version() >= 2 ? effects.next_offset(*partition) : next_offset(*partition);
  if (events->expected_offset >= 0 && events->expected_offset != end)
    return effects.refuse(Errc::stale, 0, "the stream goes on at offset " + std::to_string(end));
  uint64_t bytes = 0;
  for (const EventRecord& record : events->records) bytes += record.key.size() + record.value.size();
  if (!effects.room_for(events->records.size(), bytes))
    return effects.refuse(Errc::too_large, 0, "one command appends at most 65536 records and 1 MiB");
  Offset first = end;
  bool any = false;
  for (const EventRecord& record : events->records) {
    const Offset offset = effects.emit(Event{*partition, record.key, record.has_key, record.value});
    if (!any) first = offset;
    any = true;
  }
  effects.reply(first, static_cast<int64_t>(events->records.size()));
}

namespace {

// Configuration that was never logged is empty: logs from before it was there mean what they did.
int64_t configured(std::string_view text) {
  int64_t number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && number >= 0 ? number : -1;
}

}  // namespace

StreamConfig StreamsMachine::with_defaults(StreamConfig config, const Effects& effects) {
  if (config.retention_ms < 0) config.retention_ms = configured(effects.config(kDefaultRetentionMs));
  if (config.retention_bytes < 0) config.retention_bytes = configured(effects.config(kDefaultRetentionBytes));
  return config;
}

void StreamsMachine::create(const Command& command, Effects& effects) {
  const Result<CreateStream> create = decode_create_stream(command.payload);
  if (!create) return effects.refuse(create.error().code, 0, create.error().message);
  if (!valid_name(create->name))
    return effects.refuse(Errc::invalid_argument, 0, "a stream's name is [a-zA-Z0-9._-]{1,249}");
  if (create->partitions < 1 || create->partitions > kPartitionsLimit)
    return effects.refuse(Errc::invalid_argument, 1, "a stream has 1 to 1024 partitions");
  if (!valid_config(create->config)) return effects.refuse(Errc::invalid_argument, 2, kBadConfig);
  if (streams_.find(create->name) != streams_.end())
    return effects.refuse(Errc::exists, 0, "there is a stream of that name");
  if (streams_.size() >= kStreamsLimit) return effects.refuse(Errc::overloaded, 0, "there are too many streams");
  Stream& stream = add_stream(create->name, create->partitions, command.sequence);
  stream.config = with_defaults(create->config, effects);
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
    partitions_.emplace_back().alive = true;
  }
  undoable([this, name = std::string(name), partitions] {
    streams_.erase(name);
    partitions_.resize(partitions_.size() - partitions);
  });
  return streams_.emplace(std::string(name), std::move(stream)).first->second;
}

void StreamsMachine::alter(const Command& command, Effects& effects) {
  const Result<AlterStream> alter = decode_alter_stream(command.payload);
  if (!alter) return effects.refuse(alter.error().code, 0, alter.error().message);
  if (!valid_config(alter->config)) return effects.refuse(Errc::invalid_argument, 2, kBadConfig);
  const auto found = streams_.find(alter->name);
  if (found == streams_.end()) return effects.refuse(Errc::not_found, 0, "there is no stream of that name");
  if (found->second.kept) return effects.refuse(Errc::refused, 0, kIsKept);
  undoable([this, name = found->first, before = found->second.config] { streams_.find(name)->second.config = before; });
  found->second.config = alter->config;
  effects.reply(0);
}

void StreamsMachine::grow(const Command& command, Effects& effects) {
  const Result<GrowStream> grow = decode_grow_stream(command.payload);
  if (!grow) return effects.refuse(grow.error().code, 0, grow.error().message);
  const auto found = streams_.find(grow->name);
  if (found == streams_.end()) return effects.refuse(Errc::not_found, 0, "there is no stream of that name");
  if (found->second.view.is_view()) return effects.refuse(Errc::refused, 0, kIsView);
  PartitionList& partitions = found->second.partitions;
  const size_t before = partitions.size();
  if (grow->partitions <= before)
    return effects.refuse(Errc::invalid_argument, 1,
                          "the stream has " + std::to_string(before) + " partitions: say more");
  if (grow->partitions > kPartitionsLimit)
    return effects.refuse(Errc::invalid_argument, 1, "a stream has 1 to 1024 partitions");
  while (partitions.size() < grow->partitions) {
    partitions.push_back(static_cast<PartitionId>(partitions_.size()));
    partitions_.emplace_back().alive = true;
  }
  undoable([this, name = found->first, before] {
    PartitionList& grown = streams_.find(name)->second.partitions;
    partitions_.resize(partitions_.size() - (grown.size() - before));
    grown.shrink(before);
  });
  effects.reply(static_cast<int64_t>(before), grow->partitions);
}

void StreamsMachine::set_log_start(const Command& command, Effects& effects) {
  const Result<SetLogStart> set = decode_set_log_start(command.payload);
  if (!set) return effects.refuse(set.error().code, 0, set.error().message);
  if (!scopes_.empty()) return effects.refuse(Errc::unsupported, 0, "log starts are moved by a command of their own");
  int64_t moved = 0;
  for (const LogStart& start : set->starts) {
    if (!has_partition(start.partition)) continue;
    Partition& partition = partitions_[start.partition];
    const Offset to = std::min(start.offset, partition.next_offset);
    if (to <= partition.log_start) continue;
    partition.log_start = to;
    unsettled_.push_back({command.sequence, start.partition, false, to});
    ++moved;
  }
  effects.reply(moved);
}

void StreamsMachine::remove(const Command& command, Effects& effects) {
  const Result<DeleteStream> target = decode_delete_stream(command.payload);
  if (!target) return effects.refuse(target.error().code, 0, target.error().message);
  if (!scopes_.empty())
    return effects.refuse(Errc::unsupported, 0,
                          "a stream is deleted by a command of its own, not inside a transaction");
  const auto found = streams_.find(target->name);
  if (found == streams_.end()) return effects.refuse(Errc::not_found, 0, "there is no stream of that name");
  if (found->second.view.is_view()) return effects.refuse(Errc::refused, 0, kIsView);
  drop_partitions(found->second, command.sequence);
  streams_.erase(found);
  effects.reply(0);
}

void StreamsMachine::drop_partitions(const Stream& stream, Sequence sequence) {
  for (const PartitionId partition : stream.partitions) {
    partitions_[partition] = Partition{};
    producers_.forget_partition(partition);
    unsettled_.push_back({sequence, partition, true, 0});
  }
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
  StreamInfo info{name, stream.config, stream.uuid, {}, stream.view.is_view(), stream.kept};
  for (const PartitionId id : stream.partitions)
    info.partitions.push_back({id, partitions_[id].log_start, index_.durable_end(id)});
  return info;
}

void StreamsMachine::query(const Query& query, Reply& reply) const {
  const auto refuse = [&](Errc code, const std::string& why) {
    reply.error = code;
    reply.message = why;
  };
  if (query.type == kEpochEnd) return query_epoch_end(query, reply);
  if (query.type == kLocate) return query_locate(query, reply);
  if (query.type != kDescribe) return refuse(Errc::unsupported, "streams have no such query");
  Result<DescribeQuery> wanted = decode_describe_query(query.payload);
  if (!wanted) return refuse(wanted.error().code, wanted.error().message);
  std::vector<StreamInfo> infos;
  if (wanted->all) {
    size_t bytes = 0;
    auto at = streams_.upper_bound(wanted->after);
    for (; at != streams_.end() && infos.size() < kDescribeLimit && bytes < kDescribeLimitBytes; ++at) {
      infos.push_back(describe(at->first, at->second));
      bytes += kDescribedBytes + at->first.size() + infos.back().partitions.size() * sizeof(PartitionInfo);
    }
    reply.numbers[0] = at == streams_.end() ? 0 : 1;
  } else {
    std::sort(wanted->names.begin(), wanted->names.end());  // total order: equal names are one name
    wanted->names.erase(std::unique(wanted->names.begin(), wanted->names.end()), wanted->names.end());
    for (const std::string& name : wanted->names)
      if (const auto found = streams_.find(name); found != streams_.end())
        infos.push_back(describe(name, found->second));
  }
  reply.payload = encode(infos);
}

void StreamsMachine::query_epoch_end(const Query& query, Reply& reply) const {
  const Result<EpochEndQuery> wanted = decode_epoch_end_query(query.payload);
  if (!wanted || !has_partition(wanted->partition)) {
    reply.error = wanted ? Errc::not_found : wanted.error().code;
    reply.message = wanted ? "the partition is not there" : wanted.error().message;
    return;
  }
  const auto [epoch, end] = index_.epoch_end(wanted->partition, wanted->epoch);
  reply.numbers = {epoch, end};
}

void StreamsMachine::query_locate(const Query& query, Reply& reply) const {
  const Result<LocateQuery> wanted = decode_locate_query(query.payload);
  if (!wanted) {
    reply.error = wanted.error().code;
    reply.message = wanted.error().message;
    return;
  }
  const ReadReply where = locate({wanted->partition, wanted->offset, 1, {}});
  if (where.error || where.offset >= where.durable_end) {
    reply.error = Errc::not_found;
    reply.message = "there is no record at that offset: the first is " + std::to_string(where.log_start) +
                    ", the next to come " + std::to_string(where.durable_end);
    if (where.error == Errc::not_found) reply.message = "the partition is not there";
    return;
  }
  reply.numbers = {-1, -1};
  if (!where.extents.empty()) reply.numbers = {where.extents.front().segment, where.extents.front().begin};
}

ReadReply StreamsMachine::locate(const ReadRequest& request) const {
  ReadReply reply;
  reply.partition = request.partition;
  reply.offset = request.offset;
  reply.max_bytes = request.max_bytes;
  reply.from_time_ms = request.from_time_ms;
  // As synced: a deletion that is only applied is not seen yet.
  if (request.partition == kNoPartition || request.partition >= partitions_.size() || index_.gone(request.partition)) {
    reply.error = Errc::not_found;
    return reply;
  }
  reply.log_start = index_.log_start(request.partition);
  reply.durable_end = index_.durable_end(request.partition);
  reply.indexed = index_.first_indexed(request.partition);
  reply.view = view_of(request.partition).is_view();
  if (request.from_time_ms) reply.offset = index_.offset_for_time(request.partition, *request.from_time_ms);
  if (reply.offset < reply.log_start || reply.offset > reply.durable_end)
    reply.error = Errc::invalid_argument;
  else if (reply.offset < reply.durable_end && reply.offset >= reply.indexed)
    index_.locate(request.partition, reply.offset, request.max_bytes, reply.extents);
  return reply;
}

// What the shard needs.

void StreamsMachine::pack(const Event& event, LogTime time, uint32_t command_delta, Ordinal ordinal) {
  packer_.pack(event, partitions_[event.partition].next_offset++, time, command_delta, ordinal);
}

EntryRun StreamsMachine::place_batch(PartitionId partition, Offset base_offset, std::byte* batch, Epoch epoch) {
  assign_offset(batch, base_offset, static_cast<int32_t>(epoch));
  return read_run(partition, {batch, kRecordBatchHeaderBytes}, 0, 0);
}

EntryRun StreamsMachine::read_run(PartitionId partition, Bytes batch, uint32_t begin, uint32_t finish) const {
  namespace layout = record_batch_layout;
  const auto first = load_be<int64_t>(batch.data() + layout::kBaseOffset);
  const auto count = load_be<int32_t>(batch.data() + layout::kRecordCount);
  return {partition,
          first,
          first + count,
          begin,
          finish,
          load_be<int64_t>(batch.data() + layout::kMaxTimestamp),
          static_cast<Epoch>(load_be<int32_t>(batch.data() + layout::kLeaderEpoch))};
}

void StreamsMachine::for_each_packed(Bytes batch, const std::function<void(Offset, Bytes)>& each) const {
  // A batch that does not read back ends the walk: the caller compares what there is.
  (void)for_each_record(batch, [&](const RecordView& record) { each(record.offset, record.value); }).ok();
}

void StreamsMachine::add_durable(const EntryRun& run, const log::BatchPlace& place) { index_.add(run, place); }

bool StreamsMachine::settle(Sequence upto) {
  bool deleted = false;
  for (; !unsettled_.empty() && unsettled_.front().sequence <= upto; unsettled_.pop_front()) {
    const Unsettled& change = unsettled_.front();
    deleted = deleted || change.deleted;
    if (change.deleted)
      index_.drop(change.partition);
    else
      index_.set_log_start(change.partition, change.log_start);
  }
  return deleted;
}

std::vector<Offset> StreamsMachine::log_starts() const {
  std::vector<Offset> starts(partitions_.size(), 0);
  for (PartitionId id = 1; id < partitions_.size(); ++id)
    starts[id] = index_.gone(id) ? INT64_MAX : index_.log_start(id);
  return starts;
}

std::vector<StreamsMachine::Retained> StreamsMachine::retained(int64_t now_ms) const {
  std::vector<Retained> out;
  for (const auto& [name, stream] : streams_) {
    if (stream.config.is_default()) continue;
    for (const PartitionId id : stream.partitions) {
      Retained row{id, stream.config, index_.log_start(id), index_.first_indexed(id), index_.indexed_bytes(id), 0, 0};
      if (stream.config.retention_ms >= 0)
        row.time_start = index_.offset_for_time(id, now_ms - std::min(now_ms, stream.config.retention_ms));
      if (stream.config.retention_bytes >= 0)
        row.bytes_start = index_.offset_for_bytes(id, static_cast<uint64_t>(stream.config.retention_bytes));
      out.push_back(row);
    }
  }
  return out;
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
    const uint32_t configured = stream.config.is_default() ? 0 : kConfigured;
    const uint32_t view = stream.view.is_view() ? kView : 0;
    const uint32_t kept = stream.kept ? kKept : 0;
    writer.le<uint32_t>(static_cast<uint32_t>(stream.partitions.size()) | configured | view | kept);
    if (configured != 0) {
      writer.le<int64_t>(stream.config.retention_ms);
      writer.le<int64_t>(stream.config.retention_bytes);
    }
    if (view != 0) {
      writer.le<uint16_t>(stream.view.machine);
      writer.le<uint16_t>(stream.view.number);
    }
    for (const PartitionId partition : stream.partitions) writer.le<uint32_t>(partition);
  }
  producers_.save(writer);
}

Result<void> StreamsMachine::restore(SnapshotReader& reader) {
  partitions_.clear();
  streams_.clear();
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
    auto parts = reader.le<uint32_t>();
    if ((parts & kConfigured) != 0) {
      stream.config.retention_ms = reader.le<int64_t>();
      stream.config.retention_bytes = reader.le<int64_t>();
    }
    ViewId view;
    if ((parts & kView) != 0) {
      view.machine = reader.le<uint16_t>();
      view.number = reader.le<uint16_t>();
    }
    stream.kept = (parts & kKept) != 0;
    for (parts &= ~(kConfigured | kView | kKept); parts > 0 && !reader.failed(); --parts) {
      stream.partitions.push_back(reader.le<uint32_t>());
      if (stream.partitions[stream.partitions.size() - 1] >= partitions_.size()) reader.fail();
    }
    if (!reader.failed()) make_view(stream, view);
    streams_.emplace(std::move(name), std::move(stream));
  }
  if (reader.failed()) return Error{Errc::corrupt, "the snapshot's streams do not read back"};
  return producers_.restore(reader);
}

}  // namespace heptane::streams
