#include <gtest/gtest.h>

#include "kernel/config/document.h"
#include "kernel/config/settings.h"
#include "kernel/config/units.h"

namespace heptane::config {

namespace {

struct Inner {
  uint64_t bytes = 64 << 20;
  int64_t keep_ns = -1;
};
struct Options {
  std::string data = "here";
  bool flag = true;
  uint32_t count = 7;
  Inner inner;
  std::vector<std::string> hosts;
};

const std::vector<Binding<Options>>& bindings() {
  static const std::vector<Binding<Options>> all = {
      bind<&Options::data>({.name = "data", .type = Type::text, .help = "Where"}),
      bind<&Options::flag>({.name = "kafka.auto_create", .type = Type::boolean, .help = "Create", .reloadable = true}),
      bind<&Options::count>({.name = "limits.count", .type = Type::integer, .help = "How many", .min = 1, .max = 100}),
      bind<&Options::inner, &Inner::bytes>(
          {.name = "log.segment_bytes", .type = Type::size, .help = "Size", .min = 16 << 20, .max = 1 << 30}),
      bind<&Options::inner, &Inner::keep_ns>({.name = "retain.commands",
                                              .type = Type::duration,
                                              .help = "Age",
                                              .min = 0,
                                              .word = "forever",
                                              .word_value = -1}),
      bind<&Options::hosts>({.name = "http.hosts", .type = Type::texts, .help = "Names"}),
  };
  return all;
}

std::shared_ptr<const KeyTable> table() {
  auto table = std::make_shared<KeyTable>();
  table->add(keys_of<Options>(bindings()));
  table->add({{.name = "listen.kafka.address",
               .type = Type::address,
               .help = "Where",
               .fallback = std::string("default"),
               .choices = {"default", "off"},
               .shorthand = true},
              {.name = "listen.kafka.advertised",
               .type = Type::peer,
               .help = "Told",
               .fallback = std::string("auto"),
               .choices = {"auto"}},
              {.name = "tls.min_version",
               .type = Type::choice,
               .help = "Oldest",
               .fallback = std::string("1.2"),
               .choices = {"1.2", "1.3"}}});
  return table;
}

Settings read(std::string_view text) {
  Settings settings(table());
  EXPECT_EQ(mistakes_text("f", read_settings(text, settings)), "");
  return settings;
}

std::string wrong(std::string_view text) {
  Settings settings(table());
  return mistakes_text("f", read_settings(text, settings));
}

}  // namespace

TEST(Config, DefaultsAreWhatTheOptionsHold) {
  const Settings settings = read("");
  Options options;
  options.count = 50;
  settings.land<Options>(bindings(), options);
  EXPECT_EQ(options.count, 7u);
  EXPECT_EQ(options.inner.bytes, 64u << 20);
  EXPECT_EQ(options.inner.keep_ns, -1);
  EXPECT_FALSE(settings.given("limits.count"));
}

TEST(Config, ValuesLandWhereTheTableSays) {
  const Settings settings = read(R"(
data = "there"
listen.kafka = "[::1]:9092"
[kafka]
auto_create = false
[limits]
count = 9
[log]
segment_bytes = "128MiB"
[retain]
commands = "90s"
[http]
hosts = ["a", "b"]
)");
  Options options;
  settings.land<Options>(bindings(), options);
  EXPECT_EQ(options.data, "there");
  EXPECT_FALSE(options.flag);
  EXPECT_EQ(options.count, 9u);
  EXPECT_EQ(options.inner.bytes, 128u << 20);
  EXPECT_EQ(options.inner.keep_ns, 90'000'000'000);
  EXPECT_EQ(options.hosts, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(settings.text("listen.kafka.address"), "[::1]:9092");
  EXPECT_EQ(settings.place("limits.count").line, 7u);
}

TEST(Config, AListenerIsAnAddressOrATable) {
  EXPECT_EQ(read("listen.kafka = \"unix:/run/k.sock\"\n").text("listen.kafka.address"), "unix:/run/k.sock");
  EXPECT_NE(wrong("listen.kafka = \"unix:" + std::string(200, '/') + "\"\n"), "");
  EXPECT_EQ(read("[listen]\nkafka = \"off\"\n").text("listen.kafka.address"), "off");
  const Settings table = read("[listen.kafka]\naddress = \"0.0.0.0:1\"\nadvertised = \"broker.example:9092\"\n");
  EXPECT_EQ(table.text("listen.kafka.address"), "0.0.0.0:1");
  EXPECT_EQ(table.text("listen.kafka.advertised"), "broker.example:9092");
}

TEST(Config, AMistakeNamesTheKeyThePlaceAndWhatWouldBeRight) {
  EXPECT_EQ(wrong("[kafka]\nauto_crate = true\n"),
            "f:2:14: kafka.auto_crate: there is no such key: did you mean kafka.auto_create?\n");
  EXPECT_EQ(wrong("segment_bytes = 1\n"),
            "f:1:17: segment_bytes: there is no such key: did you mean log.segment_bytes?\n");
  EXPECT_EQ(wrong("zebra = 1\n"), "f:1:9: zebra: there is no such key: see heptane config print\n");
  EXPECT_EQ(wrong("[kafak]\nauto_create = 1\nmore = 2\n"), "f:1:1: kafak: there is no such key: did you mean kafka?\n");
  EXPECT_EQ(wrong("[kafka]\nauto_create = \"yes\"\n"),
            "f:2:15: kafka.auto_create: this is a string: say true or false\n");
  EXPECT_EQ(wrong("limits.count = 101\n"), "f:1:16: limits.count: 101 is out of range: say an integer from 1 to 100\n");
  EXPECT_EQ(wrong("limits.count = 1.5\n"),
            "f:1:16: limits.count: this is a number with a point: say an integer from 1 to 100\n");
  EXPECT_EQ(wrong("limits.count = \"9\"\n"),
            "f:1:16: limits.count: \"9\" is no integer: say an integer from 1 to 100\n");
  EXPECT_EQ(
      wrong("log.segment_bytes = \"1MiB\"\n"),
      "f:1:21: log.segment_bytes: 1MiB is out of range: say a size such as \"64MiB\" or 65536 from 16MiB to 1GiB\n");
  EXPECT_EQ(
      wrong("log.segment_bytes = \"64 megs\"\n"),
      "f:1:21: log.segment_bytes: \"64 megs\" is no size: say a size such as \"64MiB\" or 65536 from 16MiB to 1GiB\n");
  EXPECT_EQ(wrong("retain.commands = 60\n"),
            "f:1:19: retain.commands: a duration has its unit: say a duration such as \"30s\" or \"500ms\" of at least "
            "0s, or "
            "\"forever\"\n");
  EXPECT_EQ(wrong("tls.min_version = \"1.1\"\n"),
            "f:1:19: tls.min_version: \"1.1\" is not known here: say one of \"1.2\", \"1.3\"\n");
  EXPECT_EQ(
      wrong("listen.kafka = \"localhost:9092\"\n"),
      "f:1:16: listen.kafka: \"localhost:9092\" is not known here: say \"HOST:PORT\" with a numeric host, such as "
      "\"127.0.0.1:9092\" or \"[::1]:9092\", \"unix:/path\", or \"default\", \"off\"\n");
  EXPECT_EQ(
      wrong("http.hosts = [\"a\", 1]\n"),
      "f:1:14: http.hosts: this is a list with an integer in it: say a list of strings, such as [\"a\", \"b\"]\n");
  EXPECT_EQ(wrong("data = 2024-01-01\n"), "f:1:8: data: this is a date: say a string\n");
  EXPECT_EQ(wrong("kafka = 1\n"), "f:1:9: kafka: this is a section, not a key: say [kafka]\n");
  EXPECT_EQ(wrong("[data.more]\nx = 1\n"), "f:1:1: data: this is a table: say a string\n");
}

// A list of tables arrives as texts of lines, printed and read again the same.
TEST(Config, ListsOfTables) {
  auto table = std::make_shared<KeyTable>();
  const auto wrong_item = [](const std::string& text) {
    return text.find("name=") == std::string::npos ? std::string("a stream has a name") : std::string();
  };
  const auto together = [](const std::vector<std::string>& texts) {
    return texts.size() > 2 ? std::string("at most two") : std::string();
  };
  table->add({{.name = "mqtt.streams",
               .type = Type::tables,
               .help = "Streams",
               .fallback = std::vector<std::string>{},
               .wrong = wrong_item,
               .wrong_together = together}});
  const auto mistake = [&](std::string_view text) {
    Settings settings(table);
    return mistakes_text("f", read_settings(text, settings));
  };
  Settings settings(table);
  const std::string text = "[[mqtt.streams]]\nname = \"a b\"\ncount = 3\n[[mqtt.streams]]\non = true\nname = \"=\"\n";
  EXPECT_EQ(mistakes_text("f", read_settings(text, settings)), "");
  const std::vector<std::string> read = {"count=3\nname=a b\n", "name==\non=true\n"};
  EXPECT_EQ(std::get<std::vector<std::string>>(settings.value("mqtt.streams")), read);
  Settings again(table);
  EXPECT_EQ(mistakes_text("f", read_settings(print_settings(settings, PrintStyle::effective), again)), "");
  EXPECT_EQ(std::get<std::vector<std::string>>(again.value("mqtt.streams")), read);
  Settings given(table);
  EXPECT_TRUE(given.give_text("mqtt.streams", "[{name = \"x\"}]").empty());
  EXPECT_EQ(std::get<std::vector<std::string>>(given.value("mqtt.streams")), std::vector<std::string>{"name=x\n"});
  EXPECT_EQ(mistake("mqtt.streams = []\n"), "");
  EXPECT_NE(mistake("mqtt.streams = [\"name=x\"]\n").find("say a list of tables"), std::string::npos);
  EXPECT_NE(mistake("[[mqtt.streams]]\nnome = \"x\"\n").find("a stream has a name"), std::string::npos);
  EXPECT_NE(mistake("[[mqtt.streams]]\nname = 1.5\n").find("`name` is a number with a point"), std::string::npos);
  EXPECT_NE(mistake("[[mqtt.streams]]\nname = \"a\\nb\"\n"), "");
  EXPECT_NE(mistake("mqtt.streams = [{name = \"1\"}, {name = \"2\"}, {name = \"3\"}]\n").find("at most two"),
            std::string::npos);
}

TEST(Config, SyntaxAndDuplicatesNameTheirPlace) {
  EXPECT_EQ(wrong("data = \n").substr(0, 4), "f:1:");
  EXPECT_EQ(wrong("limits.count = 1\nlimits.count = 2\n").substr(0, 4), "f:2:");
  EXPECT_NE(wrong("limits.count = 1\nlimits.count = 2\n").find("count"), std::string::npos);
  EXPECT_EQ(wrong(std::string_view("data = 1\0", 9)), "f: holds a byte of zero: this is no text file\n");
  EXPECT_EQ(wrong(std::string(kFileBytesLimit + 1, '#')), "f: longer than 1048576 bytes, which no configuration is\n");
}

TEST(Config, BeyondAsciiAreStringsAndCommentsAlone) {
  const std::string said = "a character that is not ASCII stands outside of strings and comments\n";
  EXPECT_EQ(wrong("data = \"\"\n\u00e9 = 1\n"), "f:2:1: " + said);
  EXPECT_EQ(wrong("[\ufefe"), "f:1:2: " + said);
  EXPECT_EQ(wrong("data = \"a\\\"\" \u3042"), "f:1:14: " + said);
  EXPECT_EQ(wrong("data = 'a\\' \u3042"), "f:1:13: " + said);
  EXPECT_EQ(wrong("limits.count = 79\"\u00e9\""), "f:1:19: " + said);
  EXPECT_EQ(wrong("limits.count = 79.\"\u00e9\""), "f:1:19: " + said);
  EXPECT_EQ(wrong("# \u00e9\n\u00e9"), "f:2:1: " + said);
  for (const char* good : {"\ufeffdata = \"\u3042\"", "data = '\u00e9' # \u00e9", "data = \"\"\"\u00e9\"\"\"",
                           "data = '''\u00e9'''", "data = \"\"\"\n\u00e9 \\\" \"\"\" # \u00e9"})
    EXPECT_TRUE(std::holds_alternative<Document>(parse_document(good))) << good;
}

TEST(Config, AllMistakesAreToldUpToALimit) {
  std::string text;
  for (int i = 0; i < 30; ++i) text += "zebra" + std::to_string(i) + " = 1\n";
  const std::string told = wrong(text);
  EXPECT_EQ(std::count(told.begin(), told.end(), '\n'), static_cast<ptrdiff_t>(kMistakesLimit) + 1);
  EXPECT_TRUE(told.ends_with("f: and 10 more\n"));
  EXPECT_TRUE(told.starts_with("f:1:10: zebra0: "));
}

TEST(Config, TheCommandLineGoesThroughTheSameChecks) {
  Settings settings(table());
  EXPECT_TRUE(settings.give_text("log.segment_bytes", "32MiB").empty());
  EXPECT_TRUE(settings.give_text("limits.count", "5").empty());
  EXPECT_TRUE(settings.give_text("kafka.auto_create", "false").empty());
  EXPECT_TRUE(settings.give_text("http.hosts", "a,b").empty());
  EXPECT_EQ(settings.number("log.segment_bytes"), 32 << 20);
  EXPECT_EQ(settings.texts("http.hosts").size(), 2u);
  EXPECT_EQ(mistakes_text("--set", settings.give_text("limits.count", "x")),
            "--set: limits.count: \"x\" is no integer: say an integer from 1 to 100\n");
  EXPECT_EQ(mistakes_text("--set", settings.give_text("kafka", "x")),
            "--set: kafka: this is a section, not a key: say [kafka]\n");
}

TEST(Config, WhatIsPrintedReadsTheSame) {
  const Settings settings = read(
      "data = \"a\\\"b\\u0001\\\\\"\nretain.commands = \"forever\"\nlimits.count = 3\n"
      "log.segment_bytes = 16777217\n");
  Settings again(table());
  const std::string text = print_settings(settings, PrintStyle::effective);
  EXPECT_EQ(mistakes_text("f", read_settings(text, again)), "") << text;
  EXPECT_TRUE(differences(settings, again).empty()) << text;
  EXPECT_NE(text.find("\n[kafka]\n# Create (reload)\nauto_create = true\n"), std::string::npos) << text;
  EXPECT_NE(print_settings(settings, PrintStyle::example).find("\n#count = 7\n"), std::string::npos);
}

TEST(Config, DifferencesAreByMeaning) {
  const Settings one = read("log.segment_bytes = \"64MiB\"\n");
  const Settings other = read("log.segment_bytes = 67108864\nlimits.count = 8\n");
  const std::vector<const Key*> keys = differences(one, other);
  ASSERT_EQ(keys.size(), 1u);
  EXPECT_EQ(keys.front()->name, "limits.count");
}

TEST(Config, Units) {
  EXPECT_EQ(parse_size("64MiB"), 64 << 20);
  EXPECT_EQ(parse_size("1_000B"), 1000);
  EXPECT_EQ(parse_size("2 GB"), 2'000'000'000);
  for (const char* text : {"", "MiB", "-1B", "64", "64mib", "9223372036854775808B", "8388608TiB", "1.5GiB", "_1B"})
    EXPECT_EQ(parse_size(text), std::nullopt) << text;
  EXPECT_EQ(parse_duration("500ms"), 500'000'000);
  EXPECT_EQ(parse_duration("7d"), 604'800'000'000'000);
  for (const char* text : {"", "30", "s", "30 sec", "1h30m", "106752d"})
    EXPECT_EQ(parse_duration(text), std::nullopt) << text;
  EXPECT_EQ(size_text(65536), "64KiB");
  EXPECT_EQ(size_text(1000), "1000B");
  EXPECT_EQ(duration_text(90'000'000'000), "90s");
  EXPECT_EQ(duration_text(0), "0s");
  EXPECT_EQ(parse_host_port("[::1]:80")->host, "::1");
  for (const char* text : {"", ":1", "a", "::1:80", "[]:1", "[::1]", "a:", "a:65536", "a:-1", "a b:1", "a:1x"})
    EXPECT_FALSE(parse_host_port(text).has_value()) << text;
}

}  // namespace heptane::config
