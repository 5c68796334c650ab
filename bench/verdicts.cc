// The verdict of a velocity rule over a million keys: how much money the orders of an account were in the last hour, below a limit. Our
// side is the rules as the exchange calls them, in its process. PostgreSQL 15 has the same events in a table with a covering index, in its own
// memory; an application asks it with a prepared statement over its socket (the bar), or a function loops inside of it, where nobody waits for
// a line (no bar). It counts nothing meanwhile: to its advantage.
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "bench/benches.h"
#include "bench/postgres_peer.h"
#include "bench/report.h"
#include "kernel/base/assert.h"
#include "kernel/base/random.h"
#include "modules/fintech/domain/risk_rules/rule_book.h"

namespace heptane::bench {

namespace {

using namespace fintech::risk_rules;

constexpr double kBar = 100;
constexpr double kP99 = 0.99;
constexpr LogTime kSecondNs = 1'000'000'000;
constexpr LogTime kBegin = 1'700'000'000 * kSecondNs;
constexpr uint32_t kWindowSeconds = 3'600;
constexpr uint64_t kEventsOfKey = 2;

struct Sizes {
  uint64_t keys = std::min<uint64_t>(from_environment("BENCH_VERDICT_KEYS", 1'000'000), kKeysMax);
  uint64_t verdicts = from_environment("BENCH_VERDICTS", 200'000);
  uint64_t turns = from_environment("BENCH_VERDICT_TURNS", 5);
};

Node node(NodeKind kind, uint32_t children, std::string text = "", int64_t number = 0) {
  Node made;
  made.kind = kind;
  made.children = children;
  made.text = std::move(text);
  made.number = number;
  return made;
}

RuleSetSpec rules() {
  RuleSetSpec spec;
  WindowSpec window;
  window.name = "money";
  window.adds = Adds::notional;
  window.seconds = kWindowSeconds;
  window.keys = kKeysMax;
  spec.windows.push_back(window);
  RuleSpec rule;
  rule.name = "velocity";
  rule.when = {node(NodeKind::more, 2), node(NodeKind::window, 0, "money"),
               node(NodeKind::number, 0, "", 1'000'000'000)};
  spec.rules.push_back(rule);
  return spec;
}

class Ours {
 public:
  explicit Ours(const Sizes& sizes) : sizes_(sizes) {
    HEPTANE_ASSERT(book_.put(rules()).ok(), "the bench's rules do not compile");
    for (uint64_t event = 0; event < sizes.keys * kEventsOfKey; ++event) book_.count(order(event % sizes.keys));
  }

  // Of a verdict, in microseconds: as it is, or with the order counted.
  double p99(bool counts) {
    std::vector<double> spent(sizes_.verdicts);
    for (double& one : spent) {
      const Facts facts = order(random_.below(sizes_.keys));
      const int64_t begin_ns = now_ns();
      const Outcome outcome = book_.judge(facts);
      if (counts) book_.count(facts);
      one = static_cast<double>(now_ns() - begin_ns) / 1e3;
      HEPTANE_ASSERT(outcome.verdict == Verdict::allow, "an order of the bench was denied");
    }
    return quantile(spent, kP99);
  }
  uint64_t memory_bytes() const { return book_.memory_bytes(); }

 private:
  // A microsecond behind the one before.
  Facts order(uint64_t account) {
    Facts facts;
    facts.ids[static_cast<size_t>(KeyPart::account)] = static_cast<uint32_t>(account + 1);
    facts.more_notional = 1'000;
    facts.time = time_ += 1'000;
    return facts;
  }

  const Sizes sizes_;
  RuleBook book_;
  SeededRandom random_{7};
  LogTime time_ = kBegin;
};

class Theirs {
 public:
  Theirs(const std::string& directory, const Sizes& sizes) : sizes_(sizes), peer_(directory) {
    const std::string keys = std::to_string(sizes.keys);
    peer_.script(
        "create table orders (account int not null, at bigint not null, notional bigint not null);\n"
        "insert into orders select i % " +
        keys + ", i, 1000 from generate_series(1, " + std::to_string(sizes.keys * kEventsOfKey) +
        ") i order by random();\n"
        "create index covering on orders (account, at) include (notional);\n"
        "vacuum (freeze, analyze) orders;\n"
        "create extension pg_prewarm;\nselect pg_prewarm('covering');\n" +
        kFunction);
  }

  // Over its socket.
  double asked_p99() const {
    return peer_.quantile_micros("\\set a random(0, " + std::to_string(sizes_.keys - 1) + ")\n" + kQuestion + ";\n",
                                 std::max<uint64_t>(1, sizes_.verdicts / 10), kP99);
  }
  double inside_p99() const {
    return std::stod(peer_.query("select verdicts(" + std::to_string(std::max<uint64_t>(1, sizes_.verdicts / 10)) +
                                 ", " + std::to_string(sizes_.keys) + ")"));
  }
  std::string settings() const { return peer_.settings(); }

 private:
  inline static const std::string kQuestion =
      "select coalesce(sum(notional), 0) > 1000000000 from orders where account = :a and at > 0";
  inline static const std::string kFunction =
      "create function verdicts(n int, keys int) returns float8 language plpgsql as 'declare spent float8[]; begun "
      "timestamptz; a int; "
      "denied bool; begin for i in 1..n loop a := floor(random() * keys); begun := clock_timestamp(); select "
      "coalesce(sum(notional), 0) > 1000000000 into denied from orders where account = a and at > 0; "
      "spent[i] := extract(epoch from clock_timestamp() - begun) * 1e6; end loop; "
      "return (select percentile_cont(0.99) within group (order by s) from unnest(spent) s); end';\n";

  const Sizes sizes_;
  PostgresPeer peer_;
};

std::string beside(double theirs, const char* how) { return "PostgreSQL " + std::string(how) + ": " + micros(theirs); }

}  // namespace

bool bench_verdicts(const Scratch& scratch) {
  const Sizes sizes;
  Report report("verdicts");
  Ours ours(sizes);
  report.setting("run", std::to_string(sizes.keys) + " accounts, " + std::to_string(sizes.keys * kEventsOfKey) +
                            " orders, a window of an hour; " + bytes_text(ours.memory_bytes()) +
                            " of ours; medians of " + std::to_string(sizes.turns) + " turns");
  if (const auto absent = PostgresPeer::why_absent()) {
    report.row({"p99 of a verdict", micros(ours.p99(false)), *absent, "", ">= 100", true, true});
    return report.print();
  }
  const Theirs theirs(scratch.below("postgres"), sizes);
  report.setting("PostgreSQL", theirs.settings());
  std::array<std::vector<double>, 4> found;
  for (uint64_t turn = 0; turn < sizes.turns; ++turn) {
    found[0].push_back(ours.p99(false));
    found[1].push_back(theirs.asked_p99());
    found[2].push_back(ours.p99(true));
    found[3].push_back(theirs.inside_p99());
  }
  const double verdict = median(found[0]);
  const double counted = median(found[2]);
  const double asked = median(found[1]);
  const double inside = median(found[3]);
  report.row({"p99 of a verdict", micros(verdict), beside(asked, "over its socket"), ratio(asked / verdict), ">= 100",
              asked / verdict >= kBar});
  report.row({"  and the order counted", micros(counted), beside(asked, "over its socket, counts nothing"),
              ratio(asked / counted), ""});
  report.row({"  beside a loop inside", micros(verdict), beside(inside, "in a function"), ratio(inside / verdict), ""});
  return report.print();
}

}  // namespace heptane::bench
