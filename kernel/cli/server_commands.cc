#include "kernel/cli/server_commands.h"

#include <iostream>
#include <utility>

#include "kernel/cli/http_client.h"

namespace heptane::cli {

int failed(const Error& error) {
  std::cerr << "heptane: " << error.message << "\n";
  return error.code == Errc::closed ? kRefused : kFailed;
}

int print_answer(const std::string& server, std::string_view method, const std::string& path, std::string body) {
  HttpClient client(server);
  HttpRequestOptions options;
  options.body = std::move(body);
  const Result<std::string> answer = client.call(method, path, options);
  if (!answer) return failed(answer.error());
  std::cout << *answer << (answer->ends_with('\n') ? "" : "\n");
  return kOk;
}

}  // namespace heptane::cli
