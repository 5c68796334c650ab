// Direct methods: topics; what a device hears, what the one who called is answered, over HTTP as bytes.
#include <gtest/gtest.h>

#include "kernel/auth/api.h"
#include "kernel/net/http/session.h"
#include "modules/iot/domain/devices/method.h"
#include "modules/iot/gateway/http/mqtt_routes.h"
#include "modules/iot/test/mqtt_world.h"

namespace heptane::iot::test {

namespace {

constexpr int64_t kSecond = 1'000'000'000;
const std::string kMethods = "$iothub/methods/POST/#";

std::string text(std::string_view of) {
  ByteWriter out;
  mqtt::write_text(out, of);
  return std::string(as_text(out.view()));
}

std::string packet(char first, const std::string& body) {
  ByteWriter out;
  out.u8(static_cast<uint8_t>(first));
  mqtt::write_variable(out, static_cast<uint32_t>(body.size()));
  out.append(body);
  return std::string(as_text(out.view()));
}

// Devices that speak MQTT, and callers that speak HTTP.
class Methods : public testing::Test {
 protected:
  Methods() {
    options_.random = [this](size_t bytes) { return std::string(bytes, static_cast<char>(++chances_)); };
    world_ = std::make_unique<World>(options_);
    world_->create_things({"pump-1", "pump-2"});
    mqtt_http::add_method_route(service_.router, [this] { return &world_->broker(); });
  }

  struct Caller {
    explicit Caller(const http::HttpService& service) : session(service), context(session) {}
    http::HttpSession session;
    http::test::FakeContext context;
  };
  Caller& call(const std::string& target, const std::string& body = "", bool held = false) {
    callers_.push_back(std::make_unique<Caller>(service_));
    Caller& caller = *callers_.back();
    caller.context.hold_answers = held;
    caller.context.on_query = [this](const QueryRequest& query) {
      Reply reply;
      world_->devices().query({query.type, query.payload.view(), {}}, reply);
      return reply;
    };
    caller.context.on_submit = [this](const Submission& submission) {
      EXPECT_EQ(submission.machine, machine_ids::kAuth);
      const auto note = auth::decode_note(submission.payload.view());
      EXPECT_TRUE(note);
      if (note)
        notes_.push_back(std::string(note->action) + ' ' + std::string(note->on) + ' ' + std::string(note->detail));
      return Reply{};
    };
    caller.context.send("POST /api/v1/devices/" + target +
                        " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " +
                        std::to_string(body.size()) + "\r\n\r\n" + body);
    return caller;
  }
  // `200 BODY` of what came since.
  static std::string answer(Caller& caller) {
    if (!caller.context.closed) caller.context.pass_time(0);
    const std::string output = std::exchange(caller.context.output, {});
    if (output.empty()) return "";
    return output.substr(9, 3) + ' ' + output.substr(output.find("\r\n\r\n") + 4);
  }
  static std::string code(Caller& caller) { return answer(caller).substr(0, 3); }

  void connect(const std::string& client, char version = 4, bool kept = false) {
    std::string body = text("MQTT") + version + (kept ? '\0' : '\2') + std::string("\0\0", 2);
    if (version == 5) body += '\0';
    world_->send(client, packet(0x10, body + text(client)));
    (void)world_->take_output(client);
  }
  void subscribe(const std::string& client, const std::string& filter, char version = 4) {
    world_->send(client, packet('\x82', std::string("\0\1", 2) + (version == 5 ? std::string(1, '\0') : "") +
                                            text(filter) + '\0'));
    (void)world_->take_output(client);
  }
  void say(const std::string& client, const std::string& topic, const std::string& payload) {
    world_->send(client, packet(0x30, text(topic) + payload));
  }
  // At QoS 1, in MQTT 5: the reason of the acknowledgement.
  std::string say_five(const std::string& client, const std::string& topic) {
    world_->send(client, packet(0x32, text(topic) + std::string("\0\7\0", 3) + "{}"));
    const std::string all = world_->take_output(client);
    return all.size() == 4 ? "00" : hex_of(all.substr(4, 1));
  }
  static std::string id(int chance) {
    std::string all;
    for (int i = 0; i < 8; ++i) all += hex_of(std::string(1, static_cast<char>(chance)));
    return all;
  }
  static std::string asked(const std::string& method, int chance, const std::string& payload) {
    return packet(0x30, text("$iothub/methods/POST/" + method + "/?$rid=" + id(chance)) + payload);
  }
  static std::string answers(int chance, int status = 200) {
    return "$iothub/methods/res/" + std::to_string(status) + "/?$rid=" + id(chance);
  }

