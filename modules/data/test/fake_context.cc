#include "modules/data/test/fake_context.h"

#include "kernel/base/assert.h"
#include "kernel/shard/state_machine.h"
#include "kernel/streams/record_batch.h"

namespace heptane::data::kafka::test {

void FakeContext::create_stream(const std::string& name, uint32_t partitions) {
  std::vector<PartitionId>& ids = streams_[name];
  for (uint32_t i = 0; i < partitions; ++i) {
    ids.push_back(next_partition_);
    partitions_[next_partition_++] = {};
  }
}

void FakeContext::append_from_elsewhere(const std::string& name, uint32_t partition, Bytes batch) {
  append(streams_.at(name).at(partition), batch);
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
  HEPTANE_ASSERT(submission.machine == machine_ids::kStreams && submission.received_utc_ns != 0, "a session's command");
  if (full()) return false;
  Reply reply = execute(submission);
  answers_.push_back([this, request, reply = std::move(reply)] { session_.on_reply(request, reply, *this); });
  return true;
}

bool FakeContext::query(RequestId request, QueryRequest query) {
  HEPTANE_ASSERT(query.type == streams::kDescribe, "the only query of streams");
  if (full()) return false;
  answers_.push_back(
      [this, request, query = std::move(query)] { session_.on_reply(request, describe(query.payload.view()), *this); });
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
  if (submission.type == streams::kAppend) return append(submission.partition, submission.payload.view());
  if (submission.type == streams::kCreateStream) {
    const auto command = streams::decode_create_stream(submission.payload.view());
    HEPTANE_ASSERT(command.ok(), "a session's command can be decoded");
    const std::string name(command->name);
    log.push_back("create " + name);
    if (streams_.contains(name))
      reply.error = Errc::exists;
    else
      create_stream(name, command->partitions);
    return reply;
  }
  HEPTANE_ASSERT(submission.type == streams::kInitProducer, "a command that a Kafka session may send");
  const auto command = streams::decode_init_producer(submission.payload.view());
  HEPTANE_ASSERT(command.ok(), "a session's command can be decoded");
  reply.numbers = {command->producer_id < 0 ? next_producer_++ : command->producer_id, command->producer_epoch + 1};
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
  for (const auto& [name, ids] : streams_) {
    bool wanted = query->all;
    for (const std::string& asked : query->names) wanted = wanted || asked == name;
    if (!wanted) continue;
    streams::StreamInfo& info = infos.emplace_back();
    info.name = name;
    for (const PartitionId id : ids) info.partitions.push_back({id, 0, partitions_.at(id).end});
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
  if (read.offset < 0 || read.offset > records.durable_end) {
    records.error = Errc::invalid_argument;
    return records;
  }
  size_t bytes = 0;
  for (const Buffer& batch : found->second.batches) {
    const auto info = streams::decode_record_batch_header(batch.view());
    if (info->base_offset + info->last_offset_delta < read.offset) continue;
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
