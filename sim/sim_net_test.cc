// The I/O loop over the simulated network: whatever sizes and moments the network chooses, the same things must hold.
#include "sim/sim_net.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "kernel/net/io_loop.h"
#include "sim/sim_clock.h"

namespace heptane::sim {
namespace {

using net::CloseReason;
using net::IoStatus;
using net::SessionContext;

constexpr int64_t kSecondNs = 1'000'000'000;

// What a test's sessions do, and what they saw.
struct Script {
  std::function<size_t(Bytes, SessionContext&)> on_bytes = [](Bytes input, SessionContext&) { return input.size(); };
  std::function<void(SessionContext&)> on_open = [](SessionContext&) {};
  std::function<void(uint64_t, SessionContext&)> on_timer = [](uint64_t, SessionContext&) {};
  std::function<void(const net::RecordsRead&, SessionContext&)> on_records = [](const auto&, SessionContext&) {};
  std::function<void(Offset, SessionContext&)> on_advanced = [](Offset, SessionContext&) {};
  size_t message_limit_bytes = 1 << 20;
  int64_t idle_timeout_ns = 0;
  std::vector<std::string> seen;
  size_t output_max = 0;
  int depth = 0;  // calls into sessions that have not returned
};

class ScriptSession final : public net::Session {
 public:
  explicit ScriptSession(Script& script) : script_(script) {}
  void on_open(SessionContext& context) override { script_.on_open(context); }
  size_t on_bytes(Bytes input, SessionContext& context) override {
    EXPECT_EQ(++script_.depth, 1);
    const size_t used = script_.on_bytes(input, context);
    script_.output_max = std::max(script_.output_max, context.output_bytes());
    --script_.depth;
    return used;
  }
  void on_reply(RequestId request, const Reply& reply, SessionContext& context) override {
    EXPECT_EQ(++script_.depth, 1);
    script_.seen.push_back("reply " + std::to_string(request));
    context.write(Buffer::copy_of(reply.payload.view()));
    --script_.depth;
  }
  void on_records(RequestId, const net::RecordsRead& records, SessionContext& context) override {
    script_.on_records(records, context);
  }
  void on_advanced(net::SubscriptionId, Offset end, SessionContext& context) override {
    EXPECT_EQ(script_.depth, 0);
    script_.on_advanced(end, context);
  }
  void on_writable(SessionContext&) override { script_.seen.emplace_back("writable"); }
  void on_timer(uint64_t timer, SessionContext& context) override { script_.on_timer(timer, context); }
  void on_close(CloseReason reason) override {
    script_.seen.push_back("close " + std::to_string(static_cast<int>(reason)));
  }

 private:
  Script& script_;
};

class ScriptProtocol final : public net::Protocol {
 public:
  explicit ScriptProtocol(Script& script) : script_(script) {}
  std::string_view name() const override { return "script"; }
  std::unique_ptr<net::Session> open(const net::Address&) override { return std::make_unique<ScriptSession>(script_); }
  size_t message_limit_bytes() const override { return script_.message_limit_bytes; }
  int64_t idle_timeout_ns() const override { return script_.idle_timeout_ns; }

 private:
  Script& script_;
};

class FakeReader final : public net::RecordsReader {
 public:
  net::RecordsRead read(const ReadReply& reply) override {
    net::RecordsRead records;
    records.offset = reply.offset;
    records.batches.push_back(Buffer::copy_of("records"));
    return records;
  }
  std::optional<net::RecordsRead> try_read(const ReadReply& reply) override {
    if (waits) return std::nullopt;
    return read(reply);
  }
  bool submit(net::ReadJob& job) override {
    if (jobs.size() == jobs_max) return false;
    jobs.push_back(std::move(job));
    return true;
  }
  std::optional<net::ReadDone> take_done() override {
    if (done.empty()) return std::nullopt;
    net::ReadDone taken = std::move(done.front());
    done.pop_front();
    return taken;
  }
  // The job is done, though not the first perhaps.
  void finish(size_t index) {
    const net::ReadJob& job = jobs[index];
    done.push_back({job.session, job.request, read(job.where), 0});
    jobs.erase(jobs.begin() + static_cast<std::ptrdiff_t>(index));
  }

