#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <random>

#include "kernel/base/crc32c.h"
#include "modules/iot/gateway/series/chunk.h"

namespace heptane::iot::series {
namespace {

using Random = std::mt19937_64;

uint64_t any_number(Random& random, FieldType type) {
  if (type == FieldType::boolean) return random() & 1;
  const uint64_t kind = random() % 4;
  if (type == FieldType::real && kind < 2) return std::bit_cast<uint64_t>(static_cast<double>(random() % 1000) / 8);
  return kind == 2 ? random() : random() % 50;
}

// Steps that are even, nearly even, or anything.
int64_t any_step(Random& random) {
  const uint64_t kind = random() % 8;
  if (kind < 4) return 1'000'000'000;
  return kind < 7 ? static_cast<int64_t>(random() % 2'000'000'000) : static_cast<int64_t>(random() >> (random() % 64));
}

Column any_column(Random& random, FieldType type, size_t points) {
  Column column;
  column.type = type;
  auto time = static_cast<uint64_t>(random());
  for (size_t i = 0; i < points; ++i) {
    time += static_cast<uint64_t>(any_step(random));
    if (column.is_text())
      column.add(static_cast<int64_t>(time), std::string(random() % 40, static_cast<char>('a' + random() % 26)));
    else
      column.add(static_cast<int64_t>(time), any_number(random, type));
  }
  return column;
}

TEST(SeriesChunk, ComesBackAsItWas) {
  Random random(7);
  for (int round = 0; round < 400; ++round) {
    const auto type = static_cast<FieldType>(random() % 5);
    const Column column = any_column(random, type, 1 + random() % (round < 390 ? 60 : kChunkPointsMax));
    const auto bytes = encode_chunk(column, 0, column.size());
    const auto again = decode_chunk(bytes);
    ASSERT_TRUE(again) << round;
    EXPECT_EQ(*again, column) << round;
  }
}

TEST(SeriesChunk, OfEvenStepsIsSmall) {
  Column column;
  for (int64_t i = 0; i < 1'000; ++i) column.add(i * 1'000'000'000, std::bit_cast<uint64_t>(21.5));
  EXPECT_LT(encode_chunk(column, 0, column.size()).size(), 300U);
}

TEST(SeriesChunk, AFlippedBitIsFound) {
  Random random(8);
  const Column column = any_column(random, FieldType::real, 50);
  auto bytes = encode_chunk(column, 0, column.size());
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= std::byte{1} << bit % 8;
    EXPECT_FALSE(decode_chunk(bytes)) << bit;
    bytes[bit / 8] ^= std::byte{1} << bit % 8;
  }
}

// A right CRC over anything: refused or read, within bounds.
TEST(SeriesChunk, AnythingIsRead) {
  Random random(9);
  for (int round = 0; round < 20'000; ++round) {
    const auto type = static_cast<FieldType>(random() % 5);
    auto bytes = encode_chunk(any_column(random, type, 1 + random() % 20), 0, 1);
    for (uint64_t i = random() % 8; i > 0; --i) bytes[random() % (bytes.size() - 4)] = static_cast<std::byte>(random());
    store_le(bytes.data() + bytes.size() - 4, crc32c(Bytes(bytes).first(bytes.size() - 4)));
    const auto read = decode_chunk(bytes);
    EXPECT_TRUE(!read || read->size() <= kChunkPointsMax);
  }
}

TEST(SeriesColumn, SettlesAndMergesAsAMapDoes) {
  Random random(10);
  for (int round = 0; round < 200; ++round) {
    const auto type = round % 2 == 0 ? FieldType::integer : FieldType::text;
    std::map<int64_t, uint64_t> model;
    Column parts[2];
    for (Column& part : parts) {
      part.type = type;
      for (uint64_t i = random() % 50; i > 0; --i) {
        const auto time = static_cast<int64_t>(random() % 40);
        const uint64_t number = random();
        model[time] = number;
        type == FieldType::text ? part.add(time, std::to_string(number)) : part.add(time, number);
      }
      settle(part);
    }
    const Column all = merge(parts[0], parts[1]);
    ASSERT_EQ(all.size(), model.size());
    size_t i = 0;
    for (const auto& [time, number] : model) {
      EXPECT_EQ(all.times[i], time);
      if (type == FieldType::text)
        EXPECT_EQ(all.texts[i], std::to_string(number));
      else
        EXPECT_EQ(all.bits[i], number);
      ++i;
    }
  }
}

}  // namespace
}  // namespace heptane::iot::series
