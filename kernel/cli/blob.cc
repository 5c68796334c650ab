// `heptane blob put | get | ls | rm`: large payloads of a running server, by the SHA-256 of what is in them.
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <memory>

#include "kernel/blobs/blob_store.h"
#include "kernel/cli/command.h"
#include "kernel/cli/http_client.h"
#include "kernel/cli/progress.h"
#include "kernel/net/http/json.h"

namespace heptane::cli {

namespace {

constexpr const char* kPath = "/api/v1/blobs";

struct BlobArguments {
  std::string server = kDefaultServer;
  std::string file;
  std::string digest;
  bool json = false;
};

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using OpenFile = std::unique_ptr<std::FILE, CloseFile>;

int failed(const Error& error) {
  std::cerr << "heptane: " << error.message << "\n";
  return error.code == Errc::closed ? kRefused : kFailed;
}

std::string path_of(const BlobArguments& arguments) {
  return std::string(kPath) + "/" + HttpClient::escaped(arguments.digest);
}

std::string member(const std::string& json, std::string_view name) {
  const auto document = http::JsonDocument::parse(json);
  const auto value = document ? (*document)->root().find(name) : std::nullopt;
  if (!value) return {};
  return std::string(value->type() == http::JsonType::text ? value->text() : value->raw());
}

std::optional<uint64_t> length_of(std::FILE* file) {
  struct stat facts {};
  if (::fstat(::fileno(file), &facts) != 0 || !S_ISREG(facts.st_mode)) return std::nullopt;
  return static_cast<uint64_t>(facts.st_size);
}

// Hashed here too: what the server says it keeps is what was read.
int put(const BlobArguments& arguments) {
  const bool standard_input = arguments.file == "-";
  const OpenFile opened(standard_input ? nullptr : std::fopen(arguments.file.c_str(), "rb"));
  std::FILE* file = standard_input ? stdin : opened.get();
  if (file == nullptr) return failed({Errc::not_found, arguments.file + ": cannot be read", 0});
  crypto::Sha256 hash;
  uint64_t sent = 0;
  Result<std::string> answer = Error{};
  {
    ProgressBar bar("put");
    HttpRequestOptions options;
    options.content_type = "application/octet-stream";
    options.body_bytes = length_of(file);
    options.read_body = [&](char* into, size_t bytes) {
      const size_t count = std::fread(into, 1, bytes, file);
      hash.add(as_bytes({into, count}));
      sent += count;
      bar.show(sent, options.body_bytes.value_or(sent));
      return count;
    };
    HttpClient client(arguments.server);
    answer = client.call("PUT", arguments.digest.empty() ? kPath : path_of(arguments), options);
  }
  if (!answer) return failed(answer.error());
  const std::string digest = blobs::digest_text(hash.finish());
  if (member(*answer, "sha256") != digest)
    return failed({Errc::corrupt, "the server keeps other bytes than were read here (SHA-256 " + digest + ")", 0});
  if (arguments.json)
    std::cout << *answer << (answer->ends_with('\n') ? "" : "\n");
  else
    std::cout << digest << "  " << bytes_text(sent) << "\n";
  return kOk;
}

// Into a file beside, which gets its name when every byte was checked.
class Download {
 public:
  explicit Download(const std::string& path) : path_(path), temporary_(path + ".part") {
    if (path.empty()) return;
    file_.reset(std::fopen(temporary_.c_str(), "wb"));
  }
  ~Download() {
    if (file_) ::unlink(temporary_.c_str());
  }
  Download(const Download&) = delete;
  Download& operator=(const Download&) = delete;

  bool opened() const { return path_.empty() || file_ != nullptr; }
  bool take(std::string_view bytes) {
    hash_.add(as_bytes(bytes));
    bytes_ += bytes.size();
    return std::fwrite(bytes.data(), 1, bytes.size(), file_ ? file_.get() : stdout) == bytes.size();
  }
  uint64_t bytes() const { return bytes_; }

  Result<void> finish(const std::string& digest) {
    const std::string found = blobs::digest_text(hash_.finish());
    if (found != digest) return Error{Errc::corrupt, "the bytes that came have SHA-256 " + found, 0};
    if (!file_) return std::fflush(stdout) == 0 ? Result<void>() : Error{Errc::io, "standard output is closed", 0};
    const bool written = std::fclose(file_.release()) == 0 && ::rename(temporary_.c_str(), path_.c_str()) == 0;
    return written ? Result<void>() : Error{Errc::io, path_ + " cannot be written", 0};
  }

