// What Heptane costs while nothing happens: start to ready, memory of the idle server beside Redis, memory of an idle
// connection beside NATS. A connection counts when it has said who it is and was answered once: ApiVersions on the Kafka
// listener; INFO, CONNECT, PING and PONG with NATS.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/benches.h"
#include "bench/heptane_process.h"
#include "bench/peer_process.h"
#include "bench/report.h"

namespace heptane::bench {

namespace {

constexpr uint64_t kOverRedisBytes = uint64_t{10} << 20;
constexpr double kReadyBarMs = 200;
constexpr useconds_t kQuietUs = 2'000'000;
constexpr int kStarts = 5;
// Length, ApiVersions (18), version 0, correlation 1, no client id.
constexpr std::string_view kApiVersions("\0\0\0\x0a\0\x12\0\0\0\0\0\x01\xff\xff", 14);

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "bench: %s\n", why.c_str());
  std::exit(1);
}

class Connections {
 public:
  explicit Connections(uint16_t port) : port_(port) {}
  ~Connections() {
    for (const int fd : sockets_) ::close(fd);
  }
  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;

  int open() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      give_up("connection " + std::to_string(sockets_.size()) + " cannot be made");
    sockets_.push_back(fd);
    return fd;
  }

 private:
  uint16_t port_;
  std::vector<int> sockets_;
};

void send_all(int fd, std::string_view text) {
  if (::send(fd, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size())) give_up("cannot send");
}

std::string receive(int fd, size_t size) {
  std::string text(size, '\0');
  if (::recv(fd, text.data(), size, MSG_WAITALL) != static_cast<ssize_t>(size))
    give_up("the server closed a connection");
  return text;
}

void receive_line(int fd, std::string_view begins) {
  std::string line;
  while (line.empty() || line.back() != '\n') line += receive(fd, 1);
  if (!std::string_view(line).starts_with(begins)) give_up("unexpected: " + line);
}

void greet_kafka(int fd) {
  send_all(fd, kApiVersions);
  const std::string head = receive(fd, 4);
  uint32_t size = 0;
  for (const char byte : head) size = size << 8 | static_cast<unsigned char>(byte);
  receive(fd, size);
}

void greet_nats(int fd) {
  receive_line(fd, "INFO");
  send_all(fd, "CONNECT {\"verbose\":false}\r\nPING\r\n");
  receive_line(fd, "PONG");
}

struct Memory {
  uint64_t idle_bytes = 0;
  double per_connection = 0;
};

Memory measure(pid_t pid, uint16_t port, size_t connections, void (*greet)(int)) {
  ::usleep(kQuietUs);
  Memory memory;
  memory.idle_bytes = resident_bytes(pid);
  Connections opened(port);
  for (size_t i = 0; i < connections; ++i) greet(opened.open());
  ::usleep(kQuietUs);
  const uint64_t with = resident_bytes(pid);
  memory.per_connection = static_cast<double>(with - memory.idle_bytes) / static_cast<double>(connections);
  return memory;
}

uint16_t port_of(const std::string& address) {
  return static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
}

std::optional<uint64_t> redis_idle_bytes(const Scratch& scratch) {
  const std::string program = find_program("redis-server");
  if (program.empty()) return {};
  const uint16_t port = free_port();
  const std::string directory = scratch.below("redis");
  const PeerProcess redis(directory,
                          {program, "--port", std::to_string(port), "--bind", "127.0.0.1", "--dir", directory, "--save",
                           "", "--appendonly", "yes", "--appendfsync", "always"},
                          port);
  ::usleep(kQuietUs);
  return resident_bytes(redis.pid());
}

std::optional<Memory> nats_memory(const Scratch& scratch, size_t connections) {
  const std::string program = find_program("nats-server");
  if (program.empty()) return {};
  const uint16_t port = free_port();
  const PeerProcess nats(scratch.below("nats"), {program, "-a", "127.0.0.1", "-p", std::to_string(port)}, port);
  return measure(nats.pid(), port, connections, greet_nats);
}

double median_start_ms(const Scratch& scratch) {
  std::vector<double> milliseconds;
  for (int i = 0; i < kStarts; ++i) {
    const int64_t begin_ns = now_ns();
    const HeptaneProcess server(scratch.below("start" + std::to_string(i)));
    milliseconds.push_back(static_cast<double>(now_ns() - begin_ns) / 1e6);
  }
  return median(milliseconds);
}

size_t allow_descriptors(size_t wanted) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  return std::min<size_t>(wanted, limit.rlim_max - 300);
}

std::string bytes_each(double bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.0f B", bytes);
  return text;
}

std::string megabytes(uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MiB", static_cast<double>(bytes) / (1 << 20));
  return text;
}

}  // namespace

bool bench_idle(const Scratch& scratch) {
  const size_t connections = allow_descriptors(from_environment("BENCH_CONNECTIONS", 10'000));
  const double start_ms = median_start_ms(scratch);
  Memory ours;
  {
    const HeptaneProcess server(scratch.below("idle"));
    ours = measure(server.pid(), port_of(server.kafka()), connections, greet_kafka);
  }
  const std::optional<uint64_t> redis = redis_idle_bytes(scratch);
  const std::optional<Memory> nats = nats_memory(scratch, connections);

  Report report("idle");
  report.setting("Heptane", "as `heptane serve` starts it, all listeners, an empty data directory");
  report.setting("Redis", redis ? "appendonly yes, appendfsync always, no data" : "not installed");
  report.setting("NATS", nats ? "no JetStream, no logging of debug" : "not installed");
  report.setting("connections",
                 std::to_string(connections) + ", each answered once (ApiVersions; PONG), then silent; VmRSS");
  char start_text[32];
  std::snprintf(start_text, sizeof start_text, "%.0f ms", start_ms);
  report.row({"start to ready, median of 5", start_text, "-", "-", "<= 200 ms", start_ms <= kReadyBarMs});
  report.row({"memory of the idle server", megabytes(ours.idle_bytes), redis ? "Redis " + megabytes(*redis) : "-",
              redis ? ratio(static_cast<double>(ours.idle_bytes) / static_cast<double>(*redis)) : "-",
              redis ? "<= Redis + 10 MiB" : "", !redis || ours.idle_bytes <= *redis + kOverRedisBytes});
  report.row({"memory of an idle connection", bytes_each(ours.per_connection),
              nats ? "NATS " + bytes_each(nats->per_connection) : "-",
              nats ? ratio(ours.per_connection / nats->per_connection) : "-", nats ? "<= NATS" : "",
              !nats || ours.per_connection <= nats->per_connection});
  return report.print();
}

}  // namespace heptane::bench
