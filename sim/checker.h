// The naive model beside the server: what was promised to clients, held as plain maps, compared with what the server
// says after every restart. A record is promised when its acknowledgement arrived or a consumer saw it.
//
// Rules: a promised record is there for ever, at its offset, with its bytes; offsets are dense; of every producer each
// number is there once, in order, none left out. The first broken rule is kept; later ones follow from it. One owner.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/ids.h"
#include "kernel/base/result.h"

namespace heptane::sim {

// A record is known by who made it and its number; its bytes follow from both.
struct RecordName {
  uint32_t producer = 0;
  uint32_t number = 0;
  friend bool operator==(const RecordName&, const RecordName&) = default;
  friend auto operator<=>(const RecordName&, const RecordName&) = default;
};

// `P<producer>-N<number>-` and filler of a length and content that both numbers decide.
std::string record_value(RecordName name);
// Nothing when one byte differs from what the name's value must be.
std::optional<RecordName> parse_value(Bytes value);

// What a read may say of bytes that were changed at rest: they fail their check, or a file is no segment any more and so nowhere.
inline bool is_of_damage(Errc code) { return code == Errc::corrupt || code == Errc::io; }

class Checker {
 public:
  explicit Checker(size_t topics) : topics_(topics) {}

  void acknowledged(size_t topic, RecordName first, uint32_t count, Offset base_offset);
  // A consumer read these bytes at this offset.
  void seen(size_t topic, Offset offset, Bytes value);

  // A consumer was told that the topic reaches to here: it never ends earlier again.
  void told_end(size_t topic, Offset end);

  // The answer to a client said that the topic exists.
  void created(size_t topic) { topics_[topic].created = true; }

  // After a restart: what the log holds of a topic, from offset 0 on.
  void begin_audit(size_t topic);
  void audit(size_t topic, Offset offset, Bytes value);
  void end_audit(size_t topic, Offset durable_end);
  // The server does not know the topic.
  void audit_missing(size_t topic);
  // From now on the end of a topic may be missing: acknowledged bytes were damaged at rest. What is there stays right.
  void allow_lost_tail() { lost_tail_allowed_ = true; }

  bool lost_tail_allowed() const { return lost_tail_allowed_; }

  void fail(const std::string& what) {
    if (failure_.empty()) failure_ = what;
  }
  bool failed() const { return !failure_.empty(); }
  const std::string& failure() const { return failure_; }

  uint64_t acknowledged_total() const { return acknowledged_total_; }
  uint64_t seen_total() const { return seen_total_; }
  Offset promised_end(size_t topic) const;

 private:
  struct Topic {
    std::map<Offset, RecordName> promised;
    std::map<RecordName, Offset> places;
    bool created = false;
    Offset told_end = 0;
    // The audit under way.
    Offset next = 0;
    std::map<uint32_t, uint32_t> next_number;  // by producer
  };
  void promise(size_t topic, Offset offset, RecordName name, const char* how);

  std::vector<Topic> topics_;
  std::string failure_;
  bool lost_tail_allowed_ = false;
  uint64_t acknowledged_total_ = 0;
  uint64_t seen_total_ = 0;
};

}  // namespace heptane::sim
