#include "bench/ledger_wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace heptane::bench {

namespace {

[[noreturn]] void give_up(const char* why) {
  std::fprintf(stderr, "bench: ledger client: %s\n", why);
  std::exit(1);
}

int connect_to(const std::string& endpoint) {
  const size_t colon = endpoint.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::stoul(endpoint.substr(colon + 1))));
  ::inet_pton(AF_INET, endpoint.substr(0, colon).c_str(), &address.sin_addr);
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) give_up("nobody listens");
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

void read_exactly(int fd, char* into, size_t bytes) {
  for (size_t have = 0; have < bytes;) {
    const ssize_t got = ::read(fd, into + have, bytes - have);
    if (got <= 0) give_up("the server closed the connection");
    have += static_cast<size_t>(got);
  }
}

}  // namespace

LedgerWire::LedgerWire(const std::string& endpoint, fintech::Uint128 client) : fd_(connect_to(endpoint)) {
  client_.id = client;
  const std::vector<std::byte> body(fintech::tigerbeetle::kRegisterRequestBytes);
  client_.request = static_cast<uint32_t>(-1);  // the first request has number 0
  send(fintech::tigerbeetle::kRegisterOperation, body);
  const std::string reply = receive();
  client_.session = load_le<uint64_t>(reinterpret_cast<const std::byte*>(reply.data()) + 208);  // its commit number
}

LedgerWire::~LedgerWire() { ::close(fd_); }

std::string LedgerWire::encode(uint8_t operation, Bytes body) {
  ++client_.request;
  return client_.message(operation, body);
}

void LedgerWire::send_encoded(const std::string& message) {
  for (size_t sent = 0; sent < message.size();) {
    const ssize_t done = ::write(fd_, message.data() + sent, message.size() - sent);
    if (done <= 0) give_up("the server takes no more");
    sent += static_cast<size_t>(done);
  }
}

std::string LedgerWire::receive() {
  std::string message(256, '\0');
  read_exactly(fd_, message.data(), message.size());
  const auto size = load_le<uint32_t>(reinterpret_cast<const std::byte*>(message.data()) + 96);
  if (message[114] != static_cast<char>(fintech::tigerbeetle::WireCommand::reply)) give_up("evicted");
  message.resize(size);
  read_exactly(fd_, message.data() + 256, size - 256);
  return message;
}

std::vector<fintech::Transfer> LedgerWire::lookup(const std::vector<fintech::Uint128>& ids) {
  constexpr uint8_t kLookupTransfers = 141;
  send(kLookupTransfers, fintech::test::body_of<fintech::Uint128>({ids}));
  return take_transfers();
}

std::vector<fintech::Transfer> LedgerWire::take_transfers() {
  const std::string reply = receive();
  const auto batches = fintech::MultiBatch::parse(as_bytes(reply).subspan(256), sizeof(fintech::Transfer));
  if (!batches) give_up("an answer that cannot be read");
  std::vector<fintech::Transfer> found(batches->elements());
  if (!found.empty()) std::memcpy(found.data(), reply.data() + 256, found.size() * sizeof(fintech::Transfer));
  return found;
}

uint64_t LedgerWire::take() {
  const std::string reply = receive();
  const auto batches = fintech::MultiBatch::parse(as_bytes(reply).subspan(256), sizeof(fintech::CreateResult));
  if (!batches) give_up("an answer that cannot be read");
  uint64_t created = 0;
  for (size_t i = 0; i < batches->elements(); ++i)
    created +=
        load_le<uint32_t>(reinterpret_cast<const std::byte*>(reply.data()) + 256 + i * 16 + 8) == 0xFFFFFFFF ? 1 : 0;
  return created;
}

}  // namespace heptane::bench
