// The exchange over FIX: own scripts in the form of the acceptance scripts (test/fix/*.def), and what no script can say: crashes, lines
// that are cut, many orders.
//
// A script's lines: `I1,` is sent over connection 1, `E1,` must come there, `e1,` it ends, `i1,CONNECT ALPHA` and `i1,DISCONNECT` are the
// peer's doing; `x` lines are the world's: `crash`, `pass SECONDS`, `phase PHASE`, `http ...`. `|` ends a field. 8, 49, 56 and 52 are put
// in where an `I` line lacks them, 9 and 10 too; of what came these are compared where an `E` line has them, times by their form. With
// HEPTANE_FIX_RECORD=1 scripts are written anew, with what came in place of what was expected.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "modules/fintech/domain/fix/values.h"
#include "modules/fintech/test/fix_text.h"
#include "modules/fintech/test/fix_world.h"

namespace heptane::fintech::fixgate::test {
namespace {

using fix::test::readable;

const std::filesystem::path kFolder = "modules/fintech/test/fix";

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, at);) parts.push_back(part);
  return parts;
}

int tag_of(const std::string& field) { return std::atoi(field.c_str()); }

bool has_tag(const std::vector<std::string>& fields, int tag) {
  return std::any_of(fields.begin(), fields.end(), [&](const std::string& field) { return tag_of(field) == tag; });
}

bool is_time(int tag) { return tag == fix::kSendingTime || tag == fix::kOrigSendingTime || tag == 60; }

std::string timestamp(int64_t time_ns) {
  std::string text;
  fix::append_timestamp(text, time_ns, 3);
  return text;
}

// `35=0|34=2|...` of a peer to a whole message.
std::string message_of(const std::string& line, const std::string& name, int64_t now_ns) {
  std::vector<std::string> fields = split(line, '|');
  const auto put = [&](int tag, const std::string& value) {
    if (!has_tag(fields, tag)) fields.insert(fields.begin() + 1, std::to_string(tag) + "=" + value);
  };
  put(fix::kTargetCompID, "HEPTANE");
  put(fix::kSendingTime, timestamp(now_ns));
  put(fix::kSenderCompID, name);
  std::string text;
  for (const std::string& field : fields) text += field + '|';
  return fix::test::whole(text);
}

// One message of what came; empty: none.
std::string take_one(std::string& out) {
  const fix::Frame frame = fix::next_frame(out);
  if (frame.kind != fix::Frame::Kind::whole) return {};
  std::string one = out.substr(frame.begin, frame.size);
  out.erase(0, frame.begin + frame.size);
  return one;
}

// Whether it is a message of the dictionary.
std::string fault_of(const std::string& bytes) {
  fix::Message message;
  if (const char* garbled = message.read(bytes)) return garbled;
  const auto fault = fix::validate(message, {});
  if (!fault) return {};
  return std::string(fix::reason_text(fault->reason)) + " " + std::to_string(fault->tag.value_or(0));
}

bool left_out(int tag) { return tag == 8 || tag == 9 || tag == 10 || tag == 49 || tag == 56 || tag == 52; }

// As an `E` line says it.
std::string expected_form(const std::string& bytes) {
  std::string out;
  for (const std::string& field : split(readable(bytes), '|')) {
    if (left_out(tag_of(field))) continue;
    out += (is_time(tag_of(field)) ? field.substr(0, field.find('=') + 1) + "<TIME>" : field) + '|';
  }
  return out;
}

class Script {
 public:
  // What went wrong; empty: nothing.
  std::string run(const std::filesystem::path& path) {
    world_.open_market();
    const bool records = std::getenv("HEPTANE_FIX_RECORD") != nullptr;
    std::ifstream file(path);
    std::string written;
    int number = 0;
    for (std::string line; std::getline(file, line);) {
      ++number;
      const bool expected = line.starts_with("E") || line.starts_with("e");
      if (records && expected) continue;
      const std::string done = line.empty() || line[0] == '#' ? line : step(line);
      if (records) written += line + '\n' + all_said();
      if (done != line && !records)
        return path.filename().string() + ":" + std::to_string(number) + ":\n   got " + done + "\nwanted " + line;
    }
    if (records) std::ofstream(path) << written;
    const std::string rest = all_said();
    return rest.empty() || records ? "" : path.filename().string() + ": at the end:\n" + rest;
  }

 private:
  struct Peer {
    std::string name;
    Line* line = nullptr;
    bool told_end = false;  // a script has said that it ended
  };

