#include "bench/fix_wire.h"

#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string_view>

#include "bench/mqtt_wire.h"
#include "bench/report.h"
#include "modules/fintech/domain/fix/encode.h"

namespace heptane::bench {

namespace {

constexpr size_t kInputBytes = 256 << 10;
constexpr int64_t kStallNs = 20'000'000'000;
constexpr size_t kTrailerBytes = 7;  // 10=nnn and its end

[[noreturn]] void give_up(const std::string& why) {
  std::string text = why;
  std::replace(text.begin(), text.end(), '\x01', '|');
  std::fprintf(stderr, "bench: fix: %s\n", text.c_str());
  std::exit(1);
}

int64_t wall_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

std::string encoded(const std::string& name, uint64_t number, std::string_view type, std::string_view body) {
  std::string out;
  fix::encode(out, {"FIX.4.4", name, "HEPTANE", number, wall_ns(), std::nullopt, 3}, {type, {}, body});
  return out;
}

// What stands behind `mark`; empty: it is not there.
std::string_view behind(std::string_view text, std::string_view mark) {
  const size_t at = text.find(mark);
  return at == std::string_view::npos ? std::string_view() : text.substr(at + mark.size());
}

}  // namespace

FixLoad::FixLoad(uint16_t port, const std::vector<std::string>& names, BodyOf body_of) : body_of_(std::move(body_of)) {
  ::prctl(PR_SET_TIMERSLACK, 1);
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  sessions_.resize(names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    sessions_[i].name = names[i];
    log_on(port, i);
  }
}

FixLoad::~FixLoad() {
  for (Session& session : sessions_) ::close(session.fd);
  ::close(epoll_);
}

void FixLoad::log_on(uint16_t port, size_t index) {
  Session& session = sessions_[index];
  session.input.resize(kInputBytes);
  session.fd = open_mqtt_socket(port);
  const std::string logon = encoded(session.name, 1, "A",
                                    "98=0\x01"
                                    "108=600\x01"
                                    "141=Y\x01");
  send_all(session.fd, std::as_bytes(std::span(logon)));
  epoll_event event{.events = EPOLLIN, .data = {.u64 = index}};
  ::epoll_ctl(epoll_, EPOLL_CTL_ADD, session.fd, &event);
  logged_on_ = false;
  while (!logged_on_)
    if (!turn(now_ns() + kStallNs, 0)) give_up(session.name + " is not logged on");
}

void FixLoad::encode_next(Session& session, size_t index) {
  session.orders += encoded(session.name, session.ends.size() + 2, "D", body_of_(index));  // 1 was the logon
  session.ends.push_back(session.orders.size());
}

void FixLoad::prepare(size_t each) {
  for (size_t i = 0; i < sessions_.size(); ++i)
    while (sessions_[i].ends.size() < sessions_[i].wanted + each) encode_next(sessions_[i], i);
}

void FixLoad::allow(size_t index, int64_t begun_ns) {
  Session& session = sessions_[index];
  if (session.wanted == session.ends.size()) encode_next(session, index);
  ++session.wanted;
  session.begun_ns.push_back(begun_ns);
}

void FixLoad::flush(Session& session) {
  const size_t end = session.wanted == 0 ? 0 : session.ends[session.wanted - 1];
  while (session.sent_bytes < end) {
    const ssize_t count = ::send(session.fd, session.orders.data() + session.sent_bytes, end - session.sent_bytes,
                                 MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) give_up(session.name + ": the connection is closed");
    session.sent_bytes += static_cast<size_t>(count);
  }
}

void FixLoad::run(int64_t duration_ns, size_t window) {
  now_ns_ = now_ns();
  const int64_t end_ns = now_ns_ + duration_ns;
  for (size_t i = 0; i < sessions_.size(); ++i) {
    while (sessions_[i].wanted < sessions_[i].acknowledged + window) allow(i, now_ns_);
    flush(sessions_[i]);
  }
  while (now_ns() < end_ns)
    if (!turn(end_ns + kStallNs, window)) give_up("no report came");
}

void FixLoad::run_paced(int64_t duration_ns, double orders_per_second) {
  const int64_t begin_ns = now_ns();
  const auto orders = static_cast<uint64_t>(orders_per_second * static_cast<double>(duration_ns) / 1e9);
  const auto due = [&](uint64_t order) {
    return begin_ns + static_cast<int64_t>(static_cast<double>(order) / orders_per_second * 1e9);
  };
  for (uint64_t next = 0; next < orders;) {
    for (const int64_t here = now_ns(); next < orders && due(next) <= here; ++next) {
      allow(next % sessions_.size(), due(next));
      flush(sessions_[next % sessions_.size()]);
    }
    (void)turn(due(next), 0);
  }
}

void FixLoad::drain() {
  while (!idle()) {
    for (Session& session : sessions_) flush(session);
    if (!turn(now_ns() + kStallNs, 0)) give_up("orders are never acknowledged");
  }
}

bool FixLoad::idle() const {
  return std::all_of(sessions_.begin(), sessions_.end(),
                     [](const Session& session) { return session.acknowledged == session.wanted; });
}

bool FixLoad::turn(int64_t until_ns, size_t window) {
  std::array<epoll_event, 64> events;
  const int64_t left_ns = std::max<int64_t>(until_ns - now_ns(), 0);
  const timespec limit{left_ns / 1'000'000'000, left_ns % 1'000'000'000};
  const int count = ::epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()), &limit, nullptr);
  now_ns_ = now_ns();
  for (int i = 0; i < count; ++i) receive(events[static_cast<size_t>(i)].data.u64, window);
  return count > 0;
}

