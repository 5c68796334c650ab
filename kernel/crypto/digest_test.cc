// Published vectors: FIPS 180-4 examples, RFC 4231, RFC 7914 §11 and RFC 7677 §3.
#include "kernel/crypto/digest.h"

#include <gtest/gtest.h>

#include "kernel/base/base64.h"

namespace heptane::crypto {
namespace {

TEST(Digest, OfAbc) {
  EXPECT_EQ(hex(digest(Hash::sha256, "abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex(digest(Hash::sha512, "abc")),
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
            "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
  EXPECT_EQ(hex(digest(Hash::sha256, "")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Hmac, Rfc4231) {
  const std::string key1(20, '\x0b');
  EXPECT_EQ(hex(hmac(Hash::sha256, key1, "Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(hex(hmac(Hash::sha512, key1, "Hi There")),
            "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde"
            "daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854");
  EXPECT_EQ(hex(hmac(Hash::sha256, "Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  const std::string key6(131, '\xaa');  // longer than a block
  EXPECT_EQ(hex(hmac(Hash::sha256, key6, "Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(Pbkdf2, Rfc7914) {
  EXPECT_EQ(hex(pbkdf2(Hash::sha256, "passwd", "salt", 1)),
            "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc");
  EXPECT_EQ(hex(pbkdf2(Hash::sha256, "Password", "NaCl", 80'000)),
            "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56");
}

TEST(Pbkdf2, Sha512OfOneIterationIsItsDefinition) {
  EXPECT_EQ(pbkdf2(Hash::sha512, "secret", "salt", 1), hmac(Hash::sha512, "secret", std::string("salt\0\0\0\1", 8)));
}

// The proof of RFC 7677 §3, step by step.
TEST(Pbkdf2, MakesTheScramProofOfRfc7677) {
  const std::string salt = base64_decoded("W22ZaJ0SNY7soEsUEjb6gQ==").value();
  const std::string salted = pbkdf2(Hash::sha256, "pencil", salt, 4096);
  const std::string client_key = hmac(Hash::sha256, salted, "Client Key");
  const std::string stored_key = digest(Hash::sha256, client_key);
  const std::string message =
      "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
      "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
  std::string proof = hmac(Hash::sha256, stored_key, message);
  for (size_t i = 0; i < proof.size(); ++i) proof[i] = static_cast<char>(proof[i] ^ client_key[i]);
  EXPECT_EQ(base64_encoded(proof), "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
}

TEST(Compare, LengthAndContent) {
  EXPECT_TRUE(equal_in_constant_time("", ""));
  EXPECT_TRUE(equal_in_constant_time("abc", "abc"));
  EXPECT_FALSE(equal_in_constant_time("abc", "abd"));
  EXPECT_FALSE(equal_in_constant_time("abc", "ab"));
}

}  // namespace
}  // namespace heptane::crypto
