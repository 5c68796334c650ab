// Which rules there are, and which partitions their streams have: looked at when something has changed, and each few seconds
// (rule_runner.h).
#include <algorithm>
#include <utility>

#include "modules/iot/gateway/rules/rule_runner.h"

namespace heptane::iot::rules {

void RuleRunner::changed() {
  if (context_ != nullptr) look();
}

void RuleRunner::look() {
  if (look_request_ != 0 || describe_request_ != 0) {
    look_again_ = true;
    return;
  }
  look_again_ = false;
  const RequestId request = next_request();
  if (!context_->query(request, {kRulesMachineId, kQueryRules, encode_rules_query(looked_at_, false), {}}))
    return look_later(kTickNs);
  if (!std::exchange(looking_, true)) {
    kept_ = std::exchange(rules_, {});
    resting_.clear();
  }
  look_request_ = request;
  next_look_ns_ = INT64_MAX;
}

void RuleRunner::look_later(int64_t delay_ns) {
  next_look_ns_ = context_->monotonic_ns() + delay_ns;
  wake_within(delay_ns);
}

void RuleRunner::take_rules(const Reply& reply) {
  look_request_ = 0;
  auto rows = reply.ok() ? decode_rows(reply.payload.view()) : std::nullopt;
  if (!rows) return look_later(kTickNs);
  for (RuleRow& row : *rows) {
    looked_at_ = row.definition.name;
    if (row.outbox) posting_.push_back(row);
    take_row(std::move(row));
  }
  if (reply.numbers[1] != 0) return look();
  looked_at_.clear();
  looking_ = false;
  for (auto& [name, gone] : kept_) {
    close_lanes(gone);
    waits_no_more(name);
  }
  kept_.clear();
  const std::vector<RuleRow> posting = std::exchange(posting_, {});
  if (outbox_ != nullptr) outbox_->take_rules(posting);
  describe();
}

// One that is as it was goes on; a lane that stopped begins where the machine says.
void RuleRunner::take_row(RuleRow row) {
  const std::string name = row.definition.name;
  const auto before = kept_.find(name);
  const bool same = before != kept_.end() && before->second.version == row.version && !row.paused;
  Running running;
  if (same) {
    running = std::move(before->second);
    kept_.erase(before);
  } else if (!row.paused) {
    Result<CompiledRule> compiled = CompiledRule::compile(row.definition);
    if (!compiled) {
      running.version = row.version;
      return pause(name, running, compiled.error().message);
    }
    running = {row.definition, row.version, std::make_shared<const CompiledRule>(std::move(*compiled)), {}};
    if (!row.definition.lua.empty()) running.lua = std::make_unique<LuaFunction>(row.definition.lua, start_lua_);
  }
  if (row.paused) {
    resting_.insert_or_assign(name, Resting{row.definition.source, std::move(row.cursors)});
    return;
  }
  for (const auto& [index, cursor] : row.cursors) {
    Lane& lane = running.lanes[index];
    const bool rests = lane.state == State::idle && !lane.reading.read && lane.due_ns == 0 && lane.runs.empty();
    if (!rests && lane.state != State::stopped) continue;
    lane.index = index;
    if (lane.partition != cursor.partition || lane.next != cursor.next || lane.place != cursor.window) {
      lane = fresh_lane(running);
      lane.index = index;
      lane.partition = cursor.partition;
      lane.next = lane.at = cursor.next;
      lane.place = cursor.window;
    }
    lane.state = State::idle;
    lane.may_skip = cursor.may_skip;
  }
  rules_.insert_or_assign(name, std::move(running));
}

void RuleRunner::close_lanes(Running& running) {
  for (auto& [index, lane] : running.lanes) {
    stand_still(lane);
    forget_runs(lane);
  }
}

void RuleRunner::describe() {
  streams::DescribeQuery query;
  for (const auto& [name, running] : rules_) query.names.push_back(running.definition.source);
  for (const auto& [name, resting] : resting_) query.names.push_back(resting.source);
  if (query.names.empty()) {
    measure_lag({});
    if (!unmet_.empty()) look_later(kLookNs);
    return look_again_ ? look() : void();
  }
  std::sort(query.names.begin(), query.names.end());
  query.names.erase(std::unique(query.names.begin(), query.names.end()), query.names.end());
  const RequestId request = next_request();
  if (context_->query(request, {machine_ids::kStreams, streams::kDescribe, streams::encode(query), {}}))
    describe_request_ = request;
  else
    look_later(kTickNs);
}

void RuleRunner::take_streams(const Reply& reply) {
  describe_request_ = 0;
  const auto infos = reply.ok() ? streams::decode_stream_infos(reply.payload.view())
                                : Result<std::vector<streams::StreamInfo>>(Error{Errc::overloaded, ""});
  if (!infos) return look_later(kTickNs);
  look_later(kLookNs);
  for (auto& [name, running] : rules_)
    for (const streams::StreamInfo& info : *infos)
      if (info.name == running.definition.source) {
        if (running.definition.windowed() && info.partitions.size() > 1)
          pause(name, running, "a rule over windows reads a stream of one partition, and there are more now");
        else
          take_partitions(running, info);
      }
  measure_lag(*infos);
  lanes_ = 0;
  for (const auto& [name, running] : rules_) lanes_ += running.lanes.size();
  for (auto& [name, running] : rules_)
    for (auto& [index, lane] : running.lanes)
      if (lane.state == State::idle && lane.due_ns == 0) go_on(name, running, lane);
  wake_for_lanes();
  if (look_again_) look();
}

// A partition that the rule has no position of yet is read from its beginning.
void RuleRunner::take_partitions(Running& running, const streams::StreamInfo& info) {
  for (uint32_t index = 0; index < info.partitions.size(); ++index) {
    const streams::PartitionInfo& partition = info.partitions[index];
    Lane& lane = running.lanes[index];
    if (lane.partition == partition.id) continue;
    drop_calls(running, lane);
    Running gone;
    gone.lanes.emplace(index, std::move(lane));
    close_lanes(gone);
    lane = fresh_lane(running);
    lane.index = index;
    lane.partition = partition.id;
  }
  while (!running.lanes.empty() && running.lanes.rbegin()->first >= info.partitions.size()) {
    Running gone;
    drop_calls(running, running.lanes.rbegin()->second);
    gone.lanes.insert(running.lanes.extract(std::prev(running.lanes.end())));
    close_lanes(gone);
  }
}

// What it has looked at it need not read again where nothing of it is on its way to the log. A partition that a rule has not begun waits
// whole.
Offset RuleRunner::read_upto(const std::string& rule, uint32_t index, const streams::PartitionInfo& partition) const {
  if (const auto running = rules_.find(rule); running != rules_.end()) {
    const auto lane = running->second.lanes.find(index);
    if (lane == running->second.lanes.end() || lane->second.partition != partition.id) return partition.log_start;
    const Offset next = lane->second.runs.empty() ? std::max(lane->second.next, lane->second.at) : lane->second.next;
    return std::max(next, partition.log_start);
  }
  const auto resting = resting_.find(rule);
  if (resting == resting_.end()) return partition.log_start;
  const auto cursor = resting->second.cursors.find(index);
  const bool begun = cursor != resting->second.cursors.end() && cursor->second.partition == partition.id;
  return begun ? std::max(cursor->second.next, partition.log_start) : partition.log_start;
}

void RuleRunner::measure_lag(const std::vector<streams::StreamInfo>& infos) {
  lag_.begin(context_->monotonic_ns());
  const auto see = [&](const std::string& name, const std::string& source) {
    for (const streams::StreamInfo& info : infos) {
      if (info.name != source) continue;
      for (uint32_t index = 0; index < info.partitions.size(); ++index) {
        const streams::PartitionInfo& partition = info.partitions[index];
        lag_.see(name, index, partition.id, read_upto(name, index, partition), partition.durable_end);
      }
    }
  };
  for (const auto& [name, running] : rules_) see(name, running.definition.source);
  for (const auto& [name, resting] : resting_) see(name, resting.source);
  lag_.end();
}

}  // namespace heptane::iot::rules
