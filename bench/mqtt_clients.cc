#include "bench/mqtt_clients.h"

#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "bench/mqtt_brokers.h"
#include "bench/mqtt_bystander.h"
#include "bench/mqtt_tls.h"
#include "bench/mqtt_wire.h"

namespace heptane::bench {

namespace {

constexpr useconds_t kQuietUs = 2'000'000;
constexpr size_t kSpareDescriptors = 1000;  // of a broker and of the bench, besides the clients
constexpr size_t kAtOnce = 100;             // that connect at the same time
constexpr size_t kTlsClients = 5'000;       // each is more memory in the bench itself than in a broker

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "bench: %s\n", why.c_str());
  std::exit(1);
}

enum class Idle : uint8_t { plain, durable, tls };

double idle_bytes(pid_t pid, uint16_t port, size_t clients, Idle kind) {
  ::usleep(kQuietUs);
  const uint64_t before = resident_bytes(pid);
  std::vector<int> sockets;
  MqttTlsClients tls;
  for (size_t i = 0; i < clients; ++i) {
    const std::string name = "device-" + std::to_string(i);
    const MqttLogin login{name, {}, {}, kind == Idle::durable};
    const std::string filter = "plant/" + name + "/commands";
    if (kind == Idle::tls) {
      tls.connect(port, login, filter);
      continue;
    }
    sockets.push_back(connect_mqtt(port, login));
    subscribe_mqtt(sockets.back(), filter, 0);
  }
  ::usleep(kQuietUs);
  const uint64_t after = resident_bytes(pid);
  for (const int fd : sockets) ::close(fd);
  return static_cast<double>(after - before) / static_cast<double>(clients);
}

struct Storm {
  double per_second = 0;
  double bystander_p99_us = 0;
};

// kAtOnce clients at a time: connect, CONNECT, CONNACK, DISCONNECT, the next.
// `users`: each is another one.
double connects_per_second(uint16_t port, const MqttLogin& login, size_t clients, bool users) {
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  const std::byte farewell[2] = {std::byte{0xE0}, std::byte{0}};
  size_t begun = 0;
  const auto begin_one = [&] {
    MqttLogin own = login;
    own.client_id = login.user + "-" + std::to_string(begun++);
    if (users) own.user = own.client_id;
    const int fd = open_mqtt_socket(port);
    send_all(fd, encode_mqtt_connect(own).view());
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  };
  const int64_t begin_ns = now_ns();
  while (begun < std::min(kAtOnce, clients)) begin_one();
  for (size_t done = 0; done < clients;) {
    std::array<epoll_event, kAtOnce> events;
    const int count = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), 10'000);
    if (count <= 0) give_up("clients that connect get no answer");
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      const std::vector<std::byte> answer = receive_mqtt_packet(fd);
      if (answer[0] != std::byte{0x20} || answer[3] != std::byte{0}) give_up("a client that comes back is refused");
      send_all(fd, farewell);
      ::close(fd);
      ++done;
      if (begun < clients) begin_one();
    }
  }
  const double seconds = static_cast<double>(now_ns() - begin_ns) / 1e9;
  ::close(epoll);
  return static_cast<double>(clients) / seconds;
}

Storm storm(uint16_t port, const MqttLogin& login, size_t clients, bool users = false) {
  Bystander bystander(port, login, 0);
  Storm figures;
  figures.per_second = connects_per_second(port, login, clients, users);
  figures.bystander_p99_us = bystander.stop_p99_us();
  return figures;
}

std::vector<double> rates_of(const std::vector<Storm>& storms) {
  std::vector<double> values;
  for (const Storm& one : storms) values.push_back(one.per_second);
  return values;
}

std::vector<double> p99_of(const std::vector<Storm>& storms) {
  std::vector<double> values;
  for (const Storm& one : storms) values.push_back(one.bystander_p99_us);
  return values;
}

// `barred`: the peer does the same work.
void add_storm_rows(const std::string& what, const std::string& peer, const std::vector<Storm>& ours,
                    const std::vector<Storm>& peers, Report& report, bool barred = true) {
  const double speed = median(rates_of(ours)) / median(rates_of(peers));
  const double wait = median(p99_of(ours)) / median(p99_of(peers));
  report.row({what, rate(median(rates_of(ours))), peer + ' ' + rate(median(rates_of(peers))), ratio(speed),
              barred ? ">= 1" : "", !barred || speed >= 1});
  report.row({"a bystander's message, p99", micros(median(p99_of(ours))), "mosquitto " + micros(median(p99_of(peers))),
              ratio(wait), barred ? "<= 2" : "", !barred || wait <= 2});
}

