// Runs rules: reads what is synced of their streams, from where each rule is, makes of it what the rule says, and gives it to the
// machine in runs; the machine takes a run only where the rule is, so a run that is sent again or after a restart does
// nothing twice. While runs are on their way to the disk the next ones are made, each from where the one before it ends: where one is
// not taken none behind it is, and what comes of it is seen when all are answered. What the server has no room for now is sent again;
// what the machine does not take is sent in smaller runs, and an input that it does not take alone is a dead letter; a rule whose
// records are gone before it read them is paused and says why. It never holds what others do.
//
// What was read is evaluated on a worker where it is much and there is one that has room, as many runs at once as may be under way, else
// here: what a job has is its own until then, and what comes of it after the rule was changed or stopped is dropped.
//
// A rule over windows reads again, before it goes on, what its open windows are made of (WindowPlace), and does nothing with that but
// add it up. What a closed window gives is effects like others, in a run that says how far the windows are; what is open after a run
// that was not taken is made again. A window's time-out is the clock's, and only where no record is left to be read.
//
// A rule's Lua runs in a process of its own; what it makes of a run of rows is in the run, and is not asked for again where that is
// taken. What does not answer in time is killed; a rule for which that was three times is paused.
//
// Bounds: of a rule and partition one read of kReadBytes, less where there are very many, with one inflated batch, and kRunsMax runs under way, one where kRunsOfAll are
// shared by many, and over windows, with Lua and where it is careful (kInputsMax inputs, kMovesMax where they move money or change
// shadows, kOrdersMax where they enter orders, kCommitBytesMax; a run is as large as went well before, and twice that); kJobsMax jobs of all; a turn on the loop ends with kTurnRecords or kTurnNs; records that the rule does nothing with move its position at kQuietMax of them, or kQuietNs after the
// last. The I/O thread's: one session without a peer.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/net/io_counters.h"
#include "kernel/net/session.h"
#include "kernel/streams/api.h"
#include "modules/iot/gateway/rules/batch_walk.h"
#include "modules/iot/gateway/rules/captured_stream.h"
#include "modules/iot/gateway/rules/compiled_rule.h"
#include "modules/iot/gateway/rules/lua_function.h"
#include "modules/iot/gateway/rules/outbox_runner.h"
#include "modules/iot/gateway/rules/rule_lag.h"

namespace heptane::iot::rules {

// A rule as the configuration says it: with the stream over topics that it needs.
struct WantedRule {
  RuleDefinition rule;
  std::string filter;  // empty: it reads a stream that is there
};

class RuleRunner {
 public:
  static constexpr uint32_t kReadBytes = 256 << 10;
  static constexpr uint32_t kReadBytesLeast = 64 << 10;
  static constexpr uint64_t kReadBytesOfAll = 64 << 20;  // shared by many
  static constexpr size_t kRunsMax = 8;                  // of a lane
  static constexpr size_t kRunsOfAll = 64;               // beside the first one of each
  static constexpr int64_t kTickNs = 100'000'000;
  static constexpr int64_t kLookNs = 5'000'000'000;  // for partitions and streams that are new
  // Of one lane's turn, and of all that are due: the loop has others to serve.
  static constexpr uint32_t kTurnRecords = 512;
  static constexpr int64_t kTurnNs = 1'000'000;
  static constexpr uint32_t kClockRecords = 8;      // between two looks at the clock
  static constexpr size_t kJobsMax = 8;             // on the worker
  static constexpr uint32_t kRefusalsTold = 10;     // of one run for now, before it is said that the rule waits
  static constexpr size_t kHereBytesMax = 8 << 10;  // of batches, that are not worth a job
  static constexpr int64_t kQuietNs = 1'000'000'000;
  static constexpr Offset kQuietMax = 4'096;
  static constexpr int64_t kLuaLookNs = 500'000;
  static constexpr uint32_t kLuaKillsMax = 3;
  static constexpr int64_t kClockMsMax = 60'000;  // between two looks at the clock for windows
  static constexpr uint8_t kAttemptsMax = 2;      // beyond the first, of an input during which the server ended

