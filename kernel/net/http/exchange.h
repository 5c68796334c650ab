// What a handler has of one request: the request, questions to the shard, and exactly one response: whole, in pieces, or a
// WebSocket; now or when an answer has come. The session owns it; a handler keeps references to it only inside the
// continuations that it passes here.
#pragma once

#include <functional>
#include <memory>

#include "kernel/auth/sasl.h"
#include "kernel/net/http/message.h"
#include "kernel/net/http/websocket.h"
#include "kernel/net/session.h"

namespace heptane::http {

class HttpExchange {
 public:
  using OnReply = std::function<void(HttpExchange&, const Reply&)>;
  using OnWaited = std::function<void(HttpExchange&)>;
  using OnPiece = std::function<void(HttpExchange&, std::string piece, bool last)>;
  using OnRecords = std::function<void(HttpExchange&, const net::RecordsRead&)>;

  virtual ~HttpExchange() = default;
  virtual HttpRequest& request() = 0;
  virtual net::SessionContext& context() = 0;
  // Who asks; commands and queries carry the principal. `local` while authentication is off.
  virtual const auth::Identity& identity() const = 0;
  // For what a route cannot know: names in a body. A refusal is noted for the audit trail.
  virtual bool allowed(std::string_view module, std::string_view resource, auth::Verb verb) = 0;
  // Whether the one who asks is still there and may still do that, for what goes on after the request was let in: asked at
  // any time, also when the exchange is gone. Null: nobody is asked who he is.
  virtual std::function<bool()> standing(std::string module, std::string resource, auth::Verb verb) = 0;
  // What a machine refused because the one who asks may not do it, for the audit trail.
  virtual void denied(std::string_view what) = 0;
  // Any verb; not noted: what may not be seen is left out of lists.
  virtual bool sees(std::string_view module, std::string_view resource) = 0;

  // One question at a time. A full queue is answered with 503 and the continuation is dropped; when the client goes or
  // the deadline passes, too.
  virtual void submit(Submission submission, OnReply then) = 0;
  virtual void query(QueryRequest query, OnReply then) = 0;
  virtual void read(ReadRequest read, OnRecords then) = 0;

  // Runs the job on a worker, for what would block this thread; what it uses is the worker's until `then` comes.
  virtual void work(std::function<void()> job, OnWaited then) = 0;

  // The next piece of the body, on a route that takes it so (RouteOptions::streamed_body_bytes): kBodyPieceBytes or a
  // little more, only the last one less. Nothing is read from the client until the handler asks again. A client that sends
  // too slowly is answered 408, one that sends too much 413, and `then` does not come.
  virtual void receive(OnPiece then) = 0;

  // Until the partition's synced end passes `from`, the partition is deleted or `limit_ns` is over, whichever is first.
  // At most the answer's deadline; when there is no room for another that waits, as if the time were over.
  virtual void wait(PartitionId partition, Offset from, int64_t limit_ns, OnWaited then) = 0;

  // For so long, also between the pieces of a response.
  virtual void pause(int64_t delay_ns, OnWaited then) = 0;

  // For so long, or until the function that it returns is called: on this thread, at any time, also when the exchange is gone. A client
  // that closes its side is gone. Less than the listener's idle timeout in all; the answer's deadline begins behind it.
  virtual std::function<void()> hold(int64_t limit_ns, OnWaited then) = 0;

  virtual void respond(HttpResponse response) = 0;

  // A response of unknown length, never held whole: start, pieces, end. `then` comes when the client has room for the next
  // piece: at once, or when it has read. For HEAD it does not come. A response that cannot be finished is broken off, so
  // that the client sees that it is not whole. With `head.length` the pieces go out as they are.
  virtual void start(HttpResponse head) = 0;  // `head.body` is not looked at
  virtual void send_piece(std::string piece, OnWaited then) = 0;
  virtual void end(std::string last_piece) = 0;
  virtual void break_off(std::string_view why) = 0;

  // The connection becomes a WebSocket of the handler's; a request that is not its opening handshake is refused.
  virtual void upgrade(std::unique_ptr<WebSocketHandler> handler, const WebSocketOptions& options) = 0;
};

}  // namespace heptane::http
