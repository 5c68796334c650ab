// What reads from the socket of a FIX connection, with the exchange behind it. Input: lines; `!` before raw bytes, `*` a cut and a new
// logon, `#` one for market data, `~` passes time, others are messages as fix_exchange_test's scripts have them, MsgSeqNum put in where it lacks. Whatever comes: what is said is
// valid, the exchange's invariants hold (exchange_rig.h).
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "modules/fintech/test/fix_text.h"
#include "modules/fintech/test/fix_world.h"

namespace {

using heptane::fintech::fixgate::test::fault_of;
using heptane::fintech::fixgate::test::FixWorld;
using heptane::fintech::fixgate::test::Line;
using heptane::fintech::fixgate::test::message_of;
using heptane::fintech::fixgate::test::split;
using heptane::fintech::fixgate::test::take_one;

class Talk {
 public:
  Talk() {
    world_.open_market();
    log_on("ALPHA");
  }
  void line(const std::string& text) {
    if (text.starts_with('*') || text.starts_with('#')) {
      line_->cut();
      log_on(text[0] == '*' ? "ALPHA" : "MARKET");
    } else if (text.starts_with('~')) {
      world_.pass(kTurnNs);
    } else if (text.starts_with('!')) {
      line_->send(heptane::fix::test::with_ends(text.substr(1)));
    } else if (!text.empty()) {
      const bool numbered = text.find("34=") != std::string::npos;
      const size_t end = text.find('|');
      const std::string number = "|34=" + std::to_string(next_++);
      line_->send(
          message_of(numbered || end == std::string::npos ? text : text.substr(0, end) + number + text.substr(end),
                     name_, world_.rig.now));
    }
    settle();
  }

 private:
  static constexpr int64_t kTurnNs = 20'000'000;

  void log_on(const std::string& name) {
    name_ = name;
    world_.run();
    line_ = &world_.connect();
    next_ = world_.session(name).next_in;
    line_->send(message_of("35=A|34=" + std::to_string(next_++) + "|98=0|108=30|", name, world_.rig.now));
    settle();
  }
  void settle() {
    world_.run();
    for (std::string one = take_one(line_->out()); !one.empty(); one = take_one(line_->out()))
      if (const std::string fault = fault_of(one); !fault.empty()) {
        std::fprintf(stderr, "%s: %s\n", fault.c_str(), heptane::fix::test::readable(one).c_str());
        std::abort();
      }
    if (::testing::Test::HasFailure()) std::abort();
  }

  FixWorld world_;
  std::string name_;
  Line* line_ = nullptr;
  uint64_t next_ = 1;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kLinesMax = 64;
  Talk talk;
  size_t lines = 0;
  for (const std::string& text : split(std::string(reinterpret_cast<const char*>(data), size), '\n'))
    if (++lines <= kLinesMax) talk.line(text);
  return 0;
}
