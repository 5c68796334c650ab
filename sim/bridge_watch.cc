#include "sim/bridge_watch.h"

#include <algorithm>
#include <charconv>

namespace heptane::sim {

namespace {

constexpr uint32_t kTopics = 3;        // of each publisher
constexpr uint32_t kRefusedEach = 29;  // numbers
constexpr uint64_t kClosesToDie = 3;
constexpr const char* kThere = "site/";
constexpr const char* kHere = "up/";

std::string topic_of(const char* family, MessageName name) {
  return std::string(family) + "/" + std::to_string(name.from) + "/" + std::to_string(name.number % kTopics);
}

std::string payload_of(char kind, MessageName name) {
  std::string payload = kind + std::to_string(name.from) + "." + std::to_string(name.number) + ";";
  payload.append(name.number * 53 % 400, kind);
  return payload;
}

// Of a message of this kind.
std::optional<MessageName> named(char kind, std::string_view payload) {
  MessageName name;
  const char* const end = payload.data() + payload.size();
  if (payload.empty() || payload.front() != kind) return std::nullopt;
  const auto from = std::from_chars(payload.data() + 1, end, name.from);
  if (from.ec != std::errc() || from.ptr == end || *from.ptr != '.') return std::nullopt;
  const auto number = std::from_chars(from.ptr + 1, end, name.number);
  if (number.ec != std::errc() || payload != payload_of(kind, name)) return std::nullopt;
  return name;
}

std::string which(const char* of, MessageName name) {
  return "number " + std::to_string(name.number) + " of " + of + " " + std::to_string(name.from);
}

}  // namespace

BridgeWatch::Counts& BridgeWatch::Counts::operator+=(const Counts& other) {
  out += other.out;
  in += other.in;
  again += other.again;
  connects += other.connects;
  cuts += other.cuts;
  crashes += other.crashes;
  forgotten += other.forgotten;
  hours += other.hours;
  put_off += other.put_off;
  dead_letters += other.dead_letters;
  echoes += other.echoes;
  audits += other.audits;
  return *this;
}

std::string NumbersWay::arrived(uint32_t number) {
  if (number > newest_) {
    for (uint32_t left_out = newest_ + 1; left_out < number; ++left_out) missing_.insert(left_out);
    newest_ = number;
    put_off_.erase(number);
    return {};
  }
  const bool was_put_off = put_off_.erase(number) > 0;
  const bool was_forgotten = twice_.erase(number) > 0;
  const bool was_missing = missing_.erase(number) > 0;
  if (was_put_off) return {};
  if (was_missing) return "came behind " + std::to_string(newest_);
  ++again_;
  return was_forgotten || qos_ == 1 ? std::string() : "came twice at QoS 2";
}

// The configuration.

void BridgeWatch::choose(SeededRandom& chance) {
  setting_.five = !chance.one_in(3);
  setting_.out_qos = static_cast<uint8_t>(chance.one_in(4) ? 1 : 2);
  setting_.in_qos = static_cast<uint8_t>(chance.one_in(4) ? 1 : 2);
  setting_.messages_per_second = chance.one_in(4) ? static_cast<uint32_t>(20 + chance.below(100)) : 0;
  setting_.receive_maximum = static_cast<uint16_t>(chance.one_in(3) ? 0 : 1 + chance.below(10));
  setting_.fault_each = 100U << chance.below(4);
  if (chance.one_in(4)) setting_.close_each = static_cast<uint32_t>(2 + chance.below(8));
  setting_.hour = chance.one_in(2);
}

// What comes in has a topic that goes out; what goes out is heard there, where the protocol can leave it out.
std::vector<std::string> BridgeWatch::tables() const {
  const std::string name = "name=sim\n";
  std::vector<std::string> tables{
      name + "address=" + kHost + ":" + std::to_string(kPort) + "\nprotocol=" + (setting_.five ? "5" : "3.1.1") +
          "\nmessages_per_second=" + std::to_string(setting_.messages_per_second) +
          "\ndirection=out\nfilter=up/#\nremote_prefix=" + kThere + "\nqos=" + std::to_string(setting_.out_qos) + "\n",
      name + "direction=in\nfilter=down/#\nlocal_prefix=" + kHere + "\nqos=" + std::to_string(setting_.in_qos) + "\n"};
  if (setting_.five)
    tables.push_back(name + "direction=in\nfilter=up/#\nlocal_prefix=back/\nremote_prefix=" + kThere + "\nqos=1\n");
  return tables;
}

// Messages.

SimMessage BridgeWatch::out_message(MessageName name) { return {topic_of("up", name), payload_of('u', name)}; }
SimMessage BridgeWatch::in_message(MessageName name) { return {topic_of("down", name), payload_of('d', name)}; }
bool BridgeWatch::is_refused(const SimMessage& message) {
  const auto name = named('u', message.payload);
  return name && name->number % kRefusedEach == kRefusedEach - 1;
}

uint32_t BridgeWatch::add_publisher() {
  const auto number = static_cast<uint32_t>(promised_.size());
  const uint8_t qos = qos_of(number);
  promised_.push_back(0);
  logged_.emplace_back(qos);
  out_.emplace_back(std::min(qos, setting_.out_qos));
  refused_.emplace_back();
  dead_.emplace_back();
  return number;
}

uint32_t BridgeWatch::add_remote_publisher() {
  const auto number = static_cast<uint32_t>(in_.size());
  in_.emplace_back(std::min(qos_of(number), setting_.in_qos));
  in_promised_.emplace_back();
  in_lost_.emplace_back();
  return number;
}

// At the remote.

void BridgeWatch::reached(const SimMessage& message, Checker& checker) {
  const auto name = named('u', message.payload);
  if (checker.lost_tail_allowed()) return;
  if (!name || name->from >= out_.size() || message.topic != kThere + out_message(*name).topic)
    return checker.fail("the remote got what nobody published for it, on " + message.topic);
  NumbersWay& way = out_[name->from];
  const std::string wrong = way.arrived(name->number);
  if (!wrong.empty()) return checker.fail("at the remote " + which("publisher", *name) + " " + wrong);
  ++counts.out;
}

void BridgeWatch::put_off(const SimMessage& message) {
  ++counts.put_off;
  if (const auto name = named('u', message.payload)) out_[name->from].put_off(name->number);
}

void BridgeWatch::refused(const SimMessage& message) {
  if (const auto name = named('u', message.payload)) refused_[name->from].insert(name->number);
}

void BridgeWatch::forgot(const SimMessage& message) {
  if (const auto name = named('u', message.payload)) out_[name->from].may_come_again(name->number);
}

// The log.

// False: nothing is known any more.
bool BridgeWatch::read(server::Server& server, Disk& disk, Checker& checker, bool damaged) {
  blind_ = blind_ || checker.lost_tail_allowed();
  if (blind_) return false;
  const auto each = [&](Offset, std::string_view topic, std::string_view payload) { logged(topic, payload, checker); };
  Result<void> done = stream_.read(server, disk, each);
  if (done) done = others_.read(server, disk, each);
  if (!done && !damaged) checker.fail("what the bridge carried cannot be read: " + done.error().message);
  blind_ = !done;
  return done && !checker.failed();
}

void BridgeWatch::logged(std::string_view topic, std::string_view payload, Checker& checker) {
  if (topic == "$bridge/sim/dead_letter") return dead_letter(payload, checker);
  if (const auto name = named('u', payload); name && name->from < logged_.size() && topic == out_message(*name).topic) {
    const std::string wrong = logged_[name->from].arrived(name->number);
    if (!wrong.empty()) checker.fail("in the log " + which("publisher", *name) + " " + wrong);
    return;
  }
  const auto name = named('d', payload);
  if (!name || name->from >= in_.size() || topic != kHere + in_message(*name).topic)
    return checker.fail("the log has what nobody published here, on " + std::string(topic));
  const std::string wrong = in_[name->from].arrived(name->number);
  if (!wrong.empty()) checker.fail("in the log " + which("the remote's publisher", *name) + " " + wrong);
  ++counts.in;
}

void BridgeWatch::dead_letter(std::string_view payload, Checker& checker) {
  const auto name = named('u', payload);
  if (!name || name->from >= dead_.size()) return checker.fail("a dead letter is of nobody");
  ++counts.dead_letters;
  dead_[name->from].insert(name->number);
  if (!refused_[name->from].contains(name->number) && counts.cuts < kClosesToDie)
    checker.fail("a dead letter has no reason: " + which("publisher", *name));
}

void BridgeWatch::audit(server::Server& server, Disk& disk, Checker& checker, bool damaged) {
  if (!read(server, disk, checker, damaged)) return;
  compare(checker);
  ++counts.audits;
}

void BridgeWatch::compare(Checker& checker) const {
  for (uint32_t from = 0; from < logged_.size(); ++from) {
    if (logged_[from].newest() < promised_[from])
      checker.fail(which("publisher", {from, promised_[from]}) + " was acknowledged, and is not in the log");
    if (!logged_[from].missing().empty())
      checker.fail("the log leaves out " + which("publisher", {from, *logged_[from].missing().begin()}));
  }
  for (uint32_t from = 0; from < in_.size(); ++from) {
    for (const uint32_t number : in_promised_[from])
      if (!in_[from].has(number))
        checker.fail(which("the remote's publisher", {from, number}) +
                     " was acknowledged to the remote, and is not in the log");
    for (const uint32_t number : in_[from].missing())
      if (!in_lost_[from].contains(number))
        checker.fail("the log leaves out " + which("the remote's publisher", {from, number}));
  }
}

bool BridgeWatch::is_done(uint32_t publisher, uint32_t number) const {
  return out_[publisher].has(number) || dead_[publisher].contains(number);
}

bool BridgeWatch::has_ended(server::Server& server, Disk& disk, Checker& checker) {
  // A reader's question would make the shard take what was just synced into its index: this look at it asks none.
  if (server.shard().last_applied() != server.committer().watermark() || server.committer().outstanding() > 0)
    return false;
  if (!read(server, disk, checker, false)) return true;
  compare(checker);
  for (uint32_t from = 0; from < out_.size(); ++from) {
    if (out_[from].newest() > logged_[from].newest())
      checker.fail("the remote has " + which("publisher", {from, out_[from].newest()}) + ", which is not in the log");
    for (uint32_t number = 1; number <= logged_[from].newest(); ++number)
      if (!is_done(from, number)) return false;
  }
  counts.again = 0;
  for (const std::vector<NumbersWay>* ways : {&out_, &in_})
    for (const NumbersWay& way : *ways) counts.again += way.again();
  return true;
}

std::string BridgeWatch::awaited() const {
  std::string text;
  for (uint32_t from = 0; from < out_.size(); ++from)
    for (uint32_t number = 1; number <= logged_[from].newest(); ++number)
      if (!is_done(from, number)) text += "; the remote waits for " + which("publisher", {from, number});
  return text;
}

}  // namespace heptane::sim
