// FIX sessions in a simulation: what their peers were told, beside what the sessions' streams (`fintech.fix.NAME`) have of them.
//
// Rules. To a peer: a number never stands for two messages; what is sent again is what was sent; a gap leaves out what the session layer
// said alone. In a stream, after every start: numbers 1, 2, 3 ... without one left out, all that a peer was told, as it was told; each request
// has one answer; a drop copy has each execution once, and those that the firm's other sessions were told of. One owner.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/base/disk.h"
#include "sim/checker.h"
#include "sim/stream_tail.h"

namespace heptane::sim {

struct SimFixSession {
  const char* name;
  const char* firm;
  int account;  // whose orders go over it; -1: it is a drop copy
};
constexpr SimFixSession kSimFixSessions[] = {{"BETA", "beta", 1}, {"SECOND", "alpha", 2}, {"COPY", "alpha", -1}};
constexpr size_t kSimFixSessionCount = std::size(kSimFixSessions);
constexpr const char* kSimCompId = "EXCHANGE";

// A FIX message's fields.
class FixFields {
 public:
  explicit FixFields(std::string_view text);
  // Empty: it has none.
  std::string_view operator[](int tag) const;
  uint64_t number(int tag) const;
  std::string_view type() const { return (*this)[35]; }
  // Without what differs when it is sent again, and what a stream leaves out.
  std::string plain() const;

 private:
  std::vector<std::pair<int, std::string_view>> fields_;
};
bool is_of_session_layer(std::string_view type);

class FixWatch {
 public:
  struct Counts {
    uint64_t logons = 0;
    uint64_t told = 0;      // messages that peers had
    uint64_t again = 0;     // that came once more
    uint64_t asked = 0;     // resends that peers were asked for
    uint64_t requests = 0;  // answered
    Counts& operator+=(const Counts& other);
  };
  // What became of a request: ExecType of the report that answers it, or `9`.
  struct Answer {
    char type = 0;
    uint64_t order = 0;
    bool done() const { return type != '8' && type != '9'; }
  };
  using Request = std::pair<std::string, std::string>;  // firm, ClOrdID

  Counts counts;

  // What a peer is told. Text: what is wrong.
  std::string told(size_t session, uint64_t number, const FixFields& message);
  std::string told_gap(size_t session, uint64_t begin, uint64_t behind);

  // What is synced of the streams.
  Result<void> read(server::Server& server, Disk& disk, Checker& checker);
  void compare(Checker& checker) const;
  // None: no stream has one.
  std::optional<Answer> answer(const Request& request) const;

 private:
  struct Session {
    explicit Session(const char* name) : tail(std::string("fintech.fix.") + name) {}
    StreamTail tail;
    std::vector<std::string> said;             // number n is n - 1
    std::map<uint64_t, std::string> told;      // of those that were received
    std::set<uint64_t> left_out;               // by gaps
    std::set<std::string, std::less<>> execs;  // of reports of orders
  };
  void take(size_t session, std::string_view record, Checker& checker);
  void take_answer(size_t session, const FixFields& message, Checker& checker);

  std::array<Session, kSimFixSessionCount> sessions_{Session(kSimFixSessions[0].name), Session(kSimFixSessions[1].name),
                                                     Session(kSimFixSessions[2].name)};
  std::map<Request, Answer> answers_;
};

}  // namespace heptane::sim
