// Answers to the server's own requests: where they end, however their bytes come.
#include "kernel/net/http/response_parser.h"

#include <gtest/gtest.h>

#include <string>

namespace heptane::http {
namespace {

using Step = ResponseParser::Step;

struct Read {
  Step step = Step::need_more;
  int status = 0;
  size_t consumed = 0;
  bool keep_alive = false;
  int64_t retry_after_s = -1;
};

// In pieces of so many bytes.
Read read(const std::string& text, size_t piece, bool closes = false) {
  ResponseParser parser;
  Read read;
  for (size_t end = std::min(piece, text.size()); read.step == Step::need_more;
       end = std::min(end + piece, text.size())) {
    read.step =
        parser.parse(as_bytes(std::string_view(text).substr(read.consumed, end - read.consumed)), read.consumed);
    if (end == text.size()) break;
  }
  if (closes && read.step == Step::need_more) read.step = parser.finish();
  if (read.step != Step::complete) return read;
  read.status = parser.status();
  read.keep_alive = parser.keep_alive();
  read.retry_after_s = parser.retry_after_s();
  return read;
}

TEST(ResponseParser, EndsWhereTheAnswerEnds) {
  const std::string length = "HTTP/1.1 503 Busy\r\nContent-Length: 5\r\nretry-after: 7\r\n\r\nhello";
  const std::string chunks =
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
  const std::string none = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
  for (size_t piece : {1, 2, 7, 1'000}) {
    const Read first = read(length + "HTTP/1.1 2", piece);
    EXPECT_EQ(first.step, Step::complete) << piece;
    EXPECT_EQ(first.status, 503);
    EXPECT_EQ(first.consumed, length.size());
    EXPECT_TRUE(first.keep_alive);
    EXPECT_EQ(first.retry_after_s, 7);
    const Read second = read(chunks, piece);
    EXPECT_EQ(second.step, Step::complete) << piece;
    EXPECT_EQ(second.status, 200);
    EXPECT_EQ(second.consumed, chunks.size());
    const Read third = read(none, piece);
    EXPECT_EQ(third.step, Step::complete) << piece;
    EXPECT_FALSE(third.keep_alive);
  }
}

TEST(ResponseParser, OneWithoutALengthEndsWithTheConnection) {
  const std::string open = "HTTP/1.0 200 OK\r\n\r\nsome words";
  EXPECT_EQ(read(open, 4).step, Step::need_more);
  EXPECT_EQ(read(open, 4, true).step, Step::complete);
  EXPECT_EQ(read("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", 4, true).step, Step::fault);
  EXPECT_EQ(read("HTTP/1.1 200 OK\r\nContent-Le", 4, true).step, Step::fault);
  EXPECT_EQ(read("", 4, true).step, Step::fault);
}

TEST(ResponseParser, WhatIsNoAnswerOrTooLarge) {
  EXPECT_EQ(read("SSH-2.0-OpenSSH_9\r\n\r\n", 100).step, Step::fault);
  EXPECT_EQ(read("HTTP/1.1 101 Switching Protocols\r\n\r\n", 100).step, Step::fault);
  EXPECT_EQ(read("HTTP/1.1 200 OK\r\nX: " + std::string(20'000, 'x'), 1'000).step, Step::fault);
  std::string interim;
  while (interim.size() <= ResponseParser::kHeadBytesMax) interim += "HTTP/1.1 100 Continue\r\n\r\n";
  for (const size_t piece : {size_t{7}, interim.size()}) EXPECT_EQ(read(interim, piece).step, Step::fault) << piece;
  EXPECT_EQ(read("HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n", 100).step, Step::fault);
}

}  // namespace
}  // namespace heptane::http
