// TLS as a stream over a stream, by OpenSSL with a BIO that is the stream below: no buffer of ours waits with an idle
// connection, and OpenSSL gives its own back (SSL_MODE_RELEASE_BUFFERS). Readiness as in net.h:
//
// - handshake() goes on whenever the stream below has bytes. The deadline for it is the caller's.
// - read_some fills `into` as far as it can, so that fewer bytes than asked means nothing is left inside.
// - write_some takes bytes only while the stream below takes records; the rest of the last ones (at most 64 KiB) waits here
//   and goes out by itself. flushed() is false until then.
// - shutdown_write sends close_notify, so does the end of the stream. A record that does not verify, an alert or bytes that are
//   no TLS end it with IoStatus::failed; the alert that says so is sent.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "kernel/net/net.h"
#include "kernel/net/tls_context.h"

namespace heptane::net {

// `alpn` outlives the stream. A client that offers protocols and none of ours is refused (no_application_protocol).
std::unique_ptr<Stream> make_tls_server_stream(std::unique_ptr<Stream> below, std::shared_ptr<TlsContext> context,
                                               std::span<const std::string_view> alpn);

// `server_name`: sent as SNI and looked for in the certificate; a numeric address is only looked for.
std::unique_ptr<Stream> make_tls_client_stream(std::unique_ptr<Stream> below, std::shared_ptr<TlsContext> context,
                                               const std::string& server_name, std::span<const std::string_view> alpn);

}  // namespace heptane::net
