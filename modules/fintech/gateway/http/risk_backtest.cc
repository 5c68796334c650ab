#include "modules/fintech/gateway/http/risk_backtest.h"

#include <limits>
#include <optional>
#include <utility>

#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"
#include "modules/fintech/domain/ledger/amount.h"

namespace heptane::fintech::exchange_http {

namespace {

using risk_rules::Facts;
using risk_rules::Field;
using risk_rules::Int128;
using risk_rules::KeyPart;
using risk_rules::Verdict;

// Members of a record that must all be there.
class VerdictRecord {
 public:
  explicit VerdictRecord(const http::JsonValue& root) : root_(root) {}

  bool is_verdict() const {
    const auto event = root_.find("event");
    return event && event->text() == "verdict";
  }
  std::string text(std::string_view name) {
    const auto value = root_.find(name);
    if (!value || value->type() != http::JsonType::text) complete_ = false;
    return std::string(value ? value->text() : "");
  }
  // Its digits, without the point.
  Int128 number(std::string_view name) {
    const std::string said = text(name);
    const bool negative = said.starts_with('-');
    const auto decimal = parse_decimal(std::string_view(said).substr(negative ? 1 : 0));
    if (!decimal || decimal->digits > static_cast<Uint128>(std::numeric_limits<Int128>::max())) {
      complete_ = false;
      return 0;
    }
    const auto digits = static_cast<Int128>(decimal->digits);
    return negative ? -digits : digits;
  }
  bool complete() const { return complete_; }

 private:
  http::JsonValue root_;
  bool complete_ = true;
};

struct Order {
  std::array<std::string, risk_rules::kTextFields> texts;
  std::string client_id;
  std::string was;
  Facts facts;
};

Order read_order(VerdictRecord& record) {
  Order order;
  const auto text = [&](Field field) -> std::string& { return order.texts[static_cast<size_t>(field)]; };
  text(Field::firm) = record.text("firm");
  text(Field::account) = text(Field::firm) + "/" + record.text("account");
  text(Field::instrument) = record.text("symbol");
  text(Field::side) = record.text("side");
  text(Field::type) = record.text("type");
  text(Field::action) = record.text("action");
  text(Field::session) = record.text("session");
  order.client_id = record.text("cl_ord_id");
  order.was = record.text("verdict");
  order.facts.quantity = record.number("quantity");
  order.facts.price = record.number("price");
  order.facts.notional = record.number("notional");
  order.facts.more_quantity = static_cast<Uint128>(record.number("more_quantity"));
  order.facts.more_notional = static_cast<Uint128>(record.number("more_notional"));
  order.facts.time = static_cast<LogTime>(record.number("time_ns"));
  return order;
}

std::string difference(const Order& order, std::string_view position, Verdict now, const std::string& why) {
  http::JsonWriter out;
  out.begin_object().key("position").text(position).key("cl_ord_id").text(order.client_id);
  out.key("account").text(order.texts[static_cast<size_t>(Field::account)]);
  out.key("symbol").text(order.texts[static_cast<size_t>(Field::instrument)]);
  out.key("was").text(order.was).key("would_be").text(risk_rules::verdict_name(now));
  if (!why.empty()) out.key("why").text(why);
  out.end_object();
  return out.take();
}

}  // namespace

Result<RiskBacktest> RiskBacktest::make(risk_rules::RuleSetSpec spec, const risk_rules::Lists& lists) {
  RiskBacktest made;
  for (const auto& [name, list] : lists) HEPTANE_TRY(made.book_.put_list(list));
  HEPTANE_TRY(made.book_.put(std::move(spec)));
  return made;
}

std::string RiskBacktest::take(std::string_view record, std::string_view position) {
  const auto document = http::JsonDocument::parse(std::string(record));
  if (!document) return ++unread_, "";
  VerdictRecord reader((*document)->root());
  if (!reader.is_verdict()) return "";
  Order order = read_order(reader);
  if (!reader.complete()) return ++unread_, "";
  Facts& facts = order.facts;
  for (size_t n = 0; n < order.texts.size(); ++n) facts.texts[n] = order.texts[n];
  const std::string& firm = order.texts[static_cast<size_t>(Field::firm)];
  const std::string& session = order.texts[static_cast<size_t>(Field::session)];
  const auto id = [&](KeyPart part) -> uint32_t& { return facts.ids[static_cast<size_t>(part)]; };
  id(KeyPart::firm) = number_of("firm " + firm);
  id(KeyPart::account) = number_of("account " + order.texts[static_cast<size_t>(Field::account)]);
  id(KeyPart::instrument) = number_of("instrument " + order.texts[static_cast<size_t>(Field::instrument)]);
  id(KeyPart::session) = number_of(session.empty() ? "over HTTP " + firm : "session " + session);
  const risk_rules::Outcome outcome = book_.judge(facts);
  ++judged_;
  ++verdicts_[static_cast<size_t>(outcome.verdict)];
  if (outcome.verdict == Verdict::allow) book_.count(facts);
  if (risk_rules::verdict_name(outcome.verdict) == order.was) return "";
  ++differ_;
  return difference(order, position, outcome.verdict,
                    outcome.verdict == Verdict::allow ? "" : book_.why(outcome, facts));
}

}  // namespace heptane::fintech::exchange_http
