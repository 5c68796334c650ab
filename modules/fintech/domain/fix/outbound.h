// The half of a session that gives numbers: what is to be said becomes a message with the next MsgSeqNum(34), and is sent again when the
// peer asks for it.
//
// It stands apart from the other half (session.h), because where numbers must outlive a process they are taken by a state machine, in
// apply(): there these functions are called with the command's time and the machine's own store, and the bytes leave when the entry is
// synced. Nothing here reads a clock or keeps anything outside the store. No number is given twice as long as the store keeps its word.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "modules/fintech/domain/fix/encode.h"

namespace heptane::fix {

// A message that was sent, as it is sent again.
struct Sent {
  Draft draft;
  int64_t sending_time_ns = 0;
};

// A session's outbound numbers and what was sent under them. The views of a Sent must hold until the store changes.
class MessageStore {
 public:
  virtual ~MessageStore() = default;
  // Of the message that is sent next; from 1.
  virtual uint64_t next_number() const = 0;
  // Takes the next number. An administrative message need not be kept: it is never sent again.
  virtual void append(const Draft& draft, bool administrative, int64_t sending_time_ns) = 0;
  // The first number from this one on whose message is kept; next_number() if there is none. What lies between is filled by gaps.
  virtual uint64_t first_kept(uint64_t from) const = 0;
  // Of one that is kept.
  virtual Sent read(uint64_t number) const = 0;
  // The next number is 1, nothing is kept.
  virtual void reset() = 0;
};

struct Peers {
  std::string begin_string = "FIX.4.4";
  std::string sender_comp_id;  // we
  std::string target_comp_id;  // the peer
  int timestamp_digits = 3;    // TimestampPrecision: 0, 3, 6, 9
};

// Logon, Logout, Heartbeat, TestRequest, ResendRequest, Reject, SequenceReset: never sent again.
bool is_administrative(std::string_view type);

// Takes the next number for the draft and appends the message.
void send_next(const Peers& peers, MessageStore& store, const Draft& draft, int64_t now_ns, std::string& out);

// What the peer asked for and has not been sent again yet: one range, however often it asks. Its end does not move with what is sent while
// it is under way. A plain value, to be kept with the store.
class Resend {
 public:
  // Messages `begin` to `end`; 0, or beyond the last one: the last one that was sent so far. What lies between this and what is pending
  // is sent, too.
  void add(const MessageStore& store, uint64_t begin, uint64_t end);
  bool is_pending() const { return next_ < behind_; }
  // Appends messages as possible duplicates, administrative ones and what is not kept as gaps, until `out` has bytes_max or more.
  void send(const Peers& peers, const MessageStore& store, int64_t now_ns, size_t bytes_max, std::string& out);
  // The store's numbers begin anew.
  void clear() { next_ = behind_ = 0; }

 private:
  uint64_t next_ = 0;
  uint64_t behind_ = 0;  // behind the last one
};

}  // namespace heptane::fix
