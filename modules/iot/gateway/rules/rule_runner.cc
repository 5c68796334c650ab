#include "modules/iot/gateway/rules/rule_runner.h"

#include <algorithm>
#include <utility>

namespace heptane::iot::rules {

namespace {

constexpr int64_t kNsPerMs = 1'000'000;

// `closed`: the server stops, and the next one goes on.
bool comes_again(Errc error) { return error == Errc::overloaded || error == Errc::no_space || error == Errc::closed; }
bool is_elsewhere(Errc error) { return error == Errc::stale || error == Errc::not_found || error == Errc::refused; }

}  // namespace

bool RuleRunner::submit(RequestId request, MachineId machine, CommandType type, Buffer payload) {
  return context_->submit(request, streams::make_command(machine, type, std::move(payload)));
}

void RuleRunner::attach(net::SessionContext& context) {
  context_ = &context;
  send_wanted();
  look();
}

void RuleRunner::wake_within(int64_t delay_ns) {
  const int64_t at = context_->monotonic_ns() + delay_ns;
  if (timer_ != 0 && timer_ns_ <= at) return;
  if (timer_ != 0) context_->cancel(timer_);
  timer_ = context_->arm(delay_ns);
  timer_ns_ = at;
}

void RuleRunner::detach() {
  context_ = nullptr;
  rules_.clear();
  kept_.clear();
  asked_.clear();
  waiting_.clear();
  look_request_ = describe_request_ = wanted_request_ = 0;
  timer_ = 0;
  looking_ = look_again_ = false;
  looked_at_.clear();
  posting_.clear();
  jobs_ = 0;
  told_to_wait_.clear();
  waiting_count_.store(0, std::memory_order_relaxed);
}

// What the configuration wants.

void RuleRunner::want(std::vector<WantedRule> rules) {
  wanted_.clear();
  unmet_.clear();
  wanted_request_ = 0;
  for (WantedRule& wanted : rules) wanted_.push_back({std::move(wanted)});
  if (context_ != nullptr) send_wanted();
}

void RuleRunner::want_again() {
  for (WantedRule& wanted : std::exchange(unmet_, {})) wanted_.push_back({.wanted = std::move(wanted), .told = true});
  send_wanted();
}

// One after the other: a rule's stream is there before the rule.
void RuleRunner::send_wanted() {
  if (wanted_.empty() || wanted_request_ != 0) return;
  Declaration& first = wanted_.front();
  if (first.step == Step::ask && first.wanted.filter.empty()) first.step = Step::put;
  const RequestId request = next_request();
  if (send_step(request, first))
    wanted_request_ = request;
  else
    wake_within(kTickNs);
}

bool RuleRunner::send_step(RequestId request, const Declaration& first) {
  switch (first.step) {
    case Step::ask: return context_->query(request, {kBrokerMachineId, kQueryDeclared, {}, {}});
    case Step::stream: return context_->submit(request, first.change->todo());
    case Step::put: return submit(request, kRulesMachineId, kPutRule, encode_put(first.wanted.rule, true));
    case Step::undo: return context_->submit(request, first.change->undo());
  }
  return false;
}

void RuleRunner::next_step(const Reply& reply) {
  Declaration& first = wanted_.front();
  if (first.step == Step::put || first.step == Step::undo) return wanted_.pop_front();
  if (first.step == Step::stream) {
    first.step = Step::put;
    return;
  }
  const WantedRule& wanted = first.wanted;
  auto change = stream_change(wanted.rule.source, wanted.filter, reply.payload.view());
  if (!change) return wanted_.pop_front();
  first.change = std::move(*change);
  first.step = first.change ? Step::stream : Step::put;
}

// One that reads or appends to what somebody may make yet is not given up, and keeps its own stream.
void RuleRunner::refused(const Reply& reply) {
  Declaration& first = wanted_.front();
  if (first.step == Step::undo) return wanted_.pop_front();
  if (report_ && !first.told) report_("iot.rules: " + first.wanted.rule.name + ": " + reply.message);
  if (first.step == Step::put && *reply.error == Errc::not_found) {
    unmet_.push_back(std::move(first.wanted));
    if (next_look_ns_ == INT64_MAX && !looking_ && describe_request_ == 0) look_later(kLookNs);
    return wanted_.pop_front();
  }
  if (first.step != Step::put || !first.change) return wanted_.pop_front();
  first.step = Step::undo;
}

bool RuleRunner::take_wanted(RequestId request, const Reply& reply) {
  if (request != wanted_request_ || wanted_.empty()) return false;
  wanted_request_ = 0;
  if (!reply.ok() && comes_again(*reply.error)) return wake_within(kTickNs), true;
  if (reply.ok())
    next_step(reply);
  else
    refused(reply);
  send_wanted();
  return true;
}

// A lane's turn.

// What it asked for is not waited for any more.
void RuleRunner::stand_still(Lane& lane) {
  asked_.erase(lane.request);
  lane.request = 0;
  lane.job.reset();
  if (lane.subscription == 0) return;
  waiting_.erase(lane.subscription);
  context_->unsubscribe(lane.subscription);
  lane.subscription = 0;
}

void RuleRunner::forget_runs(Lane& lane) {
  for (const Run& run : lane.runs) asked_.erase(run.request);
  lane.runs.clear();
}

RuleRunner::Lane* RuleRunner::find(const LaneKey& key, Running** rule) {
  const auto running = rules_.find(key.rule);
  auto& rules = running != rules_.end() ? rules_ : kept_;
  const auto found = rules.find(key.rule);
  if (found == rules.end()) return nullptr;
  const auto lane = found->second.lanes.find(key.index);
  if (lane == found->second.lanes.end()) return nullptr;
  if (rule != nullptr) *rule = &found->second;
  return &lane->second;
}

void RuleRunner::later(Lane& lane, int64_t delay_ns) {
  lane.due_ns = context_->monotonic_ns() + delay_ns;
  wake_within(delay_ns);
}

// Each order has an entry to itself.
size_t RuleRunner::inputs_most(const Running& rule, const Lane& lane) {
  if (rule.definition.order) return kOrdersMax;
  return rule.definition.transfer || rule.definition.shadow || rule.lua ? kMovesMax : lane.inputs_cap;
}

RuleRunner::Lane RuleRunner::fresh_lane(const Running& rule) {
  Lane lane;
  lane.inputs_max = std::min(kMovesMax, inputs_most(rule, lane));
  return lane;
}

// What is not sure to be taken goes alone: nothing is made behind it that would have to be made again.
size_t RuleRunner::runs_max(const Running& rule, const Lane& lane) const {
  const bool careful = !lane.proven || lane.may_skip || !lane.fault.empty() ||
                       lane.inputs_max < std::min(kMovesMax, inputs_most(rule, lane));
  if (rule.lua || rule.definition.windowed() || careful) return 1;
  return std::clamp<size_t>(kRunsOfAll / std::max<size_t>(lanes_, 1), 1, kRunsMax);
}

void RuleRunner::go_on(const std::string& name, Running& rule, Lane& lane) {
  lane.due_ns = 0;
  if (!lane.runs.empty() && lane.runs.back().request == 0) return send_run(name, rule, lane);
  if (!lane.runs.empty() && lane.runs.size() >= runs_max(rule, lane)) {
    lane.state = State::committing;
    return;
  }
  if (!lane.ready.empty()) return take_ready(name, rule, lane);
  if (rule.definition.windowed() && !lane.windows) begin_windows(rule, lane);
  if (!lane.reading.read && !has_rows(lane, lane.at)) return read(name, lane);
  if (hand_over(name, rule, lane)) return;
  Evaluated run = begin_run(lane);
  run.clock = context_;
  run.until_ns = context_->monotonic_ns() + kTurnNs;
  evaluate(*rule.compiled, lane, run);
  take_evaluated(name, rule, lane, run);
}

void RuleRunner::take_ready(const std::string& name, Running& rule, Lane& lane) {
  Evaluated run = std::move(lane.ready.front());
  lane.ready.pop_front();
  take_evaluated(name, rule, lane, run);
}

// As many runs as may be under way, so that the worker need not wait for the loop between them. Windows stay where they are.
bool RuleRunner::hand_over(const std::string& name, const Running& rule, Lane& lane) {
  if (lane.windows || !lane.reading.read || jobs_ == kJobsMax) return false;
  size_t bytes = 0;
  const std::vector<Buffer>& batches = lane.reading.read->batches;
  for (size_t i = lane.reading.batch; i < batches.size(); ++i) bytes += batches[i].size();
  if (bytes <= kHereBytesMax) return false;
  auto job = std::make_shared<Job>();
  const RequestId request = next_request();
  job->rule = rule.compiled;
  job->runs_max = runs_max(rule, lane) - lane.runs.size();
  job->runs.push_back(begin_run(lane));
  job->lane.index = lane.index;
  job->lane.at = lane.at;
  job->lane.inputs_max = lane.inputs_max;
  job->lane.fault = lane.fault;
  job->lane.reading = std::exchange(lane.reading, {});
  if (!context_->work(request, [job] { work_off(*job); })) {
    lane.reading = std::move(job->lane.reading);
    return false;
  }
  lane.job = std::move(job);
  lane.state = State::working;
  lane.request = request;
  asked_.emplace(request, LaneKey{name, lane.index});
  ++jobs_;
  return true;
}

void RuleRunner::on_worked(RequestId request) {
  --jobs_;
  const auto asked = asked_.find(request);
  if (asked == asked_.end()) return;
  const LaneKey key = asked->second;
  asked_.erase(asked);
  Running* rule = nullptr;
  Lane* lane = find(key, &rule);
  if (lane == nullptr || lane->request != request) return;
  const std::shared_ptr<Job> job = std::exchange(lane->job, {});
  lane->reading = std::move(job->lane.reading);
  lane->ready = std::move(job->runs);
  lane->state = State::idle;
  take_ready(key.rule, *rule, *lane);
}

void RuleRunner::take_evaluated(const std::string& name, Running& rule, Lane& lane, Evaluated& run) {
  lane.at = run.upto;
  if (!run.over) lane.reading.clear();
  if (!run.calls.empty()) {
    lane.calls = std::move(run.calls);
    lane.calls_upto = run.upto;
    return ask_lua(name, rule, lane);
  }
  if (run.inputs > 0 || lane.at - lane.sent() >= kQuietMax) return commit(name, rule, lane, run);
  if (run.over) return later(lane, 0);
  read(name, lane);
}

void RuleRunner::read(const std::string& name, Lane& lane) {
  ReadRequest request;
  request.partition = lane.partition;
  request.offset = lane.at;
  request.max_bytes =
      std::clamp(static_cast<uint32_t>(kReadBytesOfAll / std::max<size_t>(lanes_, 1)), kReadBytesLeast, kReadBytes);
  const RequestId id = next_request();
  if (!context_->read(id, request)) return later(lane, kTickNs);
  lane.state = State::reading;
  lane.request = id;
  asked_.emplace(id, LaneKey{name, lane.index});
}

void RuleRunner::on_records(RequestId request, const net::RecordsRead& records) {
  const auto asked = asked_.find(request);
  if (asked == asked_.end()) return;
  const LaneKey key = asked->second;
  asked_.erase(asked);
  Running* rule = nullptr;
  Lane* lane = find(key, &rule);
  if (lane == nullptr || lane->request != request) return;
  lane->state = State::idle;
  take_read(key.rule, *rule, *lane, records);
}

void RuleRunner::take_read(const std::string& name, Running& rule, Lane& lane, const net::RecordsRead& records) {
  const bool trimmed = (!records.error || records.error == Errc::invalid_argument) && lane.at < records.log_start;
  if (trimmed) return met_gap(name, rule, lane, records.log_start);
  // It was deleted: the next look finds what is there now.
  if (records.error == Errc::not_found) {
    look_afresh(lane);
    lane.state = State::stopped;
    return;
  }
  if (records.error) return later(lane, kTickNs);
  if (records.batches.empty()) return caught_up(name, rule, lane);
  lane.reading = {records, 0, {}};
  go_on(name, rule, lane);
}

// Nothing of it was to be done where it had looked at it already.
void RuleRunner::met_gap(const std::string& name, Running& rule, Lane& lane, Offset log_start) {
  const bool again = lane.at < lane.next;  // for windows
  if (again || !lane.may_skip)
    return pause(name, rule,
                 "the records " + std::to_string(lane.at) + " to " + std::to_string(log_start - 1) + " of partition " +
                     std::to_string(lane.index) + " were gone by retention before " +
                     (again ? "their window was closed" : "the rule read them") + ": to resume it passes over them");
  lane.next = lane.at = log_start;
  read(name, lane);
}

void RuleRunner::caught_up(const std::string& name, const Running& rule, Lane& lane) {
  lane.subscription = context_->subscribe(lane.partition, lane.at);
  if (lane.subscription == 0) return later(lane, kTickNs);
  lane.state = State::waiting;
  waiting_.emplace(lane.subscription, LaneKey{name, lane.index});
  if (lane.at > lane.sent()) later(lane, kQuietNs);
  wait_for_clock(rule, lane);
}

// By the clock: what found no room, the position of one that did nothing for a while, or a window whose time is out.
void RuleRunner::tick(const std::string& name, Running& rule, Lane& lane) {
  if (lane.state == State::idle) return go_on(name, rule, lane);
  lane.due_ns = 0;
  if (lane.state == State::asking) return lane.asked ? look_at_lua(name, rule, lane) : ask_lua(name, rule, lane);
  if (lane.state != State::waiting) return;
  waiting_.erase(lane.subscription);
  context_->unsubscribe(lane.subscription);
  lane.subscription = 0;
  lane.state = State::idle;
  const bool closed = close_by_clock(rule, lane);
  if (!closed && lane.at == lane.sent()) return caught_up(name, rule, lane);
  Evaluated run = begin_run(lane);
  evaluate(*rule.compiled, lane, run);
  commit(name, rule, lane, run);
}

// Lua.

void RuleRunner::drop_calls(Running& rule, Lane& lane) {
  if (lane.asked) rule.lua->drop();
  lane.asked = false;
}

void RuleRunner::ask_lua(const std::string& name, Running& rule, Lane& lane) {
  lane.state = State::asking;
  if (rule.lua->busy()) return later(lane, kLuaLookNs);
  std::string frames;
  size_t count = 0;
  for (const LuaCall& call : lane.calls) {
    if (!call.fault.empty()) continue;
    call.append_to(frames);
    ++count;
  }
  if (count == 0) return take_answers(name, rule, lane, {});
  const Result<void> asked = rule.lua->ask(std::move(frames), count, context_->monotonic_ns());
  lane.asked = asked.ok();
  later(lane, asked ? kLuaLookNs : kTickNs);
}

void RuleRunner::look_at_lua(const std::string& name, Running& rule, Lane& lane) {
  const LuaFunction::State state = rule.lua->look(context_->monotonic_ns());
  if (state == LuaFunction::State::waiting) return later(lane, kLuaLookNs);
  lane.asked = false;
  if (!rule.lua->wrong().empty()) return pause(name, rule, "lua: " + rule.lua->wrong());
  if (state == LuaFunction::State::killed && ++rule.lua_kills >= kLuaKillsMax)
    return pause(name, rule,
                 "its Lua ended three times: it ran for more than a second, or its process could not go on");
  take_answers(name, rule, lane, rule.lua->take_answers());
}

// Up to the call that was killed, which begins the next run.
void RuleRunner::take_answers(const std::string& name, Running& rule, Lane& lane, const std::vector<Frame>& answers) {
  static const Frame kNone;
  Evaluated run;
  run.upto = lane.calls_upto;
  size_t next = 0;
  for (const LuaCall& call : std::exchange(lane.calls, {})) {
    const bool was_asked = call.fault.empty();
    if (was_asked && next == answers.size()) {
      run.upto = lane.at = lane.killed_at = call.offset;
      lane.reading.clear();
      break;
    }
    if (rule.compiled->append_input_of(call, was_asked ? answers[next++] : kNone, run.bytes)) ++run.inputs;
  }
  lane.state = State::idle;
  if (run.inputs > 0 || run.upto - lane.sent() >= kQuietMax) return commit(name, rule, lane, run);
  go_on(name, rule, lane);
}

void RuleRunner::on_advanced(net::SubscriptionId subscription, Offset) {
  const auto waiting = waiting_.find(subscription);
  if (waiting == waiting_.end()) return;
  const LaneKey key = waiting->second;
  waiting_.erase(waiting);
  Running* rule = nullptr;
  Lane* lane = find(key, &rule);
  if (lane == nullptr) return;
  lane->subscription = 0;
  lane->state = State::idle;
  go_on(key.rule, *rule, *lane);
}

void RuleRunner::commit(const std::string& name, Running& rule, Lane& lane, const Evaluated& run) {
  RuleCommit head;
  head.rule = name;
  head.version = rule.version;
  head.index = lane.index;
  head.partition = lane.partition;
  head.from = lane.sent();
  head.upto = run.upto;
  head.attempt = lane.attempt;
  Run made;
  made.upto = run.upto;
  made.inputs = run.inputs;
  if (lane.windows) {
    const WindowPlace before = lane.place.value_or(WindowPlace{});
    lane.step.from_closed_ms = before.closed_ms;
    lane.step.from_rows_done = before.rows_done;
    lane.step.place = lane.windows->place(run.upto);
    head.window = std::exchange(lane.step, {});
    made.place = head.window->place;
  }
  made.bytes = encode(head, run.bytes.view(), run.inputs);
  lane.runs.push_back(std::move(made));
  send_run(name, rule, lane);
}

// The last one.
void RuleRunner::send_run(const std::string& name, Running& rule, Lane& lane) {
  const RequestId request = next_request();
  Run& run = lane.runs.back();
  if (!submit(request, kRulesMachineId, kRuleCommit, run.bytes)) return later(lane, kTickNs);
  run.request = request;
  asked_.emplace(request, LaneKey{name, lane.index});
  if (lane.runs.size() >= runs_max(rule, lane))
    lane.state = State::committing;
  else if (!lane.ready.empty())
    take_ready(name, rule, lane);
  else
    later(lane, 0);
}

// From where the rule is.
void RuleRunner::look_afresh(Lane& lane) {
  stand_still(lane);
  forget_runs(lane);
  lane.at = lane.next;
  lane.reading.clear();
  lane.ready.clear();
  lane.windows.reset();
  lane.held.reset();
}

// What the machine did not take becomes less, and at last one input that is told and passed over. False: it is no less.
bool RuleRunner::shrink(Lane& lane, const Run& run) {
  const bool ended = run.error == Errc::internal;
  if (!ended && run.error != Errc::too_large && run.error != Errc::invalid_argument) return false;
  if (!lane.fault.empty()) return false;
  // The server ended while it was applied. Once that may have been anything; what ends it again and again is the input.
  const bool alone = lane.inputs_max == 1 || run.inputs == 1;
  lane.inputs_max = ended ? 1 : std::max<size_t>(1, std::min<size_t>(lane.inputs_max, run.inputs) / 2);
  if (run.error == Errc::too_large) lane.inputs_cap = std::max(lane.inputs_max, kMovesMax);
  if (ended) lane.careful_upto = std::max(lane.careful_upto, run.upto);
  const bool last = ended ? lane.attempt >= kAttemptsMax : alone;
  if (ended) ++lane.attempt;
  if (last)
    lane.fault = (ended ? "the server ended each time that the rule did this: " : "the server does not take it: ") +
                 run.why.substr(0, kFaultBytesMax / 2);
  return true;
}

void RuleRunner::took_run(Running& rule, Lane& lane, const Run& run, Offset position) {
  lane.next = position;
  if (run.place) lane.place = run.place;
  if (lane.killed_at >= 0 && lane.next > lane.killed_at) {
    lane.killed_at = -1;
    rule.lua_kills = 0;
  }
  lane.may_skip = false;
  lane.refusals = 0;
  if (run.inputs > 0) lane.attempt = 0;
  if (run.inputs > 0) lane.fault.clear();
  const size_t most = inputs_most(rule, lane);
  const size_t more = std::exchange(lane.proven, true) ? lane.inputs_max * 2 : lane.inputs_max;
  lane.inputs_max = lane.next < lane.careful_upto ? 1 : std::min(more, most);
}

// Answers come in the order of the runs. Behind one that is not taken none is.
void RuleRunner::take_commit(const LaneKey& key, Running& rule, Lane& lane, RequestId request, const Reply& reply) {
  const auto found =
      std::find_if(lane.runs.begin(), lane.runs.end(), [&](const Run& run) { return run.request == request; });
  if (found == lane.runs.end()) return;
  if (reply.ok()) {
    took_run(rule, lane, *found, reply.numbers[1]);
    lane.runs.erase(found);
    waits_no_more(key.rule);
  } else {
    found->answered = true;
    found->error = *reply.error;
    found->why = reply.message;
    stand_still(lane);
    lane.state = State::committing;
    lane.due_ns = 0;
    if (lane.runs.back().request == 0) lane.runs.pop_back();
  }
  const auto refused = std::count_if(lane.runs.begin(), lane.runs.end(), [](const Run& run) { return run.answered; });
  if (refused == 0 && (lane.state == State::committing || lane.state == State::idle)) {
    lane.state = State::idle;
    // Answers of several runs come at once: what each makes room for takes its turn.
    return lane.runs.empty() ? go_on(key.rule, rule, lane) : later(lane, 0);
  }
  if (refused > 0 && static_cast<size_t>(refused) == lane.runs.size()) not_taken(key.rule, rule, lane);
}

// All runs are answered, and the first one was not taken.
void RuleRunner::not_taken(const std::string& name, Running& rule, Lane& lane) {
  lane.state = State::idle;
  Run first = std::move(lane.runs.front());
  lane.runs.clear();
  if (comes_again(first.error)) {
    first.request = 0;
    first.answered = false;
    if (lane.at != first.upto) {
      lane.at = first.upto;
      lane.reading.clear();
      lane.ready.clear();
    }
    waits(name, lane, first.why);
    lane.runs.push_back(std::move(first));
    return later(lane, kTickNs);
  }
  look_afresh(lane);
  if (is_elsewhere(first.error)) {
    lane.state = State::stopped;
    return look();
  }
  if (shrink(lane, first)) return go_on(name, rule, lane);
  pause(name, rule, first.why);
}

// Nothing is lost meanwhile: the same run is sent until there is room.
void RuleRunner::waits(const std::string& name, Lane& lane, const std::string& why) {
  if (++lane.refusals != kRefusalsTold || !told_to_wait_.insert(name).second) return;
  waiting_count_.store(told_to_wait_.size(), std::memory_order_relaxed);
  if (report_) report_("rule " + name + " waits: " + why);
}

void RuleRunner::waits_no_more(const std::string& name) {
  if (told_to_wait_.erase(name) == 0) return;
  waiting_count_.store(told_to_wait_.size(), std::memory_order_relaxed);
  if (report_) report_("rule " + name + " goes on");
}

// Its lanes rest until somebody resumes it: a look finds it then.
void RuleRunner::pause(const std::string& name, Running& rule, const std::string& why) {
  for (auto& [index, lane] : rule.lanes) {
    lane.state = State::stopped;
    // A pause that is refused finds the rule where the log has it.
    drop_calls(rule, lane);
    lane.calls.clear();
    look_afresh(lane);
  }
  waits_no_more(name);
  if (report_) report_("rule " + name + " is paused: " + why);
  // Where the server has no room for it the next look finds the same again.
  submit(next_request(), kRulesMachineId, kPauseRule, encode_pause(name, rule.version, why));
}

void RuleRunner::on_reply(RequestId request, const Reply& reply) {
  log_ms_ = std::max(log_ms_, reply.time / kNsPerMs);
  if (take_wanted(request, reply)) return;
  if (request == look_request_) return take_rules(reply);
  if (request == describe_request_) return take_streams(reply);
  const auto asked = asked_.find(request);
  if (asked == asked_.end()) return;
  const LaneKey key = asked->second;
  asked_.erase(asked);
  Running* rule = nullptr;
  Lane* lane = find(key, &rule);
  if (lane != nullptr) take_commit(key, *rule, *lane, request, reply);
}

// In turn, as long as the loop may wait; then the next ones are due at once.
void RuleRunner::serve_due() {
  const int64_t now = context_->monotonic_ns();
  std::vector<LaneKey> due;
  for (const auto& [name, rule] : rules_)
    for (const auto& [index, lane] : rule.lanes)
      if (lane.due_ns != 0 && lane.due_ns <= now) due.push_back({name, index});
  std::rotate(due.begin(), std::upper_bound(due.begin(), due.end(), served_), due.end());
  for (const LaneKey& key : due) {
    Running* rule = nullptr;
    Lane* lane = find(key, &rule);
    if (lane == nullptr) continue;
    tick(key.rule, *rule, *lane);
    served_ = key;
    if (context_->monotonic_ns() - now >= kTurnNs) return;
  }
}

void RuleRunner::wake_for_lanes() {
  int64_t next = INT64_MAX;
  for (const auto& [name, rule] : rules_)
    for (const auto& [index, lane] : rule.lanes)
      if (lane.due_ns != 0) next = std::min(next, lane.due_ns);
  if (next != INT64_MAX) wake_within(std::max<int64_t>(0, next - context_->monotonic_ns()));
}

void RuleRunner::on_timer(net::SessionTimerId timer) {
  if (timer != timer_) return;
  timer_ = 0;
  send_wanted();
  serve_due();
  wake_for_lanes();
  const int64_t now = context_->monotonic_ns();
  if (now >= next_look_ns_) {
    want_again();
    return look();
  }
  if (next_look_ns_ != INT64_MAX) wake_within(next_look_ns_ - now);
}

namespace {

class RuleSession final : public net::Session {
 public:
  explicit RuleSession(RuleRunner& runner) : runner_(runner) {}
  void on_open(net::SessionContext& context) override { runner_.attach(context); }
  size_t on_bytes(Bytes input, net::SessionContext&) override { return input.size(); }
  void on_reply(RequestId request, const Reply& reply, net::SessionContext&) override {
    runner_.on_reply(request, reply);
  }
  void on_records(RequestId request, const net::RecordsRead& records, net::SessionContext&) override {
    runner_.on_records(request, records);
  }
  void on_worked(RequestId request, net::SessionContext&) override { runner_.on_worked(request); }
  void on_advanced(net::SubscriptionId subscription, Offset durable_end, net::SessionContext&) override {
    runner_.on_advanced(subscription, durable_end);
  }
  void on_timer(net::SessionTimerId timer, net::SessionContext&) override { runner_.on_timer(timer); }
  void on_close(net::CloseReason) override { runner_.detach(); }

 private:
  RuleRunner& runner_;
};

}  // namespace

std::unique_ptr<net::Session> RuleProtocol::open(const net::Address&) { return std::make_unique<RuleSession>(runner_); }

}  // namespace heptane::iot::rules