  explicit RuleRunner(std::function<void(const std::string&)> report) : report_(std::move(report)) {}

  // What the configuration declares; one that it does not name any more stays.
  void want(std::vector<WantedRule> rules);
  // Who sends what they post hears of them after each look.
  void set_outbox(OutboxRunner* outbox) { outbox_ = outbox; }
  // What runs rules' Lua, instead of processes; before there are any.
  void set_lua(LuaStarter start) { start_lua_ = std::move(start); }
  // Rules were made, changed, paused, resumed or dropped.
  void changed();

  void attach(net::SessionContext& context);
  void detach();
  void on_reply(RequestId request, const Reply& reply);
  void on_records(RequestId request, const net::RecordsRead& records);
  void on_worked(RequestId request);
  void on_advanced(net::SubscriptionId subscription, Offset durable_end);
  void on_timer(net::SessionTimerId timer);
  // Rules that the server has had no room for over a second or so. Any thread.
  uint64_t waiting_count() const { return waiting_count_.load(std::memory_order_relaxed); }
  // Of rules that are paused, too, as of the last look. Likewise.
  const RuleLag& lag() const { return lag_; }

 private:
  enum class State : uint8_t { idle, reading, working, asking, committing, waiting, stopped };
  // What was read, and how far it was looked at.
  struct Reading {
    std::optional<net::RecordsRead> read{};
    size_t batch = 0;  // of those that were read
    std::optional<BatchWalk> walk{};

    void clear() { *this = {}; }
  };
  // That is under way or waits for room.
  struct Run {
    Buffer bytes;
    Offset upto = 0;
    uint16_t inputs = 0;
    std::optional<WindowPlace> place{};  // behind it
    RequestId request = 0;               // 0: not sent
    bool answered = false;               // and not taken
    Errc error = Errc::internal;
    std::string why{};
  };
  struct Evaluated {
    ByteWriter bytes;
    Workspace work{};
    std::vector<LuaCall> calls{};
    size_t call_bytes = 0;
    uint16_t inputs = 0;
    Offset upto = 0;
    uint32_t looked_at = 0;
    const net::SessionContext* clock = nullptr;  // of a turn of the loop
    int64_t until_ns = 0;                        // likewise
    int64_t latest_ms = 0;                       // that a record may be of
    bool over = false;                           // the run or the turn: there is more
  };
  struct Job;
  // One partition of one rule's stream.
  struct Lane {
    uint32_t index = 0;
    PartitionId partition = kNoPartition;
    Offset next = 0;  // the rule's position
    bool may_skip = false;
    Offset at = 0;  // looked at up to here: nothing was to be done from `next` on
    State state = State::idle;
    int64_t due_ns = 0;  // when to go on; 0: not by the clock
    size_t inputs_max = kMovesMax;
    size_t inputs_cap = kInputsMax;  // more at once was too much, or is for no such rule
    bool proven =
        false;  // a run of it was taken since the start: before that what ended the server must come again as it was
    uint32_t refusals = 0;  // for now, of the first run
    uint8_t attempt = 0;
    Offset careful_upto = 0;  // one input at a time up to here: a run of them ended the server
    std::string fault{};      // what became of the next input, alone: it is a dead letter
    // Of a rule with Lua.
    std::vector<LuaCall> calls{};  // that are asked of it, or wait for another lane's
    Offset calls_upto = 0;
    bool asked = false;
    Offset killed_at = -1;
    // Of a rule over windows.
    std::optional<WindowPlace> place{};         // the rule's, with `next`
    std::optional<Windows> windows{};           // as of `at`; none: to be made again
    Offset rebuilt_upto = 0;                    // up to here records only make them again
    std::optional<streams::RecordView> held{};  // the next record, behind rows that are due
    WindowStep step{};                          // of the next run
    Reading reading{};
    std::deque<Evaluated>
        ready{};                 // that a job made behind `at`, not given to the machine yet; `reading` is behind them
    std::shared_ptr<Job> job{};  // that it waits for
    std::deque<Run> runs{};      // one behind the other from `next` on; the last one may not be sent yet
    net::SubscriptionId subscription = 0;
    RequestId request = 0;  // of what it reads

