#include "bench/mqtt_return.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "bench/mqtt_brokers.h"
#include "bench/mqtt_wire.h"

namespace heptane::bench {

namespace {

constexpr size_t kQueued = 1'000;  // of a session: what both brokers hold at most
constexpr size_t kBurst = 500;     // in flight of the publisher
constexpr size_t kPayloadBytes = 64;
constexpr size_t kReadBytes = 256 << 10;
constexpr int kStallMs = 60'000;

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "bench: %s\n", why.c_str());
  std::exit(1);
}

std::string name_of(size_t session) { return "returning-" + std::to_string(session); }
MqttLogin login_of(size_t session) { return {name_of(session), {}, {}, true}; }

void leave(int fd) {
  const std::byte farewell[2] = {std::byte{0xE0}, std::byte{0}};
  send_all(fd, farewell);
  std::array<std::byte, 4096> rest;
  while (::recv(fd, rest.data(), rest.size(), 0) > 0) {
  }
  ::close(fd);
}

// `count` messages at QoS 1 to as many topics as there are sessions, one after the other, each acknowledged.
void publish(uint16_t port, const std::string& prefix, size_t topics, size_t count) {
  const int fd = connect_mqtt(port, {"publisher-of-" + prefix, {}, {}});
  const std::string payload(kPayloadBytes, 'x');
  ByteWriter burst;
  for (size_t sent = 0; sent < count;) {
    burst.clear();
    size_t size = 0;
    for (; size < kBurst && sent < count; ++size, ++sent) {
      const std::string topic = prefix + "/" + name_of(sent % topics);
      burst.append(encode_mqtt_publish(topic, 1, static_cast<uint16_t>(1 + size), as_bytes(payload)).view());
    }
    publish_burst_mqtt(fd, burst, size);
  }
  leave(fd);
}

struct Figures {
  double per_second = 0;
  double first_p50_us = 0;  // from CONNECT to the first message
  double first_p99_us = 0;
};

// All at once: CONNECT, the queue, a PUBACK for each message.
class Returning {
 public:
  Returning(uint16_t port, size_t sessions) : sessions_(sessions), buffer_(std::make_unique<std::byte[]>(kReadBytes)) {
    epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    for (size_t i = 0; i < sessions; ++i) {
      sessions_[i].fd = open_mqtt_socket(port);
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u64 = i;
      ::epoll_ctl(epoll_, EPOLL_CTL_ADD, sessions_[i].fd, &event);
    }
  }
  ~Returning() {
    for (const Session& session : sessions_) leave(session.fd);
    ::close(epoll_);
  }
  Returning(const Returning&) = delete;
  Returning& operator=(const Returning&) = delete;

  Figures run() {
    const int64_t begin_ns = now_ns();
    for (size_t i = 0; i < sessions_.size(); ++i) {
      sessions_[i].begin_ns = now_ns();
      send_all(sessions_[i].fd, encode_mqtt_connect(login_of(i)).view());
    }
    for (const size_t all = sessions_.size() * kQueued; arrived_ < all;) {
      std::array<epoll_event, 256> events;
      const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), kStallMs);
      if (count <= 0)
        give_up("of what was queued only " + std::to_string(arrived_) + " messages of " + std::to_string(all) +
                " come");
      for (int i = 0; i < count; ++i) read(sessions_[events[static_cast<size_t>(i)].data.u64]);
    }
    Figures figures;
    figures.per_second = static_cast<double>(arrived_) * 1e9 / static_cast<double>(now_ns() - begin_ns);
    figures.first_p50_us = quantile(first_us_, 0.5);
    figures.first_p99_us = quantile(first_us_, 0.99);
    return figures;
  }

 private:
  struct Session {
    int fd = -1;
    int64_t begin_ns = 0;
    std::vector<std::byte> rest;  // of an unfinished packet
    size_t messages = 0;
  };

  void read(Session& session) {
    std::copy(session.rest.begin(), session.rest.end(), buffer_.get());
    const size_t kept = session.rest.size();
    const ssize_t count = ::recv(session.fd, buffer_.get() + kept, kReadBytes - kept, 0);
    if (count <= 0) give_up("a session that came back is closed");
    Bytes bytes(buffer_.get(), kept + static_cast<size_t>(count));
    ByteWriter acks;
    for (size_t size = 0; (size = mqtt_packet_bytes(bytes)) > 0; bytes = bytes.subspan(size))
      take(session, bytes.first(size), acks);
    session.rest.assign(bytes.begin(), bytes.end());
    send_all(session.fd, acks.view());
  }
  void take(Session& session, Bytes packet, ByteWriter& acks) {
    const auto type = static_cast<uint8_t>(packet[0]) & 0xF0;
    if (type == 0x20) {
      if (packet[2] != std::byte{1} || packet[3] != std::byte{0}) give_up("a session is not there any more");
    } else if (type == 0x30) {
      if (session.messages++ == 0) first_us_.push_back(static_cast<double>(now_ns() - session.begin_ns) / 1e3);
      ++arrived_;
      const size_t at = mqtt_publish_id_at(packet);
      acks.u8(0x40);
      acks.u8(2);
      acks.append(packet.subspan(at, 2));
    } else {
      give_up("a packet of type " + std::to_string(type >> 4) + " comes to a session that came back");
    }
  }

  int epoll_ = -1;
  std::vector<Session> sessions_;
  std::unique_ptr<std::byte[]> buffer_;
  size_t arrived_ = 0;
  std::vector<double> first_us_;
};