  bool waits = false;
  size_t jobs_max = 100;
  std::vector<net::ReadJob> jobs;
  std::deque<net::ReadDone> done;
};

// A client that sends what it is told to and keeps what it gets.
struct Client {
  std::unique_ptr<SimStream> stream;
  std::string to_send;
  std::string got;
  bool reads = true;
  bool saw_end = false;
  bool saw_reset = false;

  void step() {
    if (!to_send.empty()) {
      const Bytes piece = as_bytes(to_send);
      const auto result = stream->write_some({&piece, 1});
      if (result.status == IoStatus::ok) to_send.erase(0, result.bytes);
    }
    std::byte buffer[4096];
    while (reads && !saw_end && !saw_reset) {
      const auto result = stream->read_some(buffer);
      saw_end = result.status == IoStatus::closed;
      saw_reset = result.status == IoStatus::reset;
      if (result.status != IoStatus::ok) return;
      got.append(as_text(Bytes(buffer, result.bytes)));
    }
  }
};

class IoLoopTest : public ::testing::Test {
 protected:
  void start(uint64_t seed = 1, net::IoLoopConfig config = {}, size_t link_capacity = 64, SimNetConfig sim = {}) {
    loop_.reset();
    clients_.clear();
    net_.reset();
    script_.seen.clear();
    random_ = SeededRandom(seed);
    net_ = std::make_unique<SimNet>(random_, sim);
    link_ = std::make_unique<ShardLink>(link_capacity);
    link_->wake_shard = [this] { ++shard_wakes_; };
    protocol_ = std::make_unique<ScriptProtocol>(script_);
    loop_ = std::make_unique<net::IoLoop>(*net_, clock_, *link_, reader_, std::move(config));
    auto port = loop_->add_listener(*protocol_, {"127.0.0.1", 0});
    ASSERT_TRUE(port.ok());
    port_ = *port;
  }
  Client& connect() {
    auto stream = net_->connect(port_);
    clients_.push_back(std::make_unique<Client>());
    clients_.back()->stream = std::move(*stream);
    return *clients_.back();
  }
  void steps(int count) {
    for (int i = 0; i < count; ++i) {
      for (auto& client : clients_)
        if (client->stream) client->step();
      loop_->run_once(0);
    }
  }
  // Runs until `done`, or fails after very many steps.
  void until(const std::function<bool()>& done) {
    for (int i = 0; i < 200'000; ++i) {
      if (done()) return;
      steps(1);
    }
    FAIL() << "it never came";
  }
  std::vector<ShardRequest> take_requests() {
    std::vector<ShardRequest> taken;
    while (ShardRequest* front = link_->requests.front()) {
      taken.push_back(std::move(*front));
      link_->requests.pop();
    }
    return taken;
  }
  void answer(const ShardRequest& request, Sequence gate, std::string_view payload = "+") {
    Reply reply;
    reply.payload = Buffer::copy_of(payload);
    ASSERT_TRUE(link_->gated.try_push({gate, request.session, request.request, std::move(reply)}));
  }
  void advance(const ShardRequest& request, Offset end) {
    const uint64_t id = std::get<SubscribeRequest>(request.body).subscription;
    ASSERT_TRUE(link_->open.try_push({0, 0, 0, Advanced{id, end}}));
  }
  uint64_t closed(CloseReason reason) const { return loop_->counters().closed_for(reason).value(); }

  // Every byte is a request with its own value as id.
  void submit_bytes() {
    script_.on_bytes = [](Bytes input, SessionContext& context) -> size_t {
      if (!context.submit(static_cast<RequestId>(input[0]), {})) context.write(Buffer::copy_of("-"));
      return 1;
    };
  }
  void echo_bytes() {
    script_.on_bytes = [](Bytes input, SessionContext& context) {
      context.write(Buffer::copy_of(input));
      return input.size();
    };
  }

