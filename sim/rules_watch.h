// Rules in a simulation: what the log says of them, in its order, and what each must have made of each record of its stream, reckoned
// anew from the readings (rules_readings.h) and not from what the server evaluated.
//
// Rules, looked at after every start: what meters and the HTTP client were told of is in the stream that a rule reads, in order, at
// QoS 2 and over HTTP once; a run begins at its rule's position, has its version, and is none of a rule that is paused; each record
// from the rule's start on was answered, in order, by its transfer with its receipt, record and message, by a dead letter, or by
// nothing where its condition is false, and windows of them by one row each: the streams `iot.rules`, `sim-owed` and `sim-tocks` hold that and nothing else; a debt with
// one name is owed once; accounts are the sums; counts and positions of the machine are the model's. At the end each rule is at
// the end of its stream. One owner.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "kernel/base/disk.h"
#include "modules/fintech/machine/ledger/ledger_machine.h"
#include "modules/iot/machine/rules/rules_machine.h"
#include "sim/checker.h"
#include "sim/followed_log.h"
#include "sim/rules_readings.h"
#include "sim/sim_lua.h"
#include "sim/stream_tail.h"

namespace heptane::sim {

struct RulesMachines {
  const iot::rules::RulesMachine* rules = nullptr;
  const fintech::LedgerMachine* ledger = nullptr;
};

class RulesWatch {
 public:
  struct Meter {
    uint8_t qos = 1;
    uint32_t acknowledged = 0;  // numbers from 1 to here
  };
  struct Counts {
    uint64_t commits = 0;
    uint64_t inputs = 0;
    uint64_t transfers = 0;
    uint64_t repeats = 0;
    uint64_t dead_letters = 0;
    uint64_t changes = 0;  // of rules: made, changed, paused, resumed, dropped
    uint64_t audits = 0;
    uint64_t lua_rows = 0;
    uint64_t lua_pauses = 0;  // because it ended three times
    uint64_t gaps = 0;        // the log was history before it was read: nothing is compared from there on
  };

  explicit RulesWatch(uint64_t seed);
  SimLua lua;
  // What clients know.
  std::vector<Meter> meters;
  uint32_t ticks = 0;             // appended and acknowledged, from 1 to here
  bool meters_may_begin = false;  // the rule that reads them is declared

  void follow(server::Server& server, const RulesMachines& machines);
  // After a start. `damaged`: bytes at rest were changed.
  void audit(server::Server& server, const RulesMachines& machines, Disk& disk, Checker& checker, bool damaged);
  // Clients have come to their end: every rule has answered all of its stream.
  bool has_ended(server::Server& server, const RulesMachines& machines, Disk& disk, Checker& checker);
  // How far each rule is, as a text.
  std::string awaited(const iot::rules::RulesMachine& machine) const;
  // What the rule `bill` published, as SimMqttListener::heard has it.
  const std::vector<std::string>& bills() const { return bills_; }
  const Counts& counts() const { return counts_; }

 private:
  struct Record {
    std::string key;
    std::string value;
  };
  struct Source {
    StreamTail tail;
    std::vector<Record> records{};
  };
  struct Rule {
    std::string source;
    uint64_t version = 0;
    bool paused = false;
    uint32_t tariff = 0;
    bool appends = false;
    Offset next = 0;
    uint32_t windows = 0;  // that are closed
    iot::rules::RuleCounters counters{};
  };
  // A record of iot.rules: its topic, and what stands in it.
  struct Told {
    std::string topic;
    std::vector<std::string> parts;
    bool whole = false;  // the one part is all of it
  };
  struct Debt {
    uint64_t amount = 0;
    bool created = false;
  };

  bool catch_up(server::Server& server, Disk& disk, Sequence upto, Checker& checker, bool damaged);
  Result<void> read_streams(server::Server& server, Disk& disk);
  void run(const FollowedCommand& command, server::Server& server, Checker& checker);
  void run_put(const FollowedCommand& command, server::Server& server);
  void run_commit(const FollowedCommand& command, Checker& checker);
  void run_pause(ByteReader& in, Checker& checker);
  void act_lua(Rule& rule, Offset offset, uint32_t tick);
  void close_fives(Rule& rule, const iot::rules::RuleCommit& commit, Checker& checker);
  void act(Rule& rule, const std::string& name, Offset offset, const Record& record, Checker& checker);
  void act_bill(Rule& rule, Offset offset, const Record& record, Checker& checker);
  bool owe(Rule& rule, Offset offset, const SimReading& reading, uint64_t amount);
  void publish(Rule& rule, const std::string& topic, const std::string& row);
  void dead_letter(Rule& rule, const std::string& name, Offset offset, const char* why = nullptr);
  void tell_transfer(const Rule& rule, Offset offset, const char* event, uint64_t amount);

  void compare_meters(Checker& checker) const;
  void compare_told(Checker& checker);
  void compare_appended(Checker& checker) const;
  void compare_machine(const iot::rules::RulesMachine& machine, Checker& checker) const;
  void compare_ledger(const fintech::LedgerMachine& machine, Checker& checker) const;

  FollowedLog log_{iot::rules::kRulesMachineId};
  std::map<std::string, Source> sources_;
  std::map<std::string, Rule> rules_;
  std::map<PartitionId, Offset> ends_;  // of partitions of views, by the log
  std::vector<Told> told_;              // that must be in iot.rules
  size_t told_compared_ = 0;
  Source told_there_{StreamTail("iot.rules")};
  std::vector<Record> owed_;   // that must be in sim-owed
  std::vector<Record> tocks_;  // likewise sim-tocks
  std::map<std::string, Debt> debts_;
  uint64_t spent_[kMetersMax] = {};
  std::vector<std::string> bills_;
  std::set<std::string> known_bills_;
  bool blind_ = false;
  Counts counts_;
};

}  // namespace heptane::sim
