// Every message in every version: what is written is read again, and what is cut short anywhere is refused.

#include <gtest/gtest.h>

#include <deque>

#include "modules/data/gateway/kafka/all_messages.h"
#include "modules/data/test/message_text.h"

namespace heptane::data::kafka::test {
namespace {

// Fills every field of a message from a seed.
class Filler {
 public:
  explicit Filler(uint64_t seed) : state_(seed) {}

  template <class T>
  void fill(T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      value = next() % 2 == 0;
    } else if constexpr (std::is_arithmetic_v<T>) {
      value = static_cast<T>(next());
    } else if constexpr (std::is_same_v<T, std::string_view>) {
      value = keep_.emplace_back(next() % 200, static_cast<char>('a' + next() % 26));
    } else if constexpr (std::is_same_v<T, Bytes>) {
      value = as_bytes(keep_.emplace_back(next() % 100, 'b'));
    } else if constexpr (std::is_same_v<T, Records>) {
      value.null = next() % 4 == 0;
      if (!value.null) value.view = as_bytes(keep_.emplace_back(next() % 300, 'r'));
    } else if constexpr (kIsOptional<T>) {
      if (next() % 3 != 0) fill(value.emplace());
    } else if constexpr (kIsVector<T>) {
      value.resize(next() % 4);
      for (auto& element : value) fill(element);
    } else {
      std::apply([&](const auto&... fields) { (fill(value.*fields.member), ...); }, T::table());
    }
  }

