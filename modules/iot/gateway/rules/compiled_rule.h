// A rule ready to run: its SQL and the expressions of its actions, compiled once, and what it makes of a record, or of a window's
// row. What a record lacks, or is wrong with it, is said in the input and becomes a dead letter. Pure; any thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/net/http/json.h"
#include "kernel/streams/record_batch.h"
#include "modules/iot/domain/devices/shadow.h"
#include "modules/iot/domain/rules/lua_frames.h"
#include "modules/iot/domain/rules/sql.h"
#include "modules/iot/domain/rules/windows.h"
#include "modules/iot/machine/rules/rule_api.h"

namespace heptane::iot::rules {

constexpr size_t kInputPayloadMax = size_t{64} << 10;  // a longer one is a dead letter without its payload

// The stream that holds what a rule over topics reads.
std::string capture_name(std::string_view rule);
// What the SQL reads, and whether by windows: sets `source` and `windows` by it. Error: the SQL, or an action's expression, and where.
Result<void> check_rule(RuleDefinition& rule);

// A record as a rule sees it, and what it made of it: for a dry run.
struct Trial {
  bool wanted = false;  // by the condition
  bool is_json = false;
  uint8_t hops = 0;   // of what is published (hops.h)
  std::string fault;  // why it would be a dead letter
  std::string row;    // JSON
  std::optional<RuleMove> transfer{};
  std::string transfer_key{};
  std::optional<RuleOrder> order{};  // its texts are these
  std::string symbol{};
  std::string order_id{};
  std::string append_key{};
  std::string topic{};
  std::string line{};  // of a series
  std::optional<devices::ShadowRequest> shadow{};

  // As one of nothing; what its texts had room for stays.
  void clear();
};

// A record whose row a rule's Lua is to make another one of.
struct LuaCall {
  Offset offset = 0;
  uint32_t partition = 0;
  int64_t timestamp_ms = 0;
  std::string topic;
  std::string payload;
  std::string position;
  bool is_json = false;
  uint8_t hops = 0;   // as of a message
  std::string fault;  // why there is no row, and Lua is not asked; empty: there is one
  std::string row;    // JSON

  // For the process that runs it.
  void append_to(std::string& frames) const;
};

// What is made of one record on the way, kept for the next one, which needs no memory of its own then.
struct Workspace {
  std::vector<Value> members{};                             // of the payload
  std::vector<std::unique_ptr<devices::JsonTree>> trees{};  // of members that hold others
  devices::JsonTree all{};                                  // of a payload that is looked at whole
  Row row{};
  Trial trial{};
};

class CompiledRule {
 public:
  static Result<CompiledRule> compile(const RuleDefinition& rule);

  // A rule over windows: what it makes of the one row of a window in which this message is alone.
  Trial try_on(std::string_view topic, std::string_view payload, int64_t timestamp_ms, Offset offset,
               uint32_t partition = 0) const;
  // False: the rule does nothing with the record. Else its input is appended. `partition`: the index of its partition.
  bool append_input_of(const streams::RecordView& record, uint32_t partition, Workspace& work, ByteWriter& out) const;

  bool has_lua() const { return !rule_.lua.empty(); }
  // Of a rule with Lua. nullopt: the rule does nothing with the record.
  std::optional<LuaCall> lua_call_of(const streams::RecordView& record, uint32_t partition) const;
  // `answer`: Lua's, where there is a row. False: nothing comes of it.
  bool append_input_of(const LuaCall& call, const Frame& answer, ByteWriter& out) const;

  // Of a rule over windows. Null: it is none.
  const WindowSpec* window() const { return query_->windowing() == nullptr ? nullptr : &query_->windowing()->spec; }
  Windows windows_at(const WindowPlace& place) const { return Windows(query_, place); }
  enum class Offered : uint8_t {
    done,
    told,
    late,
    late_and_told,
    not_yet
  };  // told: an input is appended, a dead letter
  Offered offer(const streams::RecordView& record, int64_t latest_ms, Windows& windows, ByteWriter& out) const;
  // A record before the rule's position.
  void rebuild(const streams::RecordView& record, Windows& windows) const;
  // Of the next row. `fault`: why nothing is to come of it; empty: nothing stands in the way. False: nothing comes of it.
  bool append_input_of(const Windows::ClosedRow& row, std::string_view fault, ByteWriter& out) const;

 private:
  bool is_ours(const streams::RecordView& record) const;
  static RuleInput input_of(const streams::RecordView& record);
  // What the rule looks at of the payload: as members, or, where that is everything, as a tree. False: it is no JSON.
  bool read(Message& message, Workspace& work) const;
  void try_on(Message message, Workspace& work) const;
  void finish(const Message& message, const Row& row, bool is_json, Trial& trial) const;
  Trial try_window(const Message& message) const;
  Trial trial_of(const Windows::ClosedRow& row) const;
  Trial trial_of(const LuaCall& call, const Frame& answer) const;
  // Whether anything may be told of what it was made of.
  bool is_told(const Trial& trial) const;
  // `input`: what it was made of.
  void append_trial(const Trial& trial, RuleInput input, ByteWriter& out) const;

  Result<void> act(const Message& message, const Row& row, Trial& trial) const;
  Result<std::string> line_of(const Message& message, const Row& row) const;
  // Of the row as it stands in the trial.
  Result<devices::ShadowRequest> shadow_of(const Message& message, const Row& row, const std::string& state) const;
  Result<void> take_order(const Message& message, const Row& row, Trial& trial) const;
  Result<RuleMove> move_of(const Message& message, const Row& row, std::string& key) const;

  void take_members(const http::JsonValue& root, Workspace& work) const;

  RuleDefinition rule_;
  std::shared_ptr<const Select> query_;
  FieldNames fields_;
  std::optional<Expression> debit_;
  std::optional<Expression> credit_;
  std::optional<Expression> amount_;
  std::optional<Expression> id_;
  std::optional<Expression> symbol_;
  std::optional<Expression> side_;
  std::optional<Expression> quantity_;
  std::optional<Expression> price_;
  std::optional<Expression> order_id_;
  std::optional<Expression> append_key_;
  std::optional<Expression> topic_;
  std::optional<Expression> measurement_;
  std::optional<Expression> time_;
  std::optional<Expression> thing_;
  std::optional<Expression> shadow_name_;
  std::optional<Expression> shadow_version_;
};

}  // namespace heptane::iot::rules
