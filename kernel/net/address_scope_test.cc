// Which addresses are public, and blocks of them.
#include "kernel/net/address_scope.h"

#include <gtest/gtest.h>

namespace heptane::net {
namespace {

TEST(AddressScope, WhatIsPublicAndWhatIsNot) {
  for (const char* host : {"8.8.8.8", "1.1.1.1", "172.15.255.255", "172.32.0.1", "100.63.0.1", "2606:4700::1111",
                           "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"})
    EXPECT_TRUE(is_public_address(host)) << host;
  for (const char* host : {"127.0.0.1",
                           "127.1.2.3",
                           "0.0.0.0",
                           "10.0.0.1",
                           "172.16.0.1",
                           "172.31.255.255",
                           "192.168.1.1",
                           "169.254.169.254",
                           "100.64.0.1",
                           "224.0.0.1",
                           "255.255.255.255",
                           "192.0.2.1",
                           "198.18.0.1",
                           "::1",
                           "::",
                           "fe80::1",
                           "fe80::1%eth0",
                           "fd12::1",
                           "ff02::1",
                           "::ffff:127.0.0.1",
                           "::ffff:10.0.0.1",
                           "::127.0.0.1",
                           "64:ff9b::10.0.0.1",
                           "64:ff9b::7f00:1",
                           "2002:7f00:1::1",
                           "2002:a00:1::",
                           "2001:db8::1",
                           "64:ff9b:1::10.0.0.1",
                           "64:ff9b:1:ffff::8.8.8.8",
                           "::ffff:0:127.0.0.1",
                           "::ffff:0:10.0.0.1",
                           "192.88.99.1",
                           "3fff::1",
                           "5f00::1",
                           "localhost",
                           "",
                           "127.1",
                           "0x7f000001",
                           "2130706433",
                           "unix:/run/x"})
    EXPECT_FALSE(is_public_address(host)) << host;
}

TEST(AddressScope, Blocks) {
  const auto holds = [](const char* block, const char* host) {
    const auto parsed = AddressBlock::parse(block);
    return parsed && parsed->holds(host);
  };
  EXPECT_TRUE(holds("10.0.0.0/8", "10.255.0.1"));
  EXPECT_TRUE(holds("10.0.0.0/8", "::ffff:10.1.1.1"));
  EXPECT_FALSE(holds("10.0.0.0/8", "11.0.0.1"));
  EXPECT_TRUE(holds("10.128.0.0/9", "10.200.0.1"));
  EXPECT_FALSE(holds("10.128.0.0/9", "10.100.0.1"));
  EXPECT_TRUE(holds("127.0.0.1", "127.0.0.1"));
  EXPECT_FALSE(holds("127.0.0.1", "127.0.0.2"));
  EXPECT_TRUE(holds("fd00::/8", "fd12::1"));
  EXPECT_FALSE(holds("fd00::/8", "fc00::1"));
  EXPECT_TRUE(holds("0.0.0.0/0", "9.9.9.9"));
  EXPECT_FALSE(holds("0.0.0.0/0", "2606::1"));
  for (const char* bad : {"", "10.0.0.0/33", "::1/129", "10.0.0.0/", "10.0.0.0/8x", "10.0.0/8", "name"})
    EXPECT_FALSE(AddressBlock::parse(bad)) << bad;
}

}  // namespace
}  // namespace heptane::net
