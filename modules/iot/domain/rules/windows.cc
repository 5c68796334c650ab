#include "modules/iot/domain/rules/windows.h"

#include <algorithm>
#include <utility>

#include "kernel/base/assert.h"
#include "modules/iot/domain/rules/hops.h"

namespace heptane::iot::rules {

namespace {

Error wrong(std::string why) { return {Errc::invalid_argument, std::move(why)}; }

int64_t floored(int64_t number, int64_t unit) {
  const int64_t rest = number % unit;
  return number - (rest < 0 ? rest + unit : rest);
}

Row row_of(std::vector<Value> values) {
  Row row;
  row.reserve(values.size());
  for (Value& value : values) row.emplace_back(std::string(), std::move(value));
  return row;
}

bool adds_up(AggregateKind kind) { return kind == AggregateKind::sum || kind == AggregateKind::mean; }
bool holds_texts(AggregateKind kind) { return kind == AggregateKind::first || kind == AggregateKind::last; }

// Of an aggregate's argument, whatever stands there already.
std::string wrong_value(AggregateKind kind, const Value& value) {
  if (value.is_null() || kind == AggregateKind::records || kind == AggregateKind::count) return {};
  if (!holds_texts(kind))
    return value.is(ValueKind::number) ? "" : std::string(kind_name(value.kind)) + " is no number to reckon with";
  if (value.is(ValueKind::json)) return "first and last take no array or object: json_encode() makes a text of it";
  return value.text.size() <= kHeldTextBytesMax ? "" : "first and last take texts of at most 4 KiB";
}

}  // namespace

Windows::Windows(std::shared_ptr<const Select> query, const WindowPlace& place)
    : query_(std::move(query)),
      window_bytes_max_(kRuleBytesMax / said().spec.open_max()),
      watermark_ms_(place.watermark_ms),
      closed_ms_(place.closed_ms),
      rows_done_(0),
      to_skip_(place.rows_done) {}

// In time order of the record where the query does not say another one.
Result<int64_t> Windows::event_ms(const Message& message) const {
  int64_t ms = message.timestamp_ms;
  if (said().event_time) {
    const Result<Value> value = said().event_time->evaluate(message, {});
    if (!value) return value.error();
    if (value->is_null()) return wrong("TIMESTAMP BY is NULL: a field that it names is missing");
    const auto number = value->is(ValueKind::number) ? whole(value->number) : std::nullopt;
    if (!number || *number < 0 || *number > kEventMsMax)
      return wrong("TIMESTAMP BY is no whole number of milliseconds from 0 to the year 9999");
    ms = static_cast<int64_t>(*number);
    if (ms - kAheadMsMax > message.timestamp_ms)
      return wrong("TIMESTAMP BY is more than a minute ahead of the record's own time");
  }
  if (ms < 0 || ms > kEventMsMax) return wrong("the record's time is out of range");
  return ms;
}

Result<void> Windows::group_by(const Message& message, Share& share) const {
  share.group = "[";
  for (const Expression& one : said().groups) {
    Result<Value> value = one.evaluate(message, {});
    if (!value) return value.error();
    if (value->is(ValueKind::json)) return wrong("GROUP BY takes no array or object");
    if (share.group.size() > 1) share.group += ',';
    write_value(share.group, *value);
    if (share.group.size() >= kGroupKeyBytesMax) return wrong("what is grouped by has at most 384 bytes");
    share.by.push_back(std::move(*value));
  }
  share.group += ']';
  return {};
}

Result<void> Windows::work_out(const Message& message, Share& share) const {
  for (const Aggregate& aggregate : said().aggregates) {
    Result<Value> value = Value{};
    if (aggregate.of) value = aggregate.of->evaluate(message, {});
    if (!value) return value.error();
    if (std::string why = wrong_value(aggregate.kind, *value); !why.empty()) return wrong(std::move(why));
    // Of what is only counted no more is kept than that it is there.
    if (aggregate.kind == AggregateKind::count && !value->is_null()) *value = Value::of(true);
    share.values.push_back(std::move(*value));
  }
  return {};
}

// nullopt: the condition is not so.
Result<std::optional<Windows::Share>> Windows::share_of(const Message& message) const {
  const Result<bool> wanted = query_->takes(message);
  if (!wanted) return wanted.error();
  if (!*wanted) return std::optional<Share>();
  if (message.hops > kHopsMax) return wrong(kTooManyHops);
  const Result<int64_t> ms = event_ms(message);
  if (!ms) return ms.error();
  Share share;
  share.event_ms = *ms;
  share.start_ms = floored(*ms, said().spec.size_ms);
  share.offset = message.offset;
  share.hops = message.hops;
  HEPTANE_TRY(group_by(message, share));
  HEPTANE_TRY(work_out(message, share));
  return std::optional(std::move(share));
}

// What it was found wrong with, or had no room for, is so again: a window's room is its own. What was taken has raised the watermark:
// what is ahead of that was too late a time then.
void Windows::rebuild(const Message& message) {
  const Result<std::optional<Share>> share = share_of(message);
  if (!share || !*share || end_of((*share)->start_ms) <= closed_ms_) return;
  if ((*share)->event_ms - said().spec.grace_ms > watermark_ms_) return;
  const Result<void> added = add(**share);
  (void)added.ok();
}

Result<Windows::Taken> Windows::offer(const Message& message, int64_t latest_ms) {
  const Result<std::optional<Share>> share = share_of(message);
  if (!share) return share.error();
  if (!*share) return Taken::unwanted;
  if (std::max((*share)->event_ms, message.timestamp_ms) > latest_ms)
    return wrong("its time is more than a minute ahead of the server's clock");
  const WindowSpec& spec = said().spec;
  raise((*share)->event_ms - spec.grace_ms);
  if (spec.timeout_ms) raise(message.timestamp_ms - *spec.timeout_ms);
  if (is_due()) return Taken::not_yet;
  if (end_of((*share)->start_ms) <= watermark_ms_) return Taken::late;
  HEPTANE_TRY(add(**share));
  return Taken::kept;
}

bool Windows::pass(int64_t timestamp_ms, int64_t latest_ms) {
  if (!said().spec.timeout_ms || timestamp_ms > latest_ms) return true;
  raise(timestamp_ms - *said().spec.timeout_ms);
  return !is_due();
}

void Windows::raise(int64_t watermark_ms) {
  // The window that rows were taken of is not there any more: the rule was changed.
  if (!is_due()) to_skip_ = 0;
  watermark_ms_ = std::max(watermark_ms_, watermark_ms);
  settle();
}

// Nothing is left to take: all that is closed is out.
void Windows::settle() {
  if (!is_due()) closed_ms_ = std::max(closed_ms_, watermark_ms_);
}

bool Windows::is_due() const { return !windows_.empty() && end_of(windows_.begin()->first) <= watermark_ms_; }

std::optional<int64_t> Windows::first_end_ms() const {
  return windows_.empty() ? std::nullopt : std::optional(end_of(windows_.begin()->first));
}

WindowPlace Windows::place(int64_t next) const {
  WindowPlace place{next, watermark_ms_, closed_ms_, rows_done_ + to_skip_};
  for (const auto& [start, window] : windows_) place.restart_at = std::min(place.restart_at, window.first_offset);
  return place;
}

// What is kept of a record.

namespace {

constexpr int64_t kGroupBytes = 256;  // of a group in memory, beside its texts and states
constexpr int64_t kStateBytes = 128;

int64_t size_of(const std::string& text) { return static_cast<int64_t>(text.size()); }

// Whether the value stands in the place of the one that is held.
bool replaces(AggregateKind kind, const Value& held, int64_t at_ms, const Value& value, int64_t ms) {
  if (kind == AggregateKind::least) return compare(value.number, held.number) < 0;
  if (kind == AggregateKind::most) return compare(value.number, held.number) > 0;
  if (kind == AggregateKind::first) return ms < at_ms;
  return kind == AggregateKind::last && ms >= at_ms;
}

}  // namespace

// The value's place among those that the state has.
bool Windows::takes_place(size_t aggregate, const State* state, const Share& share) const {
  const Value& value = share.values[aggregate];
  if (value.is_null()) return false;
  if (state == nullptr || state->count == 0) return true;
  return replaces(said().aggregates[aggregate].kind, state->value, state->at_ms, value, share.event_ms);
}

Result<int64_t> Windows::room_for(const Share& share, const Window& window, const Group* group) const {
  if (group == nullptr && window.groups.size() == kGroupsMax) return wrong("the window has 4,096 groups, and no more");
  const auto states = static_cast<int64_t>(share.values.size());
  int64_t more = 0;
  if (group == nullptr)
    more = kGroupBytes + 2 * size_of(share.group) + states * kStateBytes +
           static_cast<int64_t>(share.by.size() * sizeof(Value));
  for (size_t i = 0; i < share.values.size(); ++i) {
    const Value& value = share.values[i];
    const State* state = group == nullptr ? nullptr : &group->states[i];
    if (takes_place(i, state, share)) more += size_of(value.text) - (state == nullptr ? 0 : size_of(state->value.text));
    const bool adds = adds_up(said().aggregates[i].kind) && !value.is_null() && state != nullptr && state->count > 0;
    if (adds && !rules::add(state->value.number, value.number))
      return wrong("a sum has more than 36 digits, or 18 behind the point: round() what goes in");
  }
  if (window.bytes + more <= window_bytes_max_) return more;
  return wrong("the window has no room for more: it may have " + std::to_string(window_bytes_max_ >> 10) + " KiB");
}

void Windows::add_to(State& state, size_t aggregate, const Share& share) const {
  const Value& value = share.values[aggregate];
  if (value.is_null()) return;
  const bool adds = adds_up(said().aggregates[aggregate].kind) && state.count > 0;
  if (adds) {
    const auto sum = rules::add(state.value.number, value.number);
    HEPTANE_ASSERT(sum.has_value(), "there was room for it");
    state.value.number = *sum;
  } else if (takes_place(aggregate, &state, share)) {
    state.value = Value(value);  // without the room that a longer text left
    state.at_ms = share.event_ms;
  }
  ++state.count;
}

Result<void> Windows::add(const Share& share) {
  const auto there = windows_.find(share.start_ms);
  if (there == windows_.end() && static_cast<int64_t>(windows_.size()) >= said().spec.open_max())
    return wrong("as many windows are open as may be");
  const auto [at, is_new] = windows_.try_emplace(share.start_ms);
  Window& window = at->second;
  if (is_new) window.first_offset = share.offset;
  const auto found = window.groups.find(share.group);
  const Result<int64_t> more = room_for(share, window, found == window.groups.end() ? nullptr : &found->second);
  if (!more) {
    if (is_new) windows_.erase(at);
    return more.error();
  }
  window.bytes += *more;
  Group& group = found == window.groups.end() ? window.groups[share.group] : found->second;
  if (group.records == 0) {
    group.by = share.by;
    group.states.resize(share.values.size());
    group.first_offset = share.offset;
  }
  ++group.records;
  group.last_offset = share.offset;
  group.hops = std::max(group.hops, share.hops);
  for (size_t i = 0; i < share.values.size(); ++i) add_to(group.states[i], i, share);
  return {};
}

// What windows make.

namespace {

// Of counts; else of the value that the state holds. Error: the mean cannot be held.
Result<Value> worth(AggregateKind kind, uint64_t count, const Value& held) {
  if (kind == AggregateKind::count) return Value::of(Decimal::of(static_cast<int64_t>(count)));
  if (kind != AggregateKind::mean || count == 0) return held;
  const auto mean = divide(held.number, Decimal::of(static_cast<int64_t>(count)));
  if (!mean) return wrong("a mean has more than 36 digits, or 18 before the point: round() what goes in");
  return Value::of(*mean);
}

}  // namespace

std::optional<Windows::ClosedRow> Windows::take_row() {
  if (!is_due()) return std::nullopt;
  const int64_t start_ms = windows_.begin()->first;
  auto& groups = windows_.begin()->second.groups;
  for (; to_skip_ > 0 && !groups.empty(); --to_skip_, ++rows_done_) groups.erase(groups.begin());
  std::optional<ClosedRow> taken;
  if (!groups.empty()) {
    const auto node = groups.extract(groups.begin());
    const Group& group = node.mapped();
    taken = {start_ms, end_of(start_ms), node.key(), group.records, group.first_offset, group.last_offset, group.hops};
    Result<Row> row = worked_out(group, start_ms);
    taken->row = row ? query_->finish(*row) : Result<std::optional<Row>>(row.error());
    ++rows_done_;
  }
  if (groups.empty()) end_window();
  return taken;
}

void Windows::end_window() {
  closed_ms_ = end_of(windows_.begin()->first);
  windows_.erase(windows_.begin());
  rows_done_ = to_skip_ = 0;
  settle();
}

// In the order that the query's columns mean: groups, aggregates, the window's begin and end.
Result<Row> Windows::worked_out(const Group& group, int64_t start_ms) const {
  std::vector<Value> values = group.by;
  for (size_t i = 0; i < group.states.size(); ++i) {
    const AggregateKind kind = said().aggregates[i].kind;
    const uint64_t count = kind == AggregateKind::records ? group.records : group.states[i].count;
    Result<Value> value =
        worth(kind == AggregateKind::records ? AggregateKind::count : kind, count, group.states[i].value);
    if (!value) return value.error();
    values.push_back(std::move(*value));
  }
  values.push_back(Value::of(Decimal::of(start_ms)));
  values.push_back(Value::of(Decimal::of(end_of(start_ms))));
  return row_of(std::move(values));
}

}  // namespace heptane::iot::rules
