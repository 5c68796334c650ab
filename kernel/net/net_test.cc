// The real network on loopback, and the ring between two threads. What the loop does with connections is tested in
// sim/sim_net_test.cc, where the network chooses sizes and moments.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "kernel/base/assert.h"
#include "kernel/base/spsc_ring.h"
#include "kernel/net/io_loop.h"
#include "kernel/net/network.h"
#include "kernel/net/system_net.h"

namespace heptane::net {
namespace {

class EchoSession final : public Session {
 public:
  size_t on_bytes(Bytes input, SessionContext& context) override {
    context.write(Buffer::copy_of(input));
    return input.size();
  }
  void on_reply(RequestId, const Reply&, SessionContext&) override {}
};

class EchoProtocol final : public Protocol {
 public:
  std::string_view name() const override { return "echo"; }
  std::unique_ptr<Session> open(const Address& remote) override {
    hosts.insert(remote.host);
    return std::make_unique<EchoSession>();
  }
  size_t message_limit_bytes() const override { return 1 << 20; }

  std::set<std::string> hosts;
};

class NoReader final : public RecordsReader {
 public:
  RecordsRead read(const ReadReply&) override { return {}; }
};

// A client's blocking socket.
class Socket {
 public:
  Socket(const char* host, uint16_t port) {
    const bool v6 = std::string_view(host).find(':') != std::string_view::npos;
    fd_ = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    sockaddr_in6 in6{};
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(port);
    const int parsed = v6 ? inet_pton(AF_INET6, host, &in6.sin6_addr) : inet_pton(AF_INET, host, &in.sin_addr);
    const auto* address = v6 ? reinterpret_cast<const sockaddr*>(&in6) : reinterpret_cast<const sockaddr*>(&in);
    connected_ = parsed == 1 && connect(fd_, address, v6 ? sizeof in6 : sizeof in) == 0;
  }
  ~Socket() { ::close(fd_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  bool connected() const { return connected_; }
  bool send_all(std::string_view text) {
    while (!text.empty()) {
      const ssize_t count = send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (count <= 0) return false;
      text.remove_prefix(static_cast<size_t>(count));
    }
    return true;
  }
  std::string receive(size_t size) {
    std::string text(size, '\0');
    const ssize_t count = recv(fd_, text.data(), size, MSG_WAITALL);
    text.resize(count < 0 ? 0 : static_cast<size_t>(count));
    return text;
  }

 private:
  int fd_ = -1;
  bool connected_ = false;
};

class AsioTest : public ::testing::Test {
 protected:
  // Runs the loop here and the client beside it until the client is done.
  void serve(const std::function<void()>& client) {
    std::atomic<bool> done{false};
    std::thread thread([&] {
      client();
      done = true;
      net_->wake();
    });
    while (!done) loop_.run_once(-1);
    thread.join();
  }

  EchoProtocol protocol_;
  NoReader reader_;
  SystemClock clock_;
  ShardLink link_{16};
  std::unique_ptr<Net> net_ = make_system_net();
  IoLoop loop_{*net_, clock_, link_, reader_};
};

TEST_F(AsioTest, EchoesOverAHundredConnections) {
  const auto port = loop_.add_listener(protocol_, {"127.0.0.1", 0});
  ASSERT_TRUE(port.ok()) << port.error().message;
  serve([&] {
    std::vector<std::unique_ptr<Socket>> sockets;
    for (int i = 0; i < 100; ++i) sockets.push_back(std::make_unique<Socket>("127.0.0.1", *port));
    for (int round = 0; round < 3; ++round) {
      for (size_t i = 0; i < sockets.size(); ++i)
        ASSERT_TRUE(sockets[i]->send_all(std::to_string(1000 + i) + std::string(3000, 'x')));
      for (size_t i = 0; i < sockets.size(); ++i)
        ASSERT_EQ(sockets[i]->receive(3004), std::to_string(1000 + i) + std::string(3000, 'x'));
    }
  });
  EXPECT_EQ(loop_.counters().accepted.value(), 100U);
  EXPECT_EQ(loop_.counters().bytes_in.value(), loop_.counters().bytes_out.value());
  while (loop_.connections() > 0) loop_.run_once(-1);
  EXPECT_EQ(loop_.counters().closed_for(CloseReason::peer_closed).value(), 100U);
}

TEST_F(AsioTest, MoreThanTheSocketsHold) {
  const auto port = loop_.add_listener(protocol_, {"127.0.0.1", 0});
  ASSERT_TRUE(port.ok());
  const std::string large(16 << 20, 'y');
  serve([&] {
    Socket socket("127.0.0.1", *port);
    std::thread sender([&] { EXPECT_TRUE(socket.send_all(large)); });
    EXPECT_TRUE(socket.receive(large.size()) == large);
    sender.join();
  });
}

TEST_F(AsioTest, BothFamiliesOnOnePort) {
  const auto port = loop_.add_listener(protocol_, {"127.0.0.1", 0});
  ASSERT_TRUE(port.ok());
  const auto second = loop_.add_listener(protocol_, {"::1", *port});
  if (!second.ok() && second.error().code == Errc::unsupported) GTEST_SKIP() << "no IPv6 on this machine";
  if (!second.ok() && second.error().code == Errc::exists) GTEST_SKIP() << "somebody else has the port on ::1";
  ASSERT_TRUE(second.ok()) << second.error().message;
  serve([&] {
    for (const char* host : {"127.0.0.1", "::1"}) {
      Socket socket(host, *port);
      ASSERT_TRUE(socket.send_all("hello"));
      EXPECT_EQ(socket.receive(5), "hello");
    }
  });
  EXPECT_EQ(protocol_.hosts, (std::set<std::string>{"127.0.0.1", "::1"}));
}

TEST_F(AsioTest, ListeningFailsWithAReason) {
  const auto port = loop_.add_listener(protocol_, {"127.0.0.1", 0});
  ASSERT_TRUE(port.ok());
  const auto again = loop_.add_listener(protocol_, {"127.0.0.1", *port});
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code, Errc::exists);
  EXPECT_EQ(loop_.add_listener(protocol_, {"localhost", 0}).error().code, Errc::invalid_argument);
  EXPECT_EQ(loop_.add_listener(protocol_, {"203.0.113.7", 0}).error().code, Errc::unsupported);
}

TEST_F(AsioTest, WakesFromAnotherThreadAreNeverLost) {
  constexpr int kWakes = 20'000;
  std::atomic<int> sent{0};
  std::thread waker([&] {
    for (int i = 0; i < kWakes; ++i) {
      sent.fetch_add(1);
      net_->wake();
    }
  });
  // Waits without a deadline: a lost wake would hang the test.
  while (sent.load() < kWakes) net_->run_once(-1);
  waker.join();
}

TEST_F(AsioTest, WithoutDescriptorsAcceptingWaits) {
  const auto port = loop_.add_listener(protocol_, {"127.0.0.1", 0});
  ASSERT_TRUE(port.ok());
  Socket first("127.0.0.1", *port);
  Socket second("127.0.0.1", *port);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{3, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  loop_.run_once(-1);  // sees the connections, cannot take them
  EXPECT_EQ(loop_.counters().accepted.value(), 0U);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  int turns = 0;
  while (loop_.counters().accepted.value() < 2) {
    loop_.run_once(-1);  // goes on by itself after a pause
    ASSERT_LT(++turns, 50) << "it spins";
  }
}

// A directory for Unix sockets.
class SocketDirectory {
 public:
  SocketDirectory() { HEPTANE_ASSERT(mkdtemp(name_) != nullptr, "no temporary directory"); }
  ~SocketDirectory() { std::filesystem::remove_all(name_); }
  SocketDirectory(const SocketDirectory&) = delete;
  SocketDirectory& operator=(const SocketDirectory&) = delete;
  Address address() const { return {"unix:" + path(), 0}; }
  std::string path() const { return std::string(name_) + "/socket"; }

 private:
  char name_[32] = "/tmp/heptane-unix-XXXXXX";
};

TEST_F(AsioTest, UnixSocketsAreOursAloneAndGoWithUs) {
  const SocketDirectory directory;
  std::ofstream(directory.path()) << "no socket";
  EXPECT_EQ(loop_.add_listener(protocol_, directory.address()).error().code, Errc::exists);
  std::filesystem::remove(directory.path());
  {
    IoLoop first(*net_, clock_, link_, reader_);
    ASSERT_TRUE(first.add_listener(protocol_, directory.address()).ok());
    EXPECT_EQ(std::filesystem::status(directory.path()).permissions(), std::filesystem::perms(0600));
    EXPECT_EQ(loop_.add_listener(protocol_, directory.address()).error().code, Errc::exists) << "somebody answers";
  }
  EXPECT_FALSE(std::filesystem::exists(directory.path())) << "unlinked at the end";
  const int stale = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::strncpy(name.sun_path, directory.path().c_str(), sizeof name.sun_path - 1);
  ASSERT_EQ(bind(stale, reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
  ::close(stale);
  EXPECT_TRUE(loop_.add_listener(protocol_, directory.address()).ok()) << "nobody answers: replaced";
  const Address too_long{"unix:/tmp/" + std::string(200, 'x'), 0};
  EXPECT_EQ(loop_.add_listener(protocol_, too_long).error().code, Errc::invalid_argument);
}

// Keeps the connection that it asked for.
struct Connected {
  std::unique_ptr<Pending> pending;
  std::unique_ptr<Stream> stream;
  std::optional<Error> error;

  void ask(Net& net, const Address& address) {
    stream.reset();
    error.reset();
    pending = net.connect(address, [this](Result<std::unique_ptr<Stream>> result) {
      if (result)
        stream = std::move(*result);
      else
        error = result.error();
    });
  }
  bool done() const { return stream != nullptr || error.has_value(); }
};

TEST_F(AsioTest, ConnectsToPortsAndPaths) {
  const SocketDirectory directory;
  const auto port = loop_.add_listener(protocol_, {"127.0.0.1", 0});
  ASSERT_TRUE(loop_.add_listener(protocol_, directory.address()).ok());
  Connected connected;
  for (const Address& to : {Address{"127.0.0.1", *port}, directory.address()}) {
    connected.ask(*net_, to);
    EXPECT_FALSE(connected.done()) << "never from inside the call";
    while (!connected.done()) loop_.run_once(-1);
    ASSERT_NE(connected.stream, nullptr) << connected.error->message;
    EXPECT_EQ(connected.stream->remote().host, to.host);
    EXPECT_EQ(connected.stream->peer_uid().has_value(), to.is_unix());
    EXPECT_EQ(connected.stream->peer_uid().value_or(getuid()), getuid());
    const Bytes hello = as_bytes("hello");
    ASSERT_EQ(connected.stream->write_some({&hello, 1}).bytes, 5U);
    std::byte buffer[16];
    IoResult got{IoStatus::would_block, 0};
    while (got.status == IoStatus::would_block) {
      loop_.run_once(1'000'000);
      got = connected.stream->read_some(buffer);
    }
    EXPECT_EQ(as_text(Bytes(buffer, got.bytes)), "hello");
  }
}

TEST_F(AsioTest, ConnectingFailsWithAReasonAndCanBeGivenUp) {
  uint16_t free_port = 0;
  {
    IoLoop gone(*net_, clock_, link_, reader_);
    free_port = *gone.add_listener(protocol_, {"127.0.0.1", 0});
  }
  Connected connected;
  for (const Address& to : {Address{"127.0.0.1", free_port}, Address{"unix:/tmp/heptane-nobody", 0}}) {
    connected.ask(*net_, to);
    while (!connected.done()) loop_.run_once(-1);
    ASSERT_TRUE(connected.error.has_value());
    EXPECT_EQ(connected.error->code, Errc::refused) << connected.error->message;
    connected.ask(*net_, to);
    connected.pending.reset();
    loop_.run_once(1'000'000);
    EXPECT_FALSE(connected.done());
  }
}

TEST_F(AsioTest, NamesAreResolvedOnAnotherThread) {
  std::optional<Result<std::vector<Address>>> answer;
  const auto keep = [&](Result<std::vector<Address>> found) { answer = std::move(found); };
  for (const char* host : {"localhost", "127.0.0.1"}) {
    answer.reset();
    const auto pending = net_->resolve(host, 47, keep);
    EXPECT_FALSE(answer.has_value());
    while (!answer) loop_.run_once(-1);
    ASSERT_TRUE(answer->ok()) << answer->error().message;
    EXPECT_EQ((**answer)[0].port, 47);
  }
  answer.reset();
  const auto pending = net_->resolve("no-such-name.invalid", 47, keep);
  while (!answer) loop_.run_once(-1);
  EXPECT_FALSE(answer->ok());
  answer.reset();
  net_->resolve("localhost", 47, keep);  // given up at once
  loop_.run_once(1'000'000);
  EXPECT_FALSE(answer.has_value());
}

class EchoDatagrams final : public DatagramSession {
 public:
  void on_datagram(const Address& from, Bytes payload, DatagramContext& context) override {
    context.send(from, payload);
  }
};

class EchoDatagramProtocol final : public DatagramProtocol {
 public:
  std::string_view name() const override { return "echo"; }
  std::unique_ptr<DatagramSession> open() override { return std::make_unique<EchoDatagrams>(); }
  size_t datagram_limit_bytes() const override { return 2000; }
};

TEST_F(AsioTest, DatagramsComeInBatchesAndAreAnswered) {
  EchoDatagramProtocol protocol;
  const auto port = loop_.add_datagrams(protocol, {"127.0.0.1", 0});
  ASSERT_TRUE(port.ok()) << port.error().message;
  EXPECT_EQ(loop_.add_datagrams(protocol, {"127.0.0.1", *port}).error().code, Errc::exists);
  auto client = net_->datagrams({"127.0.0.1", 0});
  ASSERT_TRUE(client.ok());
  constexpr size_t kCount = 100;  // more than one call and one turn take
  for (size_t i = 0; i < kCount; ++i) ASSERT_TRUE((*client)->send({"127.0.0.1", *port}, as_bytes(std::to_string(i))));
  ASSERT_TRUE((*client)->send({"127.0.0.1", *port}, as_bytes(std::string(2001, 'x'))));
  std::set<std::string> got;
  while (got.size() < kCount) {
    loop_.run_once(10'000'000);
    (*client)->receive(1000, [&](const Address& from, Bytes payload) {
      EXPECT_EQ(from.port, *port);
      got.emplace(as_text(payload));
    });
  }
  while (loop_.counters().datagrams_in.value() < kCount + 1) loop_.run_once(10'000'000);
  EXPECT_EQ(loop_.counters().datagrams_dropped.value(), 1U);
  // What comes back from a port where nobody listens disturbs nothing.
  ASSERT_TRUE((*client)->send({"127.0.0.1", 9}, as_bytes("lost")));
  ASSERT_TRUE((*client)->send({"127.0.0.1", *port}, as_bytes("again")));
  size_t more = 0;
  while (more == 0) {
    loop_.run_once(10'000'000);
    more = (*client)->receive(10, [](const Address&, Bytes) {});
  }
}

TEST(AsioNet, RaisesTheLimitOfOpenFiles) {
  const size_t limit = raise_open_file_limit();
  rlimit now{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &now), 0);
  EXPECT_EQ(now.rlim_cur, now.rlim_max);
  EXPECT_EQ(limit, now.rlim_cur);
}

TEST(Network, IsWhatOnePartyHasAtWill) {
  const auto of = [](const std::string& host) { return network_of({host, 7070}); };
  EXPECT_EQ(of("10.0.0.1"), "10.0.0.1");
  EXPECT_EQ(of("::ffff:10.0.0.1"), "::ffff:10.0.0.1");
  EXPECT_EQ(of("2001:db8::1"), "2001:db8::/64");
  EXPECT_EQ(of("2001:db8::ffff:0:0:1"), of("2001:db8::1"));
  EXPECT_NE(of("2001:db8:0:1::1"), of("2001:db8::1"));
  EXPECT_EQ(of("unix:/run/x"), "unix:/run/x");
}

TEST(SpscRing, KeepsOrderBetweenTwoThreads) {
  constexpr uint64_t kItems = 200'000;
  SpscRing<std::unique_ptr<uint64_t>> ring(100);
  EXPECT_EQ(ring.capacity(), 128U);
  std::thread producer([&] {
    for (uint64_t i = 0; i < kItems; ++i) {
      auto item = std::make_unique<uint64_t>(i);
      while (!ring.try_push(std::move(item))) {
        ASSERT_NE(item, nullptr) << "a refused item stays with the producer";
        std::this_thread::yield();
      }
    }
  });
  uint64_t wrong = 0;
  for (uint64_t i = 0; i < kItems; ++i) {
    std::unique_ptr<uint64_t>* front = nullptr;
    while ((front = ring.front()) == nullptr) std::this_thread::yield();
    wrong += **front == i ? 0 : 1;
    ring.pop();
  }
  producer.join();
  EXPECT_EQ(wrong, 0U);
  EXPECT_TRUE(ring.empty());
}

TEST(SpscRing, HoldsItsCapacityAndDestroysWhatIsPopped) {
  SpscRing<std::shared_ptr<int>> ring(4);
  auto item = std::make_shared<int>(1);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(ring.try_push(std::shared_ptr<int>(item)));
  EXPECT_FALSE(ring.try_push(std::shared_ptr<int>(item)));
  EXPECT_EQ(item.use_count(), 5);
  for (int i = 0; i < 4; ++i) {
    ASSERT_NE(ring.front(), nullptr);
    ring.pop();
  }
  EXPECT_EQ(ring.front(), nullptr);
  EXPECT_EQ(item.use_count(), 1);
}

TEST(SpscRing, MakesAnItemOfItsPartsUnlessItIsFull) {
  struct Item {
    int number = 0;
    std::unique_ptr<int> owned;
  };
  SpscRing<Item> ring(1);
  EXPECT_TRUE(ring.try_emplace(7, std::make_unique<int>(8)));
  auto kept = std::make_unique<int>(9);
  EXPECT_FALSE(ring.try_emplace(1, std::move(kept)));
  ASSERT_NE(kept, nullptr) << "a refused part stays with the producer";
  EXPECT_EQ(ring.front()->number, 7);
  EXPECT_EQ(*ring.front()->owned, 8);
}

}  // namespace
}  // namespace heptane::net
