// `[[mqtt.streams]]` of the configuration: what each table declares, what is wrong with it or with all, and which are allowed
// although somebody may not have meant them. Pure; any thread.
#pragma once

#include <string>
#include <vector>

#include "kernel/base/result.h"
#include "modules/iot/machine/stream_api.h"

namespace heptane::iot::mqtt {

// `table`: its lines `key=value` (config::Type::tables).
Result<StreamDeclaration> stream_of_table(const std::string& table);
std::string wrong_stream_table(const std::string& table);
std::string wrong_stream_tables(const std::vector<std::string>& tables);
// Filters that overlap: what both match is kept twice in the archive.
std::vector<std::string> overlapping_streams(const std::vector<std::string>& tables);
// Those that are right.
std::vector<StreamDeclaration> streams_of_tables(const std::vector<std::string>& tables);

}  // namespace heptane::iot::mqtt