    // Behind all runs.
    Offset sent() const { return runs.empty() ? next : runs.back().upto; }
  };
  struct Running {
    RuleDefinition definition;
    uint64_t version = 0;
    std::shared_ptr<const CompiledRule> compiled;
    std::map<uint32_t, Lane> lanes;
    std::unique_ptr<LuaFunction> lua{};
    uint32_t lua_kills = 0;  // since one went well
  };
  // A rule that is paused: where it stands.
  struct Resting {
    std::string source;
    std::map<uint32_t, RuleCursor> cursors;
  };
  struct LaneKey {
    std::string rule;
    uint32_t index = 0;
    friend auto operator<=>(const LaneKey&, const LaneKey&) = default;
  };
  // A worker's until it is done: a lane with what it takes to go on with what was read.
  struct Job {
    std::shared_ptr<const CompiledRule> rule;
    Lane lane;
    size_t runs_max = 1;
    std::deque<Evaluated> runs;
  };

  // A rule of the configuration on its way: what streams there are, its own one, the rule, and that one taken back where the rule
  // is refused.
  enum class Step : uint8_t { ask, stream, put, undo };
  struct Declaration {
    WantedRule wanted;
    Step step = Step::ask;
    std::optional<StreamChange> change{};
    bool told = false;  // that it was refused
  };

  void send_wanted();
  bool send_step(RequestId request, const Declaration& first);
  void want_again();
  void next_step(const Reply& reply);
  void refused(const Reply& reply);
  bool take_wanted(RequestId request, const Reply& reply);
  void look();
  void look_later(int64_t delay_ns);
  void take_rules(const Reply& reply);
  void take_row(RuleRow row);
  void describe();
  void take_streams(const Reply& reply);
  void take_partitions(Running& running, const streams::StreamInfo& info);
  void close_lanes(Running& running);
  void measure_lag(const std::vector<streams::StreamInfo>& infos);
  Offset read_upto(const std::string& rule, uint32_t index, const streams::PartitionInfo& partition) const;

