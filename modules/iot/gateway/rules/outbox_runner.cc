#include "modules/iot/gateway/rules/outbox_runner.h"

#include <algorithm>
#include <utility>

#include "kernel/streams/api.h"
#include "modules/iot/gateway/rules/http_target.h"

namespace heptane::iot::rules {

namespace {

constexpr int kTooEarly = 425;
constexpr int kTimeout = 408;
constexpr int kTooMany = 429;
constexpr int64_t kNsPerSecond = 1'000'000'000;

bool is_refusal(int status) {
  return status >= 300 && status < 500 && status != kTimeout && status != kTooEarly && status != kTooMany;
}

constexpr std::string_view kBeforeUrl = R"({"url":")";
constexpr std::string_view kBeforeBody = R"(","body":)";

// Cut as the machine wrote it: of the row nothing is read, whose numbers and depth are the rule's. A URL holds nothing that is escaped.
// Without a URL: it cannot be read.
HttpPost post_of(const streams::RecordView& record) {
  HttpPost post{{}, std::string(as_text(record.key)), {}};
  std::string_view value = as_text(record.value);
  const size_t end = value.find('"', kBeforeUrl.size());
  if (!value.starts_with(kBeforeUrl) || end == std::string_view::npos || !value.ends_with('}')) return post;
  const std::string_view url = value.substr(kBeforeUrl.size(), end - kBeforeUrl.size());
  value.remove_prefix(end);
  if (!value.starts_with(kBeforeBody) || url.find('\\') != std::string_view::npos) return post;
  post.url = url;
  post.body = value.substr(kBeforeBody.size(), value.size() - kBeforeBody.size() - 1);
  return post;
}

}  // namespace

// Which rules post.

void OutboxRunner::take_rules(const std::vector<RuleRow>& rows) {
  std::map<std::string, Box> before = std::exchange(boxes_, {});
  for (const RuleRow& row : rows) {
    if (row.paused || !row.outbox) continue;
    const std::string& name = row.definition.name;
    const auto same = before.find(name);
    // Further than it is here: it posted no more for a while, and what was there then is not sent.
    const bool goes_on = same != before.end() && same->second.created == row.created && *row.outbox <= same->second.at;
    if (goes_on) {
      boxes_.insert(before.extract(same));
      if (Box& kept = boxes_.at(name); kept.state != State::stopped) continue;
    }
    Box box;
    box.name = name;
    box.created = row.created;
    box.number = ++last_box_;
    box.next = box.at = *row.outbox;
    boxes_.insert_or_assign(name, std::move(box));
  }
  for (auto& [name, gone] : before) close(gone);
  if (context_ == nullptr) return;
  for (auto& [name, box] : boxes_)
    if (box.state == State::idle && box.due_ns == 0) go_on(box);
}

void OutboxRunner::close(Box& box) {
  courier_.forget(box.name);
  asked_.erase(box.request);
  if (context_ != nullptr) wait_no_more(box);
}

void OutboxRunner::wait_no_more(Box& box) {
  if (box.subscription == 0) return;
  waiting_.erase(box.subscription);
  context_->unsubscribe(std::exchange(box.subscription, 0));
}

void OutboxRunner::attach(net::SessionContext& context) {
  context_ = &context;
  for (auto& [name, box] : boxes_) go_on(box);
}

void OutboxRunner::detach() {
  for (auto& [name, box] : boxes_) courier_.forget(name);
  context_ = nullptr;
  boxes_.clear();
  asked_.clear();
  waiting_.clear();
  find_request_ = 0;
  timer_ = 0;
}

OutboxRunner::Box* OutboxRunner::find(const std::string& name, uint64_t number) {
  const auto found = boxes_.find(name);
  return found == boxes_.end() || found->second.number != number ? nullptr : &found->second;
}

void OutboxRunner::wake_within(int64_t delay_ns) {
  const int64_t at = context_->monotonic_ns() + delay_ns;
  if (timer_ != 0 && timer_ns_ <= at) return;
  if (timer_ != 0) context_->cancel(timer_);
  timer_ = context_->arm(delay_ns);
  timer_ns_ = at;
}

void OutboxRunner::later(Box& box, int64_t delay_ns) {
  box.state = State::idle;
  box.due_ns = context_->monotonic_ns() + delay_ns;
  wake_within(delay_ns);
}

// A box's turn.

void OutboxRunner::go_on(Box& box) {
  box.due_ns = 0;
  box.state = State::idle;
  wait_no_more(box);
  if (!outbox_) {
    find_outbox();
    return later(box, kTickNs);
  }
  const bool found = box.post || (box.read && seek(box));
  if (!found) box.read.reset();
  if (box.at > box.next && box.passed_ns == 0) box.passed_ns = context_->monotonic_ns();
  if (must_tell(box, !found)) return tell(box);
  if (found) return send(box);
  read(box);
}

