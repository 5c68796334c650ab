// The engine's place in the server: a session without a peer, which tells it which streams there are and hears of the ends of jobs
// that no connection's session waits for. With that session the engine ends, before anything that its threads use.
// The I/O thread's, but for ask().
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>

#include "kernel/net/session.h"
#include "kernel/net/workers.h"
#include "kernel/streams/api.h"
#include "modules/data/domain/sql/engine.h"

namespace heptane::data::sql {

class SqlService {
 public:
  // What it needs of the engine, and no more.
  struct Hooks {
    std::function<void(std::vector<streams::StreamInfo>)> described;
    std::function<void()> stop;
  };

  SqlService(net::Workers& workers, Hooks hooks) : workers_(workers), hooks_(std::move(hooks)) {}

  // The streams are asked for; any thread.
  void ask();
  // A job's owner, and what is called when the job has ended, on this thread; not when the server stops first.
  JobOwner wait(std::function<void()> then);
  void forget(JobOwner owner) { waiting_.erase(owner.request); }

  // Of the session.
  void attach(net::SessionContext& context);
  void on_reply(const Reply& reply);
  void on_worked(RequestId request);
  void on_timer();
  void detach();

 private:
  static constexpr RequestId kAskRequest = 1;
  static constexpr int64_t kRetryNs = 20'000'000;

  void describe();

  net::Workers& workers_;
  const Hooks hooks_;
  std::atomic<SessionId> session_{0};
  net::SessionContext* context_ = nullptr;
  bool asking_ = false;
  std::atomic<bool> wanted_{false};
  std::vector<streams::StreamInfo> described_;  // pages so far
  RequestId last_request_ = kAskRequest;
  std::map<RequestId, std::function<void()>> waiting_;
};

// Opens the service's one session.
class SqlServiceProtocol final : public net::Protocol {
 public:
  explicit SqlServiceProtocol(SqlService& service) : service_(service) {}
  std::string_view name() const override { return "sql-service"; }
  std::unique_ptr<net::Session> open(const net::Address& remote) override;
  size_t message_limit_bytes() const override { return 1; }

 private:
  SqlService& service_;
};

}  // namespace heptane::data::sql
