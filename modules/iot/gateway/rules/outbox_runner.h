// Sends what rules post: reads the outbox behind where each rule's has been sent, posts record after record of the rule, and tells
// the machine how far it is. At least once and in order: the next is not begun before this one was taken or given up, and what was
// sent and not yet told is sent again after a crash, under its key.
//
// 2xx: taken. 3xx (not followed) and 4xx but 408, 425 and 429: refused; after kRefusalsMax of one record a dead letter. Everything else
// (no answer, 5xx, a host that the operator's list does not hold) is tried again, after kDelayNs, then twice as long, up to kDelayMaxNs or what
// Retry-After says; it holds this rule's outbox and nothing else. What cannot be read is a dead letter.
//
// Bounds: of a rule one read of kReadBytes, one record under way, kTellMax of them untold. The I/O thread's: one session without a
// peer.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/net/session.h"
#include "modules/iot/gateway/rules/batch_walk.h"
#include "modules/iot/machine/rules/outbox_api.h"

namespace heptane::iot::rules {

struct HttpPost {
  std::string url;
  std::string key;
  std::string body;
};
struct PostOutcome {
  int status = 0;   // 0: no answer
  std::string why;  // for a person, where there is no answer
  int64_t retry_after_s = -1;
};

// The way outward.
class Courier {
 public:
  using Done = std::function<void(const PostOutcome&)>;
  virtual ~Courier() = default;
  // One at a time for each name. Empty: `done` comes, once and later; else why it cannot be sent now.
  virtual std::string post(const std::string& name, const HttpPost& post, Done done) = 0;
  // Of what is under way nothing is heard any more.
  virtual void forget(const std::string& name) = 0;
};

class OutboxRunner {
 public:
  static constexpr uint32_t kReadBytes = 64 << 10;
  static constexpr int64_t kTickNs = 100'000'000;
  static constexpr int64_t kDelayNs = 500'000'000;
  static constexpr int64_t kDelayMaxNs = 60'000'000'000;
  static constexpr int64_t kTellNs = 1'000'000'000;
  static constexpr uint32_t kTellMax = 64;
  static constexpr Offset kPassMax = 4'096;           // records of other rules, until the position is told
  static constexpr int64_t kPassNs = 60'000'000'000;  // likewise
  static constexpr uint32_t kRefusalsMax = 5;

  OutboxRunner(Courier& courier, std::function<void(const std::string&)> report)
      : courier_(courier), report_(std::move(report)) {}

  // All rules as they are now: those that post and are not paused are served.
  void take_rules(const std::vector<RuleRow>& rows);

  void attach(net::SessionContext& context);
  void detach();
  void on_reply(RequestId request, const Reply& reply);
  void on_records(RequestId request, const net::RecordsRead& records);
  void on_advanced(net::SubscriptionId subscription, Offset durable_end);
  void on_timer(net::SessionTimerId timer);

 private:
  enum class State : uint8_t { idle, reading, posting, telling, waiting, stopped };
  struct Letter {
    Offset offset = 0;
    HttpPost post;
    std::string why;
  };
  // Of one rule.
  struct Box {
    std::string name;
    LogTime created = 0;
    uint64_t number = 0;  // of this box: what comes back for one before is not for it
    Offset next = 0;      // as the machine has it
    Offset at = 0;        // done up to here
    State state = State::idle;
    int64_t due_ns = 0;  // when to go on; 0: not by the clock
    std::optional<net::RecordsRead> read{};
    size_t batch = 0;
    std::optional<BatchWalk> walk{};
    std::optional<HttpPost> post{};  // of the record at `at`; without a URL where it cannot be read
    std::string unreadable{};        // why, of a whole batch
    uint32_t failures = 0;           // of it, in a row
    uint32_t refusals = 0;
    std::string told_why{};  // why it is not taken, as it was reported last
    uint32_t posted = 0;     // untold
    std::vector<Letter> letters{};
    int64_t untold_ns = 0;  // since when there is something untold; 0: there is nothing
    int64_t passed_ns = 0;  // since when it is behind `next`; 0: it is not
    net::SubscriptionId subscription = 0;
    RequestId request = 0;
  };

  void go_on(Box& box);
  void find_outbox();
  void read(Box& box);
  void take_read(Box& box, const net::RecordsRead& records);
  // The rule's next record; false: what was read is used up.
  bool seek(Box& box);
  bool take_record(Box& box, const streams::RecordView& record);
  bool take_fault(Box& box);
  void send(Box& box);
  void take_outcome(Box& box, const PostOutcome& outcome);
  void done(Box& box);
  void give_up(Box& box, std::string why);
  void again(Box& box, const std::string& why, int64_t least_ns);
  bool must_tell(const Box& box, bool used_up) const;
  void tell(Box& box);
  void take_told(Box& box, const Reply& reply);
  void wait(Box& box);
  void close(Box& box);
  void wait_no_more(Box& box);
  void later(Box& box, int64_t delay_ns);
  void wake_within(int64_t delay_ns);
  Box* find(const std::string& name, uint64_t number);

  Courier& courier_;
  std::function<void(const std::string&)> report_;
  net::SessionContext* context_ = nullptr;
  std::map<std::string, Box> boxes_;
  std::map<RequestId, std::pair<std::string, uint64_t>> asked_;
  std::map<net::SubscriptionId, std::pair<std::string, uint64_t>> waiting_;
  std::optional<PartitionId> outbox_;
  RequestId find_request_ = 0;
  RequestId last_request_ = 0;
  uint64_t last_box_ = 0;
  net::SessionTimerId timer_ = 0;  // 0: not armed
  int64_t timer_ns_ = 0;
};

// The runner's session.
class OutboxProtocol final : public net::Protocol {
 public:
  explicit OutboxProtocol(OutboxRunner& runner) : runner_(runner) {}
  std::string_view name() const override { return "outbox"; }
  std::unique_ptr<net::Session> open(const net::Address& remote) override;
  size_t message_limit_bytes() const override { return 1; }

 private:
  OutboxRunner& runner_;
};

}  // namespace heptane::iot::rules
