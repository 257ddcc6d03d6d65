// GGUF metadata from JSON.
//
// A SAX handler for the only shape that is accepted: anything else, however deep, is refused at once, so no document
// tree is built. It runs over the text twice, because jsonb sorts an entry's keys by length and so puts "value" before
// the "element" that says how to read it: the first time it reads keys and types, the second time values.
#include <algorithm>
#include <cstdint>
#include <utility>

#include "bytes/text.hpp"
#include "gguf/internal.hpp"
#include "gguf/json_value.hpp"
#include "hartonomous/error.hpp"

#include <nlohmann/json.hpp>

namespace hartonomous {

using namespace gguf_detail;

namespace {

constexpr const char* invalid = sqlstate::invalid_text_representation;

[[noreturn]] void refuse(const std::string& detail, source_location thrown = source_location::current()) {
  throw error(invalid, "invalid GGUF metadata", detail, {}, thrown);
}

enum class pass { outline, values };

// Where in the document the next event belongs.
enum class place {
  start,
  root,
  root_format,
  root_version,
  root_alignment,
  root_kv,
  entries,
  entry,
  entry_key,
  entry_type,
  entry_element,
  entry_value,
  elements,
  end
};

constexpr std::pair<const char*, place> root_members[] = {{"format", place::root_format},
                                                          {"version", place::root_version},
                                                          {"alignment", place::root_alignment},
                                                          {"kv", place::root_kv}};
constexpr std::pair<const char*, place> entry_members[] = {{"key", place::entry_key},
                                                           {"type", place::entry_type},
                                                           {"element", place::entry_element},
                                                           {"value", place::entry_value}};

constexpr unsigned bit(place p) noexcept { return 1U << static_cast<unsigned>(p); }

class metadata_handler : public nlohmann::json_sax<nlohmann::json> {
 public:
  metadata_handler(gguf_metadata& out, pass run, interrupt_checker& interrupts)
      : out_(out), pass_(run), interrupts_(interrupts) {}

  bool null() override { refuse("A value is null."); }
  bool boolean(bool value) override { return scalar(json_value::of(value)); }
  bool number_integer(number_integer_t value) override { return scalar(json_value::of(value)); }
  bool number_unsigned(number_unsigned_t value) override { return scalar(json_value::of(value)); }
  bool number_float(number_float_t, const string_t& text) override { return scalar(json_value::of_decimal(text)); }
  bool string(string_t& text) override {
    if (hex_ == hex_state::none) return scalar(json_value::of_text(text));
    if (hex_ != hex_state::named) refuse("A \"hex\" object is malformed.");
    if (!decode_hex(text, hex_text_)) refuse("A \"hex\" value is not pairs of hexadecimal digits.");
    hex_ = hex_state::valued;
    return true;
  }
  bool binary(binary_t&) override { refuse("Binary data."); }
  bool start_object(std::size_t) override;
  bool key(string_t& name) override;
  bool end_object() override;
  bool start_array(std::size_t) override;
  bool end_array() override;
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    throw error(invalid, "invalid JSON in GGUF metadata", "The error is at byte " + std::to_string(position) + ".");
  }

 private:
  enum class hex_state { none, opened, named, valued };

  bool scalar(const json_value& value);
  void root_scalar(const json_value& value);
  void entry_scalar(const json_value& value);
  void element(const json_value& value);
  template <std::size_t N>
  void enter(const std::string& name, const std::pair<const char*, place> (&members)[N]);
  void end_entry();
  gguf_kv& entry() { return out_.kv.at(index_); }

