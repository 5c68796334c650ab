// The acceptance scripts that others wrote for acceptors of FIX 4.4: $HEPTANE_CONFORMANCE/fix44/*.def, skipped where they are absent.
// They run in memory, against the session and the echo application, on a clock that goes to the next timer when nothing else is left
// to happen. clients/tests/test_fix.py runs them over TCP.
//
// `I` lines are sent, BodyLength and CheckSum put in where they lack; `E` lines are what must come: times and sums are compared by
// their form, BodyLength and CheckSum only where the line has them, all other fields exactly and in their order.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <vector>

#include "modules/fintech/domain/fix/tags.h"
#include "modules/fintech/domain/fix/values.h"
#include "modules/fintech/test/fix_echo.h"

namespace heptane::fix::test {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, at);) parts.push_back(part);
  return parts;
}

std::string shown(std::string text) {
  for (char& c : text)
    if (c == kSoh) c = '|';
  return text;
}

int tag_of(const std::string& field) { return std::atoi(field.c_str()); }

bool has_tag(const std::vector<std::string>& fields, int tag) {
  for (const std::string& field : fields)
    if (tag_of(field) == tag) return true;
  return false;
}

std::string joined(const std::vector<std::string>& fields) {
  std::string out;
  for (const std::string& field : fields) out += field + kSoh;
  return out;
}

// With BodyLength behind the first field and CheckSum at the end, where they lack.
std::string completed(const std::string& line) {
  std::vector<std::string> fields = split(line, kSoh);
  std::vector<std::string> body(fields.begin() + 1, fields.end());
  if (!body.empty() && tag_of(body.back()) == kCheckSum) body.pop_back();
  if (!has_tag(fields, kBodyLength)) fields.insert(fields.begin() + 1, "9=" + std::to_string(joined(body).size()));
  if (has_tag(fields, kCheckSum)) return joined(fields);
  std::string out = joined(fields);
  unsigned sum = 0;
  for (const char c : out) sum += static_cast<unsigned char>(c);
  char text[8];
  std::snprintf(text, sizeof text, "10=%03u", sum % 256);
  return out + text + kSoh;
}

// Why a connection ends where the script says so, if it is not because the peer logged out: in order, of each script. Only these end by
// waiting: `true`.
struct End {
  std::string_view why;
  bool waits = false;
};
const std::map<std::string, std::vector<End>> kEnds = {
    {"10_MsgSeqNumLess.def", {{"MsgSeqNum is too low"}}},
    {"1b_DuplicateIdentity.def", {{"the peer is not admitted"}}},
    {"1c_InvalidSenderCompID.def", {{"the Logon's CompIDs or its SendingTime are wrong"}}},
    {"1c_InvalidTargetCompID.def", {{"the Logon's CompIDs or its SendingTime are wrong"}}},
    {"1d_InvalidLogonBadSendingTime.def", {{"the Logon's CompIDs or its SendingTime are wrong"}}},
    {"1d_InvalidLogonLengthInvalid.def", {{"BodyLength(9) is wrong"}}},
    {"1d_InvalidLogonWrongBeginString.def", {{"BeginString is wrong"}}},
    {"1e_NotLogonMessage.def", {{"the first message is no Logon"}}},
    {"2c_MsgSeqNumTooLow.def", {{"MsgSeqNum is too low"}}},
    {"2i_BeginStringValueUnexpected.def", {{"logged out"}, {"the Logout was not answered", true}}},
    {"6_SendTestRequest.def", {{"no heartbeat came", true}}},
    {"AlreadyLoggedOn.def", {{"the peer is not admitted"}, {"logged out"}}}};

bool is_time(int tag) { return tag == kSendingTime || tag == kOrigSendingTime || tag == 60; }

bool agrees(const std::string& expected, const std::string& got) {
  const int tag = tag_of(expected);
  if (tag_of(got) != tag) return false;
  const std::string value = got.substr(got.find('=') + 1);
  if (is_time(tag)) return has_form(FieldType::timestamp, value);
  if (tag == kCheckSum) return value.size() == 3 && has_form(FieldType::number, value);
  return expected == got;
}

bool is_expected(const std::string& line, const std::string& got) {
  const std::vector<std::string> expected = split(line, kSoh);
  std::vector<std::string> fields = split(got, kSoh);
  for (const int tag : {static_cast<int>(kBodyLength), static_cast<int>(kCheckSum)})
    if (!has_tag(expected, tag)) std::erase_if(fields, [&](const std::string& field) { return tag_of(field) == tag; });
  if (expected.size() != fields.size()) return false;
  for (size_t i = 0; i < expected.size(); ++i)
    if (!agrees(expected[i], fields[i])) return false;
  return true;
}

