// Edges of sockets, which the system tells once: kept while nobody waits, told once to who does.

#include "kernel/net/stream_poll.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <deque>
#include <functional>
#include <string>

namespace heptane::net {
namespace {

struct Seen final : StreamEvents {
  void on_readable() override {
    ++readable;
    if (then) then();
  }
  void on_writable() override { ++writable; }
  int readable = 0;
  int writable = 0;
  std::function<void()> then;
};

class StreamPollTest : public testing::Test {
 protected:
  struct Pair {
    PolledSocketPtr ours;
    int theirs = -1;
  };
  ~StreamPollTest() override {
    for (Pair& pair : pairs_) {
      if (pair.ours && pair.ours->fd >= 0) poll_.close(pair.ours);
      if (pair.theirs >= 0) ::close(pair.theirs);
    }
    ::close(poll_.fd());
  }
  Pair& make(Seen& seen) {
    std::array<int, 2> fds{};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds.data()), 0);
    Pair& pair = pairs_.emplace_back(Pair{new PolledSocket(fds[0]), fds[1]});
    EXPECT_TRUE(poll_.watch(*pair.ours));
    pair.ours->events = &seen;
    return pair;
  }
  static void write(const Pair& pair) { ASSERT_EQ(::send(pair.theirs, "x", 1, 0), 1); }
  // As a stream does.
  static ssize_t read(PolledSocket& socket) {
    std::array<char, 16> bytes{};
    const ssize_t count = ::recv(socket.fd, bytes.data(), bytes.size(), 0);
    if (count < static_cast<ssize_t>(bytes.size())) StreamPoll::found_empty(socket);
    return count;
  }
  void turn() {
    poll_.run_due();
    poll_.dispatch();
  }

  StreamPoll poll_;
  std::deque<Pair> pairs_;
};

TEST_F(StreamPollTest, TellsOnceForEachWish) {
  Seen seen;
  Pair& pair = make(seen);
  write(pair);
  poll_.want_read(*pair.ours);
  turn();
  turn();
  EXPECT_EQ(seen.readable, 1);
  EXPECT_EQ(read(*pair.ours), 1);
  poll_.want_read(*pair.ours);
  turn();
  EXPECT_EQ(seen.readable, 1) << "there is nothing";
  write(pair);
  turn();
  EXPECT_EQ(seen.readable, 2);
}

TEST_F(StreamPollTest, KeepsAnEdgeWhileNobodyWaits) {
  Seen seen;
  Pair& pair = make(seen);
  write(pair);
  turn();
  EXPECT_EQ(seen.readable, 0);
  poll_.want_read(*pair.ours);
  EXPECT_EQ(seen.readable, 0) << "never from inside a call";
  EXPECT_TRUE(poll_.any_due());
  turn();
  EXPECT_EQ(seen.readable, 1);
}

TEST_F(StreamPollTest, TheEndOfWhatAPeerSendsStays) {
  Seen seen;
  Pair& pair = make(seen);
  write(pair);
  ASSERT_EQ(::shutdown(pair.theirs, SHUT_WR), 0);
  poll_.want_read(*pair.ours);
  turn();
  // Its bytes were fewer than there was room for, and its end is not told again.
  EXPECT_EQ(read(*pair.ours), 1);
  poll_.want_read(*pair.ours);
  turn();
  EXPECT_EQ(seen.readable, 2);
  EXPECT_EQ(read(*pair.ours), 0);
}

TEST_F(StreamPollTest, AHalfClosedPeerThatReadsSlowlyIsWaitedFor) {
  Seen seen;
  Pair& pair = make(seen);
  ASSERT_EQ(::shutdown(pair.theirs, SHUT_WR), 0);
  turn();
  const std::string much(size_t{1} << 20, 'x');
  while (::send(pair.ours->fd, much.data(), much.size(), MSG_NOSIGNAL) > 0) {
  }
  StreamPoll::found_full(*pair.ours);
  poll_.want_write(*pair.ours);
  for (int i = 0; i < 3; ++i) turn();
  EXPECT_EQ(seen.writable, 0);
  std::string taken(much.size(), '\0');
  while (::recv(pair.theirs, taken.data(), taken.size(), 0) > 0) {
  }
  turn();
  EXPECT_EQ(seen.writable, 1);
}

TEST_F(StreamPollTest, OneThatIsClosedInTheRoundOfItsEventsHearsNothing) {
  Seen one;
  Seen other;
  Pair& first = make(one);
  Pair& second = make(other);
  for (const Pair& pair : pairs_) write(pair);
  poll_.want_read(*first.ours);
  poll_.want_read(*second.ours);
  // Whichever comes first closes the other.
  one.then = [&] { poll_.close(std::move(second.ours)); };
  other.then = [&] { poll_.close(std::move(first.ours)); };
  turn();
  EXPECT_EQ(one.readable + other.readable, 1);
}

TEST_F(StreamPollTest, SeesMoreThanARoundInATurn) {
  constexpr int kSockets = 600;
  Seen seen;
  for (int i = 0; i < kSockets; ++i) {
    Pair& pair = make(seen);
    write(pair);
    poll_.want_read(*pair.ours);
  }
  turn();
  EXPECT_EQ(seen.readable, kSockets);
}

}  // namespace
}  // namespace heptane::net
