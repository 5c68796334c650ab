// Whether the connected sockets of one loop can be read and written: one epoll for all of them, edge-triggered, which the loop
// watches as a single descriptor. A connection costs a record here, and no system call for each wait.
//
// Invariants: `readable` and `writable` are what the system said last and no call has found otherwise since; an edge that comes
// while nobody waits is kept. A record outlives the round in which its socket was closed. The loop's thread.
#pragma once

#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>
#include <utility>
#include <vector>

#include "kernel/base/assert.h"
#include "kernel/net/net.h"

namespace heptane::net {

struct PolledSocket : boost::intrusive_ref_counter<PolledSocket, boost::thread_unsafe_counter> {
  explicit PolledSocket(int descriptor) : fd(descriptor) {}

  int fd;                 // -1: closed
  bool readable = false;  // or ended, which reading tells
  bool writable = false;
  bool read_ended = false;   // the peer will send no more: what reading finds does not change again
  bool write_ended = false;  // the connection broke
  bool wants_read = false;
  bool wants_write = false;
  bool due = false;
  StreamEvents* events = nullptr;
};
using PolledSocketPtr = boost::intrusive_ptr<PolledSocket>;

class StreamPoll {
 public:
  StreamPoll() : fd_(epoll_create1(EPOLL_CLOEXEC)) {
    HEPTANE_ASSERT(fd_ >= 0, "no epoll: is the limit of open files reached?");
  }
  // The descriptor that is readable when dispatch() has something to do. Whoever watches it closes it.
  int fd() const { return fd_; }

  // False: the system cannot watch one more; the socket stays the caller's.
  bool watch(PolledSocket& socket) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.ptr = &socket;
    return epoll_ctl(fd_, EPOLL_CTL_ADD, socket.fd, &event) == 0;
  }

  // Closes it. Taken out by name, because a child of this process may still hold what the descriptor stands for.
  void close(PolledSocketPtr socket) {
    socket->events = nullptr;
    epoll_ctl(fd_, EPOLL_CTL_DEL, socket->fd, nullptr);
    ::close(std::exchange(socket->fd, -1));
    if (dispatching_) closed_.push_back(std::move(socket));
  }

  void want_read(PolledSocket& socket) {
    socket.wants_read = true;
    if (socket.readable) put_due(socket);
  }
  void want_write(PolledSocket& socket) {
    socket.wants_write = true;
    if (socket.writable) put_due(socket);
  }

  // What a system call found: there was nothing to read or no room, or less than was asked for.
  static void found_empty(PolledSocket& socket) { socket.readable = socket.read_ended; }
  static void found_full(PolledSocket& socket) { socket.writable = socket.write_ended; }

  // Takes what the system has to say: all of it, because deadlines are judged afterwards, in a bounded number of rounds.
  void dispatch() {
    for (int rounds = 0; rounds < kRoundsPerCall && take_round(); ++rounds) {
    }
  }

  // Those who waited for what was so already.
  bool any_due() const { return !due_.empty(); }
  void run_due() {
    for (const PolledSocketPtr& socket : std::exchange(due_, {})) {
      socket->due = false;
      deliver(*socket);
    }
  }

 private:
  static constexpr int kSocketsPerRound = 256;
  static constexpr int kRoundsPerCall = 256;

  // True: there may be more.
  bool take_round() {
    std::array<epoll_event, kSocketsPerRound> round;
    const int count = epoll_wait(fd_, round.data(), kSocketsPerRound, 0);
    dispatching_ = true;
    for (int i = 0; i < count; ++i) {
      auto& socket = *static_cast<PolledSocket*>(round[static_cast<size_t>(i)].data.ptr);
      const uint32_t events = round[static_cast<size_t>(i)].events;
      if ((events & (EPOLLERR | EPOLLHUP)) != 0) socket.write_ended = true;
      if (socket.write_ended || (events & EPOLLRDHUP) != 0) socket.read_ended = true;
      if (socket.read_ended || (events & EPOLLIN) != 0) socket.readable = true;
      if (socket.write_ended || (events & EPOLLOUT) != 0) socket.writable = true;
      deliver(socket);
    }
    dispatching_ = false;
    closed_.clear();
    return count == kSocketsPerRound;
  }

  void put_due(PolledSocket& socket) {
    if (!std::exchange(socket.due, true)) due_.emplace_back(&socket);
  }
  static void deliver(PolledSocket& socket) {
    if (socket.events != nullptr && socket.readable && std::exchange(socket.wants_read, false))
      socket.events->on_readable();
    if (socket.events != nullptr && socket.writable && std::exchange(socket.wants_write, false))
      socket.events->on_writable();
  }

  int fd_;
  bool dispatching_ = false;
  std::vector<PolledSocketPtr> closed_;  // of this round, whose events may still be in it
  std::vector<PolledSocketPtr> due_;
};

}  // namespace heptane::net
