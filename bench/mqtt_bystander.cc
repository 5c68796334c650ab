#include "bench/mqtt_bystander.h"

#include <unistd.h>

#include "bench/report.h"

namespace heptane::bench {

namespace {

constexpr const char* kTopic = "bench/bystander";
constexpr useconds_t kPauseUs = 1000;

}  // namespace

Bystander::Bystander(uint16_t port, MqttLogin login, uint8_t qos) : qos_(qos) {
  login.client_id = login.user + "-bystander";  // an identifier belongs to its user
  fd_ = connect_mqtt(port, login);
  if (qos == 0) subscribe_mqtt(fd_, kTopic, 0);
  thread_ = std::thread([this] { run(); });
}

Bystander::~Bystander() {
  ended_ = true;
  if (thread_.joinable()) thread_.join();
  ::close(fd_);
}

double Bystander::stop_p99_us() {
  ended_ = true;
  thread_.join();
  return quantile(latencies_us_, 0.99);
}

void Bystander::run() {
  const ByteWriter message = encode_mqtt_publish(kTopic, qos_, 1, as_bytes("here"));
  while (!ended_) {
    const int64_t begin_ns = now_ns();
    send_all(fd_, message.view());
    receive_mqtt_packet(fd_);
    latencies_us_.push_back(static_cast<double>(now_ns() - begin_ns) / 1e3);
    ::usleep(kPauseUs);
  }
}

}  // namespace heptane::bench
