// The gateway's part of shadows and of things' presence: what goes to the log, in which order, how much of it; what clients hear.
#include <gtest/gtest.h>

#include <memory>

#include "kernel/net/http/fake_context.h"
#include "modules/iot/gateway/mqtt/mqtt.h"
#include "modules/iot/machine/devices/device_api.h"
#include "modules/iot/machine/devices/shadow_api.h"
#include "modules/iot/test/mqtt_world.h"

namespace heptane::iot::mqtt {

namespace {

using devices::ShadowFault;
using devices::ShadowOperation;
using iot::test::bytes_of;
using iot::test::hex_of;

constexpr int64_t kMillisecondNs = 1'000'000;

// The broker's resident session, and the watch of answers in front of it (IoLoop::watch_answers).
class Watched final : public net::Session {
 public:
  explicit Watched(Broker& broker) : broker_(broker), inner_(protocol_.open({})) {}
  void on_open(net::SessionContext& context) override { inner_->on_open(context); }
  size_t on_bytes(Bytes input, net::SessionContext& context) override { return inner_->on_bytes(input, context); }
  void on_reply(RequestId request, const Reply& reply, net::SessionContext& context) override {
    if (request >= ShadowService::kRequests && request < 2 * ShadowService::kRequests && reply.ok())
      broker_.shadows().deliver(reply);
    inner_->on_reply(request, reply, context);
  }
  void on_timer(net::SessionTimerId timer, net::SessionContext& context) override { inner_->on_timer(timer, context); }
  void on_close(net::CloseReason reason) override { inner_->on_close(reason); }

 private:
  Broker& broker_;
  ResidentProtocol protocol_{broker_};
  std::unique_ptr<net::Session> inner_;
};

class Service : public testing::Test {
 protected:
  Service() { start(0); }
  ~Service() override {
    for (auto& client : clients_) client->session->on_close(net::CloseReason::shutdown);
  }

  void start(uint64_t things) {
    things_ = things;
    broker_.things().set_count([this] { return things_; });
    context_.on_submit = [this](const Submission& submission) { return take(submission); };
    context_.on_query = [](const QueryRequest&) { return Reply(); };
    resident_.on_open(context_);
    context_.pass_time(0);
    context_.deliver();
    sent_.clear();
  }

  // Every request is answered by one message.
  Reply take(const Submission& submission) {
    if (submission.machine != devices::kDevicesMachineId) return {};
    sent_.push_back(submission);
    Reply reply;
    if (submission.type != devices::kShadowRequest) return reply;
    reply.error = refusal_;
    devices::ShadowReply answer;
    answer.partition = 7;
    answer.statuses = {PublishStatus::kept};
    ByteWriter messages;
    MessageView message;
    message.qos = 1;
    message.topic = "$aws/t";
    message.payload = "{}";
    append_message(messages, message);
    answer.messages = Buffer::take(messages.release());
    reply.payload = devices::encode(answer);
    return reply;
  }

  bool request(std::string_view thing) {
    return broker_.shadows().request({thing, "", ShadowOperation::get}, "", 0, 0, {});
  }
  ShadowFault fault(size_t index) const {
    return devices::decode_shadow_request(sent_.at(index).payload.view())->fault;
  }

  struct Client {
    std::unique_ptr<net::Session> session;
    std::unique_ptr<http::test::FakeContext> context;
  };
  Client& connect(const std::string& name, const char* flags = "02", const std::string& more = "") {
    auto made = std::make_unique<Client>();
    made->session = protocol_.open({});
    made->context = std::make_unique<http::test::FakeContext>(*made->session);
    made->context->session_id = ++last_session_;
    made->context->on_query = [](const QueryRequest&) { return Reply(); };
    clients_.push_back(std::move(made));
    Client& client = *clients_.back();
    client.session->on_open(*client.context);
    const std::string body = bytes_of(std::string("s4 'MQTT' 05 ") + flags + " k0 00 s1 '" + name + "'" + more);
    client.context->send(bytes_of("10 r" + std::to_string(body.size())) + body);
    return client;
  }
  std::string take_output(Client& client) { return hex_of(std::exchange(client.context->output, {})); }

