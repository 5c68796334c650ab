// The console's files over HTTP: what browsers may do with them, how long they keep them, and who asks without gzip.
#include <gtest/gtest.h>

#include "console/routes.h"
#include "kernel/net/http/content_coding.h"
#include "kernel/net/http/fake_context.h"
#include "kernel/net/http/session.h"

namespace heptane::console {
namespace {

struct Server {
  Server() {
    page = http::GzipStream().add("<p>page</p>", true);
    script = http::GzipStream().add("script()", true);
    files = {Asset{"/", "text/html; charset=utf-8", as_bytes(page), 11},
             Asset{"/assets/a-1.js", "text/javascript; charset=utf-8", as_bytes(script), 8}};
    add_files(service.router, files);
  }

  std::string ask(const std::string& path, const std::string& headers = "", const std::string& host = "localhost") {
    http::HttpSession session(service);
    http::test::FakeContext context(session);
    context.send("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\n" + headers + "\r\n");
    return context.output;
  }

  std::string page;
  std::string script;
  std::vector<Asset> files;
  http::HttpService service;
};

bool has(const std::string& response, const std::string& part) { return response.find(part) != std::string::npos; }

std::string body_of(const std::string& response) { return response.substr(response.find("\r\n\r\n") + 4); }

TEST(Console, ThePageIsNeverKeptAndMayDoNothingElsewhere) {
  Server server;
  const std::string response = server.ask("/", "Accept-Encoding: gzip\r\n");
  EXPECT_TRUE(has(response, "200 OK")) << response;
  EXPECT_TRUE(has(response, "Cache-Control: no-store\r\n"));
  EXPECT_TRUE(has(response, "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self';"));
  EXPECT_TRUE(has(response, "frame-ancestors 'none'\r\n"));
  EXPECT_FALSE(has(response, "unsafe"));
  EXPECT_TRUE(has(response, "X-Content-Type-Options: nosniff\r\n"));
  EXPECT_TRUE(has(response, "Content-Encoding: gzip\r\n"));
  EXPECT_EQ(body_of(response), server.page) << "as it was built, not compressed again";
}

TEST(Console, FilesWithAHashInTheirNamesAreKeptForEver) {
  Server server;
  const std::string response = server.ask("/assets/a-1.js", "Accept-Encoding: gzip\r\n");
  EXPECT_TRUE(has(response, "Cache-Control: public, max-age=31536000, immutable\r\n")) << response;
  EXPECT_FALSE(has(response, "no-store"));
  EXPECT_TRUE(has(response, "Content-Type: text/javascript; charset=utf-8\r\n"));
  EXPECT_EQ(body_of(response), server.script);
}

TEST(Console, WhoTakesNoGzipGetsThemAsTheyAre) {
  Server server;
  const std::string response = server.ask("/assets/a-1.js");
  EXPECT_FALSE(has(response, "Content-Encoding")) << response;
  EXPECT_TRUE(has(response, "Vary: Accept-Encoding\r\n"));
  EXPECT_EQ(body_of(response), "script()");
}

TEST(Console, NoOtherPathsAndNoOtherHosts) {
  Server server;
  EXPECT_TRUE(has(server.ask("/assets/a-2.js"), "404"));
  EXPECT_TRUE(has(server.ask("/assets/..%2f"), "404"));
  EXPECT_TRUE(has(server.ask("/", "", "evil.example"), "421"));
}

}  // namespace
}  // namespace heptane::console