// One script against one venue.
class Script {
 public:
  // What went wrong; empty: nothing.
  std::string run(const std::filesystem::path& path) {
    if (const auto ends = kEnds.find(path.filename().string()); ends != kEnds.end()) ends_ = ends->second;
    std::ifstream file(path);
    int number = 0;
    for (std::string line; std::getline(file, line);) {
      ++number;
      while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
      if (line.empty() || line[0] == '#') continue;
      step(line);
      if (!wrong_.empty())
        return path.filename().string() + ":" + std::to_string(number) + ": " + shown(line + ": " + wrong_);
    }
    for (auto& [id, connection] : connections_)
      if (!connection->out().empty())
        return path.filename().string() + ": said at the end: " + shown(connection->out());
    return {};
  }

 private:
  void step(const std::string& line) {
    const size_t comma = line.find(',');
    const bool has_id =
        comma != std::string::npos && comma < 4 && std::isdigit(static_cast<unsigned char>(line[1])) != 0;
    const int id = has_id ? std::atoi(line.c_str() + 1) : 1;
    const std::string rest = line.substr(has_id ? comma + 1 : 1);
    if (line[0] == 'i' && rest == "CONNECT") {
      connections_[id] = std::make_unique<EchoConnection>(venue_, now_ns_);
    } else if (line[0] == 'i') {
      connections_[id]->on_disconnected();
    } else if (line[0] == 'e') {
      expect_end(*connections_[id]);
    } else if (line[0] == 'I') {
      if (!connections_[id]->closed()) connections_[id]->on_bytes(completed(with_times(rest)), now_ns_);
    } else {
      expect(*connections_[id], rest);
    }
  }

  void expect(EchoConnection& connection, const std::string& line) {
    while (connection.out().empty() && advance(connection)) {
    }
    std::string& out = connection.out();
    const Frame frame = next_frame(out);
    if (frame.kind != Frame::Kind::whole) {
      wrong_ = "nothing came; closed: " + connection.why();
      return;
    }
    const std::string got = out.substr(frame.begin, frame.size);
    out.erase(0, frame.begin + frame.size);
    Message message;
    if (const char* garbled = message.read(got); garbled != nullptr) wrong_ = garbled;
    if (!is_expected(line, got)) wrong_ = "got " + got;
  }

  // Who is to be turned away is so at once: that a timer ends the connection in the end says nothing.
  void expect_end(EchoConnection& connection) {
    const End end = ends_.empty() ? End{"logged out"} : ends_.front();
    if (!ends_.empty()) ends_.erase(ends_.begin());
    while (end.waits && !connection.closed() && connection.out().empty() && advance(connection)) {
    }
    if (!connection.closed() || !connection.out().empty()) wrong_ = "not closed; got " + connection.out();
    if (connection.closed() && connection.why() != end.why) wrong_ = "closed: " + connection.why();
  }

  // To the connection's next timer; false: it has none.
  bool advance(EchoConnection& connection) {
    const auto due = connection.session().next_timer();
    if (!due) return false;
    now_ns_ = std::max(now_ns_, *due);
    connection.on_timer(now_ns_);
    return true;
  }

  std::string with_times(std::string line) const {
    for (size_t at = line.find("<TIME"); at != std::string::npos; at = line.find("<TIME", at)) {
      const size_t end = line.find('>', at);
      const int64_t seconds = std::atoll(line.substr(at + 5, end - at - 5).c_str());
      std::string text;
      append_timestamp(text, now_ns_ + seconds * kSecond, 0);
      line.replace(at, end + 1 - at, text);
    }
    return line;
  }

  int64_t now_ns_ = 1'796'011'506'789'000'000;
  std::string wrong_;
  std::vector<End> ends_;  // that are still to come
  EchoVenue venue_;
  std::map<int, std::unique_ptr<EchoConnection>> connections_;
};

std::filesystem::path folder() {
  const char* directory = std::getenv("HEPTANE_CONFORMANCE");
  return std::filesystem::path(directory != nullptr ? directory : "../shared/conformance") / "fix44";
}

TEST(FixConformance, EveryScript) {
  if (!std::filesystem::is_directory(folder()))
    GTEST_SKIP() << "no acceptance scripts for FIX 4.4: HEPTANE_CONFORMANCE/fix44";
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder()))
    if (entry.path().extension() == ".def") paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  EXPECT_GT(paths.size(), 50u);
  for (const auto& path : paths) EXPECT_EQ(Script().run(path), "");
}

}  // namespace
}  // namespace heptane::fix::test
