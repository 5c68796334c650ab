#include "kernel/net/http/json.h"

#include <gtest/gtest.h>

#include "kernel/base/random.h"
#include "kernel/net/http/json_writer.h"

namespace heptane::http {
namespace {

std::string error_of(std::string text) {
  const auto document = JsonDocument::parse(std::move(text));
  return document ? "" : document.error().message;
}

TEST(Json, is_read_as_it_was_written) {
  const auto document = JsonDocument::parse(R"( {"a": [1, -2 , 3.50, "x\u00e9\n", {}, [ ]] , "b" : null,"c":true} )");
  ASSERT_TRUE(document.ok()) << document.error().message;
  const JsonValue root = (*document)->root();
  EXPECT_EQ(root.raw(), R"({"a": [1, -2 , 3.50, "x\u00e9\n", {}, [ ]] , "b" : null,"c":true})");
  const JsonValue a = *root.find("a");
  EXPECT_EQ(a.raw(), R"([1, -2 , 3.50, "x\u00e9\n", {}, [ ]])");
  EXPECT_EQ(a.size(), 6u);
  std::vector<std::string_view> raws;
  for (auto item = a.first(); item; item = item->next()) raws.push_back(item->raw());
  EXPECT_EQ(raws, (std::vector<std::string_view>{"1", "-2", "3.50", R"("x\u00e9\n")", "{}", "[ ]"}));
  EXPECT_EQ(a.first()->next()->integer(), -2);
  EXPECT_EQ(a.first()->next()->next()->integer(), std::nullopt);
  EXPECT_EQ(a.first()->next()->next()->real(), 3.5);
  EXPECT_EQ(a.first()->next()->next()->next()->text(), "x\xC3\xA9\n");
  EXPECT_EQ(root.find("b")->type(), JsonType::null);
  EXPECT_TRUE(root.find("c")->boolean());
  EXPECT_FALSE(root.find("d"));
}

TEST(Json, big_integers_keep_their_value) {
  const auto document = JsonDocument::parse(R"([9223372036854775807, -9223372036854775808, 18446744073709551615])");
  ASSERT_TRUE(document.ok()) << document.error().message;
  const JsonValue first = *(*document)->root().first();
  EXPECT_EQ(first.integer(), INT64_MAX);
  EXPECT_EQ(first.next()->integer(), INT64_MIN);
  EXPECT_EQ(first.next()->next()->integer(), std::nullopt);
  EXPECT_EQ(first.next()->next()->raw(), "18446744073709551615");
}

TEST(Json, says_what_is_wrong) {
  const auto contains = [](const std::string& text, const std::string& part) {
    const std::string error = error_of(text);
    EXPECT_NE(error.find(part), std::string::npos) << text.substr(0, 60) << " -> " << error;
  };
  contains("", "there is none");
  contains("   ", "malformed");
  contains("3", "an object is expected");
  contains("\"x\"", "an object is expected");
  contains("{\"a\":1} x", "");
  contains("{\"a\":1,\"b\":2,\"a\":3}", "\"a\" stands twice");
  contains("{\"a\":{\"\\u0061\":1,\"a\":2}}", "\"a\" stands twice");
  contains("[18446744073709551616]", "number");
  contains("[123456789012345678901234567890]", "number");
  contains("[1e999]", "number");
  contains("[01]", "number");
  contains("[\"\xFF\"]", "UTF-8");
  contains("[\"\xED\xA0\x80\"]", "UTF-8");
  contains(std::string(33, '[') + std::string(33, ']'), "deeper than 32");
  contains(std::string(1'000'000, '['), "");
  EXPECT_EQ(error_of(std::string(32, '[') + std::string(32, ']')), "");
  for (const char* bad :
       {"{",          "}",         "[",       "[1",        "[1,",     "[1,]",  "{\"a\"}", "{\"a\":}",  "{\"a\":1,}",
        "{a:1}",      "[nul]",     "[nullx]", "[truex]",   "[tru]",   "['a']", "[\"a]",   "[\"\\q\"]", "[\"\\ud800\"]",
        "[1 2]",      "[1]]",      "{}{}",    "[.5]",      "[1.]",    "[+1]",  "[-]",     "[NaN]",     "[\"a\tb\"]",
        "{\"a\":1}]", "{\"a\":1]", "[1}",     "{\"a\" 1}", "[1] // c"})
    EXPECT_NE(error_of(bad), "") << bad;
}

TEST(Json, values_are_counted) {
  std::string many = "[0";
  for (uint32_t i = 1; i < kJsonValuesLimit; ++i) many += ",0";
  const auto refused = JsonDocument::parse(many + "]");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Errc::too_large);
  many.resize(many.size() - 2);
  EXPECT_EQ(error_of(many + "]"), "");
}

TEST(Json, every_cut_of_a_document_is_refused) {
  const std::string whole = R"({"a":[1,{"b":"c\"d","e":[true,false,null]}],"f":-1.5e3})";
  EXPECT_EQ(error_of(whole), "");
  for (size_t length = 0; length < whole.size(); ++length) EXPECT_NE(error_of(whole.substr(0, length)), "") << length;
}

