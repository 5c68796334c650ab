#include "modules/iot/machine/rules/rule_effects.h"

#include <algorithm>

#include "kernel/base/assert.h"
#include "kernel/base/base64.h"
#include "kernel/streams/streams_machine.h"
#include "modules/fintech/domain/exchange/port.h"
#include "modules/fintech/domain/ledger/port.h"
#include "modules/fintech/domain/ledger/status_names.h"
#include "modules/iot/domain/topics/topics.h"
#include "modules/iot/machine/broker_machine.h"
#include "modules/iot/machine/devices/devices_machine.h"
#include "modules/iot/machine/json_object.h"
#include "modules/iot/machine/rules/outbox_api.h"
#include "modules/iot/machine/rules/rules_machine.h"
#include "modules/iot/machine/series/series_machine.h"
#include "modules/iot/machine/stream_api.h"

namespace heptane::iot::rules {

namespace {

constexpr const char* kTooMuch = "the run makes more than one command may: send fewer inputs";
constexpr LogTime kNsPerSecond = 1'000'000'000;
constexpr LogTime kNsPerMs = 1'000'000;
constexpr size_t kShownPayloadBytes = 1'024;                              // of an input, in what is told of it
constexpr size_t kEscapedBytes = 6;                                       // of one byte in JSON, at most
constexpr size_t kHopsBytes = 32;                                         // of the property that counts hops
constexpr size_t kMessageBytes = 64;                                      // of a message or record, beside its texts
constexpr size_t kPostBytes = kExpressionBytesMax * kEscapedBytes + 512;  // of a record of the outbox, beside the row
constexpr size_t kToldBytes = 2'048;  // of what is told of an input, beside its texts
constexpr uint64_t kRecordsOfInput =
    7;  // a transfer's in both views, a record, a message, a post and what is told of them
constexpr uint64_t kRecordsOfInputBefore = 6;  // logic 1 has no posts

std::string wide_text(fintech::Uint128 number) {
  std::string digits;
  for (; number > 0 || digits.empty(); number /= 10) digits += static_cast<char>('0' + static_cast<int>(number % 10));
  std::reverse(digits.begin(), digits.end());
  return digits;
}

// Text for a person where it is text, which JSON's white space in it does not change.
bool is_shown(std::string_view payload) {
  std::string plain(payload);
  std::replace_if(
      plain.begin(), plain.end(), [](char c) { return c == '\n' || c == '\r' || c == '\t'; }, ' ');
  return plain.empty() || valid_text(plain);
}

// Behind what the server says itself.
void show_payload(JsonObject& object, const RuleInput& input) {
  const std::string_view shown = input.payload.substr(0, kShownPayloadBytes);
  const bool whole = shown.size() == input.payload.size();
  if (is_shown(input.topic)) object.text("topic", input.topic);
  if (!whole) object.number("payload_bytes", static_cast<int64_t>(input.payload.size()));
  if (whole && input.is_json)
    object.raw("payload", shown);
  else if (whole && is_shown(shown))
    object.text("payload", shown);
  else
    object.text("payload_base64", base64_encoded(shown));
}

// At most, of an input in one of what is told of it.
uint64_t shown_bytes(const RuleInput& input) {
  const size_t payload = std::min(input.payload.size(), kShownPayloadBytes) * (input.is_json ? 2 : kEscapedBytes);
  return payload + (input.topic.size() + input.position.size()) * kEscapedBytes;
}

// Nothing can go wrong with a message that is published or posted.
bool may_be_told_of(const RuleInput& input) {
  return !input.fault.empty() || input.transfer || input.order || !input.shadow.empty() || !input.line.empty() ||
         input.appends;
}

fintech::exchange::OrderPort& exchange_of(Effects& effects) {
  auto* port = dynamic_cast<fintech::exchange::OrderPort*>(&effects.enlist(fintech::exchange::kExchangeMachineId));
  HEPTANE_ASSERT(port != nullptr, "the machine of the exchange has its port");
  return *port;
}

devices::DevicesMachine& devices_of(Effects& effects) {
  return effects.port<devices::DevicesMachine>(devices::kDevicesMachineId);
}

}  // namespace

RuleEffects::RuleEffects(const RuleRow& row, const RuleCommit& commit, const Command& command, Effects& effects)
    : row_(row),
      commit_(commit),
      command_(command),
      effects_(effects),
      version_(effects.version()),
      streams_(effects.port<streams::StreamsMachine>(machine_ids::kStreams)) {
  if (row.definition.shadow) shadows_.emplace(devices_of(effects).registry(), devices_of(effects).shadows());
  if (!row.definition.append) return;
  while (target_partitions_ < streams::kPartitionsLimit &&
         streams_.find_partition(row.definition.append->stream, target_partitions_))
    ++target_partitions_;
}

// What producers of other streams write as a position is their word, and not the server's.
void RuleEffects::show_input(JsonObject& object, const RuleInput& input) const {
  const bool is_view = streams_.view_of(commit_.partition).is_view();
  if (is_view && !input.position.empty()) object.text("position", input.position);
  object.text("stream", row_.definition.source);
  object.number("partition", commit_.index);
  object.number("offset", input.offset);
  object.number("rule_version", static_cast<int64_t>(row_.version));
  show_payload(object, input);
}

bool RuleEffects::is_of_before() const { return version_ < RulesMachine::kLogicActions; }

uint64_t RuleEffects::records_max() const {
  if (is_of_before()) return commit_.inputs.size() * kRecordsOfInputBefore + 1;
  return commit_.inputs.size() * kRecordsOfInput + 2 + orders() * fintech::exchange::kPortRecordsMax;
}

uint64_t RuleEffects::orders() const {
  return static_cast<uint64_t>(std::count_if(commit_.inputs.begin(), commit_.inputs.end(),
                                             [](const RuleInput& input) { return input.order.has_value(); }));
}

// An input is told of twice where its transfer was made and its point or record was not. JSON stands there as it is, or in base64.
uint64_t RuleEffects::bytes_max() const {
  if (is_of_before()) return bytes_max_of_before();
  uint64_t bytes = orders() * fintech::exchange::kPortBytesMax;
  for (const RuleInput& input : commit_.inputs) {
    if (input.posts) bytes += input.row.size() + kPostBytes;
    bytes += kMessageBytes + 2 * input.row.size() + input.append_key.size() + input.publish_topic.size() +
             input.line.size() + 1 + (input.hops > 0 ? kHopsBytes : 0);
    if (may_be_told_of(input)) bytes += kToldBytes + 2 * shown_bytes(input) + input.fault.size() * kEscapedBytes;
  }
  return bytes;
}

uint64_t RuleEffects::bytes_max_of_before() const {
  uint64_t bytes = 0;
  for (const RuleInput& input : commit_.inputs)
    bytes += kToldBytes + 2 * shown_bytes(input) + input.fault.size() * kEscapedBytes + 2 * input.row.size() +
             input.append_key.size() + input.publish_topic.size();
  return bytes;
}

Result<void> RuleEffects::run() {
  for (const RuleInput& input : commit_.inputs) {
    HEPTANE_TRY(act(input));
    if (effects_.refused()) return Error{Errc::too_large, kTooMuch};
  }
  if (!lines_.empty())
    effects_.port<series::SeriesMachine>(series::kSeriesMachineId)
        .emit_lines(row_.definition.series->database, lines_, effects_);
  return {};
}

Result<void> RuleEffects::act(const RuleInput& input) {
  if (!input.fault.empty()) {
    dead_letter(input, input.fault, 0);
    return {};
  }
  if (version_ < RulesMachine::kLogicWhole) return act_step_by_step(input);
  return input.order ? act_with_order(input) : act_whole(input);
}

// An order cannot be taken back: what may be refused beside it is judged first. A rule with orders does nothing else that could be.
Result<void> RuleEffects::act_with_order(const RuleInput& input) {
  Taken taken;
  if (input.appends) {
    const Result<PartitionId> target = target_of(input);
    if (!target) {
      dead_letter(input, target.error().message, 0);
      return {};
    }
    taken.appended_to = *target;
  }
  return enter_order(input) ? do_taken(input, taken) : Result<void>();
}

// The scope is one within the run's: machines undo what they did for this input, and the run goes on.
Result<void> RuleEffects::act_whole(const RuleInput& input) {
  if (!may_be_told_of(input)) {
    send(input);
    return {};
  }
  Taken taken;
  effects_.open_scope();
  const Result<std::optional<Refusal>> refusal = take(input, taken);
  const bool stays = refusal && (!*refusal || (*refusal)->keeps_scope);
  effects_.close_scope(stays ? ScopeOutcome::keep : ScopeOutcome::roll_back);
  if (!refusal) return refusal.error();
  if (!*refusal) return do_taken(input, taken);
  dead_letter(input, (*refusal)->why, (*refusal)->transfer);
  return {};
}

// In the order in which they were always done. What is not of this machine is taken within the scope, the rest only judged.
Result<std::optional<RuleEffects::Refusal>> RuleEffects::take(const RuleInput& input, Taken& taken) {
  using Outcome = Result<std::optional<Refusal>>;
  Outcome refusal = std::optional<Refusal>();
  if (input.transfer) refusal = take_transfer(input, taken);
  if (!refusal || *refusal || taken.repeated) return refusal;
  if (!input.shadow.empty()) refusal = take_shadow(input, taken);
  if (!refusal || *refusal) return refusal;
  if (!input.line.empty()) {
    auto& machine = effects_.port<series::SeriesMachine>(series::kSeriesMachineId);
    std::string why = machine.take_line_for(row_.definition.series->database, input.line, effects_);
    if (!why.empty()) return std::optional(Refusal{std::move(why)});
  }
  if (!input.appends) return refusal;
  const Result<PartitionId> target = target_of(input);
  if (!target) return std::optional(Refusal{target.error().message});
  taken.appended_to = *target;
  return refusal;
}

// One that was refused stays so: its id may be used up.
Result<std::optional<RuleEffects::Refusal>> RuleEffects::take_transfer(const RuleInput& input, Taken& taken) {
  auto* ledger = dynamic_cast<fintech::LedgerPort*>(&effects_.enlist(fintech::kLedgerMachineId));
  HEPTANE_ASSERT(ledger != nullptr, "the machine of the ledger has its port");
  const fintech::Transfer transfer = transfer_of(input);
  const auto status = static_cast<fintech::TransferStatus>(ledger->transfer(transfer, {command_, effects_}).status);
  if (effects_.refused()) return Error{Errc::too_large, kTooMuch};
  taken.transfer = transfer.id;
  taken.repeated = status == fintech::TransferStatus::exists;
  if (taken.repeated || status == fintech::TransferStatus::created) return std::optional<Refusal>();
  return std::optional(Refusal{std::string(fintech::status_name(status)), transfer.id, true});
}

Result<std::optional<RuleEffects::Refusal>> RuleEffects::take_shadow(const RuleInput& input, Taken& taken) {
  taken.shadow = devices::decode_shadow_request(as_bytes(input.shadow));
  if (!taken.shadow || taken.shadow->operation != devices::ShadowOperation::update)
    return Error{Errc::invalid_argument, "the run says something else of a shadow than an update"};
  taken.outcome = shadows_->judge(*taken.shadow, command_.time / kNsPerSecond);
  if (taken.outcome.changed) return std::optional<Refusal>();
  return std::optional(Refusal{"the shadow: " + std::to_string(taken.outcome.code) + " " + taken.outcome.fault});
}

Result<void> RuleEffects::do_taken(const RuleInput& input, const Taken& taken) {
  if (input.transfer) {
    ++(taken.repeated ? counted_.repeats : counted_.transfers);
    tell_transfer(input, taken.transfer, taken.repeated);
  }
  if (taken.repeated) return {};
  if (taken.shadow) {
    shadows_->take(*taken.shadow, taken.outcome);
    ++counted_.shadows;
    if (!effects_.room_for(records_max() + shadows_->answers(), bytes_max() + shadows_->messages().size()))
      return Error{Errc::too_large, kTooMuch};
  }
  if (!input.line.empty()) {
    lines_.append(input.line).append("\n");
    ++counted_.appended;
  }
  if (taken.appended_to) {
    effects_.emit(
        {*taken.appended_to, as_bytes(input.append_key), !row_.definition.append->key.empty(), as_bytes(input.row)});
    ++counted_.appended;
  }
  send(input);
  return {};
}

Result<void> RuleEffects::act_step_by_step(const RuleInput& input) {
  // What goes with a debt goes with it once: not with one that was refused, or was there before.
  Result<bool> goes_on = true;
  if (input.transfer) goes_on = transfer(input);
  if (goes_on && *goes_on && !input.shadow.empty()) goes_on = update_shadow(input);
  if (!goes_on) return goes_on.error();
  if (!*goes_on) return {};
  // A point that is not taken ends the input, as a refused shadow does: at most two of them are told of one input.
  if (!input.line.empty() && !add_line(input)) return {};
  if (input.appends) append(input);
  send(input);
  return {};
}

void RuleEffects::send(const RuleInput& input) {
  if (input.posts) post(input);
  if (input.publish_topic.empty()) return;
  publish(input);
  ++counted_.published;
}

fintech::Transfer RuleEffects::transfer_of(const RuleInput& input) const {
  const RuleMove& move = *input.transfer;
  fintech::Transfer transfer{};
  transfer.id = move.key.empty() ? transfer_id(row_.definition.name, commit_.partition, input.offset)
                                 : transfer_id(row_.definition.name, move.key);
  transfer.debit_account_id = move.debit;
  transfer.credit_account_id = move.credit;
  transfer.amount = move.amount;
  transfer.ledger = row_.definition.transfer->ledger;
  transfer.code = row_.definition.transfer->code;
  return transfer;
}

// As this machine, of accounts that are nobody's. What is there already was owed before: it is told, and nothing more.
Result<bool> RuleEffects::transfer(const RuleInput& input) {
  auto* ledger = dynamic_cast<fintech::LedgerPort*>(&effects_.enlist(fintech::kLedgerMachineId));
  HEPTANE_ASSERT(ledger != nullptr, "the machine of the ledger has its port");
  const fintech::Transfer transfer = transfer_of(input);
  const auto status = static_cast<fintech::TransferStatus>(ledger->transfer(transfer, {command_, effects_}).status);
  if (effects_.refused()) return Error{Errc::too_large, kTooMuch};
  const bool created = status == fintech::TransferStatus::created;
  if (!created && status != fintech::TransferStatus::exists) {
    dead_letter(input, fintech::status_name(status), transfer.id);
    return false;
  }
  ++(created ? counted_.transfers : counted_.repeats);
  tell_transfer(input, transfer.id, !created);
  return created;
}

bool RuleEffects::takes_orders() {
  auto& exchange = exchange_of(effects_);
  return std::all_of(commit_.inputs.begin(), commit_.inputs.end(), [&](const RuleInput& input) {
    return !input.order || exchange.takes_orders(input.order->symbol, command_, effects_);
  });
}

// The same command enters it once: the position moves with it.
std::string RuleEffects::client_id() const {
  return idempotency_key(row_.definition.name, row_.version, command_.sequence, 0);
}

// In the firm's name. A ClOrdID that the rule gives and that was used on the trade date is an order that was entered before.
bool RuleEffects::enter_order(const RuleInput& input) {
  if (input.order->until_ms != 0 && command_.time / kNsPerMs > input.order->until_ms) {
    dead_letter(input, "the order is too late: order.within_s is " + std::to_string(row_.definition.order->within_s),
                0);
    return false;
  }
  const std::string own_id = client_id();
  const fintech::exchange::PortOrder order = port_order(*row_.definition.order, *input.order, own_id);
  const auto entered = exchange_of(effects_).enter(order, command_, effects_);
  if (entered) {
    ++counted_.orders;
    tell_order(input, order, *entered);
    return true;
  }
  if (entered.error().code == Errc::exists) {
    ++counted_.repeats;
    tell_order(input, order, std::nullopt);
  } else {
    dead_letter(input, entered.error().message.substr(0, kFaultBytesMax), 0);
  }
  return false;
}

// One record for all of the run, as one write request is.
bool RuleEffects::add_line(const RuleInput& input) {
  auto& machine = effects_.port<series::SeriesMachine>(series::kSeriesMachineId);
  const std::string why = machine.take_line_for(row_.definition.series->database, input.line, effects_);
  if (!why.empty()) {
    dead_letter(input, why, 0);
    return false;
  }
  lines_.append(input.line).append("\n");
  ++counted_.appended;
  return true;
}

// As of what this run has changed so far; kept at its end. Answers of a whole run may be more than a command holds.
Result<bool> RuleEffects::update_shadow(const RuleInput& input) {
  const auto request = devices::decode_shadow_request(as_bytes(input.shadow));
  if (!request || request->operation != devices::ShadowOperation::update)
    return Error{Errc::invalid_argument, "the run says something else of a shadow than an update"};
  const devices::ShadowOutcome outcome = shadows_->judge(*request, command_.time / kNsPerSecond);
  if (!outcome.changed) {
    dead_letter(input, "the shadow: " + std::to_string(outcome.code) + " " + outcome.fault, 0);
    return false;
  }
  shadows_->take(*request, outcome);
  ++counted_.shadows;
  if (effects_.room_for(records_max() + shadows_->answers(), bytes_max() + shadows_->messages().size())) return true;
  return Error{Errc::too_large, kTooMuch};
}

Result<PartitionId> RuleEffects::target_of(const RuleInput& input) const {
  const std::string& stream = row_.definition.append->stream;
  const uint32_t index = target_partitions_ > 1 ? partition_of(input.append_key, target_partitions_) : 0;
  const auto partition = streams_.find_partition(stream, index);
  if (!partition) return Error{Errc::not_found, "the stream " + stream + " is not there"};
  if (streams_.view_of(*partition).is_view()) return Error{Errc::refused, "the stream " + stream + " is a view"};
  return *partition;
}

void RuleEffects::append(const RuleInput& input) {
  const Result<PartitionId> target = target_of(input);
  if (!target) return dead_letter(input, target.error().message, 0);
  effects_.emit({*target, as_bytes(input.append_key), !row_.definition.append->key.empty(), as_bytes(input.row)});
  ++counted_.appended;
}

void RuleEffects::post(const RuleInput& input) {
  const std::string key =
      idempotency_key(row_.definition.name, row_.version, command_.sequence, static_cast<uint32_t>(counted_.posts));
  std::string value = "{\"url\":";
  devices::write_json_text(value, row_.definition.http->url);
  value += ",\"body\":";
  value += input.row;
  value += '}';
  MessageView record;
  record.topic = key;
  record.payload = value;
  append_message(outbox_, record);
  ++counted_.posts;
}

// Its texts are in the command already.
void RuleEffects::publish(const RuleInput& input) {
  const std::string properties = input.hops > 0 ? hops_property(input.hops) : std::string();
  MessageView message;
  message.qos = 1;
  message.topic = input.publish_topic;
  message.properties = properties;
  message.payload = input.row;
  append_message(messages_, message);
  append_told(told_, static_cast<uint16_t>(&input - commit_.inputs.data()));
  ++messages_count_;
}

void RuleEffects::tell(std::string_view topic, std::string_view payload) {
  MessageView message;
  message.qos = 1;
  message.topic = topic;
  message.payload = payload;
  append_message(messages_, message);
  append_told(told_, message);
  ++messages_count_;
}

void RuleEffects::tell_transfer(const RuleInput& input, fintech::Uint128 id, bool repeated) {
  JsonObject object(repeated ? "repeated" : "transfer");
  object.text("transfer", wide_text(id));
  object.text("amount", wide_text(input.transfer->amount));
  object.text("debit", wide_text(input.transfer->debit));
  object.text("credit", wide_text(input.transfer->credit));
  show_input(object, input);
  tell(std::string(kRulesTopics) + row_.definition.name + "/transfer", object.end());
}

void RuleEffects::tell_order(const RuleInput& input, const fintech::exchange::PortOrder& order,
                             const std::optional<fintech::exchange::PortOrderEntered>& entered) {
  JsonObject object(entered ? "order" : "repeated");
  if (entered) object.text("order_id", std::to_string(entered->order_id));
  object.text("cl_ord_id", order.client_id);
  object.text("firm", order.firm);
  object.text("account", order.account);
  object.text("symbol", order.symbol);
  if (entered) {
    object.text("status", entered->status);
    object.text("filled", entered->filled);
    object.text("leaves", entered->leaves);
  }
  show_input(object, input);
  tell(std::string(kRulesTopics) + row_.definition.name + "/order", object.end());
}

void RuleEffects::dead_letter(const RuleInput& input, std::string_view why, fintech::Uint128 id) {
  ++counted_.dead_letters;
  JsonObject object("dead_letter");
  object.text("why", why);
  if (id != 0) object.text("transfer", wide_text(id));
  show_input(object, input);
  tell(std::string(kRulesTopics) + row_.definition.name + "/dead_letter", object.end());
}

Buffer RuleEffects::take_messages() { return Buffer::take(messages_.release()); }

// The command.

namespace {

// Where the rule is in a partition: at the beginning of one that it has not begun.
RuleCursor cursor_of(const RuleRow& row, const RuleCommit& commit) {
  const auto found = row.cursors.find(commit.index);
  const bool begun = found != row.cursors.end() && found->second.partition == commit.partition;
  return begun ? found->second : RuleCursor{commit.partition, 0, false};
}

// Why the run does not begin where the rule is; empty: it does.
std::string wrong_begin(const RuleRow& row, const RuleCommit& commit, Offset log_start) {
  const RuleCursor cursor = cursor_of(row, commit);
  const bool over_gap = cursor.may_skip && commit.from > cursor.next && commit.from <= log_start;
  if (commit.from == cursor.next || over_gap) return {};
  return "the rule is at offset " + std::to_string(cursor.next);
}

// Logic 1 set no bound to what moves money.
bool moves_too_much(const RuleCommit& commit, uint32_t version) {
  const auto orders = std::count_if(commit.inputs.begin(), commit.inputs.end(),
                                    [](const RuleInput& input) { return input.order.has_value(); });
  if (static_cast<size_t>(orders) > kOrdersMax) return true;
  const auto moves = std::count_if(commit.inputs.begin(), commit.inputs.end(),
                                   [](const RuleInput& input) { return input.transfer || !input.shadow.empty(); });
  return version >= RulesMachine::kLogicActions && static_cast<size_t>(moves) > kMovesMax;
}

// Windows go on from where they are. Closed by the clock they are where it says so, and no record came before that: what a record
// behind it makes is then the same as if it had closed them itself.
Result<void> check_windows(const RuleRow& row, const RuleCommit& commit, const Command& command,
                           const streams::StreamsMachine& streams) {
  if (commit.window.has_value() != row.definition.windowed())
    return Error{Errc::invalid_argument, "the run is of windows where the rule has none, or the other way round"};
  if (!commit.window) return {};
  const WindowStep& step = *commit.window;
  const WindowPlace before = cursor_of(row, commit).window.value_or(WindowPlace{});
  if (step.from_closed_ms != before.closed_ms || step.from_rows_done != before.rows_done)
    return Error{Errc::stale, "the rule's windows are somewhere else"};
  const bool goes_on = step.place.restart_at >= before.restart_at && step.place.restart_at <= commit.upto &&
                       step.place.watermark_ms >= before.watermark_ms && step.place.closed_ms >= before.closed_ms &&
                       step.place.closed_ms <= step.place.watermark_ms;
  if (commit.index != 0 || !goes_on)
    return Error{Errc::invalid_argument, "the run's windows do not go on from the rule's"};
  if (step.clock_ms == 0) return {};
  if (commit.upto != streams.next_offset(commit.partition))
    return Error{Errc::stale, "there is a record that the clock would pass over"};
  if (command.time / kNsPerMs < step.clock_ms) return Error{Errc::overloaded, "the log's clock is not there yet"};
  return {};
}

Result<void> check(const RuleRow& row, const RuleCommit& commit, const streams::StreamsMachine& streams,
                   uint32_t version) {
  if (row.version != commit.version) return Error{Errc::stale, "the rule has changed"};
  if (row.paused) return Error{Errc::refused, "the rule is paused"};
  if (streams.find_partition(row.definition.source, commit.index) != commit.partition)
    return Error{Errc::stale, "the stream has no such partition any more"};
  const Offset log_start = streams.log_start(commit.partition);
  if (std::string wrong = wrong_begin(row, commit, log_start); !wrong.empty())
    return Error{Errc::stale, std::move(wrong)};
  if (commit.upto > streams.next_offset(commit.partition))
    return Error{Errc::invalid_argument, "the run goes beyond the end of its partition"};
  const bool says_so = std::all_of(commit.inputs.begin(), commit.inputs.end(), [&](const RuleInput& input) {
    return (!input.transfer || row.definition.transfer) && (!input.order || row.definition.order) &&
           (!input.appends || row.definition.append) && (input.shadow.empty() || row.definition.shadow) &&
           (!input.posts || row.definition.http) && (input.line.empty() || row.definition.series);
  });
  if (moves_too_much(commit, version)) return Error{Errc::too_large, kTooMuch};
  return says_so ? Result<void>() : Error{Errc::invalid_argument, "the run does what the rule does not say"};
}

// The views that tell of the run, made where they are not there.
struct ToldIn {
  PartitionId rules = kNoPartition;
  PartitionId shadows = kNoPartition;  // of a rule that updates them
  PartitionId outbox = kNoPartition;   // of one that posts
};
Result<ToldIn> told_in_views(const RuleDefinition& rule, const Command& command, Effects& effects) {
  const auto rules =
      effects.port<streams::StreamsMachine>(machine_ids::kStreams)
          .ensure_view(kRulesStream, kRulesView, command.sequence, {kRulesRetentionMs, kRulesRetentionBytes});
  if (!rules) return Error{Errc::exists, kRulesTaken};
  ToldIn told{.rules = *rules};
  if (rule.http) {
    const auto outbox = RulesMachine::outbox_view(command, effects);
    if (!outbox) return Error{Errc::exists, kOutboxTaken};
    told.outbox = *outbox;
  }
  if (!rule.shadow) return told;
  const auto shadows = devices::DevicesMachine::shadows_view(command, effects);
  if (!shadows) return Error{Errc::exists, devices::kShadowsTaken};
  told.shadows = *shadows;
  return told;
}

void count(const RuleCommit& commit, const RuleCounters& counted, RuleRow& row) {
  RuleCounters& all = row.counters;
  all.lost += static_cast<uint64_t>(commit.from - cursor_of(row, commit).next);
  RuleCursor& cursor = row.cursors[commit.index];
  cursor = {commit.partition, commit.upto, false};
  if (commit.window) {
    cursor.window = commit.window->place;
    all.windows += commit.window->rows;
    all.late += commit.window->late;
  }
  all.inputs += static_cast<uint64_t>(commit.upto - commit.from);
  all.transfers += counted.transfers;
  all.repeats += counted.repeats;
  all.appended += counted.appended;
  all.published += counted.published;
  all.dead_letters += counted.dead_letters;
  all.shadows += counted.shadows;
  all.posts += counted.posts;
  all.orders += counted.orders;
}

}  // namespace

void RulesMachine::apply_commit(const Command& command, Effects& effects) {
  const auto commit = decode_commit(command.payload);
  if (!commit || commit->index >= kSourcePartitionsMax)
    return effects.refuse(Errc::invalid_argument, 0, "the command is no run of a rule");
  const auto found = rules_.find(commit->rule);
  if (found == rules_.end()) return effects.refuse(Errc::not_found, 0, "there is no such rule");
  RuleRow& row = found->second;
  const auto& streams = effects.port<streams::StreamsMachine>(machine_ids::kStreams);
  if (const Result<void> fits = check(row, *commit, streams, effects.version()); !fits)
    return effects.refuse(fits.error().code, 0, fits.error().message);
  if (const Result<void> fits = check_windows(row, *commit, command, streams); !fits)
    return effects.refuse(fits.error().code, 0, fits.error().message);
  auto& broker = effects.port<BrokerMachine>(kBrokerMachineId);
  if (!broker.has_room_to_announce())
    return effects.refuse(Errc::overloaded, 0, "too many messages are on their way to durable sessions");
  RuleEffects run(row, *commit, command, effects);
  if (!effects.room_for(run.records_max(), run.bytes_max())) return effects.refuse(Errc::too_large, 0, kTooMuch);
  const bool orders = row.definition.order.has_value();
  if (orders && !run.takes_orders())
    return effects.refuse(Errc::overloaded, 0, "earlier work of the instrument goes on");
  effects.open_scope();
  const Result<ToldIn> told_in = told_in_views(row.definition, command, effects);
  // Orders cannot be taken back: their run is behind all that may be refused.
  if (orders) effects.close_scope(told_in ? ScopeOutcome::keep : ScopeOutcome::roll_back);
  const Result<void> done = told_in ? run.run() : Result<void>(told_in.error());
  HEPTANE_ASSERT(!orders || !told_in || done, "a run with orders is refused when it is done");
  if (!orders) effects.close_scope(done ? ScopeOutcome::keep : ScopeOutcome::roll_back);
  // What was refused within the scope is gone with it. Logic 1 passed over it.
  const bool passes = told_in && effects.version() < kLogicActions;
  if (!done && !passes) return effects.refuse(done.error().code, 0, done.error().message);
  count(*commit, run.counted(), row);
  dead_letters_.fetch_add(run.counted().dead_letters, std::memory_order_relaxed);
  const PartitionId partition = told_in->rules;
  CommitReply reply{partition, {}, run.take_messages()};
  if (const devices::ShadowChanges* changes = run.shadows()) {
    auto told = devices_of(effects).keep(*changes, told_in->shadows, command, effects);
    reply.shadows = {told_in->shadows, told.first, std::move(told.reply.statuses), std::move(told.reply.messages)};
  }
  const Offset first = effects.next_offset(partition);
  const bool posts = run.counted().posts > 0;
  if (run.messages() > 0 || posts) effects.log_result(run.told(reply.messages));
  if (posts) {
    effects.emit_view(told_in->outbox, static_cast<uint32_t>(run.counted().posts));
    effects.log_result(run.outbox());
  }
  if (run.messages() > 0) {
    effects.emit_view(partition, run.messages());
    reply.statuses = broker.announce(reply.messages.view(), {partition, first}, command, effects);
  }
  effects.reply(encode(reply).view(), first, commit->upto);
}

}  // namespace heptane::iot::rules
