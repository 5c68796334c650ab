// Catching up: a stream read from its beginning over Kafka's Fetch when nothing of it is in memory, out of the archive: one
// that was written alone, and some of a thousand that were written interleaved. Beside the disk's own sequential read of
// the same files and what the loopback carries. The client is bench/kafka_wire; the page cache is emptied of the server's
// files by posix_fadvise before every reading.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "bench/benches.h"
#include "bench/heptane_process.h"
#include "bench/kafka_wire.h"
#include "bench/report.h"
#include "kernel/base/assert.h"

namespace heptane::bench {

namespace {

constexpr double kDiskBar = 0.5;
constexpr double kInterleavedBar = 0.5;
constexpr size_t kStreams = 1000;
constexpr size_t kStreamsRead = 64;
constexpr int32_t kFetchBytes = 1 << 20;  // of a partition: what librdkafka and Java's consumer ask for
constexpr size_t kRecordBytes = 1000;
constexpr uint32_t kRecordsTogether = 8;  // 8 KB batches, as producers of many topics make them
constexpr uint64_t kFillerBytes = uint64_t{640} << 20;
constexpr int64_t kArchiveLimitNs = 300'000'000'000;
constexpr size_t kInFlight = 8;

namespace fs = std::filesystem;

std::vector<fs::path> files_of(const std::string& directory) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(directory))
    if (entry.is_regular_file()) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

void empty_page_cache(const std::string& directory) {
  for (const fs::path& path : files_of(directory)) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    (void)::fdatasync(fd);
    (void)::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    ::close(fd);
  }
}

// Bytes a second of `wanted` bytes of these files, one after another.
double read_files(const std::vector<fs::path>& files, uint64_t wanted) {
  std::vector<std::byte> buffer(1 << 20);
  const int64_t begin_ns = now_ns();
  uint64_t done = 0;
  for (const fs::path& path : files) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    (void)::posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    for (uint64_t at = 0; done < wanted;) {
      const ssize_t count = ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(at));
      if (count <= 0) break;
      at += static_cast<uint64_t>(count);
      done += static_cast<uint64_t>(count);
    }
    ::close(fd);
  }
  return static_cast<double>(done) / (static_cast<double>(now_ns() - begin_ns) / 1e9);
}

// Two ends of a TCP connection over the loopback.
std::pair<int, int> tcp_pair() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int one = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  auto* name = reinterpret_cast<sockaddr*>(&address);
  const bool connected = ::bind(listener, name, length) == 0 && ::listen(listener, 1) == 0 &&
                         ::getsockname(listener, name, &length) == 0 && ::connect(one, name, length) == 0;
  const int other = connected ? ::accept(listener, nullptr, nullptr) : -1;
  ::close(listener);
  HEPTANE_ASSERT(other >= 0, "no TCP connection over the loopback");
  return {one, other};
}

// Bytes a second from one thread to another over the loopback.
double loopback(uint64_t bytes) {
  const auto [from, to] = tcp_pair();
  const int64_t begin_ns = now_ns();
  std::thread sender([bytes, from = from] {
    const std::vector<std::byte> buffer(1 << 20);
    for (uint64_t sent = 0; sent < bytes;) {
      const ssize_t count = ::send(from, buffer.data(), buffer.size(), MSG_NOSIGNAL);
      if (count <= 0) break;
      sent += static_cast<uint64_t>(count);
    }
    ::shutdown(from, SHUT_WR);
  });
  std::vector<std::byte> buffer(1 << 20);
  uint64_t got = 0;
  for (ssize_t count = 1; count > 0; got += static_cast<uint64_t>(std::max<ssize_t>(count, 0)))
    count = ::recv(to, buffer.data(), buffer.size(), 0);
  sender.join();
  const double seconds = static_cast<double>(now_ns() - begin_ns) / 1e9;
  ::close(from);
  ::close(to);
  return static_cast<double>(got) / seconds;
}

std::string name_of(size_t stream) { return "shared-" + std::to_string(stream); }

void write_stream(KafkaWire& client, const std::string& name, uint64_t bytes) {
  client.create({name});
  const std::vector<std::byte> batch = make_record_batch(64, kRecordBytes);
  for (uint64_t written = 0; written < bytes; written += batch.size()) {
    if (client.in_flight() == kInFlight) client.take_produced();
    client.send_produce({name}, batch);
  }
  while (client.in_flight() > 0) client.take_produced();
}

void write_interleaved(KafkaWire& client, uint64_t bytes) {
  constexpr size_t kTopicsTogether = 100;
  std::vector<std::vector<std::string>> groups;
  for (size_t i = 0; i < kStreams; ++i) {
    if (i % kTopicsTogether == 0) groups.emplace_back();
    groups.back().push_back(name_of(i));
  }
  for (const auto& group : groups) client.create(group);
  const std::vector<std::byte> batch = make_record_batch(kRecordsTogether, kRecordBytes);
  for (uint64_t written = 0; written < bytes;) {
    for (const auto& group : groups) {
      if (client.in_flight() == kInFlight) client.take_produced();
      client.send_produce(group, batch);
      written += batch.size() * group.size();
    }
  }
  while (client.in_flight() > 0) client.take_produced();
}

// Number of the oldest, or of the newest, log segment.
uint32_t segment_number(const std::string& data, bool newest) {
  std::vector<uint32_t> numbers;
  for (const auto& entry : fs::directory_iterator(data + "/shard-0/log")) {
    const std::string name = entry.path().filename().string();
    uint32_t number = 0;
    if (name.ends_with(".seg") && std::from_chars(name.data(), name.data() + name.size(), number).ec == std::errc())
      numbers.push_back(number);
  }
  if (numbers.empty()) return 0;
  const auto [low, high] = std::minmax_element(numbers.begin(), numbers.end());
  return newest ? *high : *low;
}

