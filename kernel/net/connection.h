// One accepted connection: a stream, its session, and between them back-pressure, limits and the way to close. It is the
// session's context. Internal to kernel/net; the loop's thread.
//
// Phases: handshake (TLS only; the session is made when it is over) → open → closing (the session has ended; queued output is being written) → lingering → dead. Lingering: our side
// is shut and input is thrown away until the peer closes or linger_ns is over; closing a socket with unread input would
// make the system reset the connection and take the last answer from the peer.
#pragma once

#include <memory>

#include "kernel/net/input_buffer.h"
#include "kernel/net/loop_core.h"

namespace heptane::net {

class Connection final : public SessionContext, public StreamEvents {
 public:
  Connection(LoopCore& core, ListenerState& listener, SessionId id, std::unique_ptr<Stream> stream);
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // The loop's side.
  void open();
  void process_input();  // feeds the session what was kept and what the socket has, within a budget
  void settle();         // writes, resumes, closes: whatever the calls of this turn made necessary
  void deliver(RequestId request, const Reply& reply);
  void deliver(RequestId request, const RecordsRead& records);
  void deliver_worked(const WorkDone& done);
  void deliver_advanced(SubscriptionId subscription, Offset durable_end);
  void deliver_timer(SessionTimerId timer);
  bool wants_records() const { return phase_ == Phase::open; }
  void expire_idle();              // the idle timeout is over: closes, or counts as active while it waits for an answer
  void abort(CloseReason reason);  // at once, queued output is lost
  bool was_open() const { return was_open_; }  // there was a session
  bool dead() const { return phase_ == Phase::dead; }
  int64_t active_ns() const { return active_ns_; }
  Connection* next_active() const { return newer_; }
  ListenerState& listener() { return listener_; }

  // StreamEvents
  void on_readable() override;
  void on_writable() override;

  // SessionContext
  void write(Buffer bytes) override;
  void write_copy(Bytes bytes) override;
  Buffer keep(Bytes part) override;
  void close(CloseReason reason, std::string_view why) override;
  void need(size_t bytes) override;
  void pause_input(bool paused) override;
  bool submit(RequestId request, Submission submission) override;
  bool query(RequestId request, QueryRequest query) override;
  bool read(RequestId request, ReadRequest read) override;
  bool work(RequestId request, std::function<void()> job) override;
  SubscriptionId subscribe(PartitionId partition, Offset from) override;
  void unsubscribe(SubscriptionId subscription) override;
  SessionTimerId arm(int64_t delay_ns) override;
  void cancel(SessionTimerId timer) override;
  int64_t monotonic_ns() const override { return core_.clock.monotonic_ns(); }
  int64_t utc_ns() const override { return core_.clock.utc_ns(); }
  SessionId id() const override { return id_; }
  const Address& local() const override { return stream_->local(); }
  const Address& remote() const override { return stream_->remote(); }
  const TlsFacts* tls() const override { return stream_->tls(); }
  std::optional<uint32_t> peer_uid() const override { return stream_->peer_uid(); }
  size_t output_bytes() const override { return output_.bytes(); }
  bool output_full() const override { return above_mark_; }
  bool output_blocked() const override { return write_armed_; }
  uint32_t output_taken() const override { return taken_bytes_; }
  void await_taken() override { awaits_taken_ = true; }
  void watch_output(int64_t timeout_ns) override;

 private:
  friend struct LoopCore;
  enum class Phase : uint8_t { handshake, open, closing, lingering, dead };

  void shake_hands();
  void expire_handshake();
  void start_session();
  void fail(std::string_view why);
  size_t read_some();
  size_t read_behind_kept();
  size_t read_large();
  bool got(const IoResult& result, size_t asked);
  size_t feed(Bytes input);
  void count_kept();
  void check_kept();
  void discard_input();
  bool input_blocked() const;
  void resume_input();

  void wrote();
  template <size_t kPiecesMax>
  IoResult offer(size_t& offered);
  void flush();
  void begin_close(CloseReason reason, std::string_view why);
  void stop();
  void finish_closing();
  void end_session();
  void die();
  bool all_sent() const { return output_.empty() && stream_->flushed(); }
  bool nothing_pending() const { return outstanding_ == 0 && all_sent(); }
  bool count_sent(bool sent);
  void touch();  // moves it to the young end of the activity list
  void leave_activity_list();
  void arm_read();
  void wait_for_socket();
  void arm_stall_timer();
  void watch_stall();
  void on_stall_timer();
  void stalled();
  int64_t stall_timeout_ns() const;

  LoopCore& core_;
  ListenerState& listener_;
  const SessionId id_;
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<Session> session_;
  Connection* newer_ = nullptr;  // in the listener's activity list
  Connection* older_ = nullptr;
  int64_t active_ns_ = 0;  // last message consumed or output written
  int64_t write_progress_ns_ = 0;
  InputBuffer kept_;  // bytes that the session did not consume
  OutputQueue output_;
  uint32_t need_ = 0;         // of the next message; 0 = any new byte
  uint32_t outstanding_ = 0;  // requests without an answer
  Phase phase_ = Phase::handshake;
  CloseReason reason_ = CloseReason::session_closed;
  bool hungry_ = true;  // the session has seen what is kept and wants more
  bool readable_ = false;
  bool read_armed_ = false;
  bool write_armed_ = false;
  bool peer_eof_ = false;
  bool above_mark_ = false;
  bool abandoned_ = false;  // no goodbye: what is queued is lost
  bool paused_ = false;     // by the session
  uint16_t stall_s_ = 0;    // the session's time-out of output that is not taken; 0: it has none
  uint32_t taken_bytes_ = 0;
  size_t kept_counted_ = 0;     // what core_.kept_bytes holds of kept_
  bool input_stopped_ = false;  // found blocked; resume_input() starts it again
  bool ready_queued_ = false;
  bool dirty_queued_ = false;
  bool session_ended_ = false;
  bool was_open_ = false;
  bool stall_armed_ = false;
  bool awaits_taken_ = false;
};

}  // namespace heptane::net
