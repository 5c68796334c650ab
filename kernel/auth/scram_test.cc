// The transcript of RFC 7677 §3, and what a server must refuse.
#include "kernel/auth/scram.h"

#include <gtest/gtest.h>

#include "kernel/base/base64.h"

namespace heptane::auth {
namespace {

constexpr char kServerNonce[] = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
constexpr char kClientFirst[] = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
constexpr char kServerFirst[] =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
constexpr char kClientFinal[] =
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
constexpr char kServerFinal[] = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

using Outcome = SaslStep::Outcome;

struct Exchange {
  explicit Exchange(crypto::Hash hash = crypto::Hash::sha256, std::string named = {})
      : verifier(make_verifier(hash, "pencil", base64_decoded("W22ZaJ0SNY7soEsUEjb6gQ==").value(), 4096)),
        server(
            hash, kServerNonce,
            [this, hash](std::string_view name) -> ScramServer::Candidate {
              if (name == "user" || name == "a,b=c") return {verifier, Identity{{17, 3}, std::string(name), {}}};
              return {made_up_verifier(hash, "key", name, 4096), std::nullopt};
            },
            [this](std::string_view name) { failures.emplace_back(name); }, std::move(named)) {}
  SaslStep step(std::string_view message) { return server.step(as_bytes(message)); }

