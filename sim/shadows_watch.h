// Shadows in a simulation: what the stream `iot.shadows` says, in its order, and the documents that follow from it: two flat maps of
// each shadow, patched by what was accepted.
//
// Rules, looked at after every start: every request that a client was told of is answered in the stream; of each shadow the
// versions go up by one with each accepted update and with nothing else; `delta` (where and only where desired differs from reported),
// `documents` and `accepted` of an update stand one behind the other, and hold what the maps say; an update or deletion that named a
// version is accepted where it is that, and else rejected with 409; `get`, and what the machine says after a start, is the
// maps' document; what is deleted is gone, and its version goes on. One owner.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kernel/base/disk.h"
#include "kernel/net/http/json.h"
#include "modules/iot/machine/devices/devices_machine.h"
#include "sim/checker.h"
#include "sim/stream_tail.h"

namespace heptane::sim {

// What a request's client token says of it: whose it is, which of his, and the version that it named.
struct ShadowToken {
  uint32_t client = 0;
  uint32_t number = 0;
  std::optional<uint64_t> version{};
};
std::string token_text(const ShadowToken& token);
std::optional<ShadowToken> parse_token(std::string_view text);

class ShadowsWatch {
 public:
  struct Counts {
    uint64_t updates = 0;  // accepted
    uint64_t deltas = 0;
    uint64_t conflicts = 0;
    uint64_t rejected = 0;
    uint64_t deleted = 0;
    uint64_t audits = 0;
  };

  // What clients know: of each the number of the newest request that was acknowledged.
  std::vector<uint32_t> acknowledged;

  void audit(server::Server& server, const iot::devices::DevicesMachine& machine, Disk& disk, Checker& checker,
             bool damaged);
  // Reads what is synced; true when all that was acknowledged is answered.
  bool has_ended(server::Server& server, Disk& disk, Checker& checker);
  // All answers, as SimMqttListener::heard has them, each once.
  const std::vector<std::string>& answers() const { return answers_; }
  // A version that a client may name: that of the shadow, as the log last had it.
  uint64_t version_of(const std::string& shadow) const;
  const Counts& counts() const { return counts_; }

 private:
  using Section = std::map<std::string, std::string>;  // values as JSON
  struct Document {
    uint64_t version = 0;
    bool there = false;
    Section desired{};
    Section reported{};
  };
  struct Seen {  // before `accepted`
    uint64_t version = 0;
    Section state{};
  };

  bool catch_up(server::Server& server, Disk& disk, Checker& checker, bool damaged);
  void take(std::string_view topic, std::string_view payload, Checker& checker);
  void note_answer(const ShadowToken& token);
  void take_delta(const std::string& shadow, http::JsonValue root);
  void take_documents(const std::string& shadow, http::JsonValue root, Checker& checker);
  void take_document(const std::string& shadow, http::JsonValue root, Checker& checker);
  void take_deletion(const std::string& shadow, http::JsonValue root, Checker& checker);
  void take_update(const std::string& shadow, http::JsonValue root, Checker& checker);
  void take_rejection(const std::string& shadow, std::string_view operation, http::JsonValue root, Checker& checker);
  bool is_document(const Document& document, http::JsonValue root) const;
  static Section section_of(const std::optional<http::JsonValue>& state, std::string_view name);
  static void patch(Section& section, const std::optional<http::JsonValue>& state, std::string_view name);
  static Section difference(const Document& document);
  void compare_machine(const iot::devices::DevicesMachine& machine, Checker& checker) const;
  void compare_acknowledged(Checker& checker) const;
  bool all_answered() const;

  StreamTail tail_{"iot.shadows"};
  std::map<std::string, Document> documents_;  // by THING/NAME
  std::map<std::string, Seen> deltas_;         // before their `accepted`
  std::map<std::string, Document> currents_;   // likewise
  std::vector<std::set<uint32_t>> answered_;   // by client
  std::vector<std::string> answers_;
  std::set<std::string> known_answers_;
  bool blind_ = false;
  Counts counts_;
};

}  // namespace heptane::sim
