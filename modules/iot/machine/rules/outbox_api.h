// The outbox of rules: what they post to others, as records of the view `iot.outbox`, written in the entry that the rule's position
// moves in, and how far each rule's have been sent. What leaves the log cannot be undone: it is sent at least once, in the order of
// the records, each under a key that stays the same. Little-endian. Any thread.
//
// A record: key = the idempotency key, RULE/VERSION/POSITION/N (the version of the rule and the position of the command that made
// it, and the how-manieth of that command it is); value = {"url":"…","body":{…}}.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "modules/iot/machine/rules/rule_api.h"

namespace heptane::iot::rules {

// Payload: an OutboxCommit. Reply as of kRuleCommit. Refused: not_found (the rule, or it posts nothing any more), stale (another
// rule of the name, another position), invalid_argument, overloaded, too_large.
constexpr CommandType kOutboxCommit = 6;

constexpr ViewId kOutboxView{kRulesMachineId, 2};
constexpr std::string_view kOutboxStream = "iot.outbox";
constexpr const char* kOutboxTaken = "the stream iot.outbox was made by a client and has records: delete it";
constexpr int64_t kOutboxRetentionMs = 7 * 24 * int64_t{3'600'000};
constexpr int64_t kOutboxRetentionBytes = int64_t{1} << 30;

constexpr size_t kLettersMax = 64;
constexpr size_t kIdempotencyKeyMax = 160;
constexpr size_t kLetterUrlMax = kExpressionBytesMax;

// What was given up.
struct OutboxLetter {
  Offset offset = 0;
  std::string_view key;
  std::string_view url;
  std::string_view why;
};

// From where the rule's outbox is; behind the beginning of what is kept, where records before it are gone.
struct OutboxCommit {
  std::string_view rule;
  LogTime created = 0;  // of the rule: another one of its name is another
  Offset from = 0;
  Offset upto = 0;
  uint32_t posted = 0;
  std::vector<OutboxLetter> letters;
};
Buffer encode(const OutboxCommit& commit);
std::optional<OutboxCommit> decode_outbox_commit(Bytes payload);

std::string idempotency_key(std::string_view rule, uint64_t version, Sequence sequence, uint32_t number);
// The rule that a record of the outbox is of.
std::string_view rule_of_key(std::string_view key);

}  // namespace heptane::iot::rules
