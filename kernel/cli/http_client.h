// The command line's side of the admin listener: one request at a time over libcurl, with a deadline. Main thread.
// Addresses: http://HOST:PORT, https://HOST:PORT (the system's authorities). A token comes from HEPTANE_TOKEN.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/result.h"

namespace heptane::cli {

constexpr const char* kDefaultServer = "http://127.0.0.1:7070";

struct HttpRequestOptions {
  std::string body;
  std::string content_type = "application/json";
  std::vector<std::string> headers;  // "Name: value"
  long timeout_seconds = 60;
  // A body that is not held in memory: gives the next bytes of it, none at its end. Instead of a deadline for all, a
  // minute without a byte ends the request.
  std::function<size_t(char* into, size_t bytes)> read_body;
  std::optional<uint64_t> body_bytes;  // of it, when known
  // Takes the body of a good answer, which is then not held in memory; false gives up.
  std::function<bool(std::string_view bytes)> take_answer;
};

struct HttpAnswer {
  long status = 0;
  std::string body;
};

class HttpClient {
 public:
  explicit HttpClient(std::string server);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Errc::closed when nobody answers there, Errc::deadline; any status is an answer.
  Result<HttpAnswer> request(std::string_view method, const std::string& path, const HttpRequestOptions& options = {});
  // As above, and a status from 400 on is an error with the server's own message.
  Result<std::string> call(std::string_view method, const std::string& path, const HttpRequestOptions& options = {});

  // Length of the answer that is coming, 0 when the server did not say; for take_answer.
  uint64_t answer_bytes() const;

  // One segment of a path, or a value of a query.
  static std::string escaped(std::string_view text);

 private:
  void* handle_;
  std::string server_;
};

}  // namespace heptane::cli
