// What one loop waits for: one epoll. Connected sockets are edge-triggered: a connection costs a record here, and no system call for
// each wait. Rarer descriptors (listening sockets, connections being made, datagrams) are armed for one event at a time. One eventfd
// by which other threads wake the loop is never read: each write to it is an edge.
//
// Invariants: `readable` and `writable` are what the system said last and no call has found otherwise since; an edge that comes
// while nobody waits is kept. A record outlives the round in which its descriptor was closed. The loop's thread, but for what writes to
// the eventfd.
#pragma once

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <functional>
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

// A descriptor that is waited for now and then.
struct PolledOnce : boost::intrusive_ref_counter<PolledOnce, boost::thread_unsafe_counter> {
  explicit PolledOnce(int descriptor) : fd(descriptor) {}

  int fd;  // -1: closed, or given away
  bool added = false;
  std::function<void()> ready;  // empty: it is not armed
};
using PolledOncePtr = boost::intrusive_ptr<PolledOnce>;

class StreamPoll {
 public:
  StreamPoll() : fd_(epoll_create1(EPOLL_CLOEXEC)) {
    HEPTANE_ASSERT(fd_ >= 0, "no epoll: is the limit of open files reached?");
  }
  ~StreamPoll() { ::close(fd_); }
  StreamPoll(const StreamPoll&) = delete;
  StreamPoll& operator=(const StreamPoll&) = delete;

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

  // Not armed. False: the system cannot watch one more; once it does, arm() does not fail.
  bool add(PolledOnce& once) { return once.added = control(once, EPOLL_CTL_ADD, 0); }
  // `ready` is called once, when the descriptor has one of `events`; by then it is not armed. False: the system cannot watch one more.
  bool arm(PolledOnce& once, uint32_t events, std::function<void()> ready) {
    if (!control(once, once.added ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, events)) return false;
    once.added = true;
    once.ready = std::move(ready);
    return true;
  }
  // The descriptor, which is the caller's then; -1: it was closed.
  int release(PolledOncePtr once) {
    const int fd = std::exchange(once->fd, -1);
    if (once->added) epoll_ctl(fd_, EPOLL_CTL_DEL, fd, nullptr);
    once->added = false;
    once->ready = nullptr;
    if (dispatching_) released_.push_back(std::move(once));
    return fd;
  }
  void close(PolledOncePtr once) {
    if (const int fd = release(std::move(once)); fd >= 0) ::close(fd);
  }

  // An eventfd of the caller's: `on_wake` for each time that it was written to, or several.
  bool watch_wake(int fd, std::function<void()> on_wake) {
    on_wake_ = std::move(on_wake);
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    event.data.u64 = kWake;
    return epoll_ctl(fd_, EPOLL_CTL_ADD, fd, &event) == 0;
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

  // Waits for the system to say something for `limit_ns` at most (0: not at all, < 0: without an end), and takes all that it says, because
  // deadlines are judged afterwards, in a bounded number of rounds. A signal ends the wait.
  void dispatch(int64_t limit_ns = 0) {
    for (int rounds = 0; rounds < kRoundsPerCall && take_round(rounds == 0 ? limit_ns : 0); ++rounds) {
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

  // Tags in the lowest bits of what an event carries: records lie at even addresses.
  static constexpr uint64_t kOnce = 1;
  static constexpr uint64_t kWake = 0;

  bool control(PolledOnce& once, int operation, uint32_t events) const {
    epoll_event event{};
    event.events = events | EPOLLONESHOT;
    event.data.u64 = reinterpret_cast<uintptr_t>(&once) | kOnce;
    return epoll_ctl(fd_, operation, once.fd, &event) == 0;
  }

  int wait(std::array<epoll_event, kSocketsPerRound>& round, int64_t limit_ns) const {
    constexpr int64_t kNsPerSecond = 1'000'000'000;
    constexpr int64_t kNsPerMs = 1'000'000;
    if (limit_ns <= 0) return epoll_wait(fd_, round.data(), kSocketsPerRound, limit_ns < 0 ? -1 : 0);
    const timespec limit{limit_ns / kNsPerSecond, limit_ns % kNsPerSecond};
    const int count = epoll_pwait2(fd_, round.data(), kSocketsPerRound, &limit, nullptr);
    if (count >= 0 || errno == EINTR) return count;
    // A kernel before 5.11, or a filter of system calls that does not know it: whole milliseconds, rather later.
    return epoll_wait(fd_, round.data(), kSocketsPerRound,
                      static_cast<int>(std::min<int64_t>(limit_ns / kNsPerMs + 1, INT32_MAX)));
  }

  // True: there may be more.
  bool take_round(int64_t limit_ns) {
    std::array<epoll_event, kSocketsPerRound> round;
    const int count = wait(round, limit_ns);
    dispatching_ = true;
    for (int i = 0; i < count; ++i) take(round[static_cast<size_t>(i)]);
    dispatching_ = false;
    closed_.clear();
    released_.clear();
    return count == kSocketsPerRound;
  }

  void take(const epoll_event& event) {
    if (event.data.u64 == kWake) return on_wake_();
    if ((event.data.u64 & kOnce) != 0) {
      auto& once = *reinterpret_cast<PolledOnce*>(event.data.u64 & ~kOnce);
      // What it does may close it.
      if (const std::function<void()> ready = std::exchange(once.ready, nullptr)) ready();
      return;
    }
    auto& socket = *static_cast<PolledSocket*>(event.data.ptr);
    if ((event.events & (EPOLLERR | EPOLLHUP)) != 0) socket.write_ended = true;
    if (socket.write_ended || (event.events & EPOLLRDHUP) != 0) socket.read_ended = true;
    if (socket.read_ended || (event.events & EPOLLIN) != 0) socket.readable = true;
    if (socket.write_ended || (event.events & EPOLLOUT) != 0) socket.writable = true;
    deliver(socket);
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
  std::vector<PolledOncePtr> released_;  // likewise
  std::function<void()> on_wake_;
  std::vector<PolledSocketPtr> due_;
};

}  // namespace heptane::net
