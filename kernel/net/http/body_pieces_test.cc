// Bodies that a handler takes piece by piece, work handed to workers, and responses whose length is known before they are.
#include <gtest/gtest.h>

#include "kernel/net/http/fake_context.h"
#include "kernel/net/http/session.h"

namespace heptane::http {
namespace {

using test::FakeContext;

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr uint64_t kLimit = 1'000'000;

// Takes every piece to a worker before it asks for the next, and answers with the number of bytes.
struct Upload : std::enable_shared_from_this<Upload> {
  std::string body;
  std::vector<size_t> pieces;

  void next(HttpExchange& exchange) {
    exchange.receive([self = shared_from_this()](HttpExchange& answered, std::string piece, bool last) {
      self->pieces.push_back(piece.size());
      answered.work([self, piece = std::move(piece)] { self->body += piece; },
                    [self, last](HttpExchange& done) {
                      if (!last) return self->next(done);
                      done.respond({200, "text/plain", std::to_string(self->body.size()), {}});
                    });
    });
  }
};

class BodyPieces : public testing::Test {
 protected:
  BodyPieces() : service_(make()), session_(service_), context_(session_) {}

  HttpService make() {
    HttpService service;
    service.limits.body_bytes = 1000;
    const RouteOptions streamed{.any_content_type = true, .streamed_body_bytes = kLimit};
    service.router.add(
        Method::put, "/upload",
        [this](HttpExchange& exchange) {
          upload_ = std::make_shared<Upload>();
          exchange.work([] {}, [upload = upload_](HttpExchange& begun) { upload->next(begun); });
        },
        streamed);
    service.router.add(
        Method::put, "/refuse",
        [](HttpExchange& exchange) { exchange.respond(HttpResponse::error(507, "no_space", "full")); }, streamed);
    service.router.add(Method::get, "/known", [](HttpExchange& exchange) {
      HttpResponse head{200, "text/plain", "", {}};
      head.length = 6;
      exchange.start(std::move(head));
      exchange.send_piece("one", [](HttpExchange& room) { room.end("two"); });
    });
    return service;
  }

  std::string put(const std::string& path, const std::string& headers, const std::string& body) {
    context_.output.clear();
    context_.send("PUT " + path + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n" + body);
    return context_.output;
  }
  static std::string length(size_t bytes) { return "Content-Length: " + std::to_string(bytes) + "\r\n"; }
  bool answered(std::string_view status, std::string_view body) const {
    return context_.output.substr(9, 3) == status && context_.output.ends_with(body);
  }

  std::shared_ptr<Upload> upload_;
  const HttpService service_;
  HttpSession session_;
  FakeContext context_;
};

TEST_F(BodyPieces, come_in_order_and_never_whole) {
  std::string body;
  while (body.size() < 700'000) body += std::to_string(body.size()) + ' ';
  put("/upload", length(body.size()), "");
  for (size_t at = 0; at < body.size(); at += 10'000) context_.send(std::string_view(body).substr(at, 10'000));
  EXPECT_TRUE(answered("200", std::to_string(body.size()))) << context_.output;
  EXPECT_EQ(upload_->body, body);
  EXPECT_GT(upload_->pieces.size(), 2u);
  EXPECT_FALSE(context_.closed);
  // The connection goes on.
  EXPECT_TRUE(put("/upload", length(2), "ab").ends_with("2")) << context_.output;
}

TEST_F(BodyPieces, nothing_is_read_while_a_worker_has_a_piece) {
  context_.hold_answers = true;
  put("/upload", length(5), "abc");
  EXPECT_EQ(context_.kept(), 3u);
  EXPECT_TRUE(context_.paused());
  context_.deliver();
  EXPECT_EQ(context_.kept(), 0u);
  context_.send("de");
  EXPECT_TRUE(answered("200", "5")) << context_.output;
}

TEST_F(BodyPieces, an_empty_body_is_one_last_piece) {
  EXPECT_TRUE(put("/upload", length(0), "").ends_with("\r\n\r\n0")) << context_.output;
  EXPECT_EQ(upload_->pieces, std::vector<size_t>{0});
}

TEST_F(BodyPieces, chunks_are_taken_apart) {
  EXPECT_TRUE(
      put("/upload", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").ends_with("\r\n\r\n5"));
  EXPECT_EQ(upload_->body, "abcde");
}

TEST_F(BodyPieces, chunks_come_byte_by_byte) {
  put("/upload", "Transfer-Encoding: chunked\r\n", "");
  for (const char c : std::string("3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: z\r\n\r\n")) context_.send({&c, 1});
  EXPECT_TRUE(answered("200", "5")) << context_.output;
  EXPECT_EQ(upload_->body, "abcde");
}

TEST_F(BodyPieces, one_that_is_announced_too_long_is_refused_before_it_comes) {
  EXPECT_EQ(put("/upload", length(kLimit + 1), "").substr(9, 3), "413");
  EXPECT_EQ(upload_, nullptr);
  EXPECT_TRUE(context_.closed);
}

TEST_F(BodyPieces, one_that_grows_too_long_is_refused_and_closed) {
  put("/upload", "Transfer-Encoding: chunked\r\n", "");
  for (size_t sent = 0; sent <= kLimit && !context_.closed; sent += 0x8000)
    context_.send("8000\r\n" + std::string(0x8000, 'x') + "\r\n");
  EXPECT_EQ(context_.output.substr(9, 3), "413");
  EXPECT_LE(upload_->body.size(), kLimit);
  EXPECT_TRUE(context_.closed);
}

TEST_F(BodyPieces, a_client_that_sends_nothing_is_told_so) {
  put("/upload", length(10), "abc");
  context_.pass_time(61 * kSecondNs);
  EXPECT_EQ(context_.output.substr(9, 3), "408");
  EXPECT_TRUE(context_.closed);
  EXPECT_EQ(context_.timers(), 0u);
}

TEST_F(BodyPieces, a_refusal_before_the_body_closes_and_asks_for_none) {
  const std::string got = put("/refuse", length(10) + "Expect: 100-continue\r\n", "");
  EXPECT_TRUE(got.starts_with("HTTP/1.1 507")) << got;
  EXPECT_TRUE(context_.closed);
}

TEST_F(BodyPieces, who_expects_it_is_asked_for_the_body_when_it_is_wanted) {
  context_.hold_answers = true;
  EXPECT_EQ(put("/upload", length(2) + "Expect: 100-continue\r\n", ""), "");
  context_.deliver();
  EXPECT_EQ(context_.output, "HTTP/1.1 100 Continue\r\n\r\n");
  context_.send("ab");
  EXPECT_TRUE(context_.output.ends_with("\r\n\r\n2")) << context_.output;
}

TEST_F(BodyPieces, are_kept_as_they_come) {
  EXPECT_EQ(put("/upload", length(2) + "Content-Encoding: gzip\r\n", "ab").substr(9, 3), "415");
}

TEST_F(BodyPieces, without_room_for_work_the_client_tries_again) {
  context_.queue_full = true;
  EXPECT_EQ(put("/upload", length(2), "ab").substr(9, 3), "503");
  EXPECT_TRUE(context_.closed);
}

TEST_F(BodyPieces, a_response_of_known_length_is_not_chunked) {
  context_.send("GET /known HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n");
  EXPECT_NE(context_.output.find("\r\nContent-Length: 6\r\n"), std::string::npos) << context_.output;
  EXPECT_TRUE(context_.output.ends_with("\r\n\r\nonetwo")) << context_.output;
}

}  // namespace
}  // namespace heptane::http
