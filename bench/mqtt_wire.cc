#include "bench/mqtt_wire.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "bench/report.h"

namespace heptane::bench {

namespace {

constexpr size_t kReadBytes = 256 << 10;
constexpr size_t kUnfinishedBytesMax = 64 << 10;
constexpr int64_t kStallNs = 10'000'000'000;
constexpr uint8_t kConnack = 0x20;
constexpr uint8_t kPublish = 0x30;
constexpr uint8_t kPuback = 0x40;
constexpr uint8_t kSuback = 0x90;

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "bench: %s\n", why.c_str());
  std::exit(1);
}

void put_text(ByteWriter& out, const std::string& text) {
  out.be<uint16_t>(static_cast<uint16_t>(text.size()));
  out.append(text);
}

ByteWriter packet(uint8_t first, const ByteWriter& body) {
  ByteWriter out;
  out.u8(first);
  out.varint(body.size());  // MQTT's lengths are LEB128
  out.append(body.view());
  return out;
}

uint8_t type_of(Bytes packet) { return static_cast<uint8_t>(packet[0]) & 0xF0; }

// Where the variable header begins.
size_t header_bytes(Bytes packet) {
  size_t at = 1;
  while ((static_cast<uint8_t>(packet[at]) & 0x80) != 0) ++at;
  return at + 1;
}

std::string topic_of(const std::string& root, size_t publisher) { return root + "/" + std::to_string(publisher); }

}  // namespace

ByteWriter encode_mqtt_connect(const MqttLogin& login) {
  ByteWriter body;
  put_text(body, "MQTT");
  body.u8(4);
  body.u8(static_cast<uint8_t>((login.durable ? 0 : 2) | (login.user.empty() ? 0 : 0xC0)));
  body.be<uint16_t>(kMqttKeepAliveSeconds);
  put_text(body, login.client_id);
  if (!login.user.empty()) {
    put_text(body, login.user);
    put_text(body, login.password);
  }
  return packet(0x10, body);
}

ByteWriter encode_mqtt_publish(const std::string& topic, uint8_t qos, uint16_t id, Bytes payload, bool retain) {
  ByteWriter body;
  put_text(body, topic);
  if (qos > 0) body.be<uint16_t>(id);
  body.append(payload);
  return packet(static_cast<uint8_t>(kPublish | qos << 1 | (retain ? 1 : 0)), body);
}

size_t mqtt_publish_id_at(Bytes packet) {
  const size_t at = header_bytes(packet);
  return at + 2 + (static_cast<size_t>(packet[at]) << 8 | static_cast<size_t>(packet[at + 1]));
}

size_t mqtt_packet_bytes(Bytes input) {
  size_t length = 0;
  for (size_t at = 1, shift = 0; at < input.size() && at < 5; ++at, shift += 7) {
    const auto byte = static_cast<uint8_t>(input[at]);
    length |= static_cast<size_t>(byte & 0x7F) << shift;
    if ((byte & 0x80) == 0) return at + 1 + length <= input.size() ? at + 1 + length : 0;
  }
  return 0;
}

int open_mqtt_socket(uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    give_up("a connection to the broker cannot be made");
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

void send_all(int fd, Bytes bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0) give_up("the broker has closed a connection");
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
}

std::vector<std::byte> receive_mqtt_packet(int fd) {
  std::vector<std::byte> got;
  while (mqtt_packet_bytes(got) == 0) {
    std::byte piece[1024];
    const ssize_t count = ::recv(fd, piece, sizeof piece, 0);
    if (count <= 0) give_up("the broker has closed a connection");
    got.insert(got.end(), piece, piece + count);
  }
  if (mqtt_packet_bytes(got) != got.size()) give_up("the broker sends more than was asked for");
  return got;
}

int connect_mqtt(uint16_t port, const MqttLogin& login) {
  const int fd = open_mqtt_socket(port);
  send_all(fd, encode_mqtt_connect(login).view());
  const std::vector<std::byte> answer = receive_mqtt_packet(fd);
  if (type_of(answer) != kConnack || answer[3] != std::byte{0})
    give_up("the broker refuses a client with code " + std::to_string(static_cast<int>(answer[3])));
  return fd;
}

ByteWriter encode_mqtt_subscribe(const std::string& filter, uint8_t qos) {
  ByteWriter body;
  body.be<uint16_t>(1);
  put_text(body, filter);
  body.u8(qos);
  return packet(0x82, body);
}

void subscribe_mqtt(int fd, const std::string& filter, uint8_t qos) {
  send_all(fd, encode_mqtt_subscribe(filter, qos).view());
  const std::vector<std::byte> answer = receive_mqtt_packet(fd);
  if (type_of(answer) != kSuback || answer[4] != std::byte{qos}) give_up("the broker refuses a subscription");
}