  Script script_;
  SimClock clock_;
  FakeReader reader_;
  SeededRandom random_{1};
  std::unique_ptr<SimNet> net_;
  std::unique_ptr<ShardLink> link_;
  std::unique_ptr<ScriptProtocol> protocol_;
  std::unique_ptr<net::IoLoop> loop_;
  std::vector<std::unique_ptr<Client>> clients_;
  uint16_t port_ = 0;
  int shard_wakes_ = 0;
};

// Messages of u32 length and payload, echoed; the session asks for whole messages.
size_t echo_message(Bytes input, SessionContext& context) {
  if (input.size() < 4) {
    context.need(4);
    return 0;
  }
  const size_t whole = 4 + size_t{load_le<uint32_t>(input.data())};
  if (input.size() < whole) {
    context.need(whole);
    return 0;
  }
  context.write(Buffer::copy_of(input.first(whole)));
  return whole;
}

std::string random_messages(SeededRandom& random, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) {
    const uint64_t limit = random.one_in(8) ? 300'000 : 100;
    std::string payload(random.below(limit), '\0');
    for (char& c : payload) c = static_cast<char>(random.next());
    const auto length = static_cast<uint32_t>(payload.size());
    out.append(reinterpret_cast<const char*>(&length), 4).append(payload);
  }
  return out;
}

TEST_F(IoLoopTest, EchoEqualsInputAtEveryFragmentation) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    script_.on_bytes = echo_message;
    net::IoLoopConfig config;
    config.output_high_bytes = 10'000;
    config.output_low_bytes = 1'000;
    start(seed, config, 64, {.buffer_bytes = 1 + 4096 * seed});
    std::vector<std::string> sent;
    for (int i = 0; i < 4; ++i) {
      sent.push_back(random_messages(random_, 20));
      connect().to_send = sent.back();
    }
    for (size_t i = 0; i < sent.size(); ++i) {
      until([&] { return clients_[i]->got.size() >= sent[i].size() || clients_[i]->saw_reset; });
      ASSERT_EQ(clients_[i]->got == sent[i], true) << "seed " << seed << " client " << i;
    }
  }
}

TEST_F(IoLoopTest, SameSeedSameRun) {
  auto run = [this](uint64_t seed) {
    script_.on_bytes = [this](Bytes input, SessionContext& context) {
      script_.seen.push_back(std::to_string(context.id()) + ":" + std::to_string(input.size()));
      return echo_message(input, context);
    };
    start(seed);
    for (int i = 0; i < 3; ++i) connect().to_send = random_messages(random_, 5);
    steps(300);
    return script_.seen;
  };
  const auto first = run(7);
  EXPECT_EQ(first, run(7));
  EXPECT_NE(first, run(8));
}

TEST_F(IoLoopTest, AReaderThatDoesNotReadHoldsTheMarkAndOneMessage) {
  constexpr size_t kAnswerBytes = 16 << 10;
  script_.on_bytes = [](Bytes, SessionContext& context) -> size_t {
    context.write(Buffer::take(std::string(kAnswerBytes, 'x')));
    return 1;
  };
  net::IoLoopConfig config;
  config.output_high_bytes = 64 << 10;
  config.output_low_bytes = 16 << 10;
  start(3, config);
  Client& client = connect();
  client.reads = false;
  client.to_send = std::string(200, 'r');
  steps(2000);
  EXPECT_LE(script_.output_max, config.output_high_bytes + kAnswerBytes);
  EXPECT_GT(script_.output_max, config.output_high_bytes / 2);
  EXPECT_GT(loop_->counters().input_stops.value(), 0U);
  const auto before = script_.seen;
  steps(500);
  EXPECT_EQ(script_.seen, before) << "nothing moves while nobody reads";

  client.reads = true;
  until([&] { return client.got.size() == 200 * kAnswerBytes; });
  EXPECT_LE(script_.output_max, config.output_high_bytes + kAnswerBytes);
  EXPECT_GT(script_.seen.size(), before.size());
}