  // The line as it should have been.
  std::string step(const std::string& line) {
    const size_t comma = line.find(',');
    const int id = line[0] == 'x' ? 0 : std::atoi(line.c_str() + 1);
    const std::string rest = line[0] == 'x' ? line.substr(2) : line.substr(comma + 1);
    const std::string head = line.substr(0, comma + 1);
    if (line[0] == 'x') {
      order(rest);
    } else if (line[0] == 'i') {
      connect(id, rest);
    } else if (line[0] == 'I') {
      Peer& peer = peers_.at(id);
      if (!peer.line->closed()) peer.line->send(message_of(rest, peer.name, world_.rig.now));
      world_.run();
    } else if (line[0] == 'e') {
      Peer& peer = peers_.at(id);
      peer.told_end = peer.line->closed();
      return head + (peer.told_end ? peer.line->why() : "it goes on");
    } else {
      return head + expect(peers_.at(id));
    }
    return line;
  }

  void connect(int id, const std::string& rest) {
    if (rest.starts_with("CONNECT")) {
      peers_[id] = {rest.substr(8), &world_.connect(), false};
    } else {
      peers_.at(id).line->cut();
      peers_.at(id).told_end = true;
    }
    world_.run();
  }

  void order(const std::string& text) {
    std::stringstream words(text);
    std::string what;
    std::string more;
    words >> what >> more;
    if (what == "crash") world_.crash();
    if (what == "pass") world_.pass(std::atoll(more.c_str()) * kSecond);
    if (what == "session") change_session(more, words);
    bool good = true;
    if (what == "phase") good = set_phase(more, words.str().ends_with("uncross"));
    if (what == "kill") {
      const exchange::SwitchChange kill{exchange::Whose::firm, more, "", "", false, "test"};
      good = world_.rig.ask(exchange::kSwitch, kill).ok();
    }
    if (what == "http_cancel") good = world_.rig.cancel("alpha", std::strtoull(more.c_str(), nullptr, 10)).ok();
    EXPECT_TRUE(good) << text;
    if (what == "http_sell") world_.rig.enter(world_.rig.sell(more, "100.00"));
    world_.run();
  }

  bool set_phase(const std::string& name, bool uncross) {
    for (uint8_t number = 0; number <= exchange::kLast<book::Phase>; ++number) {
      const auto phase = static_cast<book::Phase>(number);
      if (exchange::phase_name(phase) != name) continue;
      return world_.rig.ask(exchange::kSetPhase, exchange::PhaseChange{"BTC/USD", phase, uncross}).ok();
    }
    return false;
  }

  void change_session(const std::string& name, std::stringstream& words) {
    exchange::FixSpec spec = world_.session(name).spec;
    for (std::string word; words >> word;) {
      if (word == "cancel_on_disconnect") spec.cancel = exchange::FixCancel::on_disconnect;
      if (word == "cancel_on_logout") spec.cancel = exchange::FixCancel::on_disconnect_and_logout;
      if (word.starts_with("grace=")) spec.grace_s = static_cast<uint32_t>(std::atoi(word.c_str() + 6));
      if (word == "spare_gtc") spec.spare_gtc = true;
      if (word == "reset_on_logon") spec.reset_on_logon = true;
      if (word == "reset_on_logout") spec.reset_on_logout = true;
      if (word == "reset_on_disconnect") spec.reset_on_disconnect = true;
      if (word.starts_with("digits=")) spec.timestamp_precision = static_cast<uint8_t>(std::atoi(word.c_str() + 7));
    }
    world_.put(spec);
  }

  // What nobody has looked at, as lines of a script.
  std::string all_said() {
    std::string out;
    for (auto& [id, peer] : peers_) {
      const std::string comma = std::to_string(id) + ",";
      while (!peer.line->out().empty()) out += "E" + comma + expect(peer) + '\n';
      if (peer.line->closed() && !peer.told_end) out += "e" + comma + peer.line->why() + '\n';
      peer.told_end = peer.told_end || peer.line->closed();
    }
    return out;
  }

  static std::string expect(Peer& peer) {
    const std::string got = take_one(peer.line->out());
    if (got.empty()) return "nothing; closed: " + peer.line->why();
    const std::string fault = fault_of(got);
    return fault.empty() ? expected_form(got) : expected_form(got) + " is wrong: " + fault;
  }

  FixWorld world_;
  std::map<int, Peer> peers_;
};

TEST(FixExchange, EveryScript) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder))
    if (entry.path().extension() == ".def") paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  EXPECT_GE(paths.size(), 20u);
  for (const auto& path : paths) EXPECT_EQ(Script().run(path), "");
}

}  // namespace
}  // namespace heptane::fintech::fixgate::test
