// A session's context that notes what it is asked and answers nothing. Test support.
#pragma once

#include <deque>
#include <functional>
#include <utility>
#include <vector>

#include "kernel/net/session.h"

namespace heptane::iot::rules::test {

class Asked final : public net::SessionContext {
 public:
  void write(Buffer) override {}
  void close(net::CloseReason, std::string_view) override {}
  void need(size_t) override {}
  void pause_input(bool) override {}
  bool submit(RequestId request, Submission submission) override {
    if (full) return false;
    submissions.emplace_back(request, std::move(submission));
    return true;
  }
  bool query(RequestId request, QueryRequest query) override {
    queries.emplace_back(request, std::move(query));
    return true;
  }
  bool read(RequestId request, ReadRequest read) override {
    reads.emplace_back(request, read);
    return true;
  }
  bool work(RequestId request, std::function<void()> job) override {
    if (works) jobs.emplace_back(request, std::move(job));
    return works;
  }
  net::SubscriptionId subscribe(PartitionId, Offset from) override {
    subscriptions.push_back(from);
    return subscriptions.size();
  }
  void unsubscribe(net::SubscriptionId) override {}
  net::SessionTimerId arm(int64_t delay_ns) override {
    timer_due = now + delay_ns;
    return ++timer;
  }
  void cancel(net::SessionTimerId) override {}
  int64_t monotonic_ns() const override { return now; }
  int64_t utc_ns() const override { return now; }
  SessionId id() const override { return 1; }
  const net::Address& local() const override { return address; }
  const net::Address& remote() const override { return address; }
  size_t output_bytes() const override { return 0; }

  std::deque<std::pair<RequestId, Submission>> submissions;
  std::deque<std::pair<RequestId, QueryRequest>> queries;
  std::deque<std::pair<RequestId, ReadRequest>> reads;
  std::deque<std::pair<RequestId, std::function<void()>>> jobs;
  std::vector<Offset> subscriptions;
  bool full = false;
  bool works = false;  // there is a worker
  int64_t now = 1;
  int64_t timer_due = 0;
  net::SessionTimerId timer = 0;

 private:
  net::Address address;
};

}  // namespace heptane::iot::rules::test