double read_interleaved(KafkaWire& client, uint64_t& bytes) {
  double seconds = 0;
  bytes = 0;
  for (size_t i = 0; i < kStreamsRead; ++i) {
    const KafkaWire::Read read = client.read_all(name_of(i * kStreams / kStreamsRead), kFetchBytes);
    bytes += read.bytes;
    seconds += read.seconds;
  }
  return static_cast<double>(bytes) / seconds;
}

double read_alone(KafkaWire& client) {
  const KafkaWire::Read read = client.read_all("alone", kFetchBytes);
  return static_cast<double>(read.bytes) / read.seconds;
}

struct Measured {
  std::vector<double> disk, net, alone, interleaved, log_interleaved;
  double alone_warm = 0;
  double interleaved_warm = 0;
  uint64_t interleaved_bytes = 0;
};

// Writes it all, and has it moved out of the log: recovery needs what lies behind the older of two snapshots, and each
// clean stop takes one.
void prepare(const std::string& directory, uint64_t bytes, Measured& measured, uint64_t rounds) {
  const std::string data = directory + "/data";
  uint32_t last = 0;
  {
    HeptaneProcess server(directory);
    KafkaWire client(server.kafka());
    write_interleaved(client, bytes);
    // Before it is archived, out of the interleaved log.
    for (uint64_t round = 0; round < rounds; ++round) {
      empty_page_cache(data);
      const KafkaWire::Read read = client.read_all(name_of(7 + round), kFetchBytes);
      measured.log_interleaved.push_back(static_cast<double>(read.bytes) / read.seconds);
    }
    write_stream(client, "alone", bytes);
    last = segment_number(data, true);
    write_stream(client, "filler", kFillerBytes);
  }
  { HeptaneProcess server(directory); }
  HeptaneProcess server(directory);
  const int64_t end_ns = now_ns() + kArchiveLimitNs;
  while (segment_number(data, false) < last) {
    if (now_ns() > end_ns) {
      std::fprintf(stderr, "bench: the log was not archived within five minutes\n");
      std::exit(1);
    }
    ::usleep(20'000);
  }
}

std::string megabytes(double per_second) {
  char text[32];
  std::snprintf(text, sizeof text, "%.0f MB/s", per_second / 1e6);
  return text;
}

}  // namespace

bool bench_catchup(const Scratch& scratch) {
  const uint64_t bytes = from_environment("BENCH_CATCHUP_BYTES", uint64_t{1} << 30);
  const uint64_t rounds = from_environment("BENCH_CATCHUP_ROUNDS", 3);
  const std::string directory = scratch.below("catchup");
  const std::string data = directory + "/data";
  Measured measured;
  prepare(directory, bytes, measured, rounds);

  HeptaneProcess server(directory);
  KafkaWire client(server.kafka());
  const std::vector<fs::path> archive = files_of(data + "/shard-0/archive");
  for (uint64_t round = 0; round < rounds; ++round) {
    empty_page_cache(data);
    measured.disk.push_back(read_files(archive, bytes));
    measured.net.push_back(loopback(bytes));
    empty_page_cache(data);
    measured.alone.push_back(read_alone(client));
    empty_page_cache(data);
    measured.interleaved.push_back(read_interleaved(client, measured.interleaved_bytes));
  }
  (void)read_alone(client);
  measured.alone_warm = read_alone(client);
  measured.interleaved_warm = read_interleaved(client, measured.interleaved_bytes);

  Report report("catchup");
  report.setting("data", bytes_text(bytes) + " in one stream, " + bytes_text(bytes) + " in " +
                             std::to_string(kStreams) + " interleaved ones, records of " +
                             std::to_string(kRecordBytes) + " B; all moved to the archive by default settings");
  report.setting("client", "a raw Kafka Fetch client (bench/kafka_wire), " + bytes_text(kFetchBytes) +
                               " a request, one at a time; " + std::to_string(kStreamsRead) +
                               " of the interleaved streams, one after another");
  report.setting("cold", "fdatasync and posix_fadvise(DONTNEED) of all files of the server before each reading; " +
                             std::to_string(rounds) + " rounds in turn, medians");
  const double disk = median(measured.disk);
  const double net = median(measured.net);
  const double limit = std::min(disk, net);
  const double alone = median(measured.alone);
  const double interleaved = median(measured.interleaved);
  report.row({"one stream alone, cold", megabytes(alone), (disk <= net ? "disk " : "loopback ") + megabytes(limit),
              ratio(alone / limit), ">= 0.50", alone >= kDiskBar * limit});
  report.row({"of 1,000 interleaved, cold (" + bytes_text(measured.interleaved_bytes) + " of them)",
              megabytes(interleaved), "alone " + megabytes(alone), ratio(interleaved / alone), ">= 0.50",
              interleaved >= kInterleavedBar * alone});
  report.row({"one stream alone, in the page cache", megabytes(measured.alone_warm), "loopback " + megabytes(net),
              ratio(measured.alone_warm / net), "", true});
  report.row({"of 1,000 interleaved, in the page cache", megabytes(measured.interleaved_warm), "-", "-", "", true});
  report.row({"one of 1,000 interleaved, cold, before it is archived", megabytes(median(measured.log_interleaved)),
              "alone " + megabytes(alone), ratio(median(measured.log_interleaved) / alone), "", true});
  return report.print();
}

}  // namespace heptane::bench
