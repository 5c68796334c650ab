#include "bench/mqtt_retained.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "bench/mqtt_brokers.h"
#include "bench/mqtt_bystander.h"
#include "bench/mqtt_wire.h"

namespace heptane::bench {

namespace {

constexpr size_t kBurst = 500;
constexpr size_t kReadBytes = 256 << 10;
constexpr useconds_t kAloneUs = 2'000'000;
constexpr double kBarUs = 5'000;

void retain(uint16_t port, size_t count) {
  const int fd = connect_mqtt(port, {"retainer", {}, {}});
  ByteWriter burst;
  for (size_t sent = 0; sent < count;) {
    burst.clear();
    size_t size = 0;
    for (; size < kBurst && sent < count; ++size, ++sent) {
      const std::string topic = "plant/" + std::to_string(sent % 1000) + "/sensor/" + std::to_string(sent / 1000);
      burst.append(
          encode_mqtt_publish(topic, 1, static_cast<uint16_t>(1 + size), as_bytes("21.5 degrees"), true).view());
    }
    publish_burst_mqtt(fd, burst, size);
  }
  ::close(fd);
}

// Subscribes and reads until as many messages have come.
double subscribe_to_all(uint16_t port, size_t count) {
  const int fd = connect_mqtt(port, {"reader-of-all", {}, {}});
  const int64_t begin_ns = now_ns();
  send_all(fd, encode_mqtt_subscribe("#", 0).view());
  const auto buffer = std::make_unique<std::byte[]>(kReadBytes);
  size_t held = 0;
  size_t messages = 0;
  while (messages < count) {
    const ssize_t got = ::recv(fd, buffer.get() + held, kReadBytes - held, 0);
    if (got <= 0) {
      std::fprintf(stderr, "bench: the reader of %zu retained messages is closed after %zu\n", count, messages);
      std::exit(1);
    }
    Bytes bytes(buffer.get(), held + static_cast<size_t>(got));
    for (size_t size = 0; (size = mqtt_packet_bytes(bytes)) > 0; bytes = bytes.subspan(size))
      if ((static_cast<uint8_t>(bytes[0]) & 0xF1) == 0x31) ++messages;  // retained, unlike the bystander's
    std::copy(bytes.begin(), bytes.end(), buffer.get());
    held = bytes.size();
  }
  ::close(fd);
  return static_cast<double>(count) * 1e9 / static_cast<double>(now_ns() - begin_ns);
}

struct Side {
  double alone_p99_us = 0;
  double beside_p99_us = 0;
  double per_second = 0;
};

Side measure(uint16_t port, size_t count) {
  retain(port, count);
  Side side;
  {
    Bystander bystander(port, {}, 1);
    ::usleep(kAloneUs);
    side.alone_p99_us = bystander.stop_p99_us();
  }
  Bystander bystander(port, {}, 1);
  side.per_second = subscribe_to_all(port, count);
  side.beside_p99_us = bystander.stop_p99_us();
  return side;
}

}  // namespace

void add_retained_mqtt(const Scratch& scratch, Report& report) {
  const size_t count = from_environment("BENCH_MQTT_RETAINED", 1'000'000);
  Side ours;
  {
    const HeptaneBroker broker(scratch.below("mqtt-retained"), Security::none);
    ours = measure(broker.port(), count);
  }
  const auto peer = MosquittoBroker::start(scratch.below("mosquitto-retained"), Security::none);
  const Side theirs = peer ? measure(peer->port(), count) : Side{};
  const auto waits = [](const Side& side) {
    return micros(side.beside_p99_us) + ", alone " + micros(side.alone_p99_us);
  };
  const double more_us = ours.beside_p99_us - ours.alone_p99_us;
  report.row({"a bystander's PUBACK (ours synced), p99, while # brings " + std::to_string(count) + " retained messages",
              waits(ours), peer ? "mosquitto " + waits(theirs) : "-", "+" + micros(more_us), "<= +5 ms",
              more_us <= kBarUs});
  report.row({"retained messages to that subscriber", rate(ours.per_second),
              peer ? "mosquitto " + rate(theirs.per_second) : "-",
              peer ? ratio(ours.per_second / theirs.per_second) : "-", "", true});
}

}  // namespace heptane::bench
