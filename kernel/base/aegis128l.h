// AEGIS-128L as a keyless checksum: the 128-bit tag over associated data under the zero key and nonce, nothing encrypted
// (draft-irtf-cfrg-aegis-aead). Finds accidents and stale bytes, proves nothing against an attacker. AES instructions
// where the processor has them, else plain code. Any thread.
#pragma once

#include <array>

#include "kernel/base/bytes.h"

namespace heptane {

using Aegis128lTag = std::array<std::byte, 16>;

Aegis128lTag aegis128l_checksum(Bytes bytes) noexcept;

// The same without the processor's AES instructions, for tests.
Aegis128lTag aegis128l_checksum_portable(Bytes bytes) noexcept;

}  // namespace heptane