// It is there since the first rule that posts.
void OutboxRunner::find_outbox() {
  if (find_request_ != 0) return;
  const RequestId request = ++last_request_;
  const streams::DescribeQuery query{false, {std::string(kOutboxStream)}};
  if (context_->query(request, {machine_ids::kStreams, streams::kDescribe, streams::encode(query), {}}))
    find_request_ = request;
}

void OutboxRunner::read(Box& box) {
  ReadRequest request;
  request.partition = *outbox_;
  request.offset = box.at;
  request.max_bytes = kReadBytes;
  const RequestId id = ++last_request_;
  if (!context_->read(id, request)) return later(box, kTickNs);
  box.state = State::reading;
  box.request = id;
  asked_.emplace(id, std::pair{box.name, box.number});
}

void OutboxRunner::take_read(Box& box, const net::RecordsRead& records) {
  box.state = State::idle;
  if (records.error == Errc::not_found) outbox_.reset();
  const bool gap = box.at < records.log_start && (!records.error || records.error == Errc::invalid_argument);
  if (gap && box.at > box.next) return tell(box);
  if (gap) {
    if (report_)
      report_("rule " + box.name + ": what it posted was gone by retention before it was sent, records " +
              std::to_string(box.at) + " to " + std::to_string(records.log_start - 1) + " of iot.outbox");
    box.next = box.at = records.log_start;
    return tell(box);
  }
  if (records.error) return later(box, kTickNs);
  if (records.batches.empty()) return wait(box);
  box.read = records;
  box.batch = 0;
  box.walk.reset();
  go_on(box);
}

void OutboxRunner::wait(Box& box) {
  box.subscription = context_->subscribe(*outbox_, box.at);
  if (box.subscription == 0) return later(box, kTickNs);
  box.state = State::waiting;
  waiting_.emplace(box.subscription, std::pair{box.name, box.number});
  if (box.passed_ns == 0) return;
  // Where it is must be told before retention takes what is behind it.
  box.due_ns = box.passed_ns + kPassNs;
  wake_within(box.due_ns - context_->monotonic_ns());
}

bool OutboxRunner::seek(Box& box) {
  for (; box.batch < box.read->batches.size(); ++box.batch) {
    if (!box.walk) box.walk.emplace(box.read->batches[box.batch], box.at);
    streams::RecordView record;
    if (box.at < box.walk->upto() && !box.walk->fault().empty()) return take_fault(box);
    while (box.walk->next(record))
      if (record.offset >= box.at && take_record(box, record)) return true;
    box.at = std::max(box.at, box.walk->upto());
    box.walk.reset();
  }
  return false;
}

bool OutboxRunner::take_record(Box& box, const streams::RecordView& record) {
  box.at = record.offset;
  const bool own = rule_of_key(as_text(record.key)) == box.name;
  if (own) box.post = post_of(record);
  if (!own) ++box.at;
  return own;
}

// Whether any of a batch that cannot be read is the rule's nobody knows: one letter, as of the last of its records.
bool OutboxRunner::take_fault(Box& box) {
  box.at = box.walk->upto() - 1;
  box.unreadable = box.walk->fault();
  box.post.emplace();
  box.walk.reset();
  ++box.batch;
  return true;
}

void OutboxRunner::send(Box& box) {
  if (box.post->url.empty())
    return give_up(box, box.unreadable.empty() ? "the record of the outbox cannot be read" : box.unreadable);
  box.state = State::posting;
  const std::string why =
      courier_.post(box.name, *box.post, [this, name = box.name, number = box.number](const PostOutcome& outcome) {
        Box* there = find(name, number);
        if (there != nullptr && there->state == State::posting && context_ != nullptr) take_outcome(*there, outcome);
      });
  if (!why.empty()) again(box, why, 0);
}

void OutboxRunner::take_outcome(Box& box, const PostOutcome& outcome) {
  if (outcome.status >= 200 && outcome.status < 300) {
    ++box.posted;
    return done(box);
  }
  const std::string why = outcome.status == 0 ? outcome.why : "answered with " + std::to_string(outcome.status);
  const bool last = is_refusal(outcome.status) && ++box.refusals >= kRefusalsMax;
  if (!last) return again(box, why, outcome.retry_after_s * kNsPerSecond);
  give_up(box, "refused " + std::to_string(kRefusalsMax) + " times, at last " + why);
}

void OutboxRunner::give_up(Box& box, std::string why) {
  why.resize(std::min(why.size(), kFaultBytesMax));
  box.letters.push_back({box.at, std::move(*box.post), std::move(why)});
  done(box);
}

void OutboxRunner::done(Box& box) {
  box.post.reset();
  box.unreadable.clear();
  box.failures = box.refusals = 0;
  box.told_why.clear();
  ++box.at;
  if (box.untold_ns == 0) box.untold_ns = context_->monotonic_ns();
  go_on(box);
}

void OutboxRunner::again(Box& box, const std::string& why, int64_t least_ns) {
  constexpr uint32_t kDoublingsMax = 7;
  if (report_ && box.told_why != why)
    report_("rule " + box.name + ": " + std::string(without_query(box.post->url)) + " is tried again: " + why);
  box.told_why = why;
  const int64_t delay_ns = std::min(kDelayNs << std::min(box.failures, kDoublingsMax), kDelayMaxNs);
  ++box.failures;
  later(box, std::max(delay_ns, least_ns));
}