// Only plain connections have a bar.
void add_idle_row(const Scratch& scratch, const std::string& kind_text, Idle kind, size_t clients, Report& report) {
  const Security security = kind == Idle::tls ? Security::tls : Security::none;
  const std::string directory = "idle-" + std::to_string(static_cast<int>(kind));
  double ours = 0;
  {
    const HeptaneBroker broker(scratch.below("mqtt-" + directory), security);
    ours = idle_bytes(broker.pid(), broker.port(), clients, kind);
  }
  const auto peer = MosquittoBroker::start(scratch.below("mosquitto-" + directory), security);
  const double theirs = peer ? idle_bytes(peer->pid(), peer->port(), clients, kind) : 0;
  const auto bytes = [](double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.0f B", value);
    return std::string(text);
  };
  const bool barred = peer != nullptr && kind == Idle::plain;
  report.row({"memory of an idle client with one subscription" + kind_text + ", of " + std::to_string(clients),
              bytes(ours), peer ? "mosquitto " + bytes(theirs) : "-", peer ? ratio(ours / theirs) : "-",
              barred ? "<= 1" : "", !barred || ours <= theirs});
}

}  // namespace

size_t allow_descriptors() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

void add_idle_mqtt(const Scratch& scratch, size_t descriptors, Report& report) {
  const size_t wanted = from_environment("BENCH_MQTT_CLIENTS", 15'000);
  const size_t clients = std::min(wanted, descriptors - std::min(descriptors - 1, kSpareDescriptors));
  if (clients < wanted)
    report.setting("idle", "only " + std::to_string(clients) + " clients: the limit of open files is " +
                               std::to_string(descriptors));
  add_idle_row(scratch, "", Idle::plain, clients, report);
  add_idle_row(scratch, ", its session durable", Idle::durable, clients, report);
  add_idle_row(scratch, " over TLS 1.3", Idle::tls, std::min(clients, kTlsClients), report);
}

void add_reconnect_mqtt(const Scratch& scratch, Report& report) {
  const size_t clients = from_environment("BENCH_MQTT_RECONNECTS", 10'000);
  const uint64_t pairs = from_environment("BENCH_MQTT_PAIRS", 5);
  const auto peer = MosquittoBroker::start(scratch.below("mosquitto-passwords"), Security::passwords);
  if (!peer) return;
  report.setting("reconnects", std::to_string(clients) + " clients of one user, " + std::to_string(kAtOnce) +
                                   " at a time, " + std::to_string(pairs) +
                                   " rounds of each, taking turns; Heptane remembers a password that was right, so "
                                   "it is computed for the first client alone");
  const HeptaneBroker broker(scratch.below("mqtt-passwords"), Security::passwords);
  std::vector<Storm> peers;
  std::vector<Storm> passwords;
  std::vector<Storm> tokens;
  for (uint64_t i = 0; i < pairs; ++i) {
    peers.push_back(storm(peer->port(), peer->user(), clients));
    passwords.push_back(storm(broker.port(), broker.user(), clients));
    tokens.push_back(storm(broker.port(), broker.token(), clients));
  }
  add_storm_rows("reconnects, password", "mosquitto, password file", passwords, peers, report);
  add_storm_rows("reconnects, token", "mosquitto, password file", tokens, peers, report);
}

void add_first_connects_mqtt(const Scratch& scratch, Report& report) {
  constexpr uint32_t kOurIterations = 4096;   // auth.iterations
  constexpr uint32_t kTheirIterations = 101;  // of mosquitto_passwd
  const size_t users = from_environment("BENCH_MQTT_USERS", 4'000);
  const uint64_t rounds = from_environment("BENCH_MQTT_PAIRS", 5);
  const auto as_much =
      MosquittoBroker::start(scratch.below("mosquitto-users"), Security::passwords, 0, {users, kOurIterations});
  const auto as_made =
      MosquittoBroker::start(scratch.below("mosquitto-users-101"), Security::passwords, 0, {users, kTheirIterations});
  if (!as_much || !as_made) return;
  report.setting("first connects", std::to_string(users) + " users connect once, " + std::to_string(kAtOnce) +
                                       " at a time, behind a start of Heptane: every password is computed; " +
                                       std::to_string(rounds) + " rounds of each, taking turns; PBKDF2, Heptane " +
                                       std::to_string(kOurIterations) + " iterations of SHA-256 (SCRAM's least), " +
                                       "mosquitto as many of SHA-512, and as its own tool makes files");
  HeptaneBroker broker(scratch.below("mqtt-users"), Security::passwords);
  broker.make_users(users);
  std::vector<Storm> ours;
  std::vector<Storm> much;
  std::vector<Storm> made;
  for (uint64_t i = 0; i < rounds; ++i) {
    much.push_back(storm(as_much->port(), as_much->user(), users, true));
    made.push_back(storm(as_made->port(), as_made->user(), users, true));
    broker.start_again();
    ours.push_back(storm(broker.port(), broker.user(), users, true));
  }
  add_storm_rows("first connects, password", "mosquitto, 4,096 iterations", ours, much, report);
  add_storm_rows("first connects, password", "mosquitto, 101 iterations", ours, made, report, false);
}

}  // namespace heptane::bench
