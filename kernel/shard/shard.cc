#include "kernel/shard/shard.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "kernel/base/crc32c.h"
#include "kernel/shard/command_digest.h"
#include "kernel/shard/draws_on.h"
#include "kernel/shard/machine_files.h"
#include "kernel/shard/transact.h"

namespace heptane {

namespace {

constexpr size_t kInternalLimit = 4096;
constexpr size_t kFetchedOperationsMax = 64;
constexpr LogTime kTimeDeltaLimitNs = 4'000'000'000;  // an entry keeps it in 32 bits
constexpr size_t kRecordBatchCrcOffset = log::kRecordBatchPrefixBytes - 4;
constexpr int64_t kReliefIntervalNs = 1'000'000'000;
constexpr uint32_t kCommandsPerStamp = 32;  // reading the clock for each costs as much as laying down its entry

Reply refusal(Errc code, std::string message) {
  Reply reply;
  reply.error = code;
  reply.message = std::move(message);
  return reply;
}

void append_origin(ByteWriter& out, const Submission& submission, SessionId session) {
  std::byte origin[24] = {};
  store_le<uint16_t>(origin, submission.listener);
  store_le<uint64_t>(origin + 8, session);
  store_le<int64_t>(origin + 16, submission.received_utc_ns);
  log::append_extension(out, log::ExtensionType::origin, origin);
}

void append_cause(ByteWriter& out, ShardId shard, Sequence cause) {
  std::byte bytes[16] = {};
  store_le<uint16_t>(bytes, shard);
  store_le<uint64_t>(bytes + 8, cause);
  log::append_extension(out, log::ExtensionType::cause, bytes);
}

void append_extensions(ByteWriter& out, const Submission& submission, SessionId session, ShardId shard) {
  if (submission.trace_id) log::append_extension(out, log::ExtensionType::trace_id, *submission.trace_id);
  if (submission.idempotency) {
    std::byte bytes[24];
    std::copy(submission.idempotency->id.begin(), submission.idempotency->id.end(), bytes);
    store_le<uint64_t>(bytes + 16, submission.idempotency->request_hash);
    log::append_extension(out, log::ExtensionType::idempotency, bytes);
  }
  if (submission.principal.id != Principal{}.id || submission.principal.version != 0) {
    std::byte bytes[8];
    store_le<uint32_t>(bytes, submission.principal.id);
    store_le<uint32_t>(bytes + 4, submission.principal.version);
    log::append_extension(out, log::ExtensionType::principal, bytes);
  }
  if (submission.received_utc_ns != 0) append_origin(out, submission, session);
  if (submission.cause != 0) append_cause(out, shard, submission.cause);
}

}  // namespace

Shard::Shard(ShardOptions options, Clock& clock, Committer& committer)
    : options_(options),
      clock_(clock),
      committer_(committer),
      log_clock_(clock),
      run_(machines_, kernel_),
      held_(
          clock,
          [this](ShardLink& link, ShardRequest& request, std::unique_ptr<Prefetch>& lacking) {
            return take_now(link, request, lacking);
          },
          [this](ShardLink& link, const ShardRequest& request, const char* why) {
            refuse_for_now(link, request, why);
          }),
      queries_(
          clock, [this](const QueryRequest& query) { return begin_query(query); },
          [this](const RunningQueries::Asked& asked, Reply reply) {
            answer(asked.link, last_applied_, asked.session, asked.request, std::move(reply));
            if (asked.link->wake_io) asked.link->wake_io();
          }) {
  const auto memory = std::make_shared<BatchMemoryPool>();
  for (int i = 0; i < 3; ++i) {
    writers_.push_back(std::make_unique<BatchWriter>(memory));
    free_.push_back(writers_.back().get());
  }
}

void Shard::set_streams(StreamStore& streams) {
  streams_ = &streams;
  run_.set_streams(&streams);
}

void Shard::attach(ShardLink& link) {
  links_.push_back(&link);
  committer_.attach(link);
}

void Shard::set_guard(ApplyGuard guard) {
  guard_ = std::move(guard);
  std::erase(guard_.denied, 0);
  denied_count_ = guard_.denied.size();
}

void Shard::start(const log::LogEnd& end) {
  HEPTANE_ASSERT(end.last_sequence == last_applied_, "recovery ended elsewhere than replay");
  epoch_ = end.epoch + 1;
  log_clock_.start(std::max(last_time_, end.last_time));
  committer_.start(last_applied_);
  started_ = true;
  if (watch_applies_) run_.watch_applies(clock_);
  // From here on the state is another than what the log's programs made: no position below may be taken for one above.
  if (diverged_) last_applied_ += log::kJumpSequences;
  seal(diverged_ ? log::kJumpFlag : 0);
}

std::vector<std::pair<std::string, const std::atomic<uint64_t>*>> Shard::slow_applies() const {
  std::vector<std::pair<std::string, const std::atomic<uint64_t>*>> all;
  for (const MachineTable::Slot& slot : machines_.all())
    all.emplace_back(std::string(slot.machine->name()), &run_.apply_watch().count(machines_.place_of(slot.id)));
  return all;
}

void Shard::adopt(const std::map<std::string, std::string>& wanted_config, bool activate) {
  const auto command = [&](Submission submission) {
    const bool taken = submit_internal(std::move(submission));
    HEPTANE_ASSERT(taken, "more configuration than the inner queue holds");
  };
  const auto set = [&](const std::string& key, const std::string& value) {
    ByteWriter payload;
    for (const std::string* text : {&key, &value}) {
      payload.le<uint32_t>(static_cast<uint32_t>(text->size()));
      payload.append(*text);
    }
    Submission submission;
    submission.machine = machine_ids::kKernel;
    submission.type = kSetConfig;
    submission.payload = Buffer::take(payload.release());
    command(std::move(submission));
  };
  for (const auto& [key, value] : kernel_.config)
    if (!wanted_config.contains(key)) set(key, "");
  for (const auto& [key, value] : wanted_config) {
    const auto found = kernel_.config.find(key);
    if (found == kernel_.config.end() || found->second != value) set(key, value);
  }
  if (!activate) return;
  for (const MachineVersion& version : versions())
    if (version.upgradable()) command(make_activation(version.machine, version.newest));
}

std::vector<MachineVersion> Shard::versions() const {
  std::vector<MachineVersion> all;
  for (const MachineTable::Slot& slot : machines_.all())
    all.push_back(
        {slot.id, kernel_.version_of(slot.id), slot.machine->newest_version(), std::string(slot.machine->name())});
  std::sort(all.begin(), all.end(),
            [](const MachineVersion& a, const MachineVersion& b) { return a.machine < b.machine; });
  return all;
}

bool Shard::run_once() {
  if (!started_ || halted_ || committer_.failed()) return false;
  stamp_serves_ = 0;
  take_completions();
  if (at_rest_ && !come_to_rest()) return false;  // a completion wakes this thread
  relieve_memory();
  const bool timers = fire_due_timers();
  const bool held = held_.run_once(stopping_);
  const bool requests = take_requests();
  const bool gathers = hand_over_when_due();
  seal_when_idle();
  const bool queries = queries_.run_once(stopping_ || queries_refused_);
  const bool busy = timers || held || requests || gathers || queries;
  return idle_work(busy) || busy;
}

// Under load too, a slice now and then: what is due comes to its end.
bool Shard::idle_work(bool busy) {
  const int64_t now_ns = clock_.monotonic_ns();
  if (busy && now_ns - last_idle_work_ns_ < kIdleWorkEveryNs) return true;
  if (now_ns < idle_work_waits_ns_) return false;
  last_idle_work_ns_ = now_ns;
  idle_work_waits_ns_ = 0;
  bool more = false;
  for (const MachineTable::Slot& slot : machines_.all()) {
    const bool works = slot.machine->idle_work();
    const MachineFiles* files = slot.machine->files();
    const bool waits = works && files != nullptr && files->waits();
    if (waits) idle_work_waits_ns_ = now_ns + RunningQueries::kDiskEveryNs;
    more = more || (works && !waits);
    if (std::optional<std::string> alarm = slot.machine->take_alarm())
      alarms_.push_back({std::string(slot.machine->name()), std::move(*alarm)});
  }
  return more;
}

void Shard::halt() {
  halted_ = true;
  idle_work_waits_ns_ = 0;
  if (guard_.word != nullptr) guard_.word->store(0, std::memory_order_relaxed);
}

void Shard::snapshot_begun() {
  for (const MachineTable::Slot& slot : machines_.all()) slot.machine->snapshot_begun();
}

int64_t Shard::next_deadline_ns() const {
  int64_t deadline_ns = queries_.next_deadline_ns();
  if (!at_rest_ && !halted_) deadline_ns = std::min(deadline_ns, held_.next_deadline_ns());
  if (idle_work_waits_ns_ != 0) deadline_ns = std::min(deadline_ns, idle_work_waits_ns_);
  if (!sealed_ && committer_.outstanding() == 0)
    deadline_ns = std::min(deadline_ns, last_hand_over_ns_ + options_.seal_after_idle_ns);
  LogTime due_at = 0;
  if (kernel_.first_due(due_at) != 0)
    deadline_ns = std::min(deadline_ns, clock_.monotonic_ns() + std::max<int64_t>(0, due_at - last_time_));
  return deadline_ns;
}

bool Shard::drained() const {
  return growing_ == nullptr && committer_.outstanding() == 0 && sealed_ && internal_.empty() && held_.empty() &&
         queries_.empty();
}

bool Shard::submit_internal(Submission submission) {
  if (internal_.size() >= kInternalLimit) return false;
  if (submission.kind == log::EntryKind::command) submission.payload_crc = crc32c(submission.payload.view());
  internal_.push_back(std::move(submission));
  return true;
}

// Completions and subscriptions.

void Shard::take_completions() {
  Completed completed;
  uint32_t commands = 0;
  while (committer_.take_completed(completed)) {
    commands += completed.writer->command_count();
    on_durable(completed);
    completed.writer->release_pages();
    free_.push_back(completed.writer);
  }
  if (commands == 0) return;
  const uint32_t waiting = growing_ == nullptr ? 0 : growing_->command_count();
  gather_target_ = commands > 1 && 2 * waiting < commands ? commands : 0;
  gathered_ = gather_turns_ = quiet_turns_ = 0;
}

void Shard::on_durable(const Completed& completed) {
  last_batch_ = completed.place;
  last_chain_ = log::chain_value(completed.writer->pending().header.header_crc);
  for (const EntryRun& run : completed.writer->runs()) streams_->add_durable(run, completed.place);
  const bool deleted = streams_->settle(completed.writer->pending().header.last_sequence());
  for (const EntryRun& run : completed.writer->runs()) notify(run.partition);
  if (deleted) notify_of_deletions();
}

// Whoever waits for a partition hears that it is gone: nothing will be appended that could tell it.
void Shard::notify_of_deletions() {
  std::vector<PartitionId> gone;
  for (const auto& [partition, waiting] : waiting_)
    if (!streams_->has_partition(partition)) gone.push_back(partition);
  for (const PartitionId partition : gone) notify(partition);
}

void Shard::notify(PartitionId partition) {
  const auto found = waiting_.find(partition);
  if (found == waiting_.end()) return;
  const Offset end = streams_->durable_end(partition);
  const bool gone = !streams_->has_partition(partition);
  std::erase_if(found->second, [&](const Waiting& waiting) {
    if (!gone && end <= waiting.from) return false;
    const bool pushed =
        waiting.link->open.try_push(ShardReply{0, waiting.session, 0, Advanced{waiting.subscription, end}});
    HEPTANE_ASSERT(pushed, "the I/O side subscribed to more than its ring holds");
    subscriptions_.erase({waiting.link, waiting.subscription});
    if (waiting.link->wake_io) waiting.link->wake_io();
    return true;
  });
  if (found->second.empty()) waiting_.erase(found);
}

void Shard::subscribe(ShardLink& link, SessionId session, const SubscribeRequest& request) {
  waiting_[request.partition].push_back({&link, request.subscription, session, request.from});
  subscriptions_[{&link, request.subscription}] = request.partition;
  notify(request.partition);
}

void Shard::unsubscribe(ShardLink& link, uint64_t subscription) {
  const auto found = subscriptions_.find({&link, subscription});
  if (found == subscriptions_.end()) return;
  const auto waiting = waiting_.find(found->second);
  std::erase_if(waiting->second,
                [&](const Waiting& item) { return item.link == &link && item.subscription == subscription; });
  if (waiting->second.empty()) waiting_.erase(waiting);
  subscriptions_.erase(found);
}

// Requests.

bool Shard::take_requests() {
  uint32_t taken = 0;
  while (!internal_.empty() && taken < options_.requests_per_turn) {
    if (take_submission(nullptr, 0, 0, internal_.front()) == Taken::stalled) return false;
    internal_.pop_front();
    ++taken;
  }
  // Links take turns at who is first, so that one flooding I/O thread does not starve another.
  bool more = false;
  for (size_t i = 0; i < links_.size(); ++i) {
    ShardLink& link = *links_[(next_link_ + i) % links_.size()];
    bool answered = false;
    uint64_t payload_bytes = 0;
    ShardRequest* request = nullptr;
    while (taken < options_.requests_per_turn && (request = link.requests.front()) != nullptr) {
      const auto* submission = std::get_if<Submission>(&request->body);
      const size_t bytes = submission == nullptr ? 0 : submission->payload.size();
      if (take(link, *request) == Taken::stalled) break;
      payload_bytes += bytes;
      link.requests.pop();
      answered = true;
      ++taken;
    }
    if (request != nullptr && taken >= options_.requests_per_turn) more = true;
    if (payload_bytes > 0) link.request_bytes.fetch_sub(payload_bytes, std::memory_order_relaxed);
    if (answered && link.wake_io) link.wake_io();
  }
  if (!links_.empty()) next_link_ = (next_link_ + 1) % links_.size();
  return more;
}

Shard::Taken Shard::take(ShardLink& link, ShardRequest& request) {
  if (halted_) return Taken::stalled;
  if (held_.follow(link, request)) return Taken::yes;
  std::unique_ptr<Prefetch> lacking;
  const Taken taken = take_now(link, request, lacking);
  if (taken != Taken::lacks) return taken;
  held_.hold(link, std::move(request), std::move(lacking));
  return Taken::yes;
}

Shard::Taken Shard::take_now(ShardLink& link, ShardRequest& request, std::unique_ptr<Prefetch>& lacking) {
  if (halted_) return Taken::stalled;
  if (const auto* submission = std::get_if<Submission>(&request.body))
    return take_submission(&link, request.session, request.request, *submission, &lacking);
  // Who asks may have heard in this very turn that its record is synced: it must find it.
  take_completions();
  if (auto* question = std::get_if<QueryRequest>(&request.body)) {
    query(link, request.session, request.request, *question);
  } else if (const auto* read = std::get_if<ReadRequest>(&request.body)) {
    count_alone(counters_.reads_total);
    const bool pushed = link.open.try_push(ShardReply{0, request.session, request.request, streams_->locate(*read)});
    HEPTANE_ASSERT(pushed, "the I/O side asked for more than its ring holds");
  } else if (const auto* subscription = std::get_if<SubscribeRequest>(&request.body)) {
    subscribe(link, request.session, *subscription);
  } else {
    unsubscribe(link, std::get<UnsubscribeRequest>(request.body).subscription);
  }
  return Taken::yes;
}

void Shard::query(ShardLink& link, SessionId session, RequestId request, QueryRequest& question) {
  count_alone(counters_.queries_total);
  if (std::unique_ptr<QueryInSlices> slices = begin_query(question))
    return queries_.take({&link, session, request, std::move(question)}, std::move(slices));
  Reply reply;
  if (MachineTable::Slot* slot = machines_.find(question.machine))
    slot->machine->query(Query{question.type, question.payload.view(), question.principal}, reply);
  else if (question.machine == machine_ids::kKernel && question.type == kVersions)
    reply.payload = encode_versions(versions());
  else
    reply = refusal(Errc::not_found, "no such module is switched on");
  reply.time = last_time_;  // of what was applied: the asker's clock may be behind it
  answer(&link, last_applied_, session, request, std::move(reply));
}

std::unique_ptr<QueryInSlices> Shard::begin_query(const QueryRequest& question) {
  MachineTable::Slot* slot = machines_.find(question.machine);
  if (slot == nullptr) return nullptr;
  return slot->machine->begin_query(Query{question.type, question.payload.view(), question.principal});
}

void Shard::answer(ShardLink* link, Sequence gate, SessionId session, RequestId request, Reply&& reply) {
  if (link == nullptr) return;
  const bool pushed = link->gated.try_emplace(gate, session, request, std::move(reply));
  HEPTANE_ASSERT(pushed, "the I/O side asked for more than its ring holds");
}

// Commands.

namespace {

// Of a machine that the command makes larger beside its own.
std::optional<Reply> drawn_refusal(const Submission& submission, const MachineTable& machines, uint64_t budget_bytes) {
  const auto* draws = dynamic_cast<const DrawsOn*>(machines.find(submission.machine)->machine);
  const auto on = draws == nullptr ? std::nullopt : draws->draws_on(submission.type, submission.payload.view());
  const MachineTable::Slot* drawn = on ? machines.find(*on) : nullptr;
  if (drawn == nullptr || drawn->machine->memory_bytes() <= budget_bytes) return std::nullopt;
  return refusal(Errc::overloaded, "the memory budget of the " + std::string(drawn->machine->name()) +
                                       " is used up: delete something or raise limits.machine_memory");
}

}  // namespace

std::optional<Reply> Shard::admission_refusal(const Submission& submission) const {
  if (stopping_) return refusal(Errc::closed, "the server is stopping");
  if (principals_ != nullptr && !principals_->in_force(submission.principal))
    return refusal(Errc::unauthorised, "this principal was changed or deleted: authenticate again");
  if (submission.payload.size() > options_.payload_limit_bytes)
    return refusal(Errc::too_large,
                   "a command holds at most " + std::to_string(options_.payload_limit_bytes) + " bytes");
  // A record batch carries its own CRC; an entry that says another would make the log unreadable.
  if (submission.kind == log::EntryKind::record_command &&
      (submission.payload.size() < log::kRecordBatchPrefixBytes ||
       load_be<uint32_t>(submission.payload.data() + kRecordBatchCrcOffset) != submission.payload_crc))
    return refusal(Errc::corrupt, "a record batch whose stated CRC is not its own");
  if (submission.machine != machine_ids::kKernel) {
    std::optional<Reply> refused = machine_refusal(submission.machine, submission.type);
    return refused ? refused : drawn_refusal(submission, machines_, options_.machine_memory_budget_bytes);
  }
  if (submission.type != kTransact) return std::nullopt;
  // What a transaction would do is admitted like the commands it is made of; a malformed one is apply's to refuse.
  const Result<std::vector<Operation>> operations = decode_transact(submission.payload.view());
  if (!operations) return std::nullopt;
  for (size_t i = 0; i < operations->size(); ++i) {
    std::optional<Reply> refused = machine_refusal((*operations)[i].machine, (*operations)[i].type);
    if (!refused) continue;
    refused->message = "operation " + std::to_string(i) + ": " + refused->message;
    refused->numbers = {static_cast<int64_t>(i), 1};
    return refused;
  }
  return std::nullopt;
}

std::optional<Reply> Shard::machine_refusal(MachineId machine, CommandType type) const {
  const MachineTable::Slot* slot = machines_.find(machine);
  if (slot == nullptr)
    return refusal(Errc::not_found, "no module with machine " + std::to_string(machine) + " is switched on");
  const bool disk_is_full = disk_full();
  const bool machine_is_full = slot->machine->memory_bytes() > options_.machine_memory_budget_bytes;
  const bool kernel_is_full = kernel_.memory_bytes() > options_.machine_memory_budget_bytes;
  if ((!disk_is_full && !machine_is_full && !kernel_is_full) || slot->machine->relieves(type)) return std::nullopt;
  if (disk_is_full) return refusal(Errc::no_space, "the disk is nearly full: delete streams or make room");
  if (machine_is_full)
    return refusal(Errc::overloaded, "the module's memory budget is used up: delete something or raise it");
  return refusal(Errc::overloaded,
                 "timers and idempotency keys of the last 24 hours use up the memory budget: raise "
                 "limits.machine_memory, or wait");
}

std::optional<Reply> Shard::repeated_reply(const Submission& submission) const {
  const IdempotencyTable::Result* first =
      kernel_.idempotency.find(submission.principal.id, submission.machine, *submission.idempotency);
  if (first == nullptr) return std::nullopt;
  if (first->request_hash != submission.idempotency->request_hash)
    return refusal(Errc::invalid_argument, "this idempotency id was used with another request");
  Reply reply;
  reply.sequence = first->sequence;
  reply.time = first->time;
  reply.numbers = first->numbers;
  reply.payload = Buffer::copy_of(first->reply);
  reply.repeated = true;
  return reply;
}

std::optional<Reply> Shard::chain_refusal(const ShardLink* link, SessionId session, uint32_t chain) {
  const auto broken = broken_chains_.find({link, session});
  if (broken == broken_chains_.end()) return std::nullopt;
  if (broken->second == chain) return refusal(Errc::overloaded, "what stands before it was refused: send both again");
  broken_chains_.erase(broken);
  return std::nullopt;
}

bool Shard::denied(const Submission& submission) const {
  return !guard_.denied.empty() &&
         std::find(guard_.denied.begin(), guard_.denied.end(), command_digest(submission)) != guard_.denied.end();
}

void Shard::refuse_for_now(ShardLink& link, const ShardRequest& request, const char* why) {
  const auto* submission = std::get_if<Submission>(&request.body);
  if (submission != nullptr) count_alone(counters_.refused_total);
  if (submission != nullptr && submission->chain != 0)
    broken_chains_.insert_or_assign({&link, request.session}, submission->chain);
  answer(&link, last_applied_, request.session, request.request, refusal(Errc::overloaded, why));
}

bool Shard::answer_without_log(ShardLink* link, SessionId session, RequestId request, const Submission& submission) {
  std::optional<Reply> reply;
  if (submission.idempotency) reply = repeated_reply(submission);
  if (!reply && submission.chain != 0) reply = chain_refusal(link, session, submission.chain);
  if (!reply) reply = admission_refusal(submission);
  if (!reply && denied(submission))
    reply = refusal(Errc::internal, "this command ended the server once before and is refused");
  if (!reply) return false;
  if (reply->error) count_alone(counters_.refused_total);
  const bool for_now = reply->error == Errc::overloaded || reply->error == Errc::no_space;
  if (for_now) count_alone(counters_.overloaded_total);
  if (submission.chain != 0 && for_now) broken_chains_.insert_or_assign({link, session}, submission.chain);
  answer(link, last_applied_, session, request, std::move(*reply));
  return true;
}

// Of one that would be applied now. With `lacking` what it lacks of files is put there in place of that.
Shard::Taken Shard::take_submission(ShardLink* link, SessionId session, RequestId request, const Submission& submission,
                                    std::unique_ptr<Prefetch>* lacking) {
  if (halted_) return Taken::stalled;
  if (answer_without_log(link, session, request, submission)) return Taken::yes;
  extensions_.clear();
  append_extensions(extensions_, submission, session, options_.id);
  const uint64_t stored =
      log::kEntryHeaderBytes + extensions_.size() + submission.payload.size() + log::kEntryAlignment;
  if (!room_for(stored, stamp())) return Taken::stalled;
  if (lacking != nullptr && (*lacking = prefetch(submission)) != nullptr) return Taken::lacks;
  run_live(link, session, request, submission);
  return Taken::yes;
}

// Of a transaction what the first operation lacks that lacks something: then the next one is asked.
std::unique_ptr<Prefetch> Shard::prefetch(const Submission& submission) {
  Command command{last_applied_ + 1, last_time_,           submission.machine,        submission.type,
                  submission.kind,   submission.partition, submission.payload.view(), submission.principal};
  if (submission.machine != machine_ids::kKernel) return prefetch(command);
  if (submission.type != kTransact) return nullptr;
  const Result<std::vector<Operation>> operations = decode_transact(submission.payload.view());
  if (!operations) return nullptr;  // apply's to refuse
  // Each operation that lacks something has all of them looked at again.
  if (operations->size() > kFetchedOperationsMax) return nullptr;
  std::unique_ptr<Prefetch> lacking;
  for (auto next = operations->begin(); next != operations->end() && lacking == nullptr; ++next) {
    command.machine = next->machine;
    command.type = next->type;
    command.payload = next->payload;
    lacking = prefetch(command);
  }
  return lacking;
}

std::unique_ptr<Prefetch> Shard::prefetch(const Command& command) {
  MachineTable::Slot* slot = machines_.find(command.machine);
  const MachineFiles* files = slot == nullptr ? nullptr : slot->machine->files();
  return files == nullptr ? nullptr : files->prefetch(command);
}

// Commands of one turn came together: a stamp serves the next few as well.
LogTime Shard::stamp() {
  if (stamp_serves_ == 0) {
    last_time_ = std::max(last_time_, log_clock_.now());
    stamp_serves_ = kCommandsPerStamp;
  }
  --stamp_serves_;
  return last_time_;
}

// Makes sure a growing batch can take `stored_bytes` more; false: the commit must finish something first.
bool Shard::room_for(uint64_t stored_bytes, LogTime now) {
  if (growing_ != nullptr && growing_->command_count() > 0) {
    const uint64_t after = growing_->body_bytes() + streams_->packed_bytes() + stored_bytes;
    if (after > options_.batch_target_bytes || now - growing_->base_time() > kTimeDeltaLimitNs) {
      if (committer_.outstanding() >= 2) return false;
      hand_over_growing(0);
    }
  } else if (growing_ != nullptr && now - growing_->base_time() > kTimeDeltaLimitNs) {
    // All its commands were refused, and the sync ahead of it is slow: what is kept next counts from now.
    growing_->begin(options_.id, epoch_, last_applied_ + 1, now);
  }
  if (growing_ == nullptr) {
    growing_ = free_writer();
    if (growing_ == nullptr) return false;
    growing_->begin(options_.id, epoch_, last_applied_ + 1, now);
    digest_.reset();
  }
  return true;
}

void Shard::run_live(ShardLink* link, SessionId session, RequestId request, const Submission& submission) {
  log::EntryHeader header;
  header.kind = submission.kind;
  header.machine = submission.machine;
  header.type = submission.type;
  header.partition = submission.partition;
  header.payload_crc = submission.payload_crc;
  header.detail = static_cast<uint32_t>(last_time_ - growing_->base_time());
  // Events of this partition that are packed already come first in its order of offsets.
  if (header.is_record_batch()) streams_->flush(submission.partition, *growing_);
  const uint32_t entry = growing_->append(header, extensions_.view(), submission.payload.view());
  const Command command{last_applied_ + 1, last_time_,           submission.machine,        submission.type,
                        submission.kind,   submission.partition, submission.payload.view(), submission.principal};
  if (guard_.word != nullptr) guard_.word->store(command_digest(submission), std::memory_order_relaxed);
  run_.begin(command.sequence, command.time);
  run_command(command);
  if (guard_.word != nullptr) guard_.word->store(0, std::memory_order_relaxed);

  if (run_.outcome() != CommandOutcome::kept) {
    growing_->take_back(entry);
    if (run_.outcome() == CommandOutcome::refused) count_alone(counters_.refused_total);
    answer(link, last_applied_, session, request, std::move(run_.reply()));
    return;
  }
  if (run_.adds_to_entry()) {
    extensions_.clear();
    run_.append_additions(extensions_, options_.id, epoch_);
    growing_->extend(entry, header, extensions_.view());
    for (const log::ViewRun& run : run_.view_runs())
      growing_->add_run(place_of_view(run, command.time, epoch_), entry, header);
  }
  if (header.is_record_batch()) {
    const EntryRun run = streams_->place_batch(submission.partition, run_.reply().numbers[0],
                                               growing_->payload_at(entry, header), epoch_);
    growing_->add_run(run, entry, header);
  }
  growing_->seal(entry, header);
  keep(command, growing_->command_count(), submission.idempotency, false);
  growing_->count_command();
  answer(link, last_applied_, session, request, std::move(run_.reply()));
}

void Shard::keep(const Command& command, uint32_t delta, const std::optional<IdempotencyKey>& key, bool replaying) {
  last_applied_ = command.sequence;
  last_time_ = command.time;
  Reply& reply = run_.reply();
  reply.sequence = command.sequence;
  reply.time = command.time;
  run_.keep(command, delta, replaying, digest_);
  if (key) kernel_.idempotency.record(command.principal.id, command.machine, *key, reply);
  count_alone(counters_.commands_total);
}

// What live and replay share: finds who applies the command.
void Shard::run_command(const Command& command) {
  if (command.machine != machine_ids::kKernel) {
    MachineTable::Slot* slot = machines_.find(command.machine);
    HEPTANE_ASSERT(slot != nullptr, "a command for a machine that is not here passed admission");
    return run_.apply(*slot->machine, command);
  }
  switch (command.type) {
    case kFireTimer: return fire_timer(command);
    case kDropTimer: return drop_timer(command);
    case kPutOffTimer: return put_off_timer(command);
    case kForgetResults:
      return run_.effects().reply(static_cast<int64_t>(kernel_.idempotency.forget_expired(command.time)));
    case kTransact: return apply_transact(command, machines_, run_);
    case kSetConfig:
    case kActivate: return set_config(command);
    default: return run_.effects().refuse(Errc::unsupported, 0, "the kernel has no such command");
  }
}

void Shard::set_config(const Command& command) {
  ByteReader reader(command.payload);
  if (command.type == kActivate) {
    const auto machine = reader.le<uint16_t>();
    const auto version = reader.le<uint32_t>();
    MachineTable::Slot* slot = machines_.find(machine);
    if (!reader.complete() || slot == nullptr || version > slot->machine->newest_version() ||
        version < kernel_.version_of(machine))
      return run_.effects().refuse(Errc::invalid_argument, 0, "no such logic version of that module");
    kernel_.versions[machine] = version;
    return;
  }
  const std::string key(as_text(reader.take(reader.le<uint32_t>())));
  const std::string value(as_text(reader.take(reader.le<uint32_t>())));
  if (!reader.complete() || key.empty())
    return run_.effects().refuse(Errc::invalid_argument, 0, "a configuration command holds a key and a value");
  if (value.empty())
    kernel_.config.erase(key);
  else
    kernel_.config[key] = value;
}

// Memory, hand-over and seals.

// First results of a principal that has gone stay until somebody needs their memory.
void Shard::relieve_memory() {
  if (kernel_.memory_bytes() <= options_.machine_memory_budget_bytes || stopping_) return;
  const int64_t now_ns = clock_.monotonic_ns();
  if (now_ns - last_relief_ns_ < kReliefIntervalNs) return;
  last_relief_ns_ = now_ns;
  if (!kernel_.idempotency.has_expired(now())) return;
  Submission submission;
  submission.machine = machine_ids::kKernel;
  submission.type = kForgetResults;
  (void)submit_internal(std::move(submission));  // a full queue: the next turn tries again
}

BatchWriter* Shard::free_writer() {
  if (free_.empty()) return nullptr;
  BatchWriter* writer = free_.back();
  free_.pop_back();
  return writer;
}

// The index knows synced batches only: a snapshot taken while one is outstanding would miss its records.
bool Shard::come_to_rest() {
  if (growing_ != nullptr && committer_.outstanding() < 2) {
    if (growing_->command_count() > 0)
      hand_over_growing(0);
    else
      (void)hand_over_when_due();
  }
  if (growing_ != nullptr || committer_.outstanding() > 0 || last_batch_.segment == 0) return false;
  const auto then = std::exchange(at_rest_, nullptr);
  then({last_applied_, last_time_, epoch_, last_batch_, last_chain_});
  return true;
}

// Clients that wait for each answer all come back once a batch is synced. The first of them must not take the disk alone and
// make the others wait for a second sync: for as many commands as were just answered the batch is held open, while they
// keep coming. Counted in turns of the loop, a few microseconds each, and not in time: who is alone is never held up, nor is
// a steady stream, whose next batch has grown as large by then.
bool Shard::gathering() {
  constexpr uint32_t kQuietTurns = 16;
  constexpr uint32_t kGatherTurns = 512;
  const uint32_t commands = growing_->command_count();
  quiet_turns_ = commands == gathered_ ? quiet_turns_ + 1 : 0;
  gathered_ = commands;
  if (commands >= gather_target_ || quiet_turns_ >= kQuietTurns || ++gather_turns_ >= kGatherTurns || stopping_)
    gather_target_ = 0;
  return gather_target_ > 0;
}

// True: the batch is held open, and another turn should come at once.
bool Shard::hand_over_when_due() {
  if (halted_ || growing_ == nullptr) return false;
  const bool ready = growing_->body_bytes() + streams_->packed_bytes() >= options_.batch_ready_bytes;
  if (committer_.outstanding() > (ready ? 1 : 0)) return false;
  if (growing_->command_count() == 0 && growing_->empty()) {
    free_.push_back(growing_);  // all its commands were refused
    growing_ = nullptr;
    return false;
  }
  if (!ready && gather_target_ > 0 && gathering()) return true;
  hand_over_growing(0);
  return false;
}

void Shard::hand_over_growing(uint16_t flags) {
  streams_->flush_all(*growing_);
  growing_->finish(digest_.value(), flags);
  committer_.hand_over(*growing_);
  growing_ = nullptr;
  sealed_ = (flags & log::kSealFlag) != 0;
  last_hand_over_ns_ = clock_.monotonic_ns();
}

void Shard::seal_when_idle() {
  if (sealed_ || growing_ != nullptr || committer_.outstanding() > 0) return;
  if (!stopping_ && clock_.monotonic_ns() - last_hand_over_ns_ < options_.seal_after_idle_ns) return;
  seal(0);
}

void Shard::seal(uint16_t flags) {
  growing_ = free_writer();
  growing_->begin(options_.id, epoch_, last_applied_ + 1, last_time_);
  digest_.reset();
  hand_over_growing(log::kSealFlag | flags);
}

}  // namespace heptane
