// URLs that rules post to, and which of them the operator's list allows.
#include "modules/iot/gateway/rules/http_target.h"

#include <gtest/gtest.h>

namespace heptane::iot::rules {
namespace {

std::string parsed(std::string_view url) {
  const auto target = parse_http_url(url);
  if (!target) return "error";
  return std::string(target->tls ? "tls " : "plain ") + target->host + " " + std::to_string(target->port) + " " +
         target->path + " " + target->authority();
}

TEST(HttpTarget, TakesUrlsApart) {
  EXPECT_EQ(parsed("https://Hooks.example.com"), "tls hooks.example.com 443 / hooks.example.com");
  EXPECT_EQ(parsed("http://a:8080/b/c?d=e"), "plain a 8080 /b/c?d=e a:8080");
  EXPECT_EQ(parsed("http://a?x=1"), "plain a 80 /?x=1 a");
  EXPECT_EQ(parsed("http://[::1]:81/"), "plain ::1 81 / [::1]:81");
  for (const char* bad : {"ftp://a",
                          "http://",
                          "http:///x",
                          "http://u@a/",
                          "http://u:p@a/",
                          "http://a:0/",
                          "http://a:99999/",
                          "http://a:/",
                          "http://a b/",
                          "http://a/\r\nX: y",
                          "http://a/#x",
                          "http://[::1",
                          "http://[name]/",
                          "http://::1/",
                          "http://a..b/",
                          "http://.a/",
                          "http://a\\b/",
                          "http://[fe80::1%eth0]/",
                          "//a/b",
                          "http://ä/",
                          "http://a\\@127.0.0.1:9/",
                          "http://a#@127.0.0.1/"})
    EXPECT_EQ(parsed(bad), "error") << bad;
  EXPECT_EQ(parsed("http://a/" + std::string(2'000, 'x')), "error");
}

TEST(HttpTarget, TheRightToPostTellsHttpFromHttps) {
  EXPECT_EQ(parse_http_url("https://a/x")->resource(), "a:443");
  EXPECT_EQ(parse_http_url("http://a/x")->resource(), "a:80");
  EXPECT_EQ(parse_http_url("http://[::1]:81/")->resource(), "[::1]:81");
  EXPECT_EQ(without_query("http://a/x?token=y"), "http://a/x");
}

bool allowed(const std::vector<std::string>& list, std::string_view url) {
  const auto entries = AllowList::parse(list);
  return entries && entries->allows(*parse_http_url(url));
}

TEST(HttpAllowList, NamesAndPorts) {
  const std::vector<std::string> list = {"hooks.example.com", "*.example.org:8443", "10.0.0.0/8", "127.0.0.1:8080",
                                         "[::1]:81"};
  for (const char* url :
       {"https://hooks.example.com/x", "http://HOOKS.example.com:99/", "https://a.example.org:8443/",
        "https://a.b.example.org:8443/", "http://10.1.2.3/", "http://127.0.0.1:8080/", "http://[::1]:81/"})
    EXPECT_TRUE(allowed(list, url)) << url;
  for (const char* url : {"https://example.com/", "https://xhooks.example.com/", "https://hooks.example.com.evil.net/",
                          "https://example.org:8443/", "https://a.example.org/", "http://127.0.0.1/",
                          "http://11.0.0.1/", "http://[::1]/", "http://8.8.8.8/"})
    EXPECT_FALSE(allowed(list, url)) << url;
  EXPECT_FALSE(allowed({}, "https://hooks.example.com/"));
  for (const char* bad : {"", "*", "*.", "a b", "http://a", "a:0", "[::1", "10.0.0.0/33"})
    EXPECT_FALSE(AllowList::parse({bad}).ok()) << bad;
}

// A name that is allowed may lead anywhere tomorrow.
TEST(HttpAllowList, WhatANameLeadsToIsPublicOrListed) {
  const auto list = AllowList::parse({"hooks.example.com", "10.1.0.0/16", "127.0.0.1:8080"});
  ASSERT_TRUE(list.ok());
  EXPECT_TRUE(list->allows_address("93.184.216.34", 443));
  EXPECT_TRUE(list->allows_address("10.1.2.3", 443));
  EXPECT_TRUE(list->allows_address("::ffff:10.1.2.3", 443));
  EXPECT_TRUE(list->allows_address("127.0.0.1", 8080));
  for (const char* address :
       {"127.0.0.1", "10.2.0.1", "169.254.169.254", "::1", "fe80::1", "192.168.0.1", "::ffff:127.0.0.1"})
    EXPECT_FALSE(list->allows_address(address, 443)) << address;
}

}  // namespace
}  // namespace heptane::iot::rules
