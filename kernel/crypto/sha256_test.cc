// The examples of FIPS 180-4 (csrc.nist.gov, SHA256.pdf), in one piece and in many.
#include "kernel/crypto/sha256.h"

#include <gtest/gtest.h>

#include <string>

namespace heptane::crypto {
namespace {

std::string hex_of(const Sha256Digest& digest) {
  std::string text;
  for (const std::byte byte : digest) {
    text += "0123456789abcdef"[static_cast<size_t>(byte) >> 4];
    text += "0123456789abcdef"[static_cast<size_t>(byte) & 15];
  }
  return text;
}

std::string digest_of(std::string_view message, size_t piece) {
  Sha256 hash;
  for (size_t at = 0; at < message.size(); at += piece) hash.add(as_bytes(message.substr(at, piece)));
  return hex_of(hash.finish());
}

TEST(Sha256, PublishedExamples) {
  const std::string million(1'000'000, 'a');
  const struct {
    std::string_view message;
    const char* digest;
  } examples[] = {
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
      {million, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
  };
  for (const auto& example : examples)
    for (const size_t piece : {size_t{1} << 20, size_t{4096}, size_t{63}})
      EXPECT_EQ(digest_of(example.message, piece), example.digest) << piece;
}

}  // namespace
}  // namespace heptane::crypto
