#include "sim/fix_client.h"

#include <algorithm>

namespace heptane::sim {

namespace {

constexpr char kEnd = '\x01';
constexpr std::string_view kBegin = "8=FIX.4.4\0019=";
constexpr size_t kCheckSumBytes = 7;
constexpr size_t kUnansweredMost = 6;
constexpr size_t kOpenMost = 20;
constexpr int64_t kNsPerSecond = 1'000'000'000;
// The clocks of this world jump, and the sessions say CheckLatency=N.
const std::string kTime = "20200101-00:00:00";

std::string field(int tag, std::string_view value) { return std::to_string(tag) + '=' + std::string(value) + kEnd; }
std::string field(int tag, uint64_t value) { return field(tag, std::to_string(value)); }

std::string checksum_of(std::string_view bytes) {
  uint8_t sum = 0;
  for (const char c : bytes) sum = static_cast<uint8_t>(sum + static_cast<uint8_t>(c));
  const std::string digits = std::to_string(1'000 + sum);
  return field(10, digits.substr(1));
}

std::string decimal(uint64_t units, size_t decimals) {
  std::string text = std::to_string(units);
  if (text.size() <= decimals) text.insert(0, decimals + 1 - text.size(), '0');
  return text.insert(text.size() - decimals, 1, '.');
}

}  // namespace

// ---- the session

SimFixClient::SimFixClient(ClientWorld& world, ExchangeWatch& watch, size_t session, uint16_t port)
    : SimClient(world),
      watch_(watch),
      session_(session),
      port_(port),
      heartbeat_s_(static_cast<int64_t>(1 + world.random.below(20))) {}

std::string SimFixClient::state() const {
  return std::string("fix-") + its().name + " (said " + std::to_string(said_.size()) + ", expects " +
         std::to_string(expected_) + ")";
}

bool SimFixClient::wrong(const std::string& what) {
  if (!promised()) return true;
  world_.checker.fail(state() + ": " + what);
  return false;
}

void SimFixClient::on_connected() {
  logged_on_ = leaving_ = false;
  asked_upto_ = 0;
  say("A", field(98, "0") + field(108, static_cast<uint64_t>(heartbeat_s_)));
}

void SimFixClient::say(std::string_view type, const std::string& body) {
  said_.push_back({std::string(type), body});
  write(type, said_.size(), false, body);
}

void SimFixClient::write(std::string_view type, uint64_t number, bool again, const std::string& body) {
  std::string text = field(35, type) + field(34, number) + field(49, its().name) + field(56, kSimCompId);
  if (again) text += field(43, "Y");
  text += field(52, kTime);
  if (again) text += field(122, kTime);
  text += body;
  std::string whole = std::string(kBegin) + std::to_string(text.size()) + kEnd + text;
  whole += checksum_of(whole);
  write_raw(as_bytes(whole));
  said_ns_ = world_.clock.monotonic_ns();
}

void SimFixClient::go_on() {
  if (!logged_on()) return;
  SeededRandom& random = world_.random;
  if (!finishing_ && random.one_in(150)) return reconnect_later("away");
  if (!finishing_ && random.one_in(200)) {
    leaving_ = true;
    return say("5", {});
  }
  if (!finishing_ && random.one_in(80)) say("1", field(112, said_.size()));
  if (world_.clock.monotonic_ns() - said_ns_ > heartbeat_s_ * kNsPerSecond * 8 / 10) say("0", {});
  compose();
}

// False: the connection is gone.
bool SimFixClient::take_frames() {
  while (connected()) {
    const std::string_view text = as_text(input_);
    const size_t end = text.find(kEnd, kBegin.size());
    if (text.size() < kBegin.size() || end == std::string_view::npos) return true;
    const uint64_t length = FixFields(text.substr(0, end)).number(9);
    const size_t whole = end + 1 + length + kCheckSumBytes;
    if (text.size() < whole && length < (1 << 20)) return true;
    const std::string message(text.substr(0, whole));
    const std::string_view summed = std::string_view(message).substr(0, whole - kCheckSumBytes);
    const bool right = message.starts_with(kBegin) && message.substr(summed.size()) == checksum_of(summed);
    const FixFields fields(message);
    const bool ours = right && fields[49] == kSimCompId && fields[56] == its().name;
    if (!ours) {
      if (wrong("was sent what is no message of its session")) reconnect_later("cannot read what it was sent");
      return false;
    }
    input_.erase(input_.begin(), input_.begin() + static_cast<std::ptrdiff_t>(whole));
    if (!take(fields)) return false;
  }
  return false;
}

// Numbers are looked at before anything else. What comes too early comes once more: it was asked for.
bool SimFixClient::take(const FixFields& message) {
  const uint64_t number = message.number(34);
  const std::string_view type = message.type();
  if (!logged_on_ && type != "A" && type != "5") return wrong("was told something before its Logon was answered");
  if (number < expected_ && message[43] != "Y") return wrong("was sent number " + std::to_string(number) + " again");
  if (type == "4") return take_gap(message, number);
  if (const std::string text = watch_.fix.told(session_, number, message); !text.empty()) return wrong(text);
  if (type == "A") {
    logged_on_ = true;
    ++watch_.fix.counts.logons;
  }
  if (type == "2" && message[43] != "Y") say_again(message.number(7), message.number(16));
  if (number > expected_) ask_for(number);
  if (type == "5") return take_logout(message);
  if (number != expected_) return true;
  ++expected_;
  return take_in_order(message);
}

bool SimFixClient::take_gap(const FixFields& message, uint64_t number) {
  const uint64_t behind = message.number(36);
  if (message[123] != "Y" || behind <= number) return wrong("was sent a gap that is none");
  if (const std::string text = watch_.fix.told_gap(session_, number, behind); !text.empty()) return wrong(text);
  if (number > expected_) ask_for(number);
  if (number <= expected_) expected_ = std::max(expected_, behind);
  return true;
}

bool SimFixClient::take_in_order(const FixFields& message) {
  const std::string_view type = message.type();
  if (type == "1") say("0", field(112, message[112]));
  if (type == "3" || type == "j") return wrong("was told that it speaks badly: " + message.plain());
  return is_of_session_layer(type) || on_application(message);
}

// Whether it is asked for or not; the number is used up.
bool SimFixClient::take_logout(const FixFields& message) {
  if (message.number(34) == expected_) ++expected_;
  const std::string text(message[58]);
  if (text.find("too low") != std::string::npos) return wrong("was told " + text);
  if (!leaving_) say("5", {});
  reconnect_later("logged out");
  return true;
}

// Once, until it is there.
void SimFixClient::ask_for(uint64_t upto) {
  if (asked_upto_ >= expected_) return;
  asked_upto_ = upto;
  say("2", field(7, expected_) + field(16, "0"));
}

// What the session layer said is left out.
void SimFixClient::say_again(uint64_t begin, uint64_t end) {
  ++watch_.fix.counts.asked;
  const uint64_t last = end == 0 ? said_.size() : std::min<uint64_t>(end, said_.size());
  for (uint64_t number = std::max<uint64_t>(begin, 1); number <= last; ++number) {
    const Said& one = said_[number - 1];
    if (!is_of_session_layer(one.type)) {
      write(one.type, number, true, one.body);
      continue;
    }
    uint64_t behind = number + 1;
    while (behind <= last && is_of_session_layer(said_[behind - 1].type)) ++behind;
    write("4", number, true, field(123, "Y") + field(36, behind));
    number = behind - 1;
  }
}

// ---- a trader

std::string SimFixTrader::next_name(char type) {
  std::string name = std::string(its().name) + "-f" + std::to_string(++names_);
  asked_[name] = {type, false};
  ++unanswered_;
  return name;
}

void SimFixTrader::compose() {
  if (finishing_ || unanswered_ >= kUnansweredMost || !world_.random.one_in(3)) return;
  const uint64_t what = open_.empty() ? 0 : world_.random.below(10);
  if (what > 6 || open_.size() > kOpenMost) return change(what > 8);
  enter();
}

void SimFixTrader::enter() {
  // Not fill or kill: for the model what one's own orders have is within reach.
  static constexpr const char* kTimes[] = {"1", "1", "1", "3"};
  static constexpr const char* kRules[] = {"N", "O", "B"};
  SeededRandom& random = world_.random;
  std::string body = field(11, next_name('D')) + field(1, kSimAccounts[its().account].name);
  body += random.one_in(8) ? field(18, "6") : "";
  body += field(55, "BTC/USD") + field(54, random.one_in(2) ? "1" : "2") + field(60, kTime);
  body += field(38, decimal((random.below(300) + 1) * 100, 3)) + field(40, "2");
  body += field(44, decimal(9'900 + random.below(20) * 10, 2));
  body += field(59, kTimes[random.below(std::size(kTimes))]);
  say("D", body + field(7928, kRules[random.below(std::size(kRules))]));
}

void SimFixTrader::change(bool replace) {
  SeededRandom& random = world_.random;
  const auto order = std::next(open_.begin(), static_cast<std::ptrdiff_t>(random.below(open_.size())));
  std::string body = field(41, order->second.name) + field(37, order->first);
  body += field(11, next_name(replace ? 'G' : 'F')) + field(1, kSimAccounts[its().account].name);
  body += field(55, "BTC/USD") + field(54, std::string(1, order->second.side)) + field(60, kTime);
  if (replace) {
    body += field(38, decimal((random.below(299) + 1) * 100, 3)) + field(40, "2");
    body += field(44, decimal(9'900 + random.below(20) * 10, 2));
  }
  say(replace ? "G" : "F", body);
}

bool SimFixTrader::on_application(const FixFields& message) {
  if (message.type() == "8") return on_report(message);
  if (message.type() == "9") return on_answer_to(std::string(message[11]), "FG");
  return wrong("was told what it did not ask for: " + message.plain());
}

// Of a request of one of these types, once.
bool SimFixTrader::on_answer_to(const std::string& name, std::string_view of) {
  const auto asked = asked_.find(name);
  if (asked == asked_.end() || of.find(asked->second.type) == std::string_view::npos || asked->second.answered)
    return wrong("had an answer to " + name + " that it does not wait for");
  asked->second.answered = true;
  --unanswered_;
  return true;
}

bool SimFixTrader::on_report(const FixFields& message) {
  const std::string name(message[11]);
  const std::string_view type = message[150];
  const uint64_t order = message.number(37);
  const bool by_request = !message[41].empty();
  if (type == "8") return on_answer_to(name, "D");
  if (type == "0" && !on_answer_to(name, "D")) return false;
  if (type == "5" && !on_answer_to(name, "G")) return false;
  if (type == "4" && by_request && !on_answer_to(name, "F")) return false;
  if (type == "0" || type == "5") {
    watch_.entered(its().firm, name, order);
    open_[order] = {name, message[54].empty() ? '1' : message[54][0]};
  }
  const std::string_view status = message[39];
  if (status == "0" || status == "1") return true;
  open_.erase(order);
  watch_.ended(order);
  return true;
}

}  // namespace heptane::sim