void publish_burst_mqtt(int fd, const ByteWriter& burst, size_t count) {
  constexpr size_t kAckBytes = 4;
  send_all(fd, burst.view());
  std::vector<std::byte> acks(count * kAckBytes);
  if (::recv(fd, acks.data(), acks.size(), MSG_WAITALL) != static_cast<ssize_t>(acks.size()))
    give_up("a publisher's messages are not acknowledged");
}

MqttLoad::MqttLoad(uint16_t port, const MqttShape& shape)
    : shape_(shape),
      copies_(shape.spread == MqttShape::Spread::all ? shape.subscribers : 1),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      publishers_(shape.publishers),
      subscribers_(shape.subscribers),
      buffer_(std::make_unique_for_overwrite<std::byte[]>(kReadBytes + kUnfinishedBytesMax)) {
  for (size_t i = 0; i < subscribers_.size(); ++i) add_subscriber(port, i);
  for (size_t i = 0; i < publishers_.size(); ++i) add_publisher(port, i);
}

MqttLoad::~MqttLoad() {
  for (const Publisher& publisher : publishers_) ::close(publisher.fd);
  for (const Connection& subscriber : subscribers_) ::close(subscriber.fd);
  ::close(epoll_);
}

// Edge-triggered: a socket is read until it has no more.
void MqttLoad::watch(int fd, size_t number) const {
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLET;
  event.data.u64 = number;
  ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
}

void MqttLoad::add_publisher(uint16_t port, size_t index) {
  Publisher& publisher = publishers_[index];
  publisher.fd = connect_mqtt(port, {"bench-p" + std::to_string(index), {}, {}});
  ByteWriter payload;
  payload.append(shape_.payload);
  if (shape_.payload.empty()) {
    payload.be<uint32_t>(static_cast<uint32_t>(index));
    payload.zeros(shape_.payload_bytes - payload.size());
  }
  for (size_t slot = 0; slot < shape_.in_flight; ++slot) {
    const ByteWriter one =
        encode_mqtt_publish(topic_of(shape_.said, index), shape_.qos, static_cast<uint16_t>(slot + 1), payload.view());
    publisher.ring.insert(publisher.ring.end(), one.view().begin(), one.view().end());
  }
  publisher.sent_ns.resize(shape_.in_flight);
  watch(publisher.fd, index);
}

void MqttLoad::add_subscriber(uint16_t port, size_t index) {
  Connection& subscriber = subscribers_[index];
  subscriber.fd = connect_mqtt(port, {"bench-s" + std::to_string(index), {}, {}});
  std::string filter = topic_of(shape_.heard, shape_.spread == MqttShape::Spread::pairs ? index : 0);
  if (shape_.spread == MqttShape::Spread::shared) filter = "$share/bench/bench/+";
  subscribe_mqtt(subscriber.fd, filter, shape_.qos);
  watch(subscriber.fd, publishers_.size() + index);
}

uint64_t MqttLoad::completed_of(const Publisher& publisher) const {
  const uint64_t arrived = publisher.arrived / copies_;
  return shape_.qos == 0 ? arrived : std::min(arrived, publisher.acknowledged);
}

uint64_t MqttLoad::completed() const {
  uint64_t sum = 0;
  for (const Publisher& publisher : publishers_) sum += completed_of(publisher);
  return sum;
}

bool MqttLoad::idle() const {
  return std::all_of(publishers_.begin(), publishers_.end(),
                     [this](const Publisher& publisher) { return completed_of(publisher) == publisher.sent; });
}

void MqttLoad::touch(Publisher& publisher) {
  if (!std::exchange(publisher.touched, true)) touched_.push_back(&publisher);
}

void MqttLoad::run(int64_t duration_ns) {
  now_ns_ = progress_ns_ = now_ns();
  const int64_t end_ns = now_ns_ + duration_ns;
  for (Publisher& publisher : publishers_) top_up(publisher);
  while (now_ns_ < end_ns) turn(true);
}

void MqttLoad::drain() {
  while (!idle()) turn(false);
}

void MqttLoad::turn(bool publishing) {
  std::array<epoll_event, 256> events;
  const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 100);
  now_ns_ = now_ns();
  if (now_ns_ - progress_ns_ > kStallNs) give_up(std::string(shape_.name) + ": messages were lost");
  for (int i = 0; i < count; ++i) {
    const uint64_t number = events[static_cast<size_t>(i)].data.u64;
    if (number < publishers_.size()) {
      Publisher& publisher = publishers_[number];
      receive(publisher, [&](Bytes packet) { take_answer(publisher, packet); });
      flush(publisher);
    } else {
      Connection& subscriber = subscribers_[number - publishers_.size()];
      receive(subscriber, [&](Bytes packet) { take_message(subscriber, packet); });
      send_acks(subscriber);
    }
  }
  for (Publisher* publisher : touched_) {
    publisher->touched = false;
    if (publishing) top_up(*publisher);
  }
  touched_.clear();
}

