#include "modules/iot/machine/rules/rules_machine.h"

#include <algorithm>
#include <utility>

#include "kernel/base/assert.h"
#include "kernel/shard/audit_port.h"
#include "kernel/streams/streams_machine.h"
#include "modules/fintech/domain/exchange/port.h"
#include "modules/fintech/domain/ledger/port.h"
#include "modules/iot/machine/devices/shadow_api.h"
#include "modules/iot/machine/rules/outbox_api.h"
#include "modules/iot/machine/series/series_api.h"
#include "modules/iot/machine/texts.h"

namespace heptane::iot::rules {

namespace {

constexpr size_t kRuleBytes = 512;                       // of a row in memory beside its texts
constexpr size_t kCursorBytes = 64;                      // likewise of a cursor
constexpr std::string_view kLedgerStreams = "fintech.";  // and the exchange's
constexpr size_t kPageBytesMax = size_t{256} << 10;
constexpr size_t kRowBytesMax = size_t{64} << 10;

void audit(const Command& command, std::string_view action, std::string_view on, std::string_view detail,
           Effects& effects) {
  auto* trail = dynamic_cast<AuditPort*>(&effects.enlist(machine_ids::kAuth));
  HEPTANE_ASSERT(trail != nullptr, "the machine of users keeps the audit trail");
  trail->audit_done(command, action, on, detail, effects);
}

// A rule that reads from now on begins behind what this command leaves, else with what is kept. Partitions that come later it
// reads from their beginning.
std::map<uint32_t, RuleCursor> begin_of(const streams::StreamsMachine& streams, const RuleDefinition& rule,
                                        const Effects& effects) {
  std::map<uint32_t, RuleCursor> cursors;
  for (uint32_t index = 0; index < kSourcePartitionsMax; ++index) {
    const auto partition = streams.find_partition(rule.source, index);
    if (!partition) break;
    const Offset next = rule.earliest ? streams.log_start(*partition) : effects.next_offset(*partition);
    cursors.emplace(index, RuleCursor{*partition, next, false});
  }
  return cursors;
}

// Where the rule's records are gone it is let past them; where they are there it reads them.
void let_past_gaps(RuleRow& row, const streams::StreamsMachine& streams) {
  for (uint32_t index = 0; index < kSourcePartitionsMax; ++index) {
    const auto partition = streams.find_partition(row.definition.source, index);
    if (!partition) break;
    RuleCursor& cursor = row.cursors[index];
    if (cursor.partition != *partition) cursor = {*partition, 0, false};
    const Offset log_start = streams.log_start(*partition);
    cursor.may_skip = log_start > cursor.next;
    if (!cursor.window) continue;
    const Offset restart_at = std::clamp(log_start, cursor.window->restart_at, cursor.next);
    row.counters.lost += static_cast<uint64_t>(restart_at - cursor.window->restart_at);
    // Which of the first window's rows are out is not known of what is left of it: none comes again.
    if (restart_at != cursor.window->restart_at && std::exchange(cursor.window->rows_done, 0) != 0)
      cursor.window->closed_ms = cursor.window->watermark_ms;
    cursor.window->restart_at = restart_at;
  }
}

// Of another SQL the open windows are made again of the records that they began with; rows that are out may be others now. Where it
// has other windows they begin with what comes: what was open is lost, and no window that is out comes again.
void begin_windows_anew(RuleRow& row, const RuleDefinition& rule) {
  for (auto& [index, cursor] : row.cursors) {
    if (!cursor.window) continue;
    WindowPlace& place = *cursor.window;
    place.rows_done = 0;
    if (rule.windows == row.definition.windows) continue;
    row.counters.lost += static_cast<uint64_t>(cursor.next - place.restart_at);
    place.restart_at = cursor.next;
    place.closed_ms = place.watermark_ms;
    if (!rule.windowed()) cursor.window.reset();
  }
}

// Why records cannot be appended to it; empty: they can.
std::string wrong_target(const streams::StreamsMachine& streams, const std::string& name) {
  const auto partition = streams.find_partition(name, 0);
  if (!partition) return "there is no stream " + name + " to append to: create it first";
  return streams.view_of(*partition).is_view() ? "the stream " + name + " is a view: nobody appends to it" : "";
}

// What one makes is what the other reads.
bool feeds(const RuleDefinition& one, const RuleDefinition& other) {
  const bool by_ledger = (one.transfer || one.order) && other.source.starts_with(kLedgerStreams);
  const bool by_shadow = one.shadow && other.source == devices::kShadowsStream;
  const bool by_series = one.series && other.source == series::kLinesStream;
  const bool by_http = one.http && other.source == kOutboxStream;  // a client's, declared by logic 1
  return by_ledger || by_shadow || by_series || by_http || (one.append && one.append->stream == other.source);
}

size_t bytes_of(const RuleRow& row) {
  ByteWriter out;
  append_row(out, row);
  return kRuleBytes + out.size() + row.cursors.size() * kCursorBytes;
}

}  // namespace

void RulesMachine::apply(const Command& command, Effects& effects) {
  if (scopes_ > 0) return effects.refuse(Errc::unsupported, 0, "what is done to rules is a command of its own");
  switch (command.type) {
    case kPutRule: apply_put(command, effects); break;
    case kDropRule: apply_drop(command, effects); break;
    case kPauseRule: apply_pause(command, effects); break;
    case kResumeRule: apply_resume(command, effects); break;
    case kRuleCommit: return apply_commit(command, effects);
    case kOutboxCommit: return apply_outbox(command, effects);
    default: effects.refuse(Errc::unsupported, 0, "the machine of rules has no such command");
  }
  recount();
}

// A rule that every rule feeds into is one further than the furthest of those; in a circle there is no end of it.
std::string RulesMachine::wrong_chain(const RuleDefinition& rule) const {
  std::vector<const RuleDefinition*> all = {&rule};
  for (const auto& [name, row] : rules_)
    if (name != rule.name) all.push_back(&row.definition);
  std::vector<std::pair<size_t, size_t>> links;
  for (size_t from = 0; from < all.size(); ++from)
    for (size_t to = 0; to < all.size(); ++to)
      if (feeds(*all[from], *all[to])) links.emplace_back(from, to);
  std::vector<size_t> depth(all.size(), 1);
  for (size_t round = 0; round < kChainMax; ++round)
    for (const auto& [from, to] : links) depth[to] = std::max(depth[to], depth[from] + 1);
  if (*std::max_element(depth.begin(), depth.end()) <= kChainMax) return {};
  return "the rule would close a circle, or be in a chain of more than 8: what rules append, the ledger's streams "
         "where they make transfers or enter orders, iot.shadows where they update shadows, and iot.lines where they "
         "write points, others read";
}

std::string RulesMachine::wrong_for_logic(const RuleDefinition& rule, uint32_t version) {
  const bool later = rule.shadow || rule.http || rule.series;
  if (rule.order && version < kLogicOrders) return "order needs the rules' logic 5: heptane upgrade activate rules";
  if ((rule.windowed() || !rule.lua.empty()) && version < kLogicWindows)
    return "windows and lua need the rules' logic 3: heptane upgrade activate";
  if (version < kLogicActions)
    return later ? "shadow, http and series need the rules' logic 2: heptane upgrade activate" : "";
  return rule.source == kOutboxStream ? "what rules tell, and what becomes of it, is no rule's input" : "";
}

void RulesMachine::apply_put(const Command& command, Effects& effects) {
  ByteReader in(command.payload);
  const RuleDefinition rule = read_definition(in);
  const bool may_change = in.remaining() == 0;
  if (!may_change && in.u8() != 1) in.fail();
  if (!in.complete()) return effects.refuse(Errc::invalid_argument, 0, "the command is no rule");
  std::string wrong = wrong_definition(rule);
  if (wrong.empty()) wrong = wrong_for_logic(rule, effects.version());
  if (!wrong.empty()) return effects.refuse(Errc::invalid_argument, 0, std::move(wrong));
  const auto there = rules_.find(rule.name);
  const bool is_new = there == rules_.end();
  if (!is_new && there->second.definition == rule)
    return effects.unchanged(static_cast<int64_t>(there->second.version), 2);
  if (!is_new && !may_change)
    return effects.refuse(Errc::unauthorised, 0, "to change the rule " + rule.name + " is another right");
  if (is_new && rules_.size() >= kRulesMax) return effects.refuse(Errc::refused, 0, "there are 64 rules, and no more");
  const auto& streams = effects.port<streams::StreamsMachine>(machine_ids::kStreams);
  if (!streams.find_partition(rule.source, 0))
    return effects.refuse(Errc::not_found, 0, "there is no stream " + rule.source + " to read: declare it first");
  if (rule.windowed() && streams.find_partition(rule.source, 1))
    return effects.refuse(Errc::refused, 0,
                          "a rule over windows reads a stream of one partition: " + rule.source + " has more");
  wrong = rule.append ? wrong_target(streams, rule.append->stream) : std::string();
  if (!wrong.empty()) return effects.refuse(Errc::not_found, 0, std::move(wrong));
  wrong = wrong_chain(rule);
  if (!wrong.empty()) return effects.refuse(Errc::refused, 0, std::move(wrong));

  std::optional<PartitionId> outbox;
  if (rule.http) outbox = outbox_view(command, effects);
  if (rule.http && !outbox) return effects.refuse(Errc::exists, 0, kOutboxTaken);

  RuleRow& row = rules_[rule.name];
  // What a rule that does not post any more has not sent is not sent.
  if (!outbox) row.outbox.reset();
  if (outbox && !row.outbox) row.outbox = effects.next_offset(*outbox);
  if (is_new || row.definition.source != rule.source) {
    row.cursors = begin_of(streams, rule, effects);
    row.counters.lost = 0;
  } else if (row.definition.sql != rule.sql) {
    begin_windows_anew(row, rule);
  }
  row.version = command.sequence;
  if (is_new) row.created = command.time;
  row.updated = command.time;
  row.definition = rule;
  audit(command, "rules.put", rule.name, "version " + std::to_string(row.version), effects);
  effects.reply(static_cast<int64_t>(row.version), is_new ? 1 : 2);
}

void RulesMachine::apply_drop(const Command& command, Effects& effects) {
  const std::string_view name = as_text(command.payload);
  const auto found = rules_.find(name);
  if (found == rules_.end()) return effects.refuse(Errc::not_found, 0, "there is no such rule");
  audit(command, "rules.drop", name, "", effects);
  rules_.erase(found);
  effects.reply(0);
}

void RulesMachine::apply_pause(const Command& command, Effects& effects) {
  ByteReader in(command.payload);
  const std::string_view name = get_text(in);
  const auto version = in.le<uint64_t>();
  const std::string_view reason = get_text(in);
  if (!in.complete() || reason.size() > kReasonBytesMax)
    return effects.refuse(Errc::invalid_argument, 0, "the command pauses no rule");
  const auto found = rules_.find(name);
  if (found == rules_.end()) return effects.refuse(Errc::not_found, 0, "there is no such rule");
  RuleRow& row = found->second;
  if (version != 0 && version != row.version) return effects.refuse(Errc::stale, 0, "the rule has changed");
  if (row.paused) return effects.unchanged(static_cast<int64_t>(row.version));
  row.paused = true;
  row.reason = reason;
  audit(command, "rules.pause", name, reason, effects);
  effects.reply(static_cast<int64_t>(row.version));
}

void RulesMachine::apply_resume(const Command& command, Effects& effects) {
  const std::string_view name = as_text(command.payload);
  const auto found = rules_.find(name);
  if (found == rules_.end()) return effects.refuse(Errc::not_found, 0, "there is no such rule");
  RuleRow& row = found->second;
  if (!row.paused) return effects.unchanged(static_cast<int64_t>(row.version));
  row.paused = false;
  row.reason.clear();
  let_past_gaps(row, effects.port<streams::StreamsMachine>(machine_ids::kStreams));
  audit(command, "rules.resume", name, "", effects);
  effects.reply(static_cast<int64_t>(row.version));
}

void RulesMachine::query(const Query& query, Reply& reply) const {
  ByteReader in(query.payload);
  const std::string after(get_text(in));
  const bool alone = in.u8() != 0;
  if (query.type != kQueryRules || !in.complete()) {
    reply.error = Errc::unsupported;
    reply.message = "the machine of rules has no such query";
    return;
  }
  ByteWriter out;
  int64_t rows = 0;
  auto at = alone ? rules_.find(after) : rules_.upper_bound(after);
  for (; at != rules_.end() && out.size() < kPageBytesMax && !(alone && rows == 1); ++at, ++rows)
    append_row(out, at->second);
  reply.payload = Buffer::take(out.release());
  reply.numbers = {rows, !alone && at != rules_.end() ? 1 : 0};
}

std::optional<MachineId> RulesMachine::draws_on(CommandType type, Bytes payload) const {
  if (type != kRuleCommit) return std::nullopt;
  ByteReader in(payload);
  const auto found = rules_.find(get_text(in));
  if (found == rules_.end()) return std::nullopt;
  if (found->second.definition.order) return fintech::exchange::kExchangeMachineId;
  return found->second.definition.transfer ? std::optional(fintech::kLedgerMachineId) : std::nullopt;
}

void RulesMachine::recount() {
  bytes_ = 0;
  uint64_t paused = 0;
  for (const auto& [name, row] : rules_) {
    bytes_ += bytes_of(row);
    if (row.paused) ++paused;
  }
  paused_.store(paused, std::memory_order_relaxed);
  count_.store(rules_.size(), std::memory_order_relaxed);
}

void RulesMachine::save(SnapshotWriter& writer) const {
  writer.le<uint64_t>(rules_.size());
  for (const auto& [name, row] : rules_) {
    ByteWriter out;
    append_row(out, row);
    writer.text(as_text(out.view()));
  }
}

Result<void> RulesMachine::restore(SnapshotReader& reader) {
  make_fresh();
  const auto count = reader.le<uint64_t>();
  for (uint64_t i = 0; i < count && !reader.failed(); ++i) {
    const std::string bytes = reader.text(kRowBytesMax);
    ByteReader in(as_bytes(bytes));
    RuleRow row = read_row(in);
    if (!in.complete()) reader.fail();
    std::string name = row.definition.name;
    rules_.emplace(std::move(name), std::move(row));
  }
  recount();
  if (reader.failed()) return Error{Errc::corrupt, "the rules are cut off"};
  return {};
}

void RulesMachine::make_fresh() {
  rules_.clear();
  recount();
}

}  // namespace heptane::iot::rules
