// Commands and queries of the machine of rules: what rules there are, how far each has read its stream, and what becomes of a run
// of inputs. Not in transactions. Little-endian; texts: length u16 and bytes, payloads length u32. Any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"
#include "kernel/shard/state_machine.h"
#include "kernel/shard/views.h"
#include "modules/fintech/domain/exchange/port.h"
#include "modules/fintech/domain/ledger/types.h"
#include "modules/iot/domain/rules/window_place.h"
#include "modules/iot/machine/api.h"

namespace heptane::iot::rules {

constexpr MachineId kRulesMachineId = machine_ids::kFirstModule + 4;

enum RulesCommand : CommandType {
  kPutRule =
      1,  // payload: a RuleDefinition, then a byte 1 where it may not change a rule that is there. Reply numbers: its version,
  // 1 made or 2 changed; `repeated` when it is so already. Refused: invalid_argument, not_found (a stream), refused
  // (limits, a circle of rules), unauthorised
  kDropRule = 2,    // payload: name. Refused: not_found
  kPauseRule = 3,   // payload: name, version u64 (0: any), reason. Refused: not_found, stale
  kResumeRule = 4,  // payload: name. What its stream has lost meanwhile is passed over and counted. Refused: not_found
  kRuleCommit =
      5,  // payload: a RuleCommit. Reply payload: CommitReply; numbers: the first record's offset in the view, the rule's
          // position. Refused: not_found, stale (another version, position or partition), refused (paused), overloaded,
          // too_large, invalid_argument
};

enum RulesQuery : uint16_t {
  kQueryRules =
      1,  // payload: names behind this one (text), then a byte 1 where it is that name alone. Reply payload: RuleRows;
          // numbers: rows, 1 when there is more
};

constexpr size_t kRulesMax = 64;
constexpr size_t kRuleNameBytesMax = 64;
constexpr size_t kExpressionBytesMax = 1'024;
constexpr size_t kLuaBytesMax = 8'192;
constexpr size_t kDefinitionBytesMax = size_t{16} << 10;
constexpr size_t kChainMax = 8;     // rules one behind the other
constexpr size_t kInputsMax = 512;  // with effects, in one command
constexpr size_t kMovesMax = 64;    // of those that move money or change shadows
constexpr size_t kOrdersMax = 1;    // of those that enter orders: each has an entry to itself
constexpr size_t kCommitBytesMax = size_t{192} << 10;
constexpr size_t kIdKeyBytesMax = 512;
constexpr size_t kInputTopicMax = 1'024;  // of what is told of an input
constexpr size_t kPositionBytesMax = 32;  // likewise
constexpr size_t kFaultBytesMax = 512;    // likewise
constexpr uint32_t kSourcePartitionsMax = 1'024;
constexpr size_t kOrderTextMax = 64;  // ClOrdID, symbol
constexpr size_t kReasonBytesMax = 512;
constexpr size_t kShadowRequestMax = size_t{32} << 10;  // of an input's: a state of 8 KiB as the log has it

// Expressions of the rules' SQL; they see the columns.
struct TransferAction {
  uint32_t ledger = 0;
  uint16_t code = 0;
  std::string debit;
  std::string credit;
  std::string amount;
  std::string id;  // what names the debt, for ever and in this rule; empty: the place of the input does
  friend bool operator==(const TransferAction&, const TransferAction&) = default;
};
struct AppendAction {
  std::string stream;
  std::string key;  // empty: records have none
  friend bool operator==(const AppendAction&, const AppendAction&) = default;
};
struct PublishAction {
  std::string topic;
  friend bool operator==(const PublishAction&, const PublishAction&) = default;
};

// The row becomes a point of a series: columns that are no tags are its fields.
struct SeriesAction {
  std::string database;
  std::string measurement;
  std::string tags;  // names of columns, with commas between them
  std::string time;  // milliseconds since 1970; empty: when the server had the record, and its place within that
  friend bool operator==(const SeriesAction&, const SeriesAction&) = default;
};

// The row becomes a section of a thing's shadow, merged as a device's own update is (RFC 7396): NULL takes a member away.
struct ShadowAction {
  std::string thing;
  std::string name;      // empty: the classic shadow
  bool reported = true;  // the section; else desired
  std::string version;   // only if it is this; empty: any
  friend bool operator==(const ShadowAction&, const ShadowAction&) = default;
};

// An order of a firm on the exchange. Firm and account are texts as they are, the rest but `time_in_force` expressions.
struct OrderAction {
  std::string firm;
  std::string account;
  std::string symbol;
  std::string side;  // 'buy' or 'sell'
  std::string quantity;
  std::string price;          // empty: a market order
  std::string time_in_force;  // day, gtc, ioc or fok; empty: day of a limit order, ioc of a market order
  std::string id;             // the ClOrdID; empty: idempotency_key()
  uint32_t within_s = 0;      // of the record's time, of a window its begin: later it is not entered; 0: whenever
  friend bool operator==(const OrderAction&, const OrderAction&) = default;
};

// The row is posted to the URL, by way of the outbox (outbox_api.h): at least once, in order.
struct HttpAction {
  std::string url;
  friend bool operator==(const HttpAction&, const HttpAction&) = default;
};

struct RuleDefinition {
  std::string name;
  std::string sql;
  std::string source;     // the stream that it reads
  bool earliest = false;  // from the stream's first record; else from the declaration on
  uint64_t windows = 0;   // Windowing::says of the SQL; 0: it has none
  bool windowed() const { return windows != 0; }
  std::string lua{};  // a chunk that gives a function of row and message, which gives the row; empty: there is none
  std::optional<TransferAction> transfer{};
  std::optional<AppendAction> append{};
  std::optional<PublishAction> publish{};
  std::optional<SeriesAction> series{};
  std::optional<ShadowAction> shadow{};
  std::optional<HttpAction> http{};
  std::optional<OrderAction> order{};
  friend bool operator==(const RuleDefinition&, const RuleDefinition&) = default;
};

// [a-zA-Z0-9_-]{1,64}
bool valid_rule_name(std::string_view name);
// What is wrong with its sizes and names; empty: nothing. SQL is for who reads it.
std::string wrong_definition(const RuleDefinition& definition);
void append_definition(ByteWriter& out, const RuleDefinition& definition);
RuleDefinition read_definition(ByteReader& in);
Buffer encode_put(const RuleDefinition& definition, bool may_change);
Buffer encode_pause(std::string_view name, uint64_t version, std::string_view reason);

struct RuleCounters {
  uint64_t inputs = 0;
  uint64_t transfers = 0;  // created
  uint64_t repeats = 0;    // transfers that were there already
  uint64_t appended = 0;   // records, and points of series
  uint64_t published = 0;
  uint64_t dead_letters = 0;
  uint64_t lost = 0;     // records that were gone before the rule read them
  uint64_t shadows = 0;  // updates that were accepted
  uint64_t posts = 0;    // into the outbox
  uint64_t posted = 0;   // out of it, and taken
  uint64_t windows = 0;  // rows of windows that were closed
  uint64_t late = 0;     // records whose window was closed already
  uint64_t orders = 0;   // that were entered
};
// Of a partition of its stream: the next record.
struct RuleCursor {
  PartitionId partition = kNoPartition;
  Offset next = 0;
  bool may_skip = false;                // it was resumed where records were gone: they are passed over
  std::optional<WindowPlace> window{};  // of a rule over windows that has begun
};
struct RuleRow {
  RuleDefinition definition;
  uint64_t version = 0;  // the sequence of the command that made it so: none is used again
  bool paused = false;
  std::string reason;  // of the pause; empty: somebody said so
  LogTime created = 0;
  LogTime updated = 0;
  RuleCounters counters{};
  std::optional<Offset> outbox{};            // of a rule that posts: the next record of iot.outbox
  std::map<uint32_t, RuleCursor> cursors{};  // by the partition's index; one that is missing begins at 0
};
void append_row(ByteWriter& out, const RuleRow& row);
RuleRow read_row(ByteReader& in);
Buffer encode_rules_query(std::string_view after, bool alone);
std::optional<std::vector<RuleRow>> decode_rows(Bytes payload);

// Money that a rule moves.
struct RuleMove {
  fintech::Uint128 debit = 0;
  fintech::Uint128 credit = 0;
  fintech::Uint128 amount = 0;
  std::string_view key;  // of the id; empty: by the record's place
};
// An order that a rule enters, in its firm's name.
struct RuleOrder {
  book::Side side = book::Side::buy;
  fintech::exchange::Said quantity{};
  std::optional<fintech::exchange::Said> price{};  // none: at the market
  std::string_view symbol;
  std::string_view id;   // the ClOrdID; empty: by the rule and its position
  int64_t until_ms = 0;  // log time; 0: whenever
};
// What a rule makes of one record. What is published or posted alone is taken: of such an input, where there is no fault, nothing is
// told, and it needs no topic, payload and position.
struct RuleInput {
  Offset offset = 0;
  std::string_view topic;
  std::string_view payload;
  bool is_json = false;       // what reads the payload has found so
  std::string_view position;  // where its command stands in the log; empty: its stream, which is no view, does not say
  std::string_view fault;     // why there are no effects: a dead letter
  std::optional<RuleMove> transfer{};
  std::optional<RuleOrder> order{};
  std::string_view line{};    // of the line protocol, with its time; empty: none
  std::string_view shadow{};  // a devices::ShadowRequest of an update; empty: none
  bool posts = false;
  bool appends = false;
  std::string_view append_key{};
  std::string_view publish_topic{};  // empty: it publishes nothing
  uint8_t hops = 0;                  // of what it publishes (domain/rules/hops.h); 0: it has no such property
  std::string_view row{};            // what is appended, published and posted
};
void append_input(ByteWriter& out, const RuleInput& input);

// How far windows go with a run.
struct WindowStep {
  int64_t from_closed_ms = kBeforeAllMs;  // the rule's: a run of rows alone moves nothing but these
  uint32_t from_rows_done = 0;
  WindowPlace place{};   // behind it
  uint32_t rows = 0;     // that were taken, those with nothing to do too
  uint32_t late = 0;     // records
  int64_t clock_ms = 0;  // the watermark is by the clock: it is this, and no record is behind `upto`; 0: by records
};

// A run of records, those without effects too: the position goes from the first to behind the last one, with the effects.
struct RuleCommit {
  std::string_view rule;
  uint64_t version = 0;
  uint32_t index = 0;
  PartitionId partition = kNoPartition;
  Offset from = 0;
  Offset upto = 0;
  uint8_t attempt = 0;                 // of the same run; nothing comes of it but another command
  std::optional<WindowStep> window{};  // of a rule over windows; inputs are rows, too, by the last record of each
  std::vector<RuleInput> inputs;       // those with effects, by offset
};
// `inputs`: their bytes (append_input), `count` of them.
Buffer encode(const RuleCommit& head, Bytes inputs, uint16_t count);
std::optional<RuleCommit> decode_commit(Bytes payload);

// The id of the transfer that a rule makes of an input, the same for ever: by the key that the rule gives, in its own name, or by
// the place of the record. Never 0, never in the range of a machine.
fintech::Uint128 transfer_id(std::string_view rule, std::string_view key);
fintech::Uint128 transfer_id(std::string_view rule, PartitionId partition, Offset offset);

// What an order of the rule is for the exchange. `client_id`: where the rule gives it none.
fintech::exchange::PortOrder port_order(const OrderAction& action, const RuleOrder& order, std::string_view client_id);

// Records of a view that a commit made, and which of them are told to subscribers.
struct ToldRecords {
  PartitionId partition = kNoPartition;
  Offset first = 0;
  std::vector<PublishStatus> statuses;
  Buffer messages;
};

// For who delivers it: the records of the view that the command made, as messages, and those of `iot.shadows`.
struct CommitReply {
  using Told = ToldRecords;
  PartitionId partition = kNoPartition;
  std::vector<PublishStatus> statuses;
  Buffer messages;
  std::optional<Told> shadows{};
};
Buffer encode(const CommitReply& reply);
std::optional<CommitReply> decode_commit_reply(const Buffer& payload);

// Logic 4: what is published is in the log once. The result of a commit names the inputs that publish, and has whole what else is told.
constexpr uint32_t kLogicOnce = 4;
// Logic 5: orders.
constexpr uint32_t kLogicOrders = 5;
// Of what is told, one behind the other: a message, or the place of the input whose message it is.
void append_told(ByteWriter& out, const MessageView& message);
void append_told(ByteWriter& out, uint16_t input);
// The user property that counts hops, as messages have it.
std::string hops_property(uint8_t hops);

// What rules publish, what became of transfers, dead letters: key = topic, value = payload; messages at QoS 1.
constexpr ViewId kRulesView{kRulesMachineId, 1};
constexpr std::string_view kRulesStream = "iot.rules";
constexpr const char* kRulesTaken = "the stream iot.rules was made by a client and has records: delete it";
constexpr std::string_view kRulesTopics = "$rules/";  // $rules/NAME/transfer, order, dead_letter
constexpr int64_t kRulesRetentionMs = 7 * 24 * int64_t{3'600'000};
constexpr int64_t kRulesRetentionBytes = int64_t{1} << 30;
// Renders the outbox as well.
void render_rules(const LoggedCommand& logged, uint16_t number, RecordWriter& out);

}  // namespace heptane::iot::rules
