// A firm's orders over one WebSocket: placed, replaced, cancelled with the bodies of the routes over HTTP, answered with their status and
// body; and the reports of the firm's orders on the same connection. A text message is a JSON object, in both directions.
//
//   > {"op":"place","id":1,"order":{"account":"main","cl_ord_id":"a","symbol":"BTC-USD",..}}
//   < {"type":"answer","id":1,"status":201,"body":{"order_id":"7",..}}
//   > {"op":"replace","id":2,"order_id":"7","order":{"cl_ord_id":"b","quantity":"2"}}     {"op":"cancel","id":3,"order_id":"7"}
//   > {"op":"reports","id":4,"from":0}
//   < {"type":"reports","id":4,"from":0}
//   < {"type":"report","offset":12,"record":{"event":"trade","order_id":"7",..}}
//
// A request is a command of its own, as over HTTP: its ClOrdID is its idempotency key, so what was sent and not answered is sent again
// over another connection. Answers come when their command is synced, in any order beside reports. Nothing is done when the connection
// ends. Rights are looked at before each request, and each second.
//
// Bounds: kOutstandingMax requests without an answer, then nothing is read until one comes; 16 KiB a message; one read of the stream
// under way; a reader that takes nothing for 20 seconds is closed. The I/O thread's.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "kernel/net/http/message.h"
#include "kernel/net/http/websocket.h"
#include "kernel/shard/messages.h"

namespace heptane::fintech::exchange_http {

class OrderSocket final : public http::WebSocketHandler {
 public:
  static constexpr size_t kInputBytes = 16'384;
  static constexpr size_t kOutstandingMax = 64;

  // Whether who asked may still do it; null: nobody is asked.
  using Standing = std::function<bool()>;
  struct Rights {
    Standing read;
    Standing create;
    Standing alter;
    Standing remove;
  };

  OrderSocket(std::string firm, Principal principal, Rights rights)
      : firm_(std::move(firm)), principal_(principal), rights_(std::move(rights)) {}

  void on_open(http::WebSocket& socket) override;
  void on_text(std::string_view message, http::WebSocket& socket) override;
  void on_binary(Bytes message, http::WebSocket& socket) override;
  void on_reply(RequestId request, const Reply& reply, http::WebSocket& socket) override;
  void on_records(RequestId request, const net::RecordsRead& records, http::WebSocket& socket) override;
  void on_advanced(net::SubscriptionId subscription, Offset durable_end, http::WebSocket& socket) override;
  void on_writable(http::WebSocket& socket) override;
  void on_timer(net::SessionTimerId timer, http::WebSocket& socket) override;

 private:
  struct Wanted {
    std::string op;
    std::string id;  // JSON, as it came; empty: none
    std::string order;
    uint64_t order_id = 0;
    std::optional<Offset> from;
  };
  // A request whose answer has not come.
  struct Outstanding {
    std::string id;
    int status = 200;  // when it is done
    bool keyed = false;
    std::optional<Reply> made;  // a repeat: its order is being asked for
  };

  static Result<Wanted> wanted_of(std::string message, std::string& id);
  Result<Submission> submission_of(Wanted& wanted, int64_t utc_ns) const;
  const Standing& right_to(std::string_view op) const;
  void ask(Wanted& wanted, http::WebSocket& socket);
  void answer(const std::string& id, const http::HttpResponse& response, http::WebSocket& socket);
  void settle(Outstanding asked, const Reply& reply, http::WebSocket& socket);
  void begin_reports(const Wanted& wanted, http::WebSocket& socket);
  void describe(http::WebSocket& socket);
  void take_place(const Reply& reply, http::WebSocket& socket);
  void read(http::WebSocket& socket);
  void report(const net::RecordsRead& records, http::WebSocket& socket);
  void try_later(http::WebSocket& socket);
  bool stands(http::WebSocket& socket);

  const std::string firm_;
  const Principal principal_;
  const Rights rights_;
  net::SessionTimerId look_again_ = 0;
  net::SessionTimerId again_ = 0;  // reports, where there was no room or no stream
  RequestId last_request_ = 0;
  std::map<RequestId, Outstanding> outstanding_;
  bool paused_ = false;
  // Reports.
  bool reports_ = false;
  std::string reports_id_;
  std::optional<Offset> from_;  // as it was asked for
  bool told_from_ = false;      // where they begin: next_
  RequestId describing_ = 0;
  RequestId reading_ = 0;
  PartitionId partition_ = kNoPartition;
  Offset next_ = 0;
  bool waits_for_room_ = false;
};

}  // namespace heptane::fintech::exchange_http
