#include "modules/fintech/test/fix_world.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "modules/fintech/domain/fix/values.h"
#include "modules/fintech/test/fix_text.h"

namespace heptane::fintech::fixgate::test {

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, at);) parts.push_back(part);
  return parts;
}

int tag_of(const std::string& field) { return std::atoi(field.c_str()); }

static bool has_tag(const std::vector<std::string>& fields, int tag) {
  return std::any_of(fields.begin(), fields.end(), [&](const std::string& field) { return tag_of(field) == tag; });
}

static std::string timestamp(int64_t time_ns) {
  std::string text;
  fix::append_timestamp(text, time_ns, 3);
  return text;
}

// `35=0|34=2|...` of a peer to a whole message.
std::string message_of(const std::string& line, const std::string& name, int64_t now_ns) {
  std::vector<std::string> fields = split(line, '|');
  const auto put = [&](int tag, const std::string& value) {
    if (!has_tag(fields, tag)) fields.insert(fields.begin() + 1, std::to_string(tag) + "=" + value);
  };
  put(fix::kTargetCompID, "HEPTANE");
  put(fix::kSendingTime, timestamp(now_ns));
  put(fix::kSenderCompID, name);
  std::string text;
  for (const std::string& field : fields) text += field + '|';
  return fix::test::whole(text);
}

// One message of what came; empty: none.
std::string take_one(std::string& out) {
  const fix::Frame frame = fix::next_frame(out);
  if (frame.kind != fix::Frame::Kind::whole) return {};
  std::string one = out.substr(frame.begin, frame.size);
  out.erase(0, frame.begin + frame.size);
  return one;
}

// Whether it is a message of the dictionary.
std::string fault_of(const std::string& bytes) {
  fix::Message message;
  if (const char* garbled = message.read(bytes)) return garbled;
  const auto fault = fix::validate(message, {});
  if (!fault) return {};
  return std::string(fix::reason_text(fault->reason)) + " " + std::to_string(fault->tag.value_or(0));
}

Line::Line(FixWorld& world, SessionId id, net::Protocol& protocol)
    : world_(world), id_(id), session_(protocol.open(address_)) {
  session_->on_open(*this);
}

void Line::send(std::string_view bytes) {
  in_ += bytes;
  feed();
}

void Line::feed() {
  while (!closed_ && !paused_ && !in_.empty()) {
    const size_t consumed = session_->on_bytes(as_bytes(in_), *this);
    ASSERT_LE(consumed, in_.size());
    in_.erase(0, consumed);
    if (consumed == 0) return;
  }
}

// What must not happen within a call of the session.
void Line::settle() {
  feed();
  if (!closed_ || session_ == nullptr) return;
  session_->on_close(net::CloseReason::session_closed);
  session_.reset();
  timers_.clear();
  waits_.clear();
}

void Line::cut() {
  if (session_ == nullptr) return;
  closed_ = true;
  why_ = "cut";
  settle();
}

void Line::close(net::CloseReason, std::string_view why) {
  closed_ = true;
  why_ = why;
}

bool Line::waits_for(PartitionId partition) const {
  return std::any_of(waits_.begin(), waits_.end(), [&](const Wait& wait) { return wait.partition == partition; });
}

void Line::deliver(RequestId request, const Reply& reply) {
  if (!closed_) session_->on_reply(request, reply, *this);
}

void Line::deliver(RequestId request, const net::RecordsRead& records) {
  if (!closed_) session_->on_records(request, records, *this);
}

// Subscriptions that are due, and jobs.
void Line::work() {
  for (auto& [request, job] : std::exchange(jobs_, {})) {
    job();
    if (!closed_) session_->on_worked(request, *this);
  }
  for (const Wait& wait : std::exchange(waits_, {})) {
    const auto view = world_.rig.streams.view_of(wait.partition);
    const auto end = static_cast<Offset>(world_.rig.told[view.number].size());
    if (end <= wait.from)
      waits_.push_back(wait);
    else if (!closed_)
      session_->on_advanced(wait.id, end, *this);
  }
}

void Line::fire_timers() {
  while (!closed_ && !timers_.empty() && timers_.begin()->first <= monotonic_ns()) {
    const net::SessionTimerId timer = timers_.begin()->second;
    timers_.erase(timers_.begin());
    session_->on_timer(timer, *this);
  }
}

bool Line::submit(RequestId request, Submission submission) {
  if (closed_) return false;
  if (world_.submits_refused > 0) {
    --world_.submits_refused;
    return false;
  }
  world_.asked_.push_back({id_, request, std::move(submission), std::nullopt, std::nullopt});
  return true;
}

bool Line::query(RequestId request, QueryRequest query) {
  world_.asked_.push_back({id_, request, std::nullopt, std::move(query), std::nullopt});
  return !closed_;
}

bool Line::read(RequestId request, ReadRequest read) {
  world_.asked_.push_back({id_, request, std::nullopt, std::nullopt, read});
  return !closed_;
}

bool Line::work(RequestId request, std::function<void()> job) {
  jobs_.emplace_back(request, std::move(job));
  return true;
}

net::SubscriptionId Line::subscribe(PartitionId partition, Offset from) {
  waits_.push_back({next_id_, partition, from});
  return next_id_++;
}

