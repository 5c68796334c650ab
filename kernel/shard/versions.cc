#include "kernel/shard/versions.h"

#include "kernel/base/crc32c.h"
#include "kernel/shard/kernel_state.h"

namespace heptane {

namespace {
constexpr size_t kVersionBytesMin = 2 + 4 + 4 + 2;
}

Buffer encode_versions(const std::vector<MachineVersion>& versions) {
  ByteWriter out;
  out.le(static_cast<uint32_t>(versions.size()));
  for (const MachineVersion& version : versions) {
    out.le(version.machine);
    out.le(version.active);
    out.le(version.newest);
    out.le(static_cast<uint16_t>(version.name.size()));
    out.append(version.name);
  }
  return Buffer::take(out.release());
}

Result<std::vector<MachineVersion>> decode_versions(Bytes payload) {
  ByteReader reader(payload);
  std::vector<MachineVersion> versions;
  const auto count = reader.le<uint32_t>();
  if (!reader.fits(count, kVersionBytesMin)) reader.fail();
  for (uint32_t i = 0; i < count && !reader.failed(); ++i) {
    MachineVersion& version = versions.emplace_back();
    version.machine = reader.le<MachineId>();
    version.active = reader.le<uint32_t>();
    version.newest = reader.le<uint32_t>();
    version.name = as_text(reader.take(reader.le<uint16_t>()));
  }
  if (!reader.complete()) return Error{Errc::invalid_argument, "malformed logic versions"};
  return versions;
}

Submission make_activation(MachineId machine, uint32_t version) {
  ByteWriter payload;
  payload.le(machine);
  payload.le(version);
  Submission submission;
  submission.machine = machine_ids::kKernel;
  submission.type = kActivate;
  submission.payload = Buffer::take(payload.release());
  submission.payload_crc = crc32c(submission.payload.view());
  return submission;
}

}  // namespace heptane