  int chances_ = 0;
  mqtt::MqttOptions options_;
  std::unique_ptr<World> world_;
  http::HttpService service_;
  std::vector<std::unique_ptr<Caller>> callers_;
  std::vector<std::string> notes_;
};

}  // namespace

TEST(MethodTopics, AreAzures) {
  using namespace devices;
  EXPECT_EQ(method_topic("reboot", "7"), "$iothub/methods/POST/reboot/?$rid=7");
  EXPECT_EQ(method_answer_topic(200, "7"), "$iothub/methods/res/200/?$rid=7");
  const auto answer = parse_method_answer("$iothub/methods/res/404/?$rid=a/b");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 404U);
  EXPECT_EQ(answer->id, "a/b");
  for (const char* wrong :
       {"$iothub/methods/res/", "$iothub/methods/res/200", "$iothub/methods/res/200/", "$iothub/methods/res/200/?$rid=",
        "$iothub/methods/res//?$rid=1", "$iothub/methods/res/-1/?$rid=1", "$iothub/methods/res/1234567890/?$rid=1",
        "$iothub/methods/res/2x/?$rid=1", "$iothub/methods/res/200/?rid=1", "$iothub/methods/POST/reboot/?$rid=1"})
    EXPECT_FALSE(parse_method_answer(wrong)) << wrong;
  EXPECT_TRUE(is_method_topic("$iothub"));
  EXPECT_TRUE(is_method_topic("$iothub/twin/GET"));
  EXPECT_FALSE(is_method_topic("$iothubs/x"));
  EXPECT_TRUE(is_method_filter("$iothub/methods/POST/#"));
  EXPECT_FALSE(is_method_filter("$iothub/#"));
  EXPECT_TRUE(valid_method_name("valve.open-2"));
  for (const std::string& wrong : {std::string(), std::string(129, 'a'), std::string("a/b"), std::string("+")})
    EXPECT_FALSE(valid_method_name(wrong)) << wrong;
}

TEST_F(Methods, TheDevicesAnswerIsTheAnswer) {
  connect("pump-1");
  subscribe("pump-1", kMethods);
  Caller& caller = call("pump-1/methods/open", R"({"payload":{"degrees": 90}})");
  EXPECT_EQ(answer(caller), "");
  EXPECT_EQ(world_->take_output("pump-1"), asked("open", 1, R"({"degrees": 90})"));
  EXPECT_EQ(notes_, (std::vector<std::string>{"devices.call pump-1 open"}));
  say("pump-1", answers(1), R"({"was":[0]})");
  EXPECT_EQ(answer(caller), "200 {\"status\":200,\"payload\":{\"was\":[0]}}\n");
  Caller& second = call("pump-1/methods/close");
  EXPECT_EQ(world_->take_output("pump-1"), asked("close", 2, "null"));
  say("pump-1", answers(2, 418), "");
  EXPECT_EQ(answer(second), "200 {\"status\":418,\"payload\":null}\n");
  EXPECT_EQ(world_->broker().counters().methods_sent.value(), 2U);
  EXPECT_EQ(world_->broker().counters().methods_unanswered.value(), 0U);
  EXPECT_TRUE(world_->records("iot.messages").empty()) << "nothing of it is a message";
}