  Broker broker_{MqttOptions{}};
  MqttProtocol protocol_{broker_};
  Watched resident_{broker_};
  http::test::FakeContext context_{resident_};
  uint64_t things_ = 0;
  std::optional<Errc> refusal_;
  std::vector<Submission> sent_;  // to the machine of devices
  std::vector<std::unique_ptr<Client>> clients_;
  SessionId last_session_ = 1;
};

std::string publish5(std::string_view topic, char qos_flags, std::string_view payload) {
  ByteWriter out;
  const size_t size = 2 + topic.size() + (qos_flags == '0' ? 0 : 2) + 1 + payload.size();
  out.u8(static_cast<uint8_t>(0x30 | (qos_flags == '1' ? 2 : 0)));
  write_variable(out, static_cast<uint32_t>(size));
  out.be<uint16_t>(static_cast<uint16_t>(topic.size()));
  out.append(topic);
  if (qos_flags != '0') out.be<uint16_t>(9);
  out.u8(0);
  out.append(payload);
  return std::string(as_text(out.view()));
}

}  // namespace

TEST_F(Service, TheEleventhOfAThingIsTooMany) {
  context_.hold_answers = true;
  for (size_t i = 0; i < devices::kShadowsInFlight + 2; ++i) EXPECT_TRUE(request("a"));
  EXPECT_TRUE(request("b"));
  ASSERT_EQ(sent_.size(), devices::kShadowsInFlight + 3);
  for (size_t i = 0; i < devices::kShadowsInFlight; ++i) EXPECT_EQ(fault(i), ShadowFault::none);
  EXPECT_EQ(fault(10), ShadowFault::too_many);
  EXPECT_EQ(fault(11), ShadowFault::too_many);
  EXPECT_EQ(fault(12), ShadowFault::none);
  context_.deliver();
  for (size_t i = 0; i < devices::kShadowsInFlight; ++i) EXPECT_TRUE(request("a"));
  EXPECT_EQ(fault(22), ShadowFault::none);
}

TEST_F(Service, WhatTheRingHasNoRoomForGoesLaterInItsOrder) {
  context_.queue_full = true;
  EXPECT_TRUE(request("a"));
  EXPECT_TRUE(request("b"));
  EXPECT_TRUE(sent_.empty());
  context_.pass_time(kMillisecondNs);
  EXPECT_TRUE(sent_.empty());
  context_.queue_full = false;
  EXPECT_TRUE(request("c"));
  context_.pass_time(kMillisecondNs);
  ASSERT_EQ(sent_.size(), 3U);
  EXPECT_EQ(devices::decode_shadow_request(sent_[0].payload.view())->thing, "a");
  EXPECT_EQ(devices::decode_shadow_request(sent_[2].payload.view())->thing, "c");
}

TEST_F(Service, WaitingRequestsAreBounded) {
  context_.queue_full = true;
  for (size_t i = 0; i < ShadowService::kWaitingMax; ++i) ASSERT_TRUE(request("t" + std::to_string(i)));
  EXPECT_FALSE(request("one-more"));
}

TEST_F(Service, APublisherIsToldWhenItIsAnsweredAndSubscribersBefore) {
  Client& client = connect("a");
  client.context->send(bytes_of("82 r12 m1 00 s6 '$aws/t' 01"));
  context_.deliver();
  client.context->deliver();
  take_output(client);
  context_.hold_answers = true;
  client.context->send(publish5("$aws/things/a/shadow/update", '1', R"({"state":{}})"));
  EXPECT_EQ(take_output(client), "");
  ASSERT_EQ(sent_.size(), 1U);
  context_.deliver();
  EXPECT_EQ(take_output(client), hex_of(bytes_of("32 r13 s6 '$aws/t' m1 00 '{}' 40 r2 m9")));
}

TEST_F(Service, WhatTheShardRefusesIsTold) {
  Client& client = connect("a");
  take_output(client);
  refusal_ = Errc::no_space;
  client.context->send(publish5("$aws/things/a/shadow/get", '1', ""));
  context_.deliver();
  EXPECT_EQ(take_output(client), "4003000997");
}

TEST_F(Service, OtherTopicsOfTheServicesAreNobodys) {
  Client& client = connect("a");
  take_output(client);
  client.context->send(publish5("$aws/things/a/tunnels/get", '1', ""));
  EXPECT_EQ(take_output(client), "4003000987");
  client.context->send(publish5("$aws/things/a/shadow/get/accepted", '0', "{}"));
  EXPECT_EQ(take_output(client), "");
  EXPECT_TRUE(sent_.empty());
  Client& will = connect("b", "06", " 00 s24 '$aws/things/a/shadow/get' s0");
  EXPECT_TRUE(will.context->closed);
  EXPECT_EQ(take_output(will).substr(0, 2), "20");
}

TEST_F(Service, ConnectionsOfThingsAreToldBehindTheStart) {
  things_ = 1;
  Client& client = connect("a");
  client.session->on_close(net::CloseReason::peer_reset);
  EXPECT_TRUE(sent_.empty());
  context_.pass_time(ThingPresence::kEachNs);
  ASSERT_EQ(sent_.size(), 2U);
  EXPECT_EQ(sent_[0].type, devices::kStarted);
  const auto told = devices::decode_connections(sent_[1].payload.view());
  ASSERT_TRUE(told && told->size() == 2);
  EXPECT_EQ((*told)[0].thing, "a");
  EXPECT_TRUE((*told)[0].connected);
  EXPECT_FALSE((*told)[1].connected);
  EXPECT_EQ((*told)[0].number, (*told)[1].number);
  clients_.clear();
}

TEST_F(Service, WhereNothingIsRegisteredNothingIsTold) {
  connect("a");
  context_.pass_time(2 * ThingPresence::kEachNs);
  EXPECT_TRUE(sent_.empty());
}

}  // namespace heptane::iot::mqtt