void FixLoad::receive(size_t index, size_t window) {
  Session& session = sessions_[index];
  char* const input = session.input.data();
  const ssize_t count =
      ::recv(session.fd, input + session.input_bytes, session.input.size() - session.input_bytes, MSG_DONTWAIT);
  if (count < 0 && errno == EAGAIN) return;
  if (count <= 0) give_up(session.name + ": the connection is closed");
  session.input_bytes += static_cast<size_t>(count);
  size_t taken = 0;
  while (const size_t bytes = take(session, input + taken, input + session.input_bytes)) taken += bytes;
  std::memmove(input, input + taken, session.input_bytes - taken);
  session.input_bytes -= taken;
  while (session.wanted < session.acknowledged + window) allow(index, now_ns_);
  flush(session);
}

size_t FixLoad::take(Session& session, const char* begin, const char* end) {
  constexpr std::string_view kHead =
      "8=FIX.4.4\x01"
      "9=";
  const auto available = static_cast<size_t>(end - begin);
  if (available < kHead.size()) return 0;
  if (std::string_view(begin, kHead.size()) != kHead) give_up("no message: " + std::string(begin, available));
  size_t length = 0;
  const char* at = begin + kHead.size();
  for (; at < end && *at != '\x01'; ++at) length = length * 10 + static_cast<size_t>(*at - '0');
  if (at == end || static_cast<size_t>(end - at) < 1 + length + kTrailerBytes) return 0;
  take_report(session, at + 1, at + 1 + length);
  return static_cast<size_t>(at - begin) + 1 + length + kTrailerBytes;
}

void FixLoad::take_report(Session& session, const char* begin, const char* end) {
  const std::string_view body(begin, static_cast<size_t>(end - begin));
  if (body.starts_with("35=A\x01")) {
    logged_on_ = true;
  } else if (body.starts_with("35=8\x01")) {
    const std::string_view kind = behind(body,
                                         "\x01"
                                         "150=");
    if (kind.starts_with("F")) {
      ++fills_;
    } else if (kind.starts_with("0")) {
      latencies_.push_back(static_cast<double>(now_ns_ - session.begun_ns[session.acknowledged]) / 1e3);
      ++session.acknowledged;
      ++acknowledged_;
    } else {
      give_up("refused: " + std::string(body));
    }
  } else if (!body.starts_with("35=0\x01")) {
    give_up("answered: " + std::string(body));
  }
}

}  // namespace heptane::bench
