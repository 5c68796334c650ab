#include "sim/rules_clients.h"

namespace heptane::sim {

namespace {

constexpr uint32_t kReadingsMax = 150;
constexpr uint32_t kTicksMax = 60;
constexpr uint32_t kPreparations = 4;
constexpr uint32_t kMore = 3;  // behind them: what ticks need
const std::string kRules = "/api/v1/rules/";

std::string body_of(std::string_view rule) {
  if (rule == "tick") return tick_rule();
  if (rule == "chain") return chain_rule();
  if (rule == "lua") return lua_rule();
  return rule == "late" ? late_rule() : fives_rule();
}

std::string stream_body(std::string_view name) { return R"({"name":)" + quoted(name) + R"(,"partitions":1})"; }

}  // namespace

SimMeter::SimMeter(ClientWorld& world, MqttWatch& mqtt, RulesWatch& watch, uint32_t number, uint16_t port)
    : SimMqttSender(world, mqtt, "meter-" + std::to_string(number), port, static_cast<uint8_t>(1 + number % 2)),
      rules_(watch),
      number_(number) {
  rules_.meters.push_back({qos_, 0});
}

SimMessage SimMeter::message(uint32_t number) const {
  const SimReading reading = reading_of(number_, number);
  return {topic_of(reading), payload_of(reading)};
}

bool SimMeter::may_send(uint32_t number) {
  return rules_.meters_may_begin && watch_.all_subscribed() && number <= kReadingsMax;
}

bool SimRulesOperator::finished() const {
  const bool all_go_on = paused_.empty() && !watch_.lua.is_paused();
  return SimHttpClient::finished() && (all_go_on || world_.checker.lost_tail_allowed());
}

// Accounts, funds and what it appends to are there before the first rule.
void SimRulesOperator::prepare(uint32_t step) {
  switch (step) {
    case 0:
      return ask("POST", "/api/v1/ledger/accounts",
                 R"({"accounts":[{"id":"900","ledger":7,"code":1},{"id":"101","ledger":7,"code":1},)"
                 R"({"id":"100","ledger":7,"code":1,"flags":["debits_must_not_exceed_credits"]}]})");
    case 1:
      return ask("POST", "/api/v1/ledger/transfers",
                 R"({"transfers":[{"id":"1","debit_account_id":"900","credit_account_id":"100","ledger":7,"code":1,)"
                 R"("amount_raw":")" +
                     std::to_string(kFunds) + R"("}]})");
    case 2: return ask("POST", "/api/v1/streams", stream_body("sim-owed"));
    case 3: return put("bill", bill_rule(2, true));
    case 4: return ask("POST", "/api/v1/streams", stream_body("sim-ticks"));
    case 5: return ask("POST", "/api/v1/streams", stream_body("sim-tocks"));
    default: return put("lua", lua_rule());
  }
}

void SimRulesOperator::put(const std::string& rule, const std::string& body) {
  rules_.insert(rule);
  ask("PUT", kRules + rule, body);
}

void SimRulesOperator::pause_or_resume(const std::string& rule) {
  const bool resumes = paused_.contains(rule);
  if (!resumes) paused_.insert(rule);
  ask("POST", kRules + rule + (resumes ? "/resume" : "/pause"), "");
}

// That the server paused.
void SimRulesOperator::resume_lua() { ask("POST", kRules + "lua/resume", ""); }

void SimRulesOperator::append_tick() {
  if (watch_.ticks >= kTicksMax) return;
  std::string value;
  for (const char c : tick_of(watch_.ticks + 1)) value += c == '"' ? std::string("\\\"") : std::string(1, c);
  ask("POST", "/api/v1/streams/sim-ticks/records", R"({"records":[{"value":)" + quoted(value) + "}]}",
      "Idempotency-Key: tick-" + std::to_string(watch_.ticks + 1) + "\r\n");
}

void SimRulesOperator::compose() {
  if (finishing_) return paused_.empty() ? resume_lua() : pause_or_resume(*paused_.begin());
  if (prepared_ < kPreparations + kMore) return prepare(prepared_);
  static constexpr const char* kDropped[] = {"tick", "chain", "late", "fives", "lua"};
  const std::string other = kDropped[world_.random.below(std::size(kDropped))];
  if (watch_.lua.is_paused() && world_.random.one_in(4)) return resume_lua();
  switch (world_.random.below(10)) {
    case 0: return put("bill", bill_rule(static_cast<uint32_t>(2 + world_.random.below(3)), world_.random.one_in(2)));
    case 1: return pause_or_resume(world_.random.one_in(2) || !rules_.contains(other) ? "bill" : other);
    case 2: return paused_.empty() ? append_tick() : pause_or_resume(*paused_.begin());
    case 3:
      if (rules_.contains(other) && !paused_.contains(other) && world_.random.one_in(2)) {
        rules_.erase(other);
        return ask("DELETE", kRules + other, "");
      }
      return put(other, body_of(other));
    default: return append_tick();
  }
}

bool SimRulesOperator::on_response(int status, std::string_view) {
  const std::string_view asked = request();
  const bool done = status == 200 || status == 201;
  // What was done before the answer was lost, and is asked again.
  const bool was_done =
      (asked.starts_with("DELETE") && status == 404) || (asked.starts_with("POST /api/v1/streams ") && status == 409);
  if (!done && !was_done) return false;
  if (prepared_ < kPreparations + kMore && ++prepared_ == kPreparations) watch_.meters_may_begin = true;
  if (asked.find("/resume ") != std::string_view::npos)
    paused_.erase(std::string(asked.substr(5 + kRules.size(), asked.find("/resume ") - 5 - kRules.size())));
  if (asked.find("/records ") != std::string_view::npos) ++watch_.ticks;
  return true;
}

}  // namespace heptane::sim