  Lane* find(const LaneKey& key, Running** rule = nullptr);
  void go_on(const std::string& name, Running& rule, Lane& lane);
  bool hand_over(const std::string& name, const Running& rule, Lane& lane);
  void take_ready(const std::string& name, Running& rule, Lane& lane);
  void take_evaluated(const std::string& name, Running& rule, Lane& lane, Evaluated& run);
  void read(const std::string& name, Lane& lane);
  void take_read(const std::string& name, Running& rule, Lane& lane, const net::RecordsRead& records);
  void met_gap(const std::string& name, Running& rule, Lane& lane, Offset log_start);
  Evaluated begin_run(const Lane& lane) const;
  static void evaluate(const CompiledRule& rule, Lane& lane, Evaluated& run);
  static void work_off(Job& job);
  static void walk_on(const CompiledRule& rule, Lane& lane, Evaluated& run);
  static void begin_windows(const Running& rule, Lane& lane);
  static bool has_rows(const Lane& lane, Offset at);
  static void take_rows(const CompiledRule& rule, Lane& lane, Evaluated& run);
  static void offer(const CompiledRule& rule, Lane& lane, const streams::RecordView& record, Evaluated& run);
  void wait_for_clock(const Running& rule, Lane& lane);
  bool close_by_clock(const Running& rule, Lane& lane) const;
  static bool is_over(const Lane& lane, const Evaluated& run);
  static void take_record(const CompiledRule& rule, Lane& lane, const streams::RecordView& record, Evaluated& run);
  static void add_call(const CompiledRule& rule, const Lane& lane, const streams::RecordView& record, Evaluated& run);
  static void append_fault(const Lane& lane, const streams::RecordView& record, ByteWriter& out);
  static void pass_over(const Lane& lane, Evaluated& run);
  void stand_still(Lane& lane);
  void forget_runs(Lane& lane);
  void look_afresh(Lane& lane);
  size_t runs_max(const Running& rule, const Lane& lane) const;
  static size_t inputs_most(const Running& rule, const Lane& lane);
  static Lane fresh_lane(const Running& rule);
  void ask_lua(const std::string& name, Running& rule, Lane& lane);
  void look_at_lua(const std::string& name, Running& rule, Lane& lane);
  void take_answers(const std::string& name, Running& rule, Lane& lane, const std::vector<Frame>& answers);
  static void drop_calls(Running& rule, Lane& lane);
  void commit(const std::string& name, Running& rule, Lane& lane, const Evaluated& run);
  void send_run(const std::string& name, Running& rule, Lane& lane);
  static bool shrink(Lane& lane, const Run& run);
  void take_commit(const LaneKey& key, Running& rule, Lane& lane, RequestId request, const Reply& reply);
  static void took_run(Running& rule, Lane& lane, const Run& run, Offset position);
  void not_taken(const std::string& name, Running& rule, Lane& lane);
  void waits(const std::string& name, Lane& lane, const std::string& why);
  void waits_no_more(const std::string& name);
  void caught_up(const std::string& name, const Running& rule, Lane& lane);
  void tick(const std::string& name, Running& rule, Lane& lane);
  void pause(const std::string& name, Running& rule, const std::string& why);
  void serve_due();
  void wake_for_lanes();
  void later(Lane& lane, int64_t delay_ns);
  void wake_within(int64_t delay_ns);
  RequestId next_request() { return ++last_request_; }
  bool submit(RequestId request, MachineId machine, CommandType type, Buffer payload);

  std::function<void(const std::string&)> report_;
  net::SessionContext* context_ = nullptr;
  int64_t log_ms_ = 0;  // the newest time of the log that was heard
  std::map<std::string, Running> rules_;
  size_t lanes_ = 0;  // of all, at the last look
  std::set<std::string> told_to_wait_;
  std::atomic<uint64_t> waiting_count_{0};  // of those
  size_t jobs_ = 0;                         // on the worker, with those that nobody waits for any more
  std::map<RequestId, LaneKey> asked_;
  std::map<net::SubscriptionId, LaneKey> waiting_;
  RequestId last_request_ = 0;

  std::map<std::string, Resting> resting_;
  RuleLag lag_;
  std::map<std::string, Running> kept_;  // of the last look, while the next one is under way
  OutboxRunner* outbox_ = nullptr;
  LuaStarter start_lua_ = start_lua_process;
  std::vector<RuleRow> posting_;  // of the look that is under way
  bool looking_ = false;
  bool look_again_ = false;
  std::string looked_at_;
  RequestId look_request_ = 0;
  RequestId describe_request_ = 0;
  int64_t next_look_ns_ = 0;
  LaneKey served_{};               // the last one whose turn it was
  net::SessionTimerId timer_ = 0;  // 0: not armed
  int64_t timer_ns_ = 0;           // when it fires

  std::deque<Declaration> wanted_;
  RequestId wanted_request_ = 0;   // of the first one; 0: it is not under way
  std::vector<WantedRule> unmet_;  // a stream that they name is not there yet: asked for again at each look
};

// The runner's session.
class RuleProtocol final : public net::Protocol {
 public:
  explicit RuleProtocol(RuleRunner& runner) : runner_(runner) {}
  std::string_view name() const override { return "rules"; }
  std::unique_ptr<net::Session> open(const net::Address& remote) override;
  size_t message_limit_bytes() const override { return 1; }

 private:
  RuleRunner& runner_;
};

}  // namespace heptane::iot::rules