  std::vector<std::string> failures;
  Verifier verifier;
  ScramServer server;
};

// The client's side, for other passwords and hashes.
std::string client_final(crypto::Hash hash, std::string_view password, const std::string& first_bare,
                         const std::string& server_first, const std::string& binding = "biws",
                         const std::string& before_nonce = "") {
  const size_t salt_at = server_first.find(",s=") + 3;
  const size_t count_at = server_first.find(",i=") + 3;
  const std::string salt = base64_decoded(server_first.substr(salt_at, count_at - 3 - salt_at)).value();
  const std::string nonce = server_first.substr(2, salt_at - 5);
  const auto iterations = static_cast<uint32_t>(std::stoul(server_first.substr(count_at)));
  const std::string key = crypto::hmac(hash, crypto::pbkdf2(hash, password, salt, iterations), "Client Key");
  const std::string without_proof = "c=" + binding + ",r=" + before_nonce + nonce;
  std::string proof =
      crypto::hmac(hash, crypto::digest(hash, key), first_bare + ',' + server_first + ',' + without_proof);
  for (size_t i = 0; i < proof.size(); ++i) proof[i] = static_cast<char>(proof[i] ^ key[i]);
  return without_proof + ",p=" + base64_encoded(proof);
}

// PostgreSQL's clients name nobody, or anybody: the user is the startup packet's.
TEST(Scram, ANamedUserIsTheOneWhateverTheMessageSays) {
  for (const std::string name : {"", "*", "somebody"}) {
    Exchange exchange(crypto::Hash::sha256, "user");
    const std::string bare = "n=" + name + ",r=rOprNGfwEbeRWgbNEkqO";
    const SaslStep first = exchange.step("n,," + bare);
    ASSERT_EQ(first.outcome, Outcome::go_on) << name;
    const SaslStep last = exchange.step(client_final(crypto::Hash::sha256, "pencil", bare, first.answer));
    EXPECT_EQ(last.outcome, Outcome::done) << name;
    EXPECT_EQ(last.identity.name, "user");
  }
  Exchange nameless;
  EXPECT_EQ(nameless.step("n,,n=,r=rOprNGfwEbeRWgbNEkqO").outcome, Outcome::refused);
}

TEST(Scram, Rfc7677) {
  Exchange exchange;
  SaslStep step = exchange.step(kClientFirst);
  EXPECT_EQ(step.outcome, Outcome::go_on);
  EXPECT_EQ(step.answer, kServerFirst);
  step = exchange.step(kClientFinal);
  EXPECT_EQ(step.outcome, Outcome::done);
  EXPECT_EQ(step.answer, kServerFinal);
  EXPECT_EQ(step.identity.name, "user");
  EXPECT_EQ(step.identity.principal.id, 17u);
  EXPECT_EQ(step.identity.principal.version, 3u);
  EXPECT_TRUE(exchange.failures.empty());
}

TEST(Scram, Sha512AndEscapedNames) {
  Exchange exchange(crypto::Hash::sha512);
  const std::string bare = "n=a=2Cb=3Dc,r=abc";
  const SaslStep first = exchange.step("y,," + bare);
  ASSERT_EQ(first.outcome, Outcome::go_on);
  const SaslStep last =
      exchange.step(client_final(crypto::Hash::sha512, "pencil", bare, first.answer, base64_encoded("y,,")));
  EXPECT_EQ(last.outcome, Outcome::done);
  EXPECT_EQ(last.identity.name, "a,b=c");
}

TEST(Scram, WrongPasswordNonceOrBinding) {
  for (const std::string_view how : {"password", "nonce", "binding", "short proof"}) {
    Exchange exchange;
    const SaslStep first = exchange.step(kClientFirst);
    std::string final =
        client_final(crypto::Hash::sha256, how == "password" ? "pencils" : "pencil", "n=user,r=rOprNGfwEbeRWgbNEkqO",
                     first.answer, how == "binding" ? base64_encoded("y,,") : "biws");
    if (how == "nonce") final.replace(final.find("k0,"), 2, "k1");
    if (how == "short proof") final.replace(final.find(",p=") + 3, std::string::npos, "AAAA");
    EXPECT_EQ(exchange.step(final).outcome, Outcome::refused) << how;
    EXPECT_EQ(exchange.failures, std::vector<std::string>{"user"}) << how;
  }
}

TEST(Scram, LibrdkafkaSaysItsNonceTwice) {
  Exchange exchange;
  const SaslStep first = exchange.step("n,,n=user,r=abc");
  const SaslStep last =
      exchange.step(client_final(crypto::Hash::sha256, "pencil", "n=user,r=abc", first.answer, "biws", "abc"));
  EXPECT_EQ(last.outcome, Outcome::done);
}

// Whoever asks for a name learns nothing: a salt, the same one every time, another one for another name.
TEST(Scram, NamesCannotBeProbed) {
  const auto server_first = [](const std::string& name) {
    Exchange exchange;
    return exchange.step("n,,n=" + name + ",r=abc").answer;
  };
  EXPECT_EQ(server_first("ghost"), server_first("ghost"));
  EXPECT_NE(server_first("ghost"), server_first("ghosts"));
  EXPECT_EQ(server_first("ghost").size(), server_first("user").size());
  Exchange exchange;
  const SaslStep first = exchange.step("n,,n=ghost,r=abc");
  const SaslStep last = exchange.step(client_final(crypto::Hash::sha256, "pencil", "n=ghost,r=abc", first.answer));
  EXPECT_EQ(last.outcome, Outcome::refused);
  EXPECT_EQ(last.reason, "wrong user or password");
}

TEST(Scram, MalformedFirstMessages) {
  for (const char* message :
       {"", "n", "n,", "n,,", "n,,n=user", "n,,r=abc,n=user", "n,,n=user,r=", "p=tls-unique,,n=user,r=abc",
        "n,a=other,n=user,r=abc", "n,,m=x,n=user,r=abc", "n,,n=us=er,r=abc", "n,,n=,r=abc", "x,,n=user,r=abc"}) {
    Exchange exchange;
    EXPECT_EQ(exchange.step(message).outcome, Outcome::refused) << message;
  }
  Exchange same;
  EXPECT_EQ(same.step("n,a=user,n=user,r=abc").outcome, Outcome::go_on) << "who acts for himself may say so";
  Exchange extended;
  EXPECT_EQ(extended.step("n,,n=user,r=abc,tokenauth=true").outcome, Outcome::go_on) << "extensions are passed over";
  Exchange long_one;
  EXPECT_EQ(long_one.step("n,,n=user,r=" + std::string(5000, 'a')).outcome, Outcome::refused);
}

TEST(Scram, AVerifierProvesItsPassword) {
  const Verifier verifier = make_verifier(crypto::Hash::sha512, "pencil", "salt", 4096);
  EXPECT_TRUE(proves(crypto::Hash::sha512, verifier, "pencil"));
  EXPECT_FALSE(proves(crypto::Hash::sha512, verifier, "pencil "));
}

}  // namespace
}  // namespace heptane::auth
