// The I/O loop's other edges over the simulated network: TLS listeners, caps, connections that we make, datagrams.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "kernel/net/io_loop.h"
#include "kernel/net/tls_stream.h"
#include "kernel/net/tls_test_support.h"
#include "sim/sim_clock.h"
#include "sim/sim_net.h"

namespace heptane::sim {
namespace {

using net::CloseReason;
using net::IoStatus;

constexpr int64_t kSecondNs = 1'000'000'000;

// Echoes; notes what happened.
struct Notes {
  std::vector<std::string> seen;
  std::string greeting;  // sent first
  std::string got;
  bool echoes = true;
  bool reads = true;
  int64_t stall_ns = 0;  // that it watches its output with; 0: it does not
  int stalls = 0;
  std::vector<net::SessionContext*> open;
  std::function<void()> at_close;

  void close_all() {
    for (net::SessionContext* context : open) context->close(CloseReason::session_closed, "it is told to");
  }
};

class NotingSession final : public net::Session {
 public:
  explicit NotingSession(Notes& notes) : notes_(notes) {}
  void on_open(net::SessionContext& context) override {
    notes_.open.push_back(&context);
    context_ = &context;
    const net::TlsFacts* tls = context.tls();
    notes_.seen.push_back("open" + (tls == nullptr ? std::string() : " " + tls->version));
    if (!notes_.greeting.empty()) context.write(Buffer::copy_of(notes_.greeting));
    if (notes_.stall_ns > 0) context.watch_output(notes_.stall_ns);
    context.pause_input(!notes_.reads);
  }
  size_t on_bytes(Bytes input, net::SessionContext& context) override {
    notes_.got += as_text(input);
    if (notes_.echoes) context.write(Buffer::copy_of(input));
    return input.size();
  }
  void on_reply(RequestId, const Reply&, net::SessionContext&) override {}
  void on_stalled(net::SessionContext& context) override {
    ++notes_.stalls;
    context.write(Buffer::copy_of("bye!"));
  }
  void on_close(CloseReason reason) override {
    std::erase(notes_.open, context_);
    notes_.seen.push_back("close " + std::to_string(static_cast<int>(reason)));
    if (notes_.at_close) notes_.at_close();
  }

 private:
  Notes& notes_;
  net::SessionContext* context_ = nullptr;
};

class NotingProtocol final : public net::Protocol {
 public:
  explicit NotingProtocol(Notes& notes) : notes_(notes) {}
  std::string_view name() const override { return "notes"; }
  std::unique_ptr<net::Session> open(const net::Address&) override { return std::make_unique<NotingSession>(notes_); }
  size_t message_limit_bytes() const override { return 1 << 20; }
  std::string_view refusal() const override { return "no room\n"; }

 private:
  Notes& notes_;
};

class NoReader final : public net::RecordsReader {
 public:
  net::RecordsRead read(const ReadReply&) override { return {}; }
};

class EdgesTest : public ::testing::Test {
 protected:
  void start(uint64_t seed, SimNetConfig sim = {}) {
    loop_.reset();
    net_.reset();
    here_ = there_ = Notes{};
    random_ = SeededRandom(seed);
    net_ = std::make_unique<SimNet>(random_, sim);
    link_ = std::make_unique<ShardLink>(64);
    net::IoLoopConfig config;
    config.random = &random_;
    config.on_closed = [this](auto, const auto&, CloseReason, std::string_view why) { whys_.emplace_back(why); };
    loop_ = std::make_unique<net::IoLoop>(*net_, clock_, *link_, reader_, std::move(config));
  }
  void steps(int count) {
    for (int i = 0; i < count; ++i) loop_->run_once(0);
  }
  void until(const std::function<bool()>& done) {
    for (int i = 0; i < 200'000; ++i) {
      if (done()) return;
      loop_->run_once(0);
    }
    FAIL() << "it never came";
  }
  uint16_t serve(net::ListenerOptions options = {}) {
    const auto port = loop_->add_listener(server_, {"127.0.0.1", 0}, std::move(options));
    EXPECT_TRUE(port.ok());
    return *port;
  }
  std::shared_ptr<net::TlsCredentials> credentials() {
    if (!std::exchange(made_, true)) {
      files_.make_authority("ca");
      files_.make_certificate("server", "ca", "the server");
    }
    auto loaded = net::TlsCredentials::load(files_.options("server"), system_clock_);
    EXPECT_TRUE(loaded.ok()) << loaded.error().message;
    return *loaded;
  }
  std::shared_ptr<net::TlsContext> trusting() {
    net::TlsClientOptions options;
    options.ca_file = files_.path("ca.pem");
    return *net::TlsContext::client(options, system_clock_.utc_ns());
  }
  net::OutboundOptions outbound_to(uint16_t port, const std::string& host = "127.0.0.1") {
    net::OutboundOptions options;
    options.host = host;
    options.port = port;
    options.on_failed = [this](const Error& error) { failures_.push_back(error); };
    options.on_given_up = [this](const Error&) { given_up_ = true; };
    return options;
  }
  // Lets the next wait of the loop's own end, and says how long it was.
  int64_t pass_wait() {
    const int64_t due = loop_->next_deadline_ns();
    const int64_t waited = std::max<int64_t>(due - clock_.monotonic_ns(), 0);
    clock_.advance(waited);
    return waited;
  }

