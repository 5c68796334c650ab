// A SessionContext that behaves as a connection does: keeps what the session did not consume, gives it back only as the
// loop would, stops while output is full, counts timers, answers when the test says so. Test support.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>

#include "kernel/base/assert.h"
#include "kernel/net/session.h"

namespace heptane::http::test {

class FakeContext : public net::SessionContext {
 public:
  explicit FakeContext(net::Session& session) : session_(session) {}

  // The script.
  std::function<Reply(const Submission&)> on_submit;
  std::function<Reply(const QueryRequest&)> on_query;
  std::function<net::RecordsRead(const ReadRequest&)> on_read;
  bool queue_full = false;
  bool hold_answers = false;
  SessionId session_id = 1;
  bool output_stalls = false;  // nobody reads: output_bytes() counts, full above kOutputHighBytes
  static constexpr size_t kOutputHighBytes = size_t{256} << 10;

  // What was seen.
  std::string output;
  bool closed = false;
  int64_t stall_timeout_ns = 0;  // that it asked for; 0: it did not
  bool paused() const { return paused_; }
  size_t timers() const { return timers_.size(); }
  size_t kept() const { return kept_.size(); }
  struct Subscription {
    PartitionId partition = kNoPartition;
    Offset from = 0;
  };
  const std::map<net::SubscriptionId, Subscription>& subscriptions() const { return subscriptions_; }

  void send(std::string_view bytes) {
    kept_ += bytes;
    hungry_ = false;
    pump();
  }

  void deliver() {
    hold_answers = false;
    while (!answers_.empty() && !closed) {
      const auto answer = std::move(answers_.front());
      answers_.pop_front();
      answer();
    }
    pump();
  }

  // The first of what is held back.
  void deliver_one() {
    const auto answer = std::move(answers_.front());
    answers_.pop_front();
    answer();
  }

  void take_output(size_t bytes) { drained_ += bytes; }  // the peer reads, and output may stay full
  void drain_output() {
    const bool was_full = output_full();
    drained_ = output.size();
    output_stalls = false;
    if (std::exchange(awaits_taken_, false) || was_full) session_.on_writable(*this);
    pump();
  }
  // The peer took nothing for as long as the session wanted.
  void stall() {
    HEPTANE_ASSERT(stall_timeout_ns > 0, "the session watches no output");
    session_.on_stalled(*this);
  }

  // The partition's synced end: every subscription behind it fires.
  void advance(PartitionId partition, Offset end) {
    for (auto at = subscriptions_.begin(); at != subscriptions_.end() && !closed;) {
      if (at->second.partition != partition) {
        ++at;
        continue;
      }
      const net::SubscriptionId id = at->first;
      subscriptions_.erase(at);
      session_.on_advanced(id, end, *this);
      at = subscriptions_.begin();
    }
    pump();
  }

  void pass_time(int64_t ns) {
    now_ns_ += ns;
    for (auto timer = timers_.begin(); timer != timers_.end() && !closed;) {
      if (timer->second > now_ns_) {
        ++timer;
        continue;
      }
      const net::SessionTimerId id = timer->first;
      timers_.erase(timer);
      session_.on_timer(id, *this);
      timer = timers_.begin();
    }
    pump();
  }

  void write(Buffer bytes) override {
    HEPTANE_ASSERT(!closed, "a session does not write after it closed");
    output += as_text(bytes.view());
  }
  void close(net::CloseReason, std::string_view) override {
    HEPTANE_ASSERT(!closed, "a session closes once");
    closed = true;
  }
  void need(size_t) override {}
  void pause_input(bool paused) override { paused_ = paused; }
  bool submit(RequestId request, Submission submission) override {
    if (queue_full || !on_submit) return false;
    answer(request, on_submit(submission));
    return true;
  }
  bool query(RequestId request, QueryRequest query) override {
    if (queue_full || !on_query) return false;
    answer(request, on_query(query));
    return true;
  }
  bool read(RequestId request, ReadRequest read) override {
    if (queue_full || !on_read) return false;
    answers_.push_back([this, request, records = on_read(read)] { session_.on_records(request, records, *this); });
    return true;
  }
  bool work(RequestId request, std::function<void()> job) override {
    if (queue_full) return false;
    answers_.push_back([this, request, job = std::move(job)] {
      job();
      session_.on_worked(request, *this);
    });
    return true;
  }
  net::SubscriptionId subscribe(PartitionId partition, Offset from) override {
    subscriptions_[++last_subscription_] = {partition, from};
    return last_subscription_;
  }
  void unsubscribe(net::SubscriptionId subscription) override { subscriptions_.erase(subscription); }
  net::SessionTimerId arm(int64_t delay_ns) override {
    timers_[++last_timer_] = now_ns_ + delay_ns;
    return last_timer_;
  }
  void cancel(net::SessionTimerId timer) override { timers_.erase(timer); }
  int64_t monotonic_ns() const override { return now_ns_; }
  int64_t utc_ns() const override { return int64_t{1'700'000'000} * 1'000'000'000 + now_ns_; }
  SessionId id() const override { return session_id; }
  const net::Address& local() const override { return address_; }
  const net::Address& remote() const override { return address_; }
  size_t output_bytes() const override { return output_stalls ? output.size() - drained_ : 0; }
  bool output_full() const override { return output_bytes() > kOutputHighBytes; }
  bool output_blocked() const override { return output_stalls; }
  uint32_t output_taken() const override { return static_cast<uint32_t>(drained_); }
  void await_taken() override { awaits_taken_ = true; }
  void watch_output(int64_t timeout_ns) override { stall_timeout_ns = timeout_ns; }

 private:
  void answer(RequestId request, Reply reply) {
    answers_.push_back([this, request, reply = std::move(reply)] { session_.on_reply(request, reply, *this); });
  }

  // As Connection::feed: what a session looked at and did not take is shown again only with more behind it.
  void pump() {
    while (!closed) {
      while (!kept_.empty() && !paused_ && !hungry_ && !closed && !output_full()) {
        const std::string exact(kept_);  // its own allocation: a read past the end is seen by the address sanitiser
        const size_t consumed = session_.on_bytes(as_bytes(exact), *this);
        HEPTANE_ASSERT(consumed <= kept_.size(), "a session consumed more than it was given");
        if (consumed == 0) hungry_ = true;
        kept_.erase(0, consumed);
      }
      if (hold_answers || answers_.empty() || closed) return;
      const auto answer = std::move(answers_.front());
      answers_.pop_front();
      answer();
    }
  }

  net::Session& session_;
  std::string kept_;
  std::deque<std::function<void()>> answers_;
  std::map<net::SessionTimerId, int64_t> timers_;
  net::SessionTimerId last_timer_ = 0;
  std::map<net::SubscriptionId, Subscription> subscriptions_;
  net::SubscriptionId last_subscription_ = 0;
  size_t drained_ = 0;  // of the output
  int64_t now_ns_ = 0;
  net::Address address_{"127.0.0.1", 7070};
  bool paused_ = false;
  bool hungry_ = false;
  bool awaits_taken_ = false;
};

}  // namespace heptane::http::test
