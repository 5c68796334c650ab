// TLS over two ends in memory: versions, sizes, who may connect, what is refused and how it ends; and the files behind it.
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <array>
#include <functional>
#include <string>

#include "kernel/net/tls_preamble.h"
#include "kernel/net/tls_stream.h"
#include "kernel/net/tls_test_support.h"

namespace heptane::net {
namespace {

using test::CertificateFiles;
using test::Party;
using test::Wire;
using test::WireStream;

constexpr std::array<std::string_view, 2> kOurs = {"new", "old"};
constexpr std::array<std::string_view, 2> kOffered = {"strange", "old"};
constexpr std::array<std::string_view, 1> kStrange = {"strange"};

int64_t utc_ns() {
  SystemClock clock;
  return clock.utc_ns();
}

// A server and a client and the wires between them.
struct Link {
  std::shared_ptr<Wire> to_server = std::make_shared<Wire>();
  std::shared_ptr<Wire> to_client = std::make_shared<Wire>();
  std::unique_ptr<Party> server;
  std::unique_ptr<Party> client;

  void chunks(size_t bytes) { to_server->chunk_bytes = to_client->chunk_bytes = bytes; }
  void rooms(size_t bytes) { to_server->room_bytes = to_client->room_bytes = bytes; }
  void start_server(const std::shared_ptr<TlsContext>& context, std::span<const std::string_view> alpn = {}) {
    auto wire = std::make_unique<WireStream>(to_server, to_client);
    WireStream& raw = *wire;
    server = std::make_unique<Party>(make_tls_server_stream(std::move(wire), context, alpn), raw);
  }
  void start_client(const std::shared_ptr<TlsContext>& context, const std::string& name = "localhost",
                    std::span<const std::string_view> alpn = {}) {
    auto wire = std::make_unique<WireStream>(to_client, to_server);
    WireStream& raw = *wire;
    client = std::make_unique<Party>(make_tls_client_stream(std::move(wire), context, name, alpn), raw);
  }
  void run() {
    for (int turns = 0;; ++turns) {
      const bool served = server && server->step();
      const bool asked = client && client->step();
      if (!served && !asked) return;
      ASSERT_LT(turns, 2'000'000) << "it spins";
    }
  }
};

class TlsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    files_.make_authority("ca");
    files_.make_certificate("server", "ca", "the server");
    files_.make_certificate("alice", "ca", "alice");
  }
  std::shared_ptr<TlsContext> server_context(const TlsOptions& options) {
    auto context = TlsContext::server(options, utc_ns());
    EXPECT_TRUE(context.ok()) << context.error().message;
    return *context;
  }
  std::shared_ptr<TlsContext> server_context() { return server_context(files_.options("server")); }
  std::shared_ptr<TlsContext> client_context(const std::string& certificate = "", const std::string& ca = "ca") {
    TlsClientOptions options;
    options.ca_file = files_.path(ca + ".pem");
    if (!certificate.empty()) {
      options.certificate_file = files_.path(certificate + ".pem");
      options.key_file = files_.path(certificate + ".key");
    }
    auto context = TlsContext::client(options, utc_ns());
    EXPECT_TRUE(context.ok()) << context.error().message;
    return *context;
  }
  TlsOptions mutual(ClientCertificates asked) {
    TlsOptions options = files_.options("server");
    options.client_ca_file = files_.path("ca.pem");
    options.client_certificates = asked;
    return options;
  }
  static std::string refused(const Result<std::shared_ptr<TlsContext>>& context) {
    return context.ok() ? "" : context.error().message;
  }

  CertificateFiles files_;
};