// Short documents without escapes are read by a way of their own: it says what the other one says.
class PlainJson : public testing::Test {
 protected:
  std::string value(uint32_t depth) {
    switch (random_.below(depth == 0 ? 6 : 8)) {
      case 0: return "null";
      case 1: return random_.below(2) == 0 ? "true" : "false";
      case 2: return number();
      case 3: return number() + "." + std::to_string(random_.below(1'000));
      case 4: return '"' + std::string(random_.below(20), 'x') + '"';
      case 5: return pick({"-0", "0", "0.0", "-0.50", "999999999999999", "1234567890.12345", "\"\"", "\"{,[\""});
      case 6: return '{' + members(depth) + '}';
      default: return '[' + items(depth) + ']';
    }
  }
  // Something else in a place of it.
  std::string spoilt(std::string text) {
    const size_t at = random_.below(text.size());
    switch (random_.below(3)) {
      case 0: text.erase(at, 1); break;
      case 1:
        text[at] = pick({"{", "}", "[", "]", ",", ":", "\"", "0", "-", ".", "e", "\\", " ", "\x01", "\xC3"})[0];
        break;
      default: text.insert(at, pick({",", "\"", "0", " ", "\n", "1e5", "\\u0041", "\xC3\xA9", "}", "]"}));
    }
    return text;
  }
  static std::string shown(JsonValue value) {
    std::string out = std::string(json_type_name(value.type())) + " " + std::string(value.name()) + " " +
                      std::string(value.raw()) + " " + std::string(value.text()) + " " + std::to_string(value.size());
    for (auto child = value.first(); child; child = child->next()) out += "(" + shown(*child) + ")";
    return out;
  }
  static std::string shown(const std::string& text) {
    const auto document = JsonDocument::parse(text);
    return document ? shown(*(*document)->root().first()) : "wrong";
  }

  SeededRandom random_{29};

 private:
  std::string pick(std::initializer_list<const char*> texts) {
    return *(texts.begin() + static_cast<ptrdiff_t>(random_.below(texts.size())));
  }
  std::string space() { return pick({"", "", " ", "\n\t"}); }
  std::string number() { return std::to_string(static_cast<int64_t>(random_.below(2'000'000)) - 1'000'000); }
  std::string items(uint32_t depth) {
    std::string out = space();
    for (uint64_t i = random_.below(4); i > 0; --i) out += value(depth - 1) + space() + (i > 1 ? "," : "") + space();
    return out;
  }
  std::string members(uint32_t depth) {
    std::string out = space();
    for (uint64_t i = random_.below(12); i > 0; --i)
      out += "\"" + std::string(1, static_cast<char>('a' + random_.below(26))) + "\"" + space() + ":" + space() +
             value(depth - 1) + space() + (i > 1 ? "," : "") + space();
    return out;
  }
};

TEST_F(PlainJson, is_as_any_other) {
  for (int i = 0; i < 50'000; ++i) {
    std::string text = value(3);
    if (i % 2 == 1) text = spoilt(text);
    // Behind it something that the short way does not know.
    const std::string plain = shown("[" + text + ",1]");
    const std::string other = shown("[" + text + ",1e0]");
    ASSERT_EQ(plain, other) << text;
  }
}

TEST(JsonFields, name_what_is_wrong) {
  const auto first_error = [](const std::string& text) {
    const auto document = JsonDocument::parse(text);
    EXPECT_TRUE(document.ok());
    JsonFields fields((*document)->root(), "x");
    fields.text("name");
    fields.integer_or("count", 1, 1, 10);
    const Result<void> result = fields.finish();
    return result ? std::string() : result.error().message;
  };
  EXPECT_EQ(first_error(R"({"name":"n"})"), "");
  EXPECT_EQ(first_error(R"({"count":3})"), "x.name is missing");
  EXPECT_EQ(first_error(R"({"name":3})"), "x.name must be a string");
  EXPECT_EQ(first_error(R"({"name":"n","count":11})"), "x.count must be from 1 to 10");
  EXPECT_EQ(first_error(R"({"name":"n","count":18446744073709551615})"), "x.count must be from 1 to 10");
  EXPECT_EQ(first_error(R"({"name":"n","count":1.0})"), "x.count must be an integer");
  EXPECT_EQ(first_error(R"({"name":"n","cuont":1})"), "x.cuont is not known here");
  EXPECT_EQ(first_error("[]"), "x must be an object");
}

TEST(JsonWriter, writes_what_the_reader_reads) {
  JsonWriter out;
  out.begin_object().key("a\"b").text("x\\\n\x01\xFFz\xF0\x9F\x98\x80").key("n").begin_array();
  out.number(INT64_MIN).unsigned_number(UINT64_MAX).boolean(false).null().begin_object().end_object();
  out.end_array().end_object();
  const std::string text = out.take();
  EXPECT_EQ(text,
            "{\"a\\\"b\":\"x\\\\\\u000a\\u0001\xEF\xBF\xBDz\xF0\x9F\x98\x80\","
            "\"n\":[-9223372036854775808,18446744073709551615,false,null,{}]}\n");
  EXPECT_EQ(error_of(text), "");
}

TEST(Base64, is_strict) {
  for (const char* text : {"", "h", "he", "hep", "heptane", "heptane!"})
    EXPECT_EQ(base64_decoded(base64_encoded(text)), text);
  EXPECT_EQ(base64_encoded("heptane"), "aGVwdGFuZQ==");
  EXPECT_EQ(base64_decoded(""), "");
  EXPECT_EQ(base64_decoded("aGVwdGFuZQ=="), "heptane");
  EXPECT_EQ(base64_decoded("AP+/"), std::string("\0\xFF\xBF", 3));
  for (const char* bad : {"a", "aGV", "aGVwdGFuZR==", "aGVwd=Fu", "====", "aGVw\n", "a-_b"})
    EXPECT_EQ(base64_decoded(bad), std::nullopt) << bad;
}

}  // namespace
}  // namespace heptane::http
