#include "modules/fintech/domain/fix/session.h"

#include <algorithm>
#include <utility>

#include "modules/fintech/domain/fix/outbound.h"
#include "modules/fintech/domain/fix/tags.h"
#include "modules/fintech/domain/fix/values.h"

namespace heptane::fix {

namespace {

constexpr int64_t kSecond = 1'000'000'000;

// Of HeartBtInt, in tenths: silence after which the peer is asked, and after which it is given up.
constexpr uint64_t kTestAfter = 12;
constexpr uint64_t kGoneAfter = 24;

// How often the peer is asked for what lacks, one HeartBtInt after the other, and what that is where there are no heartbeats.
constexpr uint32_t kGapRequestsMax = 3;
constexpr uint64_t kGapSecondsWithoutHeartbeats = 30;

// A message of these types is answered whatever its number is.
bool is_out_of_sequence(const Message& message) {
  const std::string_view type = message.type();
  return type == "5" || type == "2" || (type == "4" && !message.flag(kGapFillFlag));
}

// What refuses is not refused: two engines would not come to an end.
bool refuses(const Message& message) { return message.type() == "3" || message.type() == "j"; }

// Where the message came from is where its answer goes to.
void reverse_route(const Message& message, std::string& header) {
  static constexpr std::pair<Tag, Tag> kRoutes[] = {
      {kDeliverToCompID, kOnBehalfOfCompID},         {kDeliverToSubID, kOnBehalfOfSubID},
      {kOnBehalfOfCompID, kDeliverToCompID},         {kOnBehalfOfSubID, kDeliverToSubID},
      {kDeliverToLocationID, kOnBehalfOfLocationID}, {kOnBehalfOfLocationID, kDeliverToLocationID}};
  for (const auto& [from, to] : kRoutes)
    if (const auto value = message.find(from); value && !value->empty()) add_field(header, to, *value);
}

}  // namespace

Session::Session(const SessionSettings& settings, SessionHost& host, int64_t now_ns)
    : settings_(settings),
      host_(host),
      now_ns_(now_ns),
      since_ns_(now_ns),
      last_received_ns_(now_ns),
      last_sent_ns_(now_ns),
      reader_(settings.validation) {}

size_t Session::on_bytes(std::string_view input, int64_t now_ns) {
  now_ns_ = now_ns;
  size_t consumed = 0;
  while (!is_closed()) {
    const Frame frame = next_frame(input.substr(consumed));
    if (frame.kind == Frame::Kind::partial) return consumed + frame.begin;
    if (frame.kind == Frame::Kind::whole) read(input.substr(consumed + frame.begin, frame.size));
    if (frame.kind == Frame::Kind::garbled) on_garbled("the first message is garbled");
    consumed += frame.begin + frame.size;
    take_waiting();
  }
  return input.size();
}

void Session::read(std::string_view frame) {
  const char* garbled = reader_.read(frame);
  if (garbled != nullptr) return on_garbled(garbled);
  garbled_ = 0;
  on_message(reader_.message());
}

void Session::on_garbled(const char* why) {
  if (state_ == State::connected) return close(why);
  if (++garbled_ >= kGarbledMax) give_up("too many garbled messages");
}

void Session::on_message(const Message& message) {
  last_received_ns_ = now_ns_;
  test_pending_ = false;
  const auto number = message.number(kMsgSeqNum);
  if (state_ == State::connected && message.type() != "A") return close("the first message is no Logon");
  if (!number) {
    constexpr const char* kWhy = "MsgSeqNum(34) is missing or no number";
    return state_ == State::connected ? close(kWhy) : refuse(kWhy, kWhy);
  }
  if (given_up_ && message.type() != "5" && message.type() != "2") return;
  if (message.begin_string() != settings_.begin_string) return on_wrong_begin_string(message, *number);
  if (message.type() == "A") return on_logon(message, *number);

  const auto fault = reader_.validate();
  if (!fault)
    if (const auto of_sender = fault_of_sender(message)) return on_wrong_sender(message, *number, *of_sender);
  if (!is_out_of_sequence(message)) {
    if (*number < next_inbound_) return on_low_number(message, *number);
    if (*number > next_inbound_) return on_high_number(*number, message.bytes());
  }
  if (fault) return refuse(message, *number, *fault);
  dispatch(message, *number);
}

void Session::dispatch(const Message& message, uint64_t number) {
  const std::string_view type = message.type();
  if (!is_administrative(type)) return on_application(message, number);
  switch (type[0]) {
    case '1': return on_test_request(message, number);
    case '2': return on_resend_request(message, number);
    case '4': return on_sequence_reset(message, number);
    case '5': return on_logout(number);
    default: break;  // Heartbeat and Reject ask for nothing
  }
  expect(number + 1);
}

// ---- logon ----

void Session::on_logon(const Message& message, uint64_t number) {
  const bool reset = message.flag(kResetSeqNumFlag);
  if (state_ == State::logging_out) return;
  if (state_ == State::logged_on && !reset) return give_up("already logged on");
  if (reader_.validate()) return close("the Logon is not valid");
  if (fault_of_sender(message)) return close("the Logon's CompIDs or its SendingTime are wrong");
  const Admission admission = host_.admit(message);
  if (!admission.admitted) return close("the peer is not admitted");
  if (!admission.refusal.empty()) return refuse(admission.refusal, "the peer may not log on now");

  const auto heart_bt_int_s = message.number(kHeartBtInt);
  const bool in_bounds = heart_bt_int_s && *heart_bt_int_s >= settings_.heart_bt_int_min_s &&
                         *heart_bt_int_s <= settings_.heart_bt_int_max_s;
  if (!in_bounds)
    return refuse("HeartBtInt(108) must be " + std::to_string(settings_.heart_bt_int_min_s) + " to " +
                      std::to_string(settings_.heart_bt_int_max_s),
                  "HeartBtInt is out of bounds");
  if (message.find(kEncryptMethod) != "0") return refuse("EncryptMethod(98) must be 0", "EncryptMethod is not 0");
  if (reset && number != 1)
    return refuse("MsgSeqNum(34) must be 1 with ResetSeqNumFlag(141)", "MsgSeqNum is not 1 with ResetSeqNumFlag");
  // A Logon that is refused has erased nothing. How the host resets its numbers is not waited for: they are 1.
  const bool resets = reset || settings_.reset_on_logon;
  const uint64_t expected = resets ? 1 : host_.next_inbound();
  if (number < expected) return refuse_low_number(number, expected);
  if (resets) reset_numbers();
  next_inbound_ = expected;
  accept_logon(number, *heart_bt_int_s, reset);
}

void Session::accept_logon(uint64_t number, uint64_t heart_bt_int_s, bool reset) {
  heart_bt_int_s_ = heart_bt_int_s;
  state_ = State::logged_on;
  add_field(body_, kEncryptMethod, "0");
  add_field(body_, kHeartBtInt, static_cast<int64_t>(heart_bt_int_s));
  if (reset) add_field(body_, kResetSeqNumFlag, "Y");
  send("A");
  if (number > next_inbound_) return on_high_number(number, {});
  expect(number + 1);
}

// ---- what is wrong ----

std::optional<Fault> Session::fault_of_sender(const Message& message) const {
  if (message.find(kSenderCompID) != settings_.target_comp_id ||
      message.find(kTargetCompID) != settings_.sender_comp_id)
    return Fault{RejectReason::comp_id_problem, std::nullopt};
  if (is_late_or_early(message)) return Fault{RejectReason::sending_time_problem, std::nullopt};
  return std::nullopt;
}

bool Session::is_late_or_early(const Message& message) const {
  if (settings_.max_latency_s == 0) return false;
  const auto sent = message.timestamp(kSendingTime);
  const int64_t latency = int64_t{settings_.max_latency_s} * kSecond;
  const int64_t waited = taking_waiting_ ? kGapRequestsMax * gap_interval_ns() : 0;
  return !sent || *sent < now_ns_ - latency - waited || *sent > now_ns_ + latency;
}

void Session::on_wrong_sender(const Message& message, uint64_t number, const Fault& fault) {
  reject(message, number, fault);
  if (number == next_inbound_) expect(number + 1);
  give_up({});
}

void Session::on_wrong_begin_string(const Message& message, uint64_t number) {
  if (state_ == State::connected) return close("BeginString is wrong");
  if (message.type() == "5") return on_logout(number);
  give_up("Incorrect BeginString");
  if (number == next_inbound_) expect(number + 1);
}

void Session::on_low_number(const Message& message, uint64_t number) {
  if (!message.flag(kPossDupFlag)) return refuse_low_number(number, next_inbound_);
  if (message.type() == "4") return;
  const auto original = message.timestamp(kOrigSendingTime);
  if (!original) return reject(message, number, {RejectReason::required_tag_missing, kOrigSendingTime});
  const auto sent = message.timestamp(kSendingTime);
  if (sent && *original > *sent) on_wrong_sender(message, number, {RejectReason::sending_time_problem, std::nullopt});
}

void Session::refuse_low_number(uint64_t number, uint64_t expected) {
  refuse("MsgSeqNum too low, expecting " + std::to_string(expected) + " but received " + std::to_string(number),
         "MsgSeqNum is too low");
}

// Tells the peer in a Logout, if it was not told another, and does not wait for the answer.
void Session::refuse(std::string_view text, const char* why) {
  if (state_ != State::logging_out) {
    add_field(body_, kText, text);
    send("5");
  }
  close(why);
}

void Session::on_high_number(uint64_t number, std::string_view waiting) {
  if (given_up_) return;
  const bool fits = waiting_.size() < kWaitingMessagesMax && waiting_bytes_ + waiting.size() <= kWaitingBytesMax;
  if (fits && waiting_.emplace(number, waiting).second) waiting_bytes_ += waiting.size();
  if (missing_upto_ != 0) return;
  missing_upto_ = number - 1;
  request_missing();
}

// Its number is used up.
void Session::refuse(const Message& message, uint64_t number, const Fault& fault) {
  reject(message, number, fault);
  settle(number);
}

void Session::reject(const Message& message, uint64_t number, const Fault& fault) {
  if (refuses(message)) return;
  reverse_route(message, header_);
  add_field(body_, kRefSeqNum, static_cast<int64_t>(number));
  add_field(body_, kText, reason_text(fault.reason));
  if (fault.tag) add_field(body_, kRefTagID, *fault.tag);
  if (const std::string_view type = message.type(); !type.empty() && type.size() <= kEchoedTypeMax)
    add_field(body_, kRefMsgType, type);
  add_field(body_, kSessionRejectReason, static_cast<int64_t>(fault.reason));
  send("3");
}

void Session::reject_type(const Message& message, uint64_t number) {
  if (refuses(message)) return;
  reverse_route(message, header_);
  add_field(body_, kRefSeqNum, static_cast<int64_t>(number));
  add_field(body_, kText, "Unsupported Message Type");
  add_field(body_, kRefMsgType, message.type());
  add_field(body_, kBusinessRejectReason, 3);
  send("j");
}

// ---- what is right ----

void Session::on_test_request(const Message& message, uint64_t number) {
  const std::string_view id = *message.find(kTestReqID);
  if (id.size() > kTestReqIdMax) return refuse(message, number, {RejectReason::value_out_of_range, kTestReqID});
  add_field(body_, kTestReqID, id);
  send("0");
  expect(number + 1);
}

void Session::on_resend_request(const Message& message, uint64_t number) {
  host_.send_again(message.number(kBeginSeqNo).value_or(1), message.number(kEndSeqNo).value_or(0));
  last_sent_ns_ = now_ns_;
  settle(number);
}

void Session::on_sequence_reset(const Message& message, uint64_t number) {
  const uint64_t lowest = message.flag(kGapFillFlag) ? next_inbound_ + 1 : next_inbound_;
  const auto next = message.number(kNewSeqNo);
  if (!next || *next < lowest || *next > kNumberMax)
    return refuse(message, number, {RejectReason::value_out_of_range, std::nullopt});
  expect(*next);
}

void Session::on_logout(uint64_t number) {
  if (state_ == State::logged_on) send("5");
  if (number == next_inbound_) expect(number + 1);
  if (settings_.reset_on_logout) reset_numbers();
  close("logged out");
}

void Session::on_application(const Message& message, uint64_t number) {
  if (host_.on_application(message) == Handled::unsupported_type) reject_type(message, number);
  if (!is_closed()) expect(number + 1);
}

// ---- numbers ----

void Session::expect(uint64_t number) {
  if (number > next_inbound_) {
    gap_since_ns_ = now_ns_;
    gap_requests_ = 0;
  }
  next_inbound_ = number;
  host_.set_next_inbound(number);
  if (missing_upto_ == 0) return;
  if (next_inbound_ > missing_upto_) {
    missing_upto_ = requested_upto_ = 0;
  } else if (requested_upto_ != 0 && next_inbound_ > requested_upto_) {
    request_missing();
  }
}

// The message of this number is dealt with, whatever lacks before it.
void Session::settle(uint64_t number) {
  if (number == next_inbound_) return expect(number + 1);
  if (number > next_inbound_) on_high_number(number, {});
}

void Session::request_missing() {
  gap_since_ns_ = now_ns_;
  ++gap_requests_;
  const uint64_t most = settings_.max_messages_in_resend_request;
  requested_upto_ = most == 0 ? 0 : std::min(missing_upto_, next_inbound_ + most - 1);
  add_field(body_, kBeginSeqNo, static_cast<int64_t>(next_inbound_));
  add_field(body_, kEndSeqNo, static_cast<int64_t>(requested_upto_));
  send("2");
}

void Session::take_waiting() {
  taking_waiting_ = true;
  while (!is_closed() && !given_up_ && !waiting_.empty() && waiting_.begin()->first <= next_inbound_) {
    auto node = waiting_.extract(waiting_.begin());
    waiting_bytes_ -= node.mapped().size();
    if (node.key() < next_inbound_) continue;
    if (node.mapped().empty()) {
      expect(node.key() + 1);
    } else if (reader_.read(node.mapped()) == nullptr) {
      on_message(reader_.message());
    }
  }
  taking_waiting_ = false;
}

void Session::reset_numbers() {
  host_.reset_numbers();
  next_inbound_ = 1;
  missing_upto_ = requested_upto_ = 0;
  gap_requests_ = 0;
  waiting_.clear();
  waiting_bytes_ = 0;
}

// ---- times ----

int64_t Session::seconds_after(int64_t from_ns, uint64_t tenths) const {
  return from_ns + static_cast<int64_t>(heart_bt_int_s_ * tenths) * (kSecond / 10);
}

int64_t Session::gap_interval_ns() const {
  return static_cast<int64_t>(has_heartbeats() ? heart_bt_int_s_ : kGapSecondsWithoutHeartbeats) * kSecond;
}

std::optional<int64_t> Session::gap_timer() const {
  if (missing_upto_ == 0) return std::nullopt;
  return gap_since_ns_ + gap_interval_ns();
}

std::optional<int64_t> Session::next_timer() const {
  switch (state_) {
    case State::connected: return since_ns_ + int64_t{settings_.logon_timeout_s} * kSecond;
    case State::logging_out: return since_ns_ + int64_t{settings_.logout_timeout_s} * kSecond;
    case State::closed: return std::nullopt;
    case State::logged_on: break;
  }
  const auto gap = gap_timer();
  if (!has_heartbeats()) return gap;
  const int64_t heartbeat =
      test_pending_ ? seconds_after(last_received_ns_, kGoneAfter)
                    : std::min(seconds_after(last_received_ns_, kTestAfter), seconds_after(last_sent_ns_, 10));
  return gap ? std::min(*gap, heartbeat) : heartbeat;
}

void Session::on_timer(int64_t now_ns) {
  now_ns_ = now_ns;
  const auto due = next_timer();
  if (!due || now_ns < *due) return;
  if (state_ == State::connected) return close("no Logon came");
  if (state_ == State::logging_out) return close("the Logout was not answered");
  if (has_heartbeats() && now_ns >= seconds_after(last_received_ns_, kGoneAfter)) return close("no heartbeat came");
  if (const auto gap = gap_timer(); gap && now_ns >= *gap) return on_gap_unfilled();
  if (!test_pending_ && now_ns >= seconds_after(last_received_ns_, kTestAfter)) {
    test_pending_ = true;
    add_field(body_, kTestReqID, "TEST");
    return send("1");
  }
  send("0");
}

// Nothing of what lacks has come for a while.
void Session::on_gap_unfilled() {
  if (gap_requests_ >= kGapRequestsMax)
    return give_up("the gap from " + std::to_string(next_inbound_) + " is not filled");
  request_missing();
}

// ---- the end ----

void Session::log_out(std::string_view text, int64_t now_ns) {
  now_ns_ = now_ns;
  if (state_ == State::closed || state_ == State::logging_out) return;
  if (state_ == State::connected) return close("logged out before a Logon came");
  if (!text.empty()) add_field(body_, kText, text);
  send("5");
  said_goodbye_first_ = true;
  state_ = State::logging_out;
  since_ns_ = now_ns;
}

// The peer is at fault: nothing more of it is done than its Logout and what it asks to be sent again.
void Session::give_up(std::string_view text) {
  log_out(text, now_ns_);
  given_up_ = true;
}

void Session::on_disconnected() {
  if (is_logged_on() && settings_.reset_on_disconnect) reset_numbers();
  state_ = State::closed;
}

void Session::close(const char* why) {
  if (is_closed()) return;
  if (is_logged_on() && settings_.reset_on_disconnect) reset_numbers();
  state_ = State::closed;
  host_.close(why);
}

void Session::send(std::string_view type) {
  host_.send({type, header_, body_});
  header_.clear();
  body_.clear();
  last_sent_ns_ = now_ns_;
}

}  // namespace heptane::fix
