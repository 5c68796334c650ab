#include "kernel/cli/http_client.h"

#include <curl/curl.h>

#include <cstdlib>
#include <memory>

#include "kernel/net/http/json.h"

namespace heptane::cli {

namespace {

constexpr size_t kAnswerLimitBytes = size_t{64} << 20;

constexpr long kSilenceSeconds = 60;
constexpr long kFirstError = 400;

struct Transfer {
  CURL* curl;
  const HttpRequestOptions& options;
  HttpAnswer& answer;
};

size_t keep(char* bytes, size_t size, size_t count, void* into) {
  auto& transfer = *static_cast<Transfer*>(into);
  long status = 0;
  curl_easy_getinfo(transfer.curl, CURLINFO_RESPONSE_CODE, &status);
  if (transfer.options.take_answer && status < kFirstError)
    return transfer.options.take_answer({bytes, size * count}) ? size * count : 0;
  std::string& body = transfer.answer.body;
  if (body.size() + size * count > kAnswerLimitBytes) return 0;
  body.append(bytes, size * count);
  return size * count;
}

size_t give(char* into, size_t size, size_t count, void* from) {
  return static_cast<Transfer*>(from)->options.read_body(into, size * count);
}

void stream_body(CURL* curl, Transfer& transfer) {
  curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
  curl_easy_setopt(curl, CURLOPT_READFUNCTION, give);
  curl_easy_setopt(curl, CURLOPT_READDATA, &transfer);
  if (transfer.options.body_bytes)
    curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(*transfer.options.body_bytes));
}

// What the server says went wrong.
Error error_of(const HttpAnswer& answer) {
  std::string message = "the server answered with status " + std::to_string(answer.status);
  if (auto document = http::JsonDocument::parse(answer.body)) {
    const auto error = (*document)->root().find("error");
    const auto text = error ? error->find("message") : std::nullopt;
    if (text && text->type() == http::JsonType::text) message = std::string(text->text());
  }
  Errc code = Errc::refused;
  if (answer.status == 404) code = Errc::not_found;
  if (answer.status == 401 || answer.status == 403) code = Errc::unauthorised;
  if (answer.status == 503) code = Errc::overloaded;
  return Error{code, std::move(message)};
}

}  // namespace

HttpClient::HttpClient(std::string server) : handle_(curl_easy_init()), server_(std::move(server)) {
  HEPTANE_ASSERT(handle_ != nullptr, "libcurl does not start");
  if (server_.find("://") == std::string::npos) server_ = "http://" + server_;
  while (server_.ends_with('/')) server_.pop_back();
}

HttpClient::~HttpClient() { curl_easy_cleanup(handle_); }

Result<HttpAnswer> HttpClient::request(std::string_view method, const std::string& path,
                                       const HttpRequestOptions& options) {
  CURL* curl = handle_;
  curl_easy_reset(curl);
  HttpAnswer answer;
  Transfer transfer{curl, options, answer};
  char why[CURL_ERROR_SIZE] = {};
  const std::string url = server_ + path;
  const std::string verb(method);
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(nullptr, &curl_slist_free_all);
  const auto add = [&](const std::string& line) { headers.reset(curl_slist_append(headers.release(), line.c_str())); };
  if (method != "GET") add("Content-Type: " + options.content_type);
  add("Expect:");
  for (const std::string& header : options.headers) add(header);
  if (const char* token = std::getenv("HEPTANE_TOKEN"); token != nullptr && *token != '\0')
    add(std::string("Authorization: Bearer ") + token);
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_PROXY, "");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, verb.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  if (!options.take_answer) curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "");
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 10L);
  if (options.read_body || options.take_answer) {
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, kSilenceSeconds);
  } else {
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, options.timeout_seconds);
  }
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  if (options.read_body) {
    stream_body(curl, transfer);
  } else if (method != "GET") {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, options.body.data());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(options.body.size()));
  }
  const CURLcode done = curl_easy_perform(curl);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, nullptr);
  if (done != CURLE_OK) {
    const std::string text = *why != '\0' ? why : curl_easy_strerror(done);
    if (done == CURLE_OPERATION_TIMEDOUT) return Error{Errc::deadline, url + ": " + text};
    return Error{Errc::closed, server_ + ": " + text + ". Is the server running? --server says where"};
  }
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.status);
  return answer;
}

Result<std::string> HttpClient::call(std::string_view method, const std::string& path,
                                     const HttpRequestOptions& options) {
  Result<HttpAnswer> answer = request(method, path, options);
  if (!answer) return std::move(answer.error());
  if (answer->status >= 400) return error_of(*answer);
  return std::move(answer->body);
}

uint64_t HttpClient::answer_bytes() const {
  curl_off_t bytes = 0;
  curl_easy_getinfo(handle_, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &bytes);
  return bytes > 0 ? static_cast<uint64_t>(bytes) : 0;
}

std::string HttpClient::escaped(std::string_view text) {
  static constexpr std::string_view kPlain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (kPlain.find(c) != std::string_view::npos) {
      out += c;
    } else {
      out += '%';
      out += kDigits[static_cast<unsigned char>(c) >> 4];
      out += kDigits[static_cast<unsigned char>(c) & 15];
    }
  }
  return out;
}

}  // namespace heptane::cli