TEST_F(Methods, AClientOfMqtt5IsToldWhereToAnswer) {
  connect("pump-1", 5);
  subscribe("pump-1", kMethods, 5);
  Caller& caller = call("pump-1/methods/open", R"({"timeout_seconds":7})");
  const std::string expiry = bytes_of("02 L7");
  const std::string told = '\x08' + text(answers(1)) + '\x09' + text(id(1));
  const std::string properties = expiry + told;
  EXPECT_EQ(world_->take_output("pump-1"),
            packet(0x30, text("$iothub/methods/POST/open/?$rid=" + id(1)) + static_cast<char>(properties.size()) +
                             properties + "null"));
  EXPECT_EQ(say_five("pump-1", answers(1)), "00");
  EXPECT_EQ(answer(caller), "200 {\"status\":200,\"payload\":{}}\n");
  EXPECT_EQ(say_five("pump-1", answers(1)), "10") << "nobody waits for it any more";
  EXPECT_EQ(world_->broker().counters().methods_late.value(), 1U);
}

TEST_F(Methods, WhoIsNotThereIsNotWaitedFor) {
  EXPECT_EQ(code(call("pump-9/methods/open")), "404");
  EXPECT_EQ(code(call("pump-1/methods/open")), "409");
  connect("pump-1");
  EXPECT_EQ(code(call("pump-1/methods/open")), "409") << "it listens for none";
  subscribe("pump-1", "$iothub/methods/POST/close/#");
  EXPECT_EQ(code(call("pump-1/methods/open")), "409") << "it listens for another";
  EXPECT_EQ(code(call("pump-1/methods/close")), "");
  world_->break_off("pump-1");
  EXPECT_EQ(code(call("pump-1/methods/close")), "409");
  EXPECT_EQ(notes_, (std::vector<std::string>{"devices.call pump-1 close"})) << "the trail has what was asked";
}

TEST_F(Methods, AConnectTimeoutWaitsForTheDeviceAndItsFilter) {
  Caller& caller = call("pump-1/methods/open", R"({"connect_timeout_seconds":55,"timeout_seconds":5})");
  caller.context.pass_time(40 * kSecond);
  EXPECT_EQ(answer(caller), "");
  connect("pump-1");
  subscribe("pump-1", "$iothub/methods/POST/close/#");
  EXPECT_EQ(answer(caller), "");
  subscribe("pump-1", "$iothub/methods/POST/open/#");
  EXPECT_EQ(answer(caller), "");
  EXPECT_EQ(world_->take_output("pump-1"), asked("open", 1, "null"));
  say("pump-1", answers(1), "1");
  EXPECT_EQ(answer(caller), "200 {\"status\":200,\"payload\":1}\n");
  Caller& vain = call("pump-2/methods/open", R"({"connect_timeout_seconds":30})");
  vain.context.pass_time(29 * kSecond);
  EXPECT_EQ(answer(vain), "");
  vain.context.pass_time(kSecond);
  EXPECT_EQ(code(vain), "409");
}

TEST_F(Methods, ALateAnswerIsCountedAndDropped) {
  connect("pump-1");
  subscribe("pump-1", kMethods);
  Caller& caller = call("pump-1/methods/open", R"({"timeout_seconds":60})");
  caller.context.pass_time(59 * kSecond);
  EXPECT_EQ(answer(caller), "");
  caller.context.pass_time(kSecond);
  EXPECT_EQ(code(caller), "504");
  EXPECT_FALSE(caller.context.closed) << "the connection goes on";
  EXPECT_EQ(world_->broker().counters().methods_unanswered.value(), 1U);
  say("pump-1", answers(1), "1");
  EXPECT_EQ(world_->broker().counters().methods_late.value(), 1U);
  EXPECT_EQ(code(caller), "");
}

TEST_F(Methods, NobodyElseAnswers) {
  connect("pump-1");
  subscribe("pump-1", kMethods);
  connect("pump-2", 5);
  subscribe("pump-2", kMethods, 5);
  Caller& caller = call("pump-1/methods/open");
  EXPECT_EQ(world_->take_output("pump-2"), "");
  EXPECT_EQ(say_five("pump-2", answers(1)), "87");
  EXPECT_EQ(answer(caller), "");
  EXPECT_EQ(say_five("pump-2", "$iothub/methods/POST/open/?$rid=1"), "87") << "devices ask nobody";
  EXPECT_EQ(say_five("pump-2", "$iothub/twin/GET/?$rid=1"), "87");
  say("pump-1", answers(1), "1");
  EXPECT_EQ(code(caller), "200");
}

