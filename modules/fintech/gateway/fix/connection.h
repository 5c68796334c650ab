// A FIX connection: the listening half of the session (domain/fix/session.h) between a peer and the exchange machine.
//
// Nothing is sent but what is in the session's stream, in its order: what the session layer or an application's message makes is a
// command, takes its number there, and is sent when it is synced. Commands of a connection are numbered, so that none is applied whose
// predecessor was not; one that is refused ends the connection, and the peer sends again what the log does not have. But an order for which
// there is no room is refused to the peer: its command is made a refusal, which needs none, and goes again with all behind it. The number that is
// expected of the peer is logged with the commands: what was only read (heartbeats) is asked for again after a crash, and filled by a gap.
//
// A resend is a read of the stream; what is new waits until it is done, so that numbers leave in their order.
// A session of role market_data has desks (market_desk.h, status_desk.h) and no commands: its numbers begin with 1 at each logon, what is said is sent at
// once and not kept, and a resend is filled by a gap. Whether its user still may is looked at every second; whoever owes a quota is told
// nothing until it is paid back, and nothing but what the session layer says comes behind a Logout.
//
// Limits: kCommandsMax commands wait for the shard, then nothing is read; kQueuedMax more wait here (messages that came too early are
// taken all at once). The password of a Logon is kept until it is proved, nowhere else, and wiped. The I/O thread's.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "kernel/net/quota.h"
#include "modules/fintech/domain/fix/outbound.h"
#include "modules/fintech/domain/fix/session.h"
#include "modules/fintech/gateway/fix/fix.h"
#include "modules/fintech/gateway/fix/market_desk.h"
#include "modules/fintech/gateway/fix/message_rate.h"
#include "modules/fintech/gateway/fix/requests.h"
#include "modules/fintech/gateway/fix/session_hours.h"
#include "modules/fintech/gateway/fix/status_desk.h"

namespace heptane::fintech::fixgate {

class FixConnection final : public net::Session, private fix::SessionHost, private DeskHost {
 public:
  static constexpr size_t kCommandsMax = 64;
  static constexpr size_t kQueuedMax = 4'096;
  static constexpr uint32_t kReadBytes = 128 * 1024;
  static constexpr int64_t kCloseWaitNs = 10'000'000'000;
  static constexpr int64_t kAgainNs = 10'000'000;
  static constexpr int64_t kRightNs = 1'000'000'000;

  explicit FixConnection(FixProtocol& protocol) : protocol_(protocol) {}

  void on_open(net::SessionContext& context) override;
  size_t on_bytes(Bytes input, net::SessionContext& context) override;
  void on_reply(RequestId request, const Reply& reply, net::SessionContext& context) override;
  void on_records(RequestId request, const net::RecordsRead& records, net::SessionContext& context) override;
  void on_worked(RequestId request, net::SessionContext& context) override;
  void on_advanced(net::SubscriptionId subscription, Offset durable_end, net::SessionContext& context) override;
  void on_writable(net::SessionContext&) override {
    pump();
    resume_desks();
  }
  void on_timer(net::SessionTimerId timer, net::SessionContext& context) override;
  void on_close(net::CloseReason reason) override;

 private:
  enum class Stage : uint8_t { greeting, asking, proving, running, closing, closed };
  enum class Reading : uint8_t { nothing, live, again };

  // The Logon: who it is, before the session hears of it.
  size_t take_logon(std::string_view input);
  void take_row(const Reply& reply);
  void prove(const fix::Message& logon);
  void take_identity(Result<auth::Identity> identity);
  void start();
  bool enters_quota();
  bool comes_from_there() const;
  void look_at_hours();
  void wipe_logon();

  // fix::SessionHost
  fix::Admission admit(const fix::Message& logon) override;
  uint64_t next_inbound() const override { return row_.next_in; }
  void set_next_inbound(uint64_t number) override { next_in_ = number; }
  void reset_numbers() override;
  void send(const fix::Draft& draft) override;
  void send_again(uint64_t begin, uint64_t end) override;
  fix::Handled on_application(const fix::Message& message) override;
  void close(const char* why) override;

