#include "bench/nats_wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace heptane::bench {

namespace {

constexpr const char* kInbox = "_INBOX.bench";
constexpr size_t kReadBytes = size_t{256} << 10;
constexpr size_t kWriteBytes = size_t{128} << 10;
constexpr int kSilenceMs = 30'000;

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "bench: NATS: %s\n", why.c_str());
  std::exit(1);
}

std::string publication(const std::string& subject, const std::string& payload) {
  return "PUB " + subject + ' ' + kInbox + ' ' + std::to_string(payload.size()) + "\r\n" + payload + "\r\n";
}

}  // namespace

NatsWire::NatsWire(uint16_t port) {
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) give_up("cannot connect");
  const int on = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  write_all("CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB " + std::string(kInbox) + " 1\r\n");
}

NatsWire::~NatsWire() { ::close(fd_); }

void NatsWire::create_stream(const std::string& name) {
  const std::string answer = ask("$JS.API.STREAM.CREATE." + name,
                                 R"({"name":")" + name + R"(","subjects":[")" + name +
                                     R"("],"retention":"limits","storage":"file","num_replicas":1,"discard":"old",)"
                                     R"("max_consumers":-1,"max_msgs":-1,"max_bytes":-1})");
  if (answer.find("\"error\"") != std::string::npos) give_up("no stream: " + answer);
}

// Records go out in large writes while there is room in flight; acknowledgements are taken as they come, and waited for
// when nothing may be sent.
void NatsWire::publish(const std::string& subject, const std::string& value, uint64_t records, uint64_t in_flight) {
  const std::string one = publication(subject, value);
  const uint64_t at_once = std::max<uint64_t>(1, kWriteBytes / one.size());
  std::string many;
  for (uint64_t i = 0; i < at_once; ++i) many += one;
  uint64_t sent = 0;
  uint64_t acknowledged = 0;
  while (acknowledged < records) {
    const uint64_t room = std::min({records - sent, in_flight - (sent - acknowledged), at_once});
    // Not a record at a time as the acknowledgements come: a client batches.
    if (room > 0 && (room == at_once || room == records - sent || sent == acknowledged)) {
      write_all(std::string_view(many).substr(0, static_cast<size_t>(room) * one.size()));
      sent += room;
    } else {
      read_more(true);
    }
    while (read_more(false)) {
    }
    acknowledged += take_acknowledgements();
  }
}

uint64_t NatsWire::take_acknowledgements() {
  uint64_t count = 0;
  for (std::string_view payload; next_message(payload); ++count)
    if (payload.find("\"seq\":") == std::string_view::npos) give_up("a record was refused: " + std::string(payload));
  return count;
}

std::string NatsWire::ask(const std::string& subject, const std::string& payload) {
  write_all(publication(subject, payload));
  std::string_view answer;
  while (!next_message(answer)) read_more(true);
  return std::string(answer);
}

// What comes while it cannot send is taken: the server would wait for it.
void NatsWire::write_all(std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count > 0) {
      text.remove_prefix(static_cast<size_t>(count));
      continue;
    }
    if (count == 0 || errno != EAGAIN) give_up("the connection broke off");
    pollfd room{fd_, POLLIN | POLLOUT, 0};
    if (::poll(&room, 1, kSilenceMs) <= 0) give_up("it takes nothing any more");
    if ((room.revents & POLLIN) != 0) read_more(false);
  }
}

// True: some came.
bool NatsWire::read_more(bool wait) {
  pollfd readable{fd_, POLLIN, 0};
  if (wait && ::poll(&readable, 1, kSilenceMs) <= 0) give_up("no answer in time");
  input_.erase(0, used_);
  used_ = 0;
  const size_t before = input_.size();
  input_.resize(before + kReadBytes);
  const ssize_t count = ::recv(fd_, input_.data() + before, kReadBytes, MSG_DONTWAIT);
  input_.resize(before + static_cast<size_t>(std::max<ssize_t>(0, count)));
  if (count == 0 || (count < 0 && errno != EAGAIN)) give_up("the connection broke off");
  return count > 0;
}

bool NatsWire::next_message(std::string_view& payload) {
  for (;;) {
    const std::string_view rest = std::string_view(input_).substr(used_);
    const size_t end = rest.find("\r\n");
    if (end == std::string_view::npos) return false;
    const std::string_view line = rest.substr(0, end);
    if (!line.starts_with("MSG ")) {
      if (line.starts_with("-ERR")) give_up(std::string(line));
      used_ += end + 2;
      if (line == "PING") write_all("PONG\r\n");
      continue;
    }
    const size_t bytes = std::stoul(std::string(line.substr(line.rfind(' ') + 1)));
    if (rest.size() < end + 2 + bytes + 2) return false;
    payload = rest.substr(end + 2, bytes);
    used_ += end + 2 + bytes + 2;
    return true;
  }
}

}  // namespace heptane::bench
