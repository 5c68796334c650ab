// A SessionContext that behaves as a connection does: keeps what the session did not consume, gives it back only as the
// loop would, counts timers, answers when the test says so. Test support.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>

#include "kernel/base/assert.h"
#include "kernel/net/session.h"

namespace heptane::http::test {

class FakeContext final : public net::SessionContext {
 public:
  explicit FakeContext(net::Session& session) : session_(session) {}

  // The script.
  std::function<Reply(const Submission&)> on_submit;
  std::function<Reply(const QueryRequest&)> on_query;
  bool queue_full = false;
  bool hold_answers = false;
  bool output_stalls = false;

  // What was seen.
  std::string output;
  bool closed = false;
  bool paused() const { return paused_; }
  size_t timers() const { return timers_.size(); }
  size_t kept() const { return kept_.size(); }

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

  void drain_output() {
    output_stalls = false;
    session_.on_writable(*this);
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
  bool read(RequestId, ReadRequest) override { return false; }
  net::SubscriptionId subscribe(PartitionId, Offset) override { return 0; }
  void unsubscribe(net::SubscriptionId) override {}
  net::SessionTimerId arm(int64_t delay_ns) override {
    timers_[++last_timer_] = now_ns_ + delay_ns;
    return last_timer_;
  }
  void cancel(net::SessionTimerId timer) override { timers_.erase(timer); }
  int64_t monotonic_ns() const override { return now_ns_; }
  int64_t utc_ns() const override { return int64_t{1'700'000'000} * 1'000'000'000 + now_ns_; }
  SessionId id() const override { return 1; }
  const net::Address& local() const override { return address_; }
  const net::Address& remote() const override { return address_; }
  size_t output_bytes() const override { return output_stalls ? output.size() : 0; }

 private:
  void answer(RequestId request, Reply reply) {
    answers_.push_back([this, request, reply = std::move(reply)] { session_.on_reply(request, reply, *this); });
  }

  // As Connection::feed: what a session looked at and did not take is shown again only with more behind it.
  void pump() {
    while (!closed) {
      while (!kept_.empty() && !paused_ && !hungry_ && !closed) {
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
  int64_t now_ns_ = 0;
  net::Address address_{"127.0.0.1", 7070};
  bool paused_ = false;
  bool hungry_ = false;
};

}  // namespace heptane::http::test