void MqttLoad::top_up(Publisher& publisher) {
  const uint64_t open = publisher.sent - completed_of(publisher);
  if (open >= shape_.in_flight || (shape_.bursts && open > 0)) return;
  for (uint64_t left = shape_.in_flight - open; left > 0; --left)
    publisher.sent_ns[publisher.sent++ % shape_.in_flight] = now_ns_;
  flush(publisher);
}

// The packets lie in the order in which they are sent, so there is nothing to copy.
void MqttLoad::flush(Publisher& publisher) const {
  const size_t ring = publisher.ring.size();
  const size_t packet = ring / shape_.in_flight;
  for (;;) {
    const uint64_t left = publisher.sent * packet - publisher.bytes_sent;
    if (left == 0) return;
    const size_t at = publisher.bytes_sent % ring;
    const size_t first = std::min<size_t>(left, ring - at);
    iovec parts[2] = {{publisher.ring.data() + at, first}, {publisher.ring.data(), left - first}};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = left > first ? 2 : 1;
    const ssize_t count = ::sendmsg(publisher.fd, &message, MSG_NOSIGNAL);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) give_up("the broker has closed a publisher's connection");
    publisher.bytes_sent += static_cast<uint64_t>(count);
  }
}

template <class Take>
void MqttLoad::receive(Connection& connection, const Take& take) {
  for (bool more = true; more;) {
    const size_t kept = connection.rest.size();
    std::copy(connection.rest.begin(), connection.rest.end(), buffer_.get());
    const ssize_t count = ::recv(connection.fd, buffer_.get() + kept, kReadBytes, 0);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) give_up("the broker has closed a connection");
    more = static_cast<size_t>(count) == kReadBytes;
    Bytes left(buffer_.get(), kept + static_cast<size_t>(count));
    for (size_t size = mqtt_packet_bytes(left); size > 0; size = mqtt_packet_bytes(left)) {
      take(left.first(size));
      left = left.subspan(size);
    }
    if (left.size() > kUnfinishedBytesMax) give_up("the broker sends what nobody published");
    connection.rest.assign(left.begin(), left.end());
  }
}

void MqttLoad::take_answer(Publisher& publisher, Bytes packet) {
  if (type_of(packet) != kPuback) give_up("the broker answers something else than PUBACK");
  const size_t slot = load_be<uint16_t>(packet.data() + 2) - size_t{1};
  if (slot >= shape_.in_flight) give_up("the broker acknowledges what was not sent");
  if (measuring_) latencies_.push_back(static_cast<double>(now_ns_ - publisher.sent_ns[slot]) / 1e3);
  ++publisher.acknowledged;
  touch(publisher);
}

void MqttLoad::take_message(Connection& subscriber, Bytes packet) {
  if (type_of(packet) != kPublish) give_up("the broker sends a subscriber something else than PUBLISH");
  size_t at = header_bytes(packet);
  at += 2 + load_be<uint16_t>(packet.data() + at);
  if ((static_cast<uint8_t>(packet[0]) & 6) != 0) {
    const std::byte ack[4] = {std::byte{kPuback}, std::byte{2}, packet[at], packet[at + 1]};
    subscriber.acks.insert(subscriber.acks.end(), ack, ack + sizeof ack);
    at += 2;
  }
  // What a rule made of it does not say who published it: the subscriber does.
  const auto from = shape_.payload.empty() ? size_t{load_be<uint32_t>(packet.data() + at)}
                                           : static_cast<size_t>(&subscriber - &subscribers_.front());
  if (from >= publishers_.size()) give_up("the broker sends what nobody published");
  ++publishers_[from].arrived;
  ++delivered_;
  progress_ns_ = now_ns_;
  touch(publishers_[from]);
}

void MqttLoad::send_acks(Connection& subscriber) {
  if (subscriber.acks.empty()) return;
  const ssize_t count = ::send(subscriber.fd, subscriber.acks.data(), subscriber.acks.size(), MSG_NOSIGNAL);
  if (count < 0 && errno != EAGAIN) give_up("the broker has closed a subscriber's connection");
  if (count > 0) subscriber.acks.erase(subscriber.acks.begin(), subscriber.acks.begin() + count);
}

}  // namespace heptane::bench