TEST_F(TlsTest, PassesBytesInBothVersionsAndAllSizes) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    for (const size_t chunk : {size_t{1}, size_t{7}, SIZE_MAX}) {
      const auto context = client_context();
      SSL_CTX_set_max_proto_version(context->native(), version);
      Link link;
      link.chunks(chunk);
      link.start_server(server_context(), kOurs);
      link.start_client(context, "localhost", kOffered);
      link.run();
      ASSERT_TRUE(link.server->agreed && link.client->agreed);
      const std::string question(40'000, 'q');
      const std::string answer(100'000, 'a');
      link.client->to_send = question;
      link.server->to_send = answer;
      link.client->go_on();
      link.server->go_on();
      link.run();
      EXPECT_EQ(link.server->got, question);
      EXPECT_EQ(link.client->got, answer);
      const TlsFacts* facts = link.server->stream().tls();
      ASSERT_NE(facts, nullptr);
      EXPECT_EQ(facts->version, version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3");
      EXPECT_EQ(facts->server_name, "localhost");
      EXPECT_EQ(facts->alpn, "old") << "the first of ours that was offered";
      EXPECT_EQ(facts->client_subject, "");
    }
  }
}

TEST_F(TlsTest, OldVersionsAreRefused) {
  TlsOptions only_new = files_.options("server");
  only_new.min_version = TlsVersion::v1_3;
  for (const auto& [version, server] :
       {std::pair(TLS1_1_VERSION, files_.options("server")), {TLS1_2_VERSION, only_new}}) {
    const auto context = client_context();
    SSL_CTX_set_security_level(context->native(), 0);
    SSL_CTX_set_min_proto_version(context->native(), TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context->native(), version);
    SSL_CTX_set_cipher_list(context->native(), "ALL:@SECLEVEL=0");
    Link link;
    link.start_server(server_context(server));
    link.start_client(context);
    link.run();
    EXPECT_EQ(link.server->end, IoStatus::failed);
    EXPECT_NE(link.server->stream().failure().find("unsupported protocol"), std::string_view::npos)
        << link.server->stream().failure();
    EXPECT_EQ(link.client->end, IoStatus::failed) << "the alert reaches it";
  }
}

TEST_F(TlsTest, OnlySomebodyElsesProtocolIsRefused) {
  Link link;
  link.start_server(server_context(), kOurs);
  link.start_client(client_context(), "localhost", kStrange);
  link.run();
  EXPECT_EQ(link.server->end, IoStatus::failed);
  EXPECT_EQ(link.client->end, IoStatus::failed);
}

TEST_F(TlsTest, ClientCertificates) {
  files_.make_authority("other");
  files_.make_certificate("mallory", "other", "alice");
  files_.make_certificate("expired", "ca", "alice", "", -7200, -3600);
  struct Case {
    ClientCertificates asked;
    const char* shown;
    bool accepted;
    const char* name;
  };
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    for (const Case& one :
         {Case{ClientCertificates::none, "alice", true, ""}, Case{ClientCertificates::optional, "", true, ""},
          Case{ClientCertificates::optional, "alice", true, "alice"},
          Case{ClientCertificates::optional, "mallory", false, ""}, Case{ClientCertificates::required, "", false, ""},
          Case{ClientCertificates::required, "alice", true, "alice"},
          Case{ClientCertificates::required, "mallory", false, ""}}) {
      const auto context = client_context(one.shown);
      SSL_CTX_set_max_proto_version(context->native(), version);
      Link link;
      link.start_server(server_context(mutual(one.asked)));
      link.start_client(context);
      link.run();
      ASSERT_EQ(link.server->agreed, one.accepted) << one.shown << ' ' << static_cast<int>(one.asked);
      if (!one.accepted) {
        EXPECT_EQ(link.server->end, IoStatus::failed);
        continue;
      }
      EXPECT_EQ(link.server->stream().tls()->client_common_name, one.name);
      if (*one.name == '\0') continue;
      EXPECT_EQ(link.server->stream().tls()->client_subject, "CN=alice,O=Heptane");
      EXPECT_EQ(link.server->stream().tls()->client_fingerprint.size(), 64U);
    }
  }
  TlsClientOptions late;
  late.ca_file = files_.path("ca.pem");
  late.certificate_file = files_.path("expired.pem");
  late.key_file = files_.path("expired.key");
  EXPECT_NE(refused(TlsContext::client(late, utc_ns())).find("expired on"), std::string::npos);
}

