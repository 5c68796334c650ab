#include "modules/fintech/domain/fix/validate.h"

#include "modules/fintech/domain/fix/tags.h"
#include "modules/fintech/domain/fix/values.h"

namespace heptane::fix {

namespace {

constexpr size_t kDepthMax = 6;  // of groups in groups; the dictionary has four

// A part of the message, or an entry of a group, that is being read.
struct Level {
  const ScopeRule* rule;
  SeenSlots seen;
  int32_t count_tag;
  uint64_t announced;
  uint64_t entries;
};

bool are_listed(const FieldRule& rule, std::string_view value) {
  if (rule.type != FieldType::texts) return is_listed(rule, value);
  for (;;) {
    const size_t end = value.find(' ');
    if (!is_listed(rule, value.substr(0, end))) return false;
    if (end == std::string_view::npos) return true;
    value.remove_prefix(end + 1);
  }
}

class Validation {
 public:
  Validation(const Message& message, const ScopeRule& body, const ValidationRules& rules)
      : message_(message), rules_(rules) {
    parts_[0].rule = &header_rule();
    parts_[1].rule = &body;
    parts_[2].rule = &trailer_rule();
  }

  std::optional<Fault> run() {
    for (const FieldView& field : message_.fields()) read(field);
    close_groups();
    if (out_of_order_ != 0) return Fault{RejectReason::out_of_order, out_of_order_};
    for (const size_t part : {0, 2, 1})
      if (const uint32_t slot = lacking(parts_[part]); slot != 0) return missing(slot);
    return missing_in_entry_ ? missing_in_entry_ : first_;
  }

 private:
  static uint32_t lacking(const Level& level) {
    return level.seen.first_lacking(level.rule->required, level.rule->required_words);
  }
  static Fault missing(uint32_t slot) { return {RejectReason::required_tag_missing, field_rule(slot).tag}; }

  // The first one counts.
  void note(RejectReason reason, int32_t tag) {
    if (!first_) first_ = Fault{reason, tag};
  }

  void read(const FieldView& field) {
    const uint32_t slot = slot_of(field.tag);
    const FieldRule& rule = field_rule(slot);
    check_value(field, rule);
    if (slot != 0) {
      enter(rule.part, field.tag);
      return place(field, slot, rule);
    }
    enter(Part::body, field.tag);
    if (field.tag < kUserDefinedMin || rules_.user_defined_fields) note(RejectReason::invalid_tag_number, field.tag);
  }

  void check_value(const FieldView& field, const FieldRule& rule) {
    const std::string_view value = message_.value(field);
    if (value.empty()) {
      if (rules_.fields_have_values) note(RejectReason::tag_without_value, field.tag);
      return;
    }
    if (has_right_value(rule, value)) return;
    if (!has_form(rule.type, value)) return note(RejectReason::incorrect_format, field.tag);
    note(RejectReason::value_out_of_range, field.tag);
  }

  // The part of the message that this field belongs to. One that comes back to an earlier part is out of order.
  void enter(Part part, int32_t tag) {
    if (part == part_) return;
    close_groups();
    if (part < part_ && out_of_order_ == 0 && rules_.fields_out_of_order) out_of_order_ = tag;
    part_ = part;
  }

  // Into the innermost group that takes it, else into the part of the message.
  void place(const FieldView& field, uint32_t slot, const FieldRule& rule) {
    while (depth_ > 0) {
      Level& group = groups_[depth_ - 1];
      if (slot == group.rule->first_slot) return begin_entry(group, slot);
      if (group.rule->members.has(slot)) {
        if (group.entries == 0) note(RejectReason::group_out_of_order, field.tag);
        return take(group, field, slot, rule);
      }
      close_group();
    }
    Level& part = parts_[static_cast<size_t>(part_)];
    if (!part.rule->members.has(slot)) {
      if (field.tag < kUserDefinedMin || rules_.user_defined_fields)
        note(RejectReason::tag_not_defined_for_type, field.tag);
      return;
    }
    take(part, field, slot, rule);
  }

  void take(Level& level, const FieldView& field, uint32_t slot, const FieldRule& rule) {
    if (!level.seen.add(slot)) return note(RejectReason::repeated_tag, field.tag);
    if (rule.type == FieldType::count) open_group(*level.rule, field);
  }

  void open_group(const ScopeRule& scope, const FieldView& field) {
    const int entries = group_scope(scope, field.tag);
    if (entries < 0 || depth_ == kDepthMax) return;
    Level& group = groups_[depth_++];
    group.rule = &scope_rule(entries);
    group.seen.clear();
    group.count_tag = field.tag;
    group.announced = number_of(message_.value(field)).value_or(0);
    group.entries = 0;
  }

  void begin_entry(Level& group, uint32_t slot) {
    if (group.entries > 0) end_entry(group);
    ++group.entries;
    group.seen.clear();
    group.seen.add(slot);
  }

  void end_entry(const Level& group) {
    if (missing_in_entry_) return;
    if (const uint32_t slot = lacking(group); slot != 0) missing_in_entry_ = missing(slot);
  }

  void close_group() {
    const Level& group = groups_[--depth_];
    if (group.entries > 0) end_entry(group);
    if (group.entries != group.announced) note(RejectReason::count_mismatch, group.count_tag);
  }

  void close_groups() {
    while (depth_ > 0) close_group();
  }

  const Message& message_;
  const ValidationRules& rules_;
  Level parts_[3];
  Level groups_[kDepthMax];  // made when one is opened
  size_t depth_ = 0;
  Part part_ = Part::header;
  int32_t out_of_order_ = 0;
  std::optional<Fault> missing_in_entry_;
  std::optional<Fault> first_;
};

}  // namespace

const char* reason_text(RejectReason reason) {
  switch (reason) {
    case RejectReason::invalid_tag_number: return "Invalid tag number";
    case RejectReason::required_tag_missing: return "Required tag missing";
    case RejectReason::tag_not_defined_for_type: return "Tag not defined for this message type";
    case RejectReason::tag_without_value: return "Tag specified without a value";
    case RejectReason::value_out_of_range: return "Value is incorrect (out of range) for this tag";
    case RejectReason::incorrect_format: return "Incorrect data format for value";
    case RejectReason::comp_id_problem: return "CompID problem";
    case RejectReason::sending_time_problem: return "SendingTime accuracy problem";
    case RejectReason::invalid_msg_type: return "Invalid MsgType";
    case RejectReason::repeated_tag: return "Tag appears more than once";
    case RejectReason::out_of_order: return "Tag specified out of required order";
    case RejectReason::group_out_of_order: return "Repeating group fields out of order";
    case RejectReason::count_mismatch: return "Incorrect NumInGroup count for repeating group";
  }
  return "";
}

bool has_right_value(const FieldRule& rule, std::string_view value, Number& number) {
  if (value.empty()) return false;
  if (rule.is_any || (rule.is_letter && value.size() == 1 && is_listed(rule, value[0]))) return true;
  return has_form(rule.type, value, number) && are_listed(rule, value);
}

bool has_right_value(const FieldRule& rule, std::string_view value) {
  Number number;
  return has_right_value(rule, value, number);
}

std::optional<Fault> validate(const Message& message, const ValidationRules& rules) {
  const int scope = scope_of(message.type());
  if (scope < 0) return Fault{RejectReason::invalid_msg_type, std::nullopt};
  return Validation(message, scope_rule(scope), rules).run();
}

}  // namespace heptane::fix