TEST_F(Methods, TheEleventhOfADeviceIsTooMany) {
  connect("pump-1");
  subscribe("pump-1", kMethods);
  connect("pump-2");
  subscribe("pump-2", kMethods);
  std::vector<Caller*> under_way;
  for (size_t i = 0; i < mqtt::MethodCalls::kOfThingMax; ++i) under_way.push_back(&call("pump-1/methods/open"));
  EXPECT_EQ(code(call("pump-1/methods/open")), "429");
  EXPECT_EQ(code(call("pump-2/methods/open")), "") << "another has room";
  say("pump-1", answers(3), "1");
  EXPECT_EQ(code(*under_way[2]), "200");
  EXPECT_EQ(code(call("pump-1/methods/open")), "");
  EXPECT_EQ(code(call("pump-1/methods/open")), "429");
  // Who asked and is gone leaves his room.
  under_way[0]->session.on_close(net::CloseReason::peer_closed);
  under_way[0]->context.closed = true;
  EXPECT_EQ(code(call("pump-1/methods/open")), "");
}

TEST_F(Methods, TheTrailHasItBeforeTheDevice) {
  connect("pump-1");
  subscribe("pump-1", kMethods);
  Caller& caller = call("pump-1/methods/open", "", true);
  caller.context.deliver_one();
  EXPECT_EQ(notes_.size(), 1U);
  EXPECT_EQ(world_->take_output("pump-1"), "");
  caller.context.deliver_one();
  EXPECT_EQ(world_->take_output("pump-1"), asked("open", 1, "null"));
}

TEST_F(Methods, WhatIsNoJsonIsNoAnswer) {
  connect("pump-1");
  subscribe("pump-1", kMethods);
  Caller& caller = call("pump-1/methods/open");
  say("pump-1", answers(1), "{");
  EXPECT_EQ(code(caller), "502");
  Caller& two = call("pump-1/methods/open");
  say("pump-1", answers(2), "1,2");
  EXPECT_EQ(code(two), "502");
  Caller& large = call("pump-1/methods/open");
  say("pump-1", answers(3), '"' + std::string(devices::kMethodPayloadBytesMax, 'x') + '"');
  EXPECT_EQ(code(large), "502");
}

TEST_F(Methods, WrongCallsSaySo) {
  for (const char* body : {"{", "[]", R"({"timeout_seconds":0})", R"({"timeout_seconds":61})", R"({"timeout":3})",
                           R"({"connect_timeout_seconds":-1})", R"({"connect_timeout_seconds":31})"})
    EXPECT_EQ(code(call("pump-1/methods/open", body)), "400") << body;
  EXPECT_EQ(code(call("pump-1/methods/a%2Fb")), "400");
  const std::string most(devices::kMethodPayloadBytesMax - 1, 'x');
  EXPECT_EQ(code(call("pump-1/methods/open", "{\"payload\":\"" + most + "\"}")), "413");
}

TEST_F(Methods, ADurableSessionListensWhenItIsBack) {
  connect("pump-1", 4, true);
  subscribe("pump-1", kMethods);
  world_->crash();
  connect("pump-1", 4, true);
  Caller& caller = call("pump-1/methods/open");
  EXPECT_EQ(world_->take_output("pump-1"), asked("open", 1, "null"));
  say("pump-1", answers(1), "1");
  EXPECT_EQ(code(caller), "200");
}

TEST_F(Methods, TheNewestConnectionThatListensIsAsked) {
  connect("pump-1");
  subscribe("pump-1", kMethods);
  world_->break_off("pump-1");
  connect("pump-1");
  EXPECT_EQ(code(call("pump-1/methods/open")), "409");
  subscribe("pump-1", kMethods);
  EXPECT_EQ(code(call("pump-1/methods/open")), "");
}

TEST_F(Methods, ACallOutlivesTheBroker) {
  connect("pump-1");
  subscribe("pump-1", kMethods);
  Caller& caller = call("pump-1/methods/open");
  world_.reset();
  caller.session.on_close(net::CloseReason::shutdown);
  caller.context.closed = true;
}

}  // namespace heptane::iot::test
