// Each codec as its own library writes it; cut short, changed, and over the limit.

#include "kernel/streams/inflate.h"

#include <gtest/gtest.h>
#include <lz4frame.h>
#include <snappy.h>
#include <zlib.h>
#include <zstd.h>

#include <random>

namespace heptane::streams {
namespace {

std::string gzip(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string snappy_raw(const std::string& text) {
  std::string out;
  snappy::Compress(text.data(), text.size(), &out);
  return out;
}

std::string snappy_java(const std::string& text) {
  std::string out("\x82SNAPPY\0\0\0\0\1\0\0\0\1", 16);
  for (size_t at = 0; at < text.size(); at += 1000) {
    const std::string block = snappy_raw(text.substr(at, 1000));
    std::byte length[4];
    store_be(length, static_cast<uint32_t>(block.size()));
    out.append(reinterpret_cast<const char*>(length), 4).append(block);
  }
  return out;
}

std::string lz4(const std::string& text) {
  std::string out(LZ4F_compressFrameBound(text.size(), nullptr), '\0');
  out.resize(LZ4F_compressFrame(out.data(), out.size(), text.data(), text.size(), nullptr));
  return out;
}

std::string zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

struct Sample {
  Codec codec;
  std::string (*compress)(const std::string&);
};
constexpr Sample kSamples[] = {{Codec::gzip, gzip},
                               {Codec::snappy, snappy_raw},
                               {Codec::snappy, snappy_java},
                               {Codec::lz4, lz4},
                               {Codec::zstd, zstd}};

std::string sample_text(size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += "record " + std::to_string(text.size() * 7919) + " of a batch; ";
  text.resize(bytes);
  return text;
}

TEST(Inflate, GivesBackWhatWasCompressed) {
  for (const Sample& sample : kSamples) {
    for (const size_t bytes : {size_t{0}, size_t{1}, size_t{5000}, size_t{65'536}, size_t{300'000}}) {
      const std::string text = sample_text(bytes);
      const auto out = inflate(sample.codec, as_bytes(sample.compress(text)), bytes);  // the limit is no byte too low
      ASSERT_TRUE(out.ok()) << static_cast<int>(sample.codec) << " " << bytes << " " << out.error().message;
      EXPECT_EQ(as_text(*out), text);
    }
  }
}

TEST(Inflate, StopsAtTheLimit) {
  for (const Sample& sample : kSamples) {
    std::string text;
    text.resize(10'000'000, 'x');
    const std::string bomb = sample.compress(text);
    for (const size_t limit : {size_t{0}, size_t{1000}, size_t{9'999'999}}) {
      const auto out = inflate(sample.codec, as_bytes(bomb), limit);
      ASSERT_FALSE(out.ok()) << static_cast<int>(sample.codec);
      EXPECT_EQ(out.error().code, Errc::too_large) << static_cast<int>(sample.codec) << " " << limit;
    }
  }
}

TEST(Inflate, RefusesWhatIsCutShort) {
  for (const Sample& sample : kSamples) {
    if (sample.compress == snappy_java) continue;  // blocks that end early are fewer blocks
    const std::string bytes = sample.compress(sample_text(2000));
    for (size_t length = 0; length < bytes.size(); ++length)
      EXPECT_FALSE(inflate(sample.codec, as_bytes(std::string_view(bytes).substr(0, length)), 4000).ok())
          << static_cast<int>(sample.codec) << " " << length;
  }
}

// Any change: an error or other bytes, never more of them than the limit.
TEST(Inflate, SurvivesChangedBytes) {
  std::minstd_rand random(11);
  for (const Sample& sample : kSamples) {
    const std::string bytes = sample.compress(sample_text(3000));
    for (int i = 0; i < 3000; ++i) {
      std::string changed = bytes;
      for (uint32_t n = 0; n <= random() % 3; ++n) changed[random() % changed.size()] = static_cast<char>(random());
      const auto out = inflate(sample.codec, as_bytes(changed), 5000);
      EXPECT_TRUE(!out || out->size() <= 5000);
    }
  }
}

TEST(Inflate, KnowsFourCodecs) {
  EXPECT_EQ(inflate(Codec::none, {}, 10).error().code, Errc::unsupported);
  EXPECT_EQ(inflate(static_cast<Codec>(7), {}, 10).error().code, Errc::unsupported);
}

}  // namespace
}  // namespace heptane::streams