TEST_F(IoLoopTest, AReaderWithoutProgressIsCutOff) {
  script_.on_bytes = [](Bytes input, SessionContext& context) {
    context.write(Buffer::take(std::string(3 << 20, 'x')));
    return input.size();
  };
  start(4);
  Client& stuck = connect();
  stuck.reads = false;
  stuck.to_send = "r";
  steps(500);
  clock_.advance(29 * kSecondNs);
  steps(20);
  EXPECT_EQ(closed(CloseReason::deadline), 0U);
  clock_.advance(2 * kSecondNs);
  steps(20);
  EXPECT_EQ(closed(CloseReason::deadline), 1U);
  EXPECT_EQ(loop_->connections(), 0U);
}

TEST_F(IoLoopTest, NothingLeavesBeforeItsGate) {
  submit_bytes();
  start();
  Client& client = connect();
  client.to_send = "\x01\x02";
  until([&] { return link_->requests.size() == 2; });
  EXPECT_GT(shard_wakes_, 0);
  const auto requests = take_requests();
  link_->watermark = 4;
  answer(requests[0], 4, "a");
  answer(requests[1], 5, "b");
  steps(200);
  EXPECT_EQ(client.got, "a");
  EXPECT_EQ(loop_->unanswered(), 1U);
  link_->watermark = 5;
  until([&] { return client.got == "ab"; });
  EXPECT_EQ(loop_->unanswered(), 0U);
}

TEST_F(IoLoopTest, RequestsAreBoundedByTheLink) {
  submit_bytes();
  start(1, {}, 8);
  Client& client = connect();
  client.to_send = std::string(20, '\x07');
  until([&] { return client.got.size() == 12; });
  EXPECT_EQ(client.got, std::string(12, '-'));
  EXPECT_EQ(loop_->unanswered(), 8U);
  // Taken by the shard and not answered: they count as before.
  const auto requests = take_requests();
  ASSERT_EQ(requests.size(), 8U);
  client.to_send = "\x08";
  until([&] { return client.got.size() == 13; });
  for (const auto& request : requests) answer(request, 0);
  until([&] { return client.got.size() == 21; });
  client.to_send = "\x09";
  until([&] { return link_->requests.size() == 1; });
}

TEST_F(IoLoopTest, AConnectionWithManyRequestsIsNotRead) {
  submit_bytes();
  net::IoLoopConfig config;
  config.max_outstanding = 3;
  start(1, config);
  Client& client = connect();
  client.to_send = "\x01\x02\x03\x04\x05";
  steps(300);
  auto requests = take_requests();
  ASSERT_EQ(requests.size(), 3U);
  answer(requests[0], 0);
  steps(100);
  requests = take_requests();
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_EQ(requests[0].request, 4U);
}

TEST_F(IoLoopTest, AnswersToGoneSessionsAreDropped) {
  submit_bytes();
  start(1, {}, 4);
  Client& client = connect();
  client.to_send = "\x01\x02";
  until([&] { return link_->requests.size() == 2; });
  client.stream.reset();
  steps(100);
  EXPECT_EQ(loop_->connections(), 1U) << "it waits for the answers of a peer that may only have shut its side";
  const auto requests = take_requests();
  answer(requests[0], 0);
  steps(100);  // the write is answered with a reset
  EXPECT_EQ(loop_->connections(), 0U);
  answer(requests[1], 0);
  steps(5);
  EXPECT_EQ(loop_->counters().replies_dropped.value(), 1U);
  EXPECT_EQ(loop_->unanswered(), 0U);
  EXPECT_EQ(script_.seen, (std::vector<std::string>{"reply 1", "close 1"}));
}