 private:
  uint64_t next() {  // xorshift
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  uint64_t state_;
  std::deque<std::string> keep_;
};

template <class T>
std::string encoded(const T& message, Encoding encoding) {
  Encoder encoder(encoding);
  encoder.write(message, false);
  const size_t size = encoder.size();
  std::string bytes;
  for (const Buffer& piece : encoder.finish()) bytes += as_text(piece.view());
  EXPECT_EQ(bytes.size(), size);
  return bytes;
}

template <class T>
void check_version(const T& message, Encoding encoding) {
  const std::string bytes = encoded(message, encoding);
  EXPECT_GE(bytes.size(), min_size<T>(encoding));
  T again;
  Decoder decoder(as_bytes(bytes), encoding);
  ASSERT_TRUE(decoder.message(again));
  EXPECT_EQ(encoded(again, encoding), bytes);
  for (size_t length = 0; length < bytes.size(); ++length) {
    T cut;
    Decoder cut_decoder(as_bytes(std::string_view(bytes).substr(0, length)), encoding);
    EXPECT_FALSE(cut_decoder.message(cut)) << length << " of " << bytes.size();
  }
  T longer;
  const std::string tail = bytes + '\0';
  Decoder long_decoder(as_bytes(tail), encoding);
  EXPECT_FALSE(long_decoder.message(longer));
}

template <class T>
void check_message(const Api& api) {
  for (int16_t version = api.readable_min; version <= api.advertised_max; ++version) {
    SCOPED_TRACE(std::string(api.name) + " v" + std::to_string(version));
    const Encoding encoding{version, version >= api.first_flexible};
    check_version(T(), encoding);
    for (uint64_t seed = 1; seed <= 20; ++seed) {
      Filler filler(seed * 0x9E3779B97F4A7C15ULL);
      T message;
      filler.fill(message);
      check_version(message, encoding);
    }
    // Every message in flexible form too, though some versions that have it are not served yet.
    Filler filler(7);
    T message;
    filler.fill(message);
    check_version(message, {version, true});
  }
}

TEST(KafkaCodec, RoundTripsRequests) {
  for_each_api([](const Api& api, auto messages) { check_message<typename decltype(messages)::Request>(api); });
}

TEST(KafkaCodec, RoundTripsResponses) {
  for_each_api([](const Api& api, auto messages) { check_message<typename decltype(messages)::Response>(api); });
}

struct Tagged {
  struct Inner {
    int16_t number = 0;
    int32_t late = 5;
    static constexpr auto table() {
      return std::make_tuple(field("number", &Inner::number), tagged_field(3, "late", &Inner::late, since(2)));
    }
  };
  std::vector<Inner> inner;
  static constexpr auto table() { return std::make_tuple(field("inner", &Tagged::inner)); }
};

// KIP-482: a tagged field is written when it differs from its default, in versions that have it; the others are skipped.
TEST(KafkaCodec, TaggedFields) {
  Tagged message;
  message.inner.push_back({1, 5});
  message.inner.push_back({2, 9});
  const auto hex = [&](Encoding encoding) { return to_hex(as_bytes(encoded(message, encoding))); };
  EXPECT_EQ(hex({2, true}),
            "03"
            "000100"
            "00020103040000000900");
  EXPECT_EQ(hex({1, true}),
            "03"
            "000100"
            "000200"
            "00");
  EXPECT_EQ(hex({2, false}),
            "00000002"
            "0001"
            "0002");
  std::deque<std::string> keep;
  Tagged again;
  // An unknown tag before the known one, and one behind.
  ASSERT_TRUE(Decoder(from_hex("02 0001 03 0001ff 030400000007 0902ffff 00", keep), {2, true}).message(again));
  EXPECT_EQ(again.inner[0].late, 7);
  EXPECT_FALSE(Decoder(from_hex("02 0001 01 0305 0000000700 00", keep), {2, true}).message(again));  // a byte too long
  EXPECT_FALSE(Decoder(from_hex("02 0001 01 0303 000007 00", keep), {2, true}).message(again));      // too short
  EXPECT_FALSE(Decoder(from_hex("02 0001 7f 0000 00", keep), {2, true}).message(again));             // too many
}

TEST(KafkaCodec, TextRoundTrips) {
  Filler filler(3);
  MetadataResponse message;
  filler.fill(message);
  const std::string text = print(message, 8);
  std::deque<std::string> keep;
  MetadataResponse again;
  TextReader reader(text, keep);
  reader.read(again);
  reader.end();
  EXPECT_EQ(print(again, 8), text);
}

// Bytes written out by hand from the protocol's description, so that writer and reader cannot agree on a mistake.
TEST(KafkaCodec, WritesTheBytesOfTheProtocol) {
  MetadataRequest metadata;
  metadata.topics.emplace();
  metadata.topics->push_back({"abc"});
  EXPECT_EQ(to_hex(as_bytes(encoded(metadata, {4, false}))),
            "00000001"
            "0003616263"
            "01");
  EXPECT_EQ(to_hex(as_bytes(encoded(MetadataRequest(), {1, false}))), "ffffffff");
  InitProducerIdRequest init{"tx", 1000, 5, 6};
  EXPECT_EQ(to_hex(as_bytes(encoded(init, {1, false}))),
            "0002"
            "7478"
            "000003e8");
  EXPECT_EQ(to_hex(as_bytes(encoded(init, {2, true}))),
            "037478"
            "000003e8"
            "00");
  EXPECT_EQ(to_hex(as_bytes(encoded(init, {3, true}))),
            "037478"
            "000003e8"
            "0000000000000005"
            "0006"
            "00");
  EXPECT_EQ(to_hex(as_bytes(encoded(InitProducerIdRequest(), {0, false}))),
            "ffff"
            "00000000");
  ApiVersionsResponse versions;
  versions.api_keys.push_back({18, 0, 3});
  EXPECT_EQ(to_hex(as_bytes(encoded(versions, {3, true}))),
            "0000"
            "02"
            "001200000003"
            "00"
            "00000000"
            "00");
  EXPECT_EQ(to_hex(as_bytes(encoded(versions, {0, false}))),
            "0000"
            "00000001"
            "001200000003");
  ListOffsetsRequest list;
  list.topics.push_back({"t", {}});
  list.topics[0].partitions.push_back({1, 3, -1, 9});
  EXPECT_EQ(to_hex(as_bytes(encoded(list, {0, false}))),
            "ffffffff"
            "00000001"
            "000174"
            "00000001"
            "00000001"
            "ffffffffffffffff"
            "00000009");
  EXPECT_EQ(to_hex(as_bytes(encoded(list, {4, false}))),
            "ffffffff"
            "00"
            "00000001"
            "000174"
            "00000001"
            "00000001"
            "00000003"
            "ffffffffffffffff");
}

TEST(KafkaCodec, SkipsUnknownTaggedFields) {
  std::deque<std::string> keep;
  ApiVersionsRequest request;
  Decoder decoder(from_hex("026302310205026162070100", keep), {3, true});  // "c", "1", tag 5: 2 bytes, tag 7: 1 byte
  EXPECT_TRUE(decoder.message(request));
  EXPECT_EQ(request.client_software_name, "c");
  for (const char* wrong : {"0263023102050261", "02630231ffffffffff0f", "0263023101050f6162"}) {
    Decoder refuses(from_hex(wrong, keep), {3, true});
    EXPECT_FALSE(refuses.message(request)) << wrong;
  }
}

TEST(KafkaCodec, RefusesLengthsThatCannotBe) {
  std::deque<std::string> keep;
  MetadataRequest metadata;
  EXPECT_FALSE(Decoder(from_hex("00000001fffe", keep), {0, false}).message(metadata));  // string of -2 bytes
  EXPECT_FALSE(Decoder(from_hex("fffffffe", keep), {1, false}).message(metadata));      // array of -2
  EXPECT_FALSE(Decoder(from_hex("ffffffff", keep), {0, false}).message(metadata));      // null where none is allowed
  EXPECT_FALSE(Decoder(from_hex("7fffffff", keep), {0, false}).message(metadata));      // more than there is
  EXPECT_FALSE(Decoder(from_hex("ffffffff1f00", keep), {1, true}).message(metadata));   // compact: beyond 32 bits
}

// Shared pieces come out in their places, and are not copied.
TEST(KafkaCodec, SplicesRecords) {
  const Buffer batch = Buffer::copy_of("RECORDS");
  FetchResponse response;
  response.topics.push_back({"t", {}});
  for (int i = 0; i < 2; ++i) {
    FetchResponse::Partition& partition = response.topics[0].partitions.emplace_back();
    partition.partition = i;
    partition.records.parts = {batch, batch};
  }
  Encoder encoder({11, false});
  encoder.write(response, false);
  const size_t size = encoder.size();
  size_t shared = 0;
  std::string bytes;
  for (const Buffer& piece : encoder.finish()) {
    shared += piece.data() == batch.data() ? 1 : 0;
    bytes += as_text(piece.view());
  }
  EXPECT_EQ(shared, 4u);
  EXPECT_EQ(bytes.size(), size);
  FetchResponse again;
  ASSERT_TRUE(Decoder(as_bytes(bytes), {11, false}).message(again));
  EXPECT_EQ(as_text(again.topics[0].partitions[1].records.view), "RECORDSRECORDS");
}

}  // namespace
}  // namespace heptane::data::kafka::test
