// A bridge's client of the broker here: an MQTT session like any, whose peer is in the same process. It has the resident session's way
// to the shard (bridges.h); what it writes is kept until the bridge takes it. Nothing calls it while it is called: what
// it is sent waits for the bridge's next turn.
//
// Each is another session to the broker, with a number of its own: an answer to one that is gone is nobody's. The I/O thread's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernel/net/session.h"
#include "modules/iot/gateway/mqtt/session.h"

namespace heptane::iot::bridge {

// What the bridges' resident session does for it.
class Ways {
 public:
  virtual ~Ways() = default;
  using Replied = std::function<void(const Reply&)>;
  using Read = std::function<void(const net::RecordsRead&)>;
  virtual bool submit(Submission submission, Replied done) = 0;
  virtual bool query(QueryRequest query, Replied done) = 0;
  virtual bool read(ReadRequest read, Read done) = 0;
  virtual net::SessionTimerId arm(int64_t delay_ns, std::function<void()> fire) = 0;
  virtual void cancel(net::SessionTimerId timer) = 0;
  virtual int64_t monotonic_ns() const = 0;
  virtual int64_t utc_ns() const = 0;
};

class LocalClient final : public net::SessionContext, public std::enable_shared_from_this<LocalClient> {
 public:
  static constexpr size_t kOutputHighBytes = size_t{1} << 20;
  static constexpr SessionId kFirstId = SessionId{1} << 62;  // above what connections are called

  // `woken`: there is something to do for the bridge.
  LocalClient(mqtt::Broker& broker, const mqtt::OwnClient& own, Ways& ways, net::Address remote,
              std::function<void()> woken);
  void open() { session_.on_open(*this); }

  // To the session. What it does not take now waits.
  void feed(std::string_view bytes) { input_ += bytes; }
  // One packet; false: it takes none now.
  bool step();
  std::string take_output() { return std::exchange(output_, {}); }
  // What waits behind it, for its back-pressure.
  void set_behind(size_t bytes);
  size_t waiting_bytes() const { return input_.size() - begin_; }
  bool paused() const { return paused_; }
  bool closed() const { return closed_; }
  const std::string& why() const { return why_; }
  std::vector<std::string> filters() const;
  // The last word, whatever else waits; then it is gone.
  void end(std::string_view goodbye);
  // The server stops: its session stays as it is.
  void shut_down();

  // SessionContext
  void write(Buffer bytes) override;
  void close(net::CloseReason reason, std::string_view why) override;
  void need(size_t) override {}
  void pause_input(bool paused) override;
  bool submit(RequestId request, Submission submission) override;
  bool query(RequestId request, QueryRequest query) override;
  bool read(RequestId request, ReadRequest read) override;
  net::SubscriptionId subscribe(PartitionId, Offset) override { return 0; }
  void unsubscribe(net::SubscriptionId) override {}
  net::SessionTimerId arm(int64_t delay_ns) override;
  void cancel(net::SessionTimerId timer) override { ways_.cancel(timer); }
  int64_t monotonic_ns() const override { return ways_.monotonic_ns(); }
  int64_t utc_ns() const override { return ways_.utc_ns(); }
  SessionId id() const override { return id_; }
  const net::Address& local() const override { return remote_; }
  const net::Address& remote() const override { return remote_; }
  size_t output_bytes() const override { return output_.size() + behind_; }
  bool output_full() const override { return output_bytes() > kOutputHighBytes; }

 private:
  template <class Call>
  void called(const Call& call);

  Ways& ways_;
  const SessionId id_;
  const net::Address remote_;
  std::function<void()> woken_;
  std::string input_;
  size_t begin_ = 0;  // of what it did not take yet
  std::string output_;
  size_t behind_ = 0;
  bool paused_ = false;
  bool closed_ = false;
  bool gone_ = false;
  bool was_full_ = false;
  std::string why_;
  mqtt::MqttSession session_;
};

}  // namespace heptane::iot::bridge