// Full queues, so many other messages, and everybody back.
Figures round(uint16_t port, size_t sessions, size_t others) {
  publish(port, "queued", sessions, sessions * kQueued);
  if (others > 0) publish(port, "others", sessions, others);
  Returning returning(port, sessions);
  return returning.run();
}

struct Side {
  std::vector<Figures> alone;
  Figures behind_others;
};

Side measure(uint16_t port, size_t sessions, size_t others, uint64_t rounds) {
  for (size_t i = 0; i < sessions; ++i) {
    const int fd = connect_mqtt(port, login_of(i));
    subscribe_mqtt(fd, "queued/" + name_of(i), 1);
    leave(fd);
  }
  Side side;
  for (uint64_t i = 0; i < rounds; ++i) side.alone.push_back(round(port, sessions, 0));
  side.behind_others = round(port, sessions, others);
  return side;
}

double median_of(const Side& side, double Figures::*figure) {
  std::vector<double> values;
  for (const Figures& one : side.alone) values.push_back(one.*figure);
  return median(values);
}

}  // namespace

void add_return_mqtt(const Scratch& scratch, Report& report) {
  const size_t sessions = from_environment("BENCH_MQTT_SESSIONS", 1'000);
  const size_t others = from_environment("BENCH_MQTT_OTHERS", 10'000'000);
  const uint64_t rounds = from_environment("BENCH_MQTT_PAIRS", 5);
  report.setting("return",
                 std::to_string(sessions) + " durable sessions of " + std::to_string(kQueued) +
                     " messages at QoS 1, each with a topic of its own; " + std::to_string(rounds) +
                     " rounds of one broker and then of the other, behind the other messages one; mosquitto in "
                     "memory, max_queued_messages " +
                     std::to_string(kQueued));
  Side ours;
  {
    const HeptaneBroker broker(scratch.below("mqtt-return"), Security::none);
    ours = measure(broker.port(), sessions, others, rounds);
  }
  const auto peer = MosquittoBroker::start(scratch.below("mosquitto-return"), Security::none, kQueued);
  const Side theirs = peer ? measure(peer->port(), sessions, others, rounds) : Side{};
  const auto row = [&](const std::string& what, double our_rate, double their_rate) {
    report.row({what, rate(our_rate), peer ? "mosquitto " + rate(their_rate) : "-",
                peer ? ratio(our_rate / their_rate) : "-", peer ? ">= 1" : "", !peer || our_rate >= their_rate});
  };
  row("durable sessions return at once: messages", median_of(ours, &Figures::per_second),
      median_of(theirs, &Figures::per_second));
  row("the same behind " + std::to_string(others) + " other messages", ours.behind_others.per_second,
      theirs.behind_others.per_second);
  const auto waits = [](double p50, double p99) { return micros(p50) + ", " + micros(p99); };
  const double alone_us = median_of(ours, &Figures::first_p50_us);
  report.row(
      {"CONNECT to the first message, p50, p99", waits(alone_us, median_of(ours, &Figures::first_p99_us)),
       peer ? "mosquitto " + waits(median_of(theirs, &Figures::first_p50_us), median_of(theirs, &Figures::first_p99_us))
            : "-",
       "", "", true});
  const double growth = ours.behind_others.first_p50_us / alone_us;
  report.row({"the same behind the others, beside without",
              waits(ours.behind_others.first_p50_us, ours.behind_others.first_p99_us), "without " + micros(alone_us),
              ratio(growth), "<= 1.5", growth <= 1.5});
}

}  // namespace heptane::bench