TEST_F(IoLoopTest, HalfClosedPeerGetsItsAnswer) {
  submit_bytes();
  start();
  Client& client = connect();
  client.to_send = "\x01";
  until([&] { return client.to_send.empty(); });
  client.stream->shutdown_write();
  until([&] { return link_->requests.size() == 1; });
  steps(100);
  EXPECT_FALSE(client.saw_end);
  answer(take_requests()[0], 0);
  until([&] { return client.saw_end; });
  EXPECT_EQ(client.got, "+");
  EXPECT_EQ(closed(CloseReason::peer_closed), 1U);
}

TEST_F(IoLoopTest, ShutdownAnswersWhatWasAskedAndCloses) {
  submit_bytes();
  start();
  Client& idle = connect();
  Client& busy = connect();
  busy.to_send = "\x01";
  until([&] { return link_->requests.size() == 1 && loop_->connections() == 2; });
  loop_->shutdown(clock_.monotonic_ns() + 10 * kSecondNs);
  clock_.advance(kSecondNs);
  busy.to_send = "\x02";  // after the shutdown: not read
  until([&] { return idle.saw_end; });
  steps(50);
  EXPECT_FALSE(loop_->stopped());
  EXPECT_FALSE(net_->connect(port_).ok());
  answer(take_requests().at(0), 0);
  until([&] { return busy.saw_end || busy.saw_reset; });
  EXPECT_EQ(busy.got, "+");
  EXPECT_TRUE(busy.saw_end);
  busy.stream.reset();
  idle.stream.reset();
  until([&] { return loop_->stopped(); });
  EXPECT_EQ(closed(CloseReason::shutdown), 2U);
}

TEST_F(IoLoopTest, ShutdownEndsAtItsDeadline) {
  submit_bytes();
  start();
  connect().to_send = "\x01";
  until([&] { return link_->requests.size() == 1; });
  loop_->shutdown(clock_.monotonic_ns() + 10 * kSecondNs);
  steps(50);
  EXPECT_FALSE(loop_->stopped());
  EXPECT_EQ(loop_->next_deadline_ns(), clock_.monotonic_ns() + 10 * kSecondNs);
  clock_.advance(10 * kSecondNs);
  steps(3);
  EXPECT_TRUE(loop_->stopped());
}

TEST_F(IoLoopTest, IdleConnectionsAreClosedOthersAreNot) {
  submit_bytes();
  script_.idle_timeout_ns = 60 * kSecondNs;
  start();
  Client& silent = connect();
  Client& waiting = connect();
  Client& partial = connect();
  partial.reads = true;
  waiting.to_send = "\x01";
  until([&] { return link_->requests.size() == 1 && loop_->connections() == 3; });
  for (int i = 0; i < 4; ++i) {
    clock_.advance(20 * kSecondNs);
    partial.to_send = "\x02";
    steps(60);
    for (const auto& request : take_requests())
      if (request.request == 2) answer(request, 0);
    steps(60);
  }
  EXPECT_TRUE(silent.saw_end || silent.saw_reset);
  EXPECT_FALSE(waiting.saw_end) << "a connection that waits for the server is not idle";
  EXPECT_FALSE(partial.saw_end);
  EXPECT_EQ(closed(CloseReason::deadline), 1U);
  EXPECT_EQ(loop_->connections(), 2U);
}

// Payloads on their way to the shard are one budget: above it a command is refused, below it again taken.
TEST_F(IoLoopTest, PayloadsOnTheirWayAreBounded) {
  script_.on_bytes = [](Bytes, SessionContext& context) -> size_t {
    Submission submission;
    submission.payload = Buffer::copy_of(std::string(100, 'p'));
    if (!context.submit(1, std::move(submission))) context.write(Buffer::copy_of("-"));
    return 1;
  };
  net::IoLoopConfig config;
  config.request_budget_bytes = 350;
  start(1, config);
  Client& client = connect();
  client.to_send = std::string(5, 'x');
  until([&] { return client.got.size() == 2; });
  EXPECT_EQ(link_->request_bytes.load(), 300U);
  link_->request_bytes.fetch_sub(100 * take_requests().size());  // as the shard does
  client.to_send = "x";
  until([&] { return link_->requests.size() == 1; });
  EXPECT_EQ(client.got, "--");
}