TEST_F(TlsTest, ClientsVerifyAuthorityAndName) {
  files_.make_authority("other");
  struct Case {
    const char* ca;
    const char* name;
    bool accepted;
  };
  for (const Case& one : {Case{"ca", "localhost", true}, Case{"ca", "127.0.0.1", true}, Case{"ca", "elsewhere", false},
                          Case{"ca", "127.0.0.2", false}, Case{"other", "localhost", false}}) {
    Link link;
    link.start_server(server_context());
    link.start_client(client_context("", one.ca), one.name);
    link.run();
    EXPECT_EQ(link.client->agreed, one.accepted) << one.ca << ' ' << one.name;
    if (!one.accepted) {
      EXPECT_NE(link.client->stream().failure().find("certificate verify failed"), std::string_view::npos);
    }
  }
}

TEST_F(TlsTest, WhatIsNoTlsIsRefused) {
  for (const std::string& bytes : {std::string("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), std::string(5000, '\0'),
                                   std::string("\x16\x03\x01\xff\xff\xff\xff\xff\xff\xff", 10)}) {
    Link link;
    link.start_server(server_context());
    for (const char byte : bytes) link.to_server->bytes.push_back(static_cast<std::byte>(byte));
    link.run();
    EXPECT_EQ(link.server->end, IoStatus::failed);
    EXPECT_TRUE(link.server->stream().failure().starts_with("TLS: ")) << link.server->stream().failure();
  }
}

TEST_F(TlsTest, AHalfHandshakeIsNoConnection) {
  // What a client says, as far as it needs no answer.
  Link whole;
  whole.start_client(client_context());
  const std::deque<std::byte> hello = whole.to_server->bytes;
  ASSERT_GT(hello.size(), 100U);
  const auto context = server_context();
  for (size_t cut = 0; cut <= hello.size(); ++cut) {
    Link link;
    link.to_server->bytes.assign(hello.begin(), hello.begin() + static_cast<std::ptrdiff_t>(cut));
    link.start_server(context);
    link.run();
    EXPECT_EQ(link.server->end, IoStatus::ok) << "it waits";
    link.to_server->finished = true;
    link.run();
    EXPECT_FALSE(link.server->agreed);
    EXPECT_NE(link.server->end, IoStatus::ok);
  }
}

TEST_F(TlsTest, AChangedByteIsNoticed) {
  Link link;
  link.start_server(server_context());
  link.start_client(client_context());
  link.run();
  link.client->to_send = "pay 100";
  link.client->go_on();
  link.to_server->bytes.back() ^= std::byte{1};
  link.run();
  EXPECT_EQ(link.server->got, "");
  EXPECT_EQ(link.server->end, IoStatus::failed);
  EXPECT_EQ(link.client->end, IoStatus::failed) << "the alert reaches it";
}

TEST_F(TlsTest, TheEndIsSaid) {
  Link link;
  link.start_server(server_context());
  link.start_client(client_context());
  link.run();
  link.client->to_send = "last words";
  link.client->go_on();
  link.client->end_output();
  link.run();
  EXPECT_EQ(link.server->got, "last words");
  EXPECT_EQ(link.server->end, IoStatus::closed);
  link.server->to_send = "an answer to them";
  link.server->go_on();
  link.run();
  EXPECT_EQ(link.client->got, "an answer to them");
  link.server->drop();
  link.run();
  EXPECT_EQ(link.client->end, IoStatus::closed) << "the end of a stream says close_notify too";
}

TEST_F(TlsTest, AnEndThatNobodySaidCounts) {
  Link link;
  link.start_server(server_context());
  link.start_client(client_context());
  link.run();
  link.client->to_send = "asked";
  link.client->go_on();
  link.to_server->finished = true;
  link.to_client->finished = true;
  link.run();
  EXPECT_EQ(link.server->got, "asked");
  EXPECT_EQ(link.server->end, IoStatus::closed) << "what was asked is answered";
  EXPECT_EQ(link.client->end, IoStatus::reset) << "an answer may be missing";
}

TEST_F(TlsTest, ASlowReaderHoldsTheWriterBack) {
  Link link;
  link.start_server(server_context());
  link.start_client(client_context());
  link.run();
  link.rooms(1000);
  link.client->reads = false;
  const std::string large(1 << 20, 'x');
  link.server->to_send = large;
  link.server->go_on();
  link.run();
  EXPECT_FALSE(link.server->stream().flushed());
  EXPECT_GT(link.server->to_send.size(), large.size() - (200 << 10)) << "no more than a few records are taken";
  link.client->reads = true;
  link.client->go_on();
  link.run();
  EXPECT_TRUE(link.client->got == large);
  EXPECT_TRUE(link.server->stream().flushed());
}

TEST_F(TlsTest, WhatWasTakenGoesOutBeforeTheEnd) {
  Link link;
  link.start_server(server_context());
  link.start_client(client_context());
  link.run();
  link.to_client->room_bytes = 10;
  link.server->to_send = std::string(5000, 'z');
  link.server->go_on();
  ASSERT_FALSE(link.server->stream().flushed());
  link.server->end_output();
  link.run();
  EXPECT_EQ(link.client->got.size(), 5000U);
  EXPECT_EQ(link.client->end, IoStatus::closed);
}

TEST_F(TlsTest, NoTicketsAreGivenOut) {
  Link link;
  link.start_server(server_context());
  const auto context = client_context();
  SSL_CTX_clear_options(context->native(), SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(context->native(), SSL_SESS_CACHE_CLIENT);
  static int tickets = 0;
  SSL_CTX_sess_set_new_cb(context->native(), [](SSL*, SSL_SESSION*) { return ++tickets * 0; });
  link.start_client(context);
  link.run();
  link.server->to_send = "so that the client has read all of it";
  link.server->go_on();
  link.run();
  EXPECT_EQ(tickets, 0);
}

// `?` is answered with `!` and asked again, `S` with `s` before TLS, `P` is plain, a TLS hello is one; nothing else is served.
class TestPreamble final : public TlsPreamble {
 public:
  Verdict look(Bytes first) const override {
    using Next = Verdict::Next;
    if (first[0] == std::byte{0x16}) return {Next::encrypt, 0, ""};
    if (first.size() < 2) return {Next::more, 2, ""};
    const std::string_view two = as_text(first);
    if (two == "??") return {Next::answer, 2, "!"};
    if (two == "SS") return {Next::encrypt, 2, "s"};
    if (two == "PP") return {Next::plain, 0, ""};
    return {Next::refuse, 0, "no"};
  }
};

class PreambleTest : public TlsTest {
 protected:
  void SetUp() override {
    TlsTest::SetUp();
    auto wire = std::make_unique<WireStream>(link.to_server, link.to_client);
    WireStream& raw = *wire;
    link.server = std::make_unique<Party>(make_preamble_stream(std::move(wire), preamble, server_context(), {}), raw);
  }
  // In plain text; what the server says to it.
  std::string ask(std::string_view plain) {
    for (const char c : plain) {
      link.to_server->bytes.push_back(static_cast<std::byte>(c));
      link.run();
    }
    std::string told;
    for (const std::byte byte : std::exchange(link.to_client->bytes, {})) told += static_cast<char>(byte);
    return told;
  }
  void talk_encrypted() {
    link.start_client(client_context());
    link.client->to_send = "hello";
    link.client->go_on();
    link.run();
    EXPECT_EQ(link.server->got, "hello");
    EXPECT_NE(link.server->stream().tls(), nullptr);
  }

  TestPreamble preamble;
  Link link;
};

TEST_F(PreambleTest, TlsBeginsWhenItWasAskedFor) {
  EXPECT_EQ(ask("?"), "");
  EXPECT_EQ(ask("?"), "!");
  EXPECT_EQ(ask("SS"), "s");
  talk_encrypted();
}

TEST_F(PreambleTest, TlsMayBeginAtOnceInPiecesOfAnySize) {
  link.chunks(1);
  talk_encrypted();
}

TEST_F(PreambleTest, PlainBytesReachTheSessionWhole) {
  EXPECT_EQ(ask("PP and more"), "");
  EXPECT_EQ(link.server->got, "PP and more");
  EXPECT_EQ(link.server->stream().tls(), nullptr);
}

TEST_F(PreambleTest, AnythingElseIsRefusedInItsWords) {
  EXPECT_EQ(ask("XX"), "no");
  EXPECT_EQ(link.server->end, IoStatus::failed);
  EXPECT_EQ(link.server->stream().failure(), "TLS was not asked for");
}

// A flood of questions costs the loop one answer.
TEST_F(PreambleTest, OneQuestionIsAnsweredAndNoMore) {
  EXPECT_EQ(ask("??"), "!");
  for (const char c : std::string_view("????????")) link.to_server->bytes.push_back(static_cast<std::byte>(c));
  EXPECT_EQ(ask("?"), "");
  EXPECT_EQ(link.server->end, IoStatus::failed);
}

// Who sends more behind the question than TLS has slipped it in: TLS does not take it for its own.
TEST_F(PreambleTest, PlainTextBehindTheQuestionIsNotRead) {
  for (const char c : std::string_view("SSSELECT 1; and then some"))
    link.to_server->bytes.push_back(static_cast<std::byte>(c));
  link.run();
  EXPECT_EQ(link.server->end, IoStatus::failed);
  EXPECT_EQ(link.server->got, "");
}

TEST_F(TlsTest, FilesThatCannotBeUsedAreNamedWithTheReason) {
  files_.make_certificate("late", "ca", "late", "", -7200, -3600);
  files_.make_certificate("early", "ca", "early", "", 3600, 7200);
  files_.lock_key("server");
  files_.write("garbage.pem", "no certificate\n");
  files_.write("cut.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
  const auto why = [&](const std::string& certificate, const std::string& key) {
    TlsOptions options;
    options.certificate_file = certificate.empty() ? "" : files_.path(certificate);
    options.key_file = key.empty() ? "" : files_.path(key);
    return refused(TlsContext::server(options, utc_ns()));
  };
  const auto expect = [](const std::string& message, std::initializer_list<const char*> parts) {
    for (const char* part : parts) EXPECT_NE(message.find(part), std::string::npos) << message << " lacks " << part;
  };
  expect(why("", "server.key"), {"no file is named for the certificate"});
  expect(why("missing.pem", "server.key"), {"missing.pem", "cannot be read", "No such file"});
  expect(why("garbage.pem", "server.key"), {"garbage.pem", "holds no PEM certificate"});
  expect(why("cut.pem", "server.key"), {"cut.pem", "damaged"});
  expect(why("late.pem", "late.key"), {"late.pem", "expired on"});
  expect(why("early.pem", "early.key"), {"early.pem", "not valid before"});
  expect(why("server.pem", ""), {"no file is named for the private key"});
  expect(why("server.pem", "alice.key"), {"alice.key", "does not belong to the certificate in", "server.pem"});
  expect(why("server.pem", "garbage.pem"), {"garbage.pem", "holds no PEM private key"});
  expect(why("server.pem", "server.locked"), {"server.locked", "encrypted"});
  TlsOptions options = files_.options("server");
  options.client_certificates = ClientCertificates::required;
  expect(refused(TlsContext::server(options, utc_ns())), {"name the file of the CAs"});
  options.client_ca_file = files_.path("garbage.pem");
  expect(refused(TlsContext::server(options, utc_ns())), {"garbage.pem", "CA file"});
}

TEST_F(TlsTest, AReloadIsForNewConnectionsAndAllOrNothing) {
  SystemClock clock;
  auto credentials = TlsCredentials::load(files_.options("server"), clock);
  ASSERT_TRUE(credentials.ok()) << credentials.error().message;
  Link before;
  before.start_server((*credentials)->current());
  before.start_client(client_context());
  before.run();
  ASSERT_TRUE(before.client->agreed);

  const auto kept = (*credentials)->current();
  files_.write("server.key", "broken\n");
  EXPECT_FALSE((*credentials)->reload().ok());
  EXPECT_EQ((*credentials)->current(), kept);

  files_.make_authority("newca");
  files_.make_certificate("server", "newca", "the server", "DNS:localhost", -60, 7200);
  ASSERT_TRUE((*credentials)->reload().ok());
  EXPECT_NE((*credentials)->current()->not_after_utc_s(), kept->not_after_utc_s());
  for (const auto& [ca, accepted] : {std::pair("newca", true), std::pair("ca", false)}) {
    Link after;
    after.start_server((*credentials)->current());
    after.start_client(client_context("", ca));
    after.run();
    EXPECT_EQ(after.client->agreed, accepted) << ca;
  }
  before.client->to_send = "still there";
  before.client->go_on();
  before.run();
  EXPECT_EQ(before.server->got, "still there");
}

}  // namespace
}  // namespace heptane::net
