// InfluxData's vectors of the line protocol: $HEPTANE_CONFORMANCE/influx/corpus.json, skipped where it is absent. A line that a
// vector refuses must be refused, whatever the words; what it reads must be what we read, and what it writes what we write.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "kernel/base/base64.h"
#include "kernel/net/http/json.h"
#include "modules/iot/domain/series/line_protocol.h"

namespace heptane::iot::series {
namespace {

using http::JsonValue;

std::string corpus_text() {
  const char* directory = std::getenv("HEPTANE_CONFORMANCE");
  std::ifstream file(std::string(directory != nullptr ? directory : "../shared/conformance") + "/influx/corpus.json");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// A text, or its bytes in base64.
std::string text_of(const JsonValue& value) {
  const auto binary = value.find("binary");
  if (!binary) return std::string(value.text());
  return base64_decoded(binary->text()).value_or(std::string());
}

std::string written(const JsonValue& value) {
  const auto kind = value.first();
  Value made;
  std::string text;
  if (kind->name() == "float") {
    made.real = *kind->real() + 0.0;  // the vectors have no negative zero
  } else if (kind->name() == "int") {
    made.type = FieldType::integer;
    made.integer = *kind->integer();
  } else if (kind->name() == "uint") {
    made.type = FieldType::unsigned_integer;
    made.integer = static_cast<int64_t>(std::stoull(std::string(kind->raw())));
  } else if (kind->name() == "bool") {
    made.type = FieldType::boolean;
    made.integer = kind->boolean() ? 1 : 0;
  } else {
    made.type = FieldType::text;
    text = text_of(*kind);
    made.text = text;
  }
  std::string out;
  append_value(out, made);
  return out;
}

// A point in one form: names and values canonical, tags and fields in their order.
std::string form_of(const JsonValue& point, int64_t time) {
  std::string out;
  append_escaped(out, text_of(*point.find("name")), Token::measurement);
  for (auto tag = point.find("tags")->first(); tag; tag = tag->next()) {
    const std::string value = text_of(*tag->find("value"));
    if (value.empty()) return "refused";
    out += ',';
    append_escaped(out, text_of(*tag->find("key")), Token::key);
    out += '=';
    append_escaped(out, value, Token::key);
  }
  char before = ' ';
  for (auto field = point.find("fields")->first(); field; field = field->next()) {
    out += before;
    append_escaped(out, text_of(*field->find("key")), Token::key);
    out += '=';
    out += written(*field->find("value"));
    before = ',';
  }
  return out + ' ' + std::to_string(time);
}

std::string form_of(const Line& line, std::string_view key, int64_t time) {
  std::string out(key);
  char before = ' ';
  for (const Field& field : line.fields) {
    out += before;
    append_escaped(out, unescape(field.name, Token::key), Token::key);
    out += '=';
    Value value = field.value;
    const std::string text = unescape(value.text, Token::string);
    value.text = text;
    value.real += 0.0;  // the vectors have no negative zero
    append_value(out, value);
    before = ',';
  }
  return out + ' ' + std::to_string(time);
}

// All points of the input one a line, or `refused`.
std::string read_all(const std::string& input, int64_t default_time, int64_t unit) {
  LineReader reader(input);
  Line line;
  std::string out;
  std::string scratch;
  while (reader.next(line)) {
    const auto key = reader.refused().empty() ? series_key(line, scratch) : std::nullopt;
    if (!key) return "refused";
    int64_t time = default_time - default_time % unit;
    if (line.time && __builtin_mul_overflow(*line.time, unit, &time)) return "refused";
    out += form_of(line, *key, time) + '\n';
  }
  return out;
}

class SeriesConformance : public testing::Test {
 protected:
  void SetUp() override {
    auto parsed = http::JsonDocument::parse(corpus_text());
    if (!parsed) GTEST_SKIP() << "no vectors of the line protocol: HEPTANE_CONFORMANCE/influx/corpus.json";
    corpus_ = std::move(*parsed);
  }
  std::unique_ptr<http::JsonDocument> corpus_;
};

TEST_F(SeriesConformance, Decode) {
  for (auto vector = corpus_->root().find("decode")->first(); vector; vector = vector->next()) {
    const JsonValue input = *vector->find("input");
    const JsonValue output = *vector->find("output");
    const auto unit = precision_ns(input.find("precision")->text().substr(1));
    ASSERT_TRUE(unit) << vector->name();
    std::string expected = output.find("error") ? "refused" : "";
    if (const auto result = output.find("result"))
      for (auto point = result->first(); point; point = point->next())
        expected += form_of(*point, *point->find("time")->integer()) + '\n';
    EXPECT_EQ(read_all(text_of(*input.find("text")), *input.find("defaultTime")->integer(), *unit), expected)
        << vector->name() << ": " << text_of(*input.find("text"));
  }
}

TEST_F(SeriesConformance, Encode) {
  for (auto vector = corpus_->root().find("encode")->first(); vector; vector = vector->next()) {
    const JsonValue input = *vector->find("input");
    const JsonValue point = *input.find("point");
    const auto unit = precision_ns(input.find("precision")->text().substr(1));
    ASSERT_TRUE(unit) << vector->name();
    const auto result = vector->find("output")->find("result");
    const std::string expected = result ? text_of(*result) : "refused";
    EXPECT_EQ(form_of(point, *point.find("time")->integer() / *unit), expected) << vector->name();
  }
}

}  // namespace
}  // namespace heptane::iot::series