 private:
  const std::string path_;
  const std::string temporary_;
  OpenFile file_;
  crypto::Sha256 hash_;
  uint64_t bytes_ = 0;
};

int get(const BlobArguments& arguments) {
  Download download(arguments.file);
  if (!download.opened()) return failed({Errc::io, arguments.file + ".part: cannot be written", 0});
  Result<std::string> answer = Error{};
  {
    ProgressBar bar("get");
    HttpClient client(arguments.server);
    HttpRequestOptions options;
    options.take_answer = [&](std::string_view bytes) {
      bar.show(download.bytes() + bytes.size(), std::max(client.answer_bytes(), download.bytes() + bytes.size()));
      return download.take(bytes);
    };
    answer = client.call("GET", path_of(arguments), options);
  }
  if (!answer) return failed(answer.error());
  if (const Result<void> finished = download.finish(arguments.digest); !finished) return failed(finished.error());
  if (arguments.json && !arguments.file.empty())
    std::cout << R"({"sha256":")" << arguments.digest << R"(","bytes":)" << download.bytes() << "}\n";
  return kOk;
}

void print_row(const http::JsonValue& blob) {
  const auto number = [&](std::string_view name) {
    const auto value = blob.find(name);
    return value && value->integer() ? *value->integer() : 0;
  };
  const auto digest = blob.find("sha256");
  std::printf("%-64s %14lld %10lld\n", std::string(digest ? digest->text() : "").c_str(),
              static_cast<long long>(number("bytes")), static_cast<long long>(number("references")));
}

// Page after page.
int list(const BlobArguments& arguments) {
  HttpClient client(arguments.server);
  if (!arguments.json) std::printf("%-64s %14s %10s\n", "sha256", "bytes", "references");
  std::string after;
  for (bool more = true; more;) {
    const auto answer = client.call("GET", std::string(kPath) + (after.empty() ? "" : "?after=" + after));
    if (!answer) return failed(answer.error());
    const auto document = http::JsonDocument::parse(*answer);
    if (!document) return failed(document.error());
    const auto blobs = (*document)->root().find("blobs");
    for (auto blob = blobs ? blobs->first() : std::nullopt; blob; blob = blob->next()) {
      if (arguments.json)
        std::cout << blob->raw() << "\n";
      else
        print_row(*blob);
    }
    const auto next = (*document)->root().find("next");
    more = next.has_value();
    if (next) after = next->text();
  }
  return kOk;
}

int remove(const BlobArguments& arguments) {
  HttpClient client(arguments.server);
  const Result<std::string> answer = client.call("DELETE", path_of(arguments));
  if (!answer) return failed(answer.error());
  if (arguments.json) std::cout << *answer << (answer->ends_with('\n') ? "" : "\n");
  return kOk;
}

}  // namespace

void add_blob(CLI::App& app, Context& context) {
  auto arguments = std::make_shared<BlobArguments>();
  CLI::App* command = app.add_subcommand("blob", "Large payloads of a running server, by their SHA-256.");
  command->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, int (*run)(const BlobArguments&)) {
    CLI::App* part = command->add_subcommand(name, help);
    part->add_option("--server", arguments->server, "The admin listener")->capture_default_str();
    part->add_flag("--json", arguments->json, "JSON");
    part->callback([arguments, &context, run] { context.exit_code = run(*arguments); });
    return part;
  };
  CLI::App* part = add("put", "Keep a file's bytes; prints their SHA-256.", put);
  part->add_option("FILE", arguments->file, "The file; - is standard input")->required();
  part->add_option("--sha256", arguments->digest, "Refuse when the bytes have another one");
  part = add("get", "Write a blob to a file or to standard output.", get);
  part->add_option("SHA256", arguments->digest, "Its name")->required();
  part->add_option("-o,--output", arguments->file, "The file");
  add("ls", "Every blob.", list);
  part = add("rm", "Keep a blob no longer; its file goes when nothing refers to it.", remove);
  part->add_option("SHA256", arguments->digest, "Its name")->required();
}

}  // namespace heptane::cli
