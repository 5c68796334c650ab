// Messages and bytes a second of a client, whatever connections it has (rate_table.h).

#include <gtest/gtest.h>

#include <string>

#include "modules/iot/gateway/mqtt/rate_table.h"
#include "modules/iot/test/mqtt_world.h"

namespace heptane::iot::test {
namespace {

TEST(MqttRates, OutliveTheConnectionAndAreForgottenWhenNothingIsOwed) {
  mqtt::MqttOptions options;
  options.max_messages_per_second = 10;
  World world(options);
  const std::string connect = bytes_of("10 r14 s4 'MQTT' 05 02 k0 00 s1 'a'");
  std::string many;
  for (int i = 0; i < 30; ++i) many += bytes_of("30 r5 s1 't' 00 'x'");
  const auto received = [&] { return world.broker().counters().received.value(); };
  world.send("a", connect + many);
  EXPECT_EQ(received(), 11U);
  world.break_off("a");
  EXPECT_EQ(world.broker().rates().size(), 1U);
  world.send("b", bytes_of("10 r14 s4 'MQTT' 05 02 k0 00 s1 'b'") + many);
  EXPECT_EQ(received(), 22U) << "another client has its own";
  world.send("a", connect + many);
  EXPECT_EQ(received(), 22U) << "no second of credit for who comes again";
  EXPECT_TRUE(world.client("a").context->paused());
  EXPECT_NE(world.take_output("a"), "") << "it is connected";
  world.break_off("b");
  world.pass_time(1'000'000'000);
  EXPECT_EQ(received(), 32U);
  world.break_off("a");
  world.pass_time(3'000'000'000);
  world.send("c", bytes_of("10 r14 s4 'MQTT' 05 02 k0 00 s1 'c'"));
  world.break_off("c");
  EXPECT_EQ(world.broker().rates().size(), 0U);
}

TEST(MqttRates, OnesTableIsBounded) {
  mqtt::RateTable table;
  mqtt::RateLimit rate;
  rate.use(2, 1, 0, 0, 1'000'000'000);
  for (size_t i = 0; i < mqtt::RateTable::kEntriesMax + 10; ++i) table.put("u", std::to_string(i), rate, 1'000'000'000);
  EXPECT_EQ(table.size(), mqtt::RateTable::kEntriesMax);
  EXPECT_TRUE(table.take("u", "0", 1'000'000'000)) << "nobody who owes is dropped";
  EXPECT_FALSE(table.take("u", "0", 1'000'000'000));
  EXPECT_FALSE(table.take("other", "1", 1'000'000'000));
  EXPECT_FALSE(table.take_of_user("v", "1", 1'000'000'000));
  EXPECT_TRUE(table.take_of_user("u", "unknown", 1'000'000'000));
  EXPECT_EQ(table.size(), mqtt::RateTable::kEntriesMax - 1) << "whose it is still owes it";
  EXPECT_FALSE(table.take("u", "1", 10'000'000'000));
  EXPECT_EQ(table.size(), 0U);
}

}  // namespace
}  // namespace heptane::iot::test
