// Published values, and both implementations against each other at every length around a block.
#include "kernel/base/aegis128l.h"

#include <gtest/gtest.h>

#include "kernel/base/random.h"

namespace heptane {
namespace {

std::string hex(const Aegis128lTag& tag) {
  std::string out;
  for (const std::byte b : tag) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    out += kDigits[static_cast<size_t>(b) >> 4];
    out += kDigits[static_cast<size_t>(b) & 15];
  }
  return out;
}

// TigerBeetle's, src/vsr/checksum.zig.
TEST(Aegis128l, PublishedValues) {
  const std::vector<std::byte> zeros(16);
  for (const auto checksum : {aegis128l_checksum, aegis128l_checksum_portable}) {
    EXPECT_EQ(hex(checksum({})), "83cc600dc4e3e7e62d4055826174f149");
    EXPECT_EQ(hex(checksum(zeros)), "f72ad48dd05dd1656133101cd4be3a26");
  }
}

TEST(Aegis128l, BothImplementationsAgree) {
  SeededRandom random(1);
  std::vector<std::byte> bytes(1000);
  random.fill(bytes);
  for (size_t length = 0; length < bytes.size(); ++length) {
    const Bytes piece = Bytes(bytes).first(length);
    ASSERT_EQ(aegis128l_checksum(piece), aegis128l_checksum_portable(piece)) << length;
  }
}

TEST(Aegis128l, EveryBitCounts) {
  std::vector<std::byte> bytes(67);
  const Aegis128lTag before = aegis128l_checksum(bytes);
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= std::byte{1} << static_cast<int>(bit % 8);
    ASSERT_NE(aegis128l_checksum(bytes), before);
    bytes[bit / 8] ^= std::byte{1} << static_cast<int>(bit % 8);
  }
}

}  // namespace
}  // namespace heptane