net::SessionTimerId Line::arm(int64_t delay_ns) {
  timers_.emplace(monotonic_ns() + delay_ns, next_id_);
  return next_id_++;
}

void Line::cancel(net::SessionTimerId timer) {
  std::erase_if(timers_, [&](const auto& entry) { return entry.second == timer; });
}

int64_t Line::monotonic_ns() const { return world_.rig.now; }
int64_t Line::utc_ns() const { return world_.rig.now - world_.utc_late_ns; }

// ---- the world

void FixWorld::start() {
  feed = std::make_unique<market::MarketFeed>();
  options_.feed = feed.get();
  protocol = std::make_unique<FixProtocol>(options_);
  open(protocol->keepers());
  feed_line_ = &open(feed->residents());
}

void FixWorld::reopen_feed() {
  feed_line_->cut();
  feed_line_ = &open(feed->residents());
}

Line& FixWorld::open(net::Protocol& of) {
  const SessionId id = ++last_id_;
  return *lines_.emplace(id, std::make_unique<Line>(*this, id, of)).first->second;
}

Line& FixWorld::connect() { return open(*protocol); }

exchange::FixSpec FixWorld::spec(const std::string& name, const std::string& firm, exchange::FixRole role) {
  exchange::FixSpec spec;
  spec.name = name;
  spec.comp_id = "HEPTANE";
  spec.firm = firm;
  spec.role = role;
  spec.user = firm;
  return spec;
}

void FixWorld::open_market() {
  rig.open_market();
  rig.fund("alpha", "0", "1000000.00");
  rig.fund("beta", "1000", "0");
  put(spec("ALPHA", "alpha"));
  put(spec("BETA", "beta"));
  put(spec("DROP", "alpha", exchange::FixRole::drop_copy));
  put(spec("MARKET", "alpha", exchange::FixRole::market_data));
}

std::vector<std::string>& FixWorld::said(const std::string& name) { return rig.told[session(name).view().number]; }

void FixWorld::run_some(size_t most) {
  for (; most > 0; --most) {
    let_ask();
    if (asked_.empty()) return;
    const Asked asked = std::move(asked_.front());
    asked_.pop_front();
    answer(asked);
  }
}

void FixWorld::let_ask() {
  rig.fire();
  for (auto& [id, line] : lines_) {
    line->fire_timers();
    line->work();
    line->settle();
  }
}

size_t FixWorld::reads_asked() const {
  return static_cast<size_t>(
      std::count_if(asked_.begin(), asked_.end(), [](const Asked& asked) { return asked.read.has_value(); }));
}

// Whatever became of who asked: a command that is on its way is applied.
void FixWorld::answer(const Asked& asked) {
  Line& line = *lines_.at(asked.line);
  if (asked.read) {
    if (!line.closed()) line.deliver(asked.request, records(*asked.read));
    return;
  }
  Reply reply;
  if (asked.query && asked.query->machine == machine_ids::kStreams)
    rig.streams.query({asked.query->type, asked.query->payload.view(), {}}, reply);
  else if (asked.query)
    rig.exchange.query({asked.query->type, asked.query->payload.view(), {}}, reply);
  else if (ends_refused > 0 && asked.submission->type == exchange::kFixEnd && ends_refused-- > 0)
    reply.error = Errc::overloaded;
  else if (no_room && !rig.exchange.relieves(asked.submission->type))
    reply.error = Errc::no_space;
  else
    reply = rig.ask_payload(asked.submission->type, asked.submission->payload);
  line.deliver(asked.request, reply);
}

net::RecordsRead FixWorld::records(const ReadRequest& read) {
  const auto& told = rig.told[rig.streams.view_of(read.partition).number];
  net::RecordsRead answer;
  answer.partition = read.partition;
  answer.offset = read.offset;
  answer.durable_end = static_cast<Offset>(told.size());
  if (unreadable.contains(read.offset)) answer.error = Errc::io;
  if (answer.error) return answer;
  constexpr size_t kRecords = 7;  // a few at a time, so that ends of batches come anywhere
  streams::RecordBatchBuilder batch;
  batch.begin(0);
  for (size_t n = 0; n < kRecords && static_cast<size_t>(read.offset) + n < told.size(); ++n)
    batch.add(0, false, {}, true, as_bytes(told[static_cast<size_t>(read.offset) + n]));
  if (batch.count() > 0) answer.batches.push_back(Buffer::copy_of(batch.finish(read.offset, 0, true)));
  return answer;
}

bool FixWorld::advance(int64_t until) {
  run();
  int64_t due = INT64_MAX;
  for (const auto& [id, line] : lines_) due = std::min(due, line->next_timer());
  LogTime of_machine = 0;
  if (rig.kernel.first_due(of_machine) != 0) due = std::min<int64_t>(due, of_machine);
  if (due > until) return false;
  rig.now = std::max<LogTime>(rig.now, due);
  run();
  return true;
}

void FixWorld::pass(int64_t ns) {
  const int64_t until = rig.now + ns;
  while (advance(until)) continue;
  rig.now = until;
  run();
}

void FixWorld::crash() {
  asked_.clear();
  for (auto& [id, line] : lines_) gone_.push_back(std::move(line));
  lines_.clear();
  for (auto& line : gone_) line->cut();
  asked_.clear();
  rig.restore();
  start();
  run();
}

}  // namespace heptane::fintech::fixgate::test
