// The examples of RFC 4013 §3 and the tables of RFC 3454 that it names.
#include "kernel/auth/saslprep.h"

#include <gtest/gtest.h>

#include "kernel/auth/gate.h"

namespace heptane::auth {
namespace {

std::string prepared(std::string_view text, PreparedFor use = PreparedFor::storing) {
  const Result<std::string> result = saslprep(text, use);
  return result ? *result : "refused: " + result.error().message;
}

TEST(Saslprep, TheExamplesOfTheRfc) {
  EXPECT_EQ(prepared("I\xc2\xadX"), "IX") << "U+00AD is mapped to nothing";
  EXPECT_EQ(prepared("user"), "user");
  EXPECT_EQ(prepared("USER"), "USER") << "case stays";
  EXPECT_EQ(prepared("\xc2\xaa"), "a") << "U+00AA by NFKC";
  EXPECT_EQ(prepared("\xe2\x85\xa8"), "IX") << "U+2168 by NFKC";
  EXPECT_TRUE(prepared("\x07").starts_with("refused: holds a character"));
  EXPECT_TRUE(prepared("\xd8\xa7\x31").starts_with("refused: mixes writing")) << "U+0627 and a digit";
}

TEST(Saslprep, NormalisesAndMaps) {
  EXPECT_EQ(prepared("e\xcc\x81t\xc3\xa9"), "\xc3\xa9t\xc3\xa9") << "a letter and its accent become one";
  EXPECT_EQ(prepared("a\xc2\xa0\xe3\x80\x80z"), "a  z") << "other spaces are spaces";
  EXPECT_EQ(prepared("\xef\xbd\x81\xef\xbd\x82\xef\xac\x81"), "abfi") << "full width, ligatures";
  EXPECT_EQ(prepared("p\xe2\x80\x8b\xef\xbb\xbfw"), "p w")
      << "U+200B is in both tables of the RFC, and libidn takes it for a space";
  EXPECT_EQ(prepared("\xd8\xb9\xd8\xb1\xd8\xa8\xd9\x8a"), "\xd8\xb9\xd8\xb1\xd8\xa8\xd9\x8a") << "Arabic alone";
  EXPECT_EQ(prepared("\xf0\x9d\x94\xb8"), "A") << "beyond the first plane";
}

TEST(Saslprep, WhatIsRefused) {
  using namespace std::string_view_literals;
  for (const std::string_view text : {"a\0b"sv, "a\x7f"sv, "\xc2\x85"sv, "\xee\x80\x80"sv, "\xef\xbf\xbd"sv})
    EXPECT_TRUE(prepared(text).starts_with("refused: holds a character")) << text;
  for (const std::string_view text : {"\xff"sv, "\xc3"sv, "\xed\xa0\x80"sv, "\xc0\xaf"sv, "\xf4\x90\x80\x80"sv})
    EXPECT_EQ(prepared(text), "refused: is not UTF-8") << text;
  EXPECT_EQ(prepared("\xc8\xa1"), "refused: holds a character that is not in Unicode 3.2 (SASLprep, RFC 4013)");
  EXPECT_EQ(prepared("\xc8\xa1", PreparedFor::asking), "\xc8\xa1") << "U+0221 came with Unicode 4";
}

TEST(Saslprep, ANewPasswordHasItsBoundsWhenItIsPrepared) {
  const auto refused = [](std::string_view text) {
    const Result<std::string> result = new_password(text);
    return result ? std::string() : result.error().message;
  };
  EXPECT_EQ(*new_password("correct horse"), "correct horse");
  EXPECT_EQ(*new_password("gr\xc3\xb6\xc3\x9f"
                          "er: \xe2\x85\xa8"),
            "gr\xc3\xb6\xc3\x9f"
            "er: IX");
  EXPECT_EQ(*new_password("\xd0\xbf\xd0\xb0\xd1\x80\xd0\xbe\xd0\xbb\xd1\x8c\xd1\x8c\xd1\x8c"),
            "\xd0\xbf\xd0\xb0\xd1\x80\xd0\xbe\xd0\xbb\xd1\x8c\xd1\x8c\xd1\x8c")
      << "eight characters";
  const std::string bounds = "has 8 characters at least and 256 bytes of UTF-8 at most";
  EXPECT_EQ(refused("1234567"), bounds);
  EXPECT_EQ(refused("123456\xc2\xad\xc2\xad\xc2\xad"), bounds) << "what is mapped to nothing is no character";
  EXPECT_EQ(refused("\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6"), bounds) << "eight bytes are four characters";
  EXPECT_EQ(refused(std::string(257, 'x')), bounds);
  std::string grows;
  for (int i = 0; i < 20; ++i) grows += "\xef\xb7\xba";  // U+FDFA is eighteen characters by NFKC
  EXPECT_EQ(refused(grows), bounds);
  EXPECT_EQ(refused("a bell: \x07\x07"),
            "holds a character that passwords must not hold, a control character for example (SASLprep, RFC 4013)");
}

}  // namespace
}  // namespace heptane::auth