  std::vector<Error> failures_;
  std::vector<std::string> whys_;
  bool given_up_ = false;
  Notes here_;   // of the sessions of connections that we make
  Notes there_;  // of a listener's
  NotingProtocol client_{here_};
  NotingProtocol server_{there_};
  NoReader reader_;
  SimClock clock_;
  SystemClock system_clock_;  // certificates are of today
  SeededRandom random_{1};
  std::unique_ptr<SimNet> net_;
  std::unique_ptr<ShardLink> link_;
  std::unique_ptr<net::IoLoop> loop_;
  net::test::CertificateFiles files_;
  bool made_ = false;
};

TEST_F(EdgesTest, BothEndsOfAConnectionAreSessions) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    for (const bool encrypted : {false, true}) {
      start(seed, {.buffer_bytes = 3000});
      net::ListenerOptions options;
      if (encrypted) options.tls = credentials();
      const uint16_t port = serve(options);
      here_.greeting = std::string(50'000, 'g');
      here_.echoes = false;
      net::OutboundOptions outbound = outbound_to(port, "localhost");
      if (encrypted) outbound.tls = trusting();
      loop_->add_outbound(client_, outbound);
      until([&] { return here_.got.size() == here_.greeting.size(); });
      EXPECT_TRUE(here_.got == here_.greeting && there_.got == here_.greeting);
      EXPECT_EQ(here_.seen, std::vector<std::string>{encrypted ? "open TLSv1.3" : "open"});
      EXPECT_EQ(there_.seen, here_.seen);
      EXPECT_EQ(loop_->counters().tls_handshakes.value(), encrypted ? 2U : 0U);
      loop_->shutdown(clock_.monotonic_ns() + kSecondNs);
      until([&] { return loop_->stopped(); });
      EXPECT_EQ(here_.seen.back(), "close " + std::to_string(static_cast<int>(CloseReason::shutdown)));
    }
  }
}

// However little waits; what was taken before is no progress of it. Who reads again while the connection closes has its last word.
TEST_F(EdgesTest, ASessionThatWatchesItsOutputIsToldThatNothingIsTaken) {
  for (const bool encrypted : {false, true}) {
    start(1, {.buffer_bytes = 3000});
    net::ListenerOptions options;
    if (encrypted) options.tls = credentials();
    const uint16_t port = serve(options);
    there_.greeting = std::string(100'000, 'g');
    there_.stall_ns = 60 * kSecondNs;
    here_.echoes = here_.reads = false;
    net::OutboundOptions outbound = outbound_to(port, "localhost");
    if (encrypted) outbound.tls = trusting();
    loop_->add_outbound(client_, outbound);
    until([&] { return here_.open.size() == 1 && there_.open.size() == 1; });
    steps(300);
    clock_.advance(59 * kSecondNs);
    steps(20);
    here_.open[0]->pause_input(false);
    until([&] { return here_.got.size() == there_.greeting.size(); });
    here_.open[0]->pause_input(true);
    clock_.advance(3'600 * kSecondNs);
    steps(20);
    there_.open[0]->write(Buffer::copy_of(there_.greeting));
    steps(300);
    clock_.advance(59 * kSecondNs);
    steps(20);
    EXPECT_EQ(there_.stalls, 0);
    clock_.advance(2 * kSecondNs);
    steps(20);
    EXPECT_EQ(there_.stalls, 1);
    EXPECT_EQ(there_.seen.back(), "close " + std::to_string(static_cast<int>(CloseReason::deadline)));
    EXPECT_TRUE(here_.got == there_.greeting);
    here_.open[0]->pause_input(false);
    until([&] { return here_.open.empty(); });
    EXPECT_TRUE(here_.got == there_.greeting + there_.greeting + "bye!");
  }
}

// Each of them ends while others are there, and looks at those.
TEST_F(EdgesTest, SessionsOfALoopThatEndsMayStopOutboundConnections) {
  start(1);
  const uint16_t port = serve();
  std::vector<SessionId> made;
  for (int i = 0; i < 4; ++i) made.push_back(loop_->add_outbound(client_, outbound_to(port)));
  loop_->add_resident(client_);
  until([&] { return here_.open.size() == 5 && there_.open.size() == 4; });
  size_t closed = 0;
  here_.at_close = [&, loop = loop_.get()] {
    ++closed;
    for (const SessionId outbound : made) loop->stop_outbound(outbound);
  };
  loop_.reset();
  EXPECT_EQ(closed, 5U);
}

TEST_F(EdgesTest, AHandshakeHasADeadlineAndHoldsNobodyUp) {
  start(1);
  net::ListenerOptions options;
  options.tls = credentials();
  options.handshake_timeout_ns = 5 * kSecondNs;
  const uint16_t port = serve(options);
  auto slow = net_->connect(port);
  const Bytes beginning = as_bytes("\x16\x03\x01");
  (void)(*slow)->write_some({&beginning, 1});
  until([&] { return loop_->connections() == 1 && (*slow)->incoming_bytes() == 0; });
  steps(50);
  EXPECT_TRUE(there_.seen.empty()) << "no session before the handshake is over";
  EXPECT_EQ(loop_->next_deadline_ns(), clock_.monotonic_ns() + 5 * kSecondNs);
  clock_.advance(5 * kSecondNs);
  steps(5);
  EXPECT_EQ(loop_->counters().closed_for(CloseReason::deadline).value(), 1U);
  EXPECT_EQ(loop_->counters().tls_failed.value(), 1U);
  EXPECT_EQ(whys_.back(), "the TLS handshake took too long");
  clock_.advance(kSecondNs);
  until([&] { return loop_->connections() == 0; });
}

TEST_F(EdgesTest, DrainingDoesNotWaitForHandshakes) {
  start(1);
  net::ListenerOptions options;
  options.tls = credentials();
  auto half = net_->connect(serve(options));
  until([&] { return loop_->connections() == 1; });
  loop_->shutdown(clock_.monotonic_ns() + 10 * kSecondNs);
  steps(50);
  clock_.advance(kSecondNs);  // to linger
  until([&] { return loop_->stopped(); });
}

TEST_F(EdgesTest, PlainBytesOnATlsListenerAreToldWhy) {
  start(1);
  net::ListenerOptions options;
  options.tls = credentials();
  auto plain = net_->connect(serve(options));
  const Bytes words = as_bytes("GET / HTTP/1.1\r\n\r\n");
  Bytes rest = words;
  until([&] {
    if (!rest.empty()) rest = rest.subspan((*plain)->write_some({&rest, 1}).bytes);
    return loop_->counters().tls_failed.value() == 1;
  });
  EXPECT_NE(whys_.back().find("http request"), std::string::npos) << whys_.back();
  std::string got;
  IoStatus status = IoStatus::ok;
  until([&] {
    std::byte buffer[64];
    const auto result = (*plain)->read_some(buffer);
    got += as_text(Bytes(buffer, result.bytes));
    status = result.status;
    return status == IoStatus::closed || status == IoStatus::reset;
  });
  EXPECT_EQ(status, IoStatus::closed) << "an end, not a reset: the connection lingers";
}

TEST_F(EdgesTest, ListenersAndRemotesAreCappedInTheProtocolsWords) {
  for (const bool per_remote : {false, true}) {
    start(1, {.fragment = false});
    net::ListenerOptions options;
    (per_remote ? options.max_per_remote : options.max_connections) = 2;
    const uint16_t port = serve(options);
    std::vector<std::unique_ptr<SimStream>> streams;
    for (int i = 0; i < 3; ++i) {
      streams.push_back(net_->connect(port).value());
      until([&] { return loop_->counters().accepted.value() == static_cast<uint64_t>(i) + 1; });
    }
    EXPECT_EQ(loop_->connections(), 2U);
    EXPECT_EQ(loop_->counters().refused.value(), 1U);
    until([&] { return streams[2]->incoming_bytes() >= 8; });
    steps(100);
    std::byte buffer[64];
    EXPECT_EQ(as_text(Bytes(buffer, streams[2]->read_some(buffer).bytes)), "no room\n");
    streams[0] = nullptr;
    until([&] { return loop_->connections() == 1; });
    streams.push_back(net_->connect(port).value());
    until([&] { return loop_->connections() == 2; });
    if (!per_remote) continue;
    streams.push_back(net_->connect(port, "127.0.0.9").value());
    until([&] { return loop_->connections() == 3; });
  }
}

TEST_F(EdgesTest, AnOutboundConnectionComesBackAfterGrowingRandomDelays) {
  std::vector<int64_t> waits;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    start(seed);
    failures_.clear();
    loop_->add_outbound(client_, outbound_to(4711));  // nobody listens
    for (size_t attempt = 1; attempt <= 12; ++attempt) {
      until([&] { return failures_.size() == attempt; });
      EXPECT_EQ(failures_.back().code, Errc::refused);
      const int64_t most = std::min<int64_t>(200'000'000LL << (attempt - 1), 30 * kSecondNs);
      const int64_t waited = pass_wait();
      EXPECT_LE(waited, most);
      EXPECT_GT(waited, 0);
      if (attempt == 1) waits.push_back(waited);
    }
  }
  EXPECT_GT(*std::max_element(waits.begin(), waits.end()), 150'000'000) << "the whole delay is used";
  EXPECT_LT(*std::min_element(waits.begin(), waits.end()), 50'000'000) << "also its beginning: full jitter";
}

TEST_F(EdgesTest, AnOutboundConnectionThatLivedBeginsAnew) {
  start(1);
  const uint16_t port = serve();
  loop_->add_outbound(client_, outbound_to(port));
  for (int round = 0; round < 6; ++round) {
    until([&] { return loop_->connections() == 2; });
    clock_.advance(11 * kSecondNs);
    const size_t failed = failures_.size();
    there_.close_all();
    until([&] { return failures_.size() == failed + 1; });
    EXPECT_EQ(failures_.back().code, Errc::closed);
    EXPECT_LE(pass_wait(), 200'000'000) << "as after a first failure";
  }
}

TEST_F(EdgesTest, AnOutboundConnectionIsGivenUpAfterSoManyFailures) {
  start(1);
  net::OutboundOptions options = outbound_to(1, "no.such.name");
  options.attempts_max = 3;
  loop_->add_outbound(client_, options);
  size_t waited = 0;
  until([&] {
    if (failures_.size() > waited && !given_up_) {
      pass_wait();
      ++waited;
    }
    return given_up_;
  });
  EXPECT_EQ(failures_.size(), 3U);
  EXPECT_EQ(failures_.back().code, Errc::not_found);
  EXPECT_EQ(loop_->next_deadline_ns(), -1);
}

TEST_F(EdgesTest, AnOutboundAttemptHasADeadline) {
  start(1, {.delay_one_in = 1});  // everything is delayed for ever
  loop_->add_outbound(client_, outbound_to(4711));
  steps(100);
  EXPECT_TRUE(failures_.empty());
  clock_.advance(10 * kSecondNs);
  steps(2);
  ASSERT_EQ(failures_.size(), 1U);
  EXPECT_EQ(failures_.back().code, Errc::deadline);
}

TEST_F(EdgesTest, AllAddressesOfANameAreTried) {
  start(1);
  const uint16_t port = serve();
  net_->name("two.homes", {"::1", "127.0.0.1"});  // nobody listens on the first
  loop_->add_outbound(client_, outbound_to(port, "two.homes"));
  until([&] { return loop_->connections() == 2; });
  EXPECT_TRUE(failures_.empty());
}

// What a name leads to is judged, and what was judged is connected to.
TEST_F(EdgesTest, OnlyAddressesThatAreAllowedAreConnectedTo) {
  start(1);
  const uint16_t port = serve();
  net_->name("two.homes", {"127.0.0.1", "::1"});
  net::OutboundOptions options = outbound_to(port, "two.homes");
  options.attempts_max = 1;
  options.allows = [](const net::Address& address) { return address.host == "::1"; };
  loop_->add_outbound(client_, options);
  until([&] { return given_up_; });
  EXPECT_EQ(failures_.back().code, Errc::refused) << "nobody listens on the one that is allowed";
  given_up_ = false;
  options.allows = [](const net::Address&) { return false; };
  loop_->add_outbound(client_, options);
  until([&] { return given_up_; });
  EXPECT_EQ(failures_.back().code, Errc::unauthorised);
  EXPECT_EQ(loop_->connections(), 0U);
  options.allows = [](const net::Address& address) { return address.host == "127.0.0.1"; };
  loop_->add_outbound(client_, options);
  until([&] { return loop_->connections() == 2; });
}

TEST_F(EdgesTest, AnOutboundConnectionThatWasGivenUpIsBegunAgain) {
  start(1);
  net_->name("later.home", {"127.0.0.1"});
  const uint16_t port = serve();
  net::OutboundOptions options = outbound_to(port, "later.home");
  options.attempts_max = 1;
  const SessionId outbound = loop_->add_outbound(client_, options);
  for (int round = 0; round < 3; ++round) {
    until([&] { return loop_->connections() == 2; });
    loop_->begin_outbound(outbound);  // it is there: nothing
    given_up_ = false;
    there_.close_all();
    until([&] { return given_up_ && loop_->connections() == 0; });
    loop_->begin_outbound(outbound);
  }
}

TEST_F(EdgesTest, AServerThatIsSomebodyElseGetsNoSession) {
  start(1);
  net::ListenerOptions options;
  options.tls = credentials();
  const uint16_t port = serve(options);
  net_->name("elsewhere", {"127.0.0.1"});
  net::OutboundOptions outbound = outbound_to(port, "elsewhere");
  outbound.tls = trusting();
  loop_->add_outbound(client_, outbound);
  until([&] { return failures_.size() == 1; });
  EXPECT_NE(failures_[0].message.find("certificate verify failed"), std::string::npos) << failures_[0].message;
  EXPECT_NE(failures_[0].message.find("hostname mismatch"), std::string::npos) << failures_[0].message;
  EXPECT_TRUE(here_.seen.empty());
}

TEST_F(EdgesTest, StoppingAnOutboundConnectionIsForGood) {
  start(1);
  const uint16_t port = serve();
  const SessionId outbound = loop_->add_outbound(client_, outbound_to(port));
  until([&] { return loop_->connections() == 2; });
  loop_->stop_outbound(outbound);
  until([&] {
    if (loop_->connections() > 0 && loop_->next_deadline_ns() > 0) pass_wait();
    return loop_->connections() == 0;
  });
  steps(100);
  EXPECT_EQ(loop_->next_deadline_ns(), -1);
  EXPECT_EQ(here_.seen.back(), "close " + std::to_string(static_cast<int>(CloseReason::session_closed)));
}

// Datagrams: `ask` is answered to whoever sent it.
class EchoDatagrams final : public net::DatagramSession {
 public:
  explicit EchoDatagrams(std::vector<std::string>& seen) : seen_(seen) {}
  void on_open(net::DatagramContext& context) override { context.arm(kSecondNs); }
  void on_datagram(const net::Address& from, Bytes payload, net::DatagramContext& context) override {
    seen_.emplace_back(as_text(payload));
    if (as_text(payload) == "submit") {
      from_ = from;
      EXPECT_TRUE(context.submit(7, {}));
      return;
    }
    EXPECT_TRUE(context.send(from, payload));
  }
  void on_reply(RequestId request, const Reply& reply, net::DatagramContext& context) override {
    EXPECT_EQ(request, 7U);
    context.send(from_, reply.payload.view());
  }
  void on_timer(net::SessionTimerId, net::DatagramContext&) override { seen_.emplace_back("timer"); }

 private:
  std::vector<std::string>& seen_;
  net::Address from_;
};

class EchoDatagramProtocol final : public net::DatagramProtocol {
 public:
  std::string_view name() const override { return "echo"; }
  std::unique_ptr<net::DatagramSession> open() override { return std::make_unique<EchoDatagrams>(seen); }
  size_t datagram_limit_bytes() const override { return 1000; }

  std::vector<std::string> seen;
};

// A client without a loop.
class DatagramClient final : public net::DatagramEvents {
 public:
  explicit DatagramClient(std::unique_ptr<net::DatagramSocket> socket) : socket_(std::move(socket)) {
    socket_->set_events(this);
    socket_->want_read();
  }
  void send(uint16_t port, std::string_view text) { EXPECT_TRUE(socket_->send({"127.0.0.1", port}, as_bytes(text))); }
  void on_datagrams() override {
    socket_->receive(1000, [this](const net::Address&, Bytes payload) { got.emplace_back(as_text(payload)); });
    socket_->want_read();
  }

  std::vector<std::string> got;

 private:
  std::unique_ptr<net::DatagramSocket> socket_;
};

TEST_F(EdgesTest, DatagramsAreAnsweredCountedAndLimited) {
  start(1);
  EchoDatagramProtocol protocol;
  const auto port = loop_->add_datagrams(protocol, {"127.0.0.1", 0});
  ASSERT_TRUE(port.ok());
  DatagramClient client(net_->datagrams({"127.0.0.1", 0}).value());
  client.send(*port, std::string(1001, 'x'));
  for (int i = 0; i < 500; ++i) client.send(*port, std::to_string(i));
  client.send(*port, "submit");
  until([&] { return client.got.size() == 500; });
  for (int i = 0; i < 500; ++i) EXPECT_EQ(client.got[static_cast<size_t>(i)], std::to_string(i));
  EXPECT_EQ(loop_->counters().datagrams_dropped.value(), 1U) << "the long one";
  until([&] { return link_->requests.front() != nullptr; });
  const ShardRequest request = std::move(*link_->requests.front());
  link_->requests.pop();
  loop_->shutdown(clock_.monotonic_ns() + 100 * kSecondNs);
  steps(10);
  EXPECT_FALSE(loop_->stopped()) << "an answer is owed";
  Reply reply;
  reply.payload = Buffer::copy_of("done");
  ASSERT_TRUE(link_->gated.try_push({0, request.session, request.request, std::move(reply)}));
  until([&] { return client.got.size() == 501; });
  EXPECT_EQ(client.got.back(), "done");
  EXPECT_TRUE(loop_->stopped());
  EXPECT_EQ(loop_->counters().datagrams_in.value(), 502U);
  EXPECT_EQ(loop_->counters().datagrams_out.value(), 501U);
  clock_.advance(kSecondNs);
  steps(2);
  EXPECT_EQ(protocol.seen.back(), "timer");
}

TEST_F(EdgesTest, DatagramsAreLostDoubledAndReordered) {
  size_t fewest = SIZE_MAX;
  bool doubled = false;
  bool reordered = false;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    start(seed, {.loss_one_in = 10, .double_one_in = 10, .reorder = true});
    EchoDatagramProtocol protocol;
    const auto port = loop_->add_datagrams(protocol, {"127.0.0.1", 0});
    DatagramClient client(net_->datagrams({"127.0.0.1", 0}).value());
    for (int i = 0; i < 100; ++i) client.send(*port, std::to_string(1000 + i));
    until([&] { return net_->quiet() && loop_->next_deadline_ns() != 0; });
    std::map<std::string, int> times;
    for (const std::string& text : protocol.seen) doubled |= ++times[text] > 1;
    reordered |= !std::is_sorted(protocol.seen.begin(), protocol.seen.end());
    fewest = std::min(fewest, times.size());
  }
  EXPECT_LT(fewest, 100U);
  EXPECT_GT(fewest, 50U);
  EXPECT_TRUE(doubled && reordered);
}

TEST_F(EdgesTest, UnixSocketsHaveNamesOfTheirOwn) {
  start(1);
  ASSERT_TRUE(loop_->add_listener(server_, {"unix:/run/one", 0}).ok());
  ASSERT_TRUE(loop_->add_listener(server_, {"unix:/run/two", 0}).ok());
  EXPECT_FALSE(loop_->add_listener(server_, {"unix:/run/two", 0}).ok());
  loop_->add_outbound(client_, outbound_to(0, "unix:/run/two"));
  until([&] { return loop_->connections() == 2; });
}

}  // namespace
}  // namespace heptane::sim
