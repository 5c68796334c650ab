// Edges of sockets, which the system tells once: kept while nobody waits, told once to who does.

#include "kernel/net/stream_poll.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
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

TEST_F(StreamPollTest, ADescriptorIsToldOnceForEachTimeItIsArmed) {
  std::array<int, 2> fds{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds.data()), 0);
  const PolledOncePtr once(new PolledOnce(fds[0]));
  int told = 0;
  ASSERT_TRUE(poll_.arm(*once, EPOLLIN, [&] { ++told; }));
  turn();
  EXPECT_EQ(told, 0);
  ASSERT_EQ(::send(fds[1], "x", 1, 0), 1);
  turn();
  turn();
  EXPECT_EQ(told, 1);
  ASSERT_TRUE(poll_.arm(*once, EPOLLIN, [&] { ++told; }));
  turn();
  EXPECT_EQ(told, 2) << "it is still readable";
  ASSERT_TRUE(poll_.arm(*once, EPOLLIN, [&] { ++told; }));
  const int fd = poll_.release(once);
  turn();
  EXPECT_EQ(told, 2);
  EXPECT_EQ(fd, fds[0]);
  std::array<char, 4> bytes{};
  EXPECT_EQ(::recv(fd, bytes.data(), bytes.size(), 0), 1) << "it is the caller's again";
  ::close(fds[0]);
  ::close(fds[1]);
}

TEST_F(StreamPollTest, ADescriptorThatIsClosedInTheRoundOfItsEventsHearsNothing) {
  struct End {
    PolledOncePtr once;
    int theirs = -1;
  };
  std::array<End, 2> ends;
  int told = 0;
  for (size_t i = 0; i < ends.size(); ++i) {
    std::array<int, 2> fds{};
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds.data()), 0);
    ends[i] = {new PolledOnce(fds[0]), fds[1]};
    ASSERT_EQ(::send(fds[1], "x", 1, 0), 1);
    ASSERT_TRUE(poll_.arm(*ends[i].once, EPOLLIN, [&, other = 1 - i] {
      ++told;
      poll_.close(std::exchange(ends[other].once, nullptr));
    }));
  }
  turn();
  EXPECT_EQ(told, 1);
  for (const End& end : ends) {
    if (end.once) poll_.close(end.once);
    ::close(end.theirs);
  }
}

TEST_F(StreamPollTest, EachWriteToTheEventfdIsToldThoughNobodyReadsIt) {
  const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  int woken = 0;
  ASSERT_TRUE(poll_.watch_wake(fd, [&] { ++woken; }));
  turn();
  EXPECT_EQ(woken, 0);
  const uint64_t one = 1;
  for (int i = 1; i <= 3; ++i) {
    ASSERT_EQ(::write(fd, &one, sizeof one), static_cast<ssize_t>(sizeof one));
    poll_.dispatch(-1);
    EXPECT_EQ(woken, i);
    turn();
    EXPECT_EQ(woken, i);
  }
  ::close(fd);
}

TEST_F(StreamPollTest, AWaitEndsWithoutAnEvent) {
  Seen seen;
  make(seen);
  poll_.dispatch(1'000'000);
  EXPECT_EQ(seen.readable, 0);
}

}  // namespace
}  // namespace heptane::net
