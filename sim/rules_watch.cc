#include "sim/rules_watch.h"

#include <algorithm>

#include "modules/iot/machine/rules/rule_api.h"
#include "modules/iot/machine/texts.h"
#include "sim/http_client.h"
#include "sim/mqtt_listener.h"

namespace heptane::sim {

namespace {

using namespace iot::rules;

constexpr uint64_t kKillsMax = 3;

std::string part(std::string_view name, uint64_t number) { return quoted(name) + ":" + std::to_string(number); }
std::string part(std::string_view name, std::string_view text) { return quoted(name) + ":" + quoted(text); }

std::string which(const std::string& rule, Offset offset) {
  return "the rule " + rule + ", at offset " + std::to_string(offset) + ", ";
}

bool is_of_lua(std::string_view why) { return why.starts_with("its Lua ended three times"); }

}  // namespace

RulesWatch::RulesWatch(uint64_t seed) : lua(seed) {
  for (const char* stream : {"rule.bill", "rule.late", "sim-ticks", "sim-owed", "sim-tocks"})
    sources_.emplace(stream, Source{StreamTail(stream)});
}

void RulesWatch::follow(server::Server& server, const RulesMachines& machines) {
  const auto with_lua = machines.rules->rules().find("lua");
  lua.see(with_lua != machines.rules->rules().end() && with_lua->second.paused && is_of_lua(with_lua->second.reason));
  log_.follow(server);
  if (log_.is_gone() && !std::exchange(blind_, true)) ++counts_.gaps;
}

Result<void> RulesWatch::read_streams(server::Server& server, Disk& disk) {
  const auto read = [&](Source& source) {
    return source.tail.read(server, disk, [&](Offset, std::string_view key, std::string_view value) {
      source.records.push_back({std::string(key), std::string(value)});
    });
  };
  for (auto& [name, source] : sources_) HEPTANE_TRY(read(source));
  return read(told_there_);
}

// False: nothing is known any more.
bool RulesWatch::catch_up(server::Server& server, Disk& disk, Sequence upto, Checker& checker, bool damaged) {
  if (checker.lost_tail_allowed()) blind_ = true;
  if (blind_) return false;
  if (log_.read_upto() > upto)
    checker.fail("the log was synced up to sequence " + std::to_string(log_.read_upto()) + " and ends at " +
                 std::to_string(upto));
  Result<void> done = log_.read(server, upto);
  if (log_.is_gone()) ++counts_.gaps;
  if (done) done = read_streams(server, disk);
  if (!done && !damaged) checker.fail("what rules read and made cannot be read: " + done.error().message);
  blind_ = blind_ || log_.is_gone() || !done || log_.read_upto() < upto;
  if (blind_) return false;
  for (const FollowedCommand& command : log_.take()) {
    if (checker.failed()) return false;
    run(command, server, checker);
  }
  return !checker.failed();
}

void RulesWatch::audit(server::Server& server, const RulesMachines& machines, Disk& disk, Checker& checker,
                       bool damaged) {
  if (!catch_up(server, disk, server.shard().last_applied(), checker, damaged)) return;
  compare_meters(checker);
  compare_told(checker);
  if (told_compared_ < told_.size())
    checker.fail("iot.rules ends at " + std::to_string(told_compared_) + " instead of " + std::to_string(told_.size()));
  compare_appended(checker);
  compare_machine(*machines.rules, checker);
  if (!damaged) compare_ledger(*machines.ledger, checker);  // rows are read, a bit of which may be another
  ++counts_.audits;
}

bool RulesWatch::has_ended(server::Server& server, const RulesMachines& machines, Disk& disk, Checker& checker) {
  for (const auto& [name, row] : machines.rules->rules()) {
    const auto partition = server.streams().find_partition(row.definition.source, 0);
    const Offset end = partition ? server.streams().durable_end(*partition) : 0;
    const auto cursor = row.cursors.find(0);
    if (row.paused || (cursor == row.cursors.end() ? 0 : cursor->second.next) < end) return false;
  }
  // A reader's question would make the shard take what was just synced into its index: this look at it asks none.
  if (server.shard().last_applied() != server.committer().watermark() || server.committer().outstanding() > 0)
    return false;
  if (!catch_up(server, disk, server.committer().watermark(), checker, false)) return true;
  compare_meters(checker);
  compare_told(checker);
  return told_compared_ == told_.size();
}

std::string RulesWatch::awaited(const RulesMachine& machine) const {
  std::string text = "; " + std::to_string(told_compared_) + " of " + std::to_string(told_.size()) + " told";
  for (const auto& [name, row] : machine.rules()) {
    const auto cursor = row.cursors.find(0);
    text += "; " + name + (row.paused ? " (paused)" : "") + " at " +
            std::to_string(cursor == row.cursors.end() ? 0 : cursor->second.next);
  }
  return text;
}

// The commands.

void RulesWatch::run(const FollowedCommand& command, server::Server& server, Checker& checker) {
  if (command.machine == kRulesMachineId) {
    ByteReader in(command.payload);
    counts_.changes += command.type != kRuleCommit ? 1 : 0;
    switch (command.type) {
      case kPutRule: run_put(command, server); break;
      case kDropRule: rules_.erase(std::string(as_text(command.payload))); break;
      case kPauseRule: run_pause(in, checker); break;
      case kResumeRule: rules_[std::string(as_text(command.payload))].paused = false; break;
      case kRuleCommit: run_commit(command, checker); break;
      default: break;
    }
  }
  for (const log::ViewRun& run : command.runs) ends_[run.partition] = run.end();
}

// By the operator, or because the process of its Lua was gone three times.
void RulesWatch::run_pause(ByteReader& in, Checker& checker) {
  const std::string name(iot::get_text(in));
  rules_[name].paused = true;
  in.skip(sizeof(uint64_t));
  const std::string why(iot::get_text(in));
  if (why.empty()) return;
  if (name != "lua" || !is_of_lua(why)) return checker.fail("a rule was paused: " + why);
  if (lua.lost() < kKillsMax * ++counts_.lua_pauses)
    checker.fail("the rule lua was paused, and its processes were gone " + std::to_string(lua.lost()) + " times");
}

void RulesWatch::run_put(const FollowedCommand& command, server::Server& server) {
  ByteReader in(command.payload);
  const RuleDefinition definition = read_definition(in);
  const bool is_new = !rules_.contains(definition.name);
  Rule& rule = rules_[definition.name];
  rule.version = command.sequence;
  rule.source = definition.source;
  rule.appends = definition.append.has_value();
  const size_t factor = definition.sql.find("kwh * ");
  if (factor != std::string::npos) rule.tariff = static_cast<uint32_t>(std::atoi(definition.sql.c_str() + factor + 6));
  if (!is_new || definition.earliest) return;
  const auto partition = server.streams().find_partition(definition.source, 0);
  const auto end = partition ? ends_.find(*partition) : ends_.end();
  rule.next = end == ends_.end() ? 0 : end->second;
}

void RulesWatch::run_commit(const FollowedCommand& command, Checker& checker) {
  const auto commit = decode_commit(command.payload);
  if (!commit) return checker.fail("the log holds a run of a rule that must have been refused");
  const std::string name(commit->rule);
  const auto found = rules_.find(name);
  if (found == rules_.end()) return checker.fail("the log holds a run of the rule " + name + ", which is not there");
  Rule& rule = found->second;
  if (rule.paused) return checker.fail(which(name, commit->from) + "went on while it was paused");
  if (rule.version != commit->version) return checker.fail(which(name, commit->from) + "ran in another version");
  if (rule.next != commit->from)
    return checker.fail(which(name, commit->from) + "did a run again or left some out: it was at " +
                        std::to_string(rule.next));
  const std::vector<Record>& records = sources_.at(rule.source).records;
  if (commit->upto > static_cast<Offset>(records.size()))
    return checker.fail(which(name, commit->upto) + "is beyond the end of " + rule.source);
  for (Offset offset = commit->from; offset < commit->upto; ++offset)
    act(rule, name, offset, records[static_cast<size_t>(offset)], checker);
  if (name == "fives") close_fives(rule, *commit, checker);
  rule.next = commit->upto;
  rule.counters.inputs += static_cast<uint64_t>(commit->upto - commit->from);
  counts_.inputs += static_cast<uint64_t>(commit->upto - commit->from);
  ++counts_.commits;
}

// What the rules say (rules_readings.h), by hand.

void RulesWatch::act(Rule& rule, const std::string& name, Offset offset, const Record& record, Checker& checker) {
  if (name == "bill") return act_bill(rule, offset, record, checker);
  if (name == "late") {
    const auto reading = parse_reading(record.key, record.value);
    if (reading && !reading->is_json) return dead_letter(rule, name, offset);
    return publish(rule, "late/" + record.key.substr(6, 1), "{\"size\":" + std::to_string(record.value.size()) + "}");
  }
  if (name == "fives") return;
  if (name == "chain") {
    const auto cents = field_of(record.value, "cents");
    const auto meter = field_of(record.value, "meter");
    if (!cents || !meter) return checker.fail(which(name, offset) + "reads what is no debt");
    return publish(rule, "owed/" + std::to_string(*meter),
                   "{" + part("cents", *cents) + "," + part("meter", *meter) + "}");
  }
  const auto tick = parse_tick(record.value);
  if (!tick) return checker.fail(which(name, offset) + "reads what nobody appended");
  if (name == "lua") return act_lua(rule, offset, *tick);
  if (*tick % 3 == 0) return;
  tocks_.push_back({"", tick_of(*tick)});
  ++rule.counters.appended;
  publish(rule, "tick/" + std::to_string(*tick), tick_of(*tick));
}

void RulesWatch::act_lua(Rule& rule, Offset offset, uint32_t tick) {
  const LuaOutcome outcome = lua_outcome(tick);
  if (outcome == LuaOutcome::nothing) return;
  if (outcome == LuaOutcome::error) return dead_letter(rule, "lua", offset, kLuaError);
  tocks_.push_back({"", lua_row_of(tick)});
  ++rule.counters.appended;
  ++counts_.lua_rows;
  publish(rule, "lua/" + std::to_string(tick), lua_row_of(tick));
}

// A window's row is out when the first tick behind it was looked at, which may be the one that the next run begins with.
void RulesWatch::close_fives(Rule& rule, const RuleCommit& commit, Checker& checker) {
  if (!commit.window) return checker.fail("the rule fives says nothing of its windows");
  const auto seen = static_cast<uint32_t>(commit.upto) + 1;  // at most
  const int64_t closed_ms = commit.window->place.closed_ms;
  if (closed_ms > int64_t{seen} * 1'000) return checker.fail("the rule fives closes a window that is open");
  for (; (rule.windows + 1) * int64_t{5'000} <= closed_ms; ++rule.windows, ++rule.counters.windows)
    publish(rule, "five/" + std::to_string(rule.windows), five_of(rule.windows));
  const bool late = static_cast<uint32_t>(commit.upto) >= (rule.windows + 1) * 5;
  if (late) checker.fail(which("fives", commit.upto) + "left a window open");
}

void RulesWatch::act_bill(Rule& rule, Offset offset, const Record& record, Checker& checker) {
  const auto reading = parse_reading(record.key, record.value);
  if (!reading) return checker.fail(which("bill", offset) + "reads what no meter said");
  if (!reading->is_json || !reading->kwh) return dead_letter(rule, "bill", offset);
  if (*reading->kwh == 0) return;
  const uint64_t amount = uint64_t{*reading->kwh} * rule.tariff;
  if (!owe(rule, offset, *reading, amount)) return;
  const std::string row =
      "{" + part("meter", reading->meter) + "," + part("seq", reading->seq) + "," + part("cents", amount) + "}";
  if (rule.appends) {
    owed_.push_back({std::to_string(reading->meter), row});
    ++rule.counters.appended;
  }
  publish(rule, "bill/" + std::to_string(reading->meter), row);
}

// Whether it is owed now and was not before. An id whose transfer was refused is used up.
bool RulesWatch::owe(Rule& rule, Offset offset, const SimReading& reading, uint64_t amount) {
  const auto [at, is_new] =
      debts_.try_emplace(std::to_string(reading.meter) + ":" + std::to_string(reading.seq), Debt{amount, false});
  Debt& debt = at->second;
  if (is_new) {
    const bool covered = reading.meter != 0 || spent_[0] + amount <= kFunds;
    debt.created = reading.meter < kMetersWithAccount && covered;
  } else if (debt.created && debt.amount == amount) {
    ++rule.counters.repeats;
    ++counts_.repeats;
    tell_transfer(rule, offset, "repeated", amount);
    return false;
  }
  if (!is_new || !debt.created) {
    dead_letter(rule, "bill", offset);
    return false;
  }
  spent_[reading.meter] += amount;
  ++rule.counters.transfers;
  ++counts_.transfers;
  tell_transfer(rule, offset, "transfer", amount);
  return true;
}

void RulesWatch::tell_transfer(const Rule& rule, Offset offset, const char* event, uint64_t amount) {
  told_.push_back({"$rules/bill/transfer",
                   {part("event", event), part("amount", std::to_string(amount)),
                    part("offset", static_cast<uint64_t>(offset)), part("rule_version", rule.version)}});
}

void RulesWatch::dead_letter(Rule& rule, const std::string& name, Offset offset, const char* why) {
  ++rule.counters.dead_letters;
  ++counts_.dead_letters;
  told_.push_back({"$rules/" + name + "/dead_letter",
                   {part("event", "dead_letter"), part("offset", static_cast<uint64_t>(offset)),
                    part("rule_version", rule.version)}});
  if (why != nullptr) told_.back().parts.push_back(part("why", why));
}

void RulesWatch::publish(Rule& rule, const std::string& topic, const std::string& row) {
  ++rule.counters.published;
  told_.push_back({topic, {row}, true});
}

// What is compared.

void RulesWatch::compare_meters(Checker& checker) const {
  std::vector<uint32_t> newest(meters.size());
  for (const Record& record : sources_.at("rule.bill").records) {
    const auto reading = parse_reading(record.key, record.value);
    if (!reading || reading->meter >= meters.size()) return checker.fail("a reading is in the log that nobody sent");
    uint32_t& last = newest[reading->meter];
    const std::string text =
        "reading " + std::to_string(reading->number) + " of meter " + std::to_string(reading->meter);
    if (reading->number > last + 1) return checker.fail(text + " is in the log behind " + std::to_string(last));
    if (reading->number <= last && meters[reading->meter].qos == 2) return checker.fail(text + " is in the log twice");
    last = std::max(last, reading->number);
  }
  for (size_t i = 0; i < meters.size(); ++i)
    if (newest[i] < meters[i].acknowledged)
      checker.fail("reading " + std::to_string(newest[i] + 1) + " of meter " + std::to_string(i) +
                   " was acknowledged and is not in the log");
  const std::vector<Record>& counted = sources_.at("sim-ticks").records;
  for (size_t i = 0; i < counted.size(); ++i)
    if (parse_tick(counted[i].value) != i + 1) return checker.fail("the stream sim-ticks skips or doubles a number");
  if (counted.size() < ticks) checker.fail("tick " + std::to_string(ticks) + " was acknowledged and is lost");
}

// As far as both go.
void RulesWatch::compare_told(Checker& checker) {
  const std::vector<Record>& there = told_there_.records;
  for (; told_compared_ < std::min(told_.size(), there.size()); ++told_compared_) {
    const Told& told = told_[told_compared_];
    const Record& record = there[told_compared_];
    const bool has_all = std::all_of(told.parts.begin(), told.parts.end(), [&](const std::string& text) {
      return told.whole ? record.value == text : record.value.find(text) != std::string::npos;
    });
    if (record.key != told.topic || !has_all)
      return checker.fail("iot.rules has at offset " + std::to_string(told_compared_) + " " + record.key + " " +
                          record.value.substr(0, 160) + " instead of " + told.topic + " " + told.parts.front());
    if (!told.topic.starts_with("bill/")) continue;
    std::string heard = SimMqttListener::heard(record.key, record.value);
    if (known_bills_.insert(heard).second) bills_.push_back(std::move(heard));
  }
  if (there.size() > told_.size()) checker.fail("iot.rules tells of what no rule did");
}

void RulesWatch::compare_appended(Checker& checker) const {
  for (const auto& [stream, expected] : {std::pair{"sim-owed", &owed_}, {"sim-tocks", &tocks_}}) {
    const std::vector<Record>& there = sources_.at(stream).records;
    const bool same = std::equal(there.begin(), there.end(), expected->begin(), expected->end(),
                                 [](const Record& a, const Record& b) { return a.key == b.key && a.value == b.value; });
    if (!same)
      checker.fail(std::string("the stream ") + stream + " has " + std::to_string(there.size()) +
                   " records, not those " + std::to_string(expected->size()) + " that rules append");
  }
}

void RulesWatch::compare_machine(const RulesMachine& machine, Checker& checker) const {
  if (machine.rules().size() != rules_.size())
    return checker.fail(std::to_string(machine.rules().size()) + " rules are there instead of " +
                        std::to_string(rules_.size()));
  for (const auto& [name, rule] : rules_) {
    const auto found = machine.rules().find(name);
    if (found == machine.rules().end()) return checker.fail("the rule " + name + " is lost");
    const RuleRow& row = found->second;
    const auto cursor = row.cursors.find(0);
    const Offset next = cursor == row.cursors.end() ? 0 : cursor->second.next;
    const RuleCounters& is = row.counters;
    const RuleCounters& must = rule.counters;
    if (next != rule.next || row.version != rule.version || row.paused != rule.paused)
      return checker.fail(which(name, next) + "should be at " + std::to_string(rule.next));
    const bool counted = is.inputs == must.inputs && is.transfers == must.transfers && is.repeats == must.repeats &&
                         is.appended == must.appended && is.published == must.published &&
                         is.dead_letters == must.dead_letters && is.windows == must.windows && is.late == 0 &&
                         is.lost == 0;
    if (!counted) return checker.fail(which(name, next) + "counts otherwise than what it did");
  }
}

void RulesWatch::compare_ledger(const fintech::LedgerMachine& machine, Checker& checker) const {
  const fintech::Ledger& ledger = machine.ledger();
  if (machine.recount_differences() != 0) return checker.fail("a recount of the ledger found differences");
  uint64_t created = 0;
  for (const auto& [key, debt] : debts_) {
    fintech::Transfer transfer{};
    const bool there = ledger.find_transfer(transfer_id("bill", key), transfer);
    if (there != debt.created || (there && transfer.amount != debt.amount))
      return checker.fail("the debt " + key + (there ? " is another one in the ledger" : " is not in the ledger"));
    created += debt.created ? 1 : 0;
  }
  if (created == 0) return;
  if (ledger.transfers().size() != created + 1)
    return checker.fail("the ledger has " + std::to_string(ledger.transfers().size()) + " transfers instead of " +
                        std::to_string(created + 1));
  const fintech::Account* utility = ledger.find_account(kUtility);
  if (utility == nullptr || utility->credits_posted != spent_[0] + spent_[1])
    return checker.fail("the utility was paid another sum than what was owed");
  for (uint64_t meter = 0; meter < kMetersWithAccount; ++meter) {
    const fintech::Account* account = ledger.find_account(kFirstAccount + meter);
    if (account == nullptr || account->debits_posted != spent_[meter])
      return checker.fail("meter " + std::to_string(meter) + " paid another sum than what it owed");
  }
}

}  // namespace heptane::sim
