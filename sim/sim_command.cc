#include "sim/sim_command.h"

#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cinttypes>
#include <cstdio>
#include <ctime>

#include "sim/simulated_modules.h"
#include "sim/simulator.h"

namespace heptane::sim {

namespace {

struct SimArguments {
  uint64_t seed = 1;
  uint64_t seeds = 1;
  uint64_t steps = 2000;
  uint64_t seconds = 0;
  bool json = false;
  std::string bug = "none";
};

struct Totals {
  uint64_t seeds = 0;
  uint64_t failed = 0;
  uint64_t refused = 0;
  uint64_t steps = 0;
  uint64_t starts = 0;
  uint64_t power_cuts = 0;
  uint64_t kills = 0;
  uint64_t fatal_errors = 0;
  uint64_t acknowledged = 0;
  uint64_t seen = 0;
  uint64_t viewed = 0;
  uint64_t torn_tails = 0;
  uint64_t device_lies = 0;
  uint64_t archived = 0;
  uint64_t rewritten = 0;
  LedgerWatch::Counts ledger;
  uint64_t ledger_repeats = 0;
  MqttWatch mqtt;
  IotCounts iot;
  ExchangeWatch::Counts exchange;

  void add(const SimulationResult& run) {
    ++seeds;
    failed += run.failed ? 1 : 0;
    refused += run.refused ? 1 : 0;
    steps += run.step;
    starts += run.starts;
    power_cuts += run.power_cuts;
    kills += run.kills;
    fatal_errors += run.fatal_errors;
    acknowledged += run.acknowledged;
    seen += run.seen;
    viewed += run.viewed;
    torn_tails += run.torn_tails;
    device_lies += run.device_lies;
    archived += run.archived;
    rewritten += run.rewritten;
    ledger.acknowledged += run.ledger.acknowledged;
    ledger.commands += run.ledger.commands;
    ledger.expired += run.ledger.expired;
    ledger.imported += run.ledger.imported;
    ledger.audits += run.ledger.audits;
    ledger.gaps += run.ledger.gaps;
    ledger_repeats += run.ledger_repeats;
    mqtt.acknowledged += run.mqtt.acknowledged;
    mqtt.delivered += run.mqtt.delivered;
    mqtt.again += run.mqtt.again;
    mqtt.resumed += run.mqtt.resumed;
    mqtt.shared += run.mqtt.shared;
    mqtt.ordered += run.mqtt.ordered;
    mqtt.appended += run.mqtt.appended;
    mqtt.taken_over += run.mqtt.taken_over;
    mqtt.wills_total += run.mqtt.wills_total;
    mqtt.lost += run.mqtt.lost;
    mqtt.read_back += run.mqtt.read_back;
    mqtt.gaps += run.mqtt.gaps;
    iot += run.iot;
    exchange += run.exchange;
  }
};

int64_t seconds_now() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

// A broken assertion ends the process: the seed must be known all the same.
char crash_note[256];
size_t crash_note_bytes = 0;

extern "C" void on_abort(int) {
  (void)!::write(STDERR_FILENO, crash_note, crash_note_bytes);
  ::signal(SIGABRT, SIG_DFL);
  ::raise(SIGABRT);
}

void note_seed(const SimulationOptions& options) {
  const int written = std::snprintf(crash_note, sizeof crash_note,
                                    "heptane: the server ended itself in seed %" PRIu64 "; repeat with: %s\n",
                                    options.seed, repeat_command(options).c_str());
  crash_note_bytes = static_cast<size_t>(std::clamp<int>(written, 0, sizeof crash_note - 1));
}

void print_failure(const SimulationOptions& options, const SimulationResult& run) {
  std::fprintf(stderr, "%sseed %" PRIu64 ", step %" PRIu64 ": %s\nrepeat with: %s\n", run.trace.c_str(), options.seed,
               run.step, run.failure.c_str(), repeat_command(options).c_str());
}

void print_seed_json(const SimulationOptions& options, const SimulationResult& run) {
  std::printf("{\"seed\": %" PRIu64 ", \"step\": %" PRIu64 ", \"failed\": %s, \"refused\": %s, \"starts\": %" PRIu64
              ", \"acknowledged\": %" PRIu64 ", \"fingerprint\": \"%s\"}\n",
              options.seed, run.step, run.failed ? "true" : "false", run.refused ? "true" : "false", run.starts,
              run.acknowledged, to_hex(run.fingerprint).c_str());
}

void print_totals(const Totals& totals) {
  std::printf(
      "%" PRIu64 " seeds, %" PRIu64 " steps: %" PRIu64 " starts, %" PRIu64 " power cuts, %" PRIu64
      " ends of the process, %" PRIu64 " fatal errors, %" PRIu64 " torn tails, %" PRIu64
      " writes to be lost or misdirected, %" PRIu64 " damaged logs refused, %" PRIu64 " archive segments made, %" PRIu64
      " again; %" PRIu64 " records acknowledged, %" PRIu64 " read, %" PRIu64 " of a view; ledger: %" PRIu64
      " events acknowledged, %" PRIu64 " imported, %" PRIu64 " requests answered again, %" PRIu64
      " transfers expired, %" PRIu64 " comparisons with the model over %" PRIu64 " commands, %" PRIu64
      " given up; MQTT: %" PRIu64 " messages acknowledged, %" PRIu64 " delivered, %" PRIu64 " to groups, %" PRIu64
      " by topic in order, %" PRIu64 " again, %" PRIu64 " sessions resumed, %" PRIu64 " taken over, %" PRIu64
      " wills, %" PRIu64 " appended, %" PRIu64 " lost and told, %" PRIu64 " read out of streams, %" PRIu64
      " given up; %s; %s; %" PRIu64 " seeds failed\n",
      totals.seeds, totals.steps, totals.starts, totals.power_cuts, totals.kills, totals.fatal_errors,
      totals.torn_tails, totals.device_lies, totals.refused, totals.archived, totals.rewritten, totals.acknowledged,
      totals.seen, totals.viewed, totals.ledger.acknowledged, totals.ledger.imported, totals.ledger_repeats,
      totals.ledger.expired, totals.ledger.audits, totals.ledger.commands, totals.ledger.gaps, totals.mqtt.acknowledged,
      totals.mqtt.delivered, totals.mqtt.shared, totals.mqtt.ordered, totals.mqtt.again, totals.mqtt.resumed,
      totals.mqtt.taken_over, totals.mqtt.wills_total, totals.mqtt.appended, totals.mqtt.lost, totals.mqtt.read_back,
      totals.mqtt.gaps, text_of(totals.iot).c_str(), totals.exchange.text().c_str(), totals.failed);
}

int run_sim(const SimArguments& arguments) {
  const std::optional<PlantedBug> bug = bug_of(arguments.bug);
  if (!bug) {
    std::fprintf(stderr, "heptane: --bug %s: there is no such bug\n", arguments.bug.c_str());
    return cli::kUsage;
  }
  ::signal(SIGABRT, on_abort);
  const int64_t end = seconds_now() + static_cast<int64_t>(arguments.seconds);
  Totals totals;
  for (uint64_t i = 0; arguments.seconds > 0 ? seconds_now() < end : i < arguments.seeds; ++i) {
    const SimulationOptions options{arguments.seed + i, arguments.steps, *bug, simulated_modules};
    note_seed(options);
    const SimulationResult run = simulate(options);
    totals.add(run);
    if (arguments.json) print_seed_json(options, run);
    if (!run.failed) continue;
    print_failure(options, run);
    break;
  }
  if (!arguments.json) print_totals(totals);
  return totals.failed == 0 ? cli::kOk : cli::kFailed;
}

}  // namespace

void add_sim(CLI::App& app, cli::Context& context) {
  auto arguments = std::make_shared<SimArguments>();
  CLI::App* command = app.add_subcommand(
      "sim", "Run the whole server in a simulated world that fails by seed; stops at the first broken promise.");
  command->add_option("--seed", arguments->seed, "The first seed")->capture_default_str();
  command->add_option("--seeds", arguments->seeds, "How many seeds")->capture_default_str();
  command->add_option("--seconds", arguments->seconds, "Go on for so long instead");
  command->add_option("--steps", arguments->steps, "Steps with faults, of each seed")->capture_default_str();
  command->add_option("--bug", arguments->bug, "Plant this bug; the run should fail")
      ->check(CLI::IsMember(std::vector<std::string>(std::begin(kBugNames), std::end(kBugNames))));
  command->add_flag("--json", arguments->json, "One line of JSON for each seed");
  command->callback([arguments, &context] { context.exit_code = run_sim(*arguments); });
}

}  // namespace heptane::sim
