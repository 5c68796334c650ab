// Line protocol over HTTP, synced before it is acknowledged, beside influxdb with wal-fsync-delay 0: requests of 5,000 lines over a few
// connections, each of which waits for its answer. They go in pairs, whose order alternates; the ratio is of pairs. A query at the end of
// each round says that all lines are there: its time, in which a projection catches up, counts as well.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/benches.h"
#include "bench/heptane_process.h"
#include "bench/peer_process.h"
#include "bench/report.h"

namespace heptane::bench {

namespace {

constexpr double kRatioBar = 3.0;
constexpr uint64_t kLinesOfRequest = 5'000;
constexpr uint64_t kConnections = 4;
constexpr uint64_t kHosts = 1'000;
constexpr int64_t kFirstTime = 1'700'000'000'000'000'000;
constexpr int64_t kStepNs = 1'000'000;

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "bench: series: %s\n", why.c_str());
  std::exit(1);
}

// One keep-alive connection, one request at a time.
class HttpWire {
 public:
  explicit HttpWire(uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) give_up("cannot connect");
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  ~HttpWire() { ::close(fd_); }
  HttpWire(const HttpWire&) = delete;
  HttpWire& operator=(const HttpWire&) = delete;

  // The answer, whole; another status than `expected` ends the bench.
  std::string post(const std::string& target, const std::string& body, const char* expected) {
    std::string request = "POST " + target + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: ";
    request.append(std::to_string(body.size())).append("\r\n\r\n").append(body);
    for (size_t sent = 0; sent < request.size();) {
      const ssize_t count = ::send(fd_, request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
      if (count <= 0) give_up("cannot send");
      sent += static_cast<size_t>(count);
    }
    std::string answer = receive();
    if (answer.find(expected) != std::string("HTTP/1.1 ").size()) give_up("answered: " + answer);
    return answer;
  }

 private:
  // Small answers: with a length, in chunks, or without a body.
  std::string receive() {
    std::string answer;
    while (!is_whole(answer)) {
      char bytes[4'096];
      const ssize_t count = ::recv(fd_, bytes, sizeof bytes, 0);
      if (count <= 0) give_up("the connection ended: " + answer);
      answer.append(bytes, static_cast<size_t>(count));
    }
    return answer;
  }
  static bool is_whole(const std::string& answer) {
    const size_t head = answer.find("\r\n\r\n");
    if (head == std::string::npos) return false;
    if (answer.find("chunked") < head) return answer.ends_with("0\r\n\r\n");
    const size_t length = answer.find("Content-Length: ");
    if (length > head) return true;
    return answer.size() >= head + 4 + std::strtoull(answer.c_str() + length + 16, nullptr, 10);
  }

  int fd_;
};

// Lines of one request: hosts in turn, two fields, times that go on.
std::string lines_of(uint64_t first) {
  std::string body;
  for (uint64_t i = first; i < first + kLinesOfRequest; ++i) {
    body += "cpu,host=server-" + std::to_string(i % kHosts) + ",region=eu-west idle=" + std::to_string(i % 1'000) +
            ".25,busy=" + std::to_string(i % 97) + "i " +
            std::to_string(kFirstTime + static_cast<int64_t>(i) * kStepNs) + '\n';
  }
  return body;
}

// One side's rounds.
struct Side {
  uint16_t port = 0;
  pid_t pid = 0;
  std::vector<double> rates{};  // lines a second
  std::vector<double> cpu{};    // of the server, microseconds for one
  std::vector<double> load{};   // of the load, the same: requests are made before they are sent
};

// From the first line that is sent until a query sees all of them.
void write_all(Side& side, const std::string& database, uint64_t requests) {
  const uint16_t port = side.port;
  HttpWire(port).post("/query?q=CREATE+DATABASE+" + database, "", "200");
  std::vector<std::vector<std::string>> bodies(kConnections);
  for (uint64_t i = 0; i < requests; ++i) bodies[i % kConnections].push_back(lines_of(i * kLinesOfRequest));
  std::vector<std::thread> writers;
  const double cpu_before = cpu_seconds(side.pid);
  const double own_before = own_cpu_seconds();
  const int64_t begin_ns = now_ns();
  for (const std::vector<std::string>& own : bodies)
    writers.emplace_back([&own, port, &database] {
      HttpWire wire(port);
      for (const std::string& body : own) wire.post("/write?db=" + database, body, "204");
    });
  for (std::thread& writer : writers) writer.join();
  const std::string all = "," + std::to_string(requests * kLinesOfRequest) + "]";
  HttpWire wire(port);
  while (wire.post("/query?db=" + database + "&epoch=ns&q=SELECT+count(busy)+FROM+cpu", "", "200").find(all) ==
         std::string::npos) {
  }
  const double seconds = static_cast<double>(now_ns() - begin_ns) / 1e9;
  const auto lines = static_cast<double>(requests * kLinesOfRequest);
  side.rates.push_back(lines / seconds);
  side.cpu.push_back((cpu_seconds(side.pid) - cpu_before) * 1e6 / lines);
  side.load.push_back((own_cpu_seconds() - own_before) * 1e6 / lines);
}

// Synced before it answers; null: it is not installed.
std::unique_ptr<PeerProcess> start_influx(const std::string& directory, uint16_t port) {
  const std::string program = find_program("influxd");
  if (program.empty()) return nullptr;
  std::filesystem::create_directories(directory);
  const std::string absolute = std::filesystem::absolute(directory);
  std::ofstream(absolute + "/influxdb.conf")
      << "reporting-disabled = true\nbind-address = \"127.0.0.1:" << free_port() << "\"\n[meta]\ndir = \"" << absolute
      << "/meta\"\n[data]\ndir = \"" << absolute << "/data\"\nwal-dir = \"" << absolute
      << "/wal\"\nwal-fsync-delay = \"0s\"\n[monitor]\nstore-enabled = false\n[http]\nbind-address = \"127.0.0.1:"
      << port << "\"\nlog-enabled = false\n";
  return std::make_unique<PeerProcess>(absolute,
                                       std::vector<std::string>{program, "-config", absolute + "/influxdb.conf"}, port);
}

uint16_t port_of(const std::string& endpoint) {
  return static_cast<uint16_t>(std::stoul(endpoint.substr(endpoint.rfind(':') + 1)));
}

std::string lines_a_second(double value) { return rate(value, " lines"); }

std::string cost(const Side& side) {
  char text[96];
  std::snprintf(text, sizeof text, "%.2f us, the load %.2f us", median(side.cpu), median(side.load));
  return text;
}

}  // namespace

bool bench_series(const Scratch& scratch) {
  const uint64_t requests = from_environment("BENCH_SERIES_REQUESTS", 200);
  const uint64_t pairs = from_environment("BENCH_SERIES_ROUNDS", 5);
  Report report("series");
  report.setting("each round", std::to_string(requests) +
                                   " requests of 5,000 lines of two fields, 1,000 series, 4 connections, each with one "
                                   "request on its way, until a query sees all; " +
                                   std::to_string(pairs) + " pairs, whose order alternates; medians (least to most)");
  report.setting("Heptane", "204 when it is synced");
  HeptaneProcess server(scratch.below("series"));
  Side ours{.port = port_of(server.endpoint("series")), .pid = server.pid()};
  const uint16_t influx_port = free_port();
  const auto influx = start_influx(scratch.below("series-influx"), influx_port);
  Side peer{.port = influx_port, .pid = influx ? influx->pid() : 0};
  report.setting("influxdb",
                 influx ? "wal-fsync-delay 0: synced before it answers" : "not installed: make bench installs it");
  std::vector<double> ratios;
  for (uint64_t pair = 0; pair < pairs; ++pair) {
    const std::string database = "round" + std::to_string(pair);
    if (influx && pair % 2 == 0) write_all(peer, database, requests);
    write_all(ours, database, requests);
    if (influx && pair % 2 == 1) write_all(peer, database, requests);
    if (influx) ratios.push_back(ours.rates.back() / peer.rates.back());
  }
  if (!influx) {
    report.row({"line protocol, synced", spread(ours.rates, lines_a_second), "", "", "", true});
    return report.print();
  }
  report.row({"line protocol, synced", spread(ours.rates, lines_a_second),
              "influxdb " + spread(peer.rates, lines_a_second), spread(ratios, ratio), ">= 3.00",
              median(ratios) >= kRatioBar});
  report.row({"server CPU for a line", cost(ours), "influxdb " + cost(peer), ratio(median(ours.cpu) / median(peer.cpu)),
              "", true});
  return report.print();
}

}  // namespace heptane::bench
