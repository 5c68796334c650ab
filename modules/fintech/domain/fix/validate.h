// Whether a message is one of the dictionary: FIX 4.4 volume 2, SessionRejectReason(373).
//
// The order in which faults count is that of other engines: fields of header, body and trailer mixed (14), an unknown type (11), a
// required field missing (1, the lowest tag of the header, then the trailer, the body, the entries of groups), then the first wrong
// field as they stand: no value (4), wrong form (6), none of the listed values (5), unknown tag (0), not of this message (2), twice (13),
// a group whose entries do not begin with its first field (15) or are not as many as announced (16). Pure; no allocation; any thread.
#pragma once

#include <cstdint>
#include <optional>

#include "modules/fintech/domain/fix/message.h"

namespace heptane::fix {

// The numbers of SessionRejectReason(373).
enum class RejectReason : uint8_t {
  invalid_tag_number = 0,
  required_tag_missing = 1,
  tag_not_defined_for_type = 2,
  tag_without_value = 4,
  value_out_of_range = 5,
  incorrect_format = 6,
  comp_id_problem = 9,
  sending_time_problem = 10,
  invalid_msg_type = 11,
  repeated_tag = 13,
  out_of_order = 14,
  group_out_of_order = 15,
  count_mismatch = 16,
};

// What Text(58) says of it.
const char* reason_text(RejectReason reason);

struct Fault {
  RejectReason reason;
  std::optional<int32_t> tag;  // RefTagID(371)
};

// Named as QuickFIX names them.
struct ValidationRules {
  bool fields_out_of_order = true;  // ValidateFieldsOutOfOrder: header, body and trailer may not be mixed
  bool fields_have_values = true;   // ValidateFieldsHaveValues
  bool user_defined_fields =
      true;  // ValidateUserDefinedFields: tags from 5000 on must be in the dictionary, and of the message
};

// Whether a value is not empty, has its type's form and is among the listed ones, if some are.
bool has_right_value(const FieldRule& rule, std::string_view value);
// The same, and what number it is.
bool has_right_value(const FieldRule& rule, std::string_view value, Number& number);

// None: it is as it should be.
std::optional<Fault> validate(const Message& message, const ValidationRules& rules);

}  // namespace heptane::fix
