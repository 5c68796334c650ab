// Values, frames, fields, validation and encoding of FIX 4.4, against examples and against plain second versions.

#include <gtest/gtest.h>

#include "kernel/base/random.h"
#include "modules/fintech/domain/fix/dictionary.h"
#include "modules/fintech/domain/fix/message.h"
#include "modules/fintech/domain/fix/shapes.h"
#include "modules/fintech/domain/fix/validate.h"
#include "modules/fintech/test/fix_text.h"

namespace heptane::fix::test {
namespace {

const std::string kHead = "34=2|49=TW44|52=20261130-04:05:06|56=ISLD|";
const std::string kOrder = "11=ID|21=1|40=2|44=12.50|54=1|38=200|55=INTC|60=20261130-04:05:06.123|";

std::string fault_of(const std::string& text, const ValidationRules& rules = {}) {
  const std::string bytes = whole(text);
  Message message;
  if (const char* garbled = message.read(bytes); garbled != nullptr) return garbled;
  const auto fault = validate(message, rules);
  if (!fault) return "none";
  return std::to_string(static_cast<int>(fault->reason)) + (fault->tag ? " " + std::to_string(*fault->tag) : "");
}

TEST(FixValues, Decimals) {
  EXPECT_EQ(decimal_of("12.50", 2), 1250);
  EXPECT_EQ(decimal_of("12.5", 4), 125'000);
  EXPECT_EQ(decimal_of("002000.00", 0), 2'000);
  EXPECT_EQ(decimal_of("-0.05", 2), -5);
  EXPECT_EQ(decimal_of(".5", 1), 5);
  EXPECT_EQ(decimal_of("5.", 1), 50);
  EXPECT_EQ(decimal_of("9223372036854775807", 0), INT64_MAX);
  EXPECT_EQ(decimal_of("9223372036854775808", 0), std::nullopt);
  EXPECT_EQ(decimal_of("9.223372036854775807", 18), INT64_MAX);
  EXPECT_EQ(decimal_of("10", 18), std::nullopt);
  EXPECT_EQ(decimal_of("1.005", 2), std::nullopt);
  EXPECT_EQ(decimal_of("1.000000000000000000000000", 2), 100);
  for (const char* wrong : {"", "+1", "1e3", "-", ".", "-.", "1.2.3", " 1", "1 ", "--1", "1,5", "--1234567.89",
                            "--1234567890123456789", "1234-56789"})
    EXPECT_EQ(decimal_of(wrong, 2), std::nullopt) << wrong;
}

TEST(FixValues, DecimalsAreReadAsTheyAreWritten) {
  SeededRandom random(11);
  for (int i = 0; i < 100'000; ++i) {
    const auto value = static_cast<int64_t>(random.next() >> random.below(64));
    const auto scale = static_cast<int>(random.below(19));
    const int64_t signed_value = random.one_in(2) ? value & INT64_MAX : -(value & INT64_MAX);
    std::string text;
    append_decimal(text, signed_value, scale);
    EXPECT_EQ(decimal_of(text, scale), signed_value) << text;
  }
}

TEST(FixValues, Times) {
  EXPECT_EQ(timestamp_of("19700101-00:00:00"), 0);
  EXPECT_EQ(timestamp_of("19691231-23:59:59.9"), -100'000'000);
  EXPECT_EQ(timestamp_of("20240229-12:00:00.000000001"), 1'709'208'000'000'000'001);
  EXPECT_EQ(timestamp_of("20161231-23:59:60"), timestamp_of("20170101-00:00:00"));
  for (const char* wrong : {"20230229-12:00:00", "20241301-12:00:00", "20240229", "20240229-24:00:00",
                            "20240229-12:00:61", "20240229-12:00", "20240229-12:00:00.", "20240229-12:00:00.1234567890",
                            "20240229 12:00:00", "2024-02-29T12:00:00", ""})
    EXPECT_FALSE(has_form(FieldType::timestamp, wrong)) << wrong;
}

TEST(FixValues, TimesAreReadAsTheyAreWritten) {
  SeededRandom random(12);
  for (int i = 0; i < 100'000; ++i) {
    const auto time = static_cast<int64_t>(random.next()) / 4 * 3;
    std::string text;
    append_timestamp(text, time, 9);
    EXPECT_EQ(timestamp_of(text), time) << text;
    std::string cut;
    append_timestamp(cut, time, 3);
    EXPECT_EQ(cut, text.substr(0, text.size() - 6));
  }
}

// All of up to three characters, and digits with one change, against a plain reading.
TEST(FixValues, NumbersAgreeWithAPlainReading) {
  const auto plain = [](const std::string& text) -> std::optional<uint64_t> {
    uint64_t number = 0;
    for (const char c : text) {
      if (c < '0' || c > '9') return std::nullopt;
      number = number * 10 + static_cast<uint64_t>(c - '0');
    }
    return text.empty() ? std::nullopt : std::optional(number);
  };
  for (uint32_t i = 0; i < 1u << 24; i += 1 + i / 65'536) {
    const std::string text{static_cast<char>(i), static_cast<char>(i >> 8), static_cast<char>(i >> 16)};
    for (size_t size = 0; size <= 3; ++size)
      ASSERT_EQ(number_of(text.substr(0, size)), plain(text.substr(0, size))) << i;
  }
  SeededRandom random(15);
  for (int i = 0; i < 300'000; ++i) {
    std::string text(1 + random.below(12), '0');
    for (char& c : text) c = static_cast<char>('0' + random.below(10));
    if (random.one_in(2)) text[random.below(text.size())] = static_cast<char>(random.below(256));
    ASSERT_EQ(number_of(text), plain(text)) << text;
  }
}

// What is kept while a form is looked at is what a reading of the text gives.
TEST(FixValues, NumbersThatAreKeptAreThoseOfTheText) {
  SeededRandom random(29);
  const auto types = {FieldType::integer, FieldType::number, FieldType::decimal, FieldType::timestamp};
  int kept = 0;
  for (int i = 0; i < 200'000; ++i) {
    std::string text;
    if (random.one_in(4)) {
      append_timestamp(text, static_cast<int64_t>(random.next() >> 2), static_cast<int>(random.below(4)) * 3);
    } else {
      append_decimal(text, static_cast<int64_t>(random.next() >> random.below(64)), static_cast<int>(random.below(19)));
    }
    if (random.one_in(8)) text[random.below(text.size())] = "-.:09 x"[random.below(7)];
    const auto scale = static_cast<int>(random.below(19));
    for (const FieldType type : types) {
      Number number;
      ASSERT_EQ(has_form(type, text, number), has_form(type, text)) << text;
      kept += number.kind != Number::Kind::unknown ? 1 : 0;
      switch (number.kind) {
        case Number::Kind::unknown: break;
        case Number::Kind::time: ASSERT_EQ(number.value, timestamp_of(text)) << text; break;
        case Number::Kind::whole: ASSERT_EQ(number.value, integer_of(text)) << text; [[fallthrough]];
        case Number::Kind::decimal:
          ASSERT_EQ(decimal_of(number, scale), decimal_of(text, scale)) << text << ' ' << scale;
      }
    }
  }
  EXPECT_GT(kept, 100'000);
}

TEST(FixValues, Forms) {
  EXPECT_TRUE(has_form(FieldType::month_year, "202611"));
  EXPECT_TRUE(has_form(FieldType::month_year, "202611w5"));
  EXPECT_FALSE(has_form(FieldType::month_year, "202613"));
  EXPECT_FALSE(has_form(FieldType::month_year, "202611w6"));
  EXPECT_TRUE(has_form(FieldType::integer, "-007"));
  EXPECT_FALSE(has_form(FieldType::integer, "-"));
  EXPECT_FALSE(has_form(FieldType::number, "-1"));
  EXPECT_EQ(number_of("18446744073709551616"), std::nullopt);
  EXPECT_EQ(number_of("18446744073709551615"), UINT64_MAX);
  EXPECT_EQ(integer_of("-9223372036854775808"), INT64_MIN);
  EXPECT_EQ(integer_of("-9223372036854775809"), std::nullopt);
  EXPECT_EQ(integer_of("9223372036854775808"), std::nullopt);
  for (const char* wrong : {"", "-", "+1", "1 ", "--1", "12345678x", "1.0"})
    EXPECT_EQ(integer_of(wrong), std::nullopt) << wrong;
  EXPECT_EQ(boolean_of("Y"), true);
  EXPECT_EQ(boolean_of("1"), std::nullopt);
}

TEST(FixFrames, ComeInAnyPieces) {
  const std::string stream =
      "garbage8=FI" + whole("35=0|" + kHead) + "x" + whole("35=1|" + kHead + "112=a|") + whole("35=0|" + kHead);
  for (size_t piece = 1; piece < stream.size(); ++piece) {
    std::string waiting;
    int messages = 0;
    for (size_t at = 0; at < stream.size(); at += piece) {
      waiting += stream.substr(at, piece);
      for (;;) {
        const Frame frame = next_frame(waiting);
        Message message;
        if (frame.kind == Frame::Kind::whole &&
            message.read(std::string_view(waiting).substr(frame.begin, frame.size)) == nullptr)
          ++messages;
        waiting.erase(0, frame.begin + frame.size);
        if (frame.kind == Frame::Kind::partial) break;
      }
    }
    EXPECT_EQ(messages, 3) << piece;
    EXPECT_EQ(waiting, "");
  }
}

// How often the bytes are looked at grows with them, not with their square.
TEST(FixFrames, WhatHasNoTrailerIsSearchedOnce) {
  std::string input;
  while (input.size() < 4 * kMessageMax) input += with_ends("8=FIX.4.4|9=5|");
  size_t frames = 0;
  std::string_view rest = input;
  for (Frame frame = next_frame(rest); frame.kind != Frame::Kind::partial; frame = next_frame(rest), ++frames)
    rest.remove_prefix(frame.begin + frame.size);
  EXPECT_LE(frames, 4u);
  // Without an end of a field anywhere: each beginning looks at no more than it may take.
  EXPECT_EQ(next_frame("8=FIX" + std::string(kMessageMax, 'x') + kSoh).kind, Frame::Kind::garbled);
  // What comes behind it is read.
  std::string behind = with_ends("8=FIX.4.4|9=5|");
  behind.resize(kMessageMax, 'x');
  const std::string good = whole("35=0|34=2|");
  const Frame first = next_frame(behind + good);
  ASSERT_EQ(first.kind, Frame::Kind::garbled);
  const std::string later = (behind + good).substr(first.begin + first.size);
  EXPECT_EQ(next_frame(later).kind, Frame::Kind::whole);
}

TEST(FixFrames, TooMuchIsNotWaitedFor) {
  EXPECT_EQ(next_frame(with_ends("8=FIX.4.4|9=65537|")).kind, Frame::Kind::garbled);
  EXPECT_EQ(next_frame(with_ends("8=FIX.4.4|9=1234567")).kind, Frame::Kind::garbled);
  EXPECT_EQ(next_frame(with_ends("8=FIX.4.4|9=x|")).kind, Frame::Kind::garbled);
  EXPECT_EQ(next_frame(with_ends("8=FIX.4.4|35=0|")).kind, Frame::Kind::garbled);
  EXPECT_EQ(next_frame("8=FIX" + std::string(20, 'x')).kind, Frame::Kind::garbled);
  EXPECT_EQ(next_frame(with_ends("8=FIX.4.4|9=65536|35=0|")).kind, Frame::Kind::partial);
  const std::string long_one = with_ends("8=FIX.4.4|9=5|35=0|58=") + std::string(kMessageMax, 'x');
  EXPECT_EQ(next_frame(long_one).kind, Frame::Kind::garbled);
}

TEST(FixMessage, WhatIsGarbled) {
  const std::string right = whole("35=0|" + kHead);
  Message message;
  EXPECT_EQ(message.read(right), nullptr);
  for (size_t i = 0; i + 1 < right.size(); ++i) {
    std::string wrong = right;
    wrong[i] = static_cast<char>(wrong[i] ^ 1);
    EXPECT_NE(message.read(wrong), nullptr) << i;
    EXPECT_NE(message.read(right.substr(0, i)), nullptr) << i;
  }
  EXPECT_NE(message.read(whole("35=0|34=2|x=1|")), nullptr);
  EXPECT_NE(message.read(whole("35=0|34=2|=1|")), nullptr);
  EXPECT_NE(message.read(whole("35=0|34=2|12345678901=1|")), nullptr);
  EXPECT_NE(message.read(whole("34=2|35=0|")), nullptr);
  std::string many = "35=0|";
  for (size_t i = 0; i < kFieldsMax; ++i) many += "58=x|";
  EXPECT_STREQ(message.read(whole(many)), "too many fields");
}

TEST(FixMessage, DataMayHoldAnything) {
  Message message;
  const std::string bytes = whole("35=A|" + kHead + "98=0|108=30|95=7|96=a|10=|b|");
  ASSERT_EQ(message.read(bytes), nullptr);
  EXPECT_EQ(message.find(96), with_ends("a|10=|b"));
  EXPECT_STREQ(message.read(whole("35=A|" + kHead + "95=70|96=a|")), "a length of data is wrong");
  EXPECT_STREQ(message.read(whole("35=A|" + kHead + "95=0|96=a|")), "a length of data is wrong");
  EXPECT_STREQ(message.read(whole("35=A|" + kHead + "95=x|96=a|")), "a length of data is wrong");
}

// Fields of all lengths, so that they end at every place of what is looked at together; some are data with ends of fields within.
TEST(FixMessage, ReadsBackWhatWasWritten) {
  SeededRandom random(13);
  Message message;
  for (int i = 0; i < 20'000; ++i) {
    std::vector<std::pair<int32_t, std::string>> written{{35, "B"}};
    for (uint64_t count = random.below(30); count > 0; --count) {
      std::string value(random.below(random.one_in(10) ? 200 : 12), ' ');
      for (char& c : value) c = static_cast<char>(2 + random.below(254));
      if (random.one_in(4)) {
        if (!value.empty()) value[random.below(value.size())] = kSoh;
        written.emplace_back(95, std::to_string(value.size()));
        written.emplace_back(96, value);
      } else {
        written.emplace_back(static_cast<int32_t>(100 + random.below(4'000)), value);
      }
    }
    std::string body;
    for (const auto& [tag, value] : written) add_field(body, tag, value);
    std::string bytes;
    add_field(bytes, kBeginString, "FIX.4.4");
    add_field(bytes, kBodyLength, static_cast<int64_t>(body.size()));
    bytes += body;
    bytes += check_sum_of(bytes);
    const char* garbled = message.read(bytes);
    ASSERT_EQ(garbled, nullptr) << garbled << readable(bytes);
    ASSERT_EQ(message.fields().size(), written.size() + 3);
    for (size_t k = 0; k < written.size(); ++k) {
      EXPECT_EQ(message.fields()[k + 2].tag, written[k].first);
      EXPECT_EQ(message.value(message.fields()[k + 2]), written[k].second);
    }
  }
}

TEST(FixMessage, Values) {
  Message message;
  const std::string bytes = whole("35=D|" + kHead + kOrder);
  ASSERT_EQ(message.read(bytes), nullptr);
  EXPECT_EQ(message.type(), "D");
  EXPECT_EQ(message.number(kMsgSeqNum), 2u);
  EXPECT_EQ(message.decimal(44, 4), 125'000);
  EXPECT_EQ(message.timestamp(60), 1'796'011'506'123'000'000);
  EXPECT_EQ(message.find(1), std::nullopt);
  EXPECT_FALSE(message.flag(kPossDupFlag));
}

TEST(FixMessage, EntriesOfGroups) {
  Message message;
  const std::string bytes =
      whole("35=D|" + kHead + "11=a|453=2|448=f|447=D|452=1|802=2|523=x|803=1|523=y|803=2|448=g|452=3|" +
            "54=1|55=S|60=20261130-04:05:06|40=1|38=1|");
  ASSERT_EQ(message.read(bytes), nullptr);
  ASSERT_EQ(validate(message, {}), std::nullopt);
  Entries parties(message.fields(), scope_rule(scope_of("D")), 453);
  std::span<const FieldView> party;
  ASSERT_TRUE(parties.next(party));
  EXPECT_EQ(party.size(), 8u);
  EXPECT_EQ(message.value(party[0]), "f");
  Entries ids(party, scope_rule(parties.scope()), 802);
  std::span<const FieldView> id;
  ASSERT_TRUE(ids.next(id));
  EXPECT_EQ(message.value(id[0]), "x");
  ASSERT_TRUE(ids.next(id));
  EXPECT_EQ(message.value(id[1]), "2");
  EXPECT_FALSE(ids.next(id));
  ASSERT_TRUE(parties.next(party));
  EXPECT_EQ(message.value(party[0]), "g");
  EXPECT_FALSE(parties.next(party));
  EXPECT_FALSE(Entries(message.fields(), scope_rule(scope_of("D")), 78).next(party));
}

TEST(FixValidation, Faults) {
  EXPECT_EQ(fault_of("35=D|" + kHead + kOrder), "none");
  EXPECT_EQ(fault_of("35=D|" + kHead + kOrder + "7928=N|"), "none");
  EXPECT_EQ(fault_of("35=D|" + kHead + kOrder + "7928=X|"), "5 7928");
  EXPECT_EQ(fault_of("35=F|" + kHead + "41=a|11=b|55=S|54=1|60=20261130-04:05:06|7928=N|"), "2 7928");
  EXPECT_EQ(fault_of("35=D|" + kHead + kOrder + "7929=N|"), "0 7929");
  EXPECT_EQ(fault_of("35=D|" + kHead + kOrder + "958=N|"), "0 958");
  EXPECT_EQ(fault_of("35=D|" + kHead + kOrder + "-5=N|"), "0 -5");
  EXPECT_EQ(fault_of("35=zz|" + kHead), "11");
  EXPECT_EQ(fault_of("35=BI|" + kHead), "11");
  EXPECT_EQ(fault_of("35=|" + kHead), "11");
  EXPECT_EQ(fault_of("35=D|34=2|52=20261130-04:05:06|56=ISLD|" + kOrder), "1 49");
  EXPECT_EQ(fault_of("35=D|" + kHead + "11=a|"), "1 40");
  EXPECT_EQ(fault_of("35=D|" + kHead + kOrder + "11=b|"), "13 11");
  EXPECT_EQ(fault_of("35=D|" + kHead + kOrder + "18=1 6|"), "none");
  EXPECT_EQ(fault_of("35=D|" + kHead + kOrder + "18=1  6|"), "5 18");
  EXPECT_EQ(fault_of("35=D|" + kHead + kOrder + "18=1 T|"), "5 18");
  EXPECT_EQ(fault_of("35=D|" + kHead + kOrder + "167=FAC FRN|"), "5 167");
  EXPECT_EQ(fault_of("35=D|" + kHead + kOrder + "43=Y|"), "14 43");
  EXPECT_EQ(fault_of("35=0|34=2|49=TW44|52=20261130|56=ISLD|"), "6 52");
}

TEST(FixValidation, Groups) {
  const std::string order = "35=D|" + kHead + kOrder;
  EXPECT_EQ(fault_of(order + "386=0|"), "none");
  EXPECT_EQ(fault_of(order + "386=2|336=A|625=B|336=C|"), "none");
  EXPECT_EQ(fault_of(order + "386=1|336=A|336=C|"), "16 386");
  EXPECT_EQ(fault_of(order + "386=0|336=A|"), "16 386");
  EXPECT_EQ(fault_of(order + "386=3|336=A|336=C|58=x|"), "16 386");
  EXPECT_EQ(fault_of(order + "386=1|625=B|336=A|"), "15 625");
  EXPECT_EQ(fault_of(order + "386=1|336=A|625=B|625=C|"), "13 625");
  EXPECT_EQ(fault_of(order + "336=A|"), "2 336");
  EXPECT_EQ(fault_of(order + "386=18446744073709551617|336=A|"), "6 386");
  EXPECT_EQ(fault_of(order + "453=2|448=a|802=1|523=x|448=b|"), "none");
  EXPECT_EQ(fault_of(order + "453=2|448=a|802=2|523=x|448=b|"), "16 802");
  EXPECT_EQ(fault_of("35=0|34=2|49=TW44|52=20261130-04:05:06|56=ISLD|627=2|628=a|630=1|628=b|"), "none");
  EXPECT_EQ(fault_of("35=0|34=2|49=TW44|52=20261130-04:05:06|56=ISLD|627=2|628=a|"), "16 627");
  EXPECT_EQ(fault_of("35=V|" + kHead + "262=r|263=0|264=1|267=1|269=0|146=1|55=S|"), "none");
  EXPECT_EQ(fault_of("35=W|" + kHead + "55=S|268=1|269=0|270=1|"), "none");
  EXPECT_EQ(fault_of("35=E|" + kHead + "66=l|394=3|68=1|73=1|11=a|67=1|54=1|"), "none");
  EXPECT_EQ(fault_of("35=E|" + kHead + "66=l|394=3|68=2|73=2|11=a|54=1|11=b|67=2|54=1|"), "1 67");
}

TEST(FixValidation, RulesCanBeRelaxed) {
  ValidationRules rules;
  rules.fields_out_of_order = false;
  EXPECT_EQ(fault_of("35=D|11=x|" + kHead + kOrder.substr(6), rules), "none");
  rules = {};
  rules.fields_have_values = false;
  EXPECT_EQ(fault_of("35=D|" + kHead + kOrder + "58=|44=|", rules), "13 44");
  EXPECT_EQ(fault_of("35=D|" + kHead + kOrder + "58=|99=|", rules), "none");
  rules = {};
  rules.user_defined_fields = false;
  EXPECT_EQ(fault_of("35=D|" + kHead + kOrder + "386=2|336=A|6001=x|336=B|9999=y|", rules), "none");
  EXPECT_EQ(fault_of("35=D|" + kHead + kOrder + "4999=x|", rules), "0 4999");
  EXPECT_EQ(fault_of("35=0|" + kHead + "7928=N|", rules), "none");
}

// Whatever shapes it has seen, a reader says of a message what is said without it: of valid messages with a change somewhere, over and
// over, so that most are of a known shape or nearly so.
TEST(FixShapes, ChangeNothing) {
  const std::string base[] = {
      "D|" + kHead + kOrder,
      "D|" + kHead + kOrder + "7928=N|386=2|336=A|625=B|336=C|",
      "0|" + kHead,
      "A|" + kHead + "98=0|108=30|95=3|96=abc|",
      "X|" + kHead + "268=2|279=0|269=0|55=S|270=1.5|271=1|279=1|269=1|55=S|270=2|271=2|",
      "8|" + kHead + "37=o|17=e|150=0|39=0|55=S|54=1|151=1|14=0|6=0|453=1|448=f|447=D|452=1|",
      "5|" + kHead + "58=" + std::string(70, 'x') + "|",
  };
  for (const ValidationRules& rules : {ValidationRules{}, ValidationRules{false, false, false}}) {
    SeededRandom random(14);
    Reader reader(rules);
    int known = 0;
    int wrong = 0;
    for (int i = 0; i < 60'000; ++i) {
      std::string text = base[random.below(std::size(base))];
      if (random.one_in(2)) {
        const size_t at = random.below(text.size());
        const char c = "|=-0123456789AYN. x"[random.below(19)];
        if (random.one_in(3)) {
          text.erase(at, 1 + random.below(3));
        } else if (random.one_in(2)) {
          text.insert(at, 1, c);
        } else {
          text[at] = c;
        }
      }
      const std::string bytes = whole("35=" + text);
      Message message;
      const char* garbled = message.read(bytes);
      const char* other = reader.read(bytes);
      ASSERT_EQ(garbled != nullptr, other != nullptr) << readable(bytes);
      if (garbled != nullptr) continue;
      known += reader.message().shape() != nullptr ? 1 : 0;
      ASSERT_EQ(reader.message().fields().size(), message.fields().size());
      for (size_t k = 0; k < message.fields().size(); ++k) {
        ASSERT_EQ(reader.message().fields()[k].tag, message.fields()[k].tag) << readable(bytes);
        ASSERT_EQ(reader.message().value(reader.message().fields()[k]), message.value(message.fields()[k]));
      }
      const auto fault = validate(message, rules);
      const auto same = reader.validate();
      ASSERT_EQ(fault.has_value(), same.has_value()) << readable(bytes);
      if (!fault) continue;
      ++wrong;
      EXPECT_EQ(fault->reason, same->reason) << readable(bytes);
      EXPECT_EQ(fault->tag, same->tag) << readable(bytes);
    }
    EXPECT_GT(known, 20'000);
    EXPECT_GT(wrong, 3'000);
  }
}

TEST(FixShapes, AMessageWithoutATypeHasNone) {
  const ValidationRules rules;
  Reader reader(rules);
  const std::string bytes = whole("35=|");
  ASSERT_EQ(reader.read(bytes), nullptr);
  EXPECT_EQ(reader.message().shape(), nullptr);
  EXPECT_EQ(reader.validate()->reason, RejectReason::invalid_msg_type);
}

TEST(FixEncode, WritesWhatIsReadBack) {
  std::string body;
  add_field(body, 11, "ID");
  add_field(body, 45, int64_t{-7});
  add_decimal(body, 44, -5, 2);
  add_timestamp(body, 60, 1'796'011'506'123'000'000, 6);
  Envelope envelope{"FIX.4.4", "ISLD", "TW44", 7, 1'796'011'506'123'456'789, std::nullopt, 3};
  std::string out = "before";
  encode(out, envelope, {"D", with_ends("97=Y|"), body});
  EXPECT_EQ(readable(out).substr(6, out.size() - 6 - 4),
            "8=FIX.4.4|9=105|35=D|34=7|49=ISLD|52=20261130-04:05:06.123|56=TW44|97=Y|11=ID|45=-7|44=-0.05|60=20261130-"
            "04:05:06.123000|10=");
  Message message;
  EXPECT_EQ(message.read(std::string_view(out).substr(6)), nullptr);
  std::string again;
  envelope.original_time_ns = envelope.sending_time_ns;
  envelope.sending_time_ns += 1'000'000'000;
  encode(again, envelope, {"D", with_ends("97=Y|"), body});
  EXPECT_EQ(message.read(again), nullptr);
  EXPECT_TRUE(message.flag(kPossDupFlag));
  EXPECT_EQ(message.find(kOrigSendingTime), "20261130-04:05:06.123");
}

}  // namespace
}  // namespace heptane::fix::test
