// The half of a FIX session that listens: what comes is read, checked and answered, silence is noticed. An acceptor's; FIX 4.4 volume 2.
//
// A pure state machine: bytes and times in, calls of its SessionHost out; no sockets, no clock. What it wants said it gives to the host
// without a number: who gives numbers is the host's affair (outbound.h), at once or in a log's command, in the order of the calls. The
// number that is expected next is told with every change and asked for at logon.
//
// Invariants: an application's message reaches the host once, in the order of its numbers, after logon and before close() only; one that
// comes too early waits (kWaitingMessagesMax, kWaitingBytesMax; beyond, it is dropped: it is asked for again) while the peer is asked for
// what lacks. Of a gap nothing of which comes the peer is asked once every HeartBtInt, three times in all; then it is logged out. Times are
// nanoseconds and never go back. One owner.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "modules/fintech/domain/fix/encode.h"
#include "modules/fintech/domain/fix/message.h"
#include "modules/fintech/domain/fix/shapes.h"
#include "modules/fintech/domain/fix/validate.h"

namespace heptane::fix {

constexpr size_t kWaitingMessagesMax = 1'000;
constexpr size_t kWaitingBytesMax = 1024 * 1024;
constexpr size_t kTestReqIdMax = 256;             // longer ones are rejected
constexpr size_t kEchoedTypeMax = 64;             // of a MsgType in a Reject; longer ones are left out
constexpr uint32_t kGarbledMax = 32;              // in a row; then the peer is logged out
constexpr uint64_t kNumberMax = 999'999'999'999;  // where a SequenceReset may lead

// Named as QuickFIX names them.
struct SessionSettings {
  std::string begin_string = "FIX.4.4";
  std::string sender_comp_id;       // we
  std::string target_comp_id;       // the peer
  uint32_t heart_bt_int_min_s = 1;  // what a Logon may ask for; 0 of both: no heartbeats at all
  uint32_t heart_bt_int_max_s = 3'600;
  uint32_t logon_timeout_s = 10;
  uint32_t logout_timeout_s = 2;
  uint32_t max_latency_s = 120;                 // of SendingTime against the time; 0: CheckLatency=N
  uint32_t max_messages_in_resend_request = 0;  // 0: everything in one
  bool reset_on_logon = false;
  bool reset_on_logout = false;
  bool reset_on_disconnect = false;
  ValidationRules validation;
};

// Whether a peer may log on.
struct Admission {
  bool admitted = false;
  std::string_view why;   // for the log; a peer that is not admitted is told nothing and uses up no number
  std::string refusal{};  // of one that is admitted: why it may not log on now, which it is told; empty: it may
};

// What became of an application's message.
enum class Handled : uint8_t {
  taken,
  unsupported_type,  // answered by BusinessMessageReject(j), 380=3, unless it is one itself
};

class SessionHost {
 public:
  virtual ~SessionHost() = default;
  // A Logon with the right CompIDs: credentials, times, another connection.
  virtual Admission admit(const Message& logon) = 0;
  // The number expected of the peer next, as it is kept; from 1. Not asked for after reset_numbers(): that may take its time.
  virtual uint64_t next_inbound() const = 0;
  // Everything below has been dealt with.
  virtual void set_next_inbound(uint64_t number) = 0;
  // Both directions begin with 1, what was sent is forgotten.
  virtual void reset_numbers() = 0;
  // To be sent with the next number. The views hold until the call returns.
  virtual void send(const Draft& draft) = 0;
  // Messages begin to end (0: the last one that was sent so far) to be sent again: outbound.h, Resend.
  virtual void send_again(uint64_t begin, uint64_t end) = 0;
  virtual Handled on_application(const Message& message) = 0;
  // The connection ends when what was sent before has left. The session does nothing any more.
  virtual void close(const char* why) = 0;
};

class Session {
 public:
  // Both must outlive it; the rules of validation do not change meanwhile. now_ns: when the connection was made.
  Session(const SessionSettings& settings, SessionHost& host, int64_t now_ns);