  gguf_metadata& out_;
  pass pass_;
  interrupt_checker& interrupts_;
  place place_ = place::start;
  hex_state hex_ = hex_state::none;
  std::string hex_text_;
  unsigned root_seen_ = 0;  // bit(place) of the members seen
  unsigned entry_seen_ = 0;
  std::size_t index_ = 0;    // of the entry being read
  std::uint64_t bytes_ = 0;  // of payloads so far
  std::uint64_t events_ = 0;
};

bool metadata_handler::start_object(std::size_t) {
  if (place_ == place::start) {
    place_ = place::root;
  } else if (place_ == place::entries && hex_ == hex_state::none) {
    if (pass_ == pass::outline) {
      if (out_.kv.size() >= gguf_max_keys) {
        throw error(sqlstate::program_limit_exceeded, "GGUF metadata has too many keys",
                    "The limit is " + std::to_string(gguf_max_keys) + ".");
      }
      out_.kv.emplace_back();
    }
    entry_seen_ = 0;
    place_ = place::entry;
  } else if (hex_ == hex_state::none &&
             (place_ == place::entry_key || place_ == place::entry_value || place_ == place::elements)) {
    hex_ = hex_state::opened;
  } else {
    refuse("An object is not allowed here.");
  }
  return true;
}

template <std::size_t N>
void metadata_handler::enter(const std::string& name, const std::pair<const char*, place> (&members)[N]) {
  unsigned& seen = place_ == place::root ? root_seen_ : entry_seen_;
  for (const auto& member : members) {
    if (name != member.first) continue;
    if ((seen & bit(member.second)) != 0) refuse("Member " + show_name(name) + " occurs twice.");
    seen |= bit(member.second);
    place_ = member.second;
    return;
  }
  refuse("Member " + show_name(name) + " is not known.");
}

bool metadata_handler::key(string_t& name) {
  if (hex_ != hex_state::none) {
    if (hex_ != hex_state::opened || name != "hex") refuse("A \"hex\" object is malformed.");
    hex_ = hex_state::named;
  } else if (place_ == place::root) {
    enter(name, root_members);
  } else {
    enter(name, entry_members);
  }
  return true;
}

bool metadata_handler::end_object() {
  if (hex_ != hex_state::none) {
    if (hex_ != hex_state::valued) refuse("A \"hex\" object is malformed.");
    hex_ = hex_state::none;
    std::string const bytes = std::move(hex_text_);
    return scalar(json_value::of_bytes(bytes));
  }
  if (place_ == place::entry) {
    end_entry();
    place_ = place::entries;
  } else {
    const unsigned needed =
        bit(place::root_format) | bit(place::root_version) | bit(place::root_alignment) | bit(place::root_kv);
    if (root_seen_ != needed) refuse("One of \"format\", \"version\", \"alignment\" and \"kv\" is missing.");
    place_ = place::end;
  }
  return true;
}

void metadata_handler::end_entry() {
  const unsigned needed = bit(place::entry_key) | bit(place::entry_type) | bit(place::entry_value);
  if ((entry_seen_ & needed) != needed) {
    refuse("Entry " + std::to_string(index_ + 1) + " lacks \"key\", \"type\" or \"value\".");
  }
  const bool element = (entry_seen_ & bit(place::entry_element)) != 0;
  if (pass_ == pass::outline) {
    gguf_kv& kv = entry();
    if (element != (kv.type == gguf_type::array)) refuse("Member \"element\" belongs to arrays, and only to them.");
    if (!element) kv.element = kv.type;
    if (kv.element == gguf_type::array) refuse("Key " + show_name(kv.key) + " is a nested array.");
  }
  ++index_;
}

bool metadata_handler::start_array(std::size_t) {
  if (hex_ != hex_state::none) refuse("A \"hex\" object is malformed.");
  if (place_ == place::root_kv) {
    place_ = place::entries;
  } else if (place_ == place::entry_value) {
    if (pass_ == pass::values && entry().type != gguf_type::array) {
      refuse("The value of key " + show_name(entry().key) + " is an array, but its type is not.");
    }
    place_ = place::elements;
  } else {
    refuse("An array is not allowed here.");
  }
  return true;
}

bool metadata_handler::end_array() {
  place_ = place_ == place::elements ? place::entry : place::root;
  return true;
}

bool metadata_handler::scalar(const json_value& value) {
  if (hex_ != hex_state::none) refuse("A \"hex\" object is malformed.");
  if (events_++ % 4096 == 0) interrupts_.check();
  switch (place_) {
    case place::root_format:
    case place::root_version:
    case place::root_alignment:
      root_scalar(value);
      break;
    case place::entry_key:
    case place::entry_type:
    case place::entry_element:
      entry_scalar(value);
      break;
    case place::entry_value:
      if (pass_ == pass::values && entry().type == gguf_type::array) {
        refuse("The value of key " + show_name(entry().key) + " is not an array, but its type is.");
      }
      element(value);
      place_ = place::entry;
      break;
    case place::elements:
      element(value);
      break;
    default:
      refuse("A value is not allowed here.");
  }
  return true;
}

void metadata_handler::root_scalar(const json_value& value) {
  if (place_ == place::root_format) {
    if (value.what != json_value::kind::text || value.text != "gguf") refuse("Member \"format\" is not \"gguf\".");
  } else {
    if (value.what != json_value::kind::natural || value.natural > 0xffffffffU) {
      refuse("Members \"version\" and \"alignment\" must be 32-bit integers.");
    }
    const auto number = static_cast<std::uint32_t>(value.natural);
    (place_ == place::root_version ? out_.version : out_.alignment) = number;
  }
  place_ = place::root;
}

void metadata_handler::entry_scalar(const json_value& value) {
  const bool is_key = place_ == place::entry_key;
  const bool text = value.what == json_value::kind::text || (is_key && value.what == json_value::kind::bytes);
  if (!text) refuse("Members \"key\", \"type\" and \"element\" must be strings.");
  if (pass_ == pass::outline) {
    gguf_kv& kv = entry();
    if (is_key) {
      kv.key = value.text;
    } else if (!find_type(value.text, place_ == place::entry_type ? kv.type : kv.element)) {
      refuse("Type " + show_name(value.text) + " is not known.");
    }
  }
  place_ = place::entry;
}

void metadata_handler::element(const json_value& value) {
  if (pass_ == pass::outline) return;
  gguf_kv& kv = entry();
  std::size_t const before = kv.payload.size();
  append_element(kv, value);
  bytes_ += kv.payload.size() - before;
  if (bytes_ > gguf_max_metadata_bytes) {
    throw error(sqlstate::program_limit_exceeded, "GGUF metadata is beyond the limit",
                "The limit is " + std::to_string(gguf_max_metadata_bytes) + " bytes.");
  }
}

}  // namespace

void metadata_from_json(std::string_view json, gguf_metadata& metadata, interrupt_checker& interrupts) {
  // nlohmann's lexer treats a NUL as the end of its input and would ignore what follows.
  if (json.find('\0') != std::string_view::npos) refuse("The text contains a NUL character.");
  gguf_metadata parsed;
  for (const pass run : {pass::outline, pass::values}) {
    metadata_handler handler(parsed, run, interrupts);
    nlohmann::json::sax_parse(json.data(), json.data() + json.size(), &handler);
  }
  std::uint32_t const alignment = parsed.alignment;
  check_metadata(parsed, invalid);
  if (alignment != parsed.alignment) {
    refuse("Member \"alignment\" is " + std::to_string(alignment) + ", but the keys make it " +
           std::to_string(parsed.alignment) + ".");
  }
  metadata.version = parsed.version;
  metadata.alignment = parsed.alignment;
  metadata.kv = std::move(parsed.kv);
}

}  // namespace hartonomous
