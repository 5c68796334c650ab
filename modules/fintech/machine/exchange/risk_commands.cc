// Rules over orders: put, shown, what they say of an order, and that in fintech.risk.
#include "modules/fintech/machine/exchange/audit.h"
#include "modules/fintech/machine/exchange/exchange_machine.h"

namespace heptane::fintech::exchange {

namespace {

using risk_rules::KeyPart;
using risk_rules::Verdict;

constexpr uint32_t kOverHttp = 1u << 31;  // of a window's key by session: all of a firm that came over none
constexpr size_t kWindowRowBytesMax = size_t{64} << 10;
constexpr size_t kRiskBytesMax = size_t{4} << 20;

void refuse_risk(Effects& effects, const Error& error) { effects.refuse(error.code, error.detail, error.message); }

struct SavedWindow {
  risk_rules::Window::LeftOut left_out;
  uint32_t keys = 0;
};
template <class A, Same<SavedWindow> S>
void fields(A& a, S& t) {
  a(t.left_out.all_until, t.left_out.keys_since, t.left_out.keys_until, t.keys);
}

Int128 of_size(Int128 notional) { return notional < 0 ? -notional : notional; }

// The gateway has read them so; whoever else sends them.
Result<void> judge_reviews(const risk_rules::RuleSetSpec& spec, uint32_t version) {
  if (spec.reviews.empty()) return {};
  if (version < kReviewVersion)
    return Error{Errc::unsupported,
                 "reviews are of version 4 of the exchange's logic on: heptane upgrade activate exchange"};
  uint32_t least = 0;
  for (const risk_rules::ReviewSpec& review : spec.reviews) {
    if (review.rule < least || review.rule >= spec.rules.size() || review.seconds == 0 ||
        review.seconds > kReviewSecondsMax)
      return Error{Errc::invalid_argument, "the command's reviews are of no rules"};
    least = review.rule + 1;
  }
  return {};
}

Error too_early() {
  return {Errc::unsupported,
          "risk rules are of version 3 of the exchange's logic on: heptane upgrade activate exchange"};
}

}  // namespace

void ExchangeMachine::apply_put_risk_rules(Now& now) {
  if (now.effects.version() < kRiskVersion) return refuse_risk(now.effects, too_early());
  auto asked = unpacked<RiskRulesPut>(now.command.payload);
  if (!asked || asked->source.size() > kRiskSourceMax)
    return refuse_risk(now.effects, {Errc::invalid_argument, "the command is no set of rules"});
  if (const Result<void> fits = judge_reviews(asked->spec, now.effects.version()); !fits)
    return refuse_risk(now.effects, fits.error());
  const size_t rules = asked->spec.rules.size();
  std::optional<risk_rules::RuleSetSpec> spec;
  if (!asked->off) spec = std::move(asked->spec);
  if (const Result<void> put = risk_.put(std::move(spec)); !put) return refuse_risk(now.effects, put.error());
  risk_source_ = asked->off ? std::string() : std::move(asked->source);
  JsonRecord record(asked->off ? "risk_rules_off" : "risk_rules");
  record.number("version", risk_.version()).number("rules", rules).number("by", now.command.principal.id);
  notes_.add(kRiskView, "rules", record.end());
  audit(now.command, "exchange.risk_rules", "version " + std::to_string(risk_.version()),
        asked->off ? "off" : std::to_string(rules) + " rules", now.effects);
  now.effects.reply(static_cast<int64_t>(risk_.version()));
}

void ExchangeMachine::apply_put_risk_list(Now& now) {
  if (now.effects.version() < kRiskVersion) return refuse_risk(now.effects, too_early());
  auto asked = unpacked<RiskListPut>(now.command.payload);
  if (!asked) return refuse_risk(now.effects, {Errc::invalid_argument, "the command is no list"});
  const std::string name = asked->list.name;
  const size_t items = asked->list.size();
  const Result<void> done = asked->remove ? risk_.remove_list(name) : risk_.put_list(std::move(asked->list));
  if (!done) return refuse_risk(now.effects, done.error());
  JsonRecord record(asked->remove ? "risk_list_removed" : "risk_list");
  record.text("list", name).number("version", risk_.version()).number("items", items);
  record.number("by", now.command.principal.id);
  notes_.add(kRiskView, name, record.end());
  audit(now.command, asked->remove ? "exchange.risk_list_remove" : "exchange.risk_list", name,
        std::to_string(items) + " items", now.effects);
  now.effects.reply(static_cast<int64_t>(risk_.version()));
}

// ---- orders

ExchangeMachine::RiskJudged::RiskJudged(const Admitted& admitted, const ExchangeMachine& machine, LogTime now) {
  using risk_rules::Field;
  const Order& order = admitted.order;
  const Firm& firm = machine.directory_.firm(order.firm);
  const Instrument& i = admitted.listing->instrument();
  const uint32_t session = machine.fix_.requester();
  replaces = admitted.replaced != 0;
  account = firm.name + "/" + machine.directory_.account(order.account).name;
  const auto text = [&](Field field) -> std::string_view& { return facts.texts[static_cast<size_t>(field)]; };
  text(Field::account) = account;
  text(Field::firm) = firm.name;
  text(Field::instrument) = i.symbol;
  text(Field::side) = side_name(order.funds.side);
  text(Field::type) = type_name(order.type);
  text(Field::action) = replaces ? "replace" : "new";
  if (session != 0) text(Field::session) = machine.fix_.at(session).spec.name;
  const auto id = [&](KeyPart part) -> uint32_t& { return facts.ids[static_cast<size_t>(part)]; };
  id(KeyPart::account) = order.account;
  id(KeyPart::firm) = order.firm;
  id(KeyPart::instrument) = order.instrument;
  id(KeyPart::session) = session != 0 ? session : kOverHttp | order.firm;
  facts.quantity = order.funds.leaves;
  facts.price = order.funds.price;
  facts.notional = notional(i, order.funds.price, order.funds.leaves);
  if (order.funds.leaves > admitted.replaced) facts.more_quantity = order.funds.leaves - admitted.replaced;
  const Int128 more = of_size(facts.notional) - of_size(notional(i, admitted.replaced_price, admitted.replaced));
  if (more > 0) facts.more_notional = static_cast<Uint128>(more);
  facts.time = now;
}

// Why the order goes no further; that is told.
Result<void> ExchangeMachine::judge_risk(const Admitted& admitted, std::optional<RiskJudged>& judged, const Now& now) {
  judged.emplace(admitted, *this, now.time);
  judged->outcome = risk_.judge(judged->facts);
  const Verdict verdict = judged->outcome.verdict;
  if (verdict == Verdict::allow) return {};
  judged->why = risk_.why(judged->outcome, judged->facts);
  const risk_rules::ReviewSpec* review = verdict == Verdict::review ? risk_.review_of(judged->outcome) : nullptr;
  if (review != nullptr && !judged->replaces && reviews_.size() < kReviewsMax) {
    judged->review = review;
    return {};
  }
  tell_verdict(*judged, admitted, 0);
  count_order(admitted.order, admitted);  // its rate: what is refused here is kept, and costs
  risk_refused_ = true;
  std::string text = verdict == Verdict::deny ? "denied by " : "it needs a review, which is not to be had here: ";
  if (review != nullptr)
    text = judged->replaces ? "a replace is not held for a review: " : "too many wait for a review: ";
  return Error{Errc::refused, text + risk_.why_for_client(judged->outcome, judged->facts),
               kFixReason + static_cast<uint32_t>(Rejected::other)};
}

// The order was entered, or replaced.
void ExchangeMachine::count_risk(const RiskJudged& judged, const Admitted& admitted) {
  risk_.count(judged.facts);
  tell_verdict(judged, admitted, admitted.order.id);
}

void ExchangeMachine::tell_verdict(const RiskJudged& judged, const Admitted& admitted, uint64_t order_id) {
  const Order& order = admitted.order;
  const Instrument& i = admitted.listing->instrument();
  RiskTold told;
  told.verdict = judged.outcome.verdict;
  told.replaces = judged.replaces;
  told.version = risk_.version();
  told.order_id = order_id;
  told.client_id = order.client_id;
  told.firm = judged.facts.text(risk_rules::Field::firm);
  told.account = directory_.account(order.account).name;
  told.symbol = i.symbol;
  told.session = judged.facts.text(risk_rules::Field::session);
  told.side = order.funds.side;
  told.type = order.type;
  told.price = order.funds.price;
  told.quantity = order.funds.leaves;
  told.more_quantity = static_cast<uint64_t>(judged.facts.more_quantity);
  told.notional = judged.facts.notional;
  told.more_notional = judged.facts.more_notional;
  told.price_scale = i.price_scale;
  told.quantity_scale = i.quantity_scale;
  told.quote_scale = i.quote_scale;
  if (told.verdict != Verdict::allow) told.rule = risk_.rule_name(judged.outcome), told.why = judged.why;
  notes_.add(told);
}

// What a rule did not let through is kept, with its record: the answer says no.
void ExchangeMachine::refuse_order(const Error& error, Now& now) {
  if (!risk_refused_) return now.effects.refuse(error.code, error.detail, error.message);
  answer_.clear();
  answer_(RiskRefused{error.message, error.detail});
  now.effects.reply(answer_.view(), 0, static_cast<int64_t>(risk_.version()));
}

// ---- what is shown

void ExchangeMachine::query_risk_rules(Reply& reply) const {
  RiskRow row;
  row.on = risk_.on();
  row.version = risk_.version();
  row.source = risk_source_;
  for (const risk_rules::Window& window : risk_.windows())
    row.windows.push_back({window.spec().name, window.keys(), window.spec().keys});
  row.memory_bytes = risk_.memory_bytes();
  reply.payload = packed(row);
}

void ExchangeMachine::query_risk_lists(Reply& reply) const {
  Packer out;
  for (const auto& [name, list] : risk_.lists()) out(RiskListRow{name, list.numbers, list.size()});
  reply.payload = Buffer::take(out.release());
  reply.numbers = {static_cast<int64_t>(risk_.lists().size()), 0};
}

void ExchangeMachine::query_risk_list(const std::string& name, Reply& reply) const {
  const auto found = risk_.lists().find(name);
  if (found != risk_.lists().end()) {
    reply.payload = packed(found->second);
    return;
  }
  reply.error = Errc::not_found;
  reply.message = "there is no list " + name;
}

// ---- snapshots

void ExchangeMachine::save_risk(SnapshotWriter& writer) const {
  writer.le(risk_.version());
  writer.le(static_cast<uint32_t>(risk_.lists().size()));
  for (const auto& [name, list] : risk_.lists()) writer.blob(packed(list).view());
  RiskRulesPut put{!risk_.on(), risk_.spec().value_or(risk_rules::RuleSetSpec()), risk_source_};
  writer.blob(packed(put).view());
  for (const risk_rules::Window& window : risk_.windows()) {
    writer.blob(packed(SavedWindow{window.left_out(), window.keys()}).view());
    window.each([&](const risk_rules::Window::Saved& row) { writer.blob(packed(row).view()); });
  }
}

void ExchangeMachine::restore_risk(SnapshotReader& reader) {
  const auto version = reader.le<uint64_t>();
  for (auto lists = reader.le<uint32_t>(); lists > 0 && !reader.failed(); --lists) {
    const std::string bytes = reader.text(kRiskBytesMax);
    auto list = unpacked<risk_rules::List>(as_bytes(bytes));
    if (!list || !risk_.put_list(std::move(*list))) return reader.fail();
  }
  const std::string bytes = reader.text(kRiskBytesMax);
  auto put = unpacked<RiskRulesPut>(as_bytes(bytes));
  if (!put || (!put->off && !risk_.put(std::move(put->spec)))) return reader.fail();
  risk_source_ = std::move(put->source);
  for (size_t number = 0; number < risk_.windows().size() && !reader.failed(); ++number)
    restore_risk_window(number, reader);
  risk_.restore_version(version);
}

void ExchangeMachine::restore_risk_window(size_t number, SnapshotReader& reader) {
  const std::string bytes = reader.text(kWindowRowBytesMax);
  const auto saved = unpacked<SavedWindow>(as_bytes(bytes));
  if (!saved) return reader.fail();
  risk_.restore_left_out(number, saved->left_out);
  for (uint32_t keys = saved->keys; keys > 0 && !reader.failed(); --keys) {
    const std::string row_bytes = reader.text(kWindowRowBytesMax);
    const auto row = unpacked<risk_rules::Window::Saved>(as_bytes(row_bytes));
    if (!row || !risk_.restore_key(number, *row)) reader.fail();
  }
}

}  // namespace heptane::fintech::exchange
