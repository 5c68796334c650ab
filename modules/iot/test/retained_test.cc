// The store of retained messages alone: what it counts of memory, where it is full, its snapshot.
#include <gtest/gtest.h>
#include <malloc.h>

#include "kernel/shard/memory_snapshot.h"
#include "modules/iot/machine/retained.h"

namespace heptane::iot::test {
namespace {

RetainedMessage message_of(std::string_view client, std::string_view properties, std::string_view payload) {
  RetainedMessage message;
  message.qos = 1;
  message.stored = 7;
  message.set_texts(client, properties, payload);
  return message;
}

std::string topic_of(size_t number) {
  return "plant/" + std::to_string(number % 1000) + "/sensor/" + std::to_string(number);
}

TEST(RetainedMessages, TextsAreWhatTheyWere) {
  RetainedMessage message = message_of("client", "", "payload");
  EXPECT_EQ(message.client(), "client");
  EXPECT_EQ(message.properties(), "");
  EXPECT_EQ(message.payload(), "payload");
  message.set_texts("", "properties", "");
  EXPECT_EQ(message.client(), "");
  EXPECT_EQ(message.properties(), "properties");
  EXPECT_EQ(message.payload(), "");
  message.set_texts("client", "", "payload", "alice");
  EXPECT_EQ(message.payload(), "payload");
  EXPECT_EQ(message.source(), "alice");
}

TEST(RetainedMessages, NoMoreMemoryThanIsCounted) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitiser's heap is another one";
#endif
  constexpr size_t kMessages = 20'000;
  for (const size_t payload_bytes : {size_t{4}, size_t{40}, size_t{400}}) {
    RetainedMessages messages;
    const size_t before = mallinfo2().uordblks;
    for (size_t i = 0; i < kMessages; ++i)
      messages.put(topic_of(i), message_of("sensor-of-the-plant", "", std::string(payload_bytes, 'x')));
    EXPECT_LE(mallinfo2().uordblks - before, messages.bytes()) << payload_bytes;
  }
}

// A million of some 60 bytes of texts are within the 256 MiB; as earlier logic counted they are not.
TEST(RetainedMessages, AMillionSmallOnesHaveRoom) {
  constexpr size_t kTexts = 60;
  const auto full_at = [](size_t overhead) {
    RetainedMessages messages;
    // Few large ones stand for many small ones: the count of messages is not what is met here.
    const RetainedMessage large = message_of("", "", std::string(1'000'000, 'x'));
    size_t bytes = 0;
    for (size_t i = 0; messages.room_for(std::to_string(1000 + i), large, overhead); ++i, bytes += 1'000'004)
      messages.put(std::to_string(1000 + i), large);
    return bytes;
  };
  EXPECT_LE(full_at(RetainedMessages::kOverheadBytes), kRetainedBytesMax);
  EXPECT_GE(full_at(RetainedMessages::kOverheadBytes), kRetainedBytesMax - 1'100'000);
  EXPECT_LE(kRetainedMax * (RetainedMessages::kOverheadBytes + kTexts), kRetainedBytesMax);
  EXPECT_GT(kRetainedMax * (RetainedMessages::kEarlierOverheadBytes + kTexts), kRetainedBytesMax);
}

TEST(RetainedMessages, WhatIsReplacedMakesRoom) {
  RetainedMessages messages;
  const RetainedMessage half = message_of("", "", std::string(kRetainedBytesMax / 2 + 1000, 'x'));
  ASSERT_TRUE(messages.room_for("a", half, RetainedMessages::kOverheadBytes));
  messages.put("a", half);
  EXPECT_FALSE(messages.room_for("b", half, RetainedMessages::kOverheadBytes));
  EXPECT_TRUE(messages.room_for("a", half, RetainedMessages::kOverheadBytes));
  messages.put("a", message_of("", "", "x"));
  EXPECT_TRUE(messages.room_for("b", half, RetainedMessages::kOverheadBytes));
  messages.remove("a");
  EXPECT_EQ(messages.bytes(), 0U);
}

TEST(RetainedMessages, ASnapshotHasAllOfThem) {
  RetainedMessages messages;
  messages.put("a/b", message_of("client", "properties", "payload"));
  messages.put("c", message_of("", "", "x"));
  MemorySnapshot snapshot;
  messages.save(snapshot, 0);
  RetainedMessages restored;
  SnapshotReader& reader = snapshot;
  const auto count = reader.le<uint64_t>();
  ASSERT_TRUE(restored.restore(reader, count, false));
  EXPECT_EQ(restored.bytes(), messages.bytes());
  ASSERT_NE(restored.find("a/b"), nullptr);
  EXPECT_EQ(restored.find("a/b")->client(), "client");
  EXPECT_EQ(restored.find("a/b")->properties(), "properties");
  EXPECT_EQ(restored.find("a/b")->payload(), "payload");
  EXPECT_EQ(restored.find("a/b")->stored, 7);
}

std::string bytes_of(const RetainedMessages& messages) {
  MemorySnapshot snapshot;
  messages.save(snapshot, 0);
  return std::string(as_text(snapshot.bytes()));
}

TEST(RetainedMessages, WhereNobodyIsKnownASnapshotIsAsItWas) {
  RetainedMessages messages;
  messages.put("a", message_of("client", "", "payload"));
  const std::string before = bytes_of(messages);
  RetainedMessage known = message_of("client", "", "payload");
  known.set_texts("client", "", "payload", "alice");
  messages.put("b", known);
  EXPECT_TRUE(messages.know_sources());
  MemorySnapshot snapshot;
  messages.save(snapshot, 0);
  RetainedMessages restored;
  SnapshotReader& reader = snapshot;
  const auto count = reader.le<uint64_t>();
  ASSERT_TRUE(restored.restore(reader, count, true));
  EXPECT_EQ(restored.find("a")->source(), "");
  EXPECT_EQ(restored.find("b")->source(), "alice");
  EXPECT_EQ(bytes_of(restored), bytes_of(messages));
  restored.remove("b");
  EXPECT_FALSE(restored.know_sources());
  EXPECT_EQ(bytes_of(restored), before);
}

}  // namespace
}  // namespace heptane::iot::test