// Many connections that each stay below the limit of one message: the memory of all of them is one budget.
TEST_F(IoLoopTest, UnfinishedMessagesOfAllConnectionsAreBounded) {
  script_.on_bytes = [](Bytes, SessionContext& context) -> size_t {
    context.need(1 << 20);
    return 0;
  };
  net::IoLoopConfig config;
  config.kept_budget_bytes = 1'000'000;
  start(1, config);
  for (int i = 0; i < 10; ++i) connect().to_send = std::string(300'000, 'x');
  until([&] { return closed(CloseReason::limit) == 7; });
  until([&] {
    return std::all_of(clients_.begin(), clients_.end(), [](const auto& client) {
      return client->to_send.empty() || client->saw_end || client->saw_reset;
    });
  });
  EXPECT_EQ(closed(CloseReason::limit), 7U);
  // What they held is free again: a new connection may hold it.
  Client& late = connect();
  late.to_send = std::string(90'000, 'x');
  until([&] { return late.to_send.empty(); });
  EXPECT_EQ(closed(CloseReason::limit), 7U);
}

TEST_F(IoLoopTest, MessagesAreLimited) {
  script_.message_limit_bytes = 1000;
  script_.on_bytes = echo_message;
  start();
  Client& large = connect();
  large.to_send = std::string("\xff\xff\xff\x7f", 4) + std::string(100, 'x');
  until([&] { return large.saw_end || large.saw_reset; });
  EXPECT_EQ(closed(CloseReason::limit), 1U);

  script_.on_bytes = [](Bytes, SessionContext&) -> size_t { return 0; };  // never says what it needs
  Client& endless = connect();
  endless.to_send = std::string(200'000, 'x');
  until([&] { return endless.saw_end || endless.saw_reset; });
  EXPECT_EQ(closed(CloseReason::limit), 2U);
}

TEST_F(IoLoopTest, TheLastAnswerArrivesThoughInputIsUnread) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    const std::string last(100'000, 'e');
    script_.on_bytes = [&](Bytes, SessionContext& context) -> size_t {
      context.write(Buffer::copy_of(last));
      context.close(CloseReason::protocol_error, "nonsense");
      context.write(Buffer::copy_of("never sent"));
      return 1;
    };
    std::string why;
    net::IoLoopConfig config;
    config.on_closed = [&](auto, const auto&, CloseReason, std::string_view text) { why = text; };
    start(seed, config);
    Client& client = connect();
    client.to_send = std::string(500'000, 'g');
    until([&] { return client.saw_end || client.saw_reset; });
    EXPECT_TRUE(client.saw_end);
    EXPECT_EQ(client.got == last, true);
    EXPECT_EQ(why, "nonsense");
    EXPECT_EQ(script_.seen, std::vector<std::string>{"close 3"});
    // The peer does not close: it is not waited for longer than linger_ns.
    clock_.advance(kSecondNs);
    steps(3);
    EXPECT_EQ(loop_->connections(), 0U);
  }
}

TEST_F(IoLoopTest, SessionsOfOnePartitionShareOneSubscription) {
  std::vector<Offset> ends;
  script_.on_bytes = [](Bytes input, SessionContext& context) -> size_t {
    EXPECT_NE(context.subscribe(9, static_cast<Offset>(input[0])), 0U);
    return 1;
  };
  script_.on_advanced = [&](Offset end, SessionContext& context) {
    ends.push_back(end);
    context.write(Buffer::copy_of("!"));
  };
  start();
  Client& one = connect();
  Client& two = connect();
  one.to_send = "\x05";
  two.to_send = "\x07";
  until([&] { return one.to_send.empty() && two.to_send.empty() && !link_->requests.empty(); });
  steps(200);
  auto asked = take_requests();
  ASSERT_EQ(asked.size(), 1U);
  advance(asked[0], 5);  // not past 5: nobody hears of it, the loop asks for more
  steps(10);
  asked = take_requests();
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(std::get<SubscribeRequest>(asked[0].body).from, 5);
  advance(asked[0], 7);
  steps(10);
  EXPECT_EQ(ends, std::vector<Offset>{7});
  asked = take_requests();
  ASSERT_EQ(asked.size(), 1U);
  one.to_send = "\x06";  // the known end is past it
  until([&] { return ends.size() == 2; });
  EXPECT_EQ(take_requests().size(), 0U);
  advance(asked[0], 20);
  until([&] { return ends.size() == 3; });
  steps(100);
  EXPECT_EQ(ends, (std::vector<Offset>{7, 7, 20}));
  EXPECT_EQ(one.got, "!!");
  EXPECT_EQ(two.got, "!");
  EXPECT_EQ(take_requests().size(), 0U) << "nobody waits any more";
}

TEST_F(IoLoopTest, WaitersOfADeletedPartitionAreToldOnce) {
  int told = 0;
  script_.on_bytes = [](Bytes, SessionContext& context) -> size_t {
    context.subscribe(9, 3);
    return 1;
  };
  script_.on_advanced = [&](Offset, SessionContext&) { ++told; };
  start();
  connect().to_send = "s";
  until([&] { return link_->requests.size() == 1; });
  advance(take_requests()[0], 0);
  steps(10);
  EXPECT_EQ(told, 0);
  auto asked = take_requests();
  ASSERT_EQ(asked.size(), 1U);
  advance(asked[0], 0);  // no further than it was asked for: gone
  steps(10);
  EXPECT_EQ(told, 1);
  EXPECT_EQ(take_requests().size(), 0U);
}

TEST_F(IoLoopTest, ReadsComeBackAsRecords) {
  std::vector<std::string> got;
  script_.on_bytes = [](Bytes, SessionContext& context) -> size_t {
    EXPECT_TRUE(context.read(1, {.partition = 2, .offset = 40, .max_bytes = 1000}));
    return 1;
  };
  script_.on_records = [&](const net::RecordsRead& records, SessionContext&) {
    got.push_back(records.error
                      ? "error"
                      : std::to_string(records.offset) + " " + std::string(as_text(records.batches.at(0).view())));
  };
  start();
  connect().to_send = "rr";
  until([&] { return link_->requests.size() == 2; });
  const auto requests = take_requests();
  ReadReply reply;
  reply.offset = 40;
  ASSERT_TRUE(link_->open.try_push({0, requests[0].session, requests[0].request, reply}));
  reply.error = Errc::not_found;
  ASSERT_TRUE(link_->open.try_push({0, requests[1].session, requests[1].request, reply}));
  steps(1);
  EXPECT_EQ(got, (std::vector<std::string>{"40 records", "error"}));
}

// Every byte asks for the records from its own value on; 0x7F closes.
TEST_F(IoLoopTest, ReadsThatWaitComeBackInAnyOrder) {
  std::vector<std::string> got;
  script_.on_bytes = [](Bytes input, SessionContext& context) -> size_t {
    const auto offset = static_cast<Offset>(input[0]);
    if (offset == 0x7F) {
      context.close(CloseReason::session_closed, "it has had enough");
      return 1;
    }
    EXPECT_TRUE(context.read(static_cast<RequestId>(offset), {.partition = 2, .offset = offset, .max_bytes = 1000}));
    return 1;
  };
  script_.on_records = [&](const net::RecordsRead& records, SessionContext& context) {
    got.push_back(std::to_string(context.id()) + ":" + std::to_string(records.offset));
  };
  start();
  reader_.waits = true;
  reader_.jobs_max = 3;
  connect().to_send = "\x01\x02\x03";
  until([&] { return link_->requests.size() == 3; });
  connect().to_send = "\x04\x05";
  until([&] { return link_->requests.size() == 5; });
  for (const ShardRequest& request : take_requests()) {
    ReadReply reply;
    reply.offset = static_cast<Offset>(request.request);
    ASSERT_TRUE(link_->open.try_push({0, request.session, request.request, reply}));
  }
  steps(2);
  EXPECT_EQ(reader_.jobs.size(), 3U) << "two wait in the loop: the readers' queue is full";
  EXPECT_EQ(loop_->unanswered(), 5U);
  reader_.finish(2);
  reader_.finish(0);
  steps(2);
  EXPECT_EQ(got, (std::vector<std::string>{"1:3", "1:1"}));
  EXPECT_EQ(reader_.jobs.size(), 3U) << "those that waited went on";
  // The second connection closes with its reads under way.
  clients_[1]->to_send = "\x7f";
  until([&] { return loop_->counters().closed_for(CloseReason::session_closed).value() == 1; });
  while (!reader_.jobs.empty()) reader_.finish(reader_.jobs.size() - 1);
  steps(2);
  EXPECT_EQ(got, (std::vector<std::string>{"1:3", "1:1", "1:2"}));
  EXPECT_EQ(loop_->unanswered(), 0U);
  EXPECT_EQ(loop_->counters().replies_dropped.value(), 2U);
}

TEST_F(IoLoopTest, TimersFireInOrderAndNotWhenCancelled) {
  std::vector<uint64_t> fired;
  std::vector<uint64_t> armed;
  script_.on_open = [&](SessionContext& context) {
    for (int64_t seconds : {3, 1, 2, 1}) armed.push_back(context.arm(seconds * kSecondNs));
    context.cancel(armed[2]);
  };
  script_.on_timer = [&](uint64_t timer, SessionContext&) { fired.push_back(timer); };
  start();
  Client& client = connect();
  until([&] { return loop_->connections() == 1; });
  EXPECT_EQ(loop_->next_deadline_ns(), clock_.monotonic_ns() + kSecondNs);
  clock_.advance(2 * kSecondNs);
  steps(1);
  EXPECT_EQ(fired, (std::vector<uint64_t>{armed[1], armed[3]}));
  client.stream.reset();
  steps(100);
  clock_.advance(2 * kSecondNs);
  steps(1);
  EXPECT_EQ(fired.size(), 2U) << "timers go with their session";
  EXPECT_EQ(loop_->next_deadline_ns(), -1);
}

TEST_F(IoLoopTest, ConnectionsAreCapped) {
  net::IoLoopConfig config;
  config.max_connections = 2;
  start(1, config);
  for (int i = 0; i < 5; ++i) connect();
  until([&] { return loop_->counters().accepted.value() == 5; });
  EXPECT_EQ(loop_->connections(), 2U);
  EXPECT_EQ(loop_->counters().refused.value(), 3U);
}

TEST_F(IoLoopTest, ResetsLeaveNothingBehind) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    script_.on_bytes = [](Bytes input, SessionContext& context) -> size_t {
      context.submit(static_cast<RequestId>(input[0]), {});
      context.write(Buffer::take(std::string(5'000, 'w')));
      if (input[0] == std::byte{'q'}) context.close(CloseReason::session_closed, "");
      return 1;
    };
    start(seed, {}, 16, {.reset_one_in = 200});
    for (int i = 0; i < 10; ++i) connect().to_send = random_messages(random_, 3) + "q";
    for (int i = 0; i < 1000; ++i) {
      steps(1);
      for (const auto& request : take_requests()) answer(request, random_.below(i + 1));
      link_->watermark = i;
    }
    clients_.clear();
    for (int i = 0; i < 200; ++i) {
      for (const auto& request : take_requests()) answer(request, 0);
      steps(1);
      clock_.advance(kSecondNs);
    }
    EXPECT_EQ(loop_->connections(), 0U) << "seed " << seed;
    EXPECT_EQ(loop_->counters().open.value(), 0U);
    EXPECT_EQ(loop_->unanswered(), 0U);
    EXPECT_EQ(loop_->next_deadline_ns(), -1);
  }
}

}  // namespace
}  // namespace heptane::sim
