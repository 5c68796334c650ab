#include "modules/data/gateway/postgres/tls_preamble.h"

#include "modules/data/domain/sql/statement.h"
#include "modules/data/gateway/postgres/wire.h"

namespace heptane::data::postgres {

PostgresPreamble::PostgresPreamble() {
  MessageWriter out;
  out.error(sql::failure("28000", "this server is spoken to over TLS", "sslmode=require or better asks for it."), true);
  refusal_ = as_text(out.bytes().view());
}

net::TlsPreamble::Verdict PostgresPreamble::look(Bytes first) const {
  using Next = Verdict::Next;
  constexpr std::byte kTlsHandshake{0x16};
  constexpr size_t kRequestBytes = 2 * kLengthBytes;
  constexpr uint32_t kCancelLength = 16;
  if (first[0] == kTlsHandshake) return {Next::encrypt, 0, ""};
  if (first.size() < kRequestBytes) return {Next::more, kRequestBytes, ""};
  const auto length = load_be<uint32_t>(first.data());
  const auto code = load_be<uint32_t>(first.data() + kLengthBytes);
  if (code == kSslRequest && length == kRequestBytes) return {Next::encrypt, kRequestBytes, "S"};
  if (code == kGssencRequest && length == kRequestBytes) return {Next::answer, kRequestBytes, "N"};
  if (code == kCancelRequest && length == kCancelLength) return {Next::plain, 0, ""};
  return {Next::refuse, 0, refusal_};
}

}  // namespace heptane::data::postgres