  // Takes whole messages from the front and returns how many bytes they were. What it leaves is to come again with more behind it.
  size_t on_bytes(std::string_view input, int64_t now_ns);
  void on_timer(int64_t now_ns);
  // The connection is gone.
  void on_disconnected();
  // Something was sent that this object did not ask for: the heartbeat is put off.
  void on_sent(int64_t now_ns) { last_sent_ns_ = now_ns; }
  // Says goodbye; the connection ends when the peer has answered, or after logout_timeout_s. Whoever has not logged on is told nothing:
  // the end.
  void log_out(std::string_view text, int64_t now_ns);

  // When on_timer() has something to do. None: never.
  std::optional<int64_t> next_timer() const;
  bool is_logged_on() const { return state_ == State::logged_on || state_ == State::logging_out; }
  bool is_closed() const { return state_ == State::closed; }
  // It was not the peer who wanted the end.
  bool said_goodbye_first() const { return said_goodbye_first_; }

 private:
  enum class State : uint8_t { connected, logged_on, logging_out, closed };

  void read(std::string_view frame);
  void on_garbled(const char* why);
  void on_message(const Message& message);
  void on_logon(const Message& message, uint64_t number);
  void accept_logon(uint64_t number, uint64_t heart_bt_int_s, bool reset);
  std::optional<Fault> fault_of_sender(const Message& message) const;
  bool is_late_or_early(const Message& message) const;
  void on_wrong_sender(const Message& message, uint64_t number, const Fault& fault);
  void on_wrong_begin_string(const Message& message, uint64_t number);
  void on_low_number(const Message& message, uint64_t number);
  void refuse_low_number(uint64_t number, uint64_t expected);
  void refuse(std::string_view text, const char* why);
  void on_high_number(uint64_t number, std::string_view waiting);
  void dispatch(const Message& message, uint64_t number);
  void on_test_request(const Message& message, uint64_t number);
  void on_resend_request(const Message& message, uint64_t number);
  void on_sequence_reset(const Message& message, uint64_t number);
  void on_logout(uint64_t number);
  void on_application(const Message& message, uint64_t number);

  void refuse(const Message& message, uint64_t number, const Fault& fault);
  void reject(const Message& message, uint64_t number, const Fault& fault);
  void reject_type(const Message& message, uint64_t number);
  void settle(uint64_t number);
  void request_missing();
  void expect(uint64_t number);
  void take_waiting();
  void reset_numbers();
  void send(std::string_view type);
  void give_up(std::string_view text);
  void close(const char* why);

  int64_t seconds_after(int64_t from_ns, uint64_t tenths) const;
  int64_t gap_interval_ns() const;
  std::optional<int64_t> gap_timer() const;
  void on_gap_unfilled();
  bool has_heartbeats() const { return heart_bt_int_s_ != 0; }

  const SessionSettings& settings_;
  SessionHost& host_;
  State state_ = State::connected;
  int64_t now_ns_;
  int64_t since_ns_;  // connected, or logging out
  int64_t last_received_ns_;
  int64_t last_sent_ns_;
  uint64_t heart_bt_int_s_ = 0;
  bool test_pending_ = false;
  uint32_t garbled_ = 0;   // in a row
  bool given_up_ = false;  // logged out for a fault of the peer
  bool said_goodbye_first_ = false;

  uint64_t next_inbound_ = 1;
  uint64_t missing_upto_ = 0;                // the peer was asked for what lacks up to here; 0: nothing is
  uint64_t requested_upto_ = 0;              // the part of it that was asked for already
  int64_t gap_since_ns_ = 0;                 // the peer was asked, or some of it came
  uint32_t gap_requests_ = 0;                // since some of it came
  std::map<uint64_t, std::string> waiting_;  // empty: dealt with already
  size_t waiting_bytes_ = 0;
  bool taking_waiting_ = false;  // how late they were when they came was looked at: they may be later now

  Reader reader_;
  std::string header_;  // of the draft in the making
  std::string body_;
};

}  // namespace heptane::fix
