#include "sim/fix_watch.h"

#include <algorithm>
#include <charconv>

namespace heptane::sim {

namespace {

constexpr char kEnd = '\x01';
// BeginString, BodyLength, CheckSum, MsgSeqNum, PossDupFlag, SenderCompID, SendingTime, TargetCompID, OrigSendingTime.
constexpr int kChanging[] = {8, 9, 10, 34, 43, 49, 52, 56, 122};

std::string name_of(size_t session, uint64_t number) {
  return "number " + std::to_string(number) + " of FIX session " + kSimFixSessions[session].name;
}

// Of what plain() says.
std::string_view type_of(std::string_view plain) { return plain.substr(3, plain.find('|') - 3); }

bool is_report(const FixFields& message) { return message.type() == "8" && message[17] != "0"; }

}  // namespace

FixFields::FixFields(std::string_view text) {
  while (!text.empty()) {
    const std::string_view field = text.substr(0, text.find(kEnd));
    text.remove_prefix(std::min(text.size(), field.size() + 1));
    int tag = 0;
    const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), tag);
    const auto at = static_cast<size_t>(end - field.data());
    if (error != std::errc() || at == field.size() || field[at] != '=') tag = 0;
    fields_.emplace_back(tag, tag == 0 ? field : field.substr(at + 1));
  }
}

std::string_view FixFields::operator[](int tag) const {
  const auto found = std::find_if(fields_.begin(), fields_.end(), [tag](const auto& one) { return one.first == tag; });
  return found == fields_.end() ? std::string_view() : found->second;
}

uint64_t FixFields::number(int tag) const {
  const std::string_view text = (*this)[tag];
  uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

std::string FixFields::plain() const {
  std::string out;
  for (const auto& [tag, value] : fields_) {
    if (std::find(std::begin(kChanging), std::end(kChanging), tag) != std::end(kChanging)) continue;
    out += std::to_string(tag) + '=' + std::string(value) + '|';
  }
  return out;
}

bool is_of_session_layer(std::string_view type) { return type.size() == 1 && type.find_first_of("012345A") == 0; }

FixWatch::Counts& FixWatch::Counts::operator+=(const Counts& other) {
  logons += other.logons;
  told += other.told;
  again += other.again;
  asked += other.asked;
  requests += other.requests;
  return *this;
}

std::string FixWatch::told(size_t session, uint64_t number, const FixFields& message) {
  const auto [known, is_new] = sessions_[session].told.emplace(number, message.plain());
  ++(is_new ? counts.told : counts.again);
  if (is_new || known->second == message.plain()) return {};
  return name_of(session, number) + " is " + message.plain() + " and was " + known->second;
}

std::string FixWatch::told_gap(size_t session, uint64_t begin, uint64_t behind) {
  for (uint64_t number = begin; number < behind; ++number) {
    const auto known = sessions_[session].told.find(number);
    if (known != sessions_[session].told.end() && !is_of_session_layer(type_of(known->second)))
      return name_of(session, number) + " is left out and was " + known->second;
    sessions_[session].left_out.insert(number);
  }
  return {};
}

Result<void> FixWatch::read(server::Server& server, Disk& disk, Checker& checker) {
  for (size_t session = 0; session < kSimFixSessionCount; ++session) {
    const auto each = [&](Offset, std::string_view, std::string_view value) { take(session, value, checker); };
    HEPTANE_TRY(sessions_[session].tail.read(server, disk, each));
  }
  return {};
}

void FixWatch::take(size_t number, std::string_view record, Checker& checker) {
  Session& session = sessions_[number];
  const FixFields message(record);
  if (message.number(34) != session.said.size() + 1)
    return checker.fail(name_of(number, message.number(34)) + " stands behind " + std::to_string(session.said.size()));
  session.said.push_back(message.plain());
  if (is_report(message)) {
    const bool is_refusal = message[150] == "8";
    if (!is_refusal && !session.execs.emplace(message[17]).second)
      return checker.fail("execution " + std::string(message[17]) + " is in session " + kSimFixSessions[number].name +
                          " twice");
  }
  if (kSimFixSessions[number].account >= 0) take_answer(number, message, checker);
}

// Reports of fills and of ends that nobody asked for answer nothing.
void FixWatch::take_answer(size_t session, const FixFields& message, Checker& checker) {
  Answer answer;
  if (message.type() == "9") answer.type = '9';
  if (is_report(message) && message[150].size() == 1) {
    const char type = message[150][0];
    const bool answers = type == '0' || type == '8' || ((type == '4' || type == '5') && !message[41].empty());
    if (answers) answer.type = type;
  }
  if (answer.type == 0) return;
  answer.order = message.number(37);
  ++counts.requests;
  if (!answers_.emplace(Request{kSimFixSessions[session].firm, message[11]}, answer).second)
    checker.fail("request " + std::string(message[11]) + " of FIX session " + kSimFixSessions[session].name +
                 " was answered twice");
}

std::optional<FixWatch::Answer> FixWatch::answer(const Request& request) const {
  const auto found = answers_.find(request);
  return found == answers_.end() ? std::nullopt : std::optional(found->second);
}

void FixWatch::compare(Checker& checker) const {
  for (size_t n = 0; n < kSimFixSessionCount; ++n) {
    const Session& session = sessions_[n];
    for (const auto& [number, text] : session.told)
      if (number == 0 || number > session.said.size() || session.said[number - 1] != text)
        return checker.fail(name_of(n, number) + " was told as " + text + " and is " +
                            (number > session.said.size() ? "lost" : session.said[number - 1]));
    for (const uint64_t number : session.left_out)
      if (number > session.said.size() || !is_of_session_layer(type_of(session.said[number - 1])))
        return checker.fail(name_of(n, number) + " was left out and is no message of the session layer");
  }
  for (size_t copy = 0; copy < kSimFixSessionCount; ++copy)
    for (size_t n = 0; kSimFixSessions[copy].account < 0 && n < kSimFixSessionCount; ++n) {
      if (std::string_view(kSimFixSessions[n].firm) != kSimFixSessions[copy].firm) continue;
      for (const std::string& exec : sessions_[n].execs)
        if (!sessions_[copy].execs.contains(exec))
          return checker.fail("execution " + exec + " of FIX session " + kSimFixSessions[n].name +
                              " is not in its drop copy");
    }
}

}  // namespace heptane::sim
