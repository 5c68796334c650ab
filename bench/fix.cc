// FIX 4.4: reading a message, validating it against the dictionary, and its numbers as integers; beside it libquickfix with the same
// dictionary (FIX44.xml of the npm package jspurefix). That both find the same numbers in the same messages is checked before anything is
// measured. Sides take turns; processor time of this thread.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include "bench/benches.h"
#include "bench/quickfix_peer.h"
#include "bench/report.h"
#include "kernel/base/random.h"
#include "modules/fintech/domain/fix/encode.h"
#include "modules/fintech/domain/fix/shapes.h"
#include "modules/fintech/domain/fix/tags.h"

namespace heptane::bench {

namespace {

using namespace fix;

constexpr int kScale = 4;
constexpr size_t kOrderBytes = 152;
constexpr int64_t kTime = 1'796'011'506'123'000'000;

int64_t thread_cpu_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// The numbers of a message that a venue or a trader looks at, summed up: what QuickfixPeer::sum_of() makes of it.
int64_t sum_of(const Message& message) {
  int64_t sum = 0;
  for (const FieldView& field : message.fields()) {
    switch (field.tag) {
      case 34: sum += *message.integer(field); break;
      case 6:
      case 14:
      case 31:
      case 32:
      case 38:
      case 44:
      case 151:
      case 270:
      case 271: sum += *message.decimal(field, kScale); break;
      case 52:
      case 60: sum += *message.timestamp(field) / 1'000'000; break;
      default: break;
    }
  }
  return sum;
}

class Draw {
 public:
  std::vector<std::string> messages(size_t count) {
    static constexpr char kTypes[] = {'D', 'G', 'F', '8', 'X'};
    std::vector<std::string> out;
    for (size_t i = 0; i < count; ++i) out.push_back(message(kTypes[i % std::size(kTypes)]));
    return out;
  }

  std::string message(char type) {
    std::string body;
    switch (type) {
      case 'D': add_order(body); break;
      case 'G':
        text(body, 41);
        add_order(body);
        break;
      case 'F':
        text(body, 41);
        text(body, 11);
        add_field(body, 55, "INTC");
        add_field(body, 54, "1");
        add_timestamp(body, 60, time(), 3);
        break;
      case '8': add_report(body); break;
      default: add_increment(body); break;
    }
    std::string out;
    encode(out, {"FIX.4.4", "TRADER", "VENUE", 1 + random_.below(1'000'000), time(), std::nullopt, 3},
           {std::string_view(&type, 1), {}, body});
    return out;
  }

