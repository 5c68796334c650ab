// What a run is made of: records that were read, and rows of windows (rule_runner.h). A worker does it, or the loop.
#include <algorithm>
#include <utility>

#include "modules/iot/gateway/rules/rule_runner.h"

namespace heptane::iot::rules {

namespace {

constexpr int64_t kNsPerMs = 1'000'000;

}  // namespace

// Windows.

// From where they were, what is open is read again.
void RuleRunner::begin_windows(const Running& rule, Lane& lane) {
  WindowPlace begin;
  begin.restart_at = lane.next;
  const WindowPlace place = lane.place.value_or(begin);
  lane.windows.emplace(rule.compiled->windows_at(place));
  lane.rebuilt_upto = lane.next;
  lane.at = place.restart_at;
  lane.step = {};
}

bool RuleRunner::has_rows(const Lane& lane, Offset at) {
  return lane.windows && at >= lane.rebuilt_upto && lane.windows->is_due();
}

// As many as the run has room for.
void RuleRunner::take_rows(const CompiledRule& rule, Lane& lane, Evaluated& run) {
  while (has_rows(lane, run.upto)) {
    run.over = is_over(lane, run);
    if (run.over) return;
    ++run.looked_at;
    const auto row = lane.windows->take_row();
    if (!row) continue;
    ++lane.step.rows;
    if (rule.append_input_of(*row, lane.fault, run.bytes)) ++run.inputs;
  }
}

// One before which rows are due is held until they are out.
void RuleRunner::offer(const CompiledRule& rule, Lane& lane, const streams::RecordView& record, Evaluated& run) {
  using Offered = CompiledRule::Offered;
  if (record.offset < lane.rebuilt_upto) {
    rule.rebuild(record, *lane.windows);
    run.upto = record.offset + 1;
    return;
  }
  run.upto = record.offset;
  ByteWriter refused;
  const Offered offered = rule.offer(record, run.latest_ms, *lane.windows, lane.fault.empty() ? run.bytes : refused);
  if (offered == Offered::not_yet) {
    lane.held = record;
    return;
  }
  lane.held.reset();
  run.upto = record.offset + 1;
  if (offered == Offered::late || offered == Offered::late_and_told) ++lane.step.late;
  if (offered != Offered::told && offered != Offered::late_and_told) return;
  if (!lane.fault.empty()) append_fault(lane, record, run.bytes);
  ++run.inputs;
}

// The lane has read all that there is.
void RuleRunner::wait_for_clock(const Running& rule, Lane& lane) {
  const WindowSpec* window = rule.compiled->window();
  const auto end_ms = lane.windows ? lane.windows->first_end_ms() : std::nullopt;
  if (window == nullptr || !window->timeout_ms || !end_ms) return;
  const int64_t left_ms = *end_ms + *window->timeout_ms - context_->utc_ns() / kNsPerMs;
  const int64_t delay_ns = std::clamp<int64_t>(left_ms, 0, kClockMsMax) * kNsPerMs;
  const int64_t due_ns = context_->monotonic_ns() + delay_ns;
  if (lane.due_ns == 0 || due_ns < lane.due_ns) later(lane, delay_ns);
}

// Whether there is a row to be taken now.
bool RuleRunner::close_by_clock(const Running& rule, Lane& lane) const {
  const WindowSpec* window = rule.compiled->window();
  const auto end_ms = lane.windows ? lane.windows->first_end_ms() : std::nullopt;
  const int64_t now_ms = context_->utc_ns() / kNsPerMs;
  if (window == nullptr || !window->timeout_ms || !end_ms || *end_ms + *window->timeout_ms > now_ms) return false;
  lane.windows->raise(now_ms - *window->timeout_ms);
  lane.step.clock_ms = now_ms;
  return true;
}

// A run.

RuleRunner::Evaluated RuleRunner::begin_run(const Lane& lane) const {
  Evaluated run;
  run.upto = lane.at;
  // The log's time, which records have, never goes back, and the server's clock may.
  run.latest_ms = std::max(context_->utc_ns() / kNsPerMs, log_ms_) + kAheadMsMax;
  return run;
}

void RuleRunner::evaluate(const CompiledRule& rule, Lane& lane, Evaluated& run) {
  take_rows(rule, lane, run);
  Reading& reading = lane.reading;
  if (run.over || !reading.read) return;
  for (; reading.batch < reading.read->batches.size(); ++reading.batch) {
    if (!reading.walk) reading.walk.emplace(reading.read->batches[reading.batch], run.upto);
    walk_on(rule, lane, run);
    if (run.over) return;
    reading.walk.reset();
  }
}

// A run that nothing is in yet goes on for another turn.
void RuleRunner::work_off(Job& job) {
  for (size_t turn = 0; turn < job.runs_max; ++turn) {
    Evaluated& run = job.runs.back();
    evaluate(*job.rule, job.lane, run);
    if (!run.over || turn + 1 == job.runs_max) return;
    if (run.inputs == 0) {
      run.looked_at = 0;
      run.over = false;
      continue;
    }
    Evaluated next;
    next.upto = run.upto;
    next.latest_ms = run.latest_ms;
    next.work = std::move(run.work);
    job.runs.push_back(std::move(next));
  }
}

// To the end of the batch, or of the run or turn.
void RuleRunner::walk_on(const CompiledRule& rule, Lane& lane, Evaluated& run) {
  BatchWalk& walk = *lane.reading.walk;
  while (run.upto < walk.upto()) {
    take_rows(rule, lane, run);
    run.over = run.over || is_over(lane, run);
    if (run.over) return;
    ++run.looked_at;
    if (!walk.fault().empty()) return pass_over(lane, run);
    streams::RecordView record;
    if (lane.held)
      record = *lane.held;
    else if (!walk.next(record))
      return;
    if (record.offset >= run.upto) take_record(rule, lane, record, run);
  }
}

bool RuleRunner::is_over(const Lane& lane, const Evaluated& run) {
  const bool full = run.inputs >= lane.inputs_max || run.bytes.size() + run.call_bytes >= kCommitBytesMax;
  if (full || run.looked_at >= kTurnRecords) return true;
  const bool looks = run.clock != nullptr && run.looked_at > 0 && run.looked_at % kClockRecords == 0;
  return looks && run.clock->monotonic_ns() >= run.until_ns;
}

void RuleRunner::take_record(const CompiledRule& rule, Lane& lane, const streams::RecordView& record, Evaluated& run) {
  if (lane.windows) return offer(rule, lane, record, run);
  run.upto = record.offset + 1;
  if (rule.has_lua()) return add_call(rule, lane, record, run);
  ByteWriter refused;
  if (!rule.append_input_of(record, lane.index, run.work, lane.fault.empty() ? run.bytes : refused)) return;
  if (!lane.fault.empty()) append_fault(lane, record, run.bytes);
  ++run.inputs;
}

void RuleRunner::add_call(const CompiledRule& rule, const Lane& lane, const streams::RecordView& record,
                          Evaluated& run) {
  auto call = rule.lua_call_of(record, lane.index);
  if (!call) return;
  if (!lane.fault.empty()) {
    call->fault = lane.fault;
    call->payload.clear();
  }
  run.call_bytes += call->row.size() + call->payload.size();
  run.calls.push_back(std::move(*call));
  ++run.inputs;
}

void RuleRunner::append_fault(const Lane& lane, const streams::RecordView& record, ByteWriter& out) {
  RuleInput input;
  input.offset = record.offset;
  input.topic = as_text(record.key).substr(0, kInputTopicMax);
  input.fault = lane.fault;
  append_input(out, input);
}

// A batch that cannot be read is one dead letter, and the rest goes on.
void RuleRunner::pass_over(const Lane& lane, Evaluated& run) {
  const BatchWalk& walk = *lane.reading.walk;
  if (lane.windows && walk.upto() <= lane.rebuilt_upto) {
    run.upto = walk.upto();
    return;
  }
  RuleInput input;
  input.offset = std::max(run.upto, walk.first());
  const std::string fault = walk.fault().substr(0, kFaultBytesMax);
  input.fault = fault;
  append_input(run.bytes, input);
  ++run.inputs;
  run.upto = walk.upto();
}

}  // namespace heptane::iot::rules
