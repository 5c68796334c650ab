#include "modules/data/test/fake_context.h"

#include "kernel/base/assert.h"
#include "kernel/shard/state_machine.h"
#include "kernel/streams/record_batch.h"

namespace heptane::data::kafka::test {

void FakeContext::create_stream(const std::string& name, uint32_t partitions, streams::StreamConfig config) {
  Stream& stream = streams_[name];
  stream.config = config;
  stream.uuid[0] = std::byte{++streams_made_};
  grow_stream(name, partitions);
}

void FakeContext::grow_stream(const std::string& name, uint32_t partitions) {
  Stream& stream = streams_.at(name);
  while (stream.partitions.size() < partitions) {
    stream.partitions.push_back(next_partition_);
    partitions_[next_partition_++] = {};
  }
}

void FakeContext::delete_stream(const std::string& name) {
  for (const PartitionId partition : streams_.at(name).partitions) partitions_.erase(partition);
  streams_.erase(name);
}

void FakeContext::append_from_elsewhere(const std::string& name, uint32_t partition, Bytes batch) {
  append(streams_.at(name).partitions.at(partition), batch);
}

void FakeContext::deliver() {
  while (!held_ && !answers_.empty()) {
    const std::function<void()> answer = std::move(answers_.front());
    answers_.pop_front();
    answer();
  }
}

void FakeContext::pass_time(int64_t ns) {
  const int64_t until = now_ns_ + ns;
  for (;;) {
    auto due = timers_.end();
    for (auto timer = timers_.begin(); timer != timers_.end(); ++timer)
      if (timer->second <= until && (due == timers_.end() || timer->second < due->second)) due = timer;
    if (due == timers_.end()) break;
    now_ns_ = std::max(now_ns_, due->second);
    const net::SessionTimerId id = due->first;
    timers_.erase(due);
    session_.on_timer(id, *this);
    deliver();
  }
  now_ns_ = until;
}

void FakeContext::write(Buffer bytes) {
  HEPTANE_ASSERT(!closed, "a session writes after it closed");
  output += as_text(bytes.view());
}

void FakeContext::close(net::CloseReason reason, std::string_view why) {
  HEPTANE_ASSERT(reason == net::CloseReason::protocol_error && !closed, "a session closes once, for a reason");
  closed = why;
}

bool FakeContext::full() {
  if (full_ == 0) return false;
  --full_;
  return true;
}

bool FakeContext::submit(RequestId request, Submission submission) {
  HEPTANE_ASSERT(submission.received_utc_ns != 0, "a session's command says when it came");
  if (full()) return false;
  const size_t logged = log.size();
  Reply reply = execute(submission);
  if (log.size() > logged && submission.principal.id != Principal().id)
    log.back() += " by " + std::to_string(submission.principal.id) + "/" + std::to_string(submission.principal.version);
  answers_.push_back([this, request, reply = std::move(reply)] { session_.on_reply(request, reply, *this); });
  return true;
}

bool FakeContext::query(RequestId request, QueryRequest query) {
  if (full()) return false;
  answers_.push_back([this, request, query = std::move(query)] { session_.on_reply(request, answer(query), *this); });
  return true;
}

bool FakeContext::read(RequestId request, ReadRequest read) {
  if (full()) return false;
  answers_.push_back([this, request, read] { session_.on_records(request, read_now(read), *this); });
  return true;
}

net::SubscriptionId FakeContext::subscribe(PartitionId partition, Offset from) {
  const net::SubscriptionId id = next_id_++;
  subscriptions_[id] = {partition, from};
  answers_.push_back([this, partition] { notify(partition); });
  return id;
}

void FakeContext::unsubscribe(net::SubscriptionId subscription) {
  HEPTANE_ASSERT(subscriptions_.erase(subscription) == 1, "a session ends a subscription that it has");
}

net::SessionTimerId FakeContext::arm(int64_t delay_ns) {
  const net::SessionTimerId id = next_id_++;
  timers_[id] = now_ns_ + delay_ns;
  return id;
}

Reply FakeContext::execute(const Submission& submission) {
  Reply reply;
  if (!refusals_.empty()) {
    reply.error = refusals_.front().code;
    reply.detail = refusals_.front().detail;
    refusals_.pop_front();
    // Another connection was faster: then the stream is there.
    if (reply.error == Errc::exists)
      create_stream(std::string(streams::decode_create_stream(submission.payload.view())->name), 1);
    return reply;
  }
  if (submission.machine == offsets::kMachineId) return execute_offsets(submission);
  HEPTANE_ASSERT(submission.machine == machine_ids::kStreams, "a machine that a Kafka session may send to");
  const Bytes payload = submission.payload.view();
  switch (submission.type) {
    case streams::kAppend: return append(submission.partition, payload);
    case streams::kCreateStream: return execute_create(*streams::decode_create_stream(payload));
    case streams::kAlterStream: return execute_alter(*streams::decode_alter_stream(payload));
    case streams::kGrowStream: return execute_grow(*streams::decode_grow_stream(payload));
    case streams::kDeleteStream: return execute_delete(*streams::decode_delete_stream(payload));
    case streams::kSetLogStart: return execute_log_starts(*streams::decode_set_log_start(payload));
    default: break;
  }
  HEPTANE_ASSERT(submission.type == streams::kInitProducer, "a command that a Kafka session may send");
  const auto command = streams::decode_init_producer(payload);
  HEPTANE_ASSERT(command.ok(), "a session's command can be decoded");
  reply.numbers = {command->producer_id < 0 ? next_producer_++ : command->producer_id, command->producer_epoch + 1};
  return reply;
}

namespace {
std::string config_text(const streams::StreamConfig& config) {
  return std::to_string(config.retention_ms) + " ms " + std::to_string(config.retention_bytes) + " bytes";
}
Reply not_found() {
  Reply reply;
  reply.error = Errc::not_found;
  return reply;
}
}  // namespace

Reply FakeContext::execute_create(const streams::CreateStream& command) {
  Reply reply;
  const std::string name(command.name);
  std::string& line = log.emplace_back("create " + name);
  if (command.partitions != 1) line += " " + std::to_string(command.partitions);
  if (!command.config.is_default()) line += " " + config_text(command.config);
  if (streams_.contains(name))
    reply.error = Errc::exists;
  else if (partitions_.size() > 10'000)
    reply.error = Errc::overloaded;
  else
    create_stream(name, command.partitions, command.config);
  return reply;
}

Reply FakeContext::execute_alter(const streams::AlterStream& command) {
  const auto found = streams_.find(std::string(command.name));
  if (found == streams_.end()) return not_found();
  found->second.config = command.config;
  log.push_back("alter " + found->first + " " + config_text(command.config));
  return {};
}

Reply FakeContext::execute_grow(const streams::GrowStream& command) {
  const auto found = streams_.find(std::string(command.name));
  if (found == streams_.end()) return not_found();
  log.push_back("grow " + found->first + " " + std::to_string(command.partitions));
  grow_stream(found->first, command.partitions);
  return {};
}

Reply FakeContext::execute_delete(const streams::DeleteStream& command) {
  const std::string name(command.name);
  if (!streams_.contains(name)) return not_found();
  log.push_back("delete " + name);
  delete_stream(name);
  return {};
}

Reply FakeContext::execute_log_starts(const streams::SetLogStart& command) {
  std::string& line = log.emplace_back("starts");
  for (const streams::LogStart& start : command.starts) {
    if (partitions_.contains(start.partition)) partitions_[start.partition].start = start.offset;
    line += " " + std::to_string(start.partition) + ":" + std::to_string(start.offset);
  }
  return {};
}

Reply FakeContext::execute_offsets(const Submission& submission) {
  Command command;
  command.sequence = ++sequence_;
  command.time = utc_ns();
  command.machine = submission.machine;
  command.type = submission.type;
  command.payload = submission.payload.view();
  run_.begin(command.sequence, command.time);
  run_.apply(offsets_, command);
  return run_.reply();
}

Reply FakeContext::answer(const QueryRequest& query) const {
  if (query.machine == offsets::kMachineId) {
    Reply reply;
    offsets_.query({query.type, query.payload.view(), {}}, reply);
    return reply;
  }
  if (query.type == streams::kEpochEnd) return epoch_end(query.payload.view());
  HEPTANE_ASSERT(query.type == streams::kDescribe, "a query that a Kafka session may send");
  return describe(query.payload.view());
}

// Everything was written in epoch 3.
Reply FakeContext::epoch_end(Bytes payload) const {
  const auto query = streams::decode_epoch_end_query(payload);
  HEPTANE_ASSERT(query.ok(), "a session's query can be decoded");
  const auto found = partitions_.find(query->partition);
  if (found == partitions_.end()) return not_found();
  Reply reply;
  reply.numbers = {-1, -1};
  if (query->epoch >= 3) reply.numbers = {3, found->second.end};
  return reply;
}

Reply FakeContext::append(PartitionId id, Bytes batch) {
  Reply reply;
  const auto found = partitions_.find(id);
  if (found == partitions_.end()) {
    reply.error = Errc::not_found;
    reply.detail = static_cast<uint32_t>(streams::AppendRefusal::unknown_partition);
    return reply;
  }
  if (repeat_) {
    reply.repeated = true;
    reply.numbers = {*repeat_, 0};
    repeat_.reset();
    return reply;
  }
  Partition& partition = found->second;
  const auto info = streams::decode_record_batch_header(batch);
  HEPTANE_ASSERT(info.ok() && info->total_bytes == batch.size(), "a session checks what it appends");
  std::vector<std::byte> kept(batch.begin(), batch.end());
  streams::assign_offset(kept.data(), partition.end, 3);
  reply.numbers = {partition.end, 1'700'000'000'000};
  partition.end += info->record_count;
  partition.batches.push_back(Buffer::take(std::move(kept)));
  log.push_back("append " + std::to_string(id) + " " + std::to_string(info->record_count));
  notify(id);
  return reply;
}

Reply FakeContext::describe(Bytes payload) const {
  const auto query = streams::decode_describe_query(payload);
  HEPTANE_ASSERT(query.ok(), "a session's query can be decoded");
  std::vector<streams::StreamInfo> infos;
  for (const auto& [name, stream] : streams_) {
    bool wanted = query->all;
    for (const std::string& asked : query->names) wanted = wanted || asked == name;
    if (!wanted) continue;
    streams::StreamInfo& info = infos.emplace_back();
    info.name = name;
    info.config = stream.config;
    info.uuid = stream.uuid;
    info.view = info.kept = stream.kept;
    for (const PartitionId id : stream.partitions)
      info.partitions.push_back({id, partitions_.at(id).start, partitions_.at(id).end});
  }
  Reply reply;
  reply.payload = streams::encode(infos);
  return reply;
}

net::RecordsRead FakeContext::read_now(const ReadRequest& read) {
  net::RecordsRead records;
  records.partition = read.partition;
  records.offset = read.offset;
  if (read_error_) {
    records.error = read_error_;
    read_error_.reset();
    return records;
  }
  const auto found = partitions_.find(read.partition);
  if (found == partitions_.end()) {
    records.error = Errc::not_found;
    return records;
  }
  records.durable_end = found->second.end;
  records.log_start = found->second.start;
  if (read.from_time_ms) {
    records.offset = records.durable_end;
    for (const Buffer& batch : found->second.batches) {
      const auto info = streams::decode_record_batch_header(batch.view());
      if (info->max_timestamp_ms < *read.from_time_ms || info->base_offset >= records.offset) continue;
      records.offset = std::max(info->base_offset, records.log_start);
    }
  }
  if (records.offset < records.log_start || records.offset > records.durable_end) {
    records.error = Errc::invalid_argument;
    return records;
  }
  size_t bytes = 0;
  for (const Buffer& batch : found->second.batches) {
    const auto info = streams::decode_record_batch_header(batch.view());
    if (info->base_offset + info->last_offset_delta < records.offset) continue;
    if (bytes > 0 && bytes + batch.size() > read.max_bytes) break;
    bytes += batch.size();
    records.batches.push_back(batch);
  }
  return records;
}

void FakeContext::notify(PartitionId partition) {
  for (const auto& [id, subscription] : subscriptions_) {
    if (subscription.partition != partition || partitions_[partition].end <= subscription.from) continue;
    answers_.push_back([this, id = id, end = partitions_[partition].end] {
      if (subscriptions_.contains(id)) session_.on_advanced(id, end, *this);
    });
  }
}

}  // namespace heptane::data::kafka::test
