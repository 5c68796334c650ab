// Any bytes as a configuration: they are refused or understood, and what is understood prints to what reads the same.
#include <algorithm>

#include "kernel/config/settings.h"

namespace {

using namespace heptane;
using namespace heptane::config;

std::shared_ptr<const KeyTable> table() {
  static const std::shared_ptr<const KeyTable> made = [] {
    auto table = std::make_shared<KeyTable>();
    std::vector<Key> keys;
    const auto add = [&](const char* name, Type type, Value fallback) -> Key& {
      return keys.emplace_back(
          Key{.name = name, .type = type, .help = "of the fuzzer", .fallback = std::move(fallback)});
    };
    add("flag", Type::boolean, true);
    add("a.integer", Type::integer, int64_t{3}).min = 0;
    add("a.size", Type::size, int64_t{1} << 20).max = int64_t{1} << 40;
    Key& duration = add("a.duration", Type::duration, int64_t{1'000'000'000});
    duration.word = "never";
    duration.word_value = -1;
    add("a.text", Type::text, std::string());
    add("b.choice", Type::choice, std::string("x")).choices = {"x", "y"};
    Key& address = add("listen.kafka.address", Type::address, std::string("default"));
    address.choices = {"default", "off"};
    address.shorthand = true;
    add("listen.kafka.advertised", Type::peer, std::string("h:1"));
    add("b.texts", Type::texts, std::vector<std::string>());
    table->add(std::move(keys));
    return table;
  }();
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Settings settings(table());
  const std::vector<Mistake> mistakes = read_settings(text, settings);
  if (!mistakes.empty()) {
    HEPTANE_ASSERT(!mistakes_text("f", mistakes).empty(), "a mistake has a text");
    return 0;
  }
  for (const PrintStyle style : {PrintStyle::effective, PrintStyle::example}) {
    Settings again(table());
    const std::vector<Mistake> none = read_settings(print_settings(settings, style), again);
    HEPTANE_ASSERT(none.empty(), "what is printed can be read");
    if (style == PrintStyle::effective)
      HEPTANE_ASSERT(differences(settings, again).empty(), "what is printed means the same");
  }
  return 0;
}