  // DeskHost
  void say(const fix::Draft& draft) override;
  bool desk_has_room() override;
  void pay(size_t bytes) override;
  bool look_up(uint16_t query, Buffer payload) override;
  int64_t utc_ns() override { return now_ns(); }
  void say_next(const fix::Draft& draft);
  bool says_on() const;
  void resume_desks();
  void judge_right();
  fix::Handled on_market_request(const fix::Message& message);
  void fill_gap(uint64_t begin, uint64_t end);

  bool may(exchange::FixAsk ask);
  bool takes(exchange::FixAsk ask) const;
  // As of the logon; trades of firms, too.
  bool keeps_parties() const { return row_.logic >= exchange::kLogicParties; }
  void reject(const fix::Message& message, const fix::Fault& fault);
  void reject(const fix::Message& message, const BusinessReject& why);

  // Commands.
  void flush(std::optional<exchange::FixRequest> request = std::nullopt, uint64_t next_in = 0);
  void submit();
  void take_done(const Reply& reply);
  void give_up_order();
  size_t under_way() const { return submitted_ - answered_; }
  bool may_read();

  // What is synced.
  void pump();
  bool begin_again();
  void read(Reading what, Offset from);
  bool take_live(const net::RecordsRead& records);
  bool is_next(uint64_t number);
  bool take_again(const net::RecordsRead& records);
  void write(const std::string& out);

  void settle();
  void steer_input();
  void rearm();
  void end(const char* why);
  int64_t now_ns() const;
  Offset offset_of(uint64_t number) const { return done_.base + static_cast<Offset>(number - done_.first); }
  bool all_said() const;

  FixProtocol& protocol_;
  net::SessionContext* context_ = nullptr;
  Stage stage_ = Stage::greeting;
  int64_t utc_ahead_ns_ = 0;  // of the monotonic clock, when the connection was made
  int64_t deadline_ns_ = 0;   // of the Logon; closing: of the last word
  net::SessionTimerId timer_ = 0;
  int64_t timer_due_ns_ = 0;
  net::SessionTimerId again_timer_ = 0;
  net::SessionTimerId quota_timer_ = 0;
  net::SessionTimerId right_timer_ = 0;  // of role market_data
  net::SessionTimerId hours_timer_ = 0;  // the end of the session's period
  bool paused_ = false;
  bool entered_ = false;

  std::string logon_;  // as it came, until it is proved
  exchange::FixRow row_;
  auth::Identity identity_;
  bool is_proved_ = false;
  std::shared_ptr<auth::PasswordProof> proof_;
  net::QuotaPayer payer_;
  net::QuotaSlot slot_;
  fix::SessionSettings settings_;
  fix::Peers peers_;
  std::optional<fix::Session> session_;
  const char* why_ = "";
  std::string closed_;  // why the session is closed now; empty: it is open
  MessageRate rate_;

  // Commands.
  exchange::FixInput pending_;  // the next one
  size_t pending_bytes_ = 0;    // of its drafts
  LogTime period_ = 0;          // that has begun, for the next command of a session that is logged on
  uint64_t next_in_ = 1;
  uint32_t serial_ = 0;        // of the last one that was made
  uint32_t reset_serial_ = 0;  // of the last one that resets numbers
  uint32_t submitted_ = 0;     // ... that was submitted
  uint32_t answered_ = 0;
  struct Queued {
    CommandType type = 0;
    Buffer payload;
  };
  std::deque<Queued> queue_;  // that are not answered; the first under_way() of them are submitted
  size_t passing_ = 0;        // answers of so many are passed over: they are submitted once more
  exchange::FixDone done_;

  // What was said.
  bool opened_ = false;
  Offset live_ = 0;           // the next one to be sent first
  uint64_t live_number_ = 1;  // its number, unless numbers are reset before it
  uint32_t resets_ = 0;       // that this connection asked for and whose first message was not sent yet
  Offset durable_ = 0;        // behind the last one that is synced, as far as is known
  net::SubscriptionId subscription_ = 0;
  Reading reading_ = Reading::nothing;
  RequestId read_id_ = 0;
  struct Again {
    uint64_t next = 0;
    uint64_t behind = 0;  // 0: nothing is to be sent again
    uint32_t after = 0;   // once this command is answered
    bool begun = false;
  };
  Again again_;

  // Of role market_data.
  std::unique_ptr<MarketDesk> desk_;
  std::unique_ptr<StatusDesk> statuses_;
  uint64_t desk_number_ = 1;  // of what they say next
};

}  // namespace heptane::fintech::fixgate
