// Where the image of a job may be.
#include "modules/iot/gateway/http/image_url.h"

#include <gtest/gtest.h>

namespace heptane::iot::devices {
namespace {

bool taken(std::string_view url, const ImageSettings& settings = {}) { return check_image_url(settings, url).ok(); }

TEST(ImageUrl, AnyPublicHostWhereNoneAreListed) {
  for (const char* url : {"https://example.com/fw.bin", "http://u:p@example.com:81/a?b=c@d", "http://8.8.8.8/a",
                          "http://files.internal/a", "http://localhost.example.com/", "https://example.com/ä%20b"})
    EXPECT_TRUE(taken(url)) << url;
  for (const char* url : {"http://127.0.0.1/a", "http://169.254.169.254/", "http://10.0.0.1/", "http://[::1]/",
                          "http://u@127.0.0.1/", "http://example.com@127.0.0.1/", "http://2130706433/", "http://127.1/",
                          "http://0x7f.1/", "http:///127.0.0.1/", "http://%31%32%37.0.0.1/", "http://127.0.0.1./"})
    EXPECT_FALSE(taken(url)) << url;
}

// curl asks 127.0.0.1 for the first one, and example.com is what stands before it.
TEST(ImageUrl, WhatParsersReadDifferentlyIsRefused) {
  ImageSettings listed;
  listed.any_host = false;
  listed.allowed = *rules::AllowList::parse({"example.com"});
  for (const std::string url :
       {"http://example.com\\@127.0.0.1:9/a", "http://example.com#@127.0.0.1:9/a", "http://example.com /a",
        "http://example.com/a b", "http://example.com/a\\b", "http://example.com/a#b", "http://example.com\t/",
        "http://example.com/\r\nHost: x", "http://example.com/a\x7F", "http://example.com\n@127.0.0.1/"}) {
    EXPECT_FALSE(taken(url)) << url;
    EXPECT_FALSE(taken(url, listed)) << url;
  }
  EXPECT_FALSE(taken(std::string_view("http://example.com/\0", 20)));
  EXPECT_TRUE(taken("http://example.com/a", listed));
  EXPECT_FALSE(taken("http://example.org/a", listed));
}

TEST(ImageUrl, ThisMachineByItsNames) {
  for (const char* host : {"localhost", "LocalHost", "a.localhost", "localhost4", "localhost6", "ip6-localhost",
                           "ip6-loopback", "localhost.localdomain", "localhost6.localdomain6", "loopback"})
    EXPECT_FALSE(taken("http://" + std::string(host) + ":8080/a")) << host;
}

}  // namespace
}  // namespace heptane::iot::devices
