#include "modules/fintech/cli/reviews.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "kernel/cli/http_client.h"
#include "kernel/cli/server_commands.h"
#include "kernel/net/http/json_writer.h"

namespace heptane::fintech {

namespace {

const std::string kReviews = "/api/v1/exchange/reviews";

struct ReviewArguments {
  std::string server = cli::kDefaultServer;
  std::string after;
  std::string order;
  std::string reason;
};

int list(const ReviewArguments& a) {
  const std::string path = a.after.empty() ? kReviews : kReviews + "?after=" + cli::HttpClient::escaped(a.after);
  return cli::print_answer(a.server, "GET", path, "");
}

int decide(const ReviewArguments& a, const char* decision) {
  http::JsonWriter out;
  out.begin_object().key("decision").text(decision).key("reason").text(a.reason).end_object();
  return cli::print_answer(a.server, "POST", kReviews + "/" + cli::HttpClient::escaped(a.order), out.take());
}
int allow(const ReviewArguments& a) { return decide(a, "allow"); }
int deny(const ReviewArguments& a) { return decide(a, "deny"); }

}  // namespace

void add_reviews(CLI::App& fintech, cli::Context& context) {
  auto arguments = std::make_shared<ReviewArguments>();
  CLI::App* review = fintech.add_subcommand("review", "Orders that a risk rule holds for a review.");
  review->require_subcommand(1);
  const auto add = cli::server_commands(*review, arguments, context);
  add("ls", "Those that wait, why, and until when.", list)
      ->add_option("--after", arguments->after, "`next` of the page before");
  const auto decision = [&](const char* name, const char* help, int (*run)(const ReviewArguments&)) {
    CLI::App* command = add(name, help, run);
    command->add_option("ORDER", arguments->order, "Its number")->required();
    command->add_option("--reason", arguments->reason, "Why, for the audit trail")->required();
  };
  decision("allow", "Enter the order now.", allow);
  decision("deny", "Refuse the order; what it holds is available again.", deny);
}

}  // namespace heptane::fintech