 private:
  int64_t time() { return kTime + static_cast<int64_t>(random_.below(86'400'000)) * 1'000'000; }
  void text(std::string& body, int tag) { add_field(body, tag, "C" + std::to_string(random_.below(1'000'000'000))); }
  void price(std::string& body, int tag) {
    add_decimal(body, tag, static_cast<int64_t>(1 + random_.below(10'000'000)), 2);
  }
  void quantity(std::string& body, int tag) { add_field(body, tag, static_cast<int64_t>(1 + random_.below(100'000))); }

  void add_order(std::string& body) {
    text(body, 11);
    text(body, 1);
    add_field(body, 21, "1");
    add_field(body, 55, "INTC");
    add_field(body, 54, random_.one_in(2) ? "1" : "2");
    add_timestamp(body, 60, time(), 3);
    quantity(body, 38);
    add_field(body, 40, "2");
    price(body, 44);
    add_field(body, 59, "0");
  }
  void add_report(std::string& body) {
    text(body, 37);
    text(body, 11);
    add_field(body, 453, int64_t{2});
    for (const char* role : {"1", "12"}) {
      text(body, 448);
      add_field(body, 447, "D");
      add_field(body, 452, role);
    }
    text(body, 17);
    add_field(body, 150, "F");
    add_field(body, 39, "1");
    text(body, 1);
    add_field(body, 55, "INTC");
    add_field(body, 54, "1");
    quantity(body, 38);
    quantity(body, 32);
    price(body, 31);
    quantity(body, 151);
    quantity(body, 14);
    price(body, 6);
    add_timestamp(body, 60, time(), 3);
  }
  void add_increment(std::string& body) {
    const auto entries = static_cast<int64_t>(1 + random_.below(4));
    add_field(body, 268, entries);
    for (int64_t i = 0; i < entries; ++i) {
      add_field(body, 279, "0");
      add_field(body, 269, random_.one_in(2) ? "0" : "1");
      add_field(body, 55, "INTC");
      price(body, 270);
      quantity(body, 271);
    }
  }

  SeededRandom random_{7};
};

// A NewOrderSingle of exactly kOrderBytes.
std::string plain_order() {
  for (size_t id = 1; id < 60; ++id) {
    std::string body;
    add_field(body, 11, std::string(id, '7'));
    for (const auto& [tag, value] : {std::pair{21, "1"}, {55, "INTC"}, {54, "1"}}) add_field(body, tag, value);
    add_timestamp(body, 60, kTime, 3);
    for (const auto& [tag, value] : {std::pair{38, "200"}, {40, "2"}, {44, "12.50"}, {59, "0"}})
      add_field(body, tag, value);
    std::string out;
    encode(out, {"FIX.4.4", "TRADER", "VENUE", 12, kTime, std::nullopt, 3}, {"D", {}, body});
    if (out.size() == kOrderBytes) return out;
  }
  std::fprintf(stderr, "fix: no order has %zu bytes\n", kOrderBytes);
  std::exit(1);
}

class OurSide {
 public:
  int64_t sum_of(const std::string& text) {
    if (reader_.read(text) != nullptr || reader_.validate()) return -1;
    return bench::sum_of(reader_.message());
  }

 private:
  ValidationRules rules_;
  Reader reader_{rules_};
};

template <class Side>
double ns_each(Side& side, const std::vector<std::string>& messages, uint64_t rounds) {
  int64_t sum = 0;
  const int64_t begin = thread_cpu_ns();
  for (uint64_t round = 0; round < rounds; ++round)
    for (const std::string& message : messages) sum += side.sum_of(message);
  const auto took = static_cast<double>(thread_cpu_ns() - begin);
  if (sum == 0) std::abort();  // so that it is computed
  return took / static_cast<double>(rounds * messages.size());
}

std::string spread(std::vector<double> values, const char* unit) {
  std::sort(values.begin(), values.end());
  char text[96];
  std::snprintf(text, sizeof text, "%.4g%s (%.4g to %.4g)", median(values), unit, values.front(), values.back());
  return text;
}

Row measure(const char* what, const std::vector<std::string>& messages, uint64_t rounds, double bar,
            QuickfixPeer& peer) {
  OurSide ours;
  for (const std::string& message : messages) {
    const int64_t sum = ours.sum_of(message);
    if (sum != -1 && sum == peer.sum_of(message)) continue;
    std::fprintf(stderr, "fix: the numbers differ: %s\n", message.c_str());
    std::exit(1);
  }
  const uint64_t pairs = from_environment("BENCH_FIX_PAIRS", 5);
  std::vector<double> our_ns, their_ns, ratios;
  for (uint64_t pair = 0; pair < pairs; ++pair) {
    our_ns.push_back(ns_each(ours, messages, rounds * 10));
    their_ns.push_back(ns_each(peer, messages, rounds));
    ratios.push_back(their_ns.back() / our_ns.back());
  }
  char wanted[16];
  std::snprintf(wanted, sizeof wanted, ">= %.0f", bar);
  return {what,   spread(our_ns, " ns"), "libquickfix " + spread(their_ns, " ns"), spread(ratios, ""),
          wanted, median(ratios) >= bar};
}

}  // namespace

bool bench_fix(const Scratch&) {
  const uint64_t rounds = from_environment("BENCH_FIX_ROUNDS", 20);
  QuickfixPeer peer;
  Report report("FIX 4.4: read, validated, numbers as integers");
  report.setting("pairs", std::to_string(from_environment("BENCH_FIX_PAIRS", 5)) + " of each, in turn");
  report.row(measure("1,000 messages of D, G, F, 8, X, each", Draw().messages(1'000), rounds, 15, peer));
  report.row(measure("a NewOrderSingle of 152 bytes", {plain_order()}, rounds * 1'000, 20, peer));
  return report.print();
}

}  // namespace heptane::bench
