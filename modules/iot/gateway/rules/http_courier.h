// Posts over HTTP/1.1: for each name one connection to its target, kept while the peer keeps it and made again when there is something
// to send. The allow-list is asked about the URL's host and about every address that it leads to; the connection goes to the address
// that was judged. One deadline covers a request, another one the way there. The I/O thread's; lives as long as its loop.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernel/net/io_loop.h"
#include "kernel/net/tls_context.h"
#include "modules/iot/gateway/rules/http_target.h"
#include "modules/iot/gateway/rules/outbox_runner.h"

namespace heptane::iot::rules {

class HttpCourier final : public Courier {
 public:
  static constexpr int64_t kAnswerNs = 10'000'000'000;

  explicit HttpCourier(net::IoLoop& loop);
  ~HttpCourier() override;
  HttpCourier(const HttpCourier&) = delete;
  HttpCourier& operator=(const HttpCourier&) = delete;

  // From now on; a connection that is up stays, but those of https are made anew. `ca_file`: authorities of https; empty: the
  // system's.
  void configure(AllowList allowed, std::string ca_file);

  std::string post(const std::string& name, const HttpPost& post, Done done) override;
  void forget(const std::string& name) override;

 private:
  class Line;

  // Why there is no TLS; empty: there is. Authorities are read when they are needed: they are many.
  std::string need_tls();

  net::IoLoop& loop_;
  AllowList allowed_;
  std::string ca_file_;
  std::shared_ptr<net::TlsContext> tls_;  // null: not read yet
  std::map<std::string, std::unique_ptr<Line>> lines_;
  std::vector<std::unique_ptr<Line>> retired_;  // to another target than is wanted now: the loop still knows them
};

}  // namespace heptane::iot::rules
