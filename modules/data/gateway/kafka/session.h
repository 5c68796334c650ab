// A Kafka connection: frames in, requests started in order, answers out in order. Produce requests overlap (each is on its
// way to the log before the next one starts); every other request runs alone, as in Kafka. Owned by one I/O thread.
//
// Limits: kInFlightMax requests and kInFlightBytesMax bytes of them wait for answers, beyond that the session takes no
// input; a request that may answer at length starts only when at most kOutputHoldBytes wait for the client.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "kernel/base/small_queue.h"
#include "kernel/net/session.h"
#include "kernel/streams/api.h"
#include "modules/data/gateway/kafka/kafka.h"
#include "modules/data/gateway/kafka/request.h"
#include "modules/data/gateway/kafka/sasl.h"

namespace heptane::data::kafka {

class KafkaSession final : public net::Session {
 public:
  static constexpr size_t kInFlightMax = 100;
  static constexpr size_t kInFlightBytesMax = size_t{16} << 20;
  static constexpr size_t kOutputHoldBytes = size_t{4} << 20;
  static constexpr int64_t kRequestDeadlineNs = 30'000'000'000;  // for an answer of the shard
  static constexpr int64_t kAuthenticateWithinNs = 10'000'000'000;
  static constexpr size_t kStrangersBytesMax = size_t{64} << 10;  // of a request before authentication
  static constexpr size_t kKnownStreamsMax = 16'384;              // more than one request names

  explicit KafkaSession(KafkaProtocol& protocol) : protocol_(protocol) {}

  void on_open(net::SessionContext& context) override;
  size_t on_bytes(Bytes input, net::SessionContext& context) override;
  void on_reply(RequestId id, const Reply& reply, net::SessionContext& context) override;
  void on_records(RequestId id, const net::RecordsRead& records, net::SessionContext& context) override;
  void on_advanced(net::SubscriptionId id, Offset durable_end, net::SessionContext& context) override;
  void on_writable(net::SessionContext& context) override;
  void on_timer(net::SessionTimerId timer, net::SessionContext& context) override;

  // For requests. `tag` comes back with the answer; false: the queue is full.
  bool submit(Request& request, uint32_t tag, Submission submission);
  bool query(Request& request, uint32_t tag, QueryRequest query);
  bool read(Request& request, uint32_t tag, const ReadRequest& read);
  bool describe(Request& request, uint32_t tag, const streams::DescribeQuery& names);
  net::SubscriptionId subscribe(PartitionId partition, Offset from) { return context_->subscribe(partition, from); }
  void unsubscribe(net::SubscriptionId subscription) { context_->unsubscribe(subscription); }
  int64_t now_ns() const { return context_->monotonic_ns(); }
  const net::Address& local() const { return context_->local(); }
  const net::Address& advertised() const;  // where clients are told to connect
  SaslState& sasl() { return sasl_; }
  // What this connection's principal may do; a refusal is noted for the audit trail. Without an authenticator: everything.
  bool may(auth::Verb verb, std::string_view topic) const { return allowed("streams", topic, verb); }
  bool may_group(auth::Verb verb, std::string_view group) const { return allowed("groups", group, verb); }
  bool may_write(std::string_view module, std::string_view resource) const {
    return allowed(module, resource, auth::Verb::write);
  }
  bool may_cluster(auth::Verb verb) const { return allowed("cluster", "cluster", verb); }
  // Whoever may do anything with a thing may know of it. Not noted: lists leave out what may not be seen.
  bool sees(std::string_view module, std::string_view name) const;
  bool may_describe(std::string_view topic) const {
    return sees("streams", topic) || may(auth::Verb::read, topic);  // the second one notes
  }
  const net::SessionContext& context() const { return *context_; }
  const KafkaOptions& options() const { return protocol_.options(); }
  KafkaCounters& counters() { return protocol_.counters(); }
  // The answer of a request, whose size this is, is about to go out: for how many milliseconds the client must stay away,
  // by its quota (KIP-219). For that time nothing is read from it.
  int32_t throttle(size_t answer_bytes);
  // Wakes `deadline_ns` (monotonic) at the latest.
  void schedule(int64_t deadline_ns);

  // What this connection knows of streams; only ever what a description said.
  void learn(const std::vector<streams::StreamInfo>& infos);
  bool knows(std::string_view topic) const { return known_.find(topic) != known_.end(); }
  streams::PartitionInfo* find(std::string_view topic, int32_t partition);  // null: no such partition
  void forget(std::string_view topic);

 private:
  struct Ask {
    Request* request = nullptr;
    uint32_t tag = 0;
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  using KnownStreams = std::unordered_map<std::string, std::vector<streams::PartitionInfo>, Hash, std::equal_to<>>;

  bool allowed(std::string_view module, std::string_view resource, auth::Verb verb) const;
  bool in_force() const;
  std::string_view quota_principal() const {
    return sasl_.authenticated(options()) ? std::string_view(sasl_.identity().name) : std::string_view();
  }
  bool muted() const { return muted_until_ns_ != 0 && now_ns() < muted_until_ns_; }

  // Frames.
  size_t take_frame(Bytes input);  // 0 = not whole yet
  void enqueue(Buffer frame);
  void end_input(std::string_view why, std::atomic<uint64_t>& counter);
  bool full() const { return requests_.size() >= kInFlightMax || in_flight_bytes_ >= kInFlightBytesMax; }

  // Requests.
  void advance();  // starts what may start, answers what is done
  bool may_start(const Request& request, const Request* before);
  void deliver_front();
  RequestId remember(Request& request, uint32_t tag);
  std::optional<Ask> take_ask(RequestId id);
  void drop_asks_of(const Request& request);
  void set_paused(bool paused);

  KafkaProtocol& protocol_;
  net::SessionContext* context_ = nullptr;
  SmallQueue<std::unique_ptr<Request>> requests_;  // oldest first; the first started_ of them are under way
  size_t started_ = 0;
  size_t in_flight_bytes_ = 0;
  SmallQueue<Ask> asks_;  // by id, from first_ask_
  RequestId first_ask_ = 1;
  net::SessionTimerId timer_ = 0;
  int64_t timer_at_ns_ = 0;   // 0 = not armed
  std::string_view end_why_;  // why no further input is taken; closes after the last answer
  bool paused_ = false;
  bool input_ended_ = false;
  bool closed_ = false;
  bool advancing_ = false;
  SaslState sasl_;
  int64_t authenticate_until_ns_ = 0;
  net::QuotaSlot slot_;
  int64_t muted_until_ns_ = 0;  // 0: never was
  KnownStreams known_;
};

// Asks for what the session does not know yet of the named topics; true when an answer will come.
class TopicLookup {
 public:
  // A partition that is not known may have been added since.
  void want(KafkaSession& session, std::string_view topic, int32_t partition);
  enum class Outcome : uint8_t { nothing_to_ask, asked, refused };
  Outcome ask(KafkaSession& session, Request& request, uint32_t tag);

 private:
  streams::DescribeQuery query_;
};

// In a description, which comes in order of name; null when it is not there.
const streams::StreamInfo* find_stream(const std::vector<streams::StreamInfo>& infos, std::string_view name);
const streams::PartitionInfo* find_partition(const std::vector<streams::StreamInfo>& infos, std::string_view name,
                                             int32_t partition);

// The error that tells a Kafka client what became of an append or another command.
ErrorCode error_of(const Reply& reply);

}  // namespace heptane::data::kafka
