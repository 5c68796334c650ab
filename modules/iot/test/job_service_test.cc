// Job requests through the gateway, with the machine of jobs behind it: what goes to whom, also by what nobody here asked for.
#include <gtest/gtest.h>

#include "kernel/base/crc32c.h"
#include "modules/iot/machine/jobs/job_api.h"
#include "modules/iot/test/mqtt_world.h"

namespace heptane::iot::test {
namespace {

std::string connect(const std::string& id) {
  return bytes_of("10 r" + std::to_string(12 + id.size()) + " s4 'MQTT' 04 02 k0 s" + std::to_string(id.size()) + " '" +
                  id + "'");
}

// At QoS 0.
std::string publish(const std::string& topic, std::string_view payload) {
  ByteWriter body;
  body.be<uint16_t>(static_cast<uint16_t>(topic.size()));
  body.append(topic);
  body.append(payload);
  ByteWriter out;
  out.u8(0x30);
  mqtt::write_variable(out, static_cast<uint32_t>(body.size()));
  out.append(body.view());
  return std::string(as_text(out.view()));
}

std::string subscribe(const std::string& filter) {
  return bytes_of("82 r" + std::to_string(5 + filter.size()) + " m1 s" + std::to_string(filter.size()) + " '" + filter +
                  "' 00");
}

void create_job(World& world, const std::string& id, const std::string& thing) {
  devices::JobPlan plan;
  plan.id = id;
  plan.document = "{}";
  plan.things = {thing};
  Submission submission;
  submission.machine = devices::kJobsMachineId;
  submission.type = devices::kCreateJob;
  submission.payload = devices::encode(plan);
  ASSERT_TRUE(world.submit(submission).ok());
  world.settle();
}

size_t count(std::string_view text, std::string_view what) {
  size_t times = 0;
  for (size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, at + 1)) ++times;
  return times;
}

}  // namespace

TEST(JobService, WhatNobodyHereAskedForIsHeard) {
  World world;
  world.create_things({"t"});
  world.send("t", connect("t"));
  world.send("t", subscribe("$aws/things/t/jobs/#"));
  world.take_output("t");
  create_job(world, "j", "t");
  const std::string heard = world.take_output("t");
  EXPECT_EQ(count(heard, "jobs/notify-next"), 1U);
  EXPECT_EQ(count(heard, "\"QUEUED\":[{\"jobId\":\"j\""), 1U);
  world.send("t", publish("$aws/things/t/jobs/start-next", "{}"));
  EXPECT_EQ(count(world.take_output("t"), "start-next/accepted"), 1U);
}

TEST(JobService, AnAnswerBehindAStartIsNotMissed) {
  World world;
  world.create_things({"t"});
  create_job(world, "j", "t");
  world.crash();
  world.send("t", connect("t"));
  world.send("t", subscribe("$aws/things/t/jobs/+/get/+"));
  world.take_output("t");
  world.send("t", publish("$aws/things/t/jobs/$next/get", "{}"));
  world.send("t", publish("$aws/things/t/jobs/j/get", "{}"));
  const std::string heard = world.take_output("t");
  EXPECT_EQ(count(heard, "$next/get/accepted"), 1U);  // and nothing of before
  EXPECT_EQ(count(heard, "j/get/accepted"), 1U);
}

TEST(JobService, TenOfAThingAreUnderWay) {
  World world;
  world.create_things({"t"});
  world.send("t", connect("t"));
  world.send("t", subscribe("$aws/things/t/jobs/get/+"));
  world.take_output("t");
  world.hold(true);
  for (int i = 0; i < 30; ++i) world.send("t", publish("$aws/things/t/jobs/get", "{}"));
  world.hold(false);
  for (int i = 0; i < 10; ++i) world.settle();
  const std::string heard = world.take_output("t");
  EXPECT_EQ(count(heard, "get/accepted"), devices::kJobsInFlight);
  EXPECT_EQ(count(heard, "RequestThrottled"), mqtt::JobService::kRejectionsMax);
}

TEST(JobService, OtherTopicsOfJobsAreRefused) {
  World world;
  world.create_things({"t"});
  world.send("t", connect("t"));
  world.send("t", publish("$aws/things/t/jobs/j/get/accepted", "{}"));
  EXPECT_EQ(world.records("iot.jobs").size(), 0U);
}

}  // namespace heptane::iot::test