// What was done is told when there is nothing to do, when it is much, and when it was a while ago.
bool OutboxRunner::must_tell(const Box& box, bool used_up) const {
  const uint32_t untold = box.posted + static_cast<uint32_t>(box.letters.size());
  const bool long_ago = box.passed_ns != 0 && context_->monotonic_ns() - box.passed_ns >= kPassNs;
  if (untold == 0) return long_ago || box.at - box.next >= kPassMax;
  return used_up || untold >= kTellMax || context_->monotonic_ns() - box.untold_ns >= kTellNs;
}

void OutboxRunner::tell(Box& box) {
  OutboxCommit commit;
  commit.rule = box.name;
  commit.created = box.created;
  commit.from = box.next;
  commit.upto = box.at;
  commit.posted = box.posted;
  for (const Letter& letter : box.letters)
    commit.letters.push_back({letter.offset, letter.post.key, without_query(letter.post.url), letter.why});
  const RequestId request = ++last_request_;
  if (!context_->submit(request, streams::make_command(kRulesMachineId, kOutboxCommit, encode(commit))))
    return later(box, kTickNs);
  box.state = State::telling;
  box.request = request;
  asked_.emplace(request, std::pair{box.name, box.number});
}

void OutboxRunner::take_told(Box& box, const Reply& reply) {
  if (!reply.ok() && (reply.error == Errc::stale || reply.error == Errc::not_found)) {
    // Another one of its name, or dropped: the next look says which.
    box.state = State::stopped;
    return;
  }
  if (!reply.ok()) return later(box, kTickNs);
  box.next = reply.numbers[1];
  box.posted = 0;
  box.letters.clear();
  box.untold_ns = box.passed_ns = 0;
  go_on(box);
}

// What comes back.

void OutboxRunner::on_reply(RequestId request, const Reply& reply) {
  if (request == find_request_) {
    find_request_ = 0;
    const auto infos = reply.ok() ? streams::decode_stream_infos(reply.payload.view())
                                  : Result<std::vector<streams::StreamInfo>>(Error{Errc::overloaded, ""});
    if (infos && !infos->empty() && !infos->front().partitions.empty()) outbox_ = infos->front().partitions.front().id;
    return;
  }
  const auto asked = asked_.find(request);
  if (asked == asked_.end()) return;
  const auto [name, number] = asked->second;
  asked_.erase(asked);
  Box* box = find(name, number);
  if (box != nullptr && box->state == State::telling) take_told(*box, reply);
}

void OutboxRunner::on_records(RequestId request, const net::RecordsRead& records) {
  const auto asked = asked_.find(request);
  if (asked == asked_.end()) return;
  const auto [name, number] = asked->second;
  asked_.erase(asked);
  Box* box = find(name, number);
  if (box != nullptr && box->state == State::reading) take_read(*box, records);
}

void OutboxRunner::on_advanced(net::SubscriptionId subscription, Offset) {
  const auto waiting = waiting_.find(subscription);
  if (waiting == waiting_.end()) return;
  const auto [name, number] = waiting->second;
  waiting_.erase(waiting);
  Box* box = find(name, number);
  if (box == nullptr) return;
  box->subscription = 0;
  go_on(*box);
}

void OutboxRunner::on_timer(net::SessionTimerId timer) {
  if (timer != timer_) return;
  timer_ = 0;
  const int64_t now = context_->monotonic_ns();
  int64_t next = INT64_MAX;
  for (auto& [name, box] : boxes_) {
    if (box.due_ns == 0) continue;
    if (box.due_ns <= now)
      go_on(box);
    else
      next = std::min(next, box.due_ns);
  }
  if (next != INT64_MAX) wake_within(next - now);
}

namespace {

class OutboxSession final : public net::Session {
 public:
  explicit OutboxSession(OutboxRunner& runner) : runner_(runner) {}
  void on_open(net::SessionContext& context) override { runner_.attach(context); }
  size_t on_bytes(Bytes input, net::SessionContext&) override { return input.size(); }
  void on_reply(RequestId request, const Reply& reply, net::SessionContext&) override {
    runner_.on_reply(request, reply);
  }
  void on_records(RequestId request, const net::RecordsRead& records, net::SessionContext&) override {
    runner_.on_records(request, records);
  }
  void on_advanced(net::SubscriptionId subscription, Offset durable_end, net::SessionContext&) override {
    runner_.on_advanced(subscription, durable_end);
  }
  void on_timer(net::SessionTimerId timer, net::SessionContext&) override { runner_.on_timer(timer); }
  void on_close(net::CloseReason) override { runner_.detach(); }

 private:
  OutboxRunner& runner_;
};

}  // namespace

std::unique_ptr<net::Session> OutboxProtocol::open(const net::Address&) {
  return std::make_unique<OutboxSession>(runner_);
}

}  // namespace heptane::iot::rules
